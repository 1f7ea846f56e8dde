"""Queries against a real HTTP server: proven answers, bounded retries, and nothing forged."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from tiny_replica import (
    ECHO,
    OTHER_NODE,
    STRANGER_KEY,
    SUBNET_KEY,
    Fault,
    Step,
    TinyReplica,
    fail,
    flip_certificate,
    hang,
    refuse,
    tamper,
)

from icfleet_agent import (
    EMPTY_ARGS,
    Agent,
    AgentConfig,
    AiohttpTransport,
    HttpxTransport,
    RetryBudgetConfig,
    RetryConfig,
)
from icfleet_agent.errors import (
    AgentError,
    ClockSkewError,
    ClosedError,
    HttpStatusError,
    MalformedReplyError,
    NotSentError,
    ReplyTooLargeError,
    SettingsError,
    TransportError,
    TransportTimeoutError,
    UncertifiedRejectError,
    UnverifiedReplyError,
)
from icfleet_protocol.errors import PrincipalError
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import MANAGEMENT_CANISTER

ADA = Ed25519Identity.from_seed(b"a" * 32)
CONFIG = AgentConfig(
    query_timeout_s=5.0,
    attempt_timeout_s=2.0,
    retry=RetryConfig(delay_first_s=0.01, delay_max_s=0.02),
)


@pytest.fixture
async def agent(url: str) -> AsyncIterator[Agent]:
    async with Agent(url, identity=ADA, config=CONFIG) as made:
        yield made


@pytest.mark.parametrize("is_delegated", [False, True], ids=["root-subnet", "delegated"])
@pytest.mark.parametrize("make", [AiohttpTransport, HttpxTransport])
async def test_a_query_is_answered_and_verified(
    make: type[AiohttpTransport | HttpxTransport],
    replica: TinyReplica,
    url: str,
    is_delegated: bool,
) -> None:
    replica.is_delegated = is_delegated
    transport = make()
    async with Agent(url, identity=ADA, transport=transport, config=CONFIG) as agent:
        reply = await agent.query(ECHO, "echo", b"hello")
    await transport.aclose()

    assert reply == b"hello"
    assert [f"{e.version}/{e.endpoint}" for e in replica.exchanges] == [
        "v3/query",
        "v3/read_state",
    ]
    assert replica.exchanges[0].envelope.content.sender == ADA.sender


async def test_keys_are_fetched_once_for_many_queries(agent: Agent, replica: TinyReplica) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(agent.query(ECHO, "echo", str(i).encode())) for i in range(30)]
    await agent.query(ECHO, "echo")

    assert [task.result() for task in tasks] == [str(i).encode() for i in range(30)]
    assert replica.count("read_state") == 1
    assert replica.status_requests == 1


async def test_an_anonymous_agent_asks_unsigned(replica: TinyReplica, url: str) -> None:
    async with Agent(url, config=CONFIG) as agent:
        assert await agent.query(str(ECHO), "echo") == EMPTY_ARGS
        assert str(agent.sender) == "2vxsx-fae"

    assert replica.exchanges[0].envelope.signature is None


async def test_a_rejection_is_raised_and_not_tried_again(
    agent: Agent, replica: TinyReplica
) -> None:
    with pytest.raises(UncertifiedRejectError, match="IC0503"):
        await agent.query(ECHO, "trap")

    assert replica.count("query") == 1


async def test_an_older_server_is_served_and_remembered(agent: Agent, replica: TinyReplica) -> None:
    replica.serves = frozenset({"v2/query", "v2/read_state"})

    await agent.query(ECHO, "echo")
    await agent.query(ECHO, "echo")

    assert [f"{e.version}/{e.endpoint}" for e in replica.exchanges] == [
        *("v3/query", "v2/query", "v3/read_state", "v2/read_state"),
        "v2/query",
    ]


async def test_a_server_without_the_endpoint_is_told(agent: Agent, replica: TinyReplica) -> None:
    replica.serves = frozenset()

    with pytest.raises(HttpStatusError, match="HTTP status 404: unknown route"):
        await agent.query(ECHO, "echo")


@pytest.mark.parametrize(
    "step",
    [
        *(refuse(status) for status in (429, 502, 503, 504)),
        *(fail(fault) for fault in (Fault.DROP, Fault.CUT, Fault.HANG, Fault.TRICKLE)),
    ],
    ids=["429", "502", "503", "504", "drop", "cut", "hang", "trickle"],
)
async def test_a_passing_failure_is_tried_again(url: str, replica: TinyReplica, step: Step) -> None:
    replica.plan("query", step)
    config = AgentConfig(attempt_timeout_s=0.5, retry=CONFIG.retry)

    async with Agent(url, config=config) as agent:
        assert await agent.query(ECHO, "echo", b"hello") == b"hello"

    assert replica.count("query") == 2
    assert replica.exchanges[0].body == replica.exchanges[1].body


@pytest.mark.parametrize("status", [400, 403, 413, 500, 301])
async def test_a_lasting_refusal_is_told_at_once(
    agent: Agent, replica: TinyReplica, status: int
) -> None:
    replica.plan("query", refuse(status, "because"))

    with pytest.raises(HttpStatusError, match=f"HTTP status {status}: because"):
        await agent.query(ECHO, "echo")

    assert replica.count("query") == 1


async def test_a_clock_that_is_off_is_named(agent: Agent, replica: TinyReplica) -> None:
    replica.plan("query", refuse(400, "Invalid request expiry: Specified ingress_expiry ..."))

    with pytest.raises(ClockSkewError, match="this computer's clock seems to be off"):
        await agent.query(ECHO, "echo")


async def test_total_failure_makes_a_bounded_number_of_requests(
    agent: Agent, replica: TinyReplica
) -> None:
    replica.plan("query", *[refuse(503, "down")] * 100)

    with pytest.raises(HttpStatusError, match="down"):
        await agent.query(ECHO, "echo")

    assert replica.count("query") == CONFIG.retry.attempts_max == 4
    assert len(replica.exchanges) == 4


async def test_without_retries_there_is_one_request(agent: Agent, replica: TinyReplica) -> None:
    """For callers that retry by themselves, such as the router."""
    replica.plan("query", *[refuse(503)] * 100)

    with pytest.raises(HttpStatusError):
        await agent.query(ECHO, "echo", retries=False)

    assert len(replica.exchanges) == 1


async def test_the_deadline_bounds_all_attempts_together(url: str, replica: TinyReplica) -> None:
    replica.plan("query", *[fail(Fault.HANG)] * 100)
    config = AgentConfig(attempt_timeout_s=0.2, retry=RetryConfig(attempts_max=1000))
    loop = asyncio.get_running_loop()
    start_s = loop.time()

    async with Agent(url, config=config) as agent:
        with pytest.raises(TransportTimeoutError):
            await agent.query(ECHO, "echo", timeout_s=1.0)

    assert loop.time() - start_s < 3.0
    assert 1 < replica.count("query") <= 5


async def test_the_budget_bounds_all_requests_together(url: str, replica: TinyReplica) -> None:
    """A hundred failing queries make about twenty retries, not three hundred."""
    replica.plan("query", *[refuse(503)] * 1000)
    budget = RetryBudgetConfig(ratio=0.1, reserve_per_s=0.0, balance_max=10.0)
    config = AgentConfig(retry=CONFIG.retry, retry_budget=budget)

    async with Agent(url, config=config) as agent, asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(expect_refusal(agent))

    assert 100 <= replica.count("query") <= 125


async def expect_refusal(agent: Agent) -> None:
    with pytest.raises(HttpStatusError):
        await agent.query(ECHO, "echo")


async def test_a_refused_connection_is_tried_again_and_then_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with Agent(f"http://127.0.0.1:{port}", config=CONFIG) as agent:
            with pytest.raises(NotSentError, match="no connection"):
                await agent.query(ECHO, "echo")


async def test_the_agent_recovers_when_the_network_is_back(
    agent: Agent, replica: TinyReplica
) -> None:
    await agent.query(ECHO, "echo")
    replica.plan("query", *[fail(Fault.DROP)] * 4)
    with pytest.raises(TransportError):
        await agent.query(ECHO, "echo")

    assert await agent.query(ECHO, "echo", b"back") == b"back"


async def test_an_oversized_reply_is_refused(url: str, replica: TinyReplica) -> None:
    replica.plan("query", fail(Fault.ENDLESS))
    async with Agent(url, config=AgentConfig(reply_size_max=10_000)) as agent:
        with pytest.raises(ReplyTooLargeError, match="10000"):
            await agent.query(ECHO, "echo")

    assert replica.count("query") == 1


def forge_reply(fields: dict[str, object]) -> None:
    fields["reply"] = {"arg": b"forged"}


def drop_signatures(fields: dict[str, object]) -> None:
    fields["signatures"] = []


@pytest.mark.parametrize("change", [forge_reply, drop_signatures])
async def test_a_tampered_reply_is_refused(
    agent: Agent, replica: TinyReplica, change: Callable[[dict[str, object]], None]
) -> None:
    replica.plan("query", *[tamper(change)] * 10)

    with pytest.raises(UnverifiedReplyError):
        await agent.query(ECHO, "echo")

    assert replica.count("query") == 1


async def test_a_replayed_reply_is_refused(agent: Agent, replica: TinyReplica) -> None:
    """An answer belongs to one question."""
    await agent.query(ECHO, "echo", b"first")
    first = replica.exchanges[0]
    replica.plan("query", lambda tiny, _exchange: tiny.answer_honestly(first))

    with pytest.raises(UnverifiedReplyError):
        await agent.query(ECHO, "echo", b"second")


async def test_an_old_reply_is_refused(agent: Agent, replica: TinyReplica) -> None:
    replica.query_age_ns = 301_000_000_000

    with pytest.raises(UnverifiedReplyError, match="clock"):
        await agent.query(ECHO, "echo")


async def test_a_node_that_no_certificate_names_is_refused(
    agent: Agent, replica: TinyReplica
) -> None:
    replica.node = OTHER_NODE

    with pytest.raises(UnverifiedReplyError, match="does not belong to subnet"):
        await agent.query(ECHO, "echo")

    assert replica.count("read_state") == 1


@pytest.mark.parametrize("is_delegated", [False, True])
async def test_keys_with_a_tampered_certificate_are_refused(
    agent: Agent, replica: TinyReplica, is_delegated: bool
) -> None:
    """Node keys are proof only if they are proven themselves."""
    replica.is_delegated = is_delegated
    replica.plan("read_state", *[tamper(flip_certificate)] * 10)

    with pytest.raises((UnverifiedReplyError, MalformedReplyError)):
        await agent.query(ECHO, "echo")


async def test_keys_signed_by_a_stranger_are_refused(agent: Agent, replica: TinyReplica) -> None:
    replica.certificate_key = STRANGER_KEY

    with pytest.raises(UnverifiedReplyError, match="BLS signature"):
        await agent.query(ECHO, "echo")


async def test_a_strangers_delegation_is_refused(agent: Agent, replica: TinyReplica) -> None:
    replica.is_delegated = True
    replica.delegation_key = STRANGER_KEY

    with pytest.raises(UnverifiedReplyError, match="BLS signature"):
        await agent.query(ECHO, "echo")


async def test_another_subnets_node_is_refused(agent: Agent, replica: TinyReplica) -> None:
    """Its certificate is genuine, but it does not host this canister."""
    replica.is_delegated = True
    replica.hosted = ((b"\x00" * 10, b"\x01" * 10),)

    with pytest.raises(UnverifiedReplyError, match="does not host canister"):
        await agent.query(ECHO, "echo")


async def test_stale_keys_are_refused(agent: Agent, replica: TinyReplica) -> None:
    replica.certificate_age_ns = 301_000_000_000

    with pytest.raises(UnverifiedReplyError, match="301 s old"):
        await agent.query(ECHO, "echo")


async def test_another_networks_key_is_not_taken_for_this_ones(
    replica: TinyReplica, url: str
) -> None:
    replica.is_delegated = False
    other_key = SUBNET_KEY.public_key_der
    async with Agent(url, root_key=other_key, config=CONFIG) as agent:
        with pytest.raises(UnverifiedReplyError):
            await agent.query(ECHO, "echo")
        assert await agent.root_key() == other_key

    assert replica.status_requests == 0


async def test_verification_can_be_left_out_on_request(replica: TinyReplica, url: str) -> None:
    replica.plan("query", tamper(drop_signatures))
    config = AgentConfig(verify_query_signatures=False)
    async with Agent(url, config=config) as agent:
        assert await agent.query(ECHO, "echo", b"hello") == b"hello"

    assert replica.count("read_state") == 0


@pytest.mark.parametrize("body", ["", "not CBOR", "<html>a captive portal</html>"])
async def test_a_reply_that_is_not_the_networks_is_malformed(
    agent: Agent, replica: TinyReplica, body: str
) -> None:
    replica.plan("query", refuse(200, body))

    with pytest.raises(MalformedReplyError):
        await agent.query(ECHO, "echo")


async def test_a_caller_that_leaves_while_keys_are_fetched_does_not_spoil_the_next(
    agent: Agent, replica: TinyReplica
) -> None:
    has_arrived = asyncio.Event()
    replica.plan("read_state", hang(has_arrived))

    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(agent.query(ECHO, "echo"))
        await has_arrived.wait()
        leaving.cancel()

    assert leaving.cancelled()
    assert await agent.query(ECHO, "echo", b"still works") == b"still works"


async def test_a_short_timeout_bounds_the_wait_for_keys_too(url: str, replica: TinyReplica) -> None:
    replica.plan("read_state", fail(Fault.HANG))
    async with Agent(url, config=CONFIG) as agent:
        with pytest.raises(TransportTimeoutError):
            await agent.query(ECHO, "echo", timeout_s=0.4, retries=False)


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
async def test_a_timeout_of_nothing_is_refused(agent: Agent, timeout_s: float) -> None:
    with pytest.raises(SettingsError, match="timeout"):
        await agent.query(ECHO, "echo", timeout_s=timeout_s)


async def test_a_misspelt_canister_is_refused_before_anything_is_sent(
    agent: Agent, replica: TinyReplica
) -> None:
    with pytest.raises(PrincipalError):
        await agent.query("bkyz2-fmaaa-aaaaa-qaaaq-caj", "echo")

    assert replica.exchanges == []


async def test_a_management_query_says_what_it_is_about(agent: Agent, replica: TinyReplica) -> None:
    with pytest.raises(SettingsError, match="effective_canister"):
        await agent.query(MANAGEMENT_CANISTER, "canister_status")

    reply = await agent.query(MANAGEMENT_CANISTER, "x", b"y", effective_canister=ECHO)

    assert reply == b"y"
    assert replica.exchanges[0].canister == str(ECHO)


async def test_a_closed_agent_says_so_and_closes_again(replica: TinyReplica, url: str) -> None:
    agent = Agent(url, config=CONFIG)
    await agent.query(ECHO, "echo")

    await agent.aclose()
    await agent.aclose()

    with pytest.raises(ClosedError):
        await agent.query(ECHO, "echo")
    assert replica.count("query") == 1


async def test_a_transport_that_was_passed_in_is_left_open(replica: TinyReplica, url: str) -> None:
    """It may serve other agents."""
    transport = AiohttpTransport()
    async with Agent(url, transport=transport) as first:
        await first.query(ECHO, "echo")
    async with Agent(url, transport=transport) as second:
        await second.query(ECHO, "echo")
    await transport.aclose()

    assert replica.count("query") == 2


async def test_nothing_secret_is_logged(
    replica: TinyReplica, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither keys nor arguments, however much is logged."""
    caplog.set_level(logging.DEBUG)
    replica.plan("query", refuse(503), fail(Fault.DROP))
    async with Agent(url, identity=ADA, config=CONFIG) as agent:
        await agent.query(ECHO, "echo", b"secret argument")
        with pytest.raises(AgentError):
            await agent.query(ECHO, "trap", b"secret argument")

    assert "retry attempt=2" in caplog.text
    assert "secret" not in caplog.text
    assert (b"a" * 32).hex() not in caplog.text
