"""What a canister keeps, and what it says while it has not got everything back."""

from collections.abc import Sequence
from typing import Any

import pytest
from tiny_application import (
    ADMIN,
    MAIN,
    NOW_NS,
    SECOND_NS,
    Add,
    TinyNode,
    Total,
    principal,
    submitted,
)

from icfleet_canister import Application, MemberSettings, NotReady, Verdict
from icfleet_canister.fleet_admin import AdminOutcome
from icfleet_canister.id_window import ID_MEMORY_NS
from icfleet_canister.rate_limiter import DEFAULT_RATE, IDLE_CUTOFF_NS
from icfleet_canister.seeding import PAGE_SLOTS_MAX
from icfleet_canister.view_cache import View

DONE = AdminOutcome("Done")
ADA = principal(1)
BOB = principal(2)
GATEWAY = principal(3)
JUDGE = principal(4)


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


def cases(verdicts: Sequence[Verdict]) -> list[str]:
    return [verdict.case for verdict in verdicts]


def test_after_an_upgrade_views_wait_for_the_heap(node: TinyNode) -> None:
    """Better none than a part; a guard says why."""
    node.upgrade(suspend=False, restore=False)

    assert node.service.phase == "Rebuilding"
    problem = node.service.readable_problem()
    assert problem is not None
    assert problem.startswith("Rebuilding: ")
    assert total(node) is None
    assert node.service.view("total")[1].seq == 0
    assert node.service.view_delay_s(NOW_NS) is None
    assert node.figures["rebuilding"] == 1

    node.restore()

    assert node.service.readable_problem() is None
    assert total(node) == b"2"
    assert node.figures["rebuilding"] == 0


def test_a_main_that_rebuilds_decides(node: TinyNode) -> None:
    """Once it knows which ids were used; before that, it asks to be asked again."""
    operation = submitted(1, ADA, Add(1))
    first = node.submit(ADA, operation)
    node.upgrade(restore=False)

    assert cases(node.submit(ADA, operation)) == ["Busy"]
    node.restore()
    assert node.submit(ADA, operation) == first


def test_what_was_derived_comes_back_at_once_if_nothing_has_changed(node: TinyNode) -> None:
    """By what was written down, not by folding the rows."""
    folds: list[int] = []

    class Counted(Total):
        def fold(self, slot: int, before: Any, after: Any) -> Any:
            folds.append(slot)
            return super().fold(slot, before, after)

    node.changes["derived"] = Counted
    node.service.suspend(NOW_NS)
    node.upgrade()

    assert total(node) == b"2"
    assert folds == []


def test_the_first_message_after_an_upgrade_takes_the_notes_in(node: TinyNode) -> None:
    """Before it changes what they were taken of."""
    replica = TinyNode.replica(1, node)
    replica.catch_up(node)
    node.do(ADA, ADA, Add(7))

    replica.upgrade(restore=False)
    replica.service.touch(NOW_NS)
    assert replica.service.phase == "Serving"
    replica.pull(node)

    assert total(replica) == b"9"


def test_what_was_derived_is_made_anew_if_the_log_has_moved(node: TinyNode) -> None:
    """A dump of other rows would be wrong for good."""
    replica = TinyNode.replica(1, node)
    replica.catch_up(node)
    node.do(ADA, ADA, Add(7))
    replica.upgrade(restore=False)
    replica.pull(node)

    replica.restore()

    assert total(replica) == b"9"


def test_notes_of_an_earlier_upgrade_are_not_read_again(node: TinyNode) -> None:
    """When the next one writes none."""
    node.upgrade()
    node.upgrade(suspend=False, restore=False)

    assert node.service.phase == "Rebuilding"
    node.service.touch(NOW_NS)
    assert node.service.phase == "Rebuilding"
    node.restore()
    assert total(node) == b"2"


def test_large_debts_survive_an_upgrade(node: TinyNode) -> None:
    """Else everybody would have a fresh allowance after each."""
    operations = [submitted(number, ADA, Add(1)) for number in range(120)]
    assert cases(node.submit(ADA, *operations))[-1] == "Deferred"

    node.upgrade(restore=False)
    node.service.touch(NOW_NS)
    node.restore()

    assert node.do(ADA, ADA, Add(1)).case == "RateLimited"
    assert node.do(BOB, BOB, Add(1)).case == "Applied"


class BrokenMap:
    """Stable memory that fails."""

    def get(self, key: Any) -> Any:
        raise ZeroDivisionError(key)

    def insert(self, key: Any, value: Any) -> Any:
        raise ZeroDivisionError(key, value)

    def remove(self, key: Any) -> Any:
        raise ZeroDivisionError(key)


def test_an_upgrade_is_never_barred(node: TinyNode) -> None:
    """Whatever goes wrong before it."""

    class Undumpable(Total):
        def dump(self) -> bytes:
            raise ZeroDivisionError

    node.changes["derived"] = Undumpable
    node.upgrade()
    node.upgrade()
    assert total(node) == b"2"
    service: Any = node.service
    service.member._stores = service.member._stores._replace(state=BrokenMap())
    service._notes._state = BrokenMap()
    service.suspend(NOW_NS)


def test_a_dump_that_cannot_be_loaded_is_rebuilt(node: TinyNode) -> None:
    """Whatever a studio's code raises."""

    class Unloadable(Total):
        def load(self, data: bytes, table: Any) -> None:
            self.value = 77
            raise ZeroDivisionError(data, table)

    node.changes["derived"] = Unloadable
    node.service.suspend(NOW_NS)
    node.upgrade()

    assert total(node) == b"2"


def crowded(count: int) -> TinyNode:
    """A main with so many counters, and a gateway that has made them."""
    node = TinyNode.main()
    node.service.grant_gateway(ADMIN, GATEWAY, ["Add"], all_players=True, now_ns=NOW_NS)
    for number in range(count):
        node.do(GATEWAY, principal(1_000 + number), Add(1))
    return node


def seeded_in_part() -> tuple[TinyNode, TinyNode]:
    """A main, and a replica that was whole and has taken over the first of two pages since."""
    node = crowded(PAGE_SLOTS_MAX)
    replica = TinyNode.replica(1, node)
    replica.catch_up(node)
    assert total(replica) == b"%d" % PAGE_SLOTS_MAX
    node.do(GATEWAY, principal(1_000), Add(5))
    assert replica.service.reseed(ADMIN, MAIN) == DONE
    replica.pull(node)
    return node, replica


def test_a_replica_that_is_seeded_answers_no_reads() -> None:
    """Nor writes, nor pulls, until it is at a position that ever was."""
    node, replica = seeded_in_part()

    assert replica.service.phase == "Seeding"
    problem = replica.service.readable_problem()
    assert problem is not None
    assert problem.startswith("Seeding: ")
    assert replica.service.view("total")[0] is None
    assert replica.service.view_delay_s(NOW_NS) is None
    assert replica.service.log_since(ADMIN, replica.head, 9_999, NOW_NS) == NotReady()
    replica.catch_up(node)
    assert replica.service.readable_problem() is None
    assert total(replica) == total(node) == b"%d" % (PAGE_SLOTS_MAX + 5)


def test_a_replica_that_is_seeded_writes_down_nothing_that_is_not_whole() -> None:
    """An upgrade in the middle of it goes on where it was, and derives everything in the end."""
    node, replica = seeded_in_part()

    replica.upgrade()

    assert replica.service.phase == "Seeding"
    replica.catch_up(node)
    assert total(replica) == total(node)


def test_a_canister_without_derived_values_computes_its_views_anew_after_seeding() -> None:
    """No tag tells of rows that were taken over."""

    def views(app: Application) -> Sequence[View[Any]]:
        return [View("end", lambda: b"%d" % app.table.end_slot, tags=["end"])]

    node, other = TinyNode.main(), crowded(5)
    replica = TinyNode.fresh(principal(7), is_main=False, derived=None, views=views, figures=None)
    for upstream in (node, other):
        upstream.service.attach(ADMIN, replica.canister)
    replica.service.follow(ADMIN, MAIN)
    replica.catch_up(node)
    replica.service.tend_views(NOW_NS)
    before = end_shown(replica)

    replica.service.reseed(ADMIN, MAIN)
    replica.catch_up(other)

    assert before == b"%d" % node.service.table.end_slot
    assert end_shown(replica) == b"%d" % other.service.table.end_slot != before


def end_shown(node: TinyNode) -> bytes | None:
    view, _ = node.service.view("end")
    return None if view is None or view.value is None else view.value.content


def test_a_quick_upgrade_is_no_gap() -> None:
    """A main with replicas goes on deciding, though its last write was long ago."""
    node = TinyNode.main()
    TinyNode.replica(1, node)
    node.do(ADA, ADA, Add(1))
    node.service.touch(NOW_NS + 80 * SECOND_NS)
    node.service.suspend(NOW_NS + 80 * SECOND_NS)

    later_ns = NOW_NS + 100 * SECOND_NS
    node.upgrade(later_ns, suspend=False)
    node.service.touch(later_ns)

    assert node.do(ADA, ADA, Add(1), later_ns).case == "Applied"


def test_the_heap_does_not_grow_for_ever(node: TinyNode) -> None:
    """Ids and limiter entries go when they are of no more use."""
    assert node.figures["window_ids"] > 0
    assert node.figures["limiter_entries"] > 0
    late_ns = NOW_NS + ID_MEMORY_NS + IDLE_CUTOFF_NS + DEFAULT_RATE.window_ns
    for turn in range(4):
        node.service.sweeper.tick(late_ns + turn * (ID_MEMORY_NS + IDLE_CUTOFF_NS))

    assert node.figures["window_ids"] == 0
    assert node.figures["limiter_entries"] == 0
    assert node.figures["sweeps"] == 4
    assert node.figures["swept"] > 0


def test_pages_of_the_log_go_when_there_are_too_many(node: TinyNode) -> None:
    """By the same sweeper; who asks for them is told to take the rows."""
    node.service.configure(ADMIN, MemberSettings(log_pages_max=10, rate_limit=1_000_000))
    for number in range(12):
        now_ns = NOW_NS + number * ID_MEMORY_NS
        operations = [submitted(10_000 * number + one, ADA, Add(0), now_ns) for one in range(60)]
        node.submit(ADA, *operations, now_ns=now_ns)
    pages = node.figures["log_pages"]
    assert pages > 10

    for turn in range(20):
        node.service.sweeper.tick(NOW_NS + (20 + turn) * ID_MEMORY_NS)

    assert node.figures["log_pages"] == 10
    replica = TinyNode.replica(1, node)
    replica.catch_up(node, NOW_NS + 60 * ID_MEMORY_NS)
    assert replica.counters == node.counters
    assert replica.figures["pulls"] > 1
