"""Lines of messages: in order for each canister, in turn among them, and nobody starves."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from scripted_instance import A, B, C

from icfleet_localnet.alarms import Alarms
from icfleet_localnet.call_context import (
    FromUser,
    QueuedCall,
    QueuedHeartbeat,
    QueuedMessage,
    QueuedTimer,
)
from icfleet_localnet.message_queue import MessageQueue
from icfleet_protocol.principal import ANONYMOUS, Principal
from icfleet_protocol.request_id import RequestId

CANISTERS = st.sampled_from([A, B, C])


def ingress(canister: Principal, number: int) -> QueuedCall:
    origin = FromUser(RequestId(number.to_bytes(32, "big")))
    return QueuedCall(origin, ANONYMOUS, canister, str(number), b"")


def take(queue: MessageQueue) -> QueuedMessage:
    canister = queue.next_canister()
    assert canister is not None
    return queue.pop(canister)


@given(canisters=st.lists(CANISTERS), seed=st.none() | st.integers(0, 100))
def test_every_canisters_messages_come_out_in_the_order_they_went_in(
    canisters: list[Principal], seed: int | None
) -> None:
    queue = MessageQueue(None if seed is None else Random(seed))
    sent = [ingress(canister, number) for number, canister in enumerate(canisters)]
    for message in sent:
        queue.push(message)

    taken = [call for _ in sent if isinstance(call := take(queue), QueuedCall)]

    assert len(queue) == 0
    assert queue.next_canister() is None
    for canister in (A, B, C):
        own_taken = [each for each in taken if each.callee == canister]
        assert own_taken == [each for each in sent if each.callee == canister]


def test_canisters_are_served_in_turn() -> None:
    queue = MessageQueue()
    sent = [ingress(A, 1), ingress(A, 2), ingress(B, 3), ingress(A, 4), ingress(C, 5)]
    for message in sent:
        queue.push(message)

    assert [take(queue) for _ in sent] == [sent[0], sent[2], sent[4], sent[1], sent[3]]


def test_tasks_go_first_and_stand_in_line_once() -> None:
    queue = MessageQueue()
    for _ in range(2):
        queue.push(ingress(A, 1))
        queue.push(QueuedTimer(A))
        queue.push(QueuedHeartbeat(A))

    assert len(queue) == 4
    assert [take(queue) for _ in range(2)] == [QueuedTimer(A), QueuedHeartbeat(A)]


def test_a_canister_that_rests_goes_on_first_when_it_is_woken() -> None:
    queue = MessageQueue()
    for number, canister in enumerate((A, A, B, B)):
        queue.push(ingress(canister, number))
    take(queue)
    queue.rest(A)
    queue.push(ingress(A, 4))

    assert list(queue.ready) == [B]
    assert len(queue) == 4
    queue.wake()
    assert list(queue.ready) == [A, B]


def test_a_canister_that_rests_without_messages_waits_with_what_comes() -> None:
    queue = MessageQueue()
    queue.rest(A)
    queue.push(ingress(A, 1))
    queue.rest(B)

    assert queue.next_canister() is None
    assert queue.has_messages(A)
    queue.wake()
    assert list(queue.ready) == [A]
    assert not queue.has_messages(B)


def test_a_dropped_line_is_empty_whether_its_canister_rests_or_not() -> None:
    queue = MessageQueue()
    for canister in (A, B):
        queue.push(ingress(canister, 1))
        queue.push(QueuedTimer(canister))
    queue.rest(B)

    assert queue.drop(A) == [ingress(A, 1)]
    assert queue.drop(B) == [ingress(B, 1)]
    assert queue.drop(C) == []
    assert len(queue) == 0
    queue.wake()
    assert queue.next_canister() is None


def test_users_messages_are_counted_as_long_as_they_wait() -> None:
    queue = MessageQueue()
    queue.push(ingress(A, 1))
    queue.push(QueuedTimer(A))
    assert queue.ingress_count(A) == 1

    take(queue)
    assert queue.ingress_count(A) == 1
    take(queue)
    assert queue.ingress_count(A) == 0


MOMENTS = st.none() | st.integers(0, 20)


@given(changes=st.lists(st.tuples(CANISTERS, MOMENTS), max_size=300), now_ns=st.integers(0, 20))
def test_alarms_ring_when_their_last_moment_has_come(
    changes: list[tuple[Principal, int | None]], now_ns: int
) -> None:
    alarms = Alarms()
    expected: dict[Principal, int] = {}
    for canister, due_ns in changes:
        alarms.set(canister, due_ns)
        expected.pop(canister, None)
        if due_ns is not None:
            expected[canister] = due_ns

    assert alarms.first_ns == min(expected.values(), default=None)
    due = alarms.take_due(now_ns)
    assert sorted(due, key=lambda each: each.raw) == sorted(
        (canister for canister, due_ns in expected.items() if due_ns <= now_ns),
        key=lambda each: each.raw,
    )
    assert [expected[canister] for canister in due] == sorted(expected[each] for each in due)
    assert alarms.take_due(now_ns) == []
