"""The operator's interface over HTTP: JSON in, JSON out, and a sentence for every mistake."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from live_network import Live, live

NOBODY = "rrkah-fqaaa-aaaaa-aaaaq-cai"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def administered() -> AsyncGenerator[tuple[Live, httpx.AsyncClient]]:
    async with live(call_wait_s=0.3) as net:
        assert net.server.admin_url is not None
        async with httpx.AsyncClient(base_url=net.server.admin_url, timeout=20) as http:
            yield net, http


@pytest.fixture(scope="module")
async def shared(
    anyio_backend: str,  # noqa: ARG001 - its scope is needed
) -> AsyncIterator[tuple[Live, httpx.AsyncClient]]:
    """For tests that change nothing."""
    async with administered() as found:
        yield found


@pytest.fixture
async def own() -> AsyncIterator[tuple[Live, httpx.AsyncClient]]:
    async with administered() as found:
        yield found


async def test_faults_are_added_shown_and_removed(own: tuple[Live, httpx.AsyncClient]) -> None:
    """With how often each struck."""
    net, http = own
    rule = {
        "effect": {"kind": "http_error", "status": 503},
        "match": {"operation": "query"},
        "limit": 2,
        "name": "flaky",
    }

    added = (await http.post("/faults", json=rule)).json()
    statuses = [(await net.ask()).status_code for _ in range(3)]
    (shown,) = (await http.get("/faults")).json()

    assert statuses == [503, 503, 200]
    assert shown["id"] == added["id"]
    assert (shown["rule"]["name"], shown["fired"], shown["matched"]) == ("flaky", 2, 2)
    assert (await http.delete(f"/faults/{added['id']}")).json() == {}
    assert (await http.get("/faults")).json() == []

    for _ in range(2):
        await http.post("/faults", json=rule)
    assert (await http.delete("/faults")).json() == {}
    assert (await http.get("/faults")).json() == []


async def test_a_subnet_is_halted_and_resumed(own: tuple[Live, httpx.AsyncClient]) -> None:
    """By its id, which the report tells."""
    net, http = own
    subnet = (await http.get("/status.json")).json()["subnets"][0]["id"]

    assert (await command(http, kind="halt_subnet", subnet=subnet)) == (200, "{}")
    assert (await net.call(5)).status_code == 503
    assert (await http.get("/status.json")).json()["subnets"][0]["is_halted"] is True
    assert (await command(http, kind="resume_subnet", subnet=subnet)) == (200, "{}")
    assert (await net.call(5)).status_code == 200


async def test_cycles_are_drained_and_clocks_moved(own: tuple[Live, httpx.AsyncClient]) -> None:
    """All that the Python API does."""
    net, http = own

    assert (await command(http, kind="drain_cycles", canister=str(net.id), leave=5))[0] == 200
    assert (await command(http, kind="clock_jump", seconds=100))[0] == 200
    assert (await http.post("/clock/advance", json={"seconds": 50})).json() == {}

    report = (await http.get("/status.json")).json()
    assert report["canisters"][0]["cycles"] <= 5
    assert report["time_ns"] - time.time_ns() > 149 * 10**9


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/faults", b"", "truncated"),
        ("/faults", b"\xff\xfe", "JSON"),
        ("/faults", b"[]", "Expected `object`"),
        ("/faults", b"{}", "missing required field `effect`"),
        ("/faults", b'{"effect": {"kind": "nonsense"}}', "Invalid value 'nonsense'"),
        ("/faults", b'{"effect": {"kind": "lose_request"}, "probabilty": 1}', "probabilty"),
        ("/faults", b'{"effect": {"kind": "lose_request"}, "probability": 2}', "between 0 and 1"),
        ("/faults", b'{"effect": {"kind": "http_error", "status": 200}}', "between 400 and 599"),
        (
            "/faults",
            b'{"effect": {"kind": "lose_request"}, "match": {"canister": "x"}}',
            "canister: ",
        ),
        ("/faults", b'{"effect": ' + b"[" * 10_000, "Expected `object`"),
        ("/commands", b'{"kind": "halt_subnet"}', "missing required field `subnet`"),
        ("/commands", b'{"kind": "halt_subnet", "subnet": "x"}', "subnet: "),
        (
            "/commands",
            json.dumps({"kind": "halt_subnet", "subnet": NOBODY}).encode(),
            f"there is no subnet {NOBODY}",
        ),
        (
            "/commands",
            json.dumps({"kind": "drain_cycles", "canister": NOBODY}).encode(),
            f"there is no canister {NOBODY}",
        ),
        ("/commands", b'{"kind": "clock_jump", "seconds": -1}', "between 0"),
        ("/commands", b'{"kind": "clock_jump", "seconds": 1e300}', "between 0"),
        ("/clock/advance", b"{}", "missing required field `seconds`"),
        ("/clock/advance", b'{"seconds": -1}', "seconds must be between 0 and"),
        ("/clock/advance", b'{"seconds": 1e9}', "seconds must be between 0 and 31,622,400"),
        ("/clock/advance", b'{"seconds": "soon"}', "Expected `float`"),
        ("/clock/advance", b'{"seconds": NaN}', "JSON"),
    ],
)
async def test_every_mistake_is_told_in_a_sentence(
    shared: tuple[Live, httpx.AsyncClient], path: str, body: bytes, told: str
) -> None:
    """Status 400, and what is wrong where."""
    response = await shared[1].post(path, content=body)

    assert response.status_code == 400
    assert told in response.text
    assert response.headers["content-type"].startswith("text/plain")


async def test_what_is_not_there_is_told(shared: tuple[Live, httpx.AsyncClient]) -> None:
    """Paths, methods and rules."""
    _, http = shared
    for method, path in [
        ("GET", "/nothing"),
        ("POST", "/"),
        ("PUT", "/faults"),
        ("GET", "/faults/fault-1"),
        ("DELETE", "/faults/fault-1/more"),
        ("GET", "/commands"),
        ("GET", "/api/v2/status"),
    ]:
        response = await http.request(method, path)
        assert (response.status_code, response.text[:11]) == (404, "there is no"), path

    response = await http.delete("/faults/fault-1")
    assert (response.status_code, response.text) == (400, "there is no fault rule 'fault-1'")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"host": "evil.example"},
    ],
    ids=str,
)
async def test_only_its_own_page_may_ask(
    shared: tuple[Live, httpx.AsyncClient], headers: dict[str, str]
) -> None:
    """Other pages of this computer are kept out too: they have no business here."""
    for method, path in [("GET", "/status.json"), ("POST", "/commands"), ("DELETE", "/faults")]:
        response = await shared[1].request(method, path, headers=headers)
        assert response.status_code == 403


async def test_its_own_page_may_ask(shared: tuple[Live, httpx.AsyncClient]) -> None:
    """By the address it came from."""
    net, http = shared
    response = await http.get("/status.json", headers={"origin": str(net.server.admin_url)})

    assert response.status_code == 200


async def test_a_large_body_is_refused(shared: tuple[Live, httpx.AsyncClient]) -> None:
    """A rule has a few hundred bytes."""
    response = await shared[1].post("/faults", content=bytes(65 * 1024))

    assert response.status_code == 413


async def test_the_report_tells_all_there_is(own: tuple[Live, httpx.AsyncClient]) -> None:
    """Canisters, subnets, rates and what kind of network it is."""
    net, http = own
    await net.canister.update("say", "hello world")
    for _ in range(3):
        await net.ask()
    await asyncio.sleep(1.1)

    report: dict[str, Any] = (await http.get("/status.json")).json()
    (canister,) = report["canisters"]

    assert canister["id"] == str(net.id)
    assert canister["status"] == "running"
    assert canister["cycles"] > 10**12
    assert canister["log"][0].endswith(" hello world")
    assert report["url"] == net.server.url
    assert report["executor"] == "InProcessExecutor"
    assert report["label"].startswith("Model, not the Internet Computer")
    assert report["totals"]["queries"] >= 3
    assert report["per_second"]["queries"] > 0
    assert report["totals"]["rounds"] >= report["totals"]["messages"] > 0
    assert report["root_key"] == net.server.root_key_der.hex()


async def test_the_page_runs_nothing_but_its_own(shared: tuple[Live, httpx.AsyncClient]) -> None:
    """And shows itself in no frame."""
    response = await shared[1].get("/")

    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "no-store"


async def command(http: httpx.AsyncClient, **fields: object) -> tuple[int, str]:
    response = await http.post("/commands", json=fields)
    return response.status_code, response.text
