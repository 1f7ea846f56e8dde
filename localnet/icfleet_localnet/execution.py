"""Executing messages: one at a time, each to its commit or its undoing.

Calls between canisters are queued in one line, so requests of a pair keep their order, and a
message that makes calls is committed before they leave.

Source: IC interface specification, "Abstract behavior", "Call context starting", "Message
execution", "Call context creation".
"""

from collections import deque
from collections.abc import Callable, Mapping
from itertools import count

import structlog

from icfleet_localnet.call_context import (
    Answer,
    CallContext,
    FromCanister,
    FromSystem,
    FromUser,
    Origin,
    QueuedCall,
    QueuedMessage,
    QueuedResponse,
    QueuedTimer,
)
from icfleet_localnet.canister import Canister, LogLine
from icfleet_localnet.executor import (
    CanisterInstance,
    Environment,
    Message,
    Outcome,
    OutgoingCall,
    Response,
    TimerFired,
    Trap,
    Update,
)
from icfleet_localnet.ingress import Processing, Replied
from icfleet_localnet.rejects import (
    SYS_FATAL,
    Reject,
    canister_rejected,
    canister_trapped,
    did_not_reply,
    method_not_found,
    no_such_canister,
    no_wasm_module,
    stopped,
    stopping,
)
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_protocol.request_id import RequestId

__all__ = [
    "Execution",
    "available_instance",
    "execute_safely",
    "outcome_answer",
    "record_log",
]

_log = structlog.get_logger(__name__)


ManagementHandler = Callable[[QueuedCall], "Answer | None"]
"""Executes a management call; ``None`` when the answer comes later through ``Execution.answer``."""


class Execution:
    """The message queue and open call contexts of one subnet."""

    def __init__(
        self,
        canisters: Mapping[Principal, Canister],
        *,
        manage: ManagementHandler,
        on_progress: Callable[[RequestId, "Answer | Processing"], None],
        on_change: Callable[[Principal], None],
    ) -> None:
        self._canisters = canisters
        self._manage = manage
        self._on_progress = on_progress
        self._on_change = on_change
        self._queue: deque[QueuedMessage] = deque()
        self._contexts: dict[int, CallContext] = {}
        self._ids = count(1)
        self._timers_queued: set[Principal] = set()

    @property
    def queue_length(self) -> int:
        """Messages that wait to be executed."""
        return len(self._queue)

    def enqueue(self, message: QueuedMessage) -> None:
        """Put a message at the end of the line; a canister's timer stands there once."""
        if isinstance(message, QueuedTimer):
            if message.canister in self._timers_queued:
                return
            self._timers_queued.add(message.canister)
        self._queue.append(message)

    def step(self, now_ns: int) -> None:
        """Execute the message at the head of the line."""
        message = self._queue.popleft()
        match message:
            case QueuedCall():
                self._execute_call(message, now_ns)
            case QueuedResponse():
                self._execute_response(message, now_ns)
            case QueuedTimer(canister):
                self._timers_queued.discard(canister)
                self._execute_timers(canister, now_ns)

    def answer(self, origin: Origin, answer: Answer, *, refund: int = 0) -> None:
        """Send an answer to wherever its call came from."""
        match origin:
            case FromUser(request):
                self._on_progress(request, answer)
            case FromCanister():
                self._queue.append(QueuedResponse(origin, answer, refund))
            case FromSystem():
                pass

    def _execute_call(self, call: QueuedCall, now_ns: int) -> None:
        if call.callee == MANAGEMENT_CANISTER:
            answer = self._manage(call)
            if answer is not None:
                self.answer(call.origin, answer, refund=call.cycles)
            return
        instance = available_instance(self._canisters, call.callee)
        if isinstance(instance, Reject):
            self.answer(call.origin, instance, refund=call.cycles)
            return
        if call.method not in instance.interface.methods:
            reject = method_not_found(call.callee, "update", call.method)
            self.answer(call.origin, reject, refund=call.cycles)
            return
        context = self._open(call.callee, call.caller, call.origin, instance)
        context.cycles_available = call.cycles
        self._run(context, Update(call.method, call.arg), now_ns)

    def _execute_timers(self, canister_id: Principal, now_ns: int) -> None:
        """Run the callbacks that are due, each in a message of its own.

        They are asked for now and not when they became due, so that those of a canister which was
        stopped or upgraded in between are neither lost nor run by the new code.
        """
        instance = available_instance(self._canisters, canister_id)
        if isinstance(instance, Reject):
            return
        for timer in instance.take_due_timers(now_ns):
            context = self._open(canister_id, canister_id, FromSystem(), instance)
            self._run(context, TimerFired(timer), now_ns)
        self._canisters[canister_id].next_timer_ns = instance.next_timer_ns

    def _execute_response(self, response: QueuedResponse, now_ns: int) -> None:
        canister = self._canisters[response.to.canister]
        canister.cycles += response.refund
        context = self._contexts.get(response.to.context)
        if context is None or response.to.continuation is None:
            return
        context.open_calls -= 1
        if canister.instance is not context.instance:
            trap = Trap("the code that made the call is gone", "IC0513")
            self._conclude(context, Outcome(trap=trap), now_ns)
            return
        answer = response.answer
        if isinstance(answer, Replied):
            message = Response(response.to.continuation, answer.arg)
        else:
            continuation = response.to.continuation
            message = Response(continuation, None, answer.code, answer.message)
        self._run(context, message, now_ns, refunded=response.refund)

    def _open(
        self, canister: Principal, caller: Principal, origin: Origin, instance: CanisterInstance
    ) -> CallContext:
        context = CallContext(next(self._ids), canister, caller, origin, instance)
        context.is_answered = isinstance(origin, FromSystem)
        self._contexts[context.id] = context
        self._canisters[canister].open_contexts += 1
        return context

    def _run(
        self, context: CallContext, message: Message, now_ns: int, *, refunded: int = 0
    ) -> None:
        canister = self._canisters[context.canister]
        environment = Environment(
            canister=canister.id,
            caller=context.caller,
            time_ns=now_ns,
            cycles=canister.cycles,
            cycles_available=context.cycles_available,
            cycles_refunded=refunded,
        )
        outcome = execute_safely(context.instance, message, environment)
        canister.next_timer_ns = context.instance.next_timer_ns
        self._conclude(context, outcome, now_ns)

    def _conclude(self, context: CallContext, outcome: Outcome, now_ns: int) -> None:
        """Apply what a message did, answer if it is time to, and close what is finished."""
        canister = self._canisters[context.canister]
        record_log(canister, outcome, now_ns)
        if outcome.trap is None:
            self._commit(canister, context, outcome)
        answer = outcome_answer(canister.id, outcome)
        is_last = context.open_calls == 0
        if answer is None and is_last:
            answer = did_not_reply(canister.id)
        if answer is not None and not context.is_answered and (is_last or outcome.trap is None):
            context.is_answered = True
            self.answer(context.origin, answer, refund=context.cycles_available)
        if context.is_done:
            del self._contexts[context.id]
            canister.open_contexts -= 1
            self._on_change(canister.id)
        elif isinstance(context.origin, FromUser) and not context.is_answered:
            self._on_progress(context.origin.request, Processing())

    def _commit(self, canister: Canister, context: CallContext, outcome: Outcome) -> None:
        canister.version += 1
        canister.cycles += outcome.cycles_accepted
        context.cycles_available -= outcome.cycles_accepted
        if outcome.certified_data is not None:
            canister.certified_data = outcome.certified_data
            self._on_change(canister.id)
        for call in outcome.calls:
            self._send(canister, context, call)

    def _send(self, canister: Canister, context: CallContext, call: OutgoingCall) -> None:
        origin = FromCanister(canister.id, context.id, call.continuation)
        if call.continuation is not None:
            context.open_calls += 1
        if call.cycles > canister.cycles:
            # The host checked each call against the balance; together they may exceed it.
            reject = Reject(SYS_FATAL, "Couldn't send message: not enough cycles", "IC0207")
            self.answer(origin, reject)
            return
        canister.cycles -= call.cycles
        self.enqueue(
            QueuedCall(origin, canister.id, call.callee, call.method, call.arg, call.cycles)
        )


def execute_safely(
    instance: CanisterInstance, message: Message, environment: Environment
) -> Outcome:
    """Run a message; should the host itself fail, one message fails and not the network."""
    try:
        return instance.execute(message, environment)
    except Exception as error:  # noqa: BLE001 - the host has rolled back; its mistake must not end all canisters
        _log.exception("the canister host failed", canister=str(environment.canister))
        return Outcome(trap=Trap(f"the local network failed: {error!r}", "IC0502"))


def available_instance(
    canisters: Mapping[Principal, Canister], canister_id: Principal
) -> CanisterInstance | Reject:
    """The code that can take a message now, or why there is none."""
    canister = canisters.get(canister_id)
    if canister is None:
        return no_such_canister(canister_id)
    if canister.instance is None:
        return no_wasm_module(canister_id)
    if canister.status == "stopped":
        return stopped(canister_id)
    if canister.status == "stopping":
        return stopping(canister_id)
    return canister.instance


def outcome_answer(canister: Principal, outcome: Outcome) -> Answer | None:
    """The answer that a message gave, if it gave one."""
    if outcome.trap is not None:
        return canister_trapped(canister, outcome.trap)
    if outcome.reject is not None:
        return canister_rejected(outcome.reject)
    return None if outcome.reply is None else Replied(outcome.reply)


def record_log(canister: Canister, outcome: Outcome, now_ns: int) -> None:
    """Keep what a message printed, and why it trapped."""
    for text in outcome.prints:
        canister.log.append(LogLine(now_ns, text))
    if outcome.trap is not None:
        detail = outcome.trap.traceback or outcome.trap.message
        canister.log.append(LogLine(now_ns, f"[TRAP]: {detail}"))
