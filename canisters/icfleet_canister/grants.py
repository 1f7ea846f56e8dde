"""What admins give and take: roles, and gateways with a scope. Each change is a row of the log.

A grant's row stays when everything in it was taken back, so that giving and taking again and
again uses one slot.
"""

from __future__ import annotations

from collections.abc import Sequence

from icfleet_canister.authority import ANONYMOUS, Authority
from icfleet_canister.row_journal import RowJournal, refuse
from icfleet_canister.row_kinds import FLEET_SLOT, FleetRow, GrantRow, grant_key

__all__ = [
    "ADMINS_MAX",
    "GRANTS_MAX",
    "give_gateway",
    "give_role",
    "take_role",
]

#: Bounds the rows of grants; each gateway, admin or holder of an application's role is one.
GRANTS_MAX = 1_000

#: Bounds the list of admins, which is in the fleet's own row and in every ``status``.
ADMINS_MAX = 32


def give_gateway(
    journal: RowJournal,
    authority: Authority,
    holder: str,
    operations: Sequence[str],
    *,
    all_players: bool,
) -> None:
    """Let a principal send these operations, for the subjects it created or for all.

    A gateway's earlier scope is replaced.

    Raises:
        RuleRefusedError: ``BadScope``, ``NoPrincipal`` or ``NoRoom``.
    """
    problem = authority.scope_problem(operations)
    if problem is not None:
        refuse("BadScope", problem)
    _give(journal, holder, "gateway")
    slot, grant = _grant(journal, holder)
    given = grant._replace(operations=tuple(operations), all_players=all_players)
    if given != grant:
        journal.put(slot, given)


def give_role(journal: RowJournal, authority: Authority, holder: str, role: str) -> None:
    """Give a role; having it already is fine.

    Raises:
        RuleRefusedError: ``UnknownRole``, ``NoPrincipal`` or ``NoRoom``.
    """
    if role not in authority.grantable_roles:
        refuse("UnknownRole", f"no role {role[:40]!r}: {', '.join(authority.grantable_roles)}")
    _give(journal, holder, role)


def take_role(journal: RowJournal, holder: str, role: str) -> None:
    """Take a role, or a gateway's scope.

    Raises:
        RuleRefusedError: ``NotHeld``, or ``LastAdmin``.
    """
    slot = journal.slot_of(grant_key(holder))
    grant = None if slot is None else journal.row(slot)
    if slot is None or not isinstance(grant, GrantRow) or role not in grant.roles:
        refuse("NotHeld", f"{holder} does not have the role {role[:40]!r}")
    if role == "admin":
        fleet = _fleet(journal)
        if len(fleet.admins) == 1:
            refuse("LastAdmin", "the last admin cannot be removed")
        admins = tuple(other for other in fleet.admins if other != slot)
        journal.put(FLEET_SLOT, fleet._replace(admins=admins))
    roles = tuple(name for name in grant.roles if name != role)
    grant = grant._replace(roles=roles)
    if role == "gateway":
        grant = grant._replace(operations=(), all_players=False)
    journal.put(slot, grant)


def _give(journal: RowJournal, holder: str, role: str) -> None:
    if holder == ANONYMOUS:
        refuse("NoPrincipal", "whoever has no key cannot have a role")
    slot, grant = _grant(journal, holder)
    if role in grant.roles:
        return
    if role == "admin":
        fleet = _fleet(journal)
        if len(fleet.admins) >= ADMINS_MAX:
            refuse("NoRoom", f"at most {ADMINS_MAX} principals may be admins")
        journal.put(FLEET_SLOT, fleet._replace(admins=(*fleet.admins, slot)))
    journal.put(slot, grant._replace(roles=tuple(sorted({*grant.roles, role}))))


def _grant(journal: RowJournal, holder: str) -> tuple[int, GrantRow]:
    """Return the holder's grant and its slot, a new one if there is none."""
    slot = journal.slot_of(grant_key(holder))
    if slot is None:
        fleet = _fleet(journal)
        if fleet.grants >= GRANTS_MAX:
            refuse("NoRoom", f"at most {GRANTS_MAX} principals may have roles")
        journal.put(FLEET_SLOT, fleet._replace(grants=fleet.grants + 1))
        slot = journal.add(GrantRow(holder, (), (), all_players=False))
    row = journal.row(slot)
    assert isinstance(row, GrantRow), row
    return slot, row


def _fleet(journal: RowJournal) -> FleetRow:
    row = journal.row(FLEET_SLOT)
    assert isinstance(row, FleetRow), row
    return row
