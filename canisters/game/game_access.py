"""Who may do what: one table of method, operation and role, from which everything else follows.

A cell says how far the role reaches. ``OWN``: only where the subject is the caller itself.
``SCOPE``: a gateway, within the operations and players that an admin gave it. ``ANY``: without
such a limit. A cell that is not there means no.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from game_rows import GrantRow

__all__ = [
    "ANONYMOUS",
    "ANY",
    "AUTHORITY",
    "GRANTABLE_ROLES",
    "OPEN_METHODS",
    "OWN",
    "PLAYER_OPERATIONS",
    "ROLES",
    "SCOPE",
    "Caller",
    "Target",
    "forbidden_reason",
    "scope_problem",
]

#: The principal of callers without a key, as text.
ANONYMOUS = "2vxsx-fae"

OWN = "own"
SCOPE = "scope"
ANY = "any"

#: ``anonymous`` has no key; ``stranger`` has one and no player; ``owner`` has a player; ``replica``
#: is an attached canister; the others are given by admins. A caller may have several.
ROLES = ("anonymous", "stranger", "owner", "gateway", "treasury", "oracle", "admin", "replica")

#: What ``grant_role`` may give; ``gateway`` comes with a scope, by ``grant_gateway``.
GRANTABLE_ROLES = ("admin", "treasury", "oracle")

#: Queries that anybody with a key may also have answered by consensus, as an update.
OPEN_METHODS = ("accounts", "cached_query", "leaderboard", "market", "player", "status")

#: What a gateway's scope may hold.
PLAYER_OPERATIONS = (
    "CreatePlayer",
    "Transfer",
    "OpenDeposit",
    "CloseDeposit",
    "Buy",
    "Sell",
    "RecordScore",
)

_FOR_PLAYERS: Mapping[str, str] = {"owner": OWN, "gateway": SCOPE}
_FOR_ALL: Mapping[str, str] = dict.fromkeys(ROLES, ANY)
_FOR_ADMINS: Mapping[str, str] = {"admin": ANY}

#: Method and operation (empty for methods without operations) to the roles that may, and how far.
AUTHORITY: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("submit", "CreatePlayer"): {"stranger": OWN, "owner": OWN, "gateway": SCOPE},
    ("submit", "Transfer"): _FOR_PLAYERS,
    ("submit", "OpenDeposit"): _FOR_PLAYERS,
    ("submit", "CloseDeposit"): _FOR_PLAYERS,
    ("submit", "Buy"): _FOR_PLAYERS,
    ("submit", "Sell"): _FOR_PLAYERS,
    # A score that its own player could set would be worth nothing.
    ("submit", "RecordScore"): {"gateway": SCOPE},
    ("submit", "Credit"): {"treasury": ANY},
    ("submit", "Debit"): {"treasury": ANY},
    ("submit", "SetPrice"): {"oracle": ANY},
    ("player", ""): {"stranger": OWN, "owner": OWN, "gateway": SCOPE, "admin": ANY},
    ("accounts", ""): {"treasury": ANY, "admin": ANY},
    ("leaderboard", ""): _FOR_ALL,
    ("market", ""): _FOR_ALL,
    ("cached_query", ""): _FOR_ALL,
    ("status", ""): _FOR_ALL,
    ("status", "cycles"): _FOR_ADMINS,
    ("log_since", ""): {"replica": ANY, "admin": ANY},
    ("acknowledge", ""): {"replica": ANY},
    ("attach", ""): _FOR_ADMINS,
    ("detach", ""): _FOR_ADMINS,
    ("follow", ""): _FOR_ADMINS,
    ("grant_gateway", ""): _FOR_ADMINS,
    ("revoke_gateway", ""): _FOR_ADMINS,
    ("grant_role", ""): _FOR_ADMINS,
    ("revoke_role", ""): _FOR_ADMINS,
}


class Caller(NamedTuple):
    """A principal with the roles it has."""

    principal: str
    roles: Collection[str]
    grant: GrantRow | None = None

    @property
    def is_known(self) -> bool:
        """Whether it is more than a stranger."""
        return not {"anonymous", "stranger"}.issuperset(self.roles)


class Target(NamedTuple):
    """Whom a call is about."""

    subject: str
    created_by: str | None
    """Who created the subject's player; ``None`` if there is none."""


def forbidden_reason(
    caller: Caller, method: str, operation: str = "", target: Target | None = None
) -> str | None:
    """Return why the table says no, or ``None`` when it says yes."""
    cells = AUTHORITY[method, operation]
    name = operation or method
    reaches = [(role, cells[role]) for role in ROLES if role in caller.roles and role in cells]
    if not reaches:
        needed = " or ".join(role for role in ROLES if role in cells)
        return f"{name} needs the role {needed}"
    if target is None or any(
        _is_in_reach(reach, caller, operation, target) for _, reach in reaches
    ):
        return None
    limits = " and ".join(f"{role} reaches {reach}" for role, reach in reaches)
    return f"{name} is out of reach: {limits}"


def _is_in_reach(reach: str, caller: Caller, operation: str, target: Target) -> bool:
    if reach == ANY:
        return True
    if reach == OWN:
        return target.subject == caller.principal
    grant = caller.grant
    if grant is None or (operation and operation not in grant.operations):
        return False
    if grant.all_players or operation == "CreatePlayer":
        return True
    return target.created_by == caller.principal


def scope_problem(operations: Sequence[str]) -> str | None:
    """Return why a gateway cannot have these operations, or ``None``."""
    unknown = sorted(set(operations) - set(PLAYER_OPERATIONS))
    if unknown:
        return f"not for gateways: {', '.join(unknown)}"
    if len(set(operations)) != len(operations):
        return "an operation is named twice"
    return None
