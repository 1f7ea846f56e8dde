"""The authority table: every cell of role, method and operation."""

from pathlib import Path

import pytest
from tiny_application import tiny_application

from icfleet.authority_doc import authority_document, authority_of
from icfleet_canister.authority import (
    ANY,
    FLEET_ROLES,
    OPEN_METHODS,
    OWN,
    SCOPE,
    Authority,
    Caller,
    Cell,
    Target,
)
from icfleet_canister.fleet_errors import ConfigurationError

ROOT = Path(__file__).parent.parent.parent
ME, OTHER = "me", "other"
APP = tiny_application()
AUTHORITY = Authority(APP.authority, APP.reads, APP.roles)
CELLS = [
    pytest.param(cell, id=f"{cell.role}-{cell.method}-{cell.operation}".rstrip("-"))
    for cell in AUTHORITY.cells()
]


def caller(*roles: str, operations: tuple[str, ...] = (), all_players: bool = False) -> Caller:
    """Me, with these roles."""
    return Caller(ME, roles, operations, all_players)


@pytest.mark.parametrize("cell", CELLS)
def test_each_cell_reaches_as_far_as_it_says(cell: Cell) -> None:
    """Its own subject, one it created, one of somebody else, and one that owns nothing."""
    me = caller(cell.role, operations=AUTHORITY.scoped_operations)
    subjects = {
        "own": Target(ME, "somebody"),
        "created": Target(OTHER, ME),
        "foreign": Target(OTHER, "somebody"),
        "nobody": Target(OTHER, None),
    }

    allowed = {
        name
        for name, target in subjects.items()
        if AUTHORITY.forbidden_reason(me, cell.method, cell.operation, target) is None
    }

    expected = {
        "": set[str](),
        ANY: {"own", "created", "foreign", "nobody"},
        OWN: {"own"},
        SCOPE: {"created", "nobody"} if cell.operation == "Add" else {"created"},
    }
    assert allowed == expected[cell.reach]


def test_the_table_has_a_row_for_everything_and_every_role_a_use() -> None:
    """The fleet's methods, the application's operations and reads."""
    operations = {operation for method, operation in AUTHORITY.table if method == "submit"}

    assert operations == set(APP.operations)
    assert {("status", ""), ("status", "cycles"), ("value", "")} < set(AUTHORITY.table)
    assert set().union(*AUTHORITY.table.values()) == set(AUTHORITY.roles)
    assert set(AUTHORITY.roles) == {*FLEET_ROLES, "judge"}
    assert AUTHORITY.grantable_roles == ("admin", "judge")
    assert AUTHORITY.scoped_operations == ("Add", "Reset")
    assert all((method, "") in AUTHORITY.table for method in OPEN_METHODS)


@pytest.mark.parametrize(
    ("method", "operation"),
    [("submit", "Fly"), ("submit", ""), ("fly", ""), ("status", "secrets"), ("", ""), ("Add", "")],
)
def test_what_is_not_in_the_table_is_forbidden(method: str, operation: str) -> None:
    """To everybody, and without an error."""
    everybody = caller(*AUTHORITY.roles, operations=("Fly",), all_players=True)

    reason = AUTHORITY.forbidden_reason(everybody, method, operation, Target(ME, ME))

    assert reason == f"there is no {operation or method!r} here"


@pytest.mark.parametrize("operation", AUTHORITY.scoped_operations)
def test_a_gateways_scope_is_by_operation_and_by_player(operation: str) -> None:
    """For all players if the scope says so, and only with the operations in it."""
    foreign = Target(OTHER, "somebody")
    scoped = AUTHORITY.scoped_operations
    for_all = caller("gateway", operations=scoped, all_players=True)
    others = tuple(name for name in scoped if name != operation)
    without = caller("gateway", operations=others, all_players=True)

    assert AUTHORITY.forbidden_reason(for_all, "submit", operation, foreign) is None
    assert AUTHORITY.forbidden_reason(without, "submit", operation, foreign)
    assert AUTHORITY.forbidden_reason(for_all, "value", "", foreign) is None


def test_a_gateway_cannot_take_a_player_that_another_created() -> None:
    """Though the operation is one by which it could have created it."""
    me = caller("gateway", operations=AUTHORITY.scoped_operations)

    assert AUTHORITY.forbidden_reason(me, "submit", "Add", Target(OTHER, None)) is None
    assert AUTHORITY.forbidden_reason(me, "submit", "Add", Target(OTHER, "")) is not None
    assert AUTHORITY.forbidden_reason(me, "submit", "Reset", Target(OTHER, None)) is not None
    assert AUTHORITY.forbidden_reason(me, "value", "", Target(OTHER, None)) is not None


def test_several_roles_add_up() -> None:
    """A gateway that plays itself may do both."""
    me = caller("gateway", "owner", operations=("Reset",))

    assert AUTHORITY.forbidden_reason(me, "submit", "Reset", Target(ME, "somebody")) is None
    assert AUTHORITY.forbidden_reason(me, "submit", "Reset", Target(OTHER, ME)) is None
    assert AUTHORITY.forbidden_reason(me, "submit", "Reset", Target(OTHER, "somebody")) == (
        "Reset is out of reach: owner reaches own and gateway reaches scope"
    )


def test_a_reason_names_the_role_that_is_needed() -> None:
    """So that whoever reads it knows whom to ask."""
    me = caller("owner")

    assert AUTHORITY.forbidden_reason(me, "submit", "Award") == "Award needs the role judge"
    assert (
        AUTHORITY.forbidden_reason(me, "log_since") == "log_since needs the role admin or replica"
    )
    assert AUTHORITY.forbidden_reason(me, "status", "cycles") == "cycles needs the role admin"


@pytest.mark.parametrize(
    ("roles", "is_known", "is_trusted"),
    [
        (("anonymous",), False, False),
        (("stranger",), False, False),
        (("owner",), True, False),
        (("stranger", "replica"), True, False),
        (("stranger", "judge"), True, True),
        (("owner", "gateway"), True, True),
        (("stranger", "admin"), True, True),
    ],
)
def test_strangers_are_those_without_any_other_role(
    roles: tuple[str, ...], *, is_known: bool, is_trusted: bool
) -> None:
    """They share one rate; those whom admins trust have a higher one."""
    assert (caller(*roles).is_known, caller(*roles).is_trusted) == (is_known, is_trusted)


@pytest.mark.parametrize(
    ("operations", "problem"),
    [
        (["Add", "Reset"], None),
        ([], None),
        (["Award"], "not for gateways: Award"),
        (["Fly", "Award"], "not for gateways: Award, Fly"),
        (["x" * 1_000], "not for gateways: " + "x" * 40),
        (["Add", "Add"], "an operation is named twice"),
    ],
)
def test_a_scope_holds_scoped_operations_only(operations: list[str], problem: str | None) -> None:
    """What needs another role is not given that way."""
    assert AUTHORITY.scope_problem(operations) == problem


@pytest.mark.parametrize(
    ("operations", "reads", "roles"),
    [
        ({"Add": {"king": ANY}}, {}, []),
        ({"Add": {"owner": "far"}}, {}, []),
        ({"Add": {"owner": SCOPE}}, {}, []),
        ({}, {"value": {"king": OWN}}, []),
        ({}, {"status": {"owner": OWN}}, []),
        ({}, {"submit": {"owner": OWN}}, []),
        ({}, {}, ["admin"]),
        ({}, {}, ["judge", "judge"]),
        ({}, {}, [""]),
    ],
)
def test_a_table_that_makes_no_sense_is_an_error(
    operations: dict[str, dict[str, str]], reads: dict[str, dict[str, str]], roles: list[str]
) -> None:
    """When the canister is built, and not at the first call."""
    with pytest.raises(ConfigurationError):
        Authority(operations, reads, roles)


def test_the_document_shows_every_cell() -> None:
    """Row by row, role by role."""
    rows: dict[str, list[str]] = {}
    for line in authority_document(AUTHORITY).splitlines():
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if len(cells) == len(AUTHORITY.roles) and name.startswith("`"):
            rows[name.strip("`")] = cells

    documented = [
        (name, role, reach)
        for name, cells in rows.items()
        for role, reach in zip(AUTHORITY.roles, cells, strict=True)
    ]
    table = [
        ((f"{cell.method} {cell.operation}".removeprefix("submit ")).strip(), cell.role, cell.reach)
        for cell in AUTHORITY.cells()
    ]
    assert sorted(documented) == sorted(table)


def test_the_committed_document_is_that_of_the_code() -> None:
    """Written by `python -m icfleet.authority_doc canisters/game docs/authority.md`."""
    document = authority_document(authority_of(ROOT / "canisters" / "game"))

    assert (ROOT / "docs" / "authority.md").read_text(encoding="utf-8") == document
