"""Which items leave together and when: as a table, and as properties of every schedule."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import replace
from random import Random

import pytest

from icfleet_agent.batch_queue import Batch, BatchQueue, GroupCommitConfig, Linger
from icfleet_agent.errors import QueueFullError, SettingsError

CONFIG = GroupCommitConfig(
    linger_s=1.0, items_max=3, size_max=10, batches_in_flight_max=2, waiting_max=6
)
NO_KEYS: frozenset[Hashable] = frozenset()


def fill(
    queue: BatchQueue[str], items: str, *, now_s: float = 0.0, keys: dict[str, str] | None = None
) -> None:
    """Add one-letter items of one byte; ``keys`` gives some of them keys, a letter each."""
    for item in items:
        queue.add(item, size=1, keys=frozenset((keys or {}).get(item, "")), now_s=now_s)


def taken(step: Batch[str] | Linger | None) -> str:
    assert isinstance(step, Batch), step
    return "".join(step.items)


def test_nothing_leaves_an_empty_queue() -> None:
    assert BatchQueue[str](CONFIG).take(now_s=0.0) is None


def test_a_first_item_waits_for_company() -> None:
    queue: BatchQueue[str] = BatchQueue(CONFIG)
    fill(queue, "a")

    assert queue.take(now_s=0.25) == Linger(0.75)
    fill(queue, "b", now_s=0.9)
    assert taken(queue.take(now_s=1.0)) == "ab"
    assert len(queue) == 0


def test_a_full_batch_leaves_at_once() -> None:
    queue: BatchQueue[str] = BatchQueue(CONFIG)
    fill(queue, "abcd")

    assert taken(queue.take(now_s=0.0)) == "abc"
    assert queue.take(now_s=0.0) == Linger(1.0)


def test_a_batch_is_full_by_bytes_too() -> None:
    queue: BatchQueue[str] = BatchQueue(CONFIG)
    queue.add("a", size=6, keys=NO_KEYS, now_s=0.0)
    queue.add("b", size=5, keys=NO_KEYS, now_s=0.0)

    assert queue.may_fill_a_batch
    assert taken(queue.take(now_s=0.0)) == "a"


def test_without_linger_everything_leaves_at_once() -> None:
    queue: BatchQueue[str] = BatchQueue(replace(CONFIG, linger_s=0.0))
    fill(queue, "a")

    assert taken(queue.take(now_s=0.0)) == "a"


def test_when_closing_nothing_waits_for_company() -> None:
    queue: BatchQueue[str] = BatchQueue(CONFIG)
    fill(queue, "a")

    assert taken(queue.take(now_s=0.0, is_closing=True)) == "a"


def test_no_more_batches_leave_than_may_be_on_their_way() -> None:
    queue: BatchQueue[str] = BatchQueue(CONFIG)
    fill(queue, "abcdef")
    first, second = queue.take(now_s=0.0), queue.take(now_s=0.0)
    fill(queue, "ghi")

    assert taken(first) + taken(second) == "abcdef"
    assert queue.batches_in_flight == 2
    assert queue.take(now_s=9.0) is None
    assert isinstance(first, Batch)
    queue.finish(first)
    assert taken(queue.take(now_s=9.0)) == "ghi"


def test_an_item_waits_for_the_batch_that_holds_its_key() -> None:
    queue: BatchQueue[str] = BatchQueue(CONFIG)
    fill(queue, "abc", keys={"a": "x"})
    first = queue.take(now_s=0.0)
    fill(queue, "def", keys={"d": "x", "e": "xy", "f": "z"})

    assert taken(queue.take(now_s=5.0)) == "f"
    assert queue.take(now_s=9.0) is None
    assert isinstance(first, Batch)
    queue.finish(first)
    assert taken(queue.take(now_s=9.0)) == "de"


def test_nothing_overtakes_an_item_that_it_shares_a_key_with() -> None:
    """``e`` is not blocked itself, but ``d`` before it is, and has a key of it."""
    queue: BatchQueue[str] = BatchQueue(CONFIG)
    fill(queue, "abc", keys={"a": "x"})
    queue.take(now_s=0.0)
    fill(queue, "de", keys={"d": "xy", "e": "y"})

    assert queue.take(now_s=5.0) is None


def test_items_of_one_key_may_share_a_batch_in_order() -> None:
    queue: BatchQueue[str] = BatchQueue(CONFIG)
    fill(queue, "abc", keys={"a": "x", "b": "x", "c": "x"})

    assert taken(queue.take(now_s=0.0)) == "abc"


def test_a_withdrawn_item_does_not_leave() -> None:
    queue: BatchQueue[str] = BatchQueue(CONFIG)
    entry = queue.add("a", size=1, keys=NO_KEYS, now_s=0.0)
    fill(queue, "b")
    queue.withdraw(entry)

    assert taken(queue.take(now_s=5.0)) == "b"


def test_a_full_queue_refuses() -> None:
    queue: BatchQueue[str] = BatchQueue(CONFIG)
    fill(queue, "abcdef")

    with pytest.raises(QueueFullError) as caught:
        fill(queue, "g")
    assert caught.value.is_retryable
    assert len(queue) == 6


def test_an_item_larger_than_a_batch_is_refused() -> None:
    queue: BatchQueue[str] = BatchQueue(CONFIG)

    with pytest.raises(SettingsError, match="11 bytes"):
        queue.add("a", size=11, keys=NO_KEYS, now_s=0.0)


def test_what_waits_and_what_is_on_its_way_can_be_dropped() -> None:
    queue: BatchQueue[str] = BatchQueue(CONFIG)
    fill(queue, "abcd")
    queue.take(now_s=0.0)

    assert queue.drop_waiting() == ["d"]
    assert queue.drop_in_flight() == ["a", "b", "c"]
    assert (len(queue), queue.batches_in_flight) == (0, 0)


@pytest.mark.parametrize(
    "changes",
    [{"linger_s": -1.0}, {"items_max": 0}, {"size_max": 0}, {"batches_in_flight_max": 0}],
)
def test_nonsense_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        GroupCommitConfig(**changes)  # type: ignore[arg-type]  # the point is a wrong value


@pytest.mark.parametrize("seed", range(100))
def test_every_item_leaves_once_and_keys_keep_their_order(seed: int) -> None:
    """Whatever the schedule: limits hold, no key is in two batches, no item is lost or doubled."""
    random = Random(seed)
    config = replace(CONFIG, waiting_max=50)
    queue: BatchQueue[tuple[int, int]] = BatchQueue(config)
    in_flight: list[Batch[tuple[int, int]]] = []
    left: list[tuple[int, int]] = []
    for number in range(200):
        key = random.randrange(6)
        if len(queue) < config.waiting_max:
            size = random.randrange(1, 6)
            queue.add((key, number), size=size, keys=frozenset({key}), now_s=number)
        if random.random() < 0.6:
            step = queue.take(now_s=number)
            if isinstance(step, Batch):
                in_flight.append(step)
                left += step.items
                assert len(step.items) <= config.items_max
                assert sum(entry.size for entry in step.entries) <= config.size_max
        assert len(in_flight) <= config.batches_in_flight_max
        held = Counter(key for batch in in_flight for key in {key for key, _ in batch.items})
        assert not held or max(held.values()) == 1
        if in_flight and random.random() < 0.4:
            queue.finish(in_flight.pop(random.randrange(len(in_flight))))
    while len(queue) or in_flight:
        step = queue.take(now_s=1e6)
        if isinstance(step, Batch):
            left += step.items
            in_flight.append(step)
        elif in_flight:
            queue.finish(in_flight.pop())

    assert len(left) == len(set(left))
    for key in range(6):
        numbers = [number for one, number in left if one == key]
        assert numbers == sorted(numbers)
