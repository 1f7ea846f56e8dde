"""What keeps a canister going between messages: timers, each of which finds its own next one.

The generated ``main.py`` makes one instance and gives it the ``ic`` functions::

    timers = FleetTimers(service, FleetRecords(Principal), FleetPorts(
        set_timer=ic.set_timer, set_timer_interval=ic.set_timer_interval,
        clear_timer=ic.clear_timer, time=ic.time, print=ic.print, trap=ic.trap,
        certify=ic.set_certified_data, is_exhausted=is_exhausted, upstream=upstream,
    ))

where ``upstream`` returns the Kybra service of a canister, given as text. Every update calls
``begin`` first and ``keep_running`` last; ``@init`` and ``@post_upgrade`` call ``keep_running``
last; ``follow`` and ``reseed`` call ``pull_now`` before that.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from icfleet_canister.alarms import Alarms
from icfleet_canister.certified_head import head_digest
from icfleet_canister.fleet_records import FleetRecords
from icfleet_canister.fleet_service import FleetService
from icfleet_canister.log_record import LogHead
from icfleet_canister.pull_messages import PageRequest, PullRequest
from icfleet_canister.replication import PULL_LEASE_S

__all__ = ["WATCH_PERIOD_S", "FleetPorts", "FleetTimers"]

#: Pause between two looks at the timers. On mainnet it costs about 1.90 dollars a month.
WATCH_PERIOD_S = 30


class FleetPorts(NamedTuple):
    """What the outside gives: Kybra's ``ic`` on chain, stand-ins in tests."""

    set_timer: Callable[[int, Callable[[], Any]], int]
    """Whole seconds and a callback in, the timer's id out."""
    set_timer_interval: Callable[[int, Callable[[], Any]], int]
    """Likewise, for ever: it goes on after a callback that traps."""
    clear_timer: Callable[[int], None]
    time: Callable[[], int]
    print: Callable[[str], None]
    trap: Callable[[str], Any]
    """Does not return."""
    certify: Callable[[bytes], None]
    """``ic.set_certified_data``."""
    is_exhausted: Callable[[], bool]
    """Whether this message should take on no more work."""
    upstream: Callable[[str], Any]
    """A canister by its principal, with ``log_since``, ``state_page`` and ``acknowledge``."""


class FleetTimers:
    """The jobs of one canister: restore, pull, views, sweep, and the watch over the others.

    Args:
        service: The canister.
        records: Its Candid records.
        ports: The outside.
    """

    def __init__(self, service: FleetService, records: FleetRecords, ports: FleetPorts) -> None:
        self._service = service
        self._records = records
        self._ports = ports
        self._alarms = Alarms(ports.set_timer, ports.clear_timer)
        self._certified: LogHead | None = None
        self._watch: int | None = None

    def begin(self) -> None:
        """Begin an update or a timer."""
        self._service.touch(self._ports.time())

    def keep_running(self) -> None:
        """Certify the head if it has moved, and arm the timers that are needed now.

        It calls nobody: after an upgrade the IC would not allow that.

        A job whose timer was lost to a trap is found here too, by the next message of any kind, or
        by ``watch``.
        """
        now_ns = self._ports.time()
        service, alarms = self._service, self._alarms
        head = service.member.head
        if head != self._certified:
            self._certified = head
            self._ports.certify(head_digest(head))
        if service.needs_restoring:
            alarms.by("restore", self.restore, 0, now_ns)
        view_delay_s = service.view_delay_s(now_ns)
        if view_delay_s is not None:
            alarms.by("views", self.tend_views, view_delay_s, now_ns)
        sweep_delay_s = service.sweeper.next_delay_s(now_ns)
        if sweep_delay_s is not None:
            alarms.by("sweep", self.sweep, sweep_delay_s, now_ns)
        if service.member.former_mains.due(now_ns) is not None:
            alarms.by("tell", self.tell_former_main, 0, now_ns)
        self._keep_watch(now_ns)
        if self._pulls and not alarms.is_armed("pull", now_ns):
            alarms.set("pull", self.pull, service.member.replication.next_delay_s, now_ns)

    def pull_now(self) -> None:
        """Pull at once, if there is an upstream: whom to follow has just been said."""
        if self._pulls:
            self._alarms.set("pull", self.pull, 0, self._ports.time())

    def restore(self) -> None:
        """Bring back a slice of what the upgrade has swept from the heap."""
        self._ring("restore")
        could_pull = self._service.member.is_restored
        self._service.restore_step(self._ports.time(), self._ports.is_exhausted)
        if self._service.member.is_restored and not could_pull:
            self.pull_now()
        self.keep_running()

    def tend_views(self) -> None:
        """Compute what is left over and re-date what has expired."""
        self._ring("views")
        self._service.tend_views(self._ports.time(), self._ports.is_exhausted)
        self.keep_running()

    def sweep(self) -> None:
        """Give back memory, a bounded amount of it."""
        self._ring("sweep")
        now_ns = self._ports.time()
        report = self._service.sweeper.tick(now_ns)
        if report.next_delay_s is not None:
            self._alarms.set("sweep", self.sweep, report.next_delay_s, now_ns)
        self.keep_running()

    def watch(self) -> None:
        """Set again what a trap has swept away, and show that the canister is awake.

        The only repeating timer: a one-shot whose callback traps is gone, with the ones it would
        have set, and a replica gets no other messages. A main notices by the gap between two of
        these that it was put back in time.
        """
        self.begin()
        self.keep_running()

    def tell_former_main(self) -> Generator[Any, Any, None]:
        """Tell a canister that may think it is the main that its epoch is over."""
        self._ring("tell")
        now_ns = self._ports.time()
        former_mains = self._service.member.former_mains
        canister = former_mains.due(now_ns)
        if canister is not None:
            former_mains.asked(canister, now_ns)
        self.keep_running()
        if canister is None:
            return
        position = self._records.position(self._service.member.head)
        result = yield self._ports.upstream(canister).acknowledge(position)
        self.begin()
        former_mains.answered(canister, self._ports.time(), is_told=result.Err is None)
        self.keep_running()

    def pull(self) -> Generator[Any, Any, None]:
        """Ask the upstream for what is new, and take it in.

        The timer that is set before the question is the lease: it pulls again if the answer, or
        the generator that waits for it, is lost. The answer replaces it by the next regular pull.
        Kybra drops an exception in a generator and keeps what it had changed, so both halves trap.
        """
        try:
            question = self._ask()
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error)
            return
        if question is None:
            return
        request, call = question
        result = yield call
        try:
            self._take(request, result)
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error)

    @property
    def _pulls(self) -> bool:
        return self._service.member.replication.upstream is not None

    def _keep_watch(self, now_ns: int) -> None:
        """Begin to watch, or end it where there is no other canister to care for."""
        member = self._service.member
        is_telling = bool(member.former_mains.canisters) and (
            now_ns < member.former_mains.tell_until_ns
        )
        is_needed = self._pulls or len(member.replicas) > 0 or is_telling
        if is_needed and self._watch is None:
            self._watch = self._ports.set_timer_interval(WATCH_PERIOD_S, self.watch)
        elif not is_needed and self._watch is not None:
            self._ports.clear_timer(self._watch)
            self._watch = None

    def _ring(self, name: str) -> None:
        self._alarms.ring(name)
        self.begin()

    def _give_up(self, error: Exception) -> None:
        self._ports.trap(f"pull: {type(error).__name__}: {error}")

    def _ask(self) -> tuple[PullRequest | PageRequest, Any] | None:
        """Take the lease, and return the question and its call."""
        self._ring("pull")
        now_ns = self._ports.time()
        if self._pulls:
            self._alarms.set("pull", self.pull, PULL_LEASE_S, now_ns)
        request = self._service.member.pull_request(now_ns)
        self.keep_running()
        if request is None:
            return None
        upstream = self._ports.upstream(request.upstream)
        if isinstance(request, PageRequest):
            cursor = self._records.cursor_opt(request.cursor)
            return request, upstream.state_page(cursor, request.size_max)
        position = self._records.position(request.head)
        return request, upstream.log_since(position, request.head.chain_hash, request.size_max)

    def _take(self, request: PullRequest | PageRequest, result: Any) -> None:
        """Take in the answer, acknowledge when that is due, and set the time of the next pull."""
        self.begin()
        now_ns = self._ports.time()
        if result.Err is not None:
            self._service.receive_trouble(request, result.Err, now_ns)
        elif isinstance(request, PageRequest):
            self._service.receive_page(request, self._records.page_answer(result.Ok), now_ns)
        else:
            answer = self._records.log_answer(result.Ok)
            self._service.receive_log(request, answer, now_ns, self._ports.is_exhausted)
        self._acknowledge(request.upstream, now_ns)
        if self._pulls:
            delay_s = self._service.member.replication.next_delay_s
            self._alarms.set("pull", self.pull, delay_s, now_ns)
        self.keep_running()

    def _acknowledge(self, upstream: str, now_ns: int) -> None:
        member = self._service.member
        if upstream != member.replication.upstream:
            return
        if member.acknowledgement(now_ns) is not None:
            self._tell(upstream)

    def _tell(self, canister: str) -> None:
        """Tell our position without waiting: a lost one is repeated."""
        position = self._records.position(self._service.member.head)
        self._ports.upstream(canister).acknowledge(position).notify()
