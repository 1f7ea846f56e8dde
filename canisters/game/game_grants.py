"""What admins give and take: roles, and gateways with a scope. Each change is a row of the log.

A grant's row stays when everything in it was taken back, so that giving and taking again and
again uses one slot.
"""

from __future__ import annotations

from collections.abc import Sequence

from game_access import ANONYMOUS, GRANTABLE_ROLES, scope_problem
from game_journal import Journal
from game_rows import BOOK_SLOT, GrantRow

__all__ = ["GRANTS_MAX", "GrantRefusedError", "give_gateway", "give_role", "take_role"]

#: Bounds the admins' rows; each gateway, treasury, oracle or admin is one.
GRANTS_MAX = 1_000


class GrantRefusedError(Exception):
    """The change makes no sense; the message says why."""


def give_gateway(
    journal: Journal, holder: str, operations: Sequence[str], *, all_players: bool
) -> None:
    """Let a principal send these operations, for the players it created or for all.

    A gateway's earlier scope is replaced.

    Raises:
        GrantRefusedError: If the scope holds anything but players' operations, or there is no room.
    """
    problem = scope_problem(operations)
    if problem is not None:
        raise GrantRefusedError(problem)
    give_role(journal, holder, "gateway")
    slot, grant = _grant(journal, holder)
    scope = tuple(operations)
    journal.put(slot, grant._replace(operations=scope, all_players=all_players))


def give_role(journal: Journal, holder: str, role: str) -> None:
    """Give a role; having it already is fine.

    Raises:
        GrantRefusedError: If there is no such role, no such principal, or no room.
    """
    if role != "gateway" and role not in GRANTABLE_ROLES:
        reason = f"no role {role!r}: {', '.join(GRANTABLE_ROLES)}"
        raise GrantRefusedError(reason)
    if holder == ANONYMOUS:
        reason = "whoever has no key cannot have a role"
        raise GrantRefusedError(reason)
    slot, grant = _grant(journal, holder)
    if role in grant.roles:
        return
    journal.put(slot, grant._replace(roles=tuple(sorted({*grant.roles, role}))))
    _count_admins(journal, role, 1)


def take_role(journal: Journal, holder: str, role: str) -> None:
    """Take a role, or a gateway's scope.

    Raises:
        GrantRefusedError: If the principal does not have it, or is the last admin.
    """
    slot = journal.slot_of("g:" + holder)
    grant = None if slot is None else journal.row(slot)
    if slot is None or not isinstance(grant, GrantRow) or role not in grant.roles:
        reason = f"{holder} does not have the role {role!r}"
        raise GrantRefusedError(reason)
    if role == "admin" and journal.book().admins == 1:
        reason = "the last admin cannot be removed"
        raise GrantRefusedError(reason)
    roles = tuple(name for name in grant.roles if name != role)
    grant = grant._replace(roles=roles)
    if role == "gateway":
        grant = grant._replace(operations=(), all_players=False)
    journal.put(slot, grant)
    _count_admins(journal, role, -1)


def _grant(journal: Journal, holder: str) -> tuple[int, GrantRow]:
    """Return the holder's grant and its slot, a new one if there is none."""
    slot = journal.slot_of("g:" + holder)
    if slot is None:
        book = journal.book()
        if book.grants >= GRANTS_MAX:
            reason = f"at most {GRANTS_MAX} principals may have roles"
            raise GrantRefusedError(reason)
        journal.put(BOOK_SLOT, book._replace(grants=book.grants + 1))
        slot = journal.add(GrantRow(holder, (), (), all_players=False))
    row = journal.row(slot)
    assert isinstance(row, GrantRow), row
    return slot, row


def _count_admins(journal: Journal, role: str, change: int) -> None:
    if role == "admin":
        book = journal.book()
        journal.put(BOOK_SLOT, book._replace(admins=book.admins + change))
