# ruff: noqa: ARG002 - a fake need not use all that its port passes
"""One canister of a fleet, main or replica, over upgrades."""

from collections.abc import Sequence

import pytest

from icfleet_canister import (
    Charge,
    ConfigurationError,
    Effects,
    EncodingError,
    FleetMember,
    GapError,
    LogHead,
    MemberStores,
    MemoryMap,
    PendingOperation,
    PullAnswer,
    RateLimiter,
    RowChange,
    RowOverlay,
    Verdict,
)
from icfleet_canister.change_log import PAGE_SIZE_MAX

NOW_NS = 1_000_000_000_000_000


class Counter:
    """An application with one row for each subject: how often it was counted."""

    def __init__(self, rows: MemoryMap[int, bytes]) -> None:
        self.rows = RowOverlay(rows)

    def forbids(self, caller: str, operation: PendingOperation[int]) -> str | None:
        return None

    def charges(self, caller: str, operation: PendingOperation[int]) -> Sequence[Charge]:
        return [Charge(operation.subject)]

    def evaluate(self, caller: str, operation: PendingOperation[int], now_ns: int) -> Effects:
        if operation.body < 0:
            return Effects(refusal=("Negative", "only upwards"))
        value = self.value(0) + operation.body
        return Effects([RowChange(0, value.to_bytes(8, "big"))])

    def apply(self, changes: Sequence[RowChange]) -> None:
        for slot, value in changes:
            self.rows.put(slot, value)

    def flush(self) -> None:
        self.rows.flush()

    def value(self, slot: int) -> int:
        return int.from_bytes(self.rows.get(slot) or b"", "big")


class Canister:
    """A member, its application and its stable memory."""

    def __init__(self) -> None:
        self.rows: MemoryMap[int, bytes] = MemoryMap()
        self.stores = MemberStores(MemoryMap(), MemoryMap(PAGE_SIZE_MAX))
        self.load()

    def load(self) -> None:
        self.counter = Counter(self.rows)
        self.member: FleetMember[int] = FleetMember(
            self.counter, self.stores, RateLimiter(), row_size_max=100
        )

    def submit(self, *bodies: int, first_id: int = 0) -> list[Verdict]:
        operations = [
            PendingOperation(
                (first_id + index).to_bytes(16, "big"), "ada", NOW_NS, body, str(body).encode()
            )
            for index, body in enumerate(bodies)
        ]
        return self.member.submit("ada", operations, now_ns=NOW_NS, is_exhausted=lambda: False)


def new_main() -> Canister:
    canister = Canister()
    canister.member.start(is_main=True, installer="admin")
    return canister


def new_replica() -> Canister:
    canister = Canister()
    canister.member.start(is_main=False, installer="admin")
    canister.member.follow("main")
    return canister


def test_a_main_counts_what_it_decided() -> None:
    """Repetitions, also within a batch, count once."""
    main = new_main()

    main.submit(1, -1, 5)
    main.submit(1, -1, 5)
    main.submit(-2, -2, first_id=10)
    main.submit(-2, first_id=10)

    assert (main.member.applied, main.member.refused, main.member.head.seq) == (2, 3, 5)


def test_an_upgrade_keeps_everything_that_was_decided() -> None:
    """Head, counts, rows, attached replicas; and the window, once it is restored."""
    main = new_main()
    main.member.attach("replica")
    main.submit(1, -1, 5)
    before = main.member

    main.load()
    main.member.resume()

    after = main.member
    assert (after.head, after.applied, after.refused) == (before.head, 2, 1)
    assert (after.is_main, after.installer, "replica" in after.replicas) == (True, "admin", True)
    assert main.counter.value(0) == 6
    assert [verdict.case for verdict in main.submit(1)] == ["Busy"]
    assert after.restore_step(NOW_NS)
    assert main.submit(1) == [Verdict("Applied", seq=1)]
    assert main.counter.value(0) == 6


def test_what_a_message_changed_is_in_stable_memory_when_it_ends() -> None:
    """Nothing is left in the overlay."""
    main = new_main()
    main.submit(3)

    assert main.rows.get(0) == (3).to_bytes(8, "big")


def test_a_batch_that_decides_nothing_writes_nothing() -> None:
    """A repetition costs no stable writes."""
    main = new_main()
    main.submit(3)
    state = main.stores.state.get("member")

    main.submit(3)

    assert main.stores.state.get("member") == state


def test_a_change_that_is_no_operation_is_in_the_log_too() -> None:
    """Settings reach replicas by the same way."""
    main, replica = new_main(), new_replica()

    main.member.record_change("admin", [RowChange(7, b"on")], NOW_NS)
    answer = main.member.answer_pull(replica.member.head, 10_000)
    assert answer is not None
    replica.member.receive_pull(answer, NOW_NS)

    assert replica.rows.get(7) == b"on"
    record = replica.member.log.record(1)
    assert record.operation_id == b"icfleet:\x00\x00\x00\x00\x00\x00\x00\x01"
    assert (replica.member.applied, replica.member.refused) == (1, 0)


def test_a_replica_becomes_what_its_main_is() -> None:
    """Rows, counts, head; over an upgrade in the middle."""
    main, replica = new_main(), new_replica()
    main.submit(1, 2, -3)

    for size_max in (1, 10_000):
        answer = main.member.answer_pull(replica.member.head, size_max)
        assert answer is not None
        replica.member.receive_pull(answer, NOW_NS)
        replica.load()
        replica.member.resume()

    assert replica.member.head == main.member.head
    assert (replica.member.applied, replica.member.refused) == (2, 1)
    assert replica.counter.value(0) == 3
    assert replica.member.replication.upstream == "main"
    assert replica.member.restore_step(NOW_NS)


def test_a_replica_may_be_upstream_of_others() -> None:
    """A wide fleet is a tree."""
    main, replica, leaf = new_main(), new_replica(), new_replica()
    main.submit(1, 2)
    for upstream, downstream in ((main, replica), (replica, leaf)):
        answer = upstream.member.answer_pull(downstream.member.head, 10_000)
        assert answer is not None
        downstream.member.receive_pull(answer, NOW_NS)

    assert leaf.member.head == main.member.head


def test_a_refused_answer_changes_nothing_that_stays() -> None:
    """The error is noted for ``status``."""
    replica = new_replica()
    state = replica.stores.state.get("member")
    main = new_main()
    main.submit(1, 2)

    with pytest.raises(GapError):
        replica.member.receive_pull(
            PullAnswer(1, main.member.log.hash_at(1), main.member.log.after(1, 999, 9)), NOW_NS
        )

    assert replica.stores.state.get("member") == state
    assert replica.member.replication.error == "expected record 1, upstream sent 2"


def test_only_a_replica_pulls() -> None:
    """A main has nobody to ask."""
    assert new_main().member.pull_request(NOW_NS) is None
    request = new_replica().member.pull_request(NOW_NS)
    assert request is not None
    assert (request.upstream, request.head) == ("main", LogHead.empty(0))


def test_detaching_is_remembered() -> None:
    """A replica that was sent away may not pull after an upgrade either."""
    main = new_main()
    main.member.attach("replica")
    main.member.detach("replica")

    main.load()
    main.member.resume()

    assert "replica" not in main.member.replicas


def test_resuming_without_state_is_an_error() -> None:
    """The canister was not installed with this library."""
    with pytest.raises(ConfigurationError, match="no member state"):
        Canister().member.resume()


def test_state_of_another_version_is_an_error() -> None:
    """The upgrade is undone, and the old code goes on."""
    main = new_main()
    state = main.stores.state.get("member")
    assert state is not None
    main.stores.state.insert("member", b"\x02" + state[1:])

    with pytest.raises(EncodingError, match="version 2"):
        main.member.resume()
