"""One contract for both transports, against a real HTTP server."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from replica_server import serve
from tiny_replica import Fault, TinyReplica, fail, hang, honest, refuse

from icfleet_agent import AiohttpTransport, HttpxTransport, Transport
from icfleet_agent.errors import (
    ClosedError,
    NotSentError,
    ReplyTooLargeError,
    TransportError,
    TransportTimeoutError,
)
from icfleet_agent.transport import CONNECT_TIMEOUT_S, HttpReply, parse_retry_after

SIZE_MAX = 1 << 20
PATH = "/api/v3/canister/aaaaa-aa/query"


@pytest.fixture(params=[AiohttpTransport, HttpxTransport])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    made: Transport = request.param()
    yield made
    await made.aclose()


async def post(
    transport: Transport, url: str, *, timeout_s: float = 10.0, size_max: int = SIZE_MAX
) -> HttpReply:
    return await transport.request(
        "POST", f"{url}{PATH}", b"body", timeout_s=timeout_s, size_max=size_max
    )


async def test_a_reply_comes_back_whole(
    transport: Transport, replica: TinyReplica, url: str
) -> None:
    replica.plan("query", refuse(200, "answer" * 1000))

    reply = await post(transport, url)

    assert reply == HttpReply(200, b"answer" * 1000)
    assert replica.exchanges[0].body == b"body"


async def test_a_get_has_no_body(transport: Transport, replica: TinyReplica, url: str) -> None:
    reply = await transport.request(
        "GET", f"{url}/api/v2/status", b"ignored", timeout_s=10.0, size_max=SIZE_MAX
    )

    assert reply == replica.tell_status()


@pytest.mark.parametrize("status", [202, 302, 400, 404, 429, 503])
async def test_every_status_is_an_answer(
    transport: Transport, replica: TinyReplica, url: str, status: int
) -> None:
    """Also a redirect: it is told, not followed."""
    replica.plan("query", refuse(status, "why"))

    assert await post(transport, url) == HttpReply(status, b"why")
    assert len(replica.exchanges) == 1


async def test_retry_after_is_read(transport: Transport, replica: TinyReplica, url: str) -> None:
    replica.plan("query", refuse(429, "slow down", retry_after_s=7.0))

    assert (await post(transport, url)).retry_after_s == 7.0


async def test_a_reply_as_long_as_accepted_is_taken(
    transport: Transport, replica: TinyReplica, url: str
) -> None:
    replica.plan("query", refuse(200, "x" * 500))

    assert len((await post(transport, url, size_max=500)).body) == 500


async def test_a_reply_in_pieces_is_put_together(
    transport: Transport, replica: TinyReplica, url: str
) -> None:
    replica.plan("query", *[fail(Fault.PIECES)] * 2)

    assert (await post(transport, url)).body == b"one two three"
    with pytest.raises(ReplyTooLargeError):
        await post(transport, url, size_max=12)


async def test_an_announced_length_beyond_the_limit_is_refused(
    transport: Transport, replica: TinyReplica, url: str
) -> None:
    replica.plan("query", refuse(200, "x" * 501))

    with pytest.raises(ReplyTooLargeError, match="more than 500 bytes"):
        await post(transport, url, size_max=500)


async def test_an_endless_reply_is_refused_at_the_limit(
    transport: Transport, replica: TinyReplica, url: str
) -> None:
    """Without an announced length, reading stops where the limit is."""
    replica.plan("query", fail(Fault.ENDLESS))

    with pytest.raises(ReplyTooLargeError):
        await post(transport, url)


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.TRICKLE])
async def test_a_reply_that_is_not_complete_in_time_is_given_up(
    transport: Transport, replica: TinyReplica, url: str, fault: Fault
) -> None:
    """The limit is on the whole, so trickled bytes do not prolong it."""
    replica.plan("query", fail(fault))
    start_s = time.monotonic()

    with pytest.raises(TransportTimeoutError, match=r"within 0\.3 s"):
        await post(transport, url, timeout_s=0.3)

    assert time.monotonic() - start_s < 5


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.CUT])
async def test_a_broken_connection_is_an_error_and_the_next_request_works(
    transport: Transport, replica: TinyReplica, url: str, fault: Fault
) -> None:
    replica.plan("query", fail(fault), refuse(200, "again"))

    with pytest.raises(TransportError) as caught:
        await post(transport, url)
    reply = await post(transport, url)

    assert not caught.value.is_without_effect
    assert reply.body == b"again"


async def test_a_refused_connection_is_known_to_have_sent_nothing(transport: Transport) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        with pytest.raises(NotSentError) as caught:
            await post(transport, f"http://127.0.0.1:{port}")

    assert caught.value.is_without_effect


async def test_a_certificate_nobody_vouches_for_is_refused(
    transport: Transport, tls_files: tuple[Path, Path]
) -> None:
    async with serve(TinyReplica(), tls=server_context(*tls_files)) as url:
        with pytest.raises(NotSentError, match=r"(?i)certificate"):
            await post(transport, url)


@pytest.mark.parametrize("make", [AiohttpTransport, HttpxTransport])
async def test_a_private_authority_can_be_trusted(
    make: Callable[..., Transport], replica: TinyReplica, tls_files: tuple[Path, Path]
) -> None:
    """For a network behind a company's own certificates."""
    replica.plan("query", refuse(200, "private"))
    transport = make(tls_context=ssl.create_default_context(cafile=tls_files[0]))
    async with serve(replica, tls=server_context(*tls_files)) as url:
        reply = await post(transport, url)
        await transport.aclose()

    assert reply.body == b"private"


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_requests_share_connections(transport: Transport, url: str) -> None:
    """Connections are kept, not made for each request."""
    opened = 0

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        host, port = url.removeprefix("http://").split(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        async with asyncio.TaskGroup() as pumps:
            pumps.create_task(pump(reader, up_writer))
            pumps.create_task(pump(up_reader, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for _ in range(5):
            await post(transport, address)
        await transport.aclose()

    assert opened == 1


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def test_many_requests_at_once_all_come_back(
    transport: Transport, replica: TinyReplica, url: str
) -> None:
    replica.plan("query", *(refuse(200, str(index)) for index in range(100)))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(post(transport, url)) for _ in range(100)]

    assert {task.result().body for task in tasks} == {str(i).encode() for i in range(100)}


async def test_a_cancelled_request_does_not_spoil_the_next(
    transport: Transport, replica: TinyReplica, url: str
) -> None:
    has_arrived = asyncio.Event()

    replica.plan("query", hang(has_arrived), refuse(200, "mine"))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(post(transport, url))
        await has_arrived.wait()
        task.cancel()
    reply = await post(transport, url)

    assert task.cancelled()
    assert reply.body == b"mine"


async def test_closing_is_final_and_may_be_repeated(transport: Transport, url: str) -> None:
    await post(transport, url)

    await transport.aclose()
    await transport.aclose()

    with pytest.raises(ClosedError):
        await post(transport, url)


@pytest.mark.parametrize("make", [AiohttpTransport, HttpxTransport])
async def test_a_transport_never_used_closes(make: Callable[[], Transport]) -> None:
    transport = make()

    await transport.aclose()

    with pytest.raises(ClosedError):
        await post(transport, "http://127.0.0.1:1")


async def test_a_users_own_httpx_client_is_left_open(replica: TinyReplica) -> None:
    """What the user opened, the user closes."""
    replica.plan("query", honest)
    async with serve(replica) as url, httpx.AsyncClient() as client:
        transport = HttpxTransport(client)
        await post(transport, url)
        await transport.aclose()

        assert not client.is_closed


def test_the_time_to_connect_is_less_than_to_answer() -> None:
    """Otherwise a connection that was never made could not be told from a slow answer."""
    assert CONNECT_TIMEOUT_S < 20


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param(None, None, id="missing"),
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("0", 0.0, id="at-once"),
        pytest.param("Wed, 21 Oct 2026 07:28:00 GMT", None, id="date"),
        pytest.param("-1", None, id="negative"),
        pytest.param("1.5", None, id="fraction"),
        pytest.param("\u0665", None, id="other-digits"),
        pytest.param("9" * 400, 3600.0, id="absurd"),
    ],
)
def test_retry_after_is_seconds_or_nothing(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header) == seconds
