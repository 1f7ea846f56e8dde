"""Pulling from an upstream."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import (
    BatchRefusedError,
    ChangeLog,
    ChangeRecord,
    DivergedError,
    GapError,
    LogHead,
    MemoryMap,
    PullAnswer,
    ReplicaRegistry,
    Replication,
    RowChange,
)
from icfleet_canister.log_record import APPLIED, encode_record
from icfleet_canister.replication import (
    ACKNOWLEDGE_PERIOD_NS,
    IDLE_DELAY_S,
    PULL_LEASE_S,
    PULL_RECORDS_MAX,
    PULL_SIZE_MAX,
    REPLICAS_MAX,
    answer_pull,
)

SECOND_NS = 1_000_000_000
ROW_SIZE_MAX = 100


def record(seq: int, value: bytes = b"v") -> ChangeRecord:
    return ChangeRecord(
        seq, "ada", seq.to_bytes(16, "big"), b"d" * 32, seq, APPLIED, (RowChange(seq, value),)
    )


def log_of(count: int, value: bytes = b"v", epoch: int = 1) -> ChangeLog:
    log = ChangeLog(MemoryMap[int, bytes](), LogHead.empty(epoch))
    for seq in range(1, count + 1):
        log.append([encode_record(record(seq, value))], now_ns=seq)
    return log


class Follower:
    """A replica's log and rows."""

    def __init__(self, log: ChangeLog | None = None) -> None:
        self.rows: dict[int, bytes | None] = {}
        self.log = log or log_of(0, epoch=0)
        self.replication = Replication(
            self.log, self._apply, row_size_max=ROW_SIZE_MAX, upstream="main"
        )

    def _apply(self, changes: Sequence[RowChange]) -> None:
        self.rows.update(changes)

    def pull(self, upstream: ChangeLog, size_max: int = PULL_SIZE_MAX) -> int:
        answer = answer_pull(upstream, self.log.head, size_max)
        assert answer is not None
        return len(self.replication.receive(answer, now_ns=1))


def test_a_new_replica_takes_on_the_epoch_of_its_first_upstream() -> None:
    """From then on only that epoch's log continues its own."""
    upstream = log_of(3, epoch=4)
    follower = Follower()

    assert follower.pull(upstream) == 3

    assert follower.log.head == upstream.head
    assert follower.rows == {1: b"v", 2: b"v", 3: b"v"}


def test_an_empty_upstream_binds_too() -> None:
    """A replica may be attached before the first write."""
    follower = Follower()

    assert follower.pull(log_of(0)) == 0

    assert follower.log.head == LogHead.empty(1)


def test_an_upstream_that_has_pulled_nothing_binds_nobody() -> None:
    """A chain of new replicas waits for the main."""
    follower = Follower()

    follower.pull(log_of(0, epoch=0))

    assert follower.log.head.epoch == 0


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8))
def test_records_that_are_there_already_are_skipped(have: int, first: int, last: int) -> None:
    """Answers may come late, twice or overlapping; positions decide."""
    upstream = log_of(8)
    follower = Follower(log_of(have))
    answer = PullAnswer(1, upstream.hash_at(first), upstream.after(first, 99_999, last))

    try:
        new = follower.replication.receive(answer, now_ns=1)
    except GapError:
        assert first > have
        assert follower.log.head.seq == have
        return

    reached = max(have, first + len(answer.records)) if answer.records else have
    assert [each.seq for each in new] == list(range(have + 1, reached + 1))
    assert follower.log.head == log_of(reached).head
    assert sorted(follower.rows) == list(range(have + 1, reached + 1))


def test_another_history_is_refused_whole() -> None:
    """The base hash differs: nothing is applied, and the error says where."""
    follower = Follower(log_of(2, b"mine"))
    upstream = log_of(4, b"other")
    answer = PullAnswer(1, upstream.hash_at(2), upstream.after(2, 9_999, 9))

    with pytest.raises(DivergedError) as caught:
        follower.replication.receive(answer, now_ns=1)

    assert caught.value.seq == 2
    assert (follower.log.head.seq, follower.rows) == (2, {})
    assert follower.replication.error is not None


@pytest.mark.parametrize("count", [1, 3])
def test_a_difference_inside_the_overlap_is_found(count: int) -> None:
    """Records we have are hashed again, so a forged middle does not slip through."""
    upstream = log_of(4)
    follower = Follower(log_of(2))
    forged = [record(1, b"forged"), *upstream.after(1, 9_999, 9)][:count]

    with pytest.raises(DivergedError):
        follower.replication.receive(PullAnswer(1, upstream.hash_at(0), forged), now_ns=1)

    assert follower.log.head.seq == 2


def test_another_epoch_is_refused() -> None:
    """A follower is bound."""
    follower = Follower(log_of(2))

    with pytest.raises(DivergedError, match="epoch 2"):
        follower.replication.receive(PullAnswer(2, b"", []), now_ns=1)


@pytest.mark.parametrize("seqs", [[4], [0], [3, 5], [3, 3]])
def test_records_out_of_order_are_refused(seqs: list[int]) -> None:
    """Missing, repeated or impossible positions apply nothing."""
    follower = Follower(log_of(2))
    answer = PullAnswer(1, follower.log.head.chain_hash, [record(seq) for seq in seqs])

    with pytest.raises(GapError):
        follower.replication.receive(answer, now_ns=1)

    assert follower.rows == {}


@pytest.mark.parametrize(
    "bad",
    [
        record(3, bytes(ROW_SIZE_MAX + 1)),
        record(3)._replace(subject="s" * 70_000),
        record(3)._replace(result=bytes(8_000)),
    ],
    ids=["row", "text", "record"],
)
def test_a_record_without_room_is_refused(bad: ChangeRecord) -> None:
    """A stable map would trap on it, again and again."""
    follower = Follower(log_of(2))

    with pytest.raises(BatchRefusedError, match="record 3"):
        follower.replication.receive(PullAnswer(1, follower.log.head.chain_hash, [bad]), now_ns=1)


def test_an_upstream_answers_only_its_own_history() -> None:
    """Other epochs, positions ahead and other hashes get ``None``."""
    upstream = log_of(3)
    head = upstream.head

    assert answer_pull(upstream, head._replace(epoch=2), 99) is None
    assert answer_pull(upstream, head._replace(seq=4), 99) is None
    assert answer_pull(upstream, head._replace(chain_hash=b"x" * 32), 99) is None
    assert answer_pull(upstream, head, 99) == PullAnswer(1, head.chain_hash, [])


def test_an_answer_keeps_within_its_size() -> None:
    """But it always brings something, so that a replica gets on."""
    upstream = log_of(5)

    answer = answer_pull(upstream, LogHead.empty(1), size_max=1)

    assert answer is not None
    assert [each.seq for each in answer.records] == [1]


def delays(replication: Replication, pulls: int) -> list[int]:
    """Delays after so many pulls without news."""
    seen: list[int] = []
    for _ in range(pulls):
        replication.receive_trouble("nothing")
        seen.append(replication.next_delay_s)
    return seen


def test_pulls_become_rare_when_nothing_comes_and_frequent_when_it_does() -> None:
    """1 s, then 5 s; one record brings the pace back."""
    follower = Follower()
    replication = follower.replication

    assert delays(replication, 7) == [1] * 4 + [IDLE_DELAY_S] * 3
    follower.pull(log_of(1))
    assert replication.next_delay_s == 1
    assert replication.error is None


def test_following_anew_wakes_a_replica_that_has_backed_off() -> None:
    """The pace is that of a fresh one."""
    follower = Follower()
    delays(follower.replication, 20)

    follower.replication.follow("other")

    assert (follower.replication.upstream, follower.replication.next_delay_s) == ("other", 1)
    assert follower.replication.error is None


@pytest.mark.parametrize(("count", "value"), [(PULL_RECORDS_MAX, b""), (900, b"x" * 100)])
def test_a_full_answer_is_followed_by_the_next_pull_at_once(count: int, value: bytes) -> None:
    """Catching up does not wait."""
    follower = Follower()

    follower.pull(log_of(count + 1, value))

    assert follower.replication.next_delay_s == 0


def test_one_pull_at_a_time_until_its_lease_runs_out() -> None:
    """A lost answer delays the next pull; it does not prevent it."""
    replication = Follower().replication

    first = replication.request(now_ns=0)
    assert first is not None
    assert first.upstream == "main"
    assert replication.request(now_ns=PULL_LEASE_S * SECOND_NS - 1) is None
    assert replication.request(now_ns=PULL_LEASE_S * SECOND_NS) is not None
    replication.receive_trouble("rejected")
    assert replication.request(now_ns=PULL_LEASE_S * SECOND_NS + 1) is not None


def test_without_an_upstream_there_is_nothing_to_ask() -> None:
    """A main, or a replica that was told nothing yet."""
    replication = Replication(log_of(0), lambda _: None, row_size_max=1)

    assert replication.request(now_ns=0) is None


def test_a_position_is_acknowledged_when_it_has_moved_and_not_too_often() -> None:
    """Every 30 s at most: an update costs the upstream more than a pull."""
    follower = Follower(log_of(1))
    replication = follower.replication
    start_ns = ACKNOWLEDGE_PERIOD_NS

    assert replication.acknowledgement(start_ns) == follower.log.head
    follower.pull(log_of(2))
    assert replication.acknowledgement(start_ns + 1) is None
    assert replication.acknowledgement(2 * start_ns) == follower.log.head
    assert replication.acknowledgement(3 * start_ns) is None


def test_attached_replicas_are_listed_with_what_they_acknowledged() -> None:
    """Whoever is not attached is not noted."""
    registry = ReplicaRegistry(["a"])
    registry.attach("b")

    assert registry.acknowledge("a", 1, 5, now_ns=9)
    assert not registry.acknowledge("stranger", 1, 5, now_ns=9)
    registry.attach("a")

    assert [tuple(each) for each in registry.all] == [("a", 1, 5, 9), ("b", 0, 0, 0)]
    registry.detach("a")
    registry.detach("never there")
    assert "a" not in registry
    assert "b" in registry


def test_there_is_room_for_so_many_replicas() -> None:
    """A wider fleet is a tree."""
    registry = ReplicaRegistry([str(number) for number in range(REPLICAS_MAX)])

    assert not registry.attach("one more")
    assert registry.attach("0")
