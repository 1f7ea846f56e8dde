"""The running server: a socket on loopback, rounds by themselves, and a clean end."""

import asyncio
import socket

import httpx
import pytest

from icfleet_localnet.errors import AddressError, PortInUseError
from icfleet_localnet.server import LocalnetServer
from icfleet_protocol.cbor import decode_map


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_started_server_answers_and_a_stopped_one_does_not() -> None:
    async with LocalnetServer(port=0) as server, httpx.AsyncClient() as http:
        response = await http.get(f"{server.url}/api/v2/status")
        url = server.url

    status = decode_map(response.content, size_max=10_000)
    assert status["root_key"] == server.root_key_der
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(f"{url}/api/v2/status")


async def test_rounds_go_on_without_work_so_that_certificates_stay_fresh() -> None:
    async with LocalnetServer(port=0) as server:
        first = server.subnet.time_ns
        await asyncio.sleep(1.2)

        assert server.subnet.time_ns - first > 900_000_000


async def test_a_port_in_use_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = LocalnetServer(port=port)

        with pytest.raises(PortInUseError, match=f"127.0.0.1:{port} is in use"):
            await server.__aenter__()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "localhost"])
async def test_only_loopback_is_served(host: str) -> None:
    with pytest.raises(AddressError, match="not a loopback address"):
        LocalnetServer(host=host, port=0)


async def test_an_oversized_body_is_refused_before_it_is_parsed() -> None:
    async with LocalnetServer(port=0) as server, httpx.AsyncClient() as http:
        response = await http.post(
            f"{server.url}/api/v3/canister/aaaaa-aa/query", content=bytes(6 * 1024 * 1024)
        )

    assert response.status_code == 413


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://app.localhost:4943"])
async def test_pages_of_this_computer_may_call(origin: str) -> None:
    async with LocalnetServer(port=0) as server, httpx.AsyncClient() as http:
        response = await http.options(f"{server.url}/api/v2/status", headers={"origin": origin})

    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost.evil.example"},
        {"host": "evil.example"},
        {"host": "evil.example:4943"},
        {"host": "[bad"},
    ],
    ids=str,
)
async def test_pages_from_elsewhere_may_not(headers: dict[str, str]) -> None:
    """A page can post to loopback without asking, and what is installed here is run."""
    async with LocalnetServer(port=0) as server, httpx.AsyncClient() as http:
        response = await http.get(f"{server.url}/api/v2/status", headers=headers)

    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


async def test_an_ipv6_address_is_written_as_urls_want_it() -> None:
    async with LocalnetServer(host="::1", port=0) as server, httpx.AsyncClient() as http:
        response = await http.get(f"{server.url}/api/v2/status")

    assert response.status_code == 200


async def test_a_seed_fixes_the_networks_identity() -> None:
    keys = [LocalnetServer(port=0, seed=b"same").root_key_der for _ in range(2)]

    assert keys[0] == keys[1] != LocalnetServer(port=0).root_key_der
