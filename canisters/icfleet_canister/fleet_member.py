"""One canister of a fleet: its role, its log, and everything of the library that hangs on them.

A main decides batches; a replica pulls; both append to the same kind of log, answer pulls, and
survive upgrades with the same small row of state. A canister that is installed as main is *fenced*
until ``promote`` opens its first epoch, and is fenced again when it learns that its epoch is over
or that it was rolled back: then it answers reads and pulls, and decides nothing.

The canister's entry file turns its Candid records into calls of this class and the results back
into records. It must trap when one of them raises: what a message has begun is undone that way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from icfleet_canister.batch_applier import Application, BatchApplier, PendingOperation, Verdict
from icfleet_canister.change_log import RECORD_SIZE_MAX, SKEW_MAX_NS, ChangeLog, LogExtent
from icfleet_canister.fleet_errors import (
    ConfigurationError,
    Problem,
)
from icfleet_canister.former_mains import FormerMains
from icfleet_canister.id_window import CREATED_AHEAD_MAX_NS, ID_MEMORY_NS, IdWindow
from icfleet_canister.log_record import (
    APPLIED,
    LogHead,
    Position,
    RowChange,
    encode_epoch,
    library_record,
)
from icfleet_canister.member_settings import MemberSettings, settings_problem
from icfleet_canister.member_state import (
    FENCE_SIZE_MAX,
    PRINCIPAL_SIZE_MAX,
    Fence,
    MemberState,
    decode_state,
    encode_state,
)
from icfleet_canister.rate_limiter import RateLimiter
from icfleet_canister.replica_intake import ReplicaIntake
from icfleet_canister.replication import (
    NUMBER_MAX,
    Cursor,
    LogAnswer,
    LogBatch,
    NotReady,
    PageAnswer,
    PageRequest,
    PullRequest,
    ReplicaRegistry,
    Replication,
    Request,
    StatePage,
    WrongCursor,
    answer_pull,
)
from icfleet_canister.seeding import (
    PAGE_ROWS_SIZE_MAX,
    PAGE_SLOTS_MAX,
    SeedableRows,
    Seeding,
)
from icfleet_canister.stable_map import StableMap
from icfleet_canister.wake_guard import WAKE_RETRY_NS, WakeGuard

__all__ = ["FleetMember", "MemberApplication", "MemberStores"]

#: Pages of the log read back in one slice: 1.7 M instructions for one of 22 records (3,300
#: bytecodes and one get), 5 M for one of 60 refusals; so 1.4 G, and 4 G at most.
RESTORE_PAGES_MAX = 800

#: One page given back is worth so many units of the sweeper's work: two gets and a removal.
SWEEP_UNITS_A_PAGE = 50

_STATE_KEY = "member"
_WAKING = Problem("Waking", "this main waits for its replicas' positions; try again in a minute")

Body = TypeVar("Body")


class MemberApplication(Application[Body], Protocol[Body]):
    """The rules and rows of a canister that can be main or replica."""

    def flush(self) -> None:
        """Write what ``apply`` changed to stable memory."""
        ...


class MemberStores(NamedTuple):
    """The stable maps of a member."""

    state: StableMap[str, bytes]
    """A few rows of up to 8,000 bytes."""
    pages: StableMap[int, bytes]
    """The log: see ``change_log.PAGE_SIZE_MAX``."""


class FleetMember(Generic[Body]):
    """Main or replica, by state.

    ``start`` or ``resume`` must be called before anything else.

    Args:
        application: The rules.
        rows: The rows that the application changes.
        stores: Stable memory.
        limiter: Rates, charged when a batch is decided.
        row_size_max: Longest row in bytes.
    """

    def __init__(
        self,
        application: MemberApplication[Body],
        rows: SeedableRows,
        stores: MemberStores,
        limiter: RateLimiter,
        *,
        row_size_max: int,
    ) -> None:
        self._application = application
        self._rows = rows
        self._stores = stores
        self._limiter = limiter
        self._row_size_max = row_size_max
        self.is_main: bool
        self.installer: str
        self.applied: int
        """Records in the log that are no refusals, also those long trimmed."""
        self.refused: int
        """Records in the log whose operation was refused, likewise."""
        self.settings: MemberSettings
        self.log: ChangeLog
        self.replicas: ReplicaRegistry
        self.window: IdWindow
        self.applier: BatchApplier[Body]
        self.replication: Replication
        self._fence: Fence | None
        self._guard: WakeGuard
        self.former_mains: FormerMains
        self._seeding: Seeding
        self._intake: ReplicaIntake
        self._load(MemberState(is_main=False, installer="", extent=LogExtent.empty()))

    # Installation and upgrades.

    def start(self, *, is_main: bool, installer: str) -> None:
        """Begin an empty log, at installation.

        Args:
            is_main: A main is fenced until it is promoted; a replica waits for ``follow``.
            installer: Principal that installed the canister, as text.
        """
        fence = Fence("not opened") if is_main else None
        self._load(MemberState(is_main, installer, LogExtent.empty(), fence=fence))
        self._save()

    def resume(self, now_ns: int) -> None:
        """Go on after an upgrade; ``restore_step`` brings back the window of ids.

        Raises:
            ConfigurationError: If stable memory holds no state of a member.
            EncodingError: If it holds one that this version cannot read.
        """
        data = self._stores.state.get(_STATE_KEY)
        if data is None:
            reason = "no member state in stable memory: was the canister installed with it?"
            raise ConfigurationError(reason)
        self._load(decode_state(data))
        if self.is_main:
            self.window.begin_restore(self.log)
        self.touch(now_ns)

    def suspend(self, now_ns: int) -> None:
        """Write down when the canister was last awake, before an upgrade. Never raises.

        An upgrade that fails here could never be repaired by an upgrade.
        """
        try:
            self.touch(now_ns)
            self._save()
        except Exception:  # noqa: BLE001, S110 - the upgrade is taken for a gap then, no more
            pass

    @property
    def is_restored(self) -> bool:
        """Whether ``restore_step`` has nothing to do now."""
        return self.window.is_complete and not self._seeding.is_clearing

    def restore_step(self, now_ns: int) -> bool:
        """Do a slice of what is left over; return whether that was the last.

        That is to read the log back into the window of ids, on a main after an upgrade or a
        promotion, and to remove rows beyond the upstream's last one, on a replica that is seeded.
        """
        if not self.window.is_complete:
            self.window.restore(self.log, now_ns, RESTORE_PAGES_MAX)
        elif self._seeding.is_clearing:
            self._intake.clear_step()
            self._application.flush()
            self._save()
        return self.is_restored

    def sweep(self, now_ns: int, work_max: int) -> int:
        """Give back pages of the log; see ``Sweepable``.

        An id that the window still holds needs its record, so the window is swept first.
        """
        pages = max(work_max // SWEEP_UNITS_A_PAGE, 1)
        oldest_ns = self.window.next_sweep_ns()
        is_window_swept = oldest_ns is None or oldest_ns >= now_ns
        pages_max = self.settings.log_pages_max if is_window_swept else self.log.page_count
        done = self.log.trim(now_ns, pages_max, pages)
        if done:
            self._save()
        return work_max if done == pages else done * SWEEP_UNITS_A_PAGE

    def next_sweep_ns(self) -> int | None:
        """Return when pages may be given back, or ``None``."""
        return self.log.next_sweep_ns(self.settings.log_pages_max)

    # State.

    @property
    def head(self) -> LogHead:
        """Where the log ends."""
        return self.log.head

    @property
    def fence(self) -> str | None:
        """Why a main decides nothing."""
        return None if self._fence is None else self._fence.reason

    @property
    def is_seeding(self) -> bool:
        """Whether rows are not whole: pages or records are missing, or too many are there."""
        return self._seeding.is_partial

    @property
    def seeded_slots(self) -> int:
        """Slots taken over so far, while seeding."""
        return self._seeding.progress.slot

    @property
    def decides(self) -> bool:
        """Whether this canister writes the log."""
        return self.is_main and self._fence is None and not self.is_seeding

    def touch(self, now_ns: int) -> None:
        """Note that a message is executed: first in every update and every timer."""
        if self.is_main:
            self._guard.touch(now_ns, has_replicas=len(self.replicas) > 0)

    @property
    def _is_waking(self) -> bool:
        """Whether this main may be its own past, as of this message."""
        return self.decides and self.wakes(self._guard.last_active_ns)

    def wakes(self, now_ns: int) -> bool:
        """Return whether a main waits for its replicas' positions before it decides."""
        seen_at_ns = [replica.seen_at_ns for replica in self.replicas.all]
        return self.is_main and self._guard.wakes(now_ns, seen_at_ns)

    # What a main does.

    def submit(
        self,
        caller: str,
        operations: Sequence[PendingOperation[Body]],
        *,
        now_ns: int,
        is_exhausted: Callable[[], bool],
    ) -> list[Verdict]:
        """Decide a batch; see ``BatchApplier.apply``. A main that wakes says ``Busy``."""
        assert self.decides, "this canister decides nothing"
        before = self.head.seq
        verdicts = self.applier.apply(
            caller,
            operations,
            now_ns=now_ns,
            is_exhausted=is_exhausted,
            busy_ns=WAKE_RETRY_NS if self.wakes(now_ns) else 0,
        )
        if self.head.seq > before:
            fresh = {verdict.seq for verdict in verdicts if verdict.seq > before}
            applied = {verdict.seq for verdict in verdicts if verdict.case == "Applied"} & fresh
            self.applied += len(applied)
            self.refused += len(fresh) - len(applied)
            self._application.flush()
            self._save()
        else:
            self._application.flush()
        return verdicts

    def record_change(self, subject: str, rows: Sequence[RowChange], now_ns: int) -> None:
        """Put a change that is not an operation into the log, on the main: a setting, a role.

        Its id is ``library_id``, its digest that of nothing.
        """
        assert self.decides, "this canister decides nothing"
        record = library_record(self.head.seq + 1, subject, APPLIED, rows, now_ns)
        self._append_own(record, rows, now_ns)

    def promotion_problem(self, expected: int, new: int) -> Problem | None:
        """Return why ``promote`` would be refused, or ``None``."""
        own = self.head.epoch
        if self.decides:
            return Problem("AlreadyMain", f"this is the main of epoch {own} already")
        if expected != own:
            return Problem("WrongEpoch", f"this canister is in epoch {own}, not {expected}")
        seen = max(
            own,
            self._fence.epoch if self._fence is not None else 0,
            max((replica.epoch for replica in self.replicas.all), default=0),
        )
        if not seen < new <= NUMBER_MAX:
            reason = f"epoch {seen} was there already: {new} must be above it and below 2**63"
            return Problem("WrongEpoch", reason)
        if self.is_seeding:
            return Problem("NotServing", "rows are being taken over from another canister")
        return None

    def promote(
        self, expected: int, new: int, *, caller: str, rows: Sequence[RowChange], now_ns: int
    ) -> Problem | None:
        """Become the main of a new epoch, by compare-and-set; ``Busy`` until ids are restored.

        Args:
            expected: The epoch this canister is in.
            new: Higher than every epoch that it knows of.
            caller: Who does it, as text.
            rows: What is to change with the epoch's first record: it names the main.
            now_ns: Time of this message.
        """
        problem = self.promotion_problem(expected, new)
        if problem is not None:
            return problem
        record = library_record(self.head.seq + 1, caller, encode_epoch(new), rows, now_ns)
        if not self.is_main:
            self.window.begin_restore(self.log)
        self.is_main = True
        self._fence = None
        self._guard = WakeGuard(now_ns)
        self._seeding.abandon()
        self.replication.follow(None)
        self._append_own(record, rows, now_ns)
        return None

    def demote(self, expected: int) -> Problem | None:
        """Become a replica without upstream, at once, by compare-and-set."""
        if not self.is_main:
            return Problem("NotMain", "this canister is a replica already")
        if expected != self.head.epoch:
            reason = f"this canister is in epoch {self.head.epoch}, not {expected}"
            return Problem("WrongEpoch", reason)
        if self._is_waking:
            # Its position may be an old one, and a successor would take it for the last.
            return _WAKING
        self.is_main = False
        self._fence = None
        self.window.clear()
        self._save()
        return None

    # What admins do besides.

    def attach(self, canister: str) -> Problem | None:
        """Let a canister pull; nothing is wrong if it may already."""
        assert len(canister) <= PRINCIPAL_SIZE_MAX, len(canister)
        if not self.replicas.attach(canister):
            return Problem("NoRoom", f"{len(self.replicas)} replicas are attached already")
        self._save()
        return None

    def detach(self, canister: str) -> Problem | None:
        """Let it pull no more; not while its position is waited for."""
        if self._is_waking:
            return _WAKING
        self.replicas.detach(canister)
        self._save()
        return None

    def follow(self, upstream: str) -> Problem | None:
        """Pull from this canister from now on, at once."""
        assert len(upstream) <= PRINCIPAL_SIZE_MAX, len(upstream)
        if self.is_main:
            return Problem("NotReplica", "a main follows nobody: demote it first")
        if upstream != self.replication.upstream:
            self._seeding.change_upstream()
        self.replication.follow(upstream)
        self._save()
        return None

    def reseed(self, upstream: str) -> Problem | None:
        """Follow, and take everything over anew; what differs here is discarded."""
        problem = self.follow(upstream)
        if problem is not None:
            return problem
        self._seeding.begin(is_forced=True)
        self._save()
        return None

    def configure(self, settings: MemberSettings) -> Problem | None:
        """Change the settings; the caller tells the limiter about its rate."""
        reason = settings_problem(settings)
        if reason is not None:
            return Problem("BadSetting", reason)
        self.settings = settings
        self.replication.pull_idle_s = settings.pull_idle_s
        self._save()
        return None

    # What an upstream answers.

    def acknowledge(self, canister: str, epoch: int, seq: int, now_ns: int) -> None:
        """Note how far an attached replica is; a main is fenced by one that is ahead."""
        if not self.replicas.acknowledge(canister, epoch, seq, now_ns):
            return
        theirs, own = Position(epoch, seq), self.head.position
        if not self.is_main or self._fence is not None or theirs <= own:
            return
        reason = f"rolled back: {canister} is at {theirs}, ahead of {own}"
        if epoch > own.epoch:
            reason = f"epoch {epoch} was seen at {canister}"
        self._fence = Fence(reason[:FENCE_SIZE_MAX], epoch)
        self._save()

    def answer_pull(self, head: LogHead, size_max: int, now_ns: int, own: str) -> LogAnswer:
        """Return records for a replica that is at ``head``, or why there are none.

        Args:
            head: Whatever it says.
            size_max: Bytes of records it wants, at most.
            now_ns: Time of this message.
            own: This canister, as text: the first of the path.
        """
        if self.is_seeding:
            return NotReady()
        answer = answer_pull(self.log, head, size_max)
        if isinstance(answer, LogBatch):
            path = (own, *self.replication.path)
            return answer._replace(path=path, acknowledge=self.wakes(now_ns))
        return answer

    def answer_page(
        self, own: str, cursor: Cursor | None, size_max: int, now_ns: int
    ) -> PageAnswer:
        """Return a page of rows, or why there is none.

        Args:
            own: This canister, as text.
            cursor: Where to begin, if not at the first slot.
            size_max: Bytes of rows wanted, at most.
            now_ns: Time of this message.
        """
        if self.is_seeding or self.head.seq == 0:
            return NotReady()
        if cursor is not None and cursor.upstream != own:
            return WrongCursor(f"the cursor is of {cursor.upstream}, this is {own}")
        slot = 0 if cursor is None else cursor.slot
        end_slot = self._rows.end_slot
        if slot > end_slot:
            return WrongCursor(f"slot {slot} is beyond the last one, {end_slot}")
        rows, end = self._rows.page(slot, min(size_max, PAGE_ROWS_SIZE_MAX), PAGE_SLOTS_MAX)
        return StatePage(
            head=self.head,
            taken_at_ns=self._taken_at_ns(now_ns),
            applied=self.applied,
            refused=self.refused,
            epochs=self.log.epochs,
            rows=rows,
            end=end,
            next=Cursor(own, end) if end < end_slot else None,
        )

    # What a replica does.

    def pull_request(self, now_ns: int) -> Request | None:
        """Take the lease and return what to ask the upstream now, if anything."""
        return None if self.is_main else self._intake.request(now_ns)

    def receive_log(self, request: PullRequest, answer: LogAnswer, own: str, now_ns: int) -> int:
        """Take in an answer to a pull; return how many records were new.

        What is wrong with it is noted in ``replication.error``; see ``ReplicaIntake``.
        """
        if self.is_main:
            return 0
        taken = self._intake.receive_log(request, answer, own, now_ns)
        self.applied += taken.applied
        self.refused += taken.refused
        if taken.is_changed:
            self._application.flush()
            self._save()
        return taken.applied + taken.refused

    def receive_page(self, request: PageRequest, answer: PageAnswer, now_ns: int) -> None:
        """Take in an answer to the question for a page, likewise."""
        if self.is_main:
            return
        taken = self._intake.receive_page(request, answer, now_ns)
        page = taken.first_page
        if page is not None:
            self.applied, self.refused = page.applied, page.refused
            taken_at_ns = min(page.taken_at_ns, now_ns + SKEW_MAX_NS)
            horizon_ns = taken_at_ns + CREATED_AHEAD_MAX_NS
            self.window.horizon_ns = max(self.window.horizon_ns, horizon_ns)
        if taken.is_changed:
            self._application.flush()
            self._save()

    def receive_trouble(self, request: Request, reason: str, now_ns: int) -> None:  # noqa: ARG002 - as for answers
        """Note that an answer did not come, and back off."""
        if not self.is_main:
            self._intake.receive_trouble(request, reason)

    def acknowledgement(self, now_ns: int) -> LogHead | None:
        """Return the position to tell the upstream now, if any."""
        return None if self.is_main else self.replication.acknowledgement(now_ns)

    def note_former_mains(self, canisters: Sequence[str], now_ns: int) -> None:
        """Remember who wrote the log until this epoch, so that it is told that it is over."""
        self.former_mains.note(canisters, now_ns)
        self._save()

    def _taken_at_ns(self, now_ns: int) -> int:
        """Return a time that no operation in the rows was created 5 minutes after.

        It was so by the clock of the canister that decided it, which may be ahead of ours.
        """
        return max(
            now_ns,
            self.log.kept_until_ns - ID_MEMORY_NS,
            self.window.horizon_ns - CREATED_AHEAD_MAX_NS,
        )

    def _append_own(self, record: bytes, rows: Sequence[RowChange], now_ns: int) -> None:
        assert len(record) <= RECORD_SIZE_MAX, len(record)
        self._application.apply(rows)
        self.log.append([record], now_ns)
        self.applied += 1
        self._application.flush()
        self._save()

    def _load(self, state: MemberState) -> None:
        self.is_main = state.is_main
        self.installer = state.installer
        self.applied = state.applied
        self.refused = state.refused
        self.settings = state.settings
        self._rows.end_slot = state.end_slot
        self.log = ChangeLog(self._stores.pages, state.extent)
        self.replicas = ReplicaRegistry(state.attached)
        self.window = IdWindow()
        self.window.horizon_ns = state.horizon_ns
        self.applier = BatchApplier(
            self._application,
            self.log,
            self.window,
            self._limiter,
            row_size_max=self._row_size_max,
        )
        self.replication = Replication(
            self.log, row_size_max=self._row_size_max, upstream=state.upstream or None
        )
        self.replication.pull_idle_s = state.settings.pull_idle_s
        self._fence = state.fence
        self._guard = WakeGuard(state.last_active_ns, state.waking_since_ns)
        self.former_mains = FormerMains(state.former_mains, state.tell_until_ns)
        self._seeding = Seeding(
            self.log, self._rows, row_size_max=self._row_size_max, progress=state.seeding
        )
        self._intake = ReplicaIntake(
            self._application.apply, self._rows, self.log, self.replication, self._seeding
        )

    def _save(self) -> None:
        state = MemberState(
            is_main=self.is_main,
            installer=self.installer,
            extent=self.log.extent,
            applied=self.applied,
            refused=self.refused,
            end_slot=self._rows.end_slot,
            settings=self.settings,
            upstream=self.replication.upstream or "",
            attached=[replica.canister for replica in self.replicas.all],
            fence=self._fence,
            horizon_ns=self.window.horizon_ns,
            last_active_ns=self._guard.last_active_ns,
            waking_since_ns=self._guard.waking_since_ns,
            seeding=self._seeding.progress,
            former_mains=self.former_mains.canisters,
            tell_until_ns=self.former_mains.tell_until_ns,
        )
        self._stores.state.insert(_STATE_KEY, encode_state(state))
