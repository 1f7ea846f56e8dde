"""Answering queries: against the committed state, and with nothing left behind.

A composite query calls other queries of the same subnet, depth first and one at a time. Each
callee starts from the committed state; what a caller changed stays visible to its own callbacks
until it has answered.

Source: dfinity/ic ``rs/execution_environment/src/query_handler``; IC interface specification,
"Query call" and "Composite query".
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from icfleet_localnet.call_context import Answer
from icfleet_localnet.canister import Canister, QueryStats
from icfleet_localnet.charging import Charging, frozen_query
from icfleet_localnet.event_log import EventLog
from icfleet_localnet.execution import (
    available_instance,
    execute_safely,
    outcome_answer,
    report_prints,
)
from icfleet_localnet.executor import (
    CanisterInstance,
    Environment,
    Message,
    Outcome,
    OutgoingCall,
    Query,
    Response,
)
from icfleet_localnet.ingress import Replied
from icfleet_localnet.limits import (
    QUERY_CALL_OVERHEAD_INSTRUCTIONS,
    QUERY_DEPTH_MAX,
    QUERY_INSTRUCTIONS_MAX,
)
from icfleet_localnet.rejects import CANISTER_ERROR, Reject, method_not_found
from icfleet_protocol.principal import Principal

__all__ = ["HeldState", "QueryCall", "QueryResult", "answer_held_query", "answer_query"]

_log = EventLog(__name__)


@dataclass(frozen=True, slots=True)
class HeldState:
    """An old state of a canister, to be queried in place of the last one."""

    version: int
    """As the instance's ``hold`` returned it."""
    time_ns: int
    """Of the round that made it."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A query's answer, and what it took."""

    answer: Answer
    instructions: int = 0


@dataclass(frozen=True, slots=True)
class QueryCall:
    """A query, from a user or from another query."""

    caller: Principal
    canister: Principal
    method: str
    arg: bytes


@dataclass(slots=True)
class _Frame:
    """A query that waits for others."""

    canister: Canister
    instance: CanisterInstance
    caller: Principal
    calls: deque[OutgoingCall] = field(default_factory=deque[OutgoingCall])
    """Not made yet."""
    awaited: int | None = None
    """The continuation of the call that is being answered."""
    suspended: set[int] = field(default_factory=set[int])
    """Continuations that the instance keeps for this query."""


def answer_query(
    canisters: Mapping[Principal, Canister],
    charging: Charging,
    query: QueryCall,
    *,
    time_ns: int,
    data_certificate: bytes | None,
    counts: dict[Principal, QueryStats] | None = None,
) -> QueryResult:
    """Run a query, and whatever it calls.

    Args:
        canisters: Those of the subnet; no others can be called.
        charging: Says who is frozen.
        query: What to run.
        time_ns: Of the last round.
        data_certificate: What the queried canister's ``ic.data_certificate`` answers. Those that
            it calls get none.
        counts: Where each query that was executed is counted.
    """
    run = _QueryRun(canisters, charging, time_ns, {} if counts is None else counts)
    try:
        answer = run.answer(query, data_certificate)
    finally:
        run.forget()
    return QueryResult(answer, run.instructions)


def answer_held_query(
    canisters: Mapping[Principal, Canister],
    query: QueryCall,
    held: HeldState,
    *,
    data_certificate: bytes | None,
) -> QueryResult:
    """Run a query that calls no other against an old state of its canister.

    Raises:
        KeyError: If the canister does not hold that state.
    """
    found = _find_query(canisters, query)
    if isinstance(found, Reject):
        return QueryResult(found)
    canister = canisters[query.canister]
    environment = Environment(
        canister=canister.id,
        caller=query.caller,
        time_ns=held.time_ns,
        cycles=canister.cycles,
        data_certificate=data_certificate,
        instruction_limit=QUERY_INSTRUCTIONS_MAX,
    )
    outcome = found.execute_held(held.version, Query(query.method, query.arg), environment)
    _report_prints(canister, outcome)
    answer = outcome_answer(canister.id, outcome) or _no_response(canister.id)
    return QueryResult(answer, outcome.instructions)


class _QueryRun:
    """One query with all its calls."""

    def __init__(
        self,
        canisters: Mapping[Principal, Canister],
        charging: Charging,
        time_ns: int,
        counts: dict[Principal, QueryStats],
    ) -> None:
        self._canisters = canisters
        self._charging = charging
        self._time_ns = time_ns
        self._counts = counts
        self._instructions_left = QUERY_INSTRUCTIONS_MAX
        self.instructions = 0
        """Executed so far."""
        self._frames: list[_Frame] = []
        """Each was called by the one before it."""

    def answer(self, query: QueryCall, data_certificate: bytes | None) -> Answer:
        """Run to the answer of the outermost query."""
        answer = self._start(query, data_certificate)
        while self._frames:
            failure = self._over_limit()
            if failure is not None:
                return failure
            frame = self._frames[-1]
            if answer is not None:
                answer = self._resume(frame, answer)
            elif frame.calls:
                call = frame.calls.popleft()
                if any(each.canister.id == call.callee for each in self._frames):
                    return _loops()
                frame.awaited = call.continuation
                answer = self._start(
                    QueryCall(frame.canister.id, call.callee, call.method, call.arg), None
                )
                self._instructions_left -= QUERY_CALL_OVERHEAD_INSTRUCTIONS
            else:
                answer = self._finish(frame, _no_response(frame.canister.id))
        assert answer is not None, "the last frame ended with an answer"
        return answer

    def forget(self) -> None:
        """Leave nothing of the queries that were not finished in their canisters."""
        while self._frames:
            self._drop_suspended(self._frames.pop())

    def _over_limit(self) -> Reject | None:
        if len(self._frames) > QUERY_DEPTH_MAX:
            reason = "Composite query calls exceeded the maximum call depth."
            return Reject(CANISTER_ERROR, reason, "IC0525")
        if self._instructions_left <= 0:
            reason = "Composite query calls exceeded the instruction limit."
            return Reject(CANISTER_ERROR, reason, "IC0526")
        return None

    def _start(self, query: QueryCall, data_certificate: bytes | None) -> Answer | None:
        """Run a query up to its answer or its first calls; with calls it becomes a frame."""
        instance = _find_query(self._canisters, query)
        if isinstance(instance, Reject):
            return instance
        canister = self._canisters[query.canister]
        if self._charging.is_frozen(canister):
            return frozen_query(canister)
        frame = _Frame(canister, instance, query.caller)
        message = Query(query.method, query.arg)
        outcome = self._execute(frame, message, data_certificate)
        reply = outcome.reply or b""
        self._counts.setdefault(canister.id, QueryStats()).add(
            instructions=outcome.instructions,
            request_bytes=len(query.arg),
            response_bytes=len(reply),
        )
        self._frames.append(frame)
        return self._conclude(frame, outcome)

    def _resume(self, frame: _Frame, answer: Answer) -> Answer | None:
        """Give a frame the answer to the call that it made last."""
        continuation, frame.awaited = frame.awaited, None
        assert continuation is not None, "queries make no one-way calls"
        frame.suspended.discard(continuation)
        if isinstance(answer, Replied):
            message = Response(continuation, answer.arg)
        else:
            message = Response(continuation, None, answer.code, answer.message)
        return self._conclude(frame, self._execute(frame, message, None))

    def _execute(self, frame: _Frame, message: Message, data_certificate: bytes | None) -> Outcome:
        environment = Environment(
            canister=frame.canister.id,
            caller=frame.caller,
            time_ns=self._time_ns,
            cycles=frame.canister.cycles,
            data_certificate=data_certificate,
            instruction_limit=max(0, self._instructions_left),
        )
        outcome = execute_safely(frame.instance, message, environment)
        self._instructions_left -= outcome.instructions
        self.instructions += outcome.instructions
        _report_prints(frame.canister, outcome)
        for call in outcome.calls:
            if call.continuation is not None:
                frame.suspended.add(call.continuation)
        return outcome

    def _conclude(self, frame: _Frame, outcome: Outcome) -> Answer | None:
        """End a frame that has its answer, whatever it still waits for; else note its calls."""
        answer = outcome_answer(frame.canister.id, outcome)
        if answer is not None:
            return self._finish(frame, answer)
        frame.calls.extend(outcome.calls)
        return None if frame.calls else self._finish(frame, _no_response(frame.canister.id))

    def _finish(self, frame: _Frame, answer: Answer) -> Answer:
        last = self._frames.pop()
        assert last is frame, "the innermost query ends first"
        self._drop_suspended(frame)
        return answer

    def _drop_suspended(self, frame: _Frame) -> None:
        for continuation in frame.suspended:
            frame.instance.drop_continuation(continuation)


def _find_query(
    canisters: Mapping[Principal, Canister], query: QueryCall
) -> CanisterInstance | Reject:
    instance = available_instance(canisters, query.canister)
    if isinstance(instance, Reject):
        return instance
    method = instance.interface.methods.get(query.method)
    if method is None or method.kind == "update":
        return method_not_found(query.canister, "query", query.method)
    return instance


def _report_prints(canister: Canister, outcome: Outcome) -> None:
    """Show the developer what a query printed: the canister's own log has updates' prints only."""
    report_prints(canister, outcome, "a query printed")


def _no_response(canister: Principal) -> Reject:
    return Reject(CANISTER_ERROR, f"Canister {canister} did not produce a response", "IC0506")


def _loops() -> Reject:
    reason = "Query calls re-entering the same canister are not allowed yet."
    return Reject(CANISTER_ERROR, reason, "IC0517")
