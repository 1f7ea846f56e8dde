"""The game as one canister of a fleet: rules, rights, views and cleanup around the library.

Everything here is told the time and who calls, and knows nothing of Candid: ``main.py`` turns
records into these calls and back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from game_access import ANONYMOUS, AUTHORITY, OPEN_METHODS, Caller, Target, forbidden_reason
from game_grants import GrantRefusedError, give_gateway, give_role, take_role
from game_journal import Journal
from game_ledger import Account, Ledger
from game_operations import Credit, Operation
from game_rows import (
    BANK_SLOT,
    BOOK_SLOT,
    FIRST_FREE_SLOT,
    FLEET_SLOT,
    MARKET_SLOT,
    ROW_SIZE_MAX,
    BookRow,
    FleetRow,
    PlayerRow,
    SystemRow,
)
from game_rules import GameRules
from game_views import GameView, build_views

from icfleet_canister import (
    DEFAULT_RATE,
    Charge,
    FleetMember,
    LogHead,
    MemberStores,
    PendingOperation,
    PullAnswer,
    Rate,
    RateLimiter,
    StableMap,
    Sweeper,
    Verdict,
    View,
)

__all__ = ["FUNDS", "AdminOutcome", "Game", "GameStores", "PlayerOutcome"]

#: What bank and market begin with: ten billion rupees each, in paise.
FUNDS = 1_000_000_000_000

#: All strangers together, by messages and by operations that come to nothing.
STRANGERS_RATE = Rate(1_000, 60 * 1_000_000_000)
STRANGERS_KEY = "all strangers"

#: Argument of an ingress message; ``batch_problem`` says what is too large in words.
INGRESS_SIZE_MAX = 1_600_000

#: Views computed in one message.
REFRESH_BUDGET = 8

_NS_PER_S = 1_000_000_000


class GameStores(NamedTuple):
    """The stable maps of the game."""

    rows: StableMap[int, bytes]
    """Rows by slot: values of ``game_rows.ROW_SIZE_MAX`` bytes."""
    slots: StableMap[str, int]
    """Slots by ``game_rows.index_key``."""
    state: StableMap[str, bytes]
    pages: StableMap[int, bytes]


class AdminOutcome(NamedTuple):
    """What became of an admin's call; ``reason`` unless it is done."""

    case: Literal["Done", "Forbidden", "Invalid"]
    reason: str = ""


class PlayerOutcome(NamedTuple):
    """What a caller may see of a player."""

    case: Literal["Found", "NotFound", "Forbidden"]
    player: PlayerRow | None = None


class Game:
    """One canister, main or replica. ``start`` or ``resume`` must be called first."""

    def __init__(self, stores: GameStores) -> None:
        self.ledger = Ledger(stores.rows, stores.slots)
        self.limiter = RateLimiter()
        self.rules = GameRules(self.ledger, self.caller)
        self.member: FleetMember[Operation] = FleetMember(
            self.rules,
            MemberStores(stores.state, stores.pages),
            self.limiter,
            row_size_max=ROW_SIZE_MAX,
        )
        self.views = build_views(self.ledger)
        self.sweeper = Sweeper([])

    def start(self, *, is_main: bool, installer: str, canister: str, now_ns: int) -> None:
        """Install: a main opens its book, with the installer as the first admin."""
        self.member.start(is_main=is_main, installer=installer)
        self._watch_memory()
        if is_main:
            self._open_book(installer, canister, now_ns)
        self.settle(now_ns)

    def resume(self) -> None:
        """Go on after an upgrade; ``restore_step`` brings the heap back."""
        self.member.resume()
        self._watch_memory()
        self.ledger.begin_rebuild()

    @property
    def is_restored(self) -> bool:
        """Whether the heap holds again what it held before the last upgrade."""
        return self.ledger.is_ready and self.member.window.is_complete

    def restore_step(self, now_ns: int) -> bool:
        """Restore a slice of the heap; return whether that was the last."""
        self.ledger.rebuild_step()
        self.member.restore_step(now_ns)
        self.settle(now_ns)
        return self.is_restored

    def settle(self, now_ns: int) -> None:
        """Compute the views that this message's writes have changed; call it after every write."""
        self.ledger.flush()
        self.views.invalidate(self.ledger.take_tags())
        if self.ledger.is_ready:
            self.views.refresh(now_ns, self.member.head.seq, REFRESH_BUDGET)

    def caller(self, principal: str) -> Caller:
        """Return a principal with the roles it has now."""
        if principal == ANONYMOUS:
            return Caller(principal, ("anonymous",))
        grant = self.ledger.grant(principal)
        roles = list(grant.roles) if grant is not None else []
        roles.append("stranger" if self.ledger.player(principal) is None else "owner")
        if principal in self.member.replicas:
            roles.append("replica")
        # A replica must be told whom to follow before its log can tell who is an admin.
        if not self.member.is_main and principal == self.member.installer:
            roles.append("admin")
        return Caller(principal, roles, grant if grant is not None and grant.roles else None)

    def forbids(self, caller: str, method: str, operation: str = "") -> str | None:
        """Return why a caller may not use a method at all, or ``None``."""
        return forbidden_reason(self.caller(caller), method, operation)

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
        if method not in OPEN_METHODS and method != "submit":
            return (method, "") in AUTHORITY and self.forbids(caller, method) is None
        return sender.is_known or self.limiter.wait_ns(_STRANGER, now_ns) == 0

    def submit(
        self,
        caller: str,
        operations: Sequence[PendingOperation[Operation]],
        *,
        now_ns: int,
        is_exhausted: Callable[[], bool],
    ) -> Sequence[Verdict]:
        """Decide a batch, on the main, and bring the views up to date."""
        sender = self.caller(caller)
        if not sender.is_known:
            wait_ns = self.limiter.admit([_STRANGER], now_ns)
            if wait_ns:
                return [Verdict("RateLimited", retry_after_ns=wait_ns)] * len(operations)
        verdicts = self.member.submit(caller, operations, now_ns=now_ns, is_exhausted=is_exhausted)
        self._fine(sender, verdicts, now_ns)
        self.settle(now_ns)
        return verdicts

    def receive_pull(self, answer: PullAnswer, now_ns: int) -> int:
        """Apply an upstream's answer, and bring the views up to date.

        Raises:
            BatchRefusedError: If the records do not continue this log; nothing was applied.
        """
        count = self.member.receive_pull(answer, now_ns)
        self.settle(now_ns)
        return count

    def player(self, caller: str, principal: str) -> PlayerOutcome:
        """Return a player to its owner, to a gateway in whose scope it is, and to admins."""
        row = self.ledger.player(principal)
        target = Target(principal, None if row is None else row.created_by)
        if forbidden_reason(self.caller(caller), "player", "", target) is not None:
            return PlayerOutcome("Forbidden")
        return PlayerOutcome("NotFound") if row is None else PlayerOutcome("Found", row)

    def accounts(self, cursor: int) -> tuple[Sequence[Account], int | None]:
        """Return one page of all accounts, and the next cursor."""
        return self.ledger.accounts(cursor)

    def view(self, name: str) -> tuple[View[GameView] | None, LogHead]:
        """Return a view, and the position that its value shows.

        A clean value shows the present: no record since has changed it.
        """
        view = self.views.read(name)
        head = self.member.head
        if view is None or view.value is None:
            return view, LogHead(head.epoch, 0, b"")
        return view, head._replace(seq=view.value.seq) if view.is_dirty else head

    def follow(self, caller: str, canister: str, upstream: str) -> AdminOutcome:
        """Pull from ``upstream``, on a replica."""
        if self.member.is_main:
            return self._admin(caller, "follow", "this canister is the main")
        if upstream in (canister, ANONYMOUS):
            return self._admin(caller, "follow", "a replica follows another canister")
        outcome = self._admin(caller, "follow")
        if outcome.case == "Done":
            self.member.follow(upstream)
        return outcome

    def attach(self, caller: str, canister: str, replica: str) -> AdminOutcome:
        """Let a replica pull from this canister."""
        if replica in (canister, ANONYMOUS):
            return self._admin(caller, "attach", "a replica is another canister")
        outcome = self._admin(caller, "attach")
        if outcome.case == "Done" and not self.member.attach(replica):
            return AdminOutcome("Invalid", "no room for another replica")
        return outcome

    def detach(self, caller: str, replica: str) -> AdminOutcome:
        """Let it pull no more."""
        outcome = self._admin(caller, "detach")
        if outcome.case == "Done":
            self.member.detach(replica)
        return outcome

    def grant_gateway(
        self, caller: str, holder: str, operations: Sequence[str], *, all_players: bool, now_ns: int
    ) -> AdminOutcome:
        """Make a principal a gateway with this scope."""
        return self._grant(
            caller,
            "grant_gateway",
            lambda journal: give_gateway(journal, holder, operations, all_players=all_players),
            now_ns,
        )

    def revoke_gateway(self, caller: str, holder: str, now_ns: int) -> AdminOutcome:
        """Take a gateway's scope."""
        return self._grant(
            caller, "revoke_gateway", lambda journal: take_role(journal, holder, "gateway"), now_ns
        )

    def grant_role(self, caller: str, holder: str, role: str, now_ns: int) -> AdminOutcome:
        """Make a principal an admin, the treasury or the oracle."""
        return self._grant(
            caller, "grant_role", lambda journal: give_role(journal, holder, role), now_ns
        )

    def revoke_role(self, caller: str, holder: str, role: str, now_ns: int) -> AdminOutcome:
        """Take such a role."""
        if role == "gateway":
            return self._admin(caller, "revoke_role", "gateways are revoked by revoke_gateway")
        return self._grant(
            caller, "revoke_role", lambda journal: take_role(journal, holder, role), now_ns
        )

    def figures(self) -> Sequence[tuple[str, int]]:
        """Return what the canister counts: money in paise, everything else by number.

        ``accounts_total`` is the sum over all accounts and must equal ``credits - debits``; while
        ``rebuilding`` is 1 it covers only the rows that were looked at since the upgrade.
        """
        book = self.ledger.book or _EMPTY_BOOK
        return [
            ("accounts_total", self.ledger.accounts_total),
            ("credits", book.credits),
            ("debits", book.debits),
            ("operations_applied", self.member.applied),
            ("operations_refused", self.member.refused),
            ("rule_failures", self.member.applier.failures),
            ("players", book.players),
            ("symbols", book.symbols),
            ("grants", book.grants),
            ("slots", book.next_slot),
            ("log_pages", self.member.log.page_count),
            ("window_ids", len(self.member.window)),
            ("limiter_entries", len(self.limiter)),
            ("views", len(self.views)),
            ("views_dirty", self.views.dirty_count),
            ("view_failures", self.views.failures),
            ("rebuilding", int(not self.is_restored)),
        ]

    def view_delay_s(self, now_ns: int) -> int | None:
        """Return when ``tend_views`` has work, in whole seconds from now, or ``None``."""
        due_ns = self.views.next_due_ns()
        if due_ns is None or not self.ledger.is_ready:
            return None
        return max(1, -(-(due_ns - now_ns) // _NS_PER_S))

    def tend_views(self, now_ns: int) -> None:
        """Compute views that are left over, and re-date those that have expired."""
        self.settle(now_ns)
        self.views.renew(now_ns, self.member.head.seq)

    def _fine(self, sender: Caller, verdicts: Sequence[Verdict], now_ns: int) -> None:
        """Let a caller without a grant pay for operations that no rule got to see."""
        fruitless = sum(1 for verdict in verdicts if verdict.case in _FRUITLESS)
        if fruitless and sender.grant is None:
            weight = min(fruitless, DEFAULT_RATE.limit)
            self.limiter.fine(Charge(sender.principal, weight, is_known=sender.is_known), now_ns)

    def _watch_memory(self) -> None:
        self.sweeper = Sweeper([self.limiter, self.member.window, self.views])

    def _open_book(self, installer: str, canister: str, now_ns: int) -> None:
        journal = Journal(self.ledger, installer, installer, now_ns)
        journal.put(BOOK_SLOT, _EMPTY_BOOK)
        journal.put(BANK_SLOT, SystemRow("bank", 0))
        journal.put(MARKET_SLOT, SystemRow("market", 0))
        journal.put(FLEET_SLOT, FleetRow(canister))
        give_role(journal, installer, "admin")
        self.member.record_change(installer, journal.changes(), now_ns)
        for account in ("bank", "market"):
            journal = Journal(self.ledger, installer, installer, now_ns)
            Credit(account, FUNDS).evaluate(journal)
            self.member.record_change(installer, journal.changes(), now_ns)

    def _admin(self, caller: str, method: str, problem: str = "") -> AdminOutcome:
        reason = self.forbids(caller, method)
        if reason is not None:
            return AdminOutcome("Forbidden", reason)
        return AdminOutcome("Invalid", problem) if problem else AdminOutcome("Done")

    def _grant(
        self, caller: str, method: str, change: Callable[[Journal], None], now_ns: int
    ) -> AdminOutcome:
        is_main = self.member.is_main
        outcome = self._admin(caller, method, "" if is_main else "roles are given on the main")
        if outcome.case != "Done":
            return outcome
        journal = Journal(self.ledger, caller, caller, now_ns)
        try:
            change(journal)
        except GrantRefusedError as error:
            return AdminOutcome("Invalid", str(error))
        changes = journal.changes()
        if changes:
            self.member.record_change(caller, changes, now_ns)
        self.settle(now_ns)
        return outcome


_FRUITLESS = ("Forbidden", "Invalid", "Expired", "InFuture", "IdReused")
_EMPTY_BOOK = BookRow(0, 0, FIRST_FREE_SLOT, 0, 0, 0, 0)
_STRANGER = Charge(STRANGERS_KEY, 1, STRANGERS_RATE, is_known=True)
