"""Simulation: whatever the network does, what the agent says of an update is true.

The network owns the clock: it loses requests and answers, delays copies, answers by lying nodes,
refuses, works slowly, and goes down for a while. The test's name carries the seed.
"""

from dataclasses import dataclass, field
from random import Random

import pytest
from tiny_replica import (
    ECHO,
    ROOT_KEY,
    Exchange,
    Fault,
    TinyReplica,
    flip_certificate,
    tamper,
)

from icfleet_agent import Agent, AgentConfig
from icfleet_agent.errors import (
    AgentError,
    CertifiedRejectError,
    NotExecutedError,
    TransportError,
    TransportTimeoutError,
    UnknownOutcomeError,
)
from icfleet_agent.testing import ManualClock, MemoryTransport
from icfleet_agent.transport import HttpMethod, HttpReply
from icfleet_protocol.cbor import encode_tagged
from icfleet_protocol.identity import Ed25519Identity

ADA = Ed25519Identity.from_seed(b"a" * 32)
DURATION_MAX_S = 300.0
REJECTION = encode_tagged(
    {"status": "non_replicated_rejection", "reject_code": 5, "reject_message": "is stopped"}
)


@dataclass
class FaultyNetwork:
    """A tiny replica behind a bad line; chances are per request."""

    random: Random
    clock: ManualClock = field(default_factory=ManualClock)
    delayed: list[tuple[float, Exchange]] = field(default_factory=list[tuple[float, Exchange]])
    requests: int = 0

    def __post_init__(self) -> None:
        draw = self.random.random
        self.replica = TinyReplica(now_ns=self.clock.now_ns)
        self.replica.answers_at_once = draw() < 0.5
        self.replica.polls_until_done = self.random.choice((0, 1, 5, 400))
        self.p_lose_request = draw() * self.random.choice((0, 0.5, 1))
        self.p_lose_answer = draw() * self.random.choice((0, 0.5, 1))
        self.p_delay_copy = self.random.choice((0, 0.5, 1))
        self.p_refuse = draw() * 0.3
        self.p_reject = draw() * 0.3
        self.p_lie = draw() * self.random.choice((0, 0.5))
        self.down_until_s = self.random.choice((0.0, 0.0, 20.0, 250.0, 1e9))
        self.down_from_s = self.random.choice((0.0, 1.0, 100.0))

    def answer(self, _method: HttpMethod, url: str, body: bytes) -> HttpReply:
        self.requests += 1
        self.clock.advance(self.random.uniform(0.0, 0.3))
        self.deliver_delayed()
        _, _, version, _, canister, endpoint = ("/" + url.split("/", 3)[3]).split("/")
        exchange = Exchange(endpoint, version, canister, body)
        draw = self.random.random
        if self.down_from_s <= self.clock.now_s() < self.down_until_s:
            self.lose()
        if draw() < self.p_lose_request:
            if draw() < self.p_delay_copy:
                arrival_s = self.clock.now_s() + self.random.uniform(0.0, 400.0)
                self.delayed.append((arrival_s, exchange))
            self.lose()
        if draw() < self.p_refuse:
            return HttpReply(self.random.choice((400, 403, 429, 500, 502, 503, 504)), b"refused")
        if endpoint == "call" and draw() < self.p_reject:
            return HttpReply(200, REJECTION)
        if draw() < self.p_lie and endpoint != "query":
            answer = self.lie(exchange)
        else:
            answer = self.replica.answer_honestly(exchange)
        if draw() < self.p_lose_answer:
            self.lose()
        return answer

    def lose(self) -> None:
        if self.random.random() < 0.5:
            self.clock.advance(20.0)
            reason = "no answer"
            raise TransportTimeoutError(reason)
        reason = "broken"
        raise TransportError(reason)

    def lie(self, exchange: Exchange) -> HttpReply:
        honest = self.replica.answer_honestly(exchange)
        if honest.status != 200:
            return HttpReply(200, b"\xa0")
        lied = tamper(flip_certificate)(self.replica, exchange)
        assert not isinstance(lied, Fault)
        return lied

    def deliver_delayed(self) -> None:
        """Let copies arrive that were under way; the network still refuses what has expired."""
        now_s = self.clock.now_s()
        due = [exchange for arrival_s, exchange in self.delayed if arrival_s <= now_s]
        self.delayed = [one for one in self.delayed if one[0] > now_s]
        for exchange in due:
            if exchange.endpoint == "call":
                self.replica.answer_honestly(exchange)

    def deliver_rest(self) -> None:
        """Let time pass until no copy is under way."""
        for arrival_s, _ in sorted(self.delayed, key=lambda one: one[0]):
            self.clock.advance(max(0.0, arrival_s - self.clock.now_s()))
            self.deliver_delayed()


@pytest.mark.parametrize("seed", range(300))
async def test_what_the_agent_says_of_an_update_is_true(seed: int) -> None:
    """A reply means it ran once; "not executed" means never, also later; else it says unknown."""
    network = FaultyNetwork(Random(seed))
    agent = Agent(
        "http://127.0.0.1:4943",
        identity=ADA,
        root_key=ROOT_KEY.public_key_der,
        transport=MemoryTransport(network.answer),
        config=AgentConfig(),
        clock=network.clock,
        random=Random(seed),
    )
    method = "trap" if seed % 5 == 0 else "echo"
    outcome: bytes | AgentError
    try:
        outcome = (await agent.update(ECHO, method, b"argument")).reply
    except AgentError as error:
        outcome = error
    ended_s = network.clock.now_s()
    network.deliver_rest()

    runs = len(network.replica.executions)
    assert runs <= 1
    if isinstance(outcome, bytes):
        assert (outcome, runs, method) == (b"argument", 1, "echo")
    elif isinstance(outcome, CertifiedRejectError):
        assert (runs, method) == (1, "trap")
    elif outcome.is_without_effect:
        assert runs == 0, outcome
    else:
        assert isinstance(outcome, UnknownOutcomeError), repr(outcome)
    assert ended_s <= DURATION_MAX_S + 20.0
    assert network.requests < 450


async def test_a_call_that_expired_unseen_is_proven_not_to_have_run() -> None:
    """The first copy is lost, the network is down until the call has expired, then it tells."""
    network = FaultyNetwork(Random(1))
    network.p_lose_request = network.p_lose_answer = 0.0
    network.p_refuse = network.p_reject = network.p_lie = 0.0
    network.down_from_s, network.down_until_s = 0.0, 250.0
    agent = Agent(
        "http://127.0.0.1:4943",
        root_key=ROOT_KEY.public_key_der,
        transport=MemoryTransport(network.answer),
        clock=network.clock,
        random=Random(1),
    )

    with pytest.raises(NotExecutedError) as caught:
        await agent.update(ECHO, "echo")

    assert caught.value.is_without_effect
    assert network.replica.executions == []
    assert 240 < network.clock.now_s() < 300


async def test_the_simulation_meets_every_outcome() -> None:
    """Otherwise it would prove less than it seems to."""
    seen: set[str] = set()
    for seed in range(120):
        network = FaultyNetwork(Random(seed))
        agent = Agent(
            "http://127.0.0.1:4943",
            root_key=ROOT_KEY.public_key_der,
            transport=MemoryTransport(network.answer),
            clock=network.clock,
            random=Random(seed),
        )
        try:
            await agent.update(ECHO, "echo")
            seen.add("replied")
        except AgentError as error:
            seen.add(type(error).__name__)

    assert seen >= {
        *("replied", "HttpStatusError", "UncertifiedRejectError"),
        *("NotExecutedError", "UnknownOutcomeError"),
    }
