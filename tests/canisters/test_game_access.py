"""The authority table: every cell of role, method and operation."""

from pathlib import Path

import pytest
from game_access import (
    ANY,
    AUTHORITY,
    GRANTABLE_ROLES,
    OPEN_METHODS,
    OWN,
    PLAYER_OPERATIONS,
    ROLES,
    SCOPE,
    Caller,
    Target,
    forbidden_reason,
    scope_problem,
)
from game_operations import OPERATIONS
from game_rows import GrantRow

DOC = Path(__file__).parent.parent.parent / "docs" / "canister-api.md"

ME, OTHER = "me", "other"
GRANT = GrantRow(ME, ("gateway",), PLAYER_OPERATIONS, all_players=False)
CELLS = [
    pytest.param(role, method, operation, id=f"{role}-{method}-{operation}".rstrip("-"))
    for method, operation in AUTHORITY
    for role in ROLES
]


def documented_table() -> dict[tuple[str, str], dict[str, str]]:
    """The table of docs/canister-api.md."""
    table: dict[tuple[str, str], dict[str, str]] = {}
    for line in DOC.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != len(ROLES) + 1 or not cells[0].startswith("`"):
            continue
        method, _, operation = cells[0].replace("`", "").partition(" ")
        reaches = zip(ROLES, cells[1:], strict=True)
        table[method, operation] = {role: reach for role, reach in reaches if reach}
    return table


def test_the_documentation_shows_the_table_of_the_code() -> None:
    """Cell by cell."""
    assert documented_table() == AUTHORITY


@pytest.mark.parametrize(("role", "method", "operation"), CELLS)
def test_each_cell_reaches_as_far_as_it_says(role: str, method: str, operation: str) -> None:
    """Its own subject, one it created, and any other."""
    caller = Caller(ME, (role,), GRANT if role == "gateway" else None)
    reach = AUTHORITY[method, operation].get(role)
    subjects = {
        "own": Target(ME, "somebody"),
        "created": Target(OTHER, ME),
        "foreign": Target(OTHER, "somebody"),
    }

    allowed = {
        name
        for name, target in subjects.items()
        if forbidden_reason(caller, method, operation, target) is None
    }

    expected: dict[str | None, set[str]] = {
        None: set(),
        ANY: {"own", "created", "foreign"},
        OWN: {"own"},
        SCOPE: {"created"} if operation != "CreatePlayer" else {"own", "created", "foreign"},
    }
    assert allowed == expected[reach]


@pytest.mark.parametrize("operation", PLAYER_OPERATIONS)
def test_a_gateways_scope_is_by_operation_and_by_player(operation: str) -> None:
    """For all players if the scope says so, and only with the operations in it."""
    foreign = Target(OTHER, "somebody")
    for_all = GRANT._replace(all_players=True)
    without = for_all._replace(operations=tuple({*PLAYER_OPERATIONS} - {operation}))

    assert forbidden_reason(Caller(ME, ("gateway",), for_all), "submit", operation, foreign) is None
    assert forbidden_reason(Caller(ME, ("gateway",), without), "submit", operation, foreign)
    assert forbidden_reason(Caller(ME, ("gateway",), for_all), "player", "", foreign) is None


def test_a_gateway_cannot_touch_a_player_that_is_not_there() -> None:
    """It has created none of that name; for all players, the rules answer."""
    nobody = Target(OTHER, None)
    for_all = GRANT._replace(all_players=True)

    assert forbidden_reason(Caller(ME, ("gateway",), GRANT), "submit", "Transfer", nobody)
    assert forbidden_reason(Caller(ME, ("gateway",), for_all), "submit", "Transfer", nobody) is None


def test_several_roles_add_up() -> None:
    """A gateway that plays itself may do both."""
    caller = Caller(ME, ("gateway", "owner"), GRANT)

    assert forbidden_reason(caller, "submit", "Buy", Target(ME, "somebody")) is None
    assert forbidden_reason(caller, "submit", "Buy", Target(OTHER, ME)) is None
    assert forbidden_reason(caller, "submit", "Buy", Target(OTHER, "somebody")) == (
        "Buy is out of reach: owner reaches own and gateway reaches scope"
    )


def test_a_reason_names_the_role_that_is_needed() -> None:
    """So that whoever reads it knows whom to ask."""
    reason = forbidden_reason(Caller(ME, ("owner",)), "submit", "SetPrice", Target(ME, None))

    assert reason == "SetPrice needs the role oracle"


def test_every_operation_has_a_row_and_every_role_a_use() -> None:
    """Nothing is left to chance."""
    assert {operation for method, operation in AUTHORITY if method == "submit"} == set(OPERATIONS)
    assert set().union(*AUTHORITY.values()) == set(ROLES)
    assert set(GRANTABLE_ROLES) < set(ROLES)
    assert all((method, "") in AUTHORITY for method in OPEN_METHODS)
    with_scope = {
        operation for (_, operation), cells in AUTHORITY.items() if SCOPE in cells.values()
    }
    assert with_scope - {""} == set(PLAYER_OPERATIONS)


@pytest.mark.parametrize(
    ("roles", "is_known"),
    [
        (("anonymous",), False),
        (("stranger",), False),
        (("owner",), True),
        (("stranger", "admin"), True),
    ],
)
def test_strangers_are_those_without_any_other_role(
    roles: tuple[str, ...], *, is_known: bool
) -> None:
    """They share one rate."""
    assert Caller(ME, roles).is_known == is_known


@pytest.mark.parametrize(
    ("operations", "problem"),
    [
        (["Transfer", "Buy"], None),
        ([], None),
        (["Credit"], "not for gateways: Credit"),
        (["Fly", "Credit"], "not for gateways: Credit, Fly"),
        (["Buy", "Buy"], "an operation is named twice"),
    ],
)
def test_a_scope_holds_players_operations_only(operations: list[str], problem: str | None) -> None:
    """Money and prices need roles of their own."""
    assert scope_problem(operations) == problem
