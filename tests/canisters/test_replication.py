"""Pulling from an upstream."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import (
    BatchRefusedError,
    Behind,
    ChangeLog,
    ChangeRecord,
    Cursor,
    CycleError,
    Diverged,
    DivergedError,
    EpochStart,
    GapError,
    LogBatch,
    LogHead,
    MemoryMap,
    PageRequest,
    Position,
    PullRequest,
    ReplicaRegistry,
    Replication,
    Reseed,
    RowChange,
    UnusableError,
)
from icfleet_canister.log_record import APPLIED, encode_epoch, encode_record, first_hash
from icfleet_canister.replication import (
    ACKNOWLEDGE_PERIOD_NS,
    IDLE_PULLS,
    PATH_MAX,
    PULL_LEASE_S,
    PULL_RECORDS_MAX,
    PULL_SIZE_MAX,
    QUIET_PULLS,
    REPLICAS_MAX,
    NewRecords,
    answer_pull,
)

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
ROW_SIZE_MAX = 100
ASKED = PullRequest("main", LogHead.empty(), PULL_SIZE_MAX)


def record(seq: int, value: bytes = b"v", epoch: int = 0) -> ChangeRecord:
    result = encode_epoch(epoch) if epoch else APPLIED
    return ChangeRecord(
        seq, "ada", seq.to_bytes(16, "big"), b"d" * 32, seq, result, (RowChange(seq, value),)
    )


def log_of(count: int, value: bytes = b"v", epoch: int = 1) -> ChangeLog:
    """A log that begins with ``epoch``; each record in a message of its own."""
    log = ChangeLog(MemoryMap[int, bytes]())
    for seq in range(1, count + 1):
        log.append([encode_record(record(seq, value, epoch if seq == 1 else 0))], now_ns=seq)
    return log


def begin(log: ChangeLog, epoch: int) -> None:
    """Begin another epoch."""
    log.append([encode_record(record(log.head.seq + 1, epoch=epoch))], now_ns=1)


class Follower:
    """A replica's log."""

    def __init__(self, log: ChangeLog | None = None) -> None:
        self.log = log or log_of(0)
        self.replication = Replication(self.log, row_size_max=ROW_SIZE_MAX, upstream="main")

    def check(self, answer: LogBatch, asked: LogHead | None = None) -> NewRecords:
        return self.replication.check(answer, "self", asked or self.log.head)

    def take(self, answer: LogBatch, asked: LogHead | None = None) -> list[int]:
        """Apply what is new; return its seqs."""
        request = ASKED._replace(head=asked or self.log.head)
        new = self.check(answer, request.head)
        self.log.append(new.encoded, now_ns=1)
        self.replication.accept_batch(request, answer, new, now_ns=1)
        return [each.seq for each in new.records]

    def pull(self, upstream: ChangeLog, size_max: int = PULL_SIZE_MAX) -> list[int]:
        answer = answer_pull(upstream, self.log.head, size_max)
        assert isinstance(answer, LogBatch)
        return self.take(answer)


def batch(upstream: ChangeLog, after: int, count: int = 99) -> LogBatch:
    """What an upstream answers to whoever is at ``after``."""
    records = upstream.after(after, 10**6, count) if count else []
    return LogBatch(upstream.hash_at(after), records, upstream.head.position, ["main"])


def test_a_new_replica_takes_the_log_from_its_beginning() -> None:
    """The epoch comes with the first record."""
    upstream = log_of(3, epoch=4)
    follower = Follower()

    assert follower.pull(upstream) == [1, 2, 3]

    assert follower.log.head == upstream.head
    assert follower.log.epochs == (EpochStart(4, 1),)


def test_a_replica_goes_on_over_a_change_of_main() -> None:
    """An epoch's beginning is a record like any other."""
    upstream = log_of(3)
    follower = Follower(log_of(3))
    begin(upstream, 5)
    begin(upstream, 9)

    assert follower.pull(upstream) == [4, 5]

    assert follower.log.head == upstream.head
    assert follower.log.epochs == upstream.epochs


def test_an_empty_upstream_gives_nothing() -> None:
    """A chain of new replicas waits for the main."""
    follower = Follower()

    assert follower.pull(log_of(0)) == []

    assert follower.log.head == LogHead.empty()


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8))
def test_records_that_are_there_already_are_skipped(have: int, first: int, last: int) -> None:
    """Answers may come late, twice or overlapping; positions decide."""
    upstream = log_of(8)
    follower = Follower(log_of(have))
    asked = LogHead(1, first, upstream.hash_at(first))
    answer = batch(upstream, first, last)

    try:
        new = follower.take(answer, asked)
    except GapError:
        assert first > have
        assert follower.log.head.seq == have
        return

    reached = max(have, first + len(answer.records)) if answer.records else have
    assert new == list(range(have + 1, reached + 1))
    assert follower.log.head == log_of(reached).head


@pytest.mark.parametrize("count", [0, 1, 2])
def test_another_history_is_refused_whole(count: int) -> None:
    """The base hash differs, and the error says where; also when there is nothing new."""
    follower = Follower(log_of(2, b"mine"))

    with pytest.raises(DivergedError, match=r"^Diverged: at 2: the chain hashes differ") as caught:
        follower.check(batch(log_of(4, b"other"), 2, count))

    assert caught.value.seq == 2


@pytest.mark.parametrize("count", [1, 3])
def test_a_difference_inside_the_overlap_is_found(count: int) -> None:
    """Records we have are hashed again, so a forged middle does not slip through."""
    upstream = log_of(4)
    forged = [record(1, b"forged", 1), *upstream.after(1, 9_999, 9)][:count]
    answer = LogBatch(upstream.hash_at(0), forged, upstream.head.position, ["main"])

    with pytest.raises(DivergedError):
        Follower(log_of(2)).check(answer, LogHead.empty())


def test_what_ended_before_our_log_begins_is_old_news() -> None:
    """A late answer to a replica that was seeded since cannot be compared, and brings nothing."""
    upstream = log_of(8)
    follower = Follower(log_of(0))
    follower.log.reset(LogHead(1, 6, upstream.hash_at(6)), upstream.epochs)

    assert follower.take(batch(upstream, 1, 3), LogHead(1, 1, b"")) == []
    assert follower.take(batch(upstream, 1, 9), LogHead(1, 1, b"")) == [7, 8]
    assert follower.log.head == upstream.head


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_epoch_that_is_over_does_not_begin_again(epoch: int) -> None:
    """A main of the past is a fork, whatever its hashes."""
    log = log_of(2)
    begin(log, 3)
    follower = Follower(log)
    answer = LogBatch(log.head.chain_hash, [record(4, epoch=epoch)], Position(3, 4), ["main"])

    with pytest.raises(DivergedError, match=f"epoch {epoch} after epoch 3"):
        follower.check(answer)


def test_epochs_that_fall_within_one_answer_are_refused_too() -> None:
    """Nothing before the second one is taken either."""
    follower = Follower(log_of(2))
    records = [record(3, epoch=5), record(4, epoch=4)]

    with pytest.raises(DivergedError, match="at 4: epoch 4 after epoch 5"):
        follower.check(LogBatch(follower.log.head.chain_hash, records, Position(4, 4), ["main"]))


def test_a_log_that_begins_without_an_epoch_is_refused() -> None:
    """Nobody would know whose decisions these are."""
    with pytest.raises(UnusableError, match="record 1 is of no epoch"):
        Follower().check(LogBatch(first_hash(), [record(1)], Position(1, 1), ["main"]))


@pytest.mark.parametrize("seqs", [[4], [0], [3, 5], [3, 3], [2**64 - 1]])
def test_records_out_of_order_are_refused(seqs: list[int]) -> None:
    """Missing, repeated or impossible positions."""
    follower = Follower(log_of(2))
    records = [record(seq) for seq in seqs]

    with pytest.raises(GapError, match=r"^Gap: expected record"):
        follower.check(LogBatch(follower.log.head.chain_hash, records, Position(1, 9), ["main"]))


@pytest.mark.parametrize(
    "bad",
    [
        record(3, bytes(ROW_SIZE_MAX + 1)),
        record(3)._replace(subject="s" * 70_000),
        record(3)._replace(result=b"\x01\x00\x00\xff\xff" + bytes(65_535)),
        record(3)._replace(result=b"\x07"),
        record(3)._replace(result=b"\x02short"),
        record(3)._replace(result=b""),
        record(3)._replace(created_at_ns=2**64),
    ],
    ids=["row", "text", "record", "result", "epoch", "no result", "time"],
)
def test_a_record_that_nobody_writes_is_refused(bad: ChangeRecord) -> None:
    """A stable map would trap on it, again and again."""
    follower = Follower(log_of(2))
    answer = LogBatch(follower.log.head.chain_hash, [bad], Position(1, 3), ["main"])

    with pytest.raises(UnusableError, match=r"^Unusable: record 3"):
        follower.check(answer)


def test_records_that_came_by_way_of_us_are_refused() -> None:
    """Two replicas that follow each other would wait for ever, and say nothing."""
    follower = Follower(log_of(2))
    answer = batch(log_of(4), 2)

    for path in (["main", "self"], [str(number) for number in range(PATH_MAX + 1)]):
        with pytest.raises(CycleError, match=r"^Cycle: records come by "):
            follower.check(answer._replace(path=path))
    longest = [str(number) for number in range(PATH_MAX)]
    assert len(follower.check(answer._replace(path=longest)).records) == 2


def test_of_a_giant_answer_only_so_much_is_taken() -> None:
    """One message does a bounded amount of work; the rest comes next."""
    upstream = log_of(PULL_RECORDS_MAX + 5, b"")
    follower = Follower()

    assert len(follower.take(batch(upstream, 0, 10**6))) == PULL_RECORDS_MAX
    assert follower.replication.next_delay_s == 0
    assert len(follower.pull(upstream)) == 5


@given(
    st.integers(0, 2**64 - 1) | st.integers(0, 5),
    st.integers(0, 2**64 - 1) | st.integers(0, 30),
    st.binary(min_size=1, max_size=40) | st.sampled_from([first_hash()]),
    st.integers(0, 2**64 - 1),
    st.booleans(),
)
def test_any_position_may_be_asked_for(
    epoch: int, seq: int, chain_hash: bytes, size_max: int, is_trimmed: bool
) -> None:
    """No numbers make an upstream fail, and only its own history gets records."""
    upstream = log_of(3, bytes(4_000))
    begin(upstream, 4)
    for number in range(5, 20):
        upstream.append([encode_record(record(number, bytes(4_000)))], now_ns=1)
    if is_trimmed:
        upstream.trim(DAY_NS, 3, 100)
        assert upstream.base.seq > 4
    asked = LogHead(epoch, seq, chain_hash)

    answer = answer_pull(upstream, asked, size_max)

    if asked.position > upstream.head.position:
        assert answer == Behind(upstream.head.position)
    elif epoch != upstream.epoch_at(seq):
        assert answer == Diverged(upstream.head.position)
    elif seq == 0 and chain_hash == first_hash():
        assert isinstance(answer, Reseed if is_trimmed else LogBatch)
    elif seq and seq < upstream.base.seq:
        assert answer == Reseed(upstream.head.position)
    else:
        assert answer == Diverged(upstream.head.position)


@given(st.integers(0, 12), st.booleans())
def test_whoever_has_a_part_of_the_history_gets_the_rest(seq: int, is_new_epoch: bool) -> None:
    """Of whatever epoch it is."""
    upstream = log_of(12)
    if is_new_epoch:
        begin(upstream, 7)
    asked = LogHead(1 if seq else 0, seq, upstream.hash_at(seq))

    answer = answer_pull(upstream, asked, 10**6)

    assert isinstance(answer, LogBatch)
    assert (answer.base_hash, answer.head) == (asked.chain_hash, upstream.head.position)
    assert [each.seq for each in answer.records] == list(range(seq + 1, upstream.head.seq + 1))


def test_a_tail_that_a_forced_promotion_cut_off_has_diverged() -> None:
    """It is longer than the new main's log, but of an epoch that ended before."""
    old_main = log_of(20)
    new_main = log_of(10)
    begin(new_main, 2)

    assert answer_pull(new_main, old_main.head, 99) == Diverged(Position(2, 11))
    assert answer_pull(old_main, new_main.head, 99) == Behind(Position(1, 20))


def test_of_a_history_older_than_what_is_known_only_the_order_is_checked() -> None:
    """Its records are gone, so the rows are taken over; an epoch that never was has diverged."""
    upstream = log_of(0)
    upstream.reset(LogHead(70, 500, b"h" * 32), [EpochStart(7, 100), EpochStart(70, 400)])

    answers = [
        answer_pull(upstream, LogHead(epoch, seq, b"?" * 32), 9)
        for epoch, seq in [(3, 50), (7, 150), (70, 450), (8, 50), (3, 150), (0, 50), (7, 450)]
    ]

    assert [type(answer) for answer in answers] == [Reseed] * 3 + [Diverged] * 4


def test_an_admin_may_ask_by_position_alone() -> None:
    """To find where two histories part; a replica always has a hash."""
    upstream = log_of(5)

    answer = answer_pull(upstream, LogHead(1, 3, b""), 10**6)

    assert answer == batch(upstream, 3)._replace(path=())
    assert answer_pull(upstream, LogHead(2, 3, b""), 9) == Behind(Position(1, 5))
    assert answer_pull(upstream, LogHead(0, 3, b""), 9) == Diverged(Position(1, 5))


def test_an_answer_keeps_within_its_size() -> None:
    """But it always brings something, so that a replica gets on."""
    answer = answer_pull(log_of(5), LogHead.empty(), size_max=0)

    assert isinstance(answer, LogBatch)
    assert [each.seq for each in answer.records] == [1]


def quiet(follower: Follower, pulls: int) -> list[int]:
    """Delays after so many pulls without news."""
    seen: list[int] = []
    for _ in range(pulls):
        assert follower.pull(follower.log) == []
        seen.append(follower.replication.next_delay_s)
    return seen


@pytest.mark.parametrize(("idle_s", "pauses"), [(30, (1, 5, 30)), (7, (1, 5, 7)), (2, (1, 2, 2))])
def test_pulls_become_rare_when_nothing_comes(idle_s: int, pauses: tuple[int, ...]) -> None:
    """1 s, 5 s, then as the setting says; one record brings the pace back."""
    follower = Follower(log_of(1))
    follower.replication.pull_idle_s = idle_s

    seen = quiet(follower, IDLE_PULLS + 3)

    counts = [QUIET_PULLS - 1, IDLE_PULLS - QUIET_PULLS, 4]
    assert seen == [
        pause for pause, count in zip(pauses, counts, strict=True) for _ in range(count)
    ]
    follower.pull(log_of(2))
    assert follower.replication.next_delay_s == 1


def test_after_failures_the_pause_doubles_up_to_30_s() -> None:
    """One answer ends that, and the pace is that of a fresh replica."""
    follower = Follower(log_of(1))
    quiet(follower, IDLE_PULLS)
    seen: list[int] = []
    for _ in range(2_000):
        follower.replication.refuse(ASKED, "Unreachable: halted")
        seen.append(follower.replication.next_delay_s)

    assert seen[:8] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert set(seen[8:]) == {30}
    assert follower.replication.failures == 2_000
    assert quiet(follower, 1) == [1]
    assert follower.replication.error is None


def test_following_anew_wakes_a_replica_that_has_backed_off() -> None:
    """The pace is that of a fresh one, and what the old upstream said is forgotten."""
    follower = Follower(log_of(1))
    quiet(follower, IDLE_PULLS)
    replication = follower.replication
    assert (replication.upstream_head, replication.path) == ((1, 1), ("main",))
    replication.refuse(ASKED, "Diverged: somehow")
    replication.lease(ASKED, now_ns=0)

    replication.follow("other")

    assert (replication.upstream, replication.next_delay_s, replication.error) == ("other", 1, None)
    assert (replication.upstream_head, replication.path) == (None, ())
    assert replication.lease(ASKED, now_ns=0)


@pytest.mark.parametrize(("count", "value"), [(PULL_RECORDS_MAX, b""), (900, b"x" * 100)])
def test_a_full_answer_is_followed_by_the_next_pull_at_once(count: int, value: bytes) -> None:
    """Catching up does not wait."""
    follower = Follower()

    follower.pull(log_of(count + 1, value))

    assert follower.replication.next_delay_s == 0


def test_one_pull_at_a_time_until_its_lease_runs_out() -> None:
    """A lost answer delays the next pull; it does not prevent it."""
    replication = Follower().replication
    end_ns = PULL_LEASE_S * SECOND_NS

    assert replication.lease(ASKED, now_ns=0)
    assert not replication.lease(ASKED, now_ns=end_ns - 1)
    assert replication.lease(ASKED, now_ns=end_ns)
    replication.refuse(ASKED, "Unreachable: rejected")
    assert replication.lease(ASKED, now_ns=end_ns + 1)


def test_a_late_answer_does_not_give_back_anothers_lease() -> None:
    """Else two pulls would be under way at once."""
    replication = Follower().replication
    later = PageRequest("main", Cursor("main", 5), 1)
    replication.lease(ASKED, now_ns=0)
    assert replication.lease(later, now_ns=PULL_LEASE_S * SECOND_NS)

    replication.release(ASKED)

    assert replication.is_in_flight(later)
    assert not replication.lease(ASKED, now_ns=PULL_LEASE_S * SECOND_NS + 1)
    replication.release(later)
    assert replication.lease(ASKED, now_ns=PULL_LEASE_S * SECOND_NS + 1)


def test_without_an_upstream_there_is_nothing_to_ask() -> None:
    """A main, or a replica that was told nothing yet."""
    replication = Replication(log_of(1), row_size_max=1)

    assert replication.next_request is None
    assert replication.acknowledgement(10**18) is None


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


def test_a_position_is_acknowledged_at_once_when_the_upstream_must_know() -> None:
    """Because it asks, or because it is behind: once for each answer, not more than each second."""
    follower = Follower(log_of(1))
    replication = follower.replication
    start_ns = 10**18
    replication.acknowledgement(start_ns)

    answer = batch(follower.log, 1)._replace(acknowledge=True)
    follower.take(answer)
    assert replication.acknowledgement(start_ns + 1) is None
    assert replication.acknowledgement(start_ns + SECOND_NS) == follower.log.head
    assert replication.acknowledgement(start_ns + 9 * SECOND_NS) is None
    replication.acknowledge_at_once()
    assert replication.acknowledgement(start_ns + 9 * SECOND_NS) == follower.log.head


def test_a_new_upstream_is_told_though_nothing_has_moved() -> None:
    """It does not know yet."""
    follower = Follower(log_of(1))
    replication = follower.replication
    replication.acknowledgement(10**18)

    replication.follow("other")

    assert replication.acknowledgement(10**18 + 1) == follower.log.head


def test_an_error_is_shown_at_a_bounded_length() -> None:
    """An upstream may say anything."""
    replication = Follower().replication

    replication.refuse(ASKED, "Unreachable: " + "x" * 10_000)

    assert replication.error is not None
    assert len(replication.error) == 300


@given(st.lists(st.sampled_from("ABC"), max_size=3))
def test_the_path_begins_with_the_upstream(path: Sequence[str]) -> None:
    """Whether or not the upstream names itself."""
    follower = Follower()

    follower.take(batch(log_of(1), 0)._replace(path=path))
    assert follower.replication.path == ("main", *path)
    follower.take(batch(log_of(1), 1)._replace(path=["main", *path]))
    assert follower.replication.path == ("main", *path)


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
    assert len(registry) == 1


def test_there_is_room_for_so_many_replicas() -> None:
    """A wider fleet is a tree."""
    registry = ReplicaRegistry([str(number) for number in range(REPLICAS_MAX)])

    assert not registry.attach("one more")
    assert registry.attach("0")


def test_every_refusal_names_its_kind_first() -> None:
    """``status`` shows it, and programs read the first word."""
    kinds = [each.kind for each in BatchRefusedError.__subclasses__()]

    assert sorted(kinds) == ["Behind", "Cycle", "Diverged", "Gap", "Unusable"]
