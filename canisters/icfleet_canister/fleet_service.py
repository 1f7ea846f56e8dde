"""One canister of a fleet, whatever it is about: rights, batches, views, cleanup, upgrades.

``FleetService`` joins an ``Application`` and the library. It is told the time and who calls, and
knows nothing of Candid: the generated ``main.py`` turns records into its calls and the answers
back, by ``FleetRecords``. There is one instance for each canister, made at module level::

    service = FleetService(FleetStores(rows, slots, state, pages), app, row_size_max=1_000)

``@init`` calls ``start``, ``@post_upgrade`` calls ``resume``, ``@pre_upgrade`` calls ``suspend``,
``@inspect_message`` calls ``admits``; each other method calls its namesake here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from icfleet_canister.application import Application
from icfleet_canister.authority import ANONYMOUS, Authority, Caller
from icfleet_canister.batch_applier import PendingOperation, Verdict, batch_problem
from icfleet_canister.fleet_admin import AdminOutcome, FleetAdmin
from icfleet_canister.fleet_member import FleetMember, MemberStores
from icfleet_canister.fleet_rules import FleetRules
from icfleet_canister.log_record import LogHead
from icfleet_canister.pull_messages import (
    Cursor,
    LogAnswer,
    LogBatch,
    NotAttached,
    PageAnswer,
    PageRequest,
    PullRequest,
)
from icfleet_canister.rate_limiter import Charge, Rate, RateLimiter
from icfleet_canister.row_kinds import GrantRow
from icfleet_canister.stable_map import StableMap
from icfleet_canister.sweeper import Sweeper
from icfleet_canister.upgrade_notes import DEBTS_MAX, UpgradeNotes
from icfleet_canister.view_cache import View, ViewCache

__all__ = ["AdminOutcome", "FleetService", "FleetStores", "Phase", "SubmitOutcome", "never"]

#: All strangers together, by messages.
STRANGERS_RATE = Rate(1_000, 60 * 1_000_000_000)
STRANGERS_KEY = "all strangers"

#: Argument of an ingress message; ``batch_problem`` says what is too large in words.
INGRESS_SIZE_MAX = 1_600_000

#: Views computed in one message.
REFRESH_BUDGET = 8

_NS_PER_S = 1_000_000_000

Phase = Literal["Serving", "Seeding", "Rebuilding"]


class FleetStores(NamedTuple):
    """The stable maps of a canister."""

    rows: StableMap[int, bytes]
    """Rows by slot: values of ``row_size_max`` bytes."""
    slots: StableMap[str, int]
    """Slots by key."""
    state: StableMap[str, bytes]
    """A few rows of up to 8,000 bytes."""
    pages: StableMap[int, bytes]
    """The log."""


class SubmitOutcome(NamedTuple):
    """What became of a batch."""

    case: Literal["Done", "NotMain", "TooLarge"]
    verdicts: Sequence[Verdict] = ()
    main: str | None = None
    """Where to send it instead, if that is known: ``NotMain``."""
    reason: str = ""
    """``TooLarge``."""


def never() -> bool:
    """Say that a message's instructions are not used up yet: where nothing counts them."""
    return False


class FleetService(FleetAdmin):
    """One canister, main or replica. ``start`` or ``resume`` must be called first.

    Args:
        stores: Stable memory.
        app: The studio's part; it is bound to this service.
        row_size_max: Longest row in bytes, as the rows' map has it.

    Raises:
        ConfigurationError: If the application's rights name roles that do not exist.
    """

    def __init__(self, stores: FleetStores, app: Application, *, row_size_max: int) -> None:
        self.app = app
        self.canister = ""
        """This canister's principal, as text."""
        self.authority = Authority(app.authority, app.reads, app.roles)
        self.table = app.bind(self, stores.rows, stores.slots)
        self.limiter = RateLimiter()
        self._rules = FleetRules(app, self.authority, self.caller)
        self.row_size_max = row_size_max
        self.member: FleetMember[Any] = FleetMember(
            self._rules,
            self.table,
            MemberStores(stores.state, stores.pages),
            self.limiter,
            row_size_max=row_size_max,
        )
        self.views: ViewCache[Any] = ViewCache()
        self.sweeper = Sweeper([])
        self._registered: Sequence[View[Any]] = ()
        self._views_are_outdated = False
        self._settled_at = LogHead.empty()
        self._notes = UpgradeNotes(stores.state)
        self._has_notes = False

    # Installation and upgrades.

    def start(self, *, is_main: bool, installer: str, canister: str, now_ns: int) -> None:
        """Begin empty, at installation. A main is fenced until ``promote`` opens its first epoch.

        Args:
            is_main: The role; ``promote`` and ``demote`` change it.
            installer: Who installed the canister, as text.
            canister: This canister, as text.
            now_ns: Time of the message.
        """
        self.canister = canister
        self.member.start(is_main=is_main, installer=installer)
        self._settle_in()
        self.settle(now_ns)

    def resume(self, canister: str, now_ns: int) -> None:
        """Go on after an upgrade, at O(1) cost; ``restore_step`` brings the heap back.

        Raises:
            ConfigurationError: If stable memory holds no state of a member.
            EncodingError: If it holds one that this version cannot read.
        """
        self.canister = canister
        self.member.resume(now_ns)
        self.table.begin_rebuild()
        self._has_notes = True
        self._settle_in()

    def suspend(self, now_ns: int) -> None:
        """Write down what the log does not tell, before an upgrade. Never raises.

        An upgrade that fails here could never be repaired by an upgrade.
        """
        # Without notes debts are forgiven and views are rebuilt: no reason to fail.
        with suppress(Exception):
            self._write_notes(now_ns)
        self.member.suspend(now_ns)

    @property
    def is_restored(self) -> bool:
        """Whether the heap holds again what it held before the last upgrade or seeding."""
        return not self._has_notes and self.table.is_ready and self.member.is_restored

    @property
    def needs_restoring(self) -> bool:
        """Whether ``restore_step`` has something to do now; a seeding waits for its pages."""
        return (
            self._has_notes
            or not self.member.is_restored
            or not (self.table.is_ready or self.member.is_seeding)
        )

    def restore_step(self, now_ns: int, is_exhausted: Callable[[], bool] = never) -> bool:
        """Restore a slice of the heap; return whether that was the last."""
        self._recall(now_ns)
        # Not in one message: a fold that fails must not undo what writes wait for.
        if self.member.restore_step(now_ns) and not self.member.is_seeding:
            self.table.rebuild_step()
        self.settle(now_ns, is_exhausted)
        return self.is_restored

    @property
    def phase(self) -> Phase:
        """What a read may expect: its rows and views, or an excuse."""
        if self.member.is_seeding:
            return "Seeding"
        return "Serving" if self.table.is_ready else "Rebuilding"

    def readable_problem(self) -> str | None:
        """Return why rows or views cannot be read now, or ``None``.

        Text that begins with the phase and a colon, for a guard to reject with: whoever asked
        knows by that to ask another canister.
        """
        if self.phase == "Seeding":
            return (
                "Seeding: the rows of another canister are being taken over; "
                "ask another canister of the fleet, or this one again in a few seconds"
            )
        if self.phase == "Rebuilding":
            return (
                "Rebuilding: the heap is being restored after an upgrade; "
                "ask another canister of the fleet, or this one again in a few seconds"
            )
        return None

    def touch(self, now_ns: int) -> None:
        """Note that the canister is awake; first in every update and every timer."""
        self.member.touch(now_ns)
        self._recall(now_ns)

    def settle(self, now_ns: int, is_exhausted: Callable[[], bool] = never) -> None:
        """Compute the views that this message's writes have changed; done after every write."""
        self.table.flush()
        self.views.invalidate(self._changed_tags())
        if self.phase != "Serving":
            self._views_are_outdated = True
            return
        if self._views_are_outdated:
            # Rows of another canister may have taken the place of some that no tag tells of.
            self._views_are_outdated = False
            for view in self._registered:
                self.views.register(view)
        self.views.refresh(now_ns, self.member.head.seq, REFRESH_BUDGET, is_exhausted)

    # Who may do what.

    def caller(self, principal: str) -> Caller:
        """Return a principal with the roles it has now.

        Where nothing is decided, the installer counts as admin: a replica must be told whom to
        follow before its log can tell who is an admin, and a new main must be opened.
        """
        if principal == ANONYMOUS:
            return Caller(principal, ("anonymous",))
        grant = self.table.grant(principal)
        roles = [] if grant is None else list(grant.roles)
        roles.append("stranger" if self.app.owned_row(principal) is None else "owner")
        if principal in self.member.replicas:
            roles.append("replica")
        if principal in self.stand_in_admins and "admin" not in roles:
            roles.append("admin")
        if grant is None:
            return Caller(principal, roles)
        return Caller(principal, roles, grant.operations, grant.all_players)

    @property
    def stand_in_admins(self) -> Sequence[str]:
        """The installer, where it is admin by that alone."""
        return () if self.member.decides else (self.member.installer,)

    @property
    def admins(self) -> Sequence[str]:
        """Every admin, in the order in which they were made."""
        fleet = self.table.fleet
        rows = [self.table.row(slot) for slot in (() if fleet is None else fleet.admins)]
        named = [row.holder for row in rows if isinstance(row, GrantRow) and "admin" in row.roles]
        return [*named, *(one for one in self.stand_in_admins if one not in named)]

    def forbids(
        self, caller: str, method: str, operation: str = "", *, subject: str | None = None
    ) -> str | None:
        """Return why the table of authority says no, or ``None``.

        Args:
            caller: Who asks, as text.
            method: A canister method.
            operation: One of ``submit``'s, or ``cycles`` of ``status``.
            subject: Whom it is about; without one the answer is whether anybody is in reach.
        """
        target = None if subject is None else self._rules.target(subject)
        return self.authority.forbidden_reason(self.caller(caller), method, operation, target)

    def admits(self, caller: str, method: str, size: int, now_ns: int) -> bool:
        """Decide by method and caller alone whether an ingress message is worth executing.

        The decision is one node's and is made again where it counts; it keeps the canister from
        paying for what would come to nothing. It takes a batch as a whole and for good, so only
        strangers are refused by rate: ``submit`` tells a known caller for each operation whether
        it must wait, and gives it the answers that are free.
        """
        sender = self.caller(caller)
        if "anonymous" in sender.roles or size > INGRESS_SIZE_MAX:
            return False
        if self.authority.is_forbidden_method(sender, method):
            return False
        return sender.is_known or self.limiter.wait_ns(_STRANGER, now_ns) == 0

    # Batches.

    def turn_away(self, count: int, size: int) -> SubmitOutcome | None:
        """Answer a batch that is not worth reading; ``None`` if ``submit`` should decide it.

        Args:
            count: Its operations.
            size: Bytes of the argument.
        """
        if not self.member.decides:
            return SubmitOutcome("NotMain", main=self.other_main)
        problem = batch_problem(count, size)
        return None if problem is None else SubmitOutcome("TooLarge", reason=problem)

    def submit(
        self,
        caller: str,
        operations: Sequence[PendingOperation[Any]],
        *,
        now_ns: int,
        is_exhausted: Callable[[], bool],
    ) -> SubmitOutcome:
        """Decide a batch, in order, on the main; and bring the views up to date."""
        if not self.member.decides:
            return SubmitOutcome("NotMain", main=self.other_main)
        if not operations:
            return SubmitOutcome("Done")
        sender = self._rules.begin(caller)
        if not sender.is_known:
            wait_ns = self.limiter.admit([_STRANGER], now_ns)
            if wait_ns:
                limited = Verdict("RateLimited", retry_after_ns=wait_ns)
                return SubmitOutcome("Done", [limited] * len(operations))
        verdicts = self.member.submit(caller, operations, now_ns=now_ns, is_exhausted=is_exhausted)
        self._fine(sender, verdicts, now_ns)
        self.settle(now_ns, is_exhausted)
        return SubmitOutcome("Done", verdicts)

    @property
    def main(self) -> str | None:
        """The canister that writes this log, as far as the log says."""
        if self.member.decides:
            return self.canister
        fleet = self.table.fleet
        return None if fleet is None else fleet.main

    @property
    def other_main(self) -> str | None:
        """The main, if it is another canister."""
        return None if self.main == self.canister else self.main

    # Replication: what replicas ask of this canister, and what this one gets from its upstream.

    def log_since(self, caller: str, head: LogHead, size_max: int, now_ns: int) -> LogAnswer:
        """Return the records after a position, to attached replicas and to admins."""
        if self.forbids(caller, "log_since") is not None:
            return NotAttached()
        return self.member.answer_pull(head, size_max, now_ns, self.canister)

    def state_page(
        self, caller: str, cursor: Cursor | None, size_max: int, now_ns: int
    ) -> PageAnswer:
        """Return a page of all rows, to attached replicas and to admins."""
        if self.forbids(caller, "state_page") is not None:
            return NotAttached()
        return self.member.answer_page(self.canister, cursor, size_max, now_ns)

    def acknowledge(self, caller: str, epoch: int, seq: int, now_ns: int) -> None:
        """Note how far an attached replica is; one that is ahead fences a main."""
        if self.forbids(caller, "acknowledge") is None:
            self.member.acknowledge(caller, epoch, seq, now_ns)

    def receive_log(
        self,
        request: PullRequest,
        answer: LogAnswer,
        now_ns: int,
        is_exhausted: Callable[[], bool] = never,
    ) -> int:
        """Take in the upstream's answer to a pull; return the number of new records."""
        epoch = self.member.head.epoch
        is_epoch_over = isinstance(answer, LogBatch) and answer.head.epoch > epoch > 0
        former = self.other_main if is_epoch_over else None
        count = self.member.receive_log(request, answer, self.canister, now_ns)
        if former is not None and self.member.head.epoch > epoch:
            self.member.note_former_mains((former,), now_ns)
        self.settle(now_ns, is_exhausted)
        return count

    def receive_page(self, request: PageRequest, answer: PageAnswer, now_ns: int) -> None:
        """Take in the upstream's answer to the question for a page."""
        self.member.receive_page(request, answer, now_ns)
        self.settle(now_ns)

    def receive_trouble(self, request: PullRequest | PageRequest, reason: str, now_ns: int) -> None:
        """Note why an answer did not come."""
        self.member.receive_trouble(request, reason, now_ns)

    # What readers see, and what timers tend.

    def view(self, name: str) -> tuple[View[Any] | None, LogHead]:
        """Return a view that has a value, and the position which that shows.

        A clean value shows the present: no record since has changed it. There is none while rows
        or heap are not whole.
        """
        view = self.views.read(name)
        if view is None or view.value is None or self.phase != "Serving":
            return None, LogHead(0, 0, b"")
        head = self.member.head
        if not view.is_dirty:
            return view, head
        seq = view.value.seq
        return view, LogHead(self.epoch_of(seq), seq, b"")

    def epoch_of(self, seq: int) -> int:
        """Return the epoch of a position in the log; of one long gone, the present one."""
        log = self.member.log
        if log.epochs and log.epochs[-1].first_seq <= seq:
            return log.head.epoch
        epoch = log.epoch_at(seq)
        return self.member.head.epoch if epoch is None else epoch

    def view_delay_s(self, now_ns: int) -> int | None:
        """Return when ``tend_views`` has work, in whole seconds from now, or ``None``."""
        due_ns = self.views.next_due_ns()
        if due_ns is None or self.phase != "Serving":
            return None
        return max(1, -(-(due_ns - now_ns) // _NS_PER_S))

    def tend_views(self, now_ns: int, is_exhausted: Callable[[], bool] = never) -> None:
        """Compute views that are left over, and re-date those that have expired."""
        self.settle(now_ns, is_exhausted)
        if self.phase == "Serving":
            self.views.renew(now_ns, self.member.head.seq)

    def figures(self) -> Sequence[tuple[str, int]]:
        """Return what ``status`` shows: the library's figures, then the application's.

        The names are stable; docs/canister-api.md says what each counts. What stable memory does
        not keep counts from the last upgrade.
        """
        member, limiter, views = self.member, self.limiter, self.views
        replication = member.replication
        return [
            ("operations_applied", member.applied),
            ("operations_refused", member.refused),
            ("rule_failures", member.applier.failures),
            ("slots", self.table.end_slot),
            ("log_pages", member.log.page_count),
            ("window_ids", len(member.window)),
            ("limiter_entries", len(limiter)),
            ("limiter_admitted", limiter.admitted),
            ("limiter_limited", limiter.limited),
            ("limiter_evicted", limiter.evicted),
            ("views", len(views)),
            ("views_dirty", views.dirty_count),
            ("views_computed", views.computed),
            ("view_failures", views.failures),
            ("sweeps", self.sweeper.ticks),
            ("swept", self.sweeper.swept),
            ("seeded_slots", member.seeded_slots),
            ("pulls", replication.pulls),
            ("pull_failures", replication.failures),
            ("rebuilding", int(not self.is_restored)),
            *self._own_figures(),
        ]

    def _settle_in(self) -> None:
        """Set up what hangs on the member's state, which ``start`` and ``resume`` have read."""
        self.use_settings()
        # The log's pages may go once the window has let go of the ids in them.
        self.sweeper = Sweeper([self.limiter, self.member.window, self.member, self.views])
        self._registered = self.app.views()
        for view in self._registered:
            self.views.register(view)

    def use_settings(self) -> None:
        """Let the settings of the member take effect."""
        settings = self.member.settings
        self.limiter.set_default(Rate(settings.rate_limit, settings.rate_window_s * _NS_PER_S))

    def _changed_tags(self) -> Collection[str]:
        """Return the tags of what has changed: all, where nothing derived tells which."""
        tags = self.table.take_tags()
        before, self._settled_at = self._settled_at, self.member.head
        if self.app.derived is not None or before == self._settled_at:
            return tags
        return {tag for view in self._registered for tag in view.tags}

    def _own_figures(self) -> Sequence[tuple[str, int]]:
        """Return the application's figures, as far as they are any: a status must never fail."""
        try:
            return [
                (str(name), min(max(int(value), 0), _NAT64_MAX))
                for name, value in self.app.figures()
            ]
        except Exception:  # noqa: BLE001 - a stranger's code
            return [("figures_failed", 1)]

    def _write_notes(self, now_ns: int) -> None:
        debts = self.limiter.large_debts(now_ns, DEBTS_MAX)
        self._notes.write(self.member.head, debts, self.table.dump_derived())

    def _recall(self, now_ns: int) -> None:
        """Take in what was written down before the upgrade, at the first chance."""
        if not self._has_notes:
            return
        self._has_notes = False
        notes = self._notes.take(self.member.head)
        self.limiter.restore_debts(notes.debts, now_ns)
        if notes.derived is None:
            return
        try:
            self.table.load_derived(notes.derived)
        except Exception:  # noqa: BLE001 - a stranger's code; rebuilding does without it
            self.table.begin_rebuild()

    def _fine(self, sender: Caller, verdicts: Sequence[Verdict], now_ns: int) -> None:
        """Let a caller without a grant pay for operations that no rule got to see."""
        fruitless = sum(1 for verdict in verdicts if verdict.case in _FRUITLESS)
        if fruitless and not sender.is_trusted:
            charge = Charge(sender.principal, fruitless, is_known=sender.is_known)
            self.limiter.fine(charge, now_ns)


_NAT64_MAX = 2**64 - 1
_FRUITLESS = ("Forbidden", "Invalid", "Expired", "InFuture", "IdReused")
_STRANGER = Charge(STRANGERS_KEY, 1, STRANGERS_RATE, is_known=True)
