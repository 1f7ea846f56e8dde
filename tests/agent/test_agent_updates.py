"""Updates against a real HTTP server: run once, proven, and their fate always told."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable

import pytest
from tiny_replica import (
    ECHO,
    STRANGER_KEY,
    Exchange,
    Fault,
    Step,
    TinyReplica,
    fail,
    flip_certificate,
    refuse,
    take_and_fail,
    tamper,
)

from icfleet_agent import (
    Agent,
    AgentConfig,
    AiohttpTransport,
    HttpxTransport,
    PollingConfig,
    RetryConfig,
)
from icfleet_agent.errors import (
    AgentError,
    CertifiedRejectError,
    ClockSkewError,
    HttpStatusError,
    MalformedReplyError,
    NotSentError,
    ReplyTooLargeError,
    SettingsError,
    UncertifiedRejectError,
    UnknownOutcomeError,
    UnverifiedReplyError,
)
from icfleet_agent.transport import HttpReply
from icfleet_protocol.cbor import encode_tagged
from icfleet_protocol.envelope import CallContent
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import MANAGEMENT_CANISTER

ADA = Ed25519Identity.from_seed(b"a" * 32)
CONFIG = AgentConfig(
    update_timeout_s=5.0,
    attempt_timeout_s=0.5,
    retry=RetryConfig(delay_first_s=0.01, delay_max_s=0.02),
    polling=PollingConfig(delay_first_s=0.01, delay_max_s=0.02),
)


@pytest.fixture
async def agent(url: str) -> AsyncIterator[Agent]:
    async with Agent(url, identity=ADA, config=CONFIG) as made:
        yield made


def paths(replica: TinyReplica) -> list[str]:
    return [f"{exchange.version}/{exchange.endpoint}" for exchange in replica.exchanges]


def calls(replica: TinyReplica) -> list[Exchange]:
    return [exchange for exchange in replica.exchanges if exchange.endpoint == "call"]


@pytest.mark.parametrize("is_delegated", [False, True], ids=["root-subnet", "delegated"])
@pytest.mark.parametrize("make", [AiohttpTransport, HttpxTransport])
async def test_an_update_is_answered_at_once_and_proven(
    make: type[AiohttpTransport | HttpxTransport],
    replica: TinyReplica,
    url: str,
    is_delegated: bool,
) -> None:
    replica.is_delegated = is_delegated
    transport = make()
    before_ns = time.time_ns()
    async with Agent(url, identity=ADA, transport=transport, config=CONFIG) as agent:
        answer = await agent.update(ECHO, "echo", b"hello")
    await transport.aclose()

    assert answer.reply == b"hello"
    assert before_ns <= answer.certificate_time_ns <= time.time_ns()
    assert answer.request_id == replica.executions[0]
    assert paths(replica) == ["v4/call"]


async def test_equal_updates_are_two_calls(agent: Agent, replica: TinyReplica) -> None:
    """Each has 16 bytes of chance in it."""
    await agent.update(ECHO, "echo", b"same")
    await agent.update(ECHO, "echo", b"same")

    nonces = {exchange.envelope.content.nonce for exchange in calls(replica)}
    assert len(replica.executions) == len(nonces) == 2
    assert all(nonce is not None and len(nonce) == 16 for nonce in nonces)


async def test_a_call_expires_after_four_minutes(agent: Agent, replica: TinyReplica) -> None:
    await agent.update(ECHO, "echo")

    expiry_ns = calls(replica)[0].envelope.content.ingress_expiry_ns
    assert 235e9 < expiry_ns - time.time_ns() <= 240e9


async def test_a_certified_rejection_is_raised(agent: Agent, replica: TinyReplica) -> None:
    with pytest.raises(CertifiedRejectError, match=r"IC0503.*it trapped"):
        await agent.update(ECHO, "trap")

    assert len(replica.executions) == 1


async def test_a_nodes_refusal_is_raised_as_uncertified(agent: Agent, replica: TinyReplica) -> None:
    with pytest.raises(UncertifiedRejectError, match="IC0301") as caught:
        await agent.update(ECHO, "refuse")

    assert caught.value.is_without_effect
    assert paths(replica) == ["v4/call"]


async def test_an_accepted_call_is_polled_for(agent: Agent, replica: TinyReplica) -> None:
    replica.answers_at_once = False
    replica.polls_until_done = 3

    answer = await agent.update(ECHO, "echo", b"later")

    assert answer.reply == b"later"
    assert paths(replica) == ["v4/call", *["v3/read_state"] * 3]


async def test_a_polled_rejection_is_certified(agent: Agent, replica: TinyReplica) -> None:
    replica.answers_at_once = False

    with pytest.raises(CertifiedRejectError, match="it trapped"):
        await agent.update(ECHO, "trap")


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        pytest.param(
            {"v3/call", "v2/call", "v3/read_state"}, ["v4/call", "v3/call"], id="third-version"
        ),
        pytest.param(
            {"v2/call", "v2/read_state"},
            ["v4/call", "v3/call", "v2/call", "v3/read_state", *["v2/read_state"] * 2],
            id="second-version",
        ),
    ],
)
async def test_an_older_server_is_served(
    agent: Agent, replica: TinyReplica, served: set[str], expected: list[str]
) -> None:
    replica.serves = frozenset(served)

    answer = await agent.update(ECHO, "echo", b"old")

    assert answer.reply == b"old"
    assert paths(replica) == expected
    assert len({exchange.body for exchange in calls(replica)}) == 1


async def test_a_second_versions_refusal_is_read(agent: Agent, replica: TinyReplica) -> None:
    replica.serves = frozenset({"v2/call"})

    with pytest.raises(UncertifiedRejectError, match="IC0301"):
        await agent.update(ECHO, "refuse")


LOST_STEPS = [
    pytest.param(fail(Fault.DROP), id="connection-breaks"),
    pytest.param(fail(Fault.HANG), id="no-answer"),
    pytest.param(fail(Fault.TRICKLE), id="trickled-answer"),
    pytest.param(fail(Fault.CUT), id="answer-cut-short"),
    pytest.param(take_and_fail(Fault.DROP), id="runs-and-connection-breaks"),
    pytest.param(take_and_fail(Fault.HANG), id="runs-and-no-answer"),
    pytest.param(refuse(502), id="502"),
    pytest.param(refuse(503), id="503"),
    pytest.param(refuse(504), id="504"),
    pytest.param(refuse(429), id="429"),
]


@pytest.mark.parametrize("step", LOST_STEPS)
async def test_the_same_bytes_are_sent_again_until_the_fate_is_known(
    agent: Agent, replica: TinyReplica, step: Step
) -> None:
    """So that the call runs once, however many copies arrive."""
    replica.plan("call", step, step)

    answer = await agent.update(ECHO, "echo", b"once")

    assert answer.reply == b"once"
    assert len(calls(replica)) == 3
    assert len({exchange.body for exchange in calls(replica)}) == 1
    assert len(replica.executions) == 1


async def test_a_call_lost_more_often_than_a_query_would_be_tried_is_still_sent(
    agent: Agent, replica: TinyReplica
) -> None:
    """Giving up would leave its fate unknown."""
    replica.plan("call", *[take_and_fail(Fault.DROP)] * 10)

    await agent.update(ECHO, "echo")

    assert len(calls(replica)) == 11
    assert len(replica.executions) == 1


async def test_a_refused_copy_does_not_hide_what_became_of_the_first(
    agent: Agent, replica: TinyReplica
) -> None:
    """The canister stopped in between, say; the first copy had run."""
    replica.plan("call", take_and_fail(Fault.DROP), refuse(403, "not any more"))

    answer = await agent.update(ECHO, "echo", b"ran")

    assert answer.reply == b"ran"
    assert paths(replica) == ["v4/call", "v4/call", "v3/read_state"]


async def test_a_rejected_copy_does_not_hide_what_became_of_the_first(
    agent: Agent, replica: TinyReplica
) -> None:
    fields = {"reject_code": 5, "reject_message": "is stopped", "error_code": "IC0508"}
    body = encode_tagged({"status": "non_replicated_rejection", **fields})
    replica.plan("call", take_and_fail(Fault.DROP), lambda _tiny, _one: HttpReply(200, body))

    answer = await agent.update(ECHO, "echo", b"ran")

    assert answer.reply == b"ran"


async def test_an_update_that_never_arrived_is_just_not_made() -> None:
    """No connection: so its outcome is not unknown."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with Agent(url, root_key=bytes(133), config=CONFIG) as agent:
            with pytest.raises(NotSentError) as caught:
                await agent.update(ECHO, "echo")

    assert caught.value.is_without_effect


async def test_without_the_root_key_nothing_is_sent(agent: Agent, replica: TinyReplica) -> None:
    """An answer that could not be verified is not worth a call."""
    replica.plan("status", *[refuse(503)] * 10)

    with pytest.raises(NotSentError, match="root key"):
        await agent.update(ECHO, "echo")

    assert replica.exchanges == []
    assert replica.status_requests == CONFIG.retry.attempts_max


async def test_a_network_that_stays_silent_leaves_the_outcome_unknown(
    agent: Agent, replica: TinyReplica
) -> None:
    replica.plan("call", *[fail(Fault.DROP)] * 1000)

    # Whichever comes last within the deadline is named: a broken connection, or no time for one.
    reasons = r"connection broke|no time was left|no complete answer"
    with pytest.raises(UnknownOutcomeError, match=reasons) as caught:
        await agent.update(ECHO, "echo", timeout_s=0.5)

    assert not caught.value.is_without_effect
    assert caught.value.request_id == calls(replica)[0].request_id
    assert isinstance(caught.value.__cause__, AgentError)


async def test_total_failure_makes_a_bounded_number_of_requests(
    url: str, replica: TinyReplica
) -> None:
    """Pauses double up to their limit, so half a second of them holds few."""
    replica.plan("call", *[refuse(503)] * 1000)
    retry = RetryConfig(delay_first_s=0.1, delay_max_s=0.2)
    async with Agent(url, config=AgentConfig(retry=retry)) as agent:
        with pytest.raises(UnknownOutcomeError):
            await agent.update(ECHO, "echo", timeout_s=1.0)

    assert 5 <= len(replica.exchanges) <= 15


async def test_without_retries_there_is_one_request(agent: Agent, replica: TinyReplica) -> None:
    replica.plan("call", *[fail(Fault.DROP)] * 10)

    with pytest.raises(UnknownOutcomeError):
        await agent.update(ECHO, "echo", retries=False)

    assert len(replica.exchanges) == 1


async def test_without_retries_a_refusal_is_certain(agent: Agent, replica: TinyReplica) -> None:
    replica.plan("call", refuse(429))

    with pytest.raises(HttpStatusError) as caught:
        await agent.update(ECHO, "echo", retries=False)

    assert caught.value.is_without_effect
    assert len(replica.exchanges) == 1


async def test_without_retries_an_accepted_call_is_still_polled_for(
    agent: Agent, replica: TinyReplica
) -> None:
    """Asking is not sending again."""
    replica.answers_at_once = False

    assert (await agent.update(ECHO, "echo", b"x", retries=False)).reply == b"x"


@pytest.mark.parametrize(
    ("status", "text"), [(400, "malformed"), (403, "not authenticated"), (413, "too large")]
)
async def test_a_refusal_is_told_at_once(
    agent: Agent, replica: TinyReplica, status: int, text: str
) -> None:
    replica.plan("call", refuse(status, text))

    with pytest.raises(HttpStatusError, match=text) as caught:
        await agent.update(ECHO, "echo")

    assert caught.value.is_without_effect
    assert len(replica.exchanges) == 1


async def test_a_clock_that_is_off_is_named(agent: Agent, replica: TinyReplica) -> None:
    replica.plan("call", refuse(400, "Invalid request expiry: too far in the future"))

    with pytest.raises(ClockSkewError, match="clock seems to be off"):
        await agent.update(ECHO, "echo")


def flip_signature(fields: dict[str, object]) -> None:
    flip_certificate(fields, -1)


def flip_tree(fields: dict[str, object]) -> None:
    flip_certificate(fields, 60)


FORGERIES = [
    pytest.param(flip_signature, id="signature"),
    pytest.param(flip_tree, id="tree"),
]


@pytest.mark.parametrize("change", FORGERIES)
async def test_a_forged_answer_is_not_believed_and_the_true_one_is_found(
    agent: Agent, replica: TinyReplica, change: Callable[[dict[str, object]], None]
) -> None:
    """One lying node on the way does not matter."""
    replica.plan("call", tamper(change))

    answer = await agent.update(ECHO, "echo", b"true")

    assert answer.reply == b"true"
    assert len(replica.executions) == 1


def expect_unproven(error: UnknownOutcomeError) -> None:
    assert isinstance(error.__cause__, (UnverifiedReplyError, MalformedReplyError))


@pytest.mark.parametrize("change", FORGERIES)
async def test_forged_answers_only_leave_the_outcome_unknown(
    agent: Agent, replica: TinyReplica, change: Callable[[dict[str, object]], None]
) -> None:
    """It may have run; a server that never proves anything is not asked for long."""
    replica.plan("call", *[tamper(change)] * 10)

    with pytest.raises(UnknownOutcomeError) as caught:
        await agent.update(ECHO, "echo")

    expect_unproven(caught.value)
    assert len(replica.exchanges) == CONFIG.retry.unproven_max


def sign_by_stranger(replica: TinyReplica) -> None:
    replica.certificate_key = STRANGER_KEY


def delegate_by_stranger(replica: TinyReplica) -> None:
    replica.is_delegated = True
    replica.delegation_key = STRANGER_KEY


def host_others(replica: TinyReplica) -> None:
    replica.is_delegated = True
    replica.hosted = ((b"\x00" * 10, b"\x01" * 10),)


def grow_old(replica: TinyReplica) -> None:
    replica.certificate_age_ns = 301_000_000_000


def run_ahead(replica: TinyReplica) -> None:
    replica.certificate_age_ns = -301_000_000_000


@pytest.mark.parametrize("answers_at_once", [True, False], ids=["answered", "polled"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(sign_by_stranger, "BLS signature does not fit", id="stranger"),
        pytest.param(delegate_by_stranger, "BLS signature does not fit", id="delegation"),
        pytest.param(host_others, "does not host canister", id="wrong-subnet"),
        pytest.param(grow_old, "301 s old", id="stale"),
        pytest.param(run_ahead, "ahead; is this computer's clock right", id="from-the-future"),
    ],
)
async def test_a_certificate_that_proves_nothing_is_refused(
    agent: Agent,
    replica: TinyReplica,
    spoil: Callable[[TinyReplica], None],
    reason: str,
    answers_at_once: bool,
) -> None:
    replica.answers_at_once = answers_at_once
    spoil(replica)

    with pytest.raises(UnknownOutcomeError, match=reason) as caught:
        await agent.update(ECHO, "echo")

    expect_unproven(caught.value)


async def test_an_oversized_answer_leaves_the_outcome_unknown_but_quickly(
    url: str, replica: TinyReplica
) -> None:
    config = AgentConfig(reply_size_max=10_000, retry=CONFIG.retry, polling=CONFIG.polling)
    async with Agent(url, config=config) as agent:
        with pytest.raises(UnknownOutcomeError, match="more than 10000 bytes") as caught:
            await agent.update(ECHO, "echo", bytes(20_000))

    assert isinstance(caught.value.__cause__, ReplyTooLargeError)
    assert paths(replica) == ["v4/call", "v3/read_state"]


async def test_polling_goes_on_over_passing_failures(agent: Agent, replica: TinyReplica) -> None:
    replica.answers_at_once = False
    replica.polls_until_done = 1
    replica.plan(
        "read_state", refuse(503), fail(Fault.DROP), fail(Fault.HANG), tamper(flip_certificate)
    )

    assert (await agent.update(ECHO, "echo", b"x")).reply == b"x"
    assert replica.count("read_state") == 5


async def test_a_poll_that_is_refused_leaves_the_outcome_unknown(
    agent: Agent, replica: TinyReplica
) -> None:
    replica.answers_at_once = False
    replica.plan("read_state", refuse(403, "not yours"))

    with pytest.raises(UnknownOutcomeError, match="not yours"):
        await agent.update(ECHO, "echo")


async def test_time_runs_out_while_the_network_works_on_it(
    agent: Agent, replica: TinyReplica
) -> None:
    replica.answers_at_once = False
    replica.polls_until_done = 10_000

    with pytest.raises(UnknownOutcomeError, match="no final word in time"):
        await agent.update(ECHO, "echo", timeout_s=0.3)


async def test_a_call_that_ran_and_was_forgotten_has_an_unknown_outcome(
    agent: Agent, replica: TinyReplica
) -> None:
    def forget(tiny: TinyReplica, exchange: Exchange) -> HttpReply:
        tiny.outcomes[tiny.executions[0]] = {b"status": b"done"}
        return tiny.answer_honestly(exchange)

    replica.answers_at_once = False
    replica.polls_until_done = 0
    replica.plan("read_state", forget)

    with pytest.raises(UnknownOutcomeError, match="no longer keeps how it ended"):
        await agent.update(ECHO, "echo")


async def test_each_poll_is_a_fresh_request_for_the_same_call(
    agent: Agent, replica: TinyReplica
) -> None:
    replica.answers_at_once = False

    await agent.update(ECHO, "echo")

    polls = [one for one in replica.exchanges if one.endpoint == "read_state"]
    assert len({poll.request_id for poll in polls}) == len(polls) == 2
    request = calls(replica)[0].request_id
    assert all(bytes(request) in poll.body for poll in polls)


async def test_a_cancelled_update_leaves_the_agent_working(
    agent: Agent, replica: TinyReplica
) -> None:
    replica.plan("call", fail(Fault.HANG))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await agent.update(ECHO, "echo")

    assert (await agent.update(ECHO, "echo", b"next")).reply == b"next"


async def test_many_updates_at_once_each_get_their_own_reply(
    agent: Agent, replica: TinyReplica
) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(agent.update(ECHO, "echo", str(i).encode())) for i in range(50)]

    assert [task.result().reply for task in tasks] == [str(i).encode() for i in range(50)]
    assert len(replica.executions) == 50


async def test_a_management_call_says_what_it_is_about(agent: Agent, replica: TinyReplica) -> None:
    with pytest.raises(SettingsError, match="effective_canister"):
        await agent.update(MANAGEMENT_CANISTER, "start_canister")

    await agent.update(MANAGEMENT_CANISTER, "start_canister", effective_canister=ECHO)

    assert calls(replica)[0].canister == str(ECHO)
    content = calls(replica)[0].envelope.content
    assert isinstance(content, CallContent)
    assert content.canister == MANAGEMENT_CANISTER
