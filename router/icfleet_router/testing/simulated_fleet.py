"""A main and replicas in memory, with everything that can go wrong between them and a router.

It takes the agent's place in a ``Fleet`` (``icfleet_router.port.AgentPort``) and keeps the rules of
canisters/icfleet.did: one log, exactly-once by (subject, id), replicas that pull and lag.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from icfleet_agent import (
    NotSentError,
    TransportTimeoutError,
    UncertifiedRejectError,
    UnknownOutcomeError,
)
from icfleet_protocol.candid import ServiceInterface, parse_did
from icfleet_protocol.principal import Principal
from icfleet_router.fleet import FleetCanister
from icfleet_router.position import START, Position
from icfleet_router.roles import Role

__all__ = ["Faults", "LogEntry", "SimulatedFleet"]

SIMULATED_DID = """
type Position = record { epoch : nat64; seq : nat64 };
type Operation = variant {
  Add : record { amount : nat64 };
  Give : record { target : principal; amount : nat64 };
};
type OperationResult = variant {
  Applied : Position;
  Refused : record { position : Position; code : text; reason : text };
  Forbidden : text; Expired; InFuture; IdReused;
  Invalid : record { code : text; reason : text };
  RateLimited : nat64; Deferred; Busy : nat64;
};
type Status = record {
  role : variant { Main; Replica };
  phase : variant { Serving; Seeding; Rebuilding }; fenced : opt text;
  as_of : Position; chain_hash : blob; main : opt principal; pull_error : opt text;
};
service : {
  submit : (record { ops : vec record {
    id : blob; subject : principal; created_at : nat64; body : Operation } })
    -> (variant {
      Done : record { as_of : Position; results : vec OperationResult };
      NotMain : opt principal; TooLarge : text });
  status : () -> (Status) query;
  history : (principal) -> (record { as_of : Position; ids : vec blob }) query;
  constant : () -> (nat64) query;
}
"""
"""The simulated canister's interface: ``history`` gives a player's operations, ``constant`` has no
``as_of``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often what goes wrong: probabilities of 0 to 1, and times."""

    lost_requests: float = 0.0
    """The request never arrives."""

    lost_replies: float = 0.0
    """It was executed, and nobody hears of it."""

    late_requests: float = 0.0
    """It is executed after the caller has given up."""

    refusals: float = 0.0
    """A query or update is rejected as if the canister were being upgraded."""

    stale_nodes: float = 0.0
    """A query is answered by a node that is up to a second behind its canister."""

    limits: float = 0.0
    """An operation is rate limited for up to a second."""

    deferrals: float = 0.0
    """The batch's budget runs out at an operation, and all that follow are deferred."""

    latency_max_s: float = 0.2
    """Longest way to and fro."""

    pull_period_s: float = 1.0
    """How often replicas pull."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One applied operation.

    Attributes:
        position: Where it stands.
        subject: Whose it is.
        operation_id: Its id.
        applied_at_s: When, in the loop's time.
    """

    position: Position
    subject: Principal
    operation_id: bytes
    applied_at_s: float


@dataclass(frozen=True, slots=True)
class SimulatedReply:
    """A certified reply."""

    reply: bytes


class SimulatedFleet:
    """One main and its replicas; ``agent`` for a ``Fleet`` of ``canisters``.

    Attributes:
        canisters: The fleet's members.
        interface: Their .did.
        log: What was applied, in order.
        calls_count: Calls that went out on the wire.
        violations: Where the router broke a rule that can be seen from here.
        is_network_up: Set it false to refuse all connections.
        is_closed: Whether the fleet gave the agent back.
    """

    def __init__(
        self, random: Random, *, faults: Faults | None = None, replicas_count: int = 2
    ) -> None:
        self._random = random
        self._remembered: dict[tuple[Principal, bytes], Mapping[str, object]] = {}
        self._flights: list[frozenset[Principal]] = []
        self._main = 0
        self._epoch = 1
        self._seq = 0
        names = ["main", *(f"replica_{number}" for number in range(1, replicas_count + 1))]
        self.faults = faults or Faults()
        self.canisters = [
            FleetCanister(
                name,
                Principal(bytes([0, number, 1, 1])),
                Role.REPLICA if number else Role.MAIN,
            )
            for number, name in enumerate(names)
        ]
        self.interface: ServiceInterface = parse_did(SIMULATED_DID)
        self.log: list[LogEntry] = []
        self.calls_count = 0
        self.violations: list[str] = []
        self.is_network_up = True
        self.is_closed = False

    def switch_main(self, name: str) -> None:
        """Promote a replica that has the whole log, as a planned switch-over does."""
        self._main = [one.name for one in self.canisters].index(name)
        self._epoch += 1
        # An epoch begins with a record of its own.
        self._seq += 1

    async def query(
        self,
        canister: Principal,
        method: str,
        arg: bytes,
        *,
        timeout_s: float | None,
        retries: bool,
    ) -> bytes:
        """Answer a query from what the canister, or one of its nodes, has by now."""
        assert not retries, "the router must be the only one that retries"
        number = await self._reach(canister)
        if self._happens(self.faults.lost_requests + self.faults.lost_replies):
            await asyncio.sleep(timeout_s or 0.0)
            reason = "no answer"
            raise TransportTimeoutError(reason)
        await self._travel()
        self._maybe_refuse()
        known = self._known_to(number)
        as_of = known[-1].position if known else START
        args = self.interface.decode_args(method, arg)
        result = self._answer(method, args, number, known, as_of)
        return self.interface.encode_results(method, (result,))

    async def update(
        self,
        canister: Principal,
        method: str,
        arg: bytes,
        *,
        timeout_s: float | None,
        retries: bool,
    ) -> SimulatedReply:
        """Execute a batch, perhaps late, perhaps unheard."""
        assert not retries, "the router must be the only one that retries"
        number = await self._reach(canister)
        operations = _operations(self.interface.decode_args(method, arg))
        flight = self._take_off(operations)
        try:
            return await self._execute(number, method, operations, timeout_s or 0.0)
        finally:
            self._flights.remove(flight)

    async def aclose(self) -> None:
        """Note that the fleet is done."""
        self.is_closed = True

    async def _reach(self, canister: Principal) -> int:
        self.calls_count += 1
        await asyncio.sleep(0.001)
        if not self.is_network_up:
            reason = "connection refused"
            raise NotSentError(reason)
        return [one.canister for one in self.canisters].index(canister)

    async def _execute(
        self, number: int, method: str, operations: Sequence[Mapping[str, Any]], timeout_s: float
    ) -> SimulatedReply:
        if self._happens(self.faults.lost_requests):
            await asyncio.sleep(timeout_s)
            raise _unknown()
        if self._happens(self.faults.late_requests):
            late_s = timeout_s + self._random.uniform(0.0, 5.0)
            asyncio.get_running_loop().call_later(late_s, self._submit, number, operations)
            await asyncio.sleep(timeout_s)
            raise _unknown()
        await self._travel()
        self._maybe_refuse()
        result = self._submit(number, operations)
        if self._happens(self.faults.lost_replies):
            await asyncio.sleep(timeout_s)
            raise _unknown()
        await self._travel()
        if not self.is_network_up:
            raise _unknown()
        return SimulatedReply(self.interface.encode_results(method, (result,)))

    def _take_off(self, operations: Sequence[Mapping[str, Any]]) -> frozenset[Principal]:
        touched = frozenset(one["subject"] for one in operations) | frozenset(
            one["body"]["Give"]["target"] for one in operations if "Give" in one["body"]
        )
        for other in self._flights:
            if touched & other:
                self.violations.append(f"two batches share {touched & other}")
        self._flights.append(touched)
        return touched

    def _submit(self, number: int, operations: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
        if number != self._main:
            return {"NotMain": self.canisters[self._main].canister}
        postponed: set[Principal] = set()
        results: list[Mapping[str, object]] = []
        for operation in operations:
            result = self._apply(operation, postponed)
            if "Applied" not in result:
                postponed.add(operation["subject"])
            results.append(result)
        as_of = self.log[-1].position if self.log else START
        return {"Done": {"as_of": as_of.as_candid(), "results": results}}

    def _apply(
        self, operation: Mapping[str, Any], postponed: set[Principal]
    ) -> Mapping[str, object]:
        subject, operation_id = operation["subject"], operation["id"]
        remembered = self._remembered.get((subject, operation_id))
        if remembered is not None:
            return remembered
        if subject in postponed or self._happens(self.faults.deferrals):
            return {"Deferred": None}
        if self._happens(self.faults.limits):
            return {"RateLimited": self._random.randrange(1_000_000_000)}
        self._seq += 1
        position = Position(self._epoch, self._seq)
        now_s = asyncio.get_running_loop().time()
        self.log.append(LogEntry(position, subject, operation_id, now_s))
        result: Mapping[str, object] = {"Applied": position.as_candid()}
        self._remembered[subject, operation_id] = result
        return result

    def _known_to(self, number: int) -> Sequence[LogEntry]:
        now_s = asyncio.get_running_loop().time()
        until_s = now_s
        if number != self._main:
            # Each replica pulls at moments of its own.
            phase_s = number * 0.37
            since_s = (now_s + phase_s) % self.faults.pull_period_s
            until_s = now_s - since_s
        if self._happens(self.faults.stale_nodes):
            until_s -= self._random.uniform(0.0, 1.0)
        return [entry for entry in self.log if entry.applied_at_s <= until_s]

    def _answer(
        self,
        method: str,
        args: Sequence[Any],
        number: int,
        known: Sequence[LogEntry],
        as_of: Position,
    ) -> object:
        if method == "constant":
            return 42
        if method == "history":
            ids = [entry.operation_id for entry in known if entry.subject == args[0]]
            return {"as_of": as_of.as_candid(), "ids": ids}
        role = "Main" if number == self._main else "Replica"
        epoch = max(as_of, Position(self._epoch, 0)) if role == "Main" else as_of
        return {
            "role": {role: None},
            "phase": {"Serving": None},
            "fenced": None,
            "as_of": epoch.as_candid(),
            "chain_hash": b"",
            "main": self.canisters[self._main].canister,
            "pull_error": None,
        }

    def _maybe_refuse(self) -> None:
        if self._happens(self.faults.refusals):
            raise UncertifiedRejectError(5, "the canister is stopped", "IC0508")

    async def _travel(self) -> None:
        await asyncio.sleep(self._random.uniform(0.0, self.faults.latency_max_s / 2))

    def _happens(self, probability: float) -> bool:
        return self._random.uniform(0.0, 1.0) < probability


def _operations(args: Sequence[object]) -> Sequence[Mapping[str, Any]]:
    (batch,) = args
    return cast("Mapping[str, Sequence[Mapping[str, Any]]]", batch)["ops"]


def _unknown() -> UnknownOutcomeError:
    reason = "no word in time"
    return UnknownOutcomeError(reason, request_id=b"", ingress_expiry_ns=0)
