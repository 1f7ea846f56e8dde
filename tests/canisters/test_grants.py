"""What admins give and take, and what it lets people do."""

import pytest
from tiny_application import ADMIN, MAIN, NOW_NS, Add, Award, Reset, TinyNode, principal

from icfleet_canister.authority import ANONYMOUS
from icfleet_canister.fleet_admin import AdminOutcome
from icfleet_canister.grants import ADMINS_MAX, GRANTS_MAX
from icfleet_canister.row_kinds import FleetRow

DONE = AdminOutcome("Done")
ADA = principal(1)
BOB = principal(2)
GATEWAY = principal(3)


@pytest.fixture
def node() -> TinyNode:
    """A main that has just been opened."""
    return TinyNode.main()


def grant_gateway(node: TinyNode, *operations: str, all_players: bool = False) -> AdminOutcome:
    return node.service.grant_gateway(
        ADMIN, GATEWAY, operations, all_players=all_players, now_ns=NOW_NS
    )


def test_the_installer_is_the_first_admin(node: TinyNode) -> None:
    """By the first epoch's record, and nothing else: other roles are given by hand."""
    assert node.service.admins == [ADMIN]
    assert node.service.stand_in_admins == ()
    assert node.service.forbids(ADMIN, "attach") is None
    assert node.do(ADMIN, BOB, Award(1)).case == "Forbidden"
    assert node.service.grant_role(ADMIN, ADMIN, "judge", NOW_NS) == DONE
    assert node.do(ADMIN, BOB, Award(1)).case == "Applied"


def test_a_gateway_acts_for_those_it_created(node: TinyNode) -> None:
    """Not for others, and only within the operations of its scope."""
    node.do(BOB, BOB, Add(1))

    assert grant_gateway(node, "Add") == DONE
    assert node.do(GATEWAY, ADA, Add(1)).case == "Applied"
    assert node.do(GATEWAY, ADA, Add(2)).case == "Applied"
    assert node.do(GATEWAY, ADA, Reset()).case == "Forbidden"
    assert node.do(GATEWAY, BOB, Add(1)).case == "Forbidden"
    assert node.service.forbids(GATEWAY, "value", subject=ADA) is None
    assert node.service.forbids(GATEWAY, "value", subject=BOB) is not None
    assert node.counters == {ADA: 3, BOB: 1}


def test_a_gateway_may_get_another_scope_and_lose_it(node: TinyNode) -> None:
    """The last one counts; taken back, it is a stranger again, in the same slot."""
    grant_gateway(node, "Add")
    grant_gateway(node, "Reset", all_players=True)
    slots = node.figures["slots"]

    assert node.do(GATEWAY, ADA, Add(1)).case == "Forbidden"
    assert node.service.revoke_gateway(ADMIN, GATEWAY, NOW_NS) == DONE
    assert node.service.caller(GATEWAY).roles == ["stranger"]
    assert node.service.caller(GATEWAY).operations == ()
    grant_gateway(node, "Add")
    assert node.figures["slots"] == slots


def test_giving_what_is_there_already_makes_no_record(node: TinyNode) -> None:
    """Neither a role nor a scope."""
    node.service.grant_role(ADMIN, ADA, "judge", NOW_NS)
    grant_gateway(node, "Add")
    head = node.head

    assert node.service.grant_role(ADMIN, ADA, "judge", NOW_NS) == DONE
    assert grant_gateway(node, "Add") == DONE
    assert node.head == head


def test_roles_are_taken_one_by_one(node: TinyNode) -> None:
    """The others stay."""
    for role in ("judge", "admin"):
        node.service.grant_role(ADMIN, ADA, role, NOW_NS)

    assert node.service.admins == [ADMIN, ADA]
    assert node.service.revoke_role(ADMIN, ADA, "admin", NOW_NS) == DONE
    assert sorted(node.service.caller(ADA).roles) == ["judge", "stranger"]
    assert node.service.admins == [ADMIN]


@pytest.mark.parametrize(
    ("holder", "role", "code"),
    [
        (ADA, "king", "UnknownRole"),
        (ADA, "gateway", "UnknownRole"),
        (ADA, "owner", "UnknownRole"),
        (ADA, "j" * 100_000, "UnknownRole"),
        (ANONYMOUS, "judge", "NoPrincipal"),
    ],
)
def test_a_role_that_cannot_be_given_is_invalid(
    node: TinyNode, holder: str, role: str, code: str
) -> None:
    """With a code, and a reason of bounded length."""
    head = node.head

    outcome = node.service.grant_role(ADMIN, holder, role, NOW_NS)

    assert (outcome.case, outcome.code) == ("Invalid", code)
    assert 0 < len(outcome.reason) <= 200
    assert node.head == head


@pytest.mark.parametrize("operations", [["Award"], ["Fly"], ["Add", "Add"], ["Add"] * 10_000])
def test_a_scope_that_makes_no_sense_is_invalid(node: TinyNode, operations: list[str]) -> None:
    """No gateway gets an operation of another role that way."""
    outcome = grant_gateway(node, *operations, all_players=True)

    assert (outcome.case, outcome.code) == ("Invalid", "BadScope")
    assert node.service.caller(GATEWAY).roles == ["stranger"]


def test_what_nobody_has_cannot_be_taken(node: TinyNode) -> None:
    """It would be a mistake in the command."""
    service = node.service

    assert service.revoke_role(ADMIN, ADA, "judge", NOW_NS).code == "NotHeld"
    assert service.revoke_role(ADMIN, ADMIN, "judge", NOW_NS).code == "NotHeld"
    assert service.revoke_gateway(ADMIN, ADA, NOW_NS).code == "NotHeld"
    assert service.revoke_role(ADMIN, ADMIN, "gateway", NOW_NS).code == "UnknownRole"


def test_the_last_admin_stays(node: TinyNode) -> None:
    """Else nobody could ever give a role again."""
    service = node.service

    assert service.revoke_role(ADMIN, ADMIN, "admin", NOW_NS).code == "LastAdmin"
    service.grant_role(ADMIN, ADA, "admin", NOW_NS)
    assert service.revoke_role(ADA, ADMIN, "admin", NOW_NS) == DONE
    assert service.grant_role(ADMIN, BOB, "admin", NOW_NS).case == "Forbidden"
    assert service.admins == [ADA]


def test_there_is_room_for_so_many_admins(node: TinyNode) -> None:
    """All of them are in one row."""
    for number in range(ADMINS_MAX - 1):
        assert node.service.grant_role(ADMIN, principal(number), "admin", NOW_NS) == DONE

    outcome = node.service.grant_role(ADMIN, principal(ADMINS_MAX), "admin", NOW_NS)

    assert outcome.code == "NoRoom"
    assert len(node.service.admins) == ADMINS_MAX
    assert node.service.grant_role(ADMIN, principal(ADMINS_MAX), "judge", NOW_NS) == DONE


def test_there_is_room_for_so_many_grants(node: TinyNode) -> None:
    """Each is a row for good."""
    for number in range(GRANTS_MAX - 1):
        assert node.service.grant_role(ADMIN, principal(number), "judge", NOW_NS) == DONE

    outcome = node.service.grant_role(ADMIN, principal(GRANTS_MAX), "judge", NOW_NS)

    assert outcome == AdminOutcome(
        "Invalid", "NoRoom", f"at most {GRANTS_MAX} principals may have roles"
    )
    fleet = node.service.table.fleet
    assert isinstance(fleet, FleetRow)
    assert fleet.grants == GRANTS_MAX


def test_roles_are_given_by_admins_on_a_main_that_decides(node: TinyNode) -> None:
    """A replica, and a main that is fenced, would fork the log."""
    replica = TinyNode.replica(1, node)
    replica.catch_up(node)
    unopened = TinyNode.fresh(MAIN, is_main=True)

    assert node.service.grant_role(ADA, ADA, "admin", NOW_NS).case == "Forbidden"
    assert replica.service.grant_role(ADMIN, ADA, "judge", NOW_NS).code == "NotMain"
    assert unopened.service.grant_role(ADMIN, ADA, "judge", NOW_NS).code == "NotDeciding"
    assert grant_gateway(unopened, "Add").code == "NotDeciding"


def test_replicas_know_what_was_given(node: TinyNode) -> None:
    """Roles are rows of the log."""
    replica = TinyNode.replica(1, node)
    node.service.grant_role(ADMIN, ADA, "admin", NOW_NS)

    replica.catch_up(node)

    assert replica.service.forbids(ADA, "attach") is None
    assert replica.service.admins == [ADMIN, ADA]


def test_where_nothing_is_decided_the_installer_is_an_admin() -> None:
    """Somebody must tell a replica whom to follow, and open a main; a stranger may not."""
    for node in (
        TinyNode.fresh(principal(7), is_main=False),
        TinyNode.fresh(MAIN, is_main=True),
    ):
        assert node.service.admins == [ADMIN]
        assert node.service.forbids(ADMIN, "follow") is None
        assert node.service.forbids(ADA, "follow") is not None


def test_an_installer_whose_role_was_taken_has_it_no_more_on_the_main(node: TinyNode) -> None:
    """Only where nothing is decided."""
    node.service.grant_role(ADMIN, ADA, "admin", NOW_NS)
    node.service.revoke_role(ADA, ADMIN, "admin", NOW_NS)
    replica = TinyNode.fresh(principal(7), is_main=False)
    node.service.attach(ADA, replica.canister)
    replica.service.follow(ADMIN, MAIN)
    replica.catch_up(node)

    assert node.service.forbids(ADMIN, "attach") is not None
    assert replica.service.admins == [ADA, ADMIN]
