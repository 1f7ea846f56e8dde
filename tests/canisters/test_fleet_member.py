"""One canister of a fleet, main or replica: over upgrades, switch-overs, rollbacks."""

from typing import Any

import pytest
from member_world import NOW_NS, SECOND_NS, Node, number

from icfleet_canister import (
    Behind,
    ConfigurationError,
    Diverged,
    EncodingError,
    EpochStart,
    LogBatch,
    LogHead,
    MemberSettings,
    MemoryMap,
    NotAttached,
    NotReady,
    Position,
    Problem,
    PullRequest,
    Reseed,
    RowChange,
    Verdict,
)
from icfleet_canister.fleet_errors import PROBLEM_CODES
from icfleet_canister.fleet_member import RESTORE_PAGES_MAX
from icfleet_canister.log_record import ID_MEMORY_NS, library_id, result_kind
from icfleet_canister.replication import PULL_LEASE_S, REPLICAS_MAX
from icfleet_canister.wake_guard import WAKE_GAP_NS

LATER_NS = NOW_NS + WAKE_GAP_NS + SECOND_NS


def code(problem: object) -> str:
    """Whatever admins are told has a code that programs know."""
    assert isinstance(problem, Problem)
    assert problem.code in PROBLEM_CODES
    assert problem.reason
    return problem.code


def pulled(replica: Node, now_ns: int = NOW_NS) -> PullRequest:
    request = replica.member.pull_request(now_ns)
    assert isinstance(request, PullRequest)
    return request


# Who decides.


def test_a_main_decides_nothing_until_it_is_opened() -> None:
    """So a main that is reinstalled by mistake does not begin a second history."""
    main = Node("main", is_main=True)

    assert (main.member.is_main, main.member.decides, main.member.fence) == (
        True,
        False,
        "not opened",
    )
    main.upgrade()
    assert not main.member.decides
    with pytest.raises(AssertionError):
        main.add(1, 1, key=1)
    with pytest.raises(AssertionError):
        main.member.record_change("admin", [], NOW_NS)
    assert main.promote(7) is None
    assert (main.member.decides, main.member.fence) == (True, None)
    assert main.add(1, 1, key=1).case == "Applied"


def test_an_epoch_begins_with_a_record_that_names_its_main() -> None:
    """It reaches replicas by the same way as everything else."""
    main = Node.main(epoch=7)

    record = main.member.log.record(1)

    assert main.member.head.position == (7, 1)
    assert (record.subject, record.operation_id) == ("admin", library_id(1))
    assert (record.rows, result_kind(record.result)) == ((RowChange(0, number(7)),), "Epoch")
    assert main.content() == {0: 7}
    assert (main.member.applied, main.member.refused) == (1, 0)


@pytest.mark.parametrize(
    ("expected", "new", "refusal"),
    [
        (0, 8, "WrongEpoch"),
        (6, 8, "WrongEpoch"),
        (8, 9, "WrongEpoch"),
        (2**64 - 1, 2**64 - 1, "WrongEpoch"),
        (7, 7, "WrongEpoch"),
        (7, 6, "WrongEpoch"),
        (7, 0, "WrongEpoch"),
        (7, 9, "WrongEpoch"),
    ],
)
def test_promotion_compares_before_it_sets(expected: int, new: int, refusal: str) -> None:
    """A wrong epoch, or one that was there already, here or at a replica, changes nothing."""
    main = Node.main(epoch=7)
    replica = Node.replica("r1", main)
    replica.catch_up(main)
    replica.member.attach("r2")
    replica.member.acknowledge("r2", 9, 1, NOW_NS)
    state = replica.state.get("member")

    problem = replica.member.promote(expected, new, caller="admin", rows=[], now_ns=NOW_NS)

    assert code(problem) == refusal
    assert replica.member.promotion_problem(expected, new) == problem
    assert (replica.state.get("member"), replica.member.is_main) == (state, False)
    assert replica.promote(10) is None


def test_a_main_that_decides_is_not_promoted_again() -> None:
    """A second call of the same switch-over changes nothing."""
    main = Node.main(epoch=7)
    head = main.member.head

    assert code(main.promote(8)) == "AlreadyMain"
    assert main.member.head == head


def test_demotion_compares_too_and_takes_effect_at_once() -> None:
    """No message in between decides anything."""
    main = Node.main(epoch=7)

    assert code(main.member.demote(6)) == "WrongEpoch"
    assert main.member.decides
    assert main.member.demote(7) is None
    assert (main.member.is_main, main.member.decides, main.member.fence) == (False, False, None)
    assert code(main.member.demote(7)) == "NotMain"
    main.upgrade()
    assert not main.member.is_main


def test_a_canister_goes_back_and_forth() -> None:
    """The same canister may be main of many epochs."""
    main = Node.main()
    for epoch in range(2, 6):
        main.grow(1, first_key=10 * epoch)
        assert main.member.demote(epoch - 1) is None
        assert main.promote(epoch) is None
        main.restore()

    assert main.member.log.epochs == tuple(EpochStart(e, 2 * e - 1) for e in range(1, 6))


# Batches.


def test_a_main_counts_what_it_decided() -> None:
    """Repetitions count once; the epoch's own record counts as applied."""
    main = Node.main()
    for _ in range(2):
        main.add(1, 1, key=1)
        main.add(1, -1, key=2)

    assert (main.member.applied, main.member.refused, main.member.head.seq) == (2, 1, 3)


def test_an_upgrade_keeps_everything_that_was_decided() -> None:
    """Head, counts, rows, replicas, settings; and the window, once it is restored."""
    main = Node.main()
    main.member.attach("r1")
    settings = MemberSettings(5, 50, 500, 600)
    assert main.member.configure(settings) is None
    first, refused = main.add(1, 5, key=1), main.add(1, -5, key=2)
    before = main.member

    main.upgrade()

    after = main.member
    assert after.log.extent == before.log.extent
    assert (after.head, after.applied, after.refused) == (before.head, 2, 1)
    assert (after.is_main, after.installer, "r1" in after.replicas) == (True, "admin", True)
    assert (after.settings, after.replication.pull_idle_s) == (settings, 5)
    assert (main.content(), main.table.end_slot) == ({0: 1, 1: 5}, 2)
    was_restored = after.is_restored
    assert [main.add(1, 5, key=1).case, main.add(1, 5, key=3).case] == ["Busy", "Busy"]
    assert after.restore_step(NOW_NS)
    assert (was_restored, after.is_restored) == (False, True)
    assert main.add(1, 5, key=1) == first == Verdict("Applied", seq=2)
    assert main.add(1, -5, key=2) == refused
    assert main.content() == {0: 1, 1: 5}


def test_what_a_message_changed_is_in_stable_memory_when_it_ends() -> None:
    """Nothing is left in the overlay."""
    main = Node.main()
    main.add(1, 3, key=1)

    assert main.rows.get(1) == number(3)


def test_a_batch_that_decides_nothing_writes_nothing() -> None:
    """A repetition costs no stable writes."""
    main = Node.main()
    main.add(1, 3, key=1)
    state = main.state.get("member")

    main.add(1, 3, key=1)

    assert main.state.get("member") == state


def test_a_change_that_is_no_operation_is_in_the_log_too() -> None:
    """Settings reach replicas by the same way."""
    main = Node.main()
    replica = Node.replica("r1", main)

    main.member.record_change("admin", [RowChange(7, number(9))], NOW_NS)
    replica.catch_up(main)

    assert replica.table.get(7) == 9
    assert replica.member.log.record(2).operation_id == library_id(2)
    assert (replica.member.applied, replica.member.refused) == (2, 0)


def test_reading_the_log_back_takes_many_small_slices() -> None:
    """No message reads more than so many pages, however large the log."""
    main = Node.main()
    pages = RESTORE_PAGES_MAX + 20
    for index in range(pages):
        main.member.record_change(f"admin{index}" + "x" * 7_000, [], NOW_NS)
    main.upgrade()
    reads: list[int] = []

    is_complete = False
    while not is_complete:
        counted = _count_gets(main.pages)
        is_complete = main.member.restore_step(NOW_NS)
        reads.append(counted())

    assert [count <= RESTORE_PAGES_MAX for count in reads] == [True, True]
    assert sum(reads) == pages


def _count_gets(pages: MemoryMap[int, bytes]) -> Any:
    """Count the reads from here on."""
    calls: list[int] = []
    read = MemoryMap[int, bytes].get

    def get(key: int) -> bytes | None:
        calls.append(key)
        return read(pages, key)

    pages.get = get  # type: ignore[method-assign]
    return lambda: len(calls)


def test_an_upgrade_reads_one_row() -> None:
    """What post_upgrade does is the same at any size."""
    main = Node.main()
    main.grow(300)
    main.member.suspend(NOW_NS)
    counted = _count_gets(main.pages)

    main.lose_heap()

    assert counted() == 0
    assert main.member.head.seq == 301


def test_resuming_without_state_is_an_error() -> None:
    """The canister was not installed with this library."""
    node = Node("r1")
    node.state.remove("member")

    with pytest.raises(ConfigurationError, match="no member state"):
        node.lose_heap()


def test_state_of_another_version_is_an_error() -> None:
    """The upgrade is undone, and the old code goes on."""
    main = Node.main()
    state = main.state.get("member")
    assert state is not None
    main.state.insert("member", b"\x01" + state[1:])

    with pytest.raises(EncodingError, match="version 1"):
        main.lose_heap()


def test_suspending_never_raises() -> None:
    """An upgrade that fails in pre_upgrade could never be repaired by an upgrade."""
    main = Node.main()

    def insert(key: str, value: bytes) -> bytes | None:
        raise EncodingError(key + value.hex())

    main.state.insert = insert  # type: ignore[method-assign]

    main.member.suspend(NOW_NS)


# Replicas.


def test_a_replica_becomes_what_its_main_is() -> None:
    """Rows, counts, head; over an upgrade in the middle."""
    main = Node.main()
    main.grow(3)
    main.add(1, -1, key=90)
    replica = Node.replica("r1", main)

    while replica.member.head != main.member.head:
        assert replica.pull(main, size_max=1)
        replica.upgrade()

    assert (replica.member.applied, replica.member.refused) == (4, 1)
    assert replica.content() == main.content()
    assert replica.table.end_slot == main.table.end_slot
    assert replica.member.replication.upstream == "main"
    assert replica.member.is_restored


def test_a_replica_may_be_upstream_of_others() -> None:
    """Each says by which canisters its records come."""
    main = Node.main()
    first = Node.replica("r1", main)
    leaf = Node.replica("r2", first)
    main.grow(2)

    first.catch_up(main)
    leaf.catch_up(first)

    assert leaf.member.head == main.member.head
    assert leaf.member.replication.path == ("r1", "main")
    assert leaf.member.replication.upstream_head == main.member.head.position


def test_replicas_in_a_circle_say_so() -> None:
    """And take nothing."""
    one, other = Node("r1"), Node("r2")
    one.follow(other)
    other.follow(one)

    for _ in range(3):
        one.pull(other, now_ns=NOW_NS)
        other.pull(one, now_ns=NOW_NS)

    assert "Cycle: records come by " in one.error + other.error


def test_only_a_replica_with_an_upstream_pulls() -> None:
    """A main has nobody to ask."""
    assert Node.main().member.pull_request(NOW_NS) is None
    assert Node("r1").member.pull_request(NOW_NS) is None
    replica = Node.replica("r1", Node.main())
    assert pulled(replica) == PullRequest("main", LogHead.empty(), 200_000)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            Diverged(Position(3, 9)),
            "Diverged: the upstream at 3/9 has another history than our 1/3",
        ),
        (Behind(Position(1, 2)), "Behind: the upstream is at 1/2, we are at 1/3"),
        (NotReady(), "NotReady: "),
        (NotAttached(), "NotAttached: "),
    ],
)
def test_what_an_upstream_says_instead_of_records_is_shown(answer: Any, error: str) -> None:
    """By a word that programs know; rows are as before, and the pause grows."""
    main = Node.main()
    main.grow(2)
    replica = Node.replica("r1", main)
    replica.catch_up(main)
    state = replica.state.get("member")

    for pause_s in (1, 2, 4):
        replica.take(pulled(replica), answer)
        assert replica.error.startswith(error)
        assert replica.member.replication.next_delay_s == pause_s
    assert replica.state.get("member") == state
    assert not replica.member.is_seeding


def test_an_upstream_that_is_behind_is_told_at_once() -> None:
    """It may be a main that was rolled back."""
    main = Node.main()
    main.grow(2)
    replica = Node.replica("r1", main)
    replica.catch_up(main)
    replica.member.acknowledgement(NOW_NS)

    replica.take(pulled(replica), Behind(Position(1, 2)))

    assert replica.member.acknowledgement(NOW_NS + SECOND_NS) == replica.member.head


def test_a_call_that_fails_is_shown_and_tried_again() -> None:
    """A late failure of an earlier call is no news."""
    main = Node.main()
    replica = Node.replica("r1", main)
    first = pulled(replica)

    replica.member.receive_trouble(first, "rejected", NOW_NS)
    assert replica.error == "Unreachable: rejected"
    replica.catch_up(main)
    replica.member.receive_trouble(first, "rejected", NOW_NS)

    assert replica.error == ""


def test_answers_that_are_late_do_no_harm() -> None:
    """They are of an earlier upstream, an earlier position, or to a canister that is main now."""
    main, other = Node.main(), Node("other", is_main=True)
    other.promote(5)
    replica = Node.replica("r1", main)
    from_the_start = pulled(replica)
    main.grow(3)
    replica.catch_up(main, now_ns=NOW_NS + PULL_LEASE_S * SECOND_NS)
    state, content = replica.state.get("member"), replica.content()

    for late in (Diverged(Position(9, 9)), Behind(Position(0, 0)), NotReady(), NotAttached()):
        replica.take(from_the_start, late)
        assert replica.error == ""
    replica.take(from_the_start, other.answer(from_the_start))
    assert replica.error == ""
    replica.take(from_the_start._replace(upstream="other"), other.answer(from_the_start))
    replica.take(from_the_start, main.answer(from_the_start))
    assert (replica.state.get("member"), replica.content(), replica.error) == (state, content, "")
    main.grow(1, first_key=50)
    replica.take(from_the_start, main.answer(from_the_start))
    assert replica.content() == main.content()
    replica.promote(8)
    head = replica.member.head
    replica.take(from_the_start, main.answer(from_the_start))
    replica.member.receive_trouble(from_the_start, "late", NOW_NS)
    assert (replica.member.head, replica.error) == (head, "")


def test_what_an_earlier_upstream_says_is_no_news() -> None:
    """Not even about the position that we are still at."""
    main = Node.main()
    replica = Node.replica("r1", main)
    replica.catch_up(main)
    request = pulled(replica)
    replica.member.follow("other")
    main.grow(1)

    for late in (Diverged(Position(9, 9)), Reseed(Position(9, 9)), main.answer(request)):
        replica.take(request, late)

    assert (replica.error, replica.member.head.seq) == ("", 1)
    assert pulled(replica).upstream == "other"


def test_a_refused_answer_changes_nothing_that_stays() -> None:
    """Not one record of it."""
    main = Node.main()
    main.grow(5)
    replica = Node.replica("r1", main)
    request = pulled(replica)
    answer = main.answer(request)
    assert isinstance(answer, LogBatch)
    state = replica.state.get("member")

    replica.take(request, answer._replace(records=[*answer.records[:3], *answer.records[4:]]))

    assert replica.error == "Gap: expected record 4, upstream sent 5"
    assert replica.state.get("member") == state
    assert (replica.content(), len(replica.pages)) == ({}, 0)


# Admins.


def test_a_main_follows_nobody() -> None:
    """It must be demoted first."""
    main = Node.main()
    state = main.state.get("member")

    assert code(main.member.follow("r1")) == "NotReplica"
    assert code(main.member.reseed("r1")) == "NotReplica"
    assert main.state.get("member") == state


def test_attaching_twice_is_attaching_once() -> None:
    """And there is room for so many."""
    main = Node.main()
    for index in range(REPLICAS_MAX):
        assert main.member.attach(f"r{index}") is None
    assert main.member.attach("r0") is None

    assert code(main.member.attach("one more")) == "NoRoom"
    assert len(main.member.replicas) == REPLICAS_MAX


def test_detaching_is_remembered() -> None:
    """A replica that was sent away may not pull after an upgrade either."""
    main = Node.main()
    main.member.attach("r1")
    main.member.detach("r1")
    main.member.detach("never there")

    main.upgrade()

    assert "r1" not in main.member.replicas


def test_a_bad_setting_changes_nothing() -> None:
    """Not even the others of the same call."""
    main = Node.main()
    state = main.state.get("member")

    assert code(main.member.configure(MemberSettings(5, 5, 5, 5))) == "BadSetting"

    assert (main.member.settings, main.state.get("member")) == (MemberSettings(), state)


# Cleanup.


def test_old_pages_are_swept_after_the_ids_that_need_them() -> None:
    """Else a repetition could not be answered any more."""
    main = Node.main()
    main.member.configure(MemberSettings(log_pages_max=10))
    main.grow(1_000)
    pages = main.member.log.page_count
    late_ns = NOW_NS + ID_MEMORY_NS + SECOND_NS

    assert main.member.next_sweep_ns() == NOW_NS + ID_MEMORY_NS
    assert main.member.sweep(late_ns, 1_000) == 0
    assert main.add(1, 1, key=0, now_ns=late_ns, created_ns=NOW_NS).case == "Applied"
    main.member.window.sweep(late_ns, 2_000)
    works = [main.member.sweep(late_ns, 100) for _ in range(pages)]

    assert max(works) == 100
    assert works[-1] == 0
    assert (main.member.log.page_count, len(main.pages)) == (10, 10)
    assert main.member.next_sweep_ns() is None
    main.upgrade(late_ns)
    assert main.member.log.base.seq > 200
    assert main.member.log.record(1_001).seq == 1_001


def test_a_sweep_that_is_given_little_does_little() -> None:
    """And says that there is more."""
    main = Node.main()
    main.member.configure(MemberSettings(log_pages_max=10))
    main.grow(1_000)
    late_ns = NOW_NS + ID_MEMORY_NS + SECOND_NS
    main.member.window.sweep(late_ns, 2_000)
    pages = main.member.log.page_count

    assert main.member.sweep(late_ns, 7) >= 7

    assert main.member.log.page_count == pages - 1
