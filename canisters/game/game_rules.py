"""What the library asks of an application: rights, rates, rules and rows, joined for one game."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from game_access import PLAYER_OPERATIONS, Caller, Target, forbidden_reason
from game_journal import Journal, RuleRefusedError
from game_ledger import Ledger
from game_operations import Operation

from icfleet_canister import Charge, Effects, PendingOperation, Rate, RowChange

__all__ = ["CREATE_WEIGHT", "TRUSTED_RATE", "GameRules"]

#: A principal with a grant sends for many players; 2,000 a second is more than a main can apply.
TRUSTED_RATE = Rate(120_000, 60 * 1_000_000_000)

#: A player is a row that stays for good, so making one costs more than using it.
CREATE_WEIGHT = 10


class GameRules:
    """The game as the library's ``MemberApplication``.

    Args:
        ledger: The rows.
        caller_of: Returns a principal with its roles.
    """

    def __init__(self, ledger: Ledger, caller_of: Callable[[str], Caller]) -> None:
        self._ledger = ledger
        self._caller_of = caller_of

    def forbids(self, caller: str, operation: PendingOperation[Operation]) -> str | None:
        """Return why the authority table says no, or ``None``."""
        player = self._ledger.player(operation.subject)
        target = Target(operation.subject, None if player is None else player.created_by)
        name = type(operation.body).__name__
        return forbidden_reason(self._caller_of(caller), "submit", name, target)

    def charges(self, caller: str, operation: PendingOperation[Operation]) -> Sequence[Charge]:
        """Charge the caller, and the player it acts for where that is another principal."""
        sender = self._caller_of(caller)
        name = type(operation.body).__name__
        weight = CREATE_WEIGHT if name == "CreatePlayer" else 1
        if sender.grant is None:
            return [Charge(caller, weight, is_known=sender.is_known)]
        charges = [Charge(caller, 1, TRUSTED_RATE, is_known=True)]
        if name in PLAYER_OPERATIONS and operation.subject != caller:
            charges.append(Charge(operation.subject, weight, is_known=True))
        return charges

    def evaluate(self, caller: str, operation: PendingOperation[Operation], now_ns: int) -> Effects:
        """Decide by the operation's own rule."""
        journal = Journal(self._ledger, caller, operation.subject, now_ns)
        try:
            operation.body.evaluate(journal)
        except RuleRefusedError as error:
            return Effects(refusal=(error.code, error.reason))
        return Effects(rows=journal.changes())

    def apply(self, changes: Sequence[RowChange]) -> None:
        """Change rows."""
        self._ledger.apply(changes)

    def flush(self) -> None:
        """Write changed rows to stable memory."""
        self._ledger.flush()
