"""The network's HTTP interface over real connections: what surrounds the protocol itself."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from live_network import ADA, CBOR, Live, live, number, query_value

from icfleet_localnet.profiles import FAST
from icfleet_protocol.cbor import decode_map
from icfleet_protocol.certificate import Freshness, verify_certificate
from icfleet_protocol.envelope import ENVELOPE_SIZE_MAX, ReadStateContent, sign_request
from icfleet_protocol.principal import Principal


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def net(anyio_backend: str) -> AsyncIterator[Live]:  # noqa: ARG001 - its scope is needed
    """A network that these tests share: they leave it as it is."""
    async with live(call_wait_s=0.3) as found:
        yield found


async def test_a_page_of_this_computer_learns_that_it_may_call(net: Live) -> None:
    """A preflight names methods and headers, and the origin that asked."""
    origin = "http://localhost:3000"
    asked = {"origin": origin, "access-control-request-method": "POST"}
    path = f"/api/v4/canister/{net.id}/call"

    response = await net.http.options(path, headers=asked)

    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    assert response.headers["access-control-allow-methods"] == "POST, GET"
    assert "Content-Type" in response.headers["access-control-allow-headers"]
    assert response.headers["vary"] == "origin"


async def test_refusals_carry_the_same_headers(net: Live) -> None:
    """Or a browser would show a network error in place of the text."""
    response = await net.http.get("/nothing", headers={"origin": "http://localhost:3000"})

    assert response.status_code == 404
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"


async def test_no_origin_is_answered_without_one(net: Live) -> None:
    """Programs send none."""
    response = await net.http.get("/api/v2/status")

    assert "access-control-allow-origin" not in response.headers
    assert response.headers["content-type"] == "application/cbor"
    assert response.headers["date"].endswith("GMT")


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/api/v2/status", 405, "POST is not allowed for /api/v2/status"),
        ("GET", "/api/v2/canister/aaaaa-aa/query", 405, "GET is not allowed"),
        ("PUT", "/api/v2/canister/aaaaa-aa/call", 405, "PUT is not allowed"),
        ("DELETE", "/api/v9/anything", 405, "DELETE is not allowed"),
        ("GET", "/", 404, "unknown path /"),
        ("POST", "/", 404, "unknown path /"),
        ("GET", "/status.json", 404, "unknown path"),
        ("POST", "/api/v9/canister/aaaaa-aa/query", 404, "unknown path"),
        ("POST", "/api/v2/canister/aaaaa-aa/query/more", 404, "unknown path"),
        ("POST", "/api/v2/canister/nonsense/query", 400, "Invalid canister id"),
        ("POST", "/api/v2/subnet/aaaaa-aa/query", 404, "unknown path"),
    ],
)
async def test_what_is_not_there_is_told(
    net: Live, method: str, path: str, status: int, text: str
) -> None:
    """In plain text."""
    response = await net.http.request(method, path)

    assert response.status_code == status
    assert text in response.text
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "", "application/cbor2"])
async def test_another_content_type_is_refused(net: Live, kind: str) -> None:
    """A page's form cannot send CBOR's own without asking first."""
    path = f"/api/v3/canister/{net.id}/query"
    response = await net.http.post(path, content=b"", headers={"content-type": kind})

    assert response.status_code == 400
    assert response.text == "Unexpected content-type, expected application/cbor."


@pytest.mark.parametrize("kind", ["application/cbor", "Application/CBOR; charset=binary", None])
async def test_cbor_by_any_name_is_taken(net: Live, kind: str | None) -> None:
    """Also without a type, as some agents send it."""
    body = net.sign("read", b"DIDL\x00\x00", kind="query").body
    headers = {} if kind is None else {"content-type": kind}

    response = await net.http.post(
        f"/api/v3/canister/{net.id}/query", content=body, headers=headers
    )

    assert isinstance(query_value(response), int)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost.evil.example"},
        {"origin": "http://127.0.0.1.evil.example"},
        {"host": "evil.example"},
        {"host": "evil.example@localhost"},
        {"host": "localhost/evil"},
        {"host": "evil.example:4943"},
        {"host": "[bad"},
        {"host": ""},
    ],
    ids=str,
)
async def test_pages_from_elsewhere_may_not_call(net: Live, headers: dict[str, str]) -> None:
    """A page can post to loopback without asking, and what is installed here is run."""
    response = await net.http.get("/api/v2/status", headers=headers)

    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    "origin", ["http://app.localhost:4943", "https://127.0.0.1", "http://[::1]"]
)
async def test_every_page_of_this_computer_may(net: Live, origin: str) -> None:
    """By whatever name the computer calls itself."""
    response = await net.http.get("/api/v2/status", headers={"origin": origin})

    assert response.status_code == 200


async def test_a_body_beyond_the_limit_is_refused(net: Live) -> None:
    """Whether its length was told or not."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(ENVELOPE_SIZE_MAX // 2**20 + 1):
            yield bytes(2**20)

    path = f"/api/v4/canister/{net.id}/call"
    told = await net.http.post(path, content=bytes(ENVELOPE_SIZE_MAX + 1), headers=CBOR)
    untold = await net.http.post(path, content=pieces(), headers=CBOR)

    assert (told.status_code, untold.status_code) == (413, 413)
    assert "larger than" in told.text


async def test_one_connection_serves_many_requests(net: Live) -> None:
    """As game servers use it: calls, queries, refusals one after the other."""
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=net.server.url, limits=limits, timeout=20) as http:
        streams: set[object] = set()
        for path in ("/api/v2/status", "/nothing", "/api/v2/status", "/api/v2/canister/x/call"):
            response = await http.get(path)
            streams.add(response.extensions["network_stream"].get_extra_info("client_addr"))

    assert len(streams) == 1


async def test_an_answered_call_comes_with_its_certificate(net: Live) -> None:
    """Within the wait that clients count on."""
    response = await net.call(5)

    fields = decode_map(response.content, size_max=10**6)
    assert (response.status_code, fields["status"]) == (200, "replied")
    verify_certificate(
        fields["certificate"],
        root_key_der=net.server.root_key_der,
        canister=net.id,
        now_ns=net.server.clock.now_ns(),
        freshness=Freshness(),
    )


async def test_an_asynchronous_call_is_executed_at_once() -> None:
    """Version 2 answers before the round; nobody has to wake the network."""
    async with live() as net:
        before_s = time.monotonic()
        response = await net.call(5, version="v2")
        while await net.count() < 5:
            assert time.monotonic() - before_s < 0.5
            await asyncio.sleep(0.01)

    assert (response.status_code, response.content) == (202, b"")


async def test_a_call_that_takes_longer_than_the_wait_is_answered_with_202() -> None:
    """Its client asks for the outcome later."""
    slow = replace(FAST, round_interval_s=1)
    async with live(profile=slow, call_wait_s=0.3) as net:
        before_s = time.monotonic()
        response = await net.call(5)

        assert (response.status_code, response.content) == (202, b"")
        assert 0.3 <= time.monotonic() - before_s < 0.9


async def test_the_same_request_twice_is_executed_once(net: Live) -> None:
    """Both get the same answer, whenever they ask."""
    before = await net.count()
    request = net.sign("increment", number(1))

    twice = [net.post("call", request, version="v4") for _ in range(2)]
    answers = [*await asyncio.gather(*twice), await net.post("call", request, version="v4")]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert await net.count() == before + 1


async def test_a_client_that_goes_away_leaves_nothing_behind(net: Live) -> None:
    """Its call is executed all the same."""
    before = await net.count()
    reader, writer = await asyncio.open_connection(*_address(net))
    body = net.sign("increment", number(1)).body
    head = f"POST /api/v4/canister/{net.id}/call HTTP/1.1\r\nhost: localhost\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    writer.transport.abort()

    await asyncio.sleep(0.2)
    assert await net.count() == before + 1
    assert await reader.read() == b""


async def test_the_answer_may_not_be_waited_for_with_an_outdated_request(net: Live) -> None:
    """The expiry is checked by the network's clock."""
    outdated = net.sign("increment", number(1), ingress_expiry_ns=time.time_ns() - 1_000_000_000)

    response = await net.post("call", outdated, version="v4")

    assert response.status_code == 400
    assert response.text.startswith("Invalid request expiry")


async def test_a_state_is_read_over_the_same_port(net: Live) -> None:
    """By its canister, and by its subnet."""
    expiry_ns = net.server.clock.now_ns() + 60_000_000_000
    content = ReadStateContent(sender=ADA.sender, ingress_expiry_ns=expiry_ns, paths=((b"time",),))
    body = sign_request(content, ADA).body
    subnet = net.server.network.root.id

    for path in (f"/api/v3/canister/{net.id}/read_state", f"/api/v3/subnet/{subnet}/read_state"):
        response = await net.http.post(path, content=body, headers=CBOR)
        assert "certificate" in decode_map(response.content, size_max=10**6)

    nobody = Principal(b"\x05" * 29)
    response = await net.http.post(
        f"/api/v3/subnet/{nobody}/read_state", content=body, headers=CBOR
    )
    assert response.status_code == 400


def _address(net: Live) -> tuple[str, int]:
    url = httpx.URL(net.server.url)
    assert url.port is not None
    return url.host, url.port
