"""Executing messages: one at a time, each to its commit or its undoing.

A message that makes calls is committed before they leave; each call gets exactly one answer.

Source: IC interface specification, "Abstract behavior", "Call context starting", "Message
execution", "Call context creation".
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import count
from random import Random

from icfleet_localnet.call_context import (
    Answer,
    CallContext,
    FromCanister,
    FromSystem,
    FromUser,
    ManagementAnswer,
    Origin,
    QueuedCall,
    QueuedHeartbeat,
    QueuedMessage,
    QueuedResponse,
    QueuedTimer,
)
from icfleet_localnet.canister import Canister, LogLine
from icfleet_localnet.charging import Charging
from icfleet_localnet.event_log import EventLog
from icfleet_localnet.executor import (
    CanisterInstance,
    Environment,
    Heartbeat,
    Message,
    Outcome,
    OutgoingCall,
    Response,
    TimerFired,
    Trap,
    Update,
)
from icfleet_localnet.fees import SYSTEM_FEES
from icfleet_localnet.ingress import Processing, Replied
from icfleet_localnet.limits import (
    CANISTER_ROUND_INSTRUCTIONS_MAX,
    LOCAL_PAYLOAD_SIZE_MAX,
    QUERY_INSTRUCTIONS_MAX,
    QUEUE_CAPACITY,
    REMOTE_PAYLOAD_SIZE_MAX,
    ROUND_INSTRUCTIONS_MAX,
    ROUND_MESSAGES_MAX,
    UPDATE_INSTRUCTIONS_MAX,
)
from icfleet_localnet.message_queue import MessageQueue
from icfleet_localnet.rejects import (
    CANISTER_ERROR,
    CANISTER_REJECT,
    SYS_TRANSIENT,
    Reject,
    canister_rejected,
    canister_trapped,
    did_not_reply,
    inert_code,
    method_not_found,
    no_such_canister,
    no_wasm_module,
    stopped,
    stopping,
)
from icfleet_localnet.thread_model import UpdateThreads
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_protocol.request_id import RequestId

__all__ = [
    "Execution",
    "ManagementHandler",
    "available_instance",
    "execute_safely",
    "log_trap",
    "outcome_answer",
    "record_log",
    "report_prints",
]

_S = 1_000_000_000

_PRINTS_REPORTED_MAX = 100
"""Lines of one message that go to the process's log; a canister could fill the disk with it."""

_log = EventLog(__name__)

ManagementHandler = Callable[[QueuedCall], ManagementAnswer | None]
"""Executes a management call; ``None`` when the answer comes later through ``Execution.answer``."""


class Execution:
    """The message queue and open call contexts of one subnet.

    Args:
        canisters: The subnet's canisters.
        manage: Executes calls of the management canister.
        is_hosted: Whether a canister's call stays on this subnet.
        on_progress: Hears what becomes of users' messages.
        on_change: Hears of a canister whose certified state or timers may have changed.
        charging: Who pays what; nobody pays anything if not given.
        order: Shuffles in which order canisters are served.
        threads: Models the subnet's threads; they take the place of the round's own limits.
    """

    def __init__(  # noqa: PLR0913 - the seams to its subnet, all named
        self,
        canisters: Mapping[Principal, Canister],
        *,
        manage: ManagementHandler,
        is_hosted: Callable[[QueuedCall], bool],
        on_progress: Callable[[RequestId, "Answer | Processing"], None],
        on_change: Callable[[Principal], None],
        charging: Charging | None = None,
        order: Random | None = None,
        threads: UpdateThreads | None = None,
    ) -> None:
        self._canisters = canisters
        self._manage = manage
        self._is_hosted = is_hosted
        self._on_progress = on_progress
        self._on_change = on_change
        self._charging = charging or Charging(SYSTEM_FEES)
        self._threads = threads
        self._queue = MessageQueue(order)
        self._contexts: dict[int, CallContext] = {}
        self._ids = count(1)
        self._under_way: Counter[tuple[Principal, Principal]] = Counter()
        self._outgoing: list[QueuedCall | QueuedResponse] = []
        self._spent: Counter[Principal] = Counter()
        self._spent_total = 0
        self.executed = 0
        """Update-type messages executed so far, the trapped ones included."""

    @property
    def queue_length(self) -> int:
        """Messages that wait to be executed."""
        return len(self._queue)

    @property
    def queue(self) -> MessageQueue:
        """What waits to be executed."""
        return self._queue

    @property
    def executed_canisters(self) -> Iterable[Principal]:
        """Those that executed something in the last round."""
        return self._spent.keys()

    def has_messages(self, canister: Principal) -> bool:
        """Whether something waits for a canister to execute it."""
        return self._queue.has_messages(canister)

    def enqueue(self, message: QueuedMessage) -> None:
        """Put a message at the end of its canister's line."""
        self._queue.push(message)

    def take_outgoing(self) -> list[QueuedCall | QueuedResponse]:
        """Hand over the messages for other subnets, in the order in which they were sent."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def run_round(self, now_ns: int) -> int:
        """Execute what waits, up to the limits of a round, and return how many messages."""
        self._spent.clear()
        self._spent_total = 0
        self._queue.wake()
        if self._threads is not None:
            self._threads.begin_round(now_ns / _S)
        for executed in range(ROUND_MESSAGES_MAX):
            canister = self._next_canister()
            if canister is None:
                return executed
            self._execute_next(canister, now_ns)
        return ROUND_MESSAGES_MAX

    def _next_canister(self) -> Principal | None:
        if self._threads is not None:
            return self._threads.choose(self._queue.ready)
        if self._spent_total >= ROUND_INSTRUCTIONS_MAX:
            return None
        return self._queue.next_canister()

    def _execute_next(self, canister: Principal, now_ns: int) -> None:
        before = self._spent[canister]
        match self._queue.pop(canister):
            case QueuedCall() as call:
                self._execute_call(call, now_ns)
            case QueuedResponse() as response:
                self._execute_response(response, now_ns)
            case QueuedTimer():
                self._execute_timers(canister, now_ns)
            case QueuedHeartbeat():
                self._execute_heartbeat(canister, now_ns)
        if self._threads is not None:
            self._threads.run(canister, self._spent[canister] - before)
        elif self._spent[canister] >= CANISTER_ROUND_INSTRUCTIONS_MAX:
            self._queue.rest(canister)

    def answer(self, origin: Origin, answer: Answer, *, refund: int = 0) -> None:
        """Send an answer to wherever its call came from."""
        match origin:
            case FromUser(request):
                self._on_progress(request, answer)
            case FromCanister(canister):
                response = QueuedResponse(origin, answer, refund)
                # A caller that was deleted meanwhile is sought elsewhere, and the answer dropped.
                if canister in self._canisters:
                    self._queue.push(response)
                else:
                    self._outgoing.append(response)
            case FromSystem():
                pass

    def abandon(self, canister_id: Principal, reject: Reject) -> None:
        """Reject all that a canister has to answer: its code was removed.

        Calls that it has made stay open until they are answered, so that a stop waits for them.
        Those answers are dropped; their cycles still go back to the canister.
        """
        contexts = [each for each in self._contexts.values() if each.canister == canister_id]
        for context in contexts:
            if not context.is_answered:
                context.is_answered = True
                refund, context.cycles_available = context.cycles_available, 0
                self.answer(context.origin, reject, refund=refund)
            if context.is_done:
                self._close(context)
        for message in self._queue.drop(canister_id):
            if isinstance(message, QueuedCall):
                self.answer(message.origin, reject, refund=message.cycles)
            else:
                # Executes nothing, as its context is gone.
                self._queue.push(message)

    def _execute_call(self, call: QueuedCall, now_ns: int) -> None:
        if isinstance(call.origin, FromUser) and _is_expired(call.origin, now_ns):
            self.answer(call.origin, _timed_out(call.origin.request))
            return
        if call.callee == MANAGEMENT_CANISTER:
            managed = self._manage(call)
            if managed is not None:
                refund = call.cycles - managed.accepted_cycles
                self.answer(call.origin, managed.answer, refund=refund)
            elif isinstance(call.origin, FromUser):
                self._on_progress(call.origin.request, Processing())
            return
        started = self._prepare(call)
        if isinstance(started, Reject):
            self.answer(call.origin, started, refund=call.cycles)
            return
        instance, limit = started
        context = self._open(call.callee, call.caller, call.origin, instance)
        context.cycles_available = call.cycles
        context.is_query = instance.interface.methods[call.method].kind == "query"
        outcome = self._run(context, Update(call.method, call.arg), now_ns, limit=limit)
        self._charging.settle_execution(
            self._canisters[call.callee], limit=limit, used=outcome.instructions
        )
        self._conclude(context, outcome, now_ns)

    def _prepare(self, call: QueuedCall) -> tuple[CanisterInstance, int] | Reject:
        """The code for a call and its limit of instructions, paid for; or why it cannot start."""
        instance = available_instance(self._canisters, call.callee)
        if isinstance(instance, Reject):
            return instance
        method = instance.interface.methods.get(call.method)
        if method is None:
            return method_not_found(call.callee, "update", call.method)
        if method.kind == "composite_query":
            return _composite_as_update(call.callee)
        canister = self._canisters[call.callee]
        minimum = canister.settings.minimum_incoming_canister_call_cycles
        if isinstance(call.origin, FromCanister) and call.cycles < minimum:
            return _too_few_cycles(call.callee, minimum)
        limit = UPDATE_INSTRUCTIONS_MAX if method.kind == "update" else QUERY_INSTRUCTIONS_MAX
        reject = self._charging.prepay_execution(canister, limit)
        return (instance, limit) if reject is None else reject

    def _execute_timers(self, canister_id: Principal, now_ns: int) -> None:
        """Run the callbacks that are due, each in a message of its own.

        They are asked for now and not when they became due, so that those of a canister which was
        stopped or upgraded in between are neither lost nor run by the new code; and those of a
        frozen one wait for cycles.
        """
        instance = available_instance(self._canisters, canister_id)
        if isinstance(instance, Reject):
            return
        canister = self._canisters[canister_id]
        if self._charging.can_execute(canister, UPDATE_INSTRUCTIONS_MAX):
            for timer in instance.take_due_timers(now_ns):
                # What the one before has spent may leave too little; the rest stays due then.
                if not self._charging.can_execute(canister, UPDATE_INSTRUCTIONS_MAX):
                    break
                self._execute_task(canister, instance, TimerFired(timer), now_ns)
        canister.next_timer_ns = instance.next_timer_ns
        self._on_change(canister_id)

    def _execute_heartbeat(self, canister_id: Principal, now_ns: int) -> None:
        instance = available_instance(self._canisters, canister_id)
        if not isinstance(instance, Reject) and instance.interface.heartbeat is not None:
            self._execute_task(self._canisters[canister_id], instance, Heartbeat(), now_ns)

    def _execute_task(
        self,
        canister: Canister,
        instance: CanisterInstance,
        task: TimerFired | Heartbeat,
        now_ns: int,
    ) -> None:
        limit = UPDATE_INSTRUCTIONS_MAX
        if self._charging.prepay_execution(canister, limit) is not None:
            return
        # Kybra's timers are calls of the canister to itself; a heartbeat comes from the system.
        caller = MANAGEMENT_CANISTER if isinstance(task, Heartbeat) else canister.id
        context = self._open(canister.id, caller, FromSystem(), instance)
        outcome = self._run(context, task, now_ns, limit=limit)
        self._charging.settle_execution(canister, limit=limit, used=outcome.instructions)
        self._conclude(context, outcome, now_ns)

    def _execute_response(self, response: QueuedResponse, now_ns: int) -> None:
        self._free_place(response.to)
        canister = self._canisters.get(response.to.canister)
        if canister is None:
            return
        context = self._contexts.get(response.to.context)
        if context is None or response.to.continuation is None:
            self._take_back(canister, response)
            return
        context.open_calls -= 1
        if canister.instance is not context.instance:
            self._take_back(canister, response)
            self._conclude_without_code(context, now_ns)
            return
        self._receive(canister, response)
        message = _response_message(response.to.continuation, response.answer)
        outcome = self._run(
            context, message, now_ns, limit=UPDATE_INSTRUCTIONS_MAX, refunded=response.refund
        )
        if response.to.payment is not None:
            self._charging.settle_callback(canister, outcome.instructions)
        self._conclude(context, outcome, now_ns)

    def _free_place(self, call: FromCanister) -> None:
        """Let a caller make another call in the place of one that was answered."""
        if call.payment is None:
            return
        pair = call.canister, call.callee
        self._under_way[pair] -= 1
        if self._under_way[pair] == 0:
            del self._under_way[pair]

    def _receive(self, canister: Canister, response: QueuedResponse) -> None:
        """Give a caller the cycles that its call did not use."""
        canister.cycles += response.refund
        if response.to.payment is not None:
            self._charging.settle_response(canister, _answer_size(response.answer))

    def _take_back(self, canister: Canister, response: QueuedResponse) -> None:
        """Take an answer for which nothing is executed."""
        self._receive(canister, response)
        if response.to.payment is not None:
            self._charging.settle_callback(canister, 0)

    def _open(
        self, canister: Principal, caller: Principal, origin: Origin, instance: CanisterInstance
    ) -> CallContext:
        context = CallContext(next(self._ids), canister, caller, origin, instance)
        context.is_answered = isinstance(origin, FromSystem)
        self._contexts[context.id] = context
        self._canisters[canister].open_contexts += 1
        return context

    def _run(
        self, context: CallContext, message: Message, now_ns: int, *, limit: int, refunded: int = 0
    ) -> Outcome:
        canister = self._canisters[context.canister]
        environment = Environment(
            canister=canister.id,
            caller=context.caller,
            time_ns=now_ns,
            cycles=canister.cycles,
            cycles_available=context.cycles_available,
            cycles_refunded=refunded,
            instruction_limit=limit,
        )
        outcome = execute_safely(context.instance, message, environment)
        self.executed += 1
        self._spent[canister.id] += outcome.instructions
        self._spent_total += outcome.instructions
        if canister.next_timer_ns != context.instance.next_timer_ns:
            canister.next_timer_ns = context.instance.next_timer_ns
            self._on_change(canister.id)
        return outcome

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
            refund, context.cycles_available = context.cycles_available, 0
            self.answer(context.origin, answer, refund=refund)
        if context.is_done:
            self._close(context)
        elif isinstance(context.origin, FromUser) and not context.is_answered:
            self._on_progress(context.origin.request, Processing())

    def _conclude_without_code(self, context: CallContext, now_ns: int) -> None:
        """Take note of an answer that the code which waits for it is no longer there to read."""
        if not context.is_answered:
            trap = Trap("the code that made the call is gone", "IC0513")
            self._conclude(context, Outcome(trap=trap), now_ns)
        elif context.is_done:
            self._close(context)

    def _close(self, context: CallContext) -> None:
        del self._contexts[context.id]
        canister = self._canisters.get(context.canister)
        if canister is not None:
            canister.open_contexts -= 1

    def _commit(self, canister: Canister, context: CallContext, outcome: Outcome) -> None:
        canister.version += not context.is_query
        canister.cycles += outcome.cycles_accepted
        context.cycles_available -= outcome.cycles_accepted
        if outcome.certified_data is not None:
            canister.certified_data = outcome.certified_data
            self._on_change(canister.id)
        for call in outcome.calls:
            self._send(canister, context, call)

    def _send(self, canister: Canister, context: CallContext, call: OutgoingCall) -> None:
        origin = FromCanister(canister.id, context.id, call.continuation, call.callee, None)
        queued = QueuedCall(
            origin, canister.id, call.callee, call.method, call.arg, cycles=call.cycles
        )
        if call.continuation is not None:
            context.open_calls += 1
        pair = canister.id, call.callee
        if self._under_way[pair] >= QUEUE_CAPACITY:
            self.answer(origin, Reject(SYS_TRANSIENT, "Couldn't send message", "IC0201"))
            return
        payment = self._charging.prepay_call(
            canister, request_bytes=queued.size, attached=call.cycles
        )
        if payment is None:
            self.answer(origin, Reject(SYS_TRANSIENT, "Couldn't send message", "IC0207"))
            return
        self._under_way[pair] += 1
        self._dispatch(replace(queued, origin=replace(origin, payment=payment)))

    def _dispatch(self, call: QueuedCall) -> None:
        is_hosted = self._is_hosted(call)
        size_max = LOCAL_PAYLOAD_SIZE_MAX if is_hosted else REMOTE_PAYLOAD_SIZE_MAX
        if call.size > size_max:
            self.answer(call.origin, _oversized(call, size_max), refund=call.cycles)
        elif is_hosted:
            self._queue.push(call)
        else:
            self._outgoing.append(call)


def execute_safely(
    instance: CanisterInstance, message: Message, environment: Environment
) -> Outcome:
    """Run a message; should the host itself fail, one message fails and not the network."""
    try:
        outcome = instance.execute(message, environment)
    except Exception as error:  # noqa: BLE001 - the host has rolled back; its mistake must not end all canisters
        _log.exception("the canister host failed", canister=str(environment.canister))
        return Outcome(trap=Trap(f"the local network failed: {error!r}", "IC0502"))
    if outcome.trap is not None:
        method = getattr(message, "method", type(message).__name__)
        log_trap(environment.canister, method, outcome.trap)
    return outcome


def log_trap(canister: Principal, method: str, trap: Trap) -> None:
    """Tell the operator of a trap; the canister's own log has all of it."""
    reason = trap.message.partition("\n")[0]
    _log.info("canister trapped", canister=str(canister), method=method, reason=reason)


def available_instance(
    canisters: Mapping[Principal, Canister], canister_id: Principal
) -> CanisterInstance | Reject:
    """The code that can take a message now, or why there is none."""
    canister = canisters.get(canister_id)
    if canister is None:
        return no_such_canister(canister_id)
    if canister.instance is None:
        is_empty = canister.module is None
        return no_wasm_module(canister_id) if is_empty else inert_code(canister_id)
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
    report_prints(canister, outcome, "canister printed")
    if outcome.trap is not None:
        detail = outcome.trap.traceback or outcome.trap.message
        canister.log.append(LogLine(now_ns, f"[TRAP]: {detail}"))


def report_prints(canister: Canister, outcome: Outcome, event: str) -> None:
    """Show the developer what a message printed, or the beginning of much."""
    for text in outcome.prints[:_PRINTS_REPORTED_MAX]:
        _log.info(event, canister=str(canister.id), text=text)
    more = len(outcome.prints) - _PRINTS_REPORTED_MAX
    if more > 0:
        _log.info(event, canister=str(canister.id), text=f"... and {more} more lines")


def _is_expired(origin: FromUser, now_ns: int) -> bool:
    return origin.expiry_ns is not None and origin.expiry_ns < now_ns


def _timed_out(request: RequestId) -> Reject:
    reason = f"Ingress message 0x{request.hex()} timed out waiting to start executing."
    return Reject(SYS_TRANSIENT, reason, "IC0202")


def _composite_as_update(canister: Principal) -> Reject:
    reason = "Composite query cannot be called in replicated mode"
    return Reject(CANISTER_ERROR, f"Error from Canister {canister}: {reason}", "IC0527")


def _too_few_cycles(canister: Principal, minimum: int) -> Reject:
    reason = f"Canister {canister} requires at least {minimum} transferred cycles"
    return Reject(CANISTER_REJECT, reason, "IC0406")


def _oversized(call: QueuedCall, size_max: int) -> Reject:
    reason = (
        f"Canister {call.caller} violated contract: attempted to send a message of size "
        f"{call.size} exceeding the limit {size_max}"
    )
    return Reject(CANISTER_ERROR, reason, "IC0504")


def _response_message(continuation: int, answer: Answer) -> Response:
    if isinstance(answer, Replied):
        return Response(continuation, answer.arg)
    return Response(continuation, None, answer.code, answer.message)


def _answer_size(answer: Answer) -> int:
    return len(answer.arg) if isinstance(answer, Replied) else len(answer.message.encode())
