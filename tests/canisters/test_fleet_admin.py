"""What admins do with a canister: epochs, replicas, settings."""

import pytest
from tiny_application import (
    ADMIN,
    MAIN,
    NOW_NS,
    SECOND_NS,
    Add,
    Counter,
    TinyNode,
    principal,
    submitted,
)

from icfleet_canister import MemberSettings, NotAttached, RowJournal
from icfleet_canister.authority import ANONYMOUS
from icfleet_canister.fleet_admin import AdminOutcome
from icfleet_canister.fleet_service import (
    SubmitOutcome,
)
from icfleet_canister.wake_guard import WAKE_GAP_NS, WAKE_MAX_NS

DONE = AdminOutcome("Done")
ADA = principal(1)
BOB = principal(2)
GATEWAY = principal(3)
JUDGE = principal(4)
STRANGER = principal(99)


@pytest.fixture
def node() -> TinyNode:
    """A main with Ada, Bob, a gateway for everything, and a judge."""
    node = TinyNode.main()
    node.service.grant_gateway(ADMIN, GATEWAY, ["Add", "Reset"], all_players=True, now_ns=NOW_NS)
    node.service.grant_role(ADMIN, JUDGE, "judge", NOW_NS)
    node.do(ADA, ADA, Add(1))
    node.do(BOB, BOB, Add(1))
    return node


def total(node: TinyNode) -> bytes | None:
    view, _ = node.service.view("total")
    return None if view is None or view.value is None else view.value.content


def test_a_new_main_is_fenced_until_its_first_epoch_is_opened() -> None:
    """It has no record, and sends nobody elsewhere."""
    node = TinyNode.fresh(MAIN, is_main=True)

    assert node.service.member.fence == "not opened"
    assert node.service.phase == "Serving"
    assert node.service.turn_away(1, 100) == SubmitOutcome("NotMain", main=None)
    assert node.service.promote(ADA, 0, 1, NOW_NS).case == "Forbidden"
    assert node.service.promote(ADMIN, 0, 7, NOW_NS) == DONE
    assert node.head[:2] == (7, 1)
    assert node.service.turn_away(1, 100) is None
    assert node.service.main == MAIN
    assert node.service.other_main is None
    assert node.service.promote(ADMIN, 7, 8, NOW_NS).code == "AlreadyMain"


def test_the_first_epoch_opens_the_applications_books() -> None:
    """In the epoch's own record, so that every replica has them."""

    def open_books(journal: RowJournal, canister: str) -> None:
        journal.add(Counter(canister, canister, 5))

    node = TinyNode.main(open=open_books)

    assert node.head.seq == 1
    assert node.counters == {MAIN: 5}
    assert total(node) == b"5"
    assert node.figures["total"] == 5


def test_books_that_do_not_fit_one_record_are_refused() -> None:
    """With a code, and nothing changed."""

    def open_books(journal: RowJournal, canister: str) -> None:
        for number in range(200):
            journal.add(Counter(principal(number), canister, 5))

    node = TinyNode.fresh(MAIN, is_main=True, open=open_books)

    assert node.service.promote(ADMIN, 0, 1, NOW_NS).code == "RecordTooLarge"
    assert node.head.seq == 0
    assert node.service.turn_away(1, 100) is not None


def test_replicas_are_attached_by_admins(node: TinyNode) -> None:
    """Each once, not the canister itself, and not more than there is room for."""
    service = node.service

    assert service.attach(ADA, BOB).case == "Forbidden"
    assert service.attach(ADMIN, MAIN).code == "ToItself"
    assert service.attach(ADMIN, ANONYMOUS).code == "NoPrincipal"
    for number in range(64):
        assert service.attach(ADMIN, principal(number)) == DONE
        assert service.attach(ADMIN, principal(number)) == DONE
    assert service.attach(ADMIN, principal(64)).code == "NoRoom"
    assert service.detach(ADA, principal(0)).case == "Forbidden"
    assert service.detach(ADMIN, principal(0)) == DONE
    assert service.detach(ADMIN, principal(0)) == DONE
    assert service.attach(ADMIN, principal(64)) == DONE
    assert service.forbids(principal(64), "log_since") is None
    assert service.forbids(principal(0), "state_page") is not None


@pytest.mark.parametrize("method", ["follow", "reseed"])
def test_a_replica_follows_another_canister(node: TinyNode, method: str) -> None:
    """Not itself, and nobody without a name; a main follows nobody."""
    replica = TinyNode.replica(1, node)
    follow = getattr(replica.service, method)

    assert follow(ADMIN, replica.canister).code == "ToItself"
    assert follow(ADMIN, ANONYMOUS).code == "NoPrincipal"
    assert follow(ADA, BOB).case == "Forbidden"
    assert follow(ADMIN, BOB) == DONE
    assert replica.service.member.replication.upstream == BOB
    assert getattr(node.service, method)(ADMIN, BOB).code == "NotReplica"
    assert getattr(node.service, method)(ADA, BOB).case == "Forbidden"


def test_epochs_are_changed_by_admins_and_only_from_the_expected_one(node: TinyNode) -> None:
    """Twice, backwards, by a stranger: refused, with nothing changed."""
    replica = TinyNode.replica(1, node)
    replica.catch_up(node)
    service = replica.service

    assert service.promote(STRANGER, 1, 2, NOW_NS).case == "Forbidden"
    assert service.promote(ADMIN, 0, 2, NOW_NS).code == "WrongEpoch"
    assert service.promote(ADMIN, 1, 1, NOW_NS).code == "WrongEpoch"
    assert node.service.demote(STRANGER, 1).case == "Forbidden"
    assert node.service.demote(ADMIN, 2).code == "WrongEpoch"
    assert replica.head == node.head
    assert node.service.demote(ADMIN, 1) == DONE
    assert service.promote(ADMIN, 1, 2, NOW_NS) == DONE
    assert service.promote(ADMIN, 1, 2, NOW_NS).code == "AlreadyMain"
    assert (replica.head.epoch, replica.head.seq) == (2, node.head.seq + 1)
    assert service.main == replica.canister


def test_a_planned_switch_loses_nothing_and_repeats_nothing(node: TinyNode) -> None:
    """An operation sent again to the new main gets the old main's answer."""
    replica = TinyNode.replica(1, node)
    operation = submitted(1, ADA, Add(7))
    first = node.submit(ADA, operation)
    replica.catch_up(node)
    node.service.demote(ADMIN, 1)
    replica.service.promote(ADMIN, 1, 2, NOW_NS)
    replica.restore()

    assert replica.submit(ADA, operation) == first
    assert replica.counters == node.counters
    replica.service.attach(ADMIN, MAIN)
    node.service.follow(ADMIN, replica.canister)
    node.catch_up(replica)
    assert node.service.turn_away(1, 100) == SubmitOutcome("NotMain", main=replica.canister)
    assert replica.service.epoch_of(first[0].seq) == 1
    assert node.service.epoch_of(node.head.seq) == 2


def test_only_replicas_and_admins_are_told_the_log(node: TinyNode) -> None:
    """Others learn that they are not attached, and their positions count for nothing."""
    replica = TinyNode.replica(1, node)

    for caller in (ADA, STRANGER, ANONYMOUS):
        assert node.service.log_since(caller, node.head, 10_000, NOW_NS) == NotAttached()
        assert node.service.state_page(caller, None, 10_000, NOW_NS) == NotAttached()
        node.service.acknowledge(caller, 99, 99, NOW_NS)
    for caller in (replica.canister, ADMIN):
        assert node.service.log_since(caller, node.head, 10_000, NOW_NS) != NotAttached()
        assert node.service.state_page(caller, None, 10_000, NOW_NS) != NotAttached()
    assert node.service.member.fence is None
    node.service.acknowledge(replica.canister, 1, 2, NOW_NS)
    assert node.service.member.replicas.all[0].seq == 2


@pytest.mark.parametrize(
    "settings",
    [
        MemberSettings(pull_idle_s=0),
        MemberSettings(pull_idle_s=31),
        MemberSettings(log_pages_max=9),
        MemberSettings(rate_limit=0),
        MemberSettings(rate_window_s=3_601),
    ],
)
def test_a_setting_out_of_range_is_invalid(node: TinyNode, settings: MemberSettings) -> None:
    """And changes nothing."""
    before = node.service.member.settings

    assert node.service.configure(ADMIN, settings).code == "BadSetting"
    assert node.service.member.settings == before


def test_a_main_that_wakes_gives_no_roles(node: TinyNode) -> None:
    """It may be a copy of its own past, and a role would be a fork of the log."""
    TinyNode.replica(1, node)
    late_ns = NOW_NS + WAKE_GAP_NS + SECOND_NS
    head = node.head
    node.service.touch(late_ns)

    assert node.service.grant_role(ADMIN, ADA, "judge", late_ns).code == "NotDeciding"
    assert node.do(ADA, ADA, Add(1), late_ns).case == "Busy"
    assert node.head == head
    later_ns = late_ns + WAKE_MAX_NS
    node.service.touch(later_ns)
    assert node.service.grant_role(ADMIN, ADA, "judge", later_ns) == DONE
