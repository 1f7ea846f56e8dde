"""What the library asks of an application, for any ``Application``: rights, rates, rules, rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from icfleet_canister.application import Application
from icfleet_canister.authority import Authority, Caller, Target
from icfleet_canister.batch_applier import Effects, PendingOperation
from icfleet_canister.fleet_errors import EncodingError
from icfleet_canister.log_record import RowChange
from icfleet_canister.rate_limiter import Charge, Rate
from icfleet_canister.row_kinds import FLEET_SLOT

__all__ = ["TRUSTED_RATE", "FleetRules", "UnreadableOperation", "operation_name"]

#: A principal with a grant sends for many players; 2,000 a second is more than a main can apply.
TRUSTED_RATE = Rate(120_000, 60 * 1_000_000_000)


class UnreadableOperation:
    """An operation whose fields have no encoding: it is invalid alone, not with its batch.

    Args:
        name: Its case in the variant.
        reason: What cannot be encoded.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason


def operation_name(body: Any) -> str:
    """Return an operation's name, as the authority table has it."""
    return body.name if isinstance(body, UnreadableOperation) else type(body).__name__


class FleetRules:
    """An application as the library's ``MemberApplication``.

    Args:
        app: What the studio wrote, bound to its rows.
        authority: Its rights.
        caller_of: Returns a principal with its roles.
    """

    def __init__(
        self, app: Application, authority: Authority, caller_of: Callable[[str], Caller]
    ) -> None:
        self._app = app
        self._authority = authority
        self._caller_of = caller_of
        # The caller of the batch in hand and what it may do to anybody, as of a version of rights.
        self._sender: Caller | None = None
        self._sender_version = 0
        self._unlimited: set[str] = set()
        self._own_charge = Charge("")

    def begin(self, caller: str) -> Caller:
        """Begin a batch of this caller, whose roles are kept until ``flush`` or until they change.

        They change in the middle of it when one operation makes the caller an owner.
        """
        self._sender = self._caller_of(caller)
        self._sender_version = self._app.table.rights_version
        self._unlimited = set()
        return self._sender

    def target(self, subject: str) -> Target:
        """Return whom a call is about, with who created its row."""
        row = self._app.owned_row(subject)
        return Target(subject, None if row is None else self._app.creator_in(row) or "")

    def forbids(self, caller: str, operation: PendingOperation[Any]) -> str | None:
        """Return why the authority table says no, or ``None``."""
        name = operation_name(operation.body)
        sender = self._caller(caller)
        if name in self._unlimited:
            return None
        authority = self._authority
        if sender is self._sender and authority.is_unlimited(sender, "submit", name):
            self._unlimited.add(name)
            return None
        target = self.target(operation.subject)
        return authority.forbidden_reason(sender, "submit", name, target)

    def charges(self, caller: str, operation: PendingOperation[Any]) -> Sequence[Charge]:
        """Charge the caller, and the principal it acts for where that is another."""
        sender = self._caller(caller)
        name = operation_name(operation.body)
        weight = self._app.weight(name)
        if not sender.is_trusted:
            return (Charge(caller, weight, None, sender.is_known),)
        own = self._own_charge
        if own.key != caller:
            own = self._own_charge = Charge(caller, 1, TRUSTED_RATE, is_known=True)
        if name not in self._authority.scoped_operations or operation.subject == caller:
            return (own,)
        return own, Charge(operation.subject, weight, None, True)  # noqa: FBT003 - as above

    def evaluate(
        self, caller: str, operation: PendingOperation[Any], now_ns: int, seq: int
    ) -> Effects:
        """Decide by the operation's own rule; the fleet's row is for admins.

        Raises:
            EncodingError: If the operation, or a row that it makes, has no encoding.
        """
        if isinstance(operation.body, UnreadableOperation):
            raise EncodingError(operation.body.reason)
        effects = self._app.evaluate(caller, operation, now_ns, seq)
        for slot, _ in effects.rows:
            assert slot != FLEET_SLOT, "a rule changed slot 0"
        return effects

    def apply(self, changes: Sequence[RowChange]) -> None:
        """Change rows."""
        self._app.table.apply(changes)

    def flush(self) -> None:
        """Write changed rows to stable memory; a batch ends with it."""
        self._sender = None
        self._app.table.flush()

    def _caller(self, caller: str) -> Caller:
        sender = self._sender
        if sender is None or sender.principal != caller:
            self._unlimited = set()
            return self._caller_of(caller)
        if self._sender_version != self._app.table.rights_version:
            return self.begin(caller)
        return sender
