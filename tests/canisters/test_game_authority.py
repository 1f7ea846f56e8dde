"""Who may do what in the game: every cell of its table, by real callers on a real canister."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from game_app import AUTHORITY, CREATE_WEIGHT, READS, ROLES
from game_operations import (
    OPERATIONS,
    Buy,
    CloseDeposit,
    CreatePlayer,
    Credit,
    Debit,
    OpenDeposit,
    Operation,
    RecordScore,
    Sell,
    SetPrice,
    Transfer,
)
from game_reads import find_player
from game_world import ADMIN, NOW_NS, Node, principal, submitted

from icfleet_canister.authority import ANONYMOUS, ANY, FLEET_ROLES, OWN, SCOPE, Caller, Target
from icfleet_canister.rate_limiter import DEFAULT_RATE

OWNER, OTHER, CREATED = principal(1), principal(2), principal(3)
GATEWAY, TREASURY, ORACLE = principal(4), principal(5), principal(6)
STRANGER, NOBODY, REPLICA = principal(7), principal(8), principal(9)

PLAYERS_OPERATIONS = (
    "CreatePlayer",
    "Transfer",
    "OpenDeposit",
    "CloseDeposit",
    "Buy",
    "Sell",
    "RecordScore",
)
CALLERS = {
    "anonymous": ANONYMOUS,
    "stranger": STRANGER,
    "owner": OWNER,
    "gateway": GATEWAY,
    "treasury": TREASURY,
    "oracle": ORACLE,
    "admin": ADMIN,
    "replica": REPLICA,
}
BODIES: dict[str, Operation] = {
    "CreatePlayer": CreatePlayer("Name"),
    "Credit": Credit("bank", 1),
    "Debit": Debit("bank", 1),
    "Transfer": Transfer(OTHER, 1),
    "OpenDeposit": OpenDeposit(1, 1),
    "CloseDeposit": CloseDeposit(1),
    "SetPrice": SetPrice("GOLD", 1),
    "Buy": Buy("GOLD", 1),
    "Sell": Sell("GOLD", 1),
    "RecordScore": RecordScore(1),
}
#: Who has a player made by itself, one made by the gateway, and none.
SUBJECTS = {"foreign": OTHER, "created": CREATED, "nobody": NOBODY}


@pytest.fixture
def node() -> Node:
    """One caller of each role, and players for it to reach or not."""
    node = Node.main()
    service = node.service
    for holder, role in ((TREASURY, "treasury"), (ORACLE, "oracle")):
        assert service.grant_role(ADMIN, holder, role, NOW_NS).case == "Done"
    gateway = service.grant_gateway(
        ADMIN, GATEWAY, PLAYERS_OPERATIONS, all_players=False, now_ns=NOW_NS
    )
    assert gateway.case == "Done"
    assert service.attach(ADMIN, REPLICA).case == "Done"
    for sender, subject in ((OWNER, OWNER), (OTHER, OTHER), (GATEWAY, CREATED)):
        assert node.do(sender, subject, CreatePlayer("Name")).case == "Applied"
    return node


def reached(node: Node, caller: str, cells: Mapping[str, str], *, opens: bool = False) -> set[str]:
    """What the cells of all the caller's roles promise, in words of the subjects.

    Whoever has no player is a stranger besides; and is anybody's to create.
    """
    words = {
        ANY: {"own", *SUBJECTS},
        OWN: {"own"},
        SCOPE: {"created", *(("nobody", "own") if opens else ())},
    }
    roles = node.service.caller(caller).roles
    return set[str]().union(*(words[cells[role]] for role in roles if role in cells))


def subjects_for(caller: str) -> dict[str, str]:
    return {"own": caller, **SUBJECTS}


@pytest.mark.parametrize("operation", AUTHORITY)
@pytest.mark.parametrize("role", CALLERS)
def test_each_cell_of_an_operation_holds(node: Node, role: str, operation: str) -> None:
    """What the cell does not say is forbidden and changes nothing; the rest gets to the rules."""
    caller = CALLERS[role]
    assert role in node.service.caller(caller).roles
    cells = AUTHORITY[operation]
    expected = reached(node, caller, cells, opens=operation == "CreatePlayer")
    table = node.service.table

    decided: set[str] = set()
    for name, subject in subjects_for(caller).items():
        before, head = dict(table.rows(0, table.end_slot)), node.head
        verdict = node.do(caller, subject, BODIES[operation])
        if verdict.case in ("Applied", "Refused"):
            decided.add(name)
        else:
            assert verdict.case == "Forbidden"
            assert (dict(table.rows(0, table.end_slot)), node.head) == (before, head)

    assert decided == expected


def may_read(node: Node, caller: str, method: str, subject: str) -> bool:
    if method in ("leaderboard", "market", "accounts"):
        return node.service.app.forbids(caller, method) is None
    return find_player(node.service.app, caller, method, subject).case != "Forbidden"


@pytest.mark.parametrize("method", READS)
@pytest.mark.parametrize("role", CALLERS)
def test_each_cell_of_a_query_holds(node: Node, role: str, method: str) -> None:
    """A player's rows are for those who may see them; a stranger learns only about itself."""
    caller = CALLERS[role]
    allowed = {
        name
        for name, subject in subjects_for(caller).items()
        if may_read(node, caller, method, subject)
    }

    assert allowed == reached(node, caller, READS[method])


def test_the_table_names_everything() -> None:
    """Every operation, every role, and nothing that is not there."""
    assert set(AUTHORITY) == {operation.__name__ for operation in OPERATIONS}
    assert {*FLEET_ROLES, *ROLES} == set(CALLERS)
    scoped = {name for name, cells in AUTHORITY.items() if cells.get("gateway") == SCOPE}
    assert scoped == set(PLAYERS_OPERATIONS)
    for name in ("Credit", "Debit"):
        assert set(AUTHORITY[name]) == {"treasury"}
    assert set(AUTHORITY["SetPrice"]) == {"oracle"}


@pytest.mark.parametrize("role", CALLERS)
def test_a_batch_may_mix_what_is_allowed_and_what_is_not(node: Node, role: str) -> None:
    """Each operation gets the answer that it would get alone."""
    caller = CALLERS[role]
    operations = [
        submitted(number, subject, body)
        for number, (body, subject) in enumerate(
            (body, subject)
            for name, body in BODIES.items()
            if name != "CreatePlayer"
            for subject in subjects_for(caller).values()
        )
    ]

    verdicts = node.submit(caller, *operations)

    for operation, verdict in zip(operations, verdicts, strict=True):
        name = type(operation.body).__name__
        whose = next(key for key, one in subjects_for(caller).items() if one == operation.subject)
        is_allowed = whose in reached(node, caller, AUTHORITY[name])
        assert (verdict.case == "Forbidden") == (not is_allowed), (name, whose)


def test_a_gateways_scope_is_by_operation_too(node: Node) -> None:
    """For all players if the scope says so, and only with the operations in it."""
    node.service.grant_gateway(ADMIN, GATEWAY, ["Transfer"], all_players=True, now_ns=NOW_NS)

    assert node.do(GATEWAY, OTHER, Transfer(OWNER, 1)).code == "InsufficientFunds"
    assert node.do(GATEWAY, CREATED, RecordScore(1)).case == "Forbidden"
    assert node.do(GATEWAY, NOBODY, Transfer(OWNER, 1)).code == "UnknownPlayer"


@pytest.mark.parametrize("operation", ["Credit", "Debit", "SetPrice", "Fly", ""])
def test_no_gateway_gets_money_or_prices(node: Node, operation: str) -> None:
    """They need roles of their own, which no scope can hold."""
    outcome = node.service.grant_gateway(
        ADMIN, NOBODY, [operation], all_players=True, now_ns=NOW_NS
    )

    assert (outcome.case, outcome.code) == ("Invalid", "BadScope")


def test_an_admin_has_neither_money_nor_prices_by_that_alone(node: Node) -> None:
    """It can give the roles, also to itself, and everybody sees it."""
    assert node.do(ADMIN, ADMIN, Credit("bank", 1)).case == "Forbidden"
    node.service.grant_role(ADMIN, ADMIN, "treasury", NOW_NS)
    assert node.do(ADMIN, ADMIN, Credit("bank", 1)).case == "Applied"


def sent(count: int, subject: str, make: Callable[[int], Operation]) -> list[Any]:
    return [submitted(number, subject, make(number)) for number in range(1, count + 1)]


def test_making_a_player_weighs_more_than_using_it(node: Node) -> None:
    """A row stays for good; so many fit a principal's rate."""
    verdicts = node.submit(STRANGER, *sent(30, STRANGER, lambda n: CreatePlayer(f"Name {n}")))

    decided = DEFAULT_RATE.limit // CREATE_WEIGHT
    assert [verdict.case for verdict in verdicts[: decided + 1]] == [
        "Applied",
        *["Refused"] * (decided - 1),
        "RateLimited",
    ]


def test_a_player_is_charged_for_what_a_gateway_does_in_its_name(node: Node) -> None:
    """A gateway's own allowance is a thousand times that."""
    verdicts = node.submit(GATEWAY, *sent(101, CREATED, RecordScore))

    room = DEFAULT_RATE.limit - CREATE_WEIGHT
    cases = [verdict.case for verdict in verdicts]
    assert cases == ["Applied"] * room + ["RateLimited"] + ["Deferred"] * (100 - room)


def test_a_treasury_does_not_use_up_a_players_allowance(node: Node) -> None:
    """Whose account it credits is not who asked."""
    verdicts = node.submit(TREASURY, *sent(200, OWNER, lambda n: Credit(OWNER, n)))

    assert {verdict.case for verdict in verdicts} == {"Applied"}


def test_rights_change_in_the_middle_of_a_batch(node: Node) -> None:
    """Whoever gets a player by one operation may use it by the next."""
    bodies: list[Operation] = [Transfer(OTHER, 1), CreatePlayer("New"), Transfer(OTHER, 1)]
    batch = [submitted(70 + number, STRANGER, body) for number, body in enumerate(bodies)]

    cases = [verdict.case for verdict in node.submit(STRANGER, *batch)]

    assert cases == ["Forbidden", "Applied", "Refused"]


@pytest.mark.parametrize("role", sorted(CALLERS))
@pytest.mark.parametrize("all_players", [False, True])
def test_who_needs_no_look_at_the_target_is_never_forbidden_one(
    node: Node, role: str, *, all_players: bool
) -> None:
    """The short way decides as the table does for the worst target."""
    authority = node.service.authority
    caller = Caller("somebody", (role,), ("Transfer", "RecordScore"), all_players)
    targets = (Target(NOBODY, None), Target(OTHER, NOBODY), Target("somebody", NOBODY))
    for name in BODIES:
        reasons = [authority.forbidden_reason(caller, "submit", name, each) for each in targets]
        assert authority.is_unlimited(caller, "submit", name) == (reasons == [None] * 3), name
