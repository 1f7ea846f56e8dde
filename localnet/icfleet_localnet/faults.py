"""The fault plan: which rules strike which request. Decides only; the network obeys.

The order within one request, whatever the order of the rules:

1. the request is delayed (all request latencies add up);
2. ``LoseRequest``: nothing more happens to it;
3. ``HttpError`` or ``RejectWith``: the oldest rule's answer, and nothing is executed;
4. it is executed, a query from the old state that the oldest ``StaleNode`` asks for;
5. the answer is tampered with, by every rule that struck, the oldest first;
6. the answer is delayed (all response latencies add up);
7. ``LoseResponse``: the connection closes in its place.

Duplicates arrive after the request would have, also when that one was lost. They are not decided
about again: hand them to the network as they are.

Each rule draws from its own stream of random numbers, named by the plan's seed and the rule's name,
or its content if it has none. So the same requests meet the same faults, and a rule more or less
changes no other's.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import msgspec

from icfleet_localnet.fault_rules import (
    Duplicate,
    FaultRule,
    FaultRuleError,
    HttpError,
    Latency,
    LoseRequest,
    LoseResponse,
    Operation,
    RejectWith,
    StaleNode,
    TamperedPart,
    TamperReply,
    to_json,
)
from icfleet_protocol.principal import Principal

__all__ = ["ActiveRule", "Decision", "FaultPlan", "RequestFacts", "TamperOrder"]

_RULES_MAX = 1_000
"""Every request is held against every rule."""

_SEED_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """What a rule may know of a request; ``None`` where a request has no such thing."""

    operation: Operation
    canister: Principal | None = None
    """The effective canister of the URL."""
    method: str | None = None
    subnet: Principal | None = None
    node: Principal | None = None


@dataclass(frozen=True, slots=True)
class TamperOrder:
    """An answer to be changed: ``tamper(body, order.part, Random(order.seed))``."""

    part: TamperedPart
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """All that happens to one request, in the order of the module's description."""

    rules: tuple[str, ...] = ()
    """Ids of the rules that struck, the oldest first."""
    request_delay_s: float = 0.0
    is_request_lost: bool = False
    refusal: HttpError | RejectWith | None = None
    staleness: StaleNode | None = None
    tampering: tuple[TamperOrder, ...] = ()
    response_delay_s: float = 0.0
    is_response_lost: bool = False
    duplicate_delays_s: tuple[float, ...] = ()
    """When the same bytes arrive again: seconds after the request would have arrived."""

    @property
    def is_executed(self) -> bool:
        """Whether the request itself, duplicates aside, reaches execution."""
        return not self.is_request_lost and self.refusal is None


UNTOUCHED = Decision()
"""Nothing happens; shared, since most requests meet no rule."""


class ActiveRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of a plan, with what it did so far; encodes as JSON."""

    id: str
    rule: FaultRule
    matched: int
    """Requests that fit its matcher, within its times and limit."""
    fired: int
    """Those that it struck."""


class _Entry:
    """A rule in force, ready to be held against requests."""

    __slots__ = ("canister", "fired", "matched", "node", "operations", "random", "rule", "subnet")

    def __init__(self, rule: FaultRule, random: Random) -> None:
        self.rule = rule
        self.random = random
        self.matched = 0
        self.fired = 0
        match = rule.match
        self.operations = rule.operations
        if match.operation != "any":
            self.operations &= {match.operation}
        self.canister = _principal(match.canister)
        self.subnet = _principal(match.subnet)
        self.node = _principal(match.node)

    def applies(self, facts: RequestFacts, now_ns: int) -> bool:
        """Whether the rule may strike this request."""
        rule = self.rule
        return (
            facts.operation in self.operations
            and (rule.limit is None or self.fired < rule.limit)
            and (rule.from_ns is None or now_ns >= rule.from_ns)
            and (rule.until_ns is None or now_ns < rule.until_ns)
            and (rule.match.method is None or rule.match.method == facts.method)
            and (self.canister is None or self.canister == facts.canister)
            and (self.subnet is None or self.subnet == facts.subnet)
            and (self.node is None or self.node == facts.node)
        )


class FaultPlan:
    """The rules of a running network, and the chance in them.

    Args:
        seed: Names all random numbers of the plan.
    """

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._entries: dict[str, _Entry] = {}
        self._next_id = 1
        self._twins: dict[bytes, int] = {}

    def add(self, rule: FaultRule) -> str:
        """Put a rule into force, and return its id.

        Raises:
            FaultRuleError: If there are too many.
        """
        if len(self._entries) >= _RULES_MAX:
            reason = f"there are {_RULES_MAX} fault rules already: remove some"
            raise FaultRuleError(reason)
        identifier = f"fault-{self._next_id}"
        self._next_id += 1
        self._entries[identifier] = _Entry(rule, self._stream(rule))
        return identifier

    def remove(self, identifier: str) -> FaultRule:
        """Take a rule out of force, and return it.

        Raises:
            FaultRuleError: If there is no such rule.
        """
        entry = self._entries.pop(identifier, None)
        if entry is None:
            reason = f"there is no fault rule {identifier!r}"
            raise FaultRuleError(reason)
        return entry.rule

    def clear(self) -> None:
        """Take all rules out of force."""
        self._entries.clear()

    def rules(self) -> Sequence[ActiveRule]:
        """All rules in force, the oldest first, and how often they struck."""
        return [
            ActiveRule(id=name, rule=entry.rule, matched=entry.matched, fired=entry.fired)
            for name, entry in self._entries.items()
        ]

    def decide(self, facts: RequestFacts, now_ns: int) -> Decision:
        """Decide what happens to a request that arrives now, in network time."""
        decision = UNTOUCHED
        for identifier, entry in self._entries.items():
            if not entry.applies(facts, now_ns):
                continue
            entry.matched += 1
            # Drawn for certain rules too: a probability can change without changing later draws.
            if entry.random.random() >= entry.rule.probability:
                continue
            entry.fired += 1
            decision = _strike(entry, replace(decision, rules=(*decision.rules, identifier)))
        return decision

    def _stream(self, rule: FaultRule) -> Random:
        name = to_json(rule) if rule.name is None else rule.name.encode()
        twin = self._twins.get(name, 0)
        self._twins[name] = twin + 1
        parts = (b"fault rule", self._seed, name, str(twin).encode())
        digest = hashlib.sha256()
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return Random(int.from_bytes(digest.digest(), "big"))  # noqa: S311 - replayable on purpose


def _principal(text: str | None) -> Principal | None:
    return None if text is None else Principal.from_text(text)


def _strike(entry: _Entry, decision: Decision) -> Decision:
    """Add one rule's effect to what older rules decided."""
    random = entry.random
    match entry.rule.effect:
        case Latency(delay=delay, stage="request"):
            total_s = decision.request_delay_s + delay.draw(random)
            struck = replace(decision, request_delay_s=total_s)
        case Latency(delay=delay):
            total_s = decision.response_delay_s + delay.draw(random)
            struck = replace(decision, response_delay_s=total_s)
        case LoseRequest():
            struck = replace(decision, is_request_lost=True)
        case LoseResponse():
            struck = replace(decision, is_response_lost=True)
        case Duplicate(count=count, delay=delay):
            pauses_s = (0.0 if delay is None else delay.draw(random) for _ in range(count))
            delays_s = (*decision.duplicate_delays_s, *itertools.accumulate(pauses_s))
            struck = replace(decision, duplicate_delays_s=delays_s)
        case (HttpError() | RejectWith()) as refusal:
            struck = replace(decision, refusal=decision.refusal or refusal)
        case StaleNode() as staleness:
            struck = replace(decision, staleness=decision.staleness or staleness)
        case TamperReply(part=part):
            order = TamperOrder(part, random.getrandbits(_SEED_BITS))
            struck = replace(decision, tampering=(*decision.tampering, order))
    return struck
