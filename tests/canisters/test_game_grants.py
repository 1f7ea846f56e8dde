"""Roles and gateways, given and taken by admins."""

import pytest
from game_access import ANONYMOUS
from game_grants import GRANTS_MAX
from game_operations import CreatePlayer, Credit, SetPrice, Transfer
from game_service import AdminOutcome
from game_world import ADMIN, NOW_NS, Node, principal

ADA = principal(1)
BOB = principal(2)
GATEWAY = principal(3)


def test_the_installer_is_the_first_admin() -> None:
    """And nothing else: treasury and oracle are given by hand."""
    node = Node.main()

    assert node.game.forbids(ADMIN, "attach") is None
    assert node.do(ADMIN, ADMIN, Credit("bank", 1)).case == "Forbidden"
    assert node.game.grant_role(ADMIN, ADMIN, "treasury", NOW_NS) == AdminOutcome("Done")
    assert node.do(ADMIN, ADMIN, Credit("bank", 1)).case == "Applied"
    assert node.do(ADMIN, ADMIN, SetPrice("GOLD", 1)).case == "Forbidden"


def test_a_gateway_acts_for_the_players_it_created() -> None:
    """Not for others, and only within the operations of its scope."""
    node = Node.main()
    node.do(BOB, BOB, CreatePlayer("Bob"))
    outcome = node.game.grant_gateway(
        ADMIN, GATEWAY, ["CreatePlayer", "Transfer"], all_players=False, now_ns=NOW_NS
    )

    assert outcome == AdminOutcome("Done")
    assert node.do(GATEWAY, ADA, CreatePlayer("Ada")).case == "Applied"
    assert node.do(GATEWAY, ADA, Transfer(BOB, 1)).code == "InsufficientFunds"
    assert node.do(GATEWAY, BOB, Transfer(ADA, 1)).case == "Forbidden"
    assert node.game.player(GATEWAY, ADA).case == "Found"
    assert node.game.player(GATEWAY, BOB).case == "Forbidden"


def test_a_gateway_may_get_another_scope_and_lose_it() -> None:
    """The last one counts; taken back, it is a stranger again, in the same slot."""
    node = Node.main()
    grant = node.game.grant_gateway
    grant(ADMIN, GATEWAY, ["CreatePlayer"], all_players=False, now_ns=NOW_NS)
    grant(ADMIN, GATEWAY, ["Buy"], all_players=True, now_ns=NOW_NS)
    slots = node.figures["slots"]

    assert node.do(GATEWAY, ADA, CreatePlayer("Ada")).case == "Forbidden"
    assert node.game.revoke_gateway(ADMIN, GATEWAY, NOW_NS) == AdminOutcome("Done")
    assert node.game.caller(GATEWAY).roles == ["stranger"]
    assert node.game.caller(GATEWAY).grant is None
    grant(ADMIN, GATEWAY, ["CreatePlayer"], all_players=False, now_ns=NOW_NS)
    assert node.figures["slots"] == slots


def test_roles_are_given_and_taken_one_by_one() -> None:
    """Giving what is there already changes nothing, and makes no record."""
    node = Node.main()
    game = node.game
    for role in ("treasury", "oracle"):
        game.grant_role(ADMIN, ADA, role, NOW_NS)
    head = node.head

    assert game.grant_role(ADMIN, ADA, "oracle", NOW_NS) == AdminOutcome("Done")
    assert node.head == head
    assert game.revoke_role(ADMIN, ADA, "treasury", NOW_NS) == AdminOutcome("Done")
    assert sorted(game.caller(ADA).roles) == ["oracle", "stranger"]


@pytest.mark.parametrize(
    ("holder", "role", "reason"),
    [
        (ADA, "king", "no role 'king': admin, treasury, oracle"),
        (ADA, "gateway ", "no role 'gateway ': admin, treasury, oracle"),
        (ANONYMOUS, "oracle", "whoever has no key cannot have a role"),
    ],
)
def test_a_role_that_cannot_be_given_is_invalid(holder: str, role: str, reason: str) -> None:
    """With the reason in words."""
    node = Node.main()

    assert node.game.grant_role(ADMIN, holder, role, NOW_NS) == AdminOutcome("Invalid", reason)
    assert node.head.seq == 3


def test_a_scope_with_anything_but_players_operations_is_invalid() -> None:
    """No gateway gets money or prices that way."""
    node = Node.main()

    outcome = node.game.grant_gateway(ADMIN, GATEWAY, ["Credit"], all_players=True, now_ns=NOW_NS)

    assert outcome == AdminOutcome("Invalid", "not for gateways: Credit")


def test_what_nobody_has_cannot_be_taken() -> None:
    """It would be a mistake in the command."""
    node = Node.main()

    assert node.game.revoke_role(ADMIN, ADA, "oracle", NOW_NS).case == "Invalid"
    assert node.game.revoke_gateway(ADMIN, ADA, NOW_NS).case == "Invalid"
    assert node.game.revoke_role(ADMIN, ADMIN, "gateway", NOW_NS).case == "Invalid"


def test_the_last_admin_stays() -> None:
    """Else nobody could ever give a role again."""
    node = Node.main()
    game = node.game

    assert game.revoke_role(ADMIN, ADMIN, "admin", NOW_NS).case == "Invalid"
    game.grant_role(ADMIN, ADA, "admin", NOW_NS)
    assert game.revoke_role(ADA, ADMIN, "admin", NOW_NS) == AdminOutcome("Done")
    assert game.grant_role(ADMIN, BOB, "admin", NOW_NS).case == "Forbidden"


def test_there_is_room_for_so_many_grants() -> None:
    """Each is a row for good."""
    node = Node.main()
    for number in range(GRANTS_MAX - 1):
        assert node.game.grant_role(ADMIN, principal(number), "oracle", NOW_NS).case == "Done"

    outcome = node.game.grant_role(ADMIN, principal(GRANTS_MAX), "oracle", NOW_NS)

    assert outcome == AdminOutcome("Invalid", "at most 1000 principals may have roles")


def test_replicas_know_what_was_given_and_give_nothing() -> None:
    """Roles are rows of the log."""
    main = Node.main()
    replica = Node.replica(1, main)
    main.game.grant_role(ADMIN, ADA, "treasury", NOW_NS)
    replica.pull(main)

    assert replica.game.forbids(ADA, "accounts") is None
    assert replica.game.grant_role(ADMIN, BOB, "oracle", NOW_NS) == AdminOutcome(
        "Invalid", "roles are given on the main"
    )


def test_a_replicas_installer_is_its_admin_before_it_has_any_record() -> None:
    """Somebody must tell it whom to follow; on the main that gives no right."""
    main = Node.main()
    replica = Node.replica(1, main)

    assert replica.game.forbids(ADMIN, "follow") is None
    assert replica.game.forbids(ADA, "follow") is not None
