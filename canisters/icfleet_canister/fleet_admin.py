"""What admins do with a canister of a fleet: replicas, epochs, settings, roles.

Every call asks the table of authority, then whether the change makes sense here and now, and only
then changes anything. What belongs to all canisters of the fleet, the roles and who is the main,
is a record of the log; what belongs to this one, whom it follows and its settings, is not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from icfleet_canister.application import Application
from icfleet_canister.authority import ANONYMOUS, Authority
from icfleet_canister.change_log import RECORD_SIZE_MAX
from icfleet_canister.fleet_errors import EncodingError, Problem
from icfleet_canister.fleet_member import FleetMember
from icfleet_canister.grants import give_gateway, give_role, take_role
from icfleet_canister.log_record import RowChange
from icfleet_canister.member_settings import MemberSettings
from icfleet_canister.row_journal import RowJournal, RuleRefusedError
from icfleet_canister.row_kinds import FLEET_SLOT, FleetRow

__all__ = ["AdminOutcome", "FleetAdmin"]


#: Bytes of a record besides its rows, and of a row besides its value.
_RECORD_OVERHEAD = 250
_ROW_OVERHEAD = 11


class AdminOutcome(NamedTuple):
    """What became of an admin's call; ``reason`` unless it is done, ``code`` if it is invalid."""

    case: Literal["Done", "Forbidden", "Invalid"]
    code: str = ""
    reason: str = ""


class FleetAdmin(ABC):
    """The admins' half of ``FleetService``, which is the other half and sets what stands here."""

    app: Application
    authority: Authority
    canister: str
    member: FleetMember[Any]
    row_size_max: int

    @property
    @abstractmethod
    def other_main(self) -> str | None:
        """The main, if it is another canister."""

    @abstractmethod
    def forbids(
        self, caller: str, method: str, operation: str = "", *, subject: str | None = None
    ) -> str | None:
        """Return why the table of authority says no, or ``None``."""

    @abstractmethod
    def settle(self, now_ns: int) -> None:
        """Bring the views up to date."""

    @abstractmethod
    def use_settings(self) -> None:
        """Let the settings of the member take effect."""

    def attach(self, caller: str, replica: str) -> AdminOutcome:
        """Let a replica pull from this canister."""
        return self._admin(
            caller, "attach", lambda: self._other(replica) or self.member.attach(replica)
        )

    def detach(self, caller: str, replica: str) -> AdminOutcome:
        """Let it pull no more; nothing is wrong if it never did."""
        return self._admin(caller, "detach", lambda: self.member.detach(replica))

    def follow(self, caller: str, upstream: str) -> AdminOutcome:
        """Pull from ``upstream``, on a replica; ``FleetTimers.pull_now`` begins at once."""
        return self._admin(
            caller, "follow", lambda: self._other(upstream) or self.member.follow(upstream)
        )

    def reseed(self, caller: str, upstream: str) -> AdminOutcome:
        """Follow, and take everything over anew; what differs here is lost."""
        return self._admin(
            caller, "reseed", lambda: self._other(upstream) or self.member.reseed(upstream)
        )

    def promote(self, caller: str, expected: int, new: int, now_ns: int) -> AdminOutcome:
        """Become the main of epoch ``new``, if this canister is in epoch ``expected``.

        The first epoch's record makes the installer an admin and opens the application's books.
        """
        return self._admin(caller, "promote", lambda: self._promote(caller, expected, new, now_ns))

    def demote(self, caller: str, expected: int) -> AdminOutcome:
        """Become a replica without an upstream, if this is the main of epoch ``expected``."""
        return self._admin(caller, "demote", lambda: self.member.demote(expected))

    def configure(self, caller: str, settings: MemberSettings) -> AdminOutcome:
        """Change this canister's settings; each canister has its own."""
        return self._admin(caller, "configure", lambda: self._configure(settings))

    def grant_gateway(
        self, caller: str, holder: str, operations: Sequence[str], *, all_players: bool, now_ns: int
    ) -> AdminOutcome:
        """Make a principal a gateway with this scope."""
        return self._grant(
            caller,
            "grant_gateway",
            lambda journal: give_gateway(
                journal, self.authority, holder, operations, all_players=all_players
            ),
            now_ns,
        )

    def revoke_gateway(self, caller: str, holder: str, now_ns: int) -> AdminOutcome:
        """Take a gateway's scope."""
        return self._grant(
            caller, "revoke_gateway", lambda journal: take_role(journal, holder, "gateway"), now_ns
        )

    def grant_role(self, caller: str, holder: str, role: str, now_ns: int) -> AdminOutcome:
        """Make a principal an admin, or give it one of the application's roles."""
        return self._grant(
            caller,
            "grant_role",
            lambda journal: give_role(journal, self.authority, holder, role),
            now_ns,
        )

    def revoke_role(self, caller: str, holder: str, role: str, now_ns: int) -> AdminOutcome:
        """Take such a role."""
        if role == "gateway":
            problem = Problem("UnknownRole", "gateways are revoked by revoke_gateway")
            return self._admin(caller, "revoke_role", lambda: problem)
        return self._grant(
            caller, "revoke_role", lambda journal: take_role(journal, holder, role), now_ns
        )

    def _admin(self, caller: str, method: str, act: Callable[[], Problem | None]) -> AdminOutcome:
        reason = self.forbids(caller, method)
        if reason is not None:
            return AdminOutcome("Forbidden", reason=reason)
        problem = act()
        if problem is not None:
            return AdminOutcome("Invalid", problem.code, problem.reason)
        return AdminOutcome("Done")

    def _other(self, canister: str) -> Problem | None:
        if canister == self.canister:
            return Problem("ToItself", "that is this canister itself")
        if canister == ANONYMOUS:
            return Problem("NoPrincipal", "the anonymous principal is no canister")
        return None

    def _configure(self, settings: MemberSettings) -> Problem | None:
        problem = self.member.configure(settings)
        if problem is None:
            self.use_settings()
        return problem

    def _promote(self, caller: str, expected: int, new: int, now_ns: int) -> Problem | None:
        problem = self.member.promotion_problem(expected, new)
        if problem is not None:
            return problem
        rows = self._rows_of(self._open_epoch, caller, now_ns)
        if isinstance(rows, Problem):
            return rows
        former = self._former_mains()
        problem = self.member.promote(expected, new, caller=caller, rows=rows, now_ns=now_ns)
        self.settle(now_ns)
        if problem is None:
            self.member.note_former_mains(former, now_ns)
        return problem

    def _former_mains(self) -> Sequence[str]:
        """Return who may think it is the main when this canister becomes it."""
        member = self.member
        ahead = [one for one in member.replicas.all if one.epoch > member.head.epoch]
        ahead.sort(key=lambda one: -one.epoch)
        named = [self.other_main, member.replication.upstream, *(one.canister for one in ahead)]
        return list(dict.fromkeys(one for one in named if one and one != self.canister))

    def _open_epoch(self, journal: RowJournal) -> None:
        fleet = journal.find(FLEET_SLOT)
        if isinstance(fleet, FleetRow):
            journal.put(FLEET_SLOT, fleet._replace(main=self.canister))
            return
        journal.put(FLEET_SLOT, FleetRow(self.canister, 0, ()))
        # The application's first rows get the first slots: it may count on them.
        self.app.begin(journal, self.canister)
        give_role(journal, self.authority, self.member.installer, "admin")

    def _grant(
        self, caller: str, method: str, change: Callable[[RowJournal], None], now_ns: int
    ) -> AdminOutcome:
        def act() -> Problem | None:
            problem = self._undecided(now_ns)
            if problem is not None:
                return problem
            rows = self._rows_of(change, caller, now_ns)
            if isinstance(rows, Problem):
                return rows
            if rows:
                self.member.record_change(caller, rows, now_ns)
                self.settle(now_ns)
            return None

        return self._admin(caller, method, act)

    def _undecided(self, now_ns: int) -> Problem | None:
        if not self.member.is_main:
            return Problem("NotMain", "roles are given on the main")
        if not self.member.decides:
            return Problem("NotDeciding", self.member.fence or "the rows are not whole yet")
        if self.member.wakes(now_ns):
            reason = "this main waits for its replicas after a pause; try again in a minute"
            return Problem("NotDeciding", reason)
        return None

    def _rows_of(
        self, change: Callable[[RowJournal], None], caller: str, now_ns: int
    ) -> Sequence[RowChange] | Problem:
        """Return the rows that an admin's change makes, or why it makes none."""
        journal = self.app.journal(caller, caller, now_ns, self.member.head.seq + 1)
        try:
            change(journal)
            rows = journal.changes()
        except RuleRefusedError as error:
            return Problem(error.code, error.reason)
        except EncodingError as error:
            return Problem("Encoding", str(error))
        for row in rows:
            if row.value is not None and len(row.value) > self.row_size_max:
                reason = f"row of {len(row.value)} bytes, at most {self.row_size_max} allowed"
                return Problem("RowTooLarge", reason)
        size = sum(len(row.value or b"") + _ROW_OVERHEAD for row in rows)
        if size > RECORD_SIZE_MAX - _RECORD_OVERHEAD:
            reason = f"{len(rows)} rows of {size} bytes do not fit one record"
            return Problem("RecordTooLarge", reason)
        return rows
