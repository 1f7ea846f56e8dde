"""A tiny replica behind a real HTTP server on loopback, misbehaving where its script says so."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator

from aiohttp import web
from tiny_replica import Fault, TinyReplica

from icfleet_agent.transport import HttpReply

__all__ = ["serve"]


@contextlib.asynccontextmanager
async def serve(replica: TinyReplica, *, tls: ssl.SSLContext | None = None) -> AsyncGenerator[str]:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        answer = replica.answer(request.method, request.path, body)
        if isinstance(answer, HttpReply):
            headers: dict[str, str] = {}
            if answer.retry_after_s is not None:
                headers["Retry-After"] = f"{answer.retry_after_s:.0f}"
            return web.Response(status=answer.status, body=answer.body, headers=headers)
        return await misbehave(request, answer)

    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def misbehave(request: web.Request, fault: Fault) -> web.StreamResponse:
    transport = request.transport
    assert transport is not None
    if fault is Fault.HANG:
        await asyncio.sleep(60)
    response = web.StreamResponse()
    if fault is Fault.PIECES:
        await response.prepare(request)
        for piece in (b"one ", b"two ", b"three"):
            await response.write(piece)
            await asyncio.sleep(0.01)
        await response.write_eof()
        return response
    if fault is Fault.CUT:
        response.content_length = 1000
    if fault is not Fault.DROP:
        await response.prepare(request)
        chunk, pause_s = (bytes(100_000), 0.0) if fault is Fault.ENDLESS else (b"\x00", 0.02)
        for _ in range(10 if fault is Fault.CUT else 10_000):
            await response.write(chunk)
            await asyncio.sleep(pause_s)
    transport.close()
    return response
