"""One subnet: canisters, rounds, and a state that is signed once a round.

Everything here is computed from what is passed in: messages, time and a seed.

Source: IC interface specification, "Abstract behavior" and "Certification"; dfinity/ic for the
order of things within a round.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from random import Random

from icfleet_localnet.alarms import Alarms
from icfleet_localnet.call_context import (
    Answer,
    FromUser,
    ManagementAnswer,
    QueuedCall,
    QueuedHeartbeat,
    QueuedResponse,
    QueuedTimer,
)
from icfleet_localnet.canister import Canister, QueryStats
from icfleet_localnet.certification import StateCertifier, SubnetKeys, SubnetRecord
from icfleet_localnet.certified_canisters import CertifiedCanisters
from icfleet_localnet.charging import CHARGE_INTERVAL_NS, Charging
from icfleet_localnet.event_log import EventLog
from icfleet_localnet.execution import Execution, available_instance, execute_safely
from icfleet_localnet.executor import Environment, Executor, Inspect
from icfleet_localnet.fees import APPLICATION_FEES, FeeSchedule
from icfleet_localnet.figures import Measured
from icfleet_localnet.ingress import IngressHistory, Processing
from icfleet_localnet.limits import (
    INGRESS_HISTORY_MAX,
    INGRESS_QUEUE_MAX,
    INSPECT_INSTRUCTIONS_MAX,
    UPDATE_INSTRUCTIONS_MAX,
)
from icfleet_localnet.management import Management, effective_canister, remove_code
from icfleet_localnet.queries import (
    HeldState,
    QueryCall,
    QueryResult,
    answer_held_query,
    answer_query,
)
from icfleet_localnet.rejects import (
    SYS_TRANSIENT,
    Reject,
    canister_trapped,
    id_not_hosted,
    inspect_refused,
    uninstalled,
)
from icfleet_localnet.thread_model import UpdateThreads
from icfleet_localnet.topology import SubnetPlan, canister_id
from icfleet_protocol.envelope import CallContent
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_protocol.request_id import RequestId

__all__ = ["CrossSubnetMessage", "RoundReport", "Subnet"]

_S = 1_000_000_000

_TIMER_SPACING_NS = _S // 20
"""A canister's timers are looked at this often at most, so that one without delay which sets itself
again does not keep the network busy. On the Internet Computer that is a round."""

_ENVELOPE_SIZE = 300
"""Bytes of a signed message beside its method and argument, of which the fee takes account. The
same for all, so that a fee does not depend on how a message was signed."""

_FREE_METHODS = frozenset({"update_settings", "provisional_top_up_canister"})
"""Management calls that a canister without cycles can get. Source: dfinity/ic lets short calls of
the first in for free; the second is ours, where cycles are free too."""

CrossSubnetMessage = QueuedCall | QueuedResponse

_log = EventLog(__name__)


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What a round brought about."""

    subnet: Principal
    height: int
    time_ns: int
    answered: tuple[RequestId, ...]
    """Requests that got their final answer."""
    messages: int = 0
    """Messages that were executed or delivered."""


class Subnet:
    """One subnet of a network.

    Args:
        executor: Runs the canisters.
        keys: The subnet's own keys.
        record: What others know of this subnet.
        subnets: The records of all subnets, the root first.
        now_ns: Time of the first state.
        seed: Secret from which the canisters' randomness is drawn.
        fees: What things cost.
        order: Shuffles in which order canisters are served.
        threads: Models the subnet's update threads.
        heartbeat_interval_ns: From one heartbeat to the next, at least.
    """

    def __init__(  # noqa: PLR0913 - only the network makes subnets, and names what it gives
        self,
        executor: Executor,
        keys: SubnetKeys,
        record: SubnetRecord,
        subnets: Sequence[SubnetRecord],
        *,
        now_ns: int,
        seed: bytes = b"",
        fees: FeeSchedule = APPLICATION_FEES,
        order: Random | None = None,
        threads: UpdateThreads | None = None,
        heartbeat_interval_ns: int = _S,
    ) -> None:
        self.record = record
        self.certifier = StateCertifier(keys, record, subnets)
        self.canisters: dict[Principal, Canister] = {}
        self.history = IngressHistory()
        self.height = 0
        self.time_ns = now_ns
        self.is_halted = False
        """Makes no rounds; what was sent to it waits."""
        self.measured: Sequence[Measured] | None = None
        """What the next charge goes by; measured by itself when nobody gives it."""
        self._seed = seed
        self._draws = count()
        self._next_number = record.plan.first_number
        self._answered: list[RequestId] = []
        self._changed: dict[Principal, None] = {}
        self._shown = CertifiedCanisters()
        self._alarms = Alarms()
        self._fired_ns: dict[Principal, int] = {}
        self._heartbeats: dict[Principal, None] = {}
        self._heartbeat_interval_ns = heartbeat_interval_ns
        self._next_heartbeat_ns = now_ns
        self._charged_ns = now_ns
        self._queries: dict[Principal, QueryStats] = {}
        """Counted since the last charge."""
        self._charging = Charging(fees)
        self._execution = Execution(
            self.canisters,
            manage=self._manage,
            is_hosted=self._is_hosted,
            on_progress=self._on_progress,
            on_change=self._on_change,
            charging=self._charging,
            order=order,
            threads=threads,
        )
        self._management = Management(
            self.canisters,
            executor,
            charging=self._charging,
            allocate=self._allocate,
            answer=self._execution.answer,
            abandon=self._execution.abandon,
            has_messages=self._execution.has_messages,
            draw_random=self._draw_random,
            on_change=self._on_change,
        )
        self._certify()

    @property
    def id(self) -> Principal:
        """Self-authenticating over the subnet's key."""
        return self.record.id

    @property
    def plan(self) -> SubnetPlan:
        """What the subnet is for, and which ids it hosts."""
        return self.record.plan

    @property
    def public_key_der(self) -> bytes:
        """The subnet's public key."""
        return self.record.public_key_der

    @property
    def queue_length(self) -> int:
        """Messages that wait to be executed."""
        return self._execution.queue_length

    @property
    def canisters_digest(self) -> bytes:
        """What the canisters' part of the certified state hashes to."""
        return self._shown.forest.digest

    @property
    def has_work(self) -> bool:
        """Whether a round would execute something that already waits."""
        return self._execution.queue_length > 0

    @property
    def next_event_ns(self) -> int | None:
        """When the next timer or heartbeat is due, or a stop times out."""
        events = [self._alarms.first_ns, self._management.next_deadline_ns]
        if self._heartbeats:
            events.append(self._next_heartbeat_ns)
        return min((event_ns for event_ns in events if event_ns is not None), default=None)

    def is_charge_due(self, now_ns: int) -> bool:
        """Whether a round would charge canisters for what they keep."""
        due_ns = self._charged_ns + CHARGE_INTERVAL_NS
        return bool(self.canisters) and due_ns <= self._round_ns(now_ns) and not self.is_halted

    def query_count(self, canister: Canister) -> int:
        """How many queries a canister has executed, also those that its status does not tell."""
        waiting = self._queries.get(canister.id, QueryStats())
        return canister.query_stats.num_calls_total + waiting.num_calls_total

    def measure(self) -> list[Measured]:
        """What is new about canisters that the messages do not tell."""
        each = (
            canister.measure(self._queries.get(name)) for name, canister in self.canisters.items()
        )
        return [measured for measured in each if measured is not None]

    def check_ingress(self, call: CallContent) -> Reject | None:
        """Why one node would refuse an ingress message before it reaches consensus, if it would."""
        refusal = self._check_room(call)
        if refusal is not None:
            return refusal
        if call.canister == MANAGEMENT_CANISTER:
            refusal = self._management.check(call.sender, call.method, call.arg)
            return refusal or self._check_payment(call)
        instance = available_instance(self.canisters, call.canister)
        if isinstance(instance, Reject):
            return instance
        refusal = self._check_payment(call)
        if refusal is not None or instance.interface.inspect_message is None:
            return refusal
        environment = Environment(
            canister=call.canister,
            caller=call.sender,
            time_ns=self.time_ns,
            cycles=self.canisters[call.canister].cycles,
            instruction_limit=INSPECT_INSTRUCTIONS_MAX,
        )
        outcome = execute_safely(instance, Inspect(call.method, call.arg), environment)
        for text in outcome.prints:
            _log.info("inspect_message printed", canister=str(call.canister), text=text)
        if outcome.trap is not None:
            return canister_trapped(call.canister, outcome.trap)
        return None if outcome.is_accepted else inspect_refused(call.canister, call.method)

    def submit(self, call: CallContent, request: RequestId) -> None:
        """Accept an ingress message; a request that is known already is not executed again."""
        if request in self.history:
            return
        self.history.add(request, call.sender, call.canister, expiry_ns=call.ingress_expiry_ns)
        refusal = self._check_payment(call)
        if refusal is not None:
            self._on_progress(request, refusal)
            return
        payer = self._payer(call)
        if payer is not None:
            self._charging.take_ingress(payer, _ingress_size(call))
        origin = FromUser(request, call.ingress_expiry_ns)
        self._execution.enqueue(
            QueuedCall(origin, call.sender, call.canister, call.method, call.arg)
        )

    def run_round(self, now_ns: int) -> RoundReport:
        """Let canisters run that want to, execute what waits, then certify the state."""
        self.time_ns = self._round_ns(now_ns)
        self.height += 1
        self._charge_resources()
        self._enqueue_tasks()
        messages = self._execution.run_round(self.time_ns)
        self._management.settle_stops(self.time_ns)
        self.history.forget_expired(self.time_ns)
        self._certify()
        answered, self._answered = tuple(self._answered), []
        return RoundReport(self.id, self.height, self.time_ns, answered, messages)

    def query(
        self, call: CallContent, *, data_certificate: bytes, held: HeldState | None = None
    ) -> QueryResult:
        """Run a query against the committed state; nothing of it stays.

        Args:
            call: The query.
            data_certificate: What ``ic.data_certificate`` answers.
            held: An old state to be asked in place of the last one.
        """
        if call.canister == MANAGEMENT_CANISTER:
            return QueryResult(self._management.query(call.sender, call.method, call.arg))
        query = QueryCall(call.sender, call.canister, call.method, call.arg)
        if held is not None:
            return answer_held_query(self.canisters, query, held, data_certificate=data_certificate)
        return answer_query(
            self.canisters,
            self._charging,
            query,
            time_ns=self.time_ns,
            data_certificate=data_certificate,
            counts=self._queries,
        )

    def take_outgoing(self) -> list[CrossSubnetMessage]:
        """Hand over what the last round sent to other subnets, in order."""
        return self._execution.take_outgoing()

    def receive(self, message: CrossSubnetMessage) -> None:
        """Take a message from another subnet; it is executed in the next round."""
        self._execution.enqueue(message)

    def refuse(self, call: QueuedCall, reject: Reject) -> None:
        """Answer a call of this subnet's canister that cannot be delivered."""
        self._execution.answer(call.origin, reject, refund=call.cycles)

    def _round_ns(self, now_ns: int) -> int:
        """The time of the next round, if it is made now."""
        return max(now_ns, self.time_ns + 1)

    def _manage(self, call: QueuedCall) -> ManagementAnswer | None:
        return self._management.execute(call, self.time_ns)

    def _on_progress(self, request: RequestId, status: Answer | Processing) -> None:
        self.history.update(request, status)
        # Of a request that is forgotten there is nothing to show to who waits for it.
        if not isinstance(status, Processing) and request in self.history:
            self._answered.append(request)

    def _on_change(self, canister_id: Principal) -> None:
        """Note what is to be certified anew, and when the canister wants to run."""
        self._changed[canister_id] = None
        canister = self.canisters.get(canister_id)
        is_running = canister is not None and canister.status == "running"
        if canister is None or canister.instance is None or not is_running:
            self._alarms.set(canister_id, None)
            self._fired_ns.pop(canister_id, None)
            self._heartbeats.pop(canister_id, None)
            return
        self._alarms.set(canister_id, self._timer_ns(canister))
        if canister.instance.interface.heartbeat is None:
            self._heartbeats.pop(canister_id, None)
        else:
            self._heartbeats[canister_id] = None

    def _timer_ns(self, canister: Canister) -> int | None:
        """When to look at a canister's timers; later if it was just done, or it cannot pay."""
        due_ns = canister.next_timer_ns
        if due_ns is None:
            return None
        if due_ns <= self.time_ns and not self._charging.can_execute(
            canister, UPDATE_INSTRUCTIONS_MAX
        ):
            return self.time_ns + CHARGE_INTERVAL_NS
        fired_ns = self._fired_ns.get(canister.id)
        return due_ns if fired_ns is None else max(due_ns, fired_ns + _TIMER_SPACING_NS)

    def _enqueue_tasks(self) -> None:
        for canister in self._alarms.take_due(self.time_ns):
            self._fired_ns[canister] = self.time_ns
            self._execution.enqueue(QueuedTimer(canister))
        if not self._heartbeats or self.time_ns < self._next_heartbeat_ns:
            return
        self._next_heartbeat_ns = self.time_ns + self._heartbeat_interval_ns
        for canister in self._heartbeats:
            self._execution.enqueue(QueuedHeartbeat(canister))

    def _charge_resources(self) -> None:
        """Charge all canisters for whole seconds since the last time, every ten seconds."""
        if not self.canisters:
            self._charged_ns = self.time_ns
            return
        duration_ns = self.time_ns - self._charged_ns
        if duration_ns < CHARGE_INTERVAL_NS:
            return
        duration_s = duration_ns // _S
        self._charged_ns += duration_s * _S
        self._take_over_figures()
        for canister in [*self.canisters.values()]:
            age_s = max(0, self.time_ns - canister.created_ns) // _S
            memory_bytes = canister.memory.total
            can_pay = self._charging.take_resources(
                canister, memory_bytes=memory_bytes, duration_s=min(duration_s, age_s)
            )
            self._shown.count(canister, memory_bytes)
            if not can_pay and canister.module is not None:
                self._uninstall(canister)

    def _take_over_figures(self) -> None:
        measured = self.measure() if self.measured is None else self.measured
        self.measured = None
        self._queries.clear()
        for each in measured:
            canister = self.canisters.get(Principal(each.canister))
            if canister is not None:
                canister.take_over(each)

    def _uninstall(self, canister: Canister) -> None:
        """Remove code, state, allocations and history of a canister that has no cycles left.

        Source: dfinity/ic ``charge_canisters_for_resource_allocation_and_usage``.
        """
        self._execution.abandon(canister.id, uninstalled(canister.id))
        remove_code(canister)
        canister.settings = replace(canister.settings, compute_allocation=0, memory_allocation=0)
        canister.history.forget()
        _log.info("canister ran out of cycles and was uninstalled", canister=str(canister.id))
        self._on_change(canister.id)

    def _check_room(self, call: CallContent) -> Reject | None:
        if len(self.history) >= INGRESS_HISTORY_MAX and self.record.kind != "system":
            reason = f"The ingress history has its maximum of {INGRESS_HISTORY_MAX} messages"
            return Reject(SYS_TRANSIENT, reason, "IC0204")
        if self._execution.queue.ingress_count(call.canister) >= INGRESS_QUEUE_MAX:
            reason = f"{INGRESS_QUEUE_MAX} messages already wait for canister {call.canister}"
            return Reject(SYS_TRANSIENT, reason, "IC0201")
        return None

    def _payer(self, call: CallContent) -> Canister | None:
        """Who pays for an ingress message, if anybody does."""
        if call.canister != MANAGEMENT_CANISTER:
            return self.canisters.get(call.canister)
        if call.method in _FREE_METHODS:
            return None
        target = effective_canister(call.method, call.arg)
        return self.canisters.get(target) if isinstance(target, Principal) else None

    def _check_payment(self, call: CallContent) -> Reject | None:
        payer = self._payer(call)
        return None if payer is None else self._charging.check_ingress(payer, _ingress_size(call))

    def _is_hosted(self, call: QueuedCall) -> bool:
        """Whether a canister's call stays on this subnet."""
        if call.callee != MANAGEMENT_CANISTER:
            return self.plan.hosts(call.callee)
        target = effective_canister(call.method, call.arg)
        return target is None or isinstance(target, Reject) or self.plan.hosts(target)

    def _allocate(self, specified: Principal | None) -> Principal | Reject:
        if specified is not None:
            return specified if self.plan.hosts(specified) else id_not_hosted(specified, self.id)
        while (canister := canister_id(self._next_number)) in self.canisters:
            self._next_number += 1
        self._next_number += 1
        return canister

    def _draw_random(self) -> bytes:
        """32 bytes that nobody can foresee who does not know the seed."""
        drawn = b"raw_rand %d %d" % (self.height, next(self._draws))
        return hashlib.sha256(drawn + self._seed).digest()

    def _certify(self) -> None:
        for name in self._execution.executed_canisters:
            if name in self.canisters:
                self._shown.count(self.canisters[name])
        for name in self._changed:
            canister = self.canisters.get(name)
            if canister is None:
                self._shown.drop(name)
            else:
                self._shown.show(canister)
        self._changed.clear()
        self.certifier.certify(
            time_ns=self.time_ns,
            requests=self.history.forest,
            canisters=self._shown.forest,
            metrics=self._shown.metrics(self._execution.executed),
        )


def _ingress_size(call: CallContent) -> int:
    return len(call.method.encode()) + len(call.arg) + _ENVELOPE_SIZE
