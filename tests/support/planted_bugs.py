"""Bugs that somebody could really make, one at a time: a simulation that misses one is no good."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from simulated_fleet import SimulatedFleet
from simulated_network import TracedMap

from icfleet_canister import ChangeRecord, IdWindow, RowChange, RowTable
from icfleet_canister.change_log import ChangeLog
from icfleet_canister.fleet_member import FleetMember
from icfleet_canister.log_record import APPLIED
from icfleet_canister.replication import Replication
from icfleet_canister.wake_guard import WakeGuard

__all__ = ["PLANTED_BUGS", "PlantedBug"]


class PlantedBug(NamedTuple):
    """A bug, and what plants it for the length of a block."""

    name: str
    plant: Callable[[], Any]


def _nothing(*_: object) -> None:
    return None


def _never(*_: object) -> bool:
    return False


@contextmanager
def drop_a_record() -> Generator[None]:
    """A replica leaves out the rows of every twentieth record."""
    apply = RowTable.apply
    count = 0

    def forgetful(table: RowTable, changes: Sequence[RowChange]) -> None:
        nonlocal count
        count += 1
        if count % 20:
            apply(table, changes)

    with patch.object(RowTable, "apply", forgetful):
        yield


@contextmanager
def apply_twice() -> Generator[None]:
    """The window of ids answers nothing."""
    with patch.object(IdWindow, "seq_of", _nothing):
        yield


@contextmanager
def keep_half_a_batch() -> Generator[None]:
    """A trap leaves in stable memory what had been written."""
    with patch.object(TracedMap, "roll_back", _nothing):
        yield


@contextmanager
def lose_the_window_at_upgrade() -> Generator[None]:
    """The ids are not read back from the log."""

    def empty(window: IdWindow, log: ChangeLog) -> None:
        del log
        window.clear()

    with patch.object(IdWindow, "begin_restore", empty):
        yield


@contextmanager
def forget_refusals_at_promotion() -> Generator[None]:
    """What was refused is not read back from the log."""
    restore = IdWindow.restore

    def forgetful(window: IdWindow, log: ChangeLog, now_ns: int, pages_max: int) -> int:
        done = restore(window, log, now_ns, pages_max)
        for record in log.after(log.base.seq, 10**9, 10**6):
            if record.result != APPLIED:
                _forget(window, record)
        return done

    with patch.object(IdWindow, "restore", forgetful):
        yield


def _forget(window: IdWindow, record: ChangeRecord) -> None:
    seqs: dict[bytes, int] = vars(window)["_seqs"]
    for key in [key for key in seqs if key.endswith(record.operation_id)]:
        del seqs[key]


@contextmanager
def accept_a_stale_epoch() -> Generator[None]:
    """A main that hears of a higher epoch goes on in its own."""
    acknowledge = vars(FleetMember)["acknowledge"]

    def deaf(member: Any, canister: str, epoch: int, seq: int, now_ns: int) -> None:
        if epoch <= member.head.epoch:
            acknowledge(member, canister, epoch, seq, now_ns)

    with patch.object(FleetMember, "acknowledge", deaf):
        yield


class _AnyHash(bytes):
    """Equal to every hash."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, bytes)

    __hash__ = bytes.__hash__


@contextmanager
def skip_over_a_fork() -> Generator[None]:
    """Seqs alone are compared, neither epochs nor chain hashes."""
    hash_at = ChangeLog.hash_at

    def indifferent(log: ChangeLog, seq: int) -> bytes:
        return _AnyHash(hash_at(log, seq))

    def by_seq(log: ChangeLog, epoch: int, seq: int) -> bool:
        del epoch
        return 0 <= seq <= log.head.seq

    with (
        patch.object(ChangeLog, "hash_at", indifferent),
        patch.object(ChangeLog, "may_hold", by_seq),
    ):
        yield


@contextmanager
def two_mains_in_one_epoch() -> Generator[None]:
    """The operator counts on from what the new main knows, not from what the fleet has seen."""
    promote = SimulatedFleet.promote

    def short_sighted(fleet: SimulatedFleet, host: Any) -> bool:
        epoch, chain = fleet.epoch, fleet.chain
        fleet.epoch = host.root.service.member.head.epoch
        fleet.chain = {key: value for key, value in chain.items() if key[0] <= fleet.epoch}
        is_done = promote(fleet, host)
        fleet.epoch = max(fleet.epoch, epoch)
        fleet.chain = chain
        return is_done

    with patch.object(SimulatedFleet, "promote", short_sighted):
        yield


@contextmanager
def trust_a_rolled_back_main() -> Generator[None]:
    """A main that was put back in time does not wait, and ignores replicas that are ahead."""
    acknowledge = vars(FleetMember)["acknowledge"]

    def trusting(member: Any, canister: str, epoch: int, seq: int, now_ns: int) -> None:
        own = member.head
        seq = min(seq, own.seq) if epoch == own.epoch else seq
        acknowledge(member, canister, epoch, seq, now_ns)

    with (
        patch.object(WakeGuard, "wakes", _never),
        patch.object(FleetMember, "acknowledge", trusting),
    ):
        yield


@contextmanager
def never_release_the_lease() -> Generator[None]:
    """A pull in flight is a flag, cleared by its answer alone."""

    def lease(replication: Replication, request: Any, now_ns: int) -> bool:
        del now_ns
        state = vars(replication)
        if state["_in_flight"] is not None:
            return False
        state["_in_flight"] = request
        return True

    with patch.object(Replication, "lease", lease):
        yield


PLANTED_BUGS = [
    PlantedBug(plant.__name__, plant)
    for plant in (
        drop_a_record,
        apply_twice,
        keep_half_a_batch,
        lose_the_window_at_upgrade,
        forget_refusals_at_promotion,
        accept_a_stale_epoch,
        skip_over_a_fork,
        two_mains_in_one_epoch,
        trust_a_rolled_back_main,
        never_release_the_lease,
    )
]
