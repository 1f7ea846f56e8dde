"""Who may do what: one table of role x method x operation.

A canister's own operations and reads come from its ``Application``; the fleet's methods are here.
The table decides in ``inspect_message``, in every method, for every operation of a batch; the
documentation and the test of every cell are made from it. A cell says how far a role reaches; what
has no cell, or is not known at all, is forbidden.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from icfleet_canister.fleet_errors import ConfigurationError

__all__ = [
    "ANONYMOUS",
    "ANY",
    "FLEET_ROLES",
    "OPEN_METHODS",
    "OWN",
    "SCOPE",
    "Authority",
    "Caller",
    "Cell",
    "Target",
]

#: The principal of callers without a key, as text.
ANONYMOUS = "2vxsx-fae"

#: Its own subject only.
OWN = "own"

#: The subjects in a gateway's scope, by the operations in it.
SCOPE = "scope"

#: Every subject.
ANY = "any"

#: ``anonymous`` has no key; ``stranger`` has one and owns nothing here; ``owner`` has a row of its
#: own; ``gateway`` and ``admin`` are given by admins; ``replica`` is an attached canister. A caller
#: may have several. An application's own roles stand between ``gateway`` and ``admin``.
FLEET_ROLES = ("anonymous", "stranger", "owner", "gateway", "admin", "replica")

#: The fleet's queries that everybody may use, and so anybody with a key also as an update.
OPEN_METHODS = ("cached_query", "head", "status")

_ADMIN_METHODS = (
    "attach",
    "detach",
    "follow",
    "reseed",
    "promote",
    "demote",
    "configure",
    "grant_gateway",
    "revoke_gateway",
    "grant_role",
    "revoke_role",
)

_REACHES = (OWN, SCOPE, ANY)


class Caller(NamedTuple):
    """A principal with the roles it has."""

    principal: str
    roles: Collection[str]
    operations: Collection[str] = ()
    """As a gateway: what its scope holds."""
    all_players: bool = False
    """As a gateway: whether its scope holds every subject, or those that it created."""

    @property
    def is_known(self) -> bool:
        """Whether it is more than a stranger."""
        return not {"anonymous", "stranger"}.issuperset(self.roles)

    @property
    def is_trusted(self) -> bool:
        """Whether admins have given it any role."""
        return not {"anonymous", "stranger", "owner", "replica"}.issuperset(self.roles)


class Target(NamedTuple):
    """Whom a call is about."""

    subject: str
    created_by: str | None
    """Who created the subject's row; ``None`` if it has none."""


class Cell(NamedTuple):
    """One cell of the table; ``reach`` is empty where the role may not."""

    method: str
    operation: str
    """Empty for a method as a whole; ``submit`` has its operations, ``status`` its ``cycles``."""
    role: str
    reach: str


class Authority:
    """The table of one canister.

    Args:
        operations: By name of ``submit``'s operations: which roles may send them, and how far each
            of these reaches.
        reads: The same, by name of the canister's own query methods.
        roles: The canister's own roles, which admins may give.

    Raises:
        ConfigurationError: If a role or reach is none, or a name is the fleet's.
    """

    def __init__(
        self,
        operations: Mapping[str, Mapping[str, str]],
        reads: Mapping[str, Mapping[str, str]],
        roles: Sequence[str],
    ) -> None:
        _require_free(roles, FLEET_ROLES, "role")
        split = FLEET_ROLES.index("admin")
        self.roles = (*FLEET_ROLES[:split], *roles, *FLEET_ROLES[split:])
        """All of them, in the order of the table's columns."""
        self.grantable_roles = ("admin", *roles)
        """What ``grant_role`` may give; ``gateway`` comes with a scope, by ``grant_gateway``."""
        everybody = dict.fromkeys(self.roles, ANY)
        admins = {"admin": ANY}
        table = {("submit", name): dict(cells) for name, cells in operations.items()}
        for name in OPEN_METHODS:
            table[name, ""] = everybody
        table["status", "cycles"] = admins
        table["log_since", ""] = {"admin": ANY, "replica": ANY}
        table["state_page", ""] = {"admin": ANY, "replica": ANY}
        table["acknowledge", ""] = {"replica": ANY}
        for name in _ADMIN_METHODS:
            table[name, ""] = admins
        _require_free(reads, [*(method for method, _ in table), "submit"], "read")
        for name, cells in reads.items():
            table[name, ""] = dict(cells)
        self.table: Mapping[tuple[str, str], Mapping[str, str]] = table
        """Method and operation to the roles that may, and how far."""
        self.scoped_operations = tuple(
            name for name, cells in operations.items() if cells.get("gateway") == SCOPE
        )
        """What a gateway's scope may hold."""
        self._require_sense()

    def cells(self) -> Iterator[Cell]:
        """Return every cell, row by row."""
        for (method, operation), row in self.table.items():
            for role in self.roles:
                yield Cell(method, operation, role, row.get(role, ""))

    def forbidden_reason(
        self, caller: Caller, method: str, operation: str = "", target: Target | None = None
    ) -> str | None:
        """Return why the table says no, or ``None`` when it says yes.

        Args:
            caller: Who asks.
            method: A canister method.
            operation: One of ``submit``'s, or ``cycles`` of ``status``.
            target: Whom it is about; without one the answer is whether any target is in reach.
        """
        name = operation or method
        row = self.table.get((method, operation))
        if row is None:
            return f"there is no {name!r} here"
        reaches = [(role, row[role]) for role in self.roles if role in caller.roles and role in row]
        if not reaches:
            needed = " or ".join(role for role in self.roles if role in row)
            return f"{name} needs the role {needed}" if needed else f"{name} is for nobody"
        if target is None or any(
            self._is_in_reach(reach, caller, operation, target) for _, reach in reaches
        ):
            return None
        limits = " and ".join(f"{role} reaches {reach}" for role, reach in reaches)
        return f"{name} is out of reach: {limits}"

    def is_unlimited(self, caller: Caller, method: str, operation: str) -> bool:
        """Whether the table says yes whatever the target is."""
        row = self.table.get((method, operation), {})
        has_scope = caller.all_players and operation in caller.operations
        reaches = {row[role] for role in caller.roles if role in row}
        return ANY in reaches or (SCOPE in reaches and has_scope)

    def is_forbidden_method(self, caller: Caller, method: str) -> bool:
        """Whether a caller may not use a method with any operation; ``submit`` is for all."""
        if method == "submit":
            return "anonymous" in caller.roles
        return self.forbidden_reason(caller, method) is not None

    def scope_problem(self, operations: Sequence[str]) -> str | None:
        """Return why a gateway cannot have these operations, or ``None``."""
        unknown = sorted(set(operations) - set(self.scoped_operations))
        if unknown:
            names = ", ".join(name[:40] for name in unknown[:10])
            return f"not for gateways: {names}"
        if len(set(operations)) != len(operations):
            return "an operation is named twice"
        return None

    def _is_in_reach(self, reach: str, caller: Caller, operation: str, target: Target) -> bool:
        """Decide one reach.

        By an operation that strangers may send, one who owns nothing yet can come to own: so
        gateways reach those too who have no row that anybody could have created.
        """
        if reach == ANY:
            return True
        if reach == OWN:
            return target.subject == caller.principal
        if operation and operation not in caller.operations:
            return False
        if caller.all_players or target.created_by == caller.principal:
            return True
        opens = "stranger" in self.table.get(("submit", operation), ())
        return opens and target.created_by is None

    def _require_sense(self) -> None:
        for (method, operation), row in self.table.items():
            for role, reach in row.items():
                if role not in self.roles or reach not in _REACHES:
                    name = operation or method
                    reason = f"{name}: no role {role!r} that could reach {reach!r}"
                    raise ConfigurationError(reason)
                if reach == SCOPE and role != "gateway":
                    reason = f"{operation or method}: only a gateway has a scope, not {role}"
                    raise ConfigurationError(reason)


def _require_free(names: Collection[str], taken: Collection[str], kind: str) -> None:
    clash = sorted(set(names) & set(taken))
    if clash or len(set(names)) != len(names) or "" in names:
        reason = f"{kind} {', '.join(clash) or 'names'}: taken, or named twice, or empty"
        raise ConfigurationError(reason)
