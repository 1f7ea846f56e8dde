"""Taking over all rows of an upstream, page by page."""

import functools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from member_world import NOW_NS, ROW_SIZE_MAX, SECOND_NS, Node, number

from icfleet_canister import (
    Cursor,
    EpochStart,
    LogBatch,
    LogHead,
    MemberSettings,
    NotReady,
    PageRequest,
    Position,
    PullRequest,
    Reseed,
    RowChange,
    StatePage,
    WrongCursor,
)
from icfleet_canister.log_record import CREATED_AHEAD_MAX_NS, CREATED_BEHIND_MAX_NS
from icfleet_canister.replication import LEASE_MAX_S, PULL_LEASE_S, Request
from icfleet_canister.seeding import CLEAR_SLOTS_MAX, PAGE_ROWS_SIZE_MAX, PAGE_SLOTS_MAX

HOUR_NS = 3_600 * SECOND_NS


@functools.cache
def _trimmed_main() -> Node:
    main = Node.main()
    assert main.member.configure(MemberSettings(log_pages_max=10)) is None
    main.grow(1_200)
    main.sweep(NOW_NS + HOUR_NS)
    assert main.member.log.base.seq > 1
    return main


def trimmed_main() -> Node:
    """A main whose log no longer begins at its first record, an hour after its last."""
    return _trimmed_main().snapshot()


LATER_NS = NOW_NS + HOUR_NS


def page_request(node: Node, now_ns: int = LATER_NS) -> PageRequest:
    request = node.member.pull_request(now_ns)
    assert isinstance(request, PageRequest)
    return request


def page_of(upstream: Node, request: PageRequest, size_max: int = 10**6) -> StatePage:
    page = upstream.answer(request, size_max, LATER_NS)
    assert isinstance(page, StatePage)
    return page


def told_to_seed(node: Node) -> None:
    """The upstream says that its log begins later."""
    request = node.member.pull_request(LATER_NS)
    assert isinstance(request, PullRequest)
    node.take(request, Reseed(Position(1, 9_999)), LATER_NS)


def begun(main: Node, name: str = "r1") -> Node:
    """A replica that knows that it must be seeded."""
    node = Node.replica(name, main)
    assert node.pull(main, now_ns=LATER_NS)
    return node


def test_a_replica_that_is_too_late_for_the_log_takes_the_rows() -> None:
    """And then is what its main is: rows, head, hash, counts, epochs."""
    main = trimmed_main()
    main.add(5, -1, key=9_000)
    main.add(6, 0, key=9_001)
    replica = Node.replica("r1", main)

    replica.catch_up(main, now_ns=LATER_NS)

    assert replica.error == ""
    assert replica.content() == main.content()
    assert replica.member.head == main.member.head
    assert replica.member.log.epochs == main.member.log.epochs
    assert replica.member.applied == main.member.applied
    assert replica.member.refused == main.member.refused == 1
    assert replica.table.end_slot == main.table.end_slot
    assert not replica.member.is_seeding
    assert replica.table.rebuilds == 1
    main.grow(3, first_key=5_000)
    replica.catch_up(main, now_ns=LATER_NS)
    assert replica.content() == main.content()


def test_until_the_first_page_comes_the_old_rows_are_whole() -> None:
    """They are read as before, and the canister may be made main with them."""
    main = trimmed_main()
    replica = begun(main)

    assert not replica.member.is_seeding
    assert replica.promote(9) is None
    assert replica.member.decides


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["pull", "pull", "pull", "add", "remove", "upgrade", "lose", "late"]),
            st.integers(0, 60),
        ),
        max_size=60,
    ),
    st.sampled_from([1, 40, 300]),
)
@settings(deadline=None, max_examples=60)
def test_rows_are_right_however_the_main_goes_on_meanwhile(
    steps: list[tuple[str, int]], size_max: int
) -> None:
    """Pages of different moments, upgrades in between, answers lost and coming late."""
    main = Node.main()
    main.grow(50)
    replica = Node.replica("r1", main)
    replica.member.reseed("main")
    now_ns, key = NOW_NS, 1_000
    late: list[tuple[Request, Any]] = []
    for step, slot in steps:
        now_ns += SECOND_NS
        key += 1
        if step in ("add", "remove"):
            main.add(min(slot, main.table.end_slot), int(step == "add"), key=key, now_ns=now_ns)
        elif step == "upgrade":
            replica.upgrade(now_ns)
        elif step == "pull":
            replica.pull(main, size_max, now_ns)
        elif step == "lose":
            now_ns += PULL_LEASE_S * SECOND_NS
            request = replica.member.pull_request(now_ns)
            if request is not None:
                late.append((request, main.answer(request, size_max, now_ns)))
        elif late:
            replica.take(*late[slot % len(late)], now_ns)
        if not replica.member.is_seeding and replica.member.head == main.member.head:
            assert replica.content() == main.content()
    now_ns += LEASE_MAX_S * SECOND_NS

    replica.catch_up(main, now_ns=now_ns)

    assert replica.error == ""
    assert replica.content() == main.content()
    assert replica.member.head == main.member.head
    assert replica.table.end_slot == main.table.end_slot


def test_a_page_is_only_followed_by_the_next_when_the_log_has_come_to_it() -> None:
    """So the log never falls off the upstream's, and each page's hash is checked."""
    main = trimmed_main()
    replica = begun(main)
    first = page_request(replica)
    replica.take(first, page_of(main, first, 80), LATER_NS)
    main.grow(2, first_key=5_000)
    second = page_request(replica)
    replica.take(second, page_of(main, second, 80), LATER_NS)

    request = replica.member.pull_request(LATER_NS)

    assert isinstance(request, PullRequest)
    replica.take(request, main.answer(request), LATER_NS)
    assert page_request(replica).cursor == Cursor("main", 20)


def test_seeding_asks_without_pause_while_it_gets_on() -> None:
    """A hundred pages should not take a hundred seconds."""
    main = trimmed_main()
    replica = begun(main)

    for _ in range(5):
        assert replica.member.replication.next_delay_s == 0
        replica.pull(main, 40, LATER_NS)


def test_an_upgrade_in_the_middle_goes_on_there() -> None:
    """A page is taken once."""
    main = trimmed_main()
    replica = begun(main)
    for _ in range(3):
        replica.pull(main, 80, LATER_NS)
    slot = replica.member.seeded_slots

    replica.upgrade()

    assert replica.member.is_seeding
    assert slot == replica.member.seeded_slots == 30
    assert page_request(replica).cursor == Cursor("main", slot)


def test_rows_beyond_the_upstreams_last_are_removed_in_slices() -> None:
    """Before any record is applied that might use their slots anew."""
    stranger = Node.main()
    stranger.grow(2 * CLEAR_SLOTS_MAX + 500)
    replica = Node.replica("r1", stranger)
    replica.catch_up(stranger)
    main = Node("other", is_main=True)
    main.promote(5)
    main.grow(3)
    main.member.attach("r1")

    replica.member.reseed("other")
    request = page_request(replica)
    replica.take(request, page_of(main, request), LATER_NS)
    main.grow(1, first_key=50)

    assert replica.member.is_seeding
    assert not replica.member.is_restored
    assert replica.member.pull_request(LATER_NS) is None
    assert replica.member.replication.next_delay_s > 0
    assert not replica.member.restore_step(LATER_NS)
    replica.upgrade()
    assert replica.member.restore_step(LATER_NS)
    replica.catch_up(main, now_ns=LATER_NS)
    assert replica.content() == main.content()
    assert replica.table.end_slot == main.table.end_slot


def test_records_that_come_while_rows_are_cleared_wait() -> None:
    """A late answer would be undone by the next slice."""
    stranger = Node.main()
    stranger.grow(3 * CLEAR_SLOTS_MAX)
    replica = Node.replica("r1", stranger)
    replica.catch_up(stranger)
    main = Node("other", is_main=True)
    main.promote(5)
    main.grow(3)
    main.member.attach("r1")
    replica.member.reseed("other")
    request = page_request(replica)
    replica.take(request, page_of(main, request), LATER_NS)
    head = replica.member.head
    main.add(1_500, 7, key=77)

    late = PullRequest("other", head, 10**6)
    replica.take(late, main.answer(late), LATER_NS)

    assert replica.member.head == head
    replica.restore(LATER_NS)
    replica.catch_up(main, now_ns=LATER_NS)
    assert replica.table.get(1_500) == 7


def test_another_upstream_means_to_begin_again() -> None:
    """Slots are the upstream's; what was half taken over stays unreadable."""
    main = trimmed_main()
    middle = Node.replica("r0", main)
    middle.catch_up(main, now_ns=LATER_NS)
    replica = begun(main)
    replica.pull(main, 80, LATER_NS)

    replica.follow(middle)

    assert replica.member.is_seeding
    assert page_request(replica) == PageRequest("r0", None, PAGE_ROWS_SIZE_MAX)
    replica.upgrade()
    replica.catch_up(middle, now_ns=LATER_NS)
    assert replica.content() == main.content()


def test_another_upstream_may_still_have_the_log() -> None:
    """As long as nothing was taken over."""
    main = trimmed_main()
    replica = begun(main)
    other = Node("other")

    replica.follow(other)

    assert isinstance(replica.member.pull_request(LATER_NS), PullRequest)


def test_a_page_of_the_past_is_not_taken() -> None:
    """What a replica has shown it does not take back."""
    main = trimmed_main()
    past = main.snapshot()
    replica = Node.replica("r1", main)
    main.grow(5, first_key=5_000)
    replica.catch_up(main, now_ns=LATER_NS)
    content = replica.content()
    told_to_seed(replica)

    replica.pull(past, now_ns=LATER_NS)

    assert replica.error.startswith("Behind: a page of 1/1201, we are at 1/1206")
    assert replica.content() == content
    assert replica.member.acknowledgement(LATER_NS) == replica.member.head
    replica.pull(main, now_ns=LATER_NS + HOUR_NS)
    assert replica.error == ""


@pytest.mark.parametrize(("epoch", "first_key", "count"), [(1, 7, 1_200), (2, 0, 1_300)])
def test_a_page_of_another_history_is_not_taken_unless_an_admin_says_so(
    epoch: int, first_key: int, count: int
) -> None:
    """Whatever is to be discarded may be all that is left of it."""
    main = trimmed_main()
    replica = Node.replica("r1", main)
    replica.catch_up(main, now_ns=LATER_NS)
    other = Node("main", is_main=True)
    other.promote(epoch)
    other.grow(count, first_key)
    other.member.attach("r1")
    told_to_seed(replica)

    replica.pull(other, now_ns=LATER_NS)

    assert replica.error.startswith("Diverged: ")
    assert replica.content() == main.content()
    replica.member.reseed("main")
    replica.catch_up(other, now_ns=LATER_NS)
    assert replica.error == ""
    assert replica.content() == other.content()


def test_an_admin_may_take_a_replica_back() -> None:
    """To a main that is shorter."""
    main = Node.main()
    main.grow(30)
    replica = Node.replica("r1", main)
    replica.catch_up(main)
    short = Node("short", is_main=True)
    short.promote(1)
    short.member.attach("r1")

    replica.member.reseed("short")
    replica.upgrade()
    replica.catch_up(short, now_ns=LATER_NS)

    assert replica.content() == {0: 1}
    assert replica.member.head == short.member.head


def test_a_main_that_changes_its_history_between_pages_is_found_out() -> None:
    """By the hash of the page's position; seeding begins again, and ends right."""
    main = trimmed_main()
    fork = main.snapshot()
    replica = begun(main)
    replica.pull(main, 80, LATER_NS)
    main.grow(3, first_key=5_000)
    fork.grow(8, first_key=7_000)
    replica.pull(main, 80, LATER_NS)

    replica.pull(fork, now_ns=LATER_NS)

    assert replica.error.startswith("Diverged: ")
    assert replica.member.is_seeding
    assert page_request(replica).cursor is None
    replica.catch_up(fork, now_ns=LATER_NS + HOUR_NS)
    assert replica.content() == fork.content()


def test_an_upstream_that_loses_our_place_begins_again() -> None:
    """Its log was trimmed past the page while its subnet, or ours, was halted."""
    main = trimmed_main()
    replica = begun(main)
    replica.pull(main, 80, LATER_NS)
    replica.pull(main, 80, LATER_NS)
    main.wake(LATER_NS)
    main.grow(1_500, first_key=5_000, now_ns=LATER_NS)
    request = page_request(replica)
    replica.take(request, page_of(main, request, 80), LATER_NS)
    main.grow(1_500, first_key=9_000, now_ns=LATER_NS)
    main.sweep(LATER_NS + HOUR_NS)

    replica.pull(main, now_ns=LATER_NS + HOUR_NS)

    assert page_request(replica, LATER_NS + HOUR_NS).cursor is None
    assert replica.member.is_seeding
    replica.member.replication.wake()
    replica.catch_up(main, now_ns=LATER_NS + HOUR_NS)
    assert replica.content() == main.content()


def test_whoever_is_seeded_itself_seeds_nobody() -> None:
    """Its rows are of several moments."""
    main = trimmed_main()
    middle = begun(main, "r0")
    middle.pull(main, 80, LATER_NS)
    middle.member.attach("r1")

    assert middle.member.answer_page("r0", None, 10**6, LATER_NS) == NotReady()
    assert middle.member.answer_pull(LogHead.empty(), 10**6, LATER_NS, "r0") == NotReady()


def test_a_canister_without_an_epoch_seeds_nobody() -> None:
    """It has no position to say."""
    assert Node("r0").member.answer_page("r0", None, 10**6, LATER_NS) == NotReady()


def test_a_cursor_is_of_one_canister() -> None:
    """And of a slot that there is."""
    main = trimmed_main()

    others = main.member.answer_page("main", Cursor("r7", 5), 10**6, LATER_NS)
    beyond = main.member.answer_page("main", Cursor("main", 2**64 - 1), 10**6, LATER_NS)
    at_end = main.member.answer_page("main", Cursor("main", 1_201), 10**6, LATER_NS)

    assert others == WrongCursor("the cursor is of r7, this is main")
    assert beyond == WrongCursor(f"slot {2**64 - 1} is beyond the last one, 1201")
    assert isinstance(at_end, StatePage)
    assert (at_end.rows, at_end.end, at_end.next) == ([], 1_201, None)


def test_a_wrong_cursor_begins_again() -> None:
    """The upstream was seeded anew and has fewer rows."""
    main = trimmed_main()
    replica = begun(main)
    replica.pull(main, 80, LATER_NS)
    request = page_request(replica)

    replica.take(request, WrongCursor("slot 10 is beyond the last one, 3"), LATER_NS)

    assert replica.error == "WrongCursor: slot 10 is beyond the last one, 3"
    replica.upgrade()
    assert page_request(replica).cursor is None


def bad_pages(page: StatePage) -> Sequence[StatePage]:
    """Pages that no honest upstream makes."""
    head = page.head
    one = RowChange(3, number(1))
    return [
        page._replace(end=0),
        page._replace(end=PAGE_SLOTS_MAX + 1),
        page._replace(end=2**64 - 1),
        page._replace(rows=[one, one]),
        page._replace(rows=[RowChange(4, number(1)), one]),
        page._replace(rows=[RowChange(page.end, number(1))]),
        page._replace(rows=[RowChange(3, None)]),
        page._replace(rows=[RowChange(3, bytes(ROW_SIZE_MAX + 1))]),
        page._replace(rows=[RowChange(3, b"no number")]),
        page._replace(next=Cursor("main", page.end + 1)),
        page._replace(next=Cursor("other", page.end)),
        page._replace(epochs=[]),
        page._replace(epochs=[EpochStart(2, 1)]),
        page._replace(epochs=[EpochStart(1, 2), EpochStart(1, 2)]),
        page._replace(epochs=[EpochStart(1, head.seq + 1)]),
        page._replace(epochs=[EpochStart(1, 0)]),
        page._replace(epochs=[EpochStart(e, e) for e in range(1, 67)]),
        page._replace(head=head._replace(epoch=0)),
        page._replace(head=head._replace(chain_hash=b"short")),
        page._replace(head=LogHead.empty(), epochs=[]),
    ]


@pytest.mark.parametrize("index", range(20))
def test_a_page_that_no_honest_upstream_makes_changes_nothing(index: int) -> None:
    """Not even the phase."""
    main = trimmed_main()
    replica = begun(main)
    request = page_request(replica)
    bad = bad_pages(page_of(main, request, 80))[index]
    state = replica.state.get("member")

    replica.take(request, bad, LATER_NS)

    assert replica.error.startswith("Unusable: ")
    assert replica.state.get("member") == state
    assert not replica.member.is_seeding
    assert page_request(replica) == request
    assert len(replica.rows) == 0


def test_a_page_that_is_not_waited_for_is_dropped() -> None:
    """Twice the same, one of an earlier upstream, one on a main."""
    main = trimmed_main()
    replica = begun(main)
    request = page_request(replica)
    page = page_of(main, request, 80)
    replica.take(request, page, LATER_NS)
    state = replica.state.get("member")

    replica.take(request, page, LATER_NS)
    replica.take(request._replace(upstream="old"), page, LATER_NS)
    replica.take(PageRequest("main", Cursor("main", 20), 1), page, LATER_NS)
    main.take(request, page, LATER_NS)

    assert replica.state.get("member") == state
    assert replica.error == ""


def test_ids_from_before_the_rows_are_never_taken_to_be_fresh() -> None:
    """A seeded replica that becomes main does not know them; it says ``Busy`` until they expire."""
    main = trimmed_main()
    main.add(1, 5, key=8_000, now_ns=LATER_NS, created_ns=LATER_NS)
    replica = Node.replica("r1", main)
    replica.catch_up(main, now_ns=LATER_NS)
    value = replica.table.get(1)
    assert replica.promote(2, LATER_NS) is None
    horizon_ns = LATER_NS + CREATED_AHEAD_MAX_NS

    for now_ns in (LATER_NS, horizon_ns + CREATED_BEHIND_MAX_NS):
        replica.upgrade(now_ns)
        replica.restore(now_ns)
        for created_ns in (LATER_NS, horizon_ns):
            verdict = replica.add(1, 5, key=8_000, now_ns=now_ns, created_ns=created_ns)
            assert verdict.case in ("Busy", "Expired")
    after_ns = horizon_ns + 1
    assert replica.table.get(1) == value
    verdict = replica.add(1, 5, key=8_001, now_ns=after_ns, created_ns=after_ns)
    assert verdict.case == "Applied"


def test_the_horizon_covers_clocks_that_are_ahead_and_horizons_before() -> None:
    """A replica whose clock is behind seeds from one that was seeded itself."""
    ahead_ns = LATER_NS + 90 * SECOND_NS
    main = trimmed_main()
    main.add(1, 5, key=8_000, now_ns=ahead_ns)
    first = Node.replica("r1", main)
    first.catch_up(main, now_ns=LATER_NS)
    second = Node.replica("r2", first)
    second.member.reseed("r1")
    second.catch_up(first, now_ns=LATER_NS - 60 * SECOND_NS)

    for replica in (first, second):
        assert replica.member.window.horizon_ns >= ahead_ns + CREATED_AHEAD_MAX_NS


def test_a_replica_in_the_middle_of_it_does_not_become_main() -> None:
    """Its rows are of two moments."""
    main = trimmed_main()
    replica = begun(main)
    replica.pull(main, 80, LATER_NS)

    problem = replica.member.promotion_problem(replica.member.head.epoch, 9)

    assert problem is not None
    assert problem.code == "NotServing"
    assert replica.promote(9) == problem


def test_a_record_that_this_code_cannot_read_is_refused_before_it_is_applied() -> None:
    """With all of its batch: the upstream was upgraded first."""
    main = Node.main()
    main.grow(5)
    replica = Node.replica("r1", main)
    request = replica.member.pull_request(NOW_NS)
    assert isinstance(request, PullRequest)
    answer = main.answer(request)
    assert isinstance(answer, LogBatch)
    bad = answer.records[2]._replace(rows=[RowChange(3, b"of a later version")])

    replica.take(request, answer._replace(records=[*answer.records[:2], bad]))

    assert replica.error.startswith("Unusable: record 3: row 3 is no number")
    assert replica.member.head == LogHead.empty()
