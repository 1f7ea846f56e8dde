"""The agent against the embedded network: the same calls, on something we did not script."""

import time
from collections.abc import AsyncIterator

import pytest
from localnet_client import COUNTER

from icfleet.build import build
from icfleet_agent import (
    Agent,
    AgentConfig,
    Canister,
    HttpxTransport,
    ManagementCanister,
    PollingConfig,
    RetryConfig,
    SystemClock,
)
from icfleet_agent.errors import (
    CertifiedRejectError,
    ClockSkewError,
    NotSentError,
    UncertifiedRejectError,
)
from icfleet_agent.management import FIRST_CANISTER
from icfleet_localnet.server import LocalnetServer
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal
from icfleet_protocol.request_id import RequestId

ADA = Ed25519Identity.from_seed(b"a" * 32)
BOB = Ed25519Identity.from_seed(b"b" * 32)
CONFIG = AgentConfig(
    retry=RetryConfig(delay_first_s=0.01, delay_max_s=0.02),
    polling=PollingConfig(delay_first_s=0.01, delay_max_s=0.02),
)
NOBODY = Principal.from_text("rrkah-fqaaa-aaaaa-aaaaq-cai")


@pytest.fixture(scope="module")
def wasm(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("counter")
    (folder / "main.py").write_text(COUNTER)
    return build(folder / "main.py", search_path=(folder,), out=None).wasm


@pytest.fixture
async def localnet() -> AsyncIterator[LocalnetServer]:
    async with LocalnetServer(port=0, seed=b"agent tests") as server:
        yield server


@pytest.fixture
async def agent(localnet: LocalnetServer) -> AsyncIterator[Agent]:
    async with Agent(localnet.url, identity=ADA, config=CONFIG) as made:
        yield made


@pytest.fixture
async def counter(agent: Agent, wasm: bytes) -> Canister:
    management = ManagementCanister(agent)
    canister = await management.create()
    await management.install(canister, wasm)
    return await Canister.from_metadata(agent, canister)


async def test_a_canister_is_made_called_and_asked(counter: Canister) -> None:
    assert await counter.update("increment", 5) == 5
    assert await counter.update("increment", 2) == 7
    assert await counter.query("read") == 8
    assert await counter.query("read") == 8
    assert await counter.query("who") == ADA.sender


async def test_a_trap_is_certified_and_undoes_everything(counter: Canister) -> None:
    with pytest.raises(CertifiedRejectError, match="no way") as caught:
        await counter.update("fail", "way")

    assert caught.value.error_code == "IC0503"
    assert await counter.update("increment", 1) == 1


async def test_an_unknown_canister_or_method_is_told(agent: Agent, counter: Canister) -> None:
    with pytest.raises(UncertifiedRejectError, match="IC0301"):
        await agent.query(NOBODY, "read")
    with pytest.raises(UncertifiedRejectError, match="IC0301"):
        await agent.update(NOBODY, "read")
    with pytest.raises(UncertifiedRejectError, match="has no query method 'nope'"):
        await agent.query(counter.canister_id, "nope")
    with pytest.raises(CertifiedRejectError, match="has no update method 'nope'"):
        await agent.update(counter.canister_id, "nope")


async def test_a_canister_goes_through_its_life(
    agent: Agent, counter: Canister, wasm: bytes
) -> None:
    management = ManagementCanister(agent)
    canister = counter.canister_id
    await counter.update("increment", 5)

    await management.stop(canister)
    assert (await management.status(canister)).run_state == "stopped"
    with pytest.raises(UncertifiedRejectError, match="is stopped"):
        await counter.update("increment", 1)
    await management.start(canister)
    await management.install(canister, wasm, mode="upgrade")
    status = await management.status(canister)

    assert (status.run_state, status.controllers) == ("running", (ADA.sender,))
    assert status.module_hash is not None
    with pytest.raises(CertifiedRejectError, match="not empty"):
        await management.install(canister, wasm)


async def test_a_stranger_may_not_manage(localnet: LocalnetServer, counter: Canister) -> None:
    async with Agent(localnet.url, identity=BOB, config=CONFIG) as stranger:
        with pytest.raises(UncertifiedRejectError, match="Only controllers"):
            await ManagementCanister(stranger).stop(counter.canister_id)


async def test_the_second_transport_does_as_well(
    localnet: LocalnetServer, counter: Canister
) -> None:
    transport = HttpxTransport()
    async with Agent(localnet.url, identity=BOB, transport=transport) as agent:
        canister = Canister(agent, counter.canister_id, counter.interface)
        assert await canister.update("increment", 3) == 3
        assert await canister.query("who") == BOB.sender
    await transport.aclose()


async def test_a_calls_fate_stays_readable(agent: Agent, counter: Canister) -> None:
    answer = await agent.update(
        counter.canister_id, "increment", counter.interface.encode_args("increment", (4,))
    )
    request = RequestId(answer.request_id)

    certificate = await agent.read_state(counter.canister_id, ((b"request_status", request),))

    assert certificate.value(b"request_status", request, b"reply") == answer.reply


class SkewedClock(SystemClock):
    """A clock that is off by so many seconds."""

    def __init__(self, offset_s: float) -> None:
        self._offset_ns = round(offset_s * 1e9)

    def now_ns(self) -> int:
        return time.time_ns() + self._offset_ns


@pytest.mark.parametrize("offset_s", [-600.0, 600.0], ids=["behind", "ahead"])
async def test_a_clock_that_is_off_is_named(localnet: LocalnetServer, offset_s: float) -> None:
    clock = SkewedClock(offset_s)
    async with Agent(localnet.url, identity=ADA, clock=clock, config=CONFIG) as agent:
        with pytest.raises(ClockSkewError, match="clock seems to be off"):
            await agent.update(FIRST_CANISTER, "anything")
        with pytest.raises(ClockSkewError):
            await agent.query(FIRST_CANISTER, "anything")


async def test_a_network_that_is_gone_is_told_and_its_return_noticed() -> None:
    """The same agent goes on, without being made anew."""
    async with LocalnetServer(port=0, seed=b"here") as first:
        agent = Agent(first.url, identity=ADA, config=CONFIG)
        await agent.read_state(FIRST_CANISTER, ((b"time",),))
        port = int(first.url.rsplit(":", 1)[1])

    with pytest.raises(NotSentError, match="no connection"):
        await agent.query(FIRST_CANISTER, "anything")
    with pytest.raises(NotSentError, match="no connection"):
        await agent.update(FIRST_CANISTER, "anything")

    async with LocalnetServer(port=port, seed=b"here"):
        certificate = await agent.read_state(FIRST_CANISTER, ((b"time",),))
        await agent.aclose()

    assert abs(certificate.time_ns - time.time_ns()) < 60e9
