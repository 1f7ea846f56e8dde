"""Every fault as a client meets it, through the admin interface and through the Python API."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from live_network import ADA, CONFIG, Live, live, number

from icfleet_agent import (
    Agent,
    AgentConfig,
    AgentError,
    CertifiedRejectError,
    HttpStatusError,
    MalformedReplyError,
    UncertifiedRejectError,
    UnknownOutcomeError,
    UnverifiedReplyError,
)
from icfleet_localnet.distributions import Fixed
from icfleet_localnet.fault_rules import (
    ClockJump,
    DrainCycles,
    Duplicate,
    Effect,
    FaultRule,
    HaltSubnet,
    HttpError,
    Latency,
    LoseRequest,
    LoseResponse,
    Match,
    Operation,
    RejectWith,
    ResumeSubnet,
    TamperedPart,
    TamperReply,
)
from icfleet_localnet.profiles import FAST
from icfleet_protocol.cbor import decode_map

S = 1_000_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def net() -> AsyncIterator[Live]:
    async with live(call_wait_s=0.3) as found:
        yield found


def add(net: Live, effect: Effect, operation: Operation = "call", **rule: Any) -> str:
    return net.server.faults.add(FaultRule(effect=effect, match=Match(operation=operation), **rule))


async def do(net: Live, operation: Operation) -> None:
    match operation:
        case "query":
            await net.canister.query("read")
        case "call":
            await net.canister.update("increment", 1)
        case "read_state":
            path = (b"canister", net.id.raw, b"metadata", b"candid:service")
            await net.agent.read_state(net.id, (path,))
        case "status":
            await net.http.get("/api/v2/status")


@pytest.mark.parametrize("stage", ["request", "response"])
@pytest.mark.parametrize("operation", ["query", "call", "read_state", "status"])
async def test_latency(net: Live, operation: Operation, stage: Any) -> None:
    """The answer comes later; everything else stays as it is."""
    add(net, Latency(Fixed(0.2), stage), operation)

    before_s = time.monotonic()
    await do(net, operation)

    assert 0.2 <= time.monotonic() - before_s < 5


async def test_a_slow_update_is_executed_when_it_arrives(net: Live) -> None:
    """Not when it was sent: somebody else is first."""
    add(net, Latency(Fixed(0.3)), limit=1)

    late = asyncio.ensure_future(net.canister.update("increment", 10))
    await asyncio.sleep(0.1)

    assert await net.canister.update("increment", 1) == 1
    assert await late == 11


async def test_an_update_that_expires_on_its_way_is_refused(net: Live) -> None:
    """Checks are made when it arrives."""
    add(net, Latency(Fixed(0.2)))
    soon = net.server.clock.now_ns() + S // 10

    response = await net.post(
        "call", net.sign("increment", number(1), ingress_expiry_ns=soon), version="v4"
    )

    assert response.status_code == 400
    assert await net.count() == 0


async def test_a_lost_request_executes_nothing(net: Live) -> None:
    """The connection closes without an answer."""
    add(net, LoseRequest())

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await net.call(5)

    assert await net.count() == 0


async def test_a_lost_answer_executes_everything(net: Live) -> None:
    """The client cannot tell it from a lost request; the network's state can."""
    add(net, LoseResponse())

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await net.call(5)

    assert await net.count() == 5


async def test_a_lost_answer_is_asked_for_again(net: Live) -> None:
    """The agent sends the same request again, and gets the answer of the first."""
    add(net, LoseResponse(), limit=1)
    patient = AgentConfig(polling=CONFIG.polling)
    async with Agent(net.server.url, identity=ADA, config=patient) as agent:
        reply = await agent.update(net.id, "increment", number(5))

    assert reply.reply
    assert await net.count() == 5


async def test_a_duplicate_is_executed_once(net: Live) -> None:
    """Duplicates at once, later, and after a request that was lost itself."""
    add(net, Duplicate(count=3))
    assert (await net.call(1)).status_code == 200
    net.server.faults.clear()

    add(net, Duplicate(count=2, delay=Fixed(0.1)))
    assert (await net.call(1)).status_code == 200
    await asyncio.sleep(0.3)
    assert await net.count() == 2

    add(net, LoseRequest())
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await net.call(1)
    assert await net.count() == 2
    await asyncio.sleep(0.3)
    assert await net.count() == 3


@pytest.mark.parametrize("operation", ["query", "call"])
async def test_a_node_rejects(net: Live, operation: Operation) -> None:
    """With the code that was asked for; nothing is executed, nothing certified."""
    add(net, RejectWith(code=4, message="go away", error_code="IC0406"), operation)

    with pytest.raises(UncertifiedRejectError, match="go away") as caught:
        await do(net, operation)

    assert (caught.value.reject_code, caught.value.error_code) == (4, "IC0406")
    net.server.faults.clear()
    assert await net.count() == 0


async def test_an_http_error_comes_with_its_retry_after(net: Live) -> None:
    """As from a boundary node that has enough."""
    add(net, HttpError(status=429, text="slow down", retry_after_s=7))

    response = await net.call(1)

    assert (response.status_code, response.text) == (429, "slow down")
    assert response.headers["retry-after"] == "7"
    with pytest.raises(HttpStatusError, match="slow down"):
        await net.canister.update("increment", 1)
    assert await net.count() == 0


@pytest.mark.parametrize(
    ("operation", "part"),
    [
        ("call", "reply"),
        ("call", "certificate"),
        ("call", "signature"),
        ("call", "time"),
        ("read_state", "certificate"),
        ("read_state", "signature"),
        ("query", "reply"),
        ("query", "signature"),
        ("query", "time"),
        ("query", "node"),
    ],
)
async def test_a_tampered_answer_is_never_believed(
    net: Live, operation: Operation, part: TamperedPart
) -> None:
    """Ten answers, each changed elsewhere: the agent refuses every one."""
    await net.canister.query("read")
    rule = add(net, TamperReply(part), operation)

    for _ in range(10):
        with pytest.raises(AgentError) as caught:
            await do(net, operation)
        assert not isinstance(caught.value, CertifiedRejectError)

    net.server.faults.remove(rule)
    assert await net.count() == (10 if operation == "call" else 0)


async def test_a_tampered_delegation_is_never_believed() -> None:
    """Where the subnet is not the root, its key is as good as its delegation."""
    async with live(subnets=2) as net:
        add(net, TamperReply("delegation"))
        for _ in range(10):
            with pytest.raises(UnknownOutcomeError) as caught:
                await net.canister.update("increment", 1)
            assert isinstance(caught.value.__cause__, UnverifiedReplyError | MalformedReplyError)


async def test_a_halted_subnet_keeps_what_it_has_and_takes_no_more() -> None:
    """The other subnets go on; queries are answered from a state whose time stands still."""
    slow = replace(FAST, round_interval_s=0.5)
    async with live(subnets=2, profile=slow, call_wait_s=1) as net:
        one, two = net.server.network.applications
        before = asyncio.ensure_future(net.call(5))
        await asyncio.sleep(0.1)
        net.server.obey(HaltSubnet(str(one.id)))
        stopped_ns = one.time_ns

        assert (await before).status_code == 202
        assert (await net.call(7)).status_code == 503
        assert await net.count() == 0
        await asyncio.sleep(0.5)
        assert one.time_ns == stopped_ns
        assert two.time_ns > stopped_ns

        net.server.obey(ResumeSubnet(str(one.id)))
        await asyncio.sleep(1)
        assert await net.count() == 5


async def test_a_drained_canister_refuses_updates(net: Live) -> None:
    """As one whose owner forgot to top it up."""
    net.server.obey(DrainCycles(str(net.id), leave=1_000))

    with pytest.raises(AgentError, match="out of cycles"):
        await net.canister.update("increment", 1)

    (found,) = net.server.report().canisters
    assert found.cycles <= 1_000


async def test_a_clock_jump_outdates_requests_that_were_fresh(net: Live) -> None:
    """Clients' expiry is checked by the network's clock."""
    request = net.sign("increment", number(1))
    net.server.obey(ClockJump(600))

    refused = await net.post("call", request, version="v4")

    assert (refused.status_code, "Invalid request expiry" in refused.text) == (400, True)
    assert (await net.call(1)).status_code == 200


async def test_a_day_passes_with_all_its_timers(net: Live) -> None:
    """A timer of an hour fires 24 times, each at its own time."""
    before_ns = await net.read("now")

    await net.server.advance(24 * 3600)

    assert await net.read("ticks") == 24
    assert 0 <= await net.read("now") - before_ns - 24 * 3600 * S < 60 * S


async def test_a_jump_fires_an_hourly_timer_once(net: Live) -> None:
    """As after an hour in which the subnet was halted: what is overdue fires once."""
    net.server.obey(ClockJump(24 * 3600))
    await asyncio.sleep(0.2)

    assert await net.read("ticks") == 1


async def test_time_never_goes_back(net: Live) -> None:
    """Whatever is done to the clock."""
    seen = [await net.read("now")]
    for seconds in (0, 0.000000001, 5, 0):
        await net.server.advance(seconds)
        await net.call(1)
        seen.append(await net.read("now"))
        net.server.obey(ClockJump(seconds))
        seen.append(await net.read("now"))

    assert seen == sorted(seen)
    for seconds in (-1, float("nan"), float("inf"), 1e12):
        with pytest.raises(ValueError, match="seconds must be between"):
            await net.server.advance(seconds)


async def test_the_same_seed_and_requests_meet_the_same_faults() -> None:
    """And another seed others."""

    async def outcomes(seed: bytes) -> list[str]:
        async with live(seed=seed) as net:
            add(net, HttpError(status=503), "query", probability=0.4)
            add(net, HttpError(status=429), "query", probability=0.4)
            add(net, TamperReply("reply"), "query", probability=0.3)
            answers = [await net.ask() for _ in range(40)]
        replies = [
            decode_map(answer.content, size_max=10**6)["reply"]["arg"].hex()
            if answer.status_code == 200
            else str(answer.status_code)
            for answer in answers
        ]
        assert {"503", "429"} < set(replies)
        return replies

    first, again, other = [await outcomes(seed) for seed in (b"1", b"1", b"2")]

    assert first == again != other
