"""A local network behind its real HTTP servers, with one canister, an agent and a bare client."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import httpx

from icfleet.build import build
from icfleet_agent import (
    Agent,
    AgentConfig,
    Canister,
    ManagementCanister,
    PollingConfig,
    RetryConfig,
    SystemClock,
)
from icfleet_localnet.server import LocalnetOptions, LocalnetServer
from icfleet_protocol.candid import decode, encode
from icfleet_protocol.candid.types import nat64
from icfleet_protocol.cbor import decode_map
from icfleet_protocol.envelope import CallContent, SignedRequest, sign_request
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal

ADA = Ed25519Identity.from_seed(b"a" * 32)
CBOR = {"content-type": "application/cbor"}
CONFIG = AgentConfig(
    retry=RetryConfig(attempts_max=1, delay_first_s=0.01, delay_max_s=0.02),
    polling=PollingConfig(delay_first_s=0.01, delay_max_s=0.02),
)
EXPIRY_NS = 4 * 60 * 1_000_000_000
DIARY = """
from kybra import StableBTreeMap, Vec, ic, init, nat64, query, text, update, void

state = {"count": 0, "ticks": 0}
notes = StableBTreeMap[nat64, text](memory_id=0, max_key_size=16, max_value_size=100)


def tick() -> void:
    state["ticks"] = state["ticks"] + 1


@init
def start() -> void:
    ic.set_timer_interval(3600, tick)


@update
def increment(by: nat64) -> nat64:
    state["count"] = state["count"] + by
    notes.insert(state["count"], "note " + str(by))
    return state["count"]


@update
def say(words: text) -> void:
    ic.print(words)


@update
def fail(why: text) -> void:
    state["count"] = 1_000_000
    ic.trap(why)


@query
def read() -> nat64:
    return state["count"]


@query
def ticks() -> nat64:
    return state["ticks"]


@query
def kept() -> Vec[text]:
    return notes.values()  # icfleet: ignore[KY607] a few notes


@query
def now() -> nat64:
    return ic.time()
"""


@cache
def build_once(source: str) -> bytes:
    """A module of a one-file source."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "main.py").write_text(source)
        return build(folder / "main.py", search_path=(folder,), out=None).wasm


@dataclass
class Live:
    """A running network with one canister, seen from everywhere."""

    server: LocalnetServer
    agent: Agent
    http: httpx.AsyncClient
    canister: Canister
    id: Principal
    nonces: list[int] = field(default_factory=lambda: [0])

    def sign(
        self, method: str, arg: bytes, kind: Literal["call", "query"] = "call", **changes: Any
    ) -> SignedRequest:
        """A request as a client makes it; its expiry goes by the network's clock."""
        self.nonces[0] += 1
        fields: dict[str, Any] = {
            "request_type": kind,
            "sender": ADA.sender,
            "ingress_expiry_ns": self.server.clock.now_ns() + EXPIRY_NS,
            "canister": self.id,
            "method": method,
            "arg": arg,
            "nonce": self.nonces[0].to_bytes(8, "big"),
        }
        return sign_request(CallContent(**{**fields, **changes}), ADA)

    async def call(self, by: int = 1, *, version: str = "v4") -> httpx.Response:
        """Send one ``increment``, whatever comes back."""
        return await self.post("call", self.sign("increment", number(by)), version=version)

    async def ask(self, method: str = "read") -> httpx.Response:
        """Send one query, whatever comes back."""
        request = self.sign(method, encode((), ()), kind="query")
        return await self.post("query", request, version="v3")

    async def post(self, action: str, request: SignedRequest, *, version: str) -> httpx.Response:
        path = f"/api/{version}/canister/{self.id}/{action}"
        return await self.http.post(path, content=request.body, headers=CBOR)

    async def count(self) -> int:
        """What the canister's counter stands at, by a query."""
        found: int = await self.read("read")
        return found

    async def read(self, method: str) -> Any:
        return query_value(await self.ask(method))


class NetworkTime(SystemClock):
    """The clock of a client whose computer keeps the network's time."""

    __slots__ = ("_server",)

    def __init__(self, server: LocalnetServer) -> None:
        self._server = server

    def now_ns(self) -> int:
        return self._server.clock.now_ns()


def number(value: int) -> bytes:
    return encode([nat64], [value])


def query_value(response: httpx.Response) -> Any:
    """A query's answer, if it is a number."""
    assert response.status_code == 200, response.text
    fields = decode_map(response.content, size_max=10**6)
    return decode(fields["reply"]["arg"], [nat64])[0]


@asynccontextmanager
async def live(
    source: str = DIARY, *, seed: bytes = b"live", **options: Any
) -> AsyncGenerator[Live]:
    """A network with a canister, to the end of the block."""
    server = LocalnetServer(port=0, seed=seed, options=LocalnetOptions(admin_port=0, **options))
    async with server, visited(server, source=source) as found:
        yield found


@asynccontextmanager
async def visited(
    server: LocalnetServer, canister: Principal | None = None, *, source: str = DIARY
) -> AsyncGenerator[Live]:
    """Clients of a running network: with a canister that it has, or with a new one."""
    async with (
        Agent(server.url, identity=ADA, config=CONFIG, clock=NetworkTime(server)) as agent,
        httpx.AsyncClient(base_url=server.url, timeout=20) as http,
    ):
        if canister is None:
            management = ManagementCanister(agent)
            canister = await management.create()
            await management.install(canister, build_once(source))
        known = await Canister.from_metadata(agent, canister)
        yield Live(server, agent, http, known, canister)
