"""Another main, on purpose or by need; and a main that is a copy of its past."""

from member_world import NOW_NS, SECOND_NS, Node

from icfleet_canister import EpochStart, LogBatch, Problem, PullRequest
from icfleet_canister.wake_guard import WAKE_GAP_NS, WAKE_MAX_NS

LATER_NS = NOW_NS + WAKE_GAP_NS + SECOND_NS


def code(problem: object) -> str:
    assert isinstance(problem, Problem)
    return problem.code


def pulled(replica: Node, now_ns: int = NOW_NS) -> PullRequest:
    request = replica.member.pull_request(now_ns)
    assert isinstance(request, PullRequest)
    return request


def test_a_planned_switch_over_loses_nothing() -> None:
    """Nobody rewinds, and whatever was decided is answered as before."""
    main = Node.main()
    replica, third = Node.replica("r1", main), Node.replica("r2", main)
    applied, refused = main.add(1, 5, key=1), main.add(1, -5, key=2)
    third.catch_up(main)

    assert main.member.demote(1) is None
    replica.catch_up(main)
    assert replica.promote(2) is None
    for follower in (main, third):
        follower.follow(replica)
        follower.catch_up(replica)

    assert not replica.member.is_restored
    assert replica.add(1, 5, key=1).case == "Busy"
    replica.restore()
    assert replica.add(1, 5, key=1) == applied
    assert replica.add(1, -5, key=2) == refused
    replica.grow(3, first_key=10)
    for follower in (main, third):
        follower.catch_up(replica)
        assert follower.content() == replica.content()
        assert follower.member.head == replica.member.head
    assert main.member.log.epochs == (EpochStart(1, 1), EpochStart(2, 4))


def test_after_a_forced_promotion_the_cut_off_tail_is_another_history() -> None:
    """It is kept until an admin gives it up."""
    main = Node.main()
    replica, third = Node.replica("r1", main), Node.replica("r2", main)
    main.grow(3)
    replica.catch_up(main)
    main.grow(4, first_key=10)
    third.catch_up(main)
    assert replica.promote(2) is None
    replica.restore()

    third.follow(replica)
    third.pull(replica)

    assert third.error.startswith("Diverged: ")
    assert third.content() == main.content()
    replica.grow(9, first_key=20)
    third.pull(replica, now_ns=LATER_NS)
    assert third.error.startswith("Diverged: ")
    assert third.member.reseed("r1") is None
    third.catch_up(replica)
    assert third.error == ""
    assert third.content() == replica.content()


def test_a_main_stops_when_it_learns_that_its_epoch_is_over() -> None:
    """And does not begin again after an upgrade."""
    main = Node.main()
    replica = Node.replica("r1", main)
    replica.catch_up(main)
    replica.promote(7)

    main.member.acknowledge("r1", 7, 2, NOW_NS)

    main.upgrade()
    assert main.member.fence == "epoch 7 was seen at r1"
    assert not main.member.decides
    assert code(main.promote(7)) == "WrongEpoch"
    assert main.member.demote(1) is None
    main.follow(replica)
    main.catch_up(replica)
    assert main.content() == replica.content()


def test_only_attached_replicas_that_are_ahead_stop_a_main() -> None:
    """Not strangers, not those behind, and a replica is stopped by nobody."""
    main = Node.main(epoch=5)
    main.grow(3)
    replica = Node.replica("r1", main)
    replica.catch_up(main)
    replica.member.attach("r2")

    main.member.acknowledge("stranger", 9, 9, NOW_NS)
    for epoch, seq in [(5, 4), (5, 0), (4, 2**64 - 1), (0, 0)]:
        main.member.acknowledge("r1", epoch, seq, NOW_NS)
    replica.member.acknowledge("r2", 9, 9, NOW_NS)

    assert main.member.decides
    assert replica.member.fence is None
    seen = main.member.replicas.all[0]
    assert (seen.epoch, seen.seq, seen.seen_at_ns) == (0, 0, NOW_NS)


# Rollbacks.


def rolled_back(now_ns: int = LATER_NS) -> tuple[Node, Node]:
    """A main as it was before its last five operations, and a replica that has them."""
    main = Node.main()
    replica = Node.replica("r1", main)
    main.grow(3)
    replica.catch_up(main)
    past = main.snapshot()
    main.grow(5, first_key=10)
    replica.catch_up(main, now_ns=NOW_NS + SECOND_NS)
    past.member.touch(now_ns)
    return past, replica


def test_a_main_that_was_rolled_back_waits_and_is_fenced() -> None:
    """By the replica that has what it has forgotten."""
    main, replica = rolled_back()

    assert main.member.wakes(LATER_NS)
    assert main.add(9, 9, key=99, now_ns=LATER_NS).case == "Busy"
    assert main.add(1, 1, key=0, now_ns=LATER_NS, created_ns=NOW_NS).case == "Applied"
    replica.pull(main, now_ns=LATER_NS)
    head = replica.member.acknowledgement(LATER_NS)
    assert head is not None
    main.member.acknowledge("r1", head.epoch, head.seq, LATER_NS)

    assert main.member.fence == "rolled back: r1 is at 1/9, ahead of 1/4"
    main.upgrade(LATER_NS)
    decided = main.member.decides
    assert main.promote(2, LATER_NS) is None
    assert (decided, main.member.decides) == (False, True)
    replica.pull(main, now_ns=LATER_NS + 60 * SECOND_NS)
    assert replica.error.startswith("Diverged: ")


def test_a_main_that_only_slept_goes_on_when_its_replicas_have_answered() -> None:
    """Their next pull is asked to tell, although nothing has moved."""
    main = Node.main()
    replica = Node.replica("r1", main)
    replica.catch_up(main)
    replica.member.acknowledgement(NOW_NS)
    main.member.touch(LATER_NS)

    request = pulled(replica, LATER_NS)
    answer = main.answer(request, now_ns=LATER_NS)
    assert isinstance(answer, LogBatch)
    assert answer.acknowledge
    replica.take(request, answer, LATER_NS)
    head = replica.member.acknowledgement(LATER_NS)
    assert head is not None
    main.member.acknowledge("r1", head.epoch, head.seq, LATER_NS)

    assert not main.member.wakes(LATER_NS)
    assert main.add(9, 9, key=99, now_ns=LATER_NS).case == "Applied"
    again = main.answer(pulled(replica, LATER_NS), now_ns=LATER_NS)
    assert isinstance(again, LogBatch)
    assert not again.acknowledge


def test_a_main_whose_replicas_are_silent_goes_on_after_a_while() -> None:
    """A halted subnet must not stop the game."""
    main = Node.main()
    Node.replica("r1", main)
    main.member.touch(LATER_NS)
    main.upgrade(LATER_NS + SECOND_NS)
    main.restore(LATER_NS)

    assert main.add(9, 9, key=99, now_ns=LATER_NS + SECOND_NS).case == "Busy"
    assert main.add(9, 9, key=99, now_ns=LATER_NS + WAKE_MAX_NS).case == "Applied"


def test_an_upgrade_is_no_gap_and_a_long_stop_is() -> None:
    """What matters is when the canister was last awake, by its own row."""
    for stopped_ns, wakes in [(60 * SECOND_NS, False), (WAKE_GAP_NS + SECOND_NS, True)]:
        main = Node.main()
        Node.replica("r1", main)
        main.member.suspend(NOW_NS)
        main.lose_heap(NOW_NS + stopped_ns)
        assert main.member.wakes(NOW_NS + stopped_ns) is wakes


def test_a_reinstalled_main_begins_no_second_history() -> None:
    """Not even when an admin opens it at an epoch of the past."""
    main = Node.main(epoch=3)
    replica = Node.replica("r1", main)
    replica.catch_up(main)
    fresh = Node("main", is_main=True)
    fresh.member.attach("r1")

    replica.pull(fresh)
    head = replica.member.acknowledgement(NOW_NS)
    assert head is not None
    fresh.member.acknowledge("r1", head.epoch, head.seq, NOW_NS)

    assert replica.error == "Behind: the upstream is at 0/0, we are at 3/1"
    assert code(fresh.promote(3)) == "WrongEpoch"
    assert fresh.promote(4) is None
    replica.pull(fresh, now_ns=NOW_NS + 60 * SECOND_NS)
    assert replica.error.startswith("Diverged: ")
