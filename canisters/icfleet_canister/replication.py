"""Replicas pull: what to ask an upstream, when, and what to do with its answer.

The upstream holds no open call and knows no schedule, so it can always be stopped and upgraded.
A replica names its position and chain hash; the upstream answers with the records that follow, or
says that its history is another. Records that the replica has are skipped, so that an answer may
come late, twice, or in the wrong order; records that do not continue its log are refused, all of
them. So a replica is always a prefix of its upstream.

A pull in flight is a lease with a deadline and not a flag: when the answer is lost, together with
the generator that waited for it, the next pull is allowed once the lease has run out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from icfleet_canister.change_log import RECORD_SIZE_MAX, ChangeLog
from icfleet_canister.fleet_errors import (
    BatchRefusedError,
    DivergedError,
    EncodingError,
    GapError,
)
from icfleet_canister.log_record import (
    ChangeRecord,
    LogHead,
    RowChange,
    chain,
    encode_record,
)

__all__ = [
    "PULL_LEASE_S",
    "PULL_SIZE_MAX",
    "REPLICAS_MAX",
    "AttachedReplica",
    "PullAnswer",
    "PullRequest",
    "ReplicaRegistry",
    "Replication",
    "answer_pull",
]

#: Bytes of records in one answer: a tenth of what a call may carry, applied in one message.
PULL_SIZE_MAX = 200_000

#: Records in one answer: at 100 k instructions each well inside one message.
PULL_RECORDS_MAX = 1_000

#: How long an answer is waited for before the next pull. A call across subnets takes some 3 s.
PULL_LEASE_S = 60

#: Pause between pulls while records come.
BUSY_DELAY_S = 1

#: Pulls in a row without news after which the pause grows.
QUIET_PULLS_MAX = 5

#: Pause then: how long reads of new data stay on the main when activity begins again. On mainnet it
#: costs about 11 dollars a month and replica; half a minute would cost two, and a burst of play
#: would be over before the replicas wake.
IDLE_DELAY_S = 5

#: How often a replica tells its upstream how far it is.
ACKNOWLEDGE_PERIOD_NS = 30 * 1_000_000_000

#: Each one costs its upstream a query a second; a wider fleet is a tree.
REPLICAS_MAX = 64

_NS_PER_S = 1_000_000_000


class PullRequest(NamedTuple):
    """The question to send."""

    upstream: str
    head: LogHead
    size_max: int


class PullAnswer(NamedTuple):
    """The upstream's records after the position that was asked for."""

    epoch: int
    base_hash: bytes
    """Chain hash at that position."""
    records: Sequence[ChangeRecord]


class Replication:
    """The replica's side.

    Args:
        log: The replica's own log, which grows by what was pulled.
        apply: Changes rows; must not fail.
        row_size_max: Longest row in bytes, as the stable map has it.
        upstream: Principal to pull from, as text, if one is known.
    """

    def __init__(
        self,
        log: ChangeLog,
        apply: Callable[[Sequence[RowChange]], None],
        *,
        row_size_max: int,
        upstream: str | None = None,
    ) -> None:
        self._log = log
        self._apply = apply
        self._row_size_max = row_size_max
        self.upstream = upstream
        self.pulled_at_ns = 0
        """Time of the last answer that was accepted; 0 before the first since the upgrade."""
        self.error: str | None = None
        """Why the last pull brought nothing usable."""
        self._lease_until_ns = 0
        self._quiet_pulls = 0
        self._has_more = False
        self._acknowledged = LogHead(0, 0, b"")
        self._acknowledged_at_ns = 0

    def follow(self, upstream: str) -> None:
        """Pull from here now on, at once."""
        self.upstream = upstream
        self.error = None
        self._lease_until_ns = 0
        self._quiet_pulls = 0

    @property
    def next_delay_s(self) -> int:
        """Pause before the next pull, in seconds: 0 when more is known to be waiting."""
        if self._has_more:
            return 0
        return BUSY_DELAY_S if self._quiet_pulls < QUIET_PULLS_MAX else IDLE_DELAY_S

    def request(self, now_ns: int) -> PullRequest | None:
        """Take the lease and return what to ask; ``None`` without upstream or while leased."""
        if self.upstream is None or now_ns < self._lease_until_ns:
            return None
        self._lease_until_ns = now_ns + PULL_LEASE_S * _NS_PER_S
        return PullRequest(self.upstream, self._log.head, PULL_SIZE_MAX)

    def receive(self, answer: PullAnswer, now_ns: int) -> Sequence[ChangeRecord]:
        """Apply the records that are new, all or none; a log that is still empty takes the epoch.

        Returns:
            The new records, which are applied and in the log now.

        Raises:
            BatchRefusedError: If they do not continue this log; nothing was applied.
        """
        try:
            fresh = self._check(answer)
        except BatchRefusedError as error:
            self.receive_trouble(str(error))
            raise
        if self._is_unbound:
            self._log.head = LogHead.empty(answer.epoch)
        new_records = answer.records[len(answer.records) - len(fresh) :]
        for record in new_records:
            self._apply(record.rows)
        self._log.append(fresh, now_ns)
        self.error = None
        self.pulled_at_ns = now_ns
        self._lease_until_ns = 0
        # An answer ends at the first record that does not fit, so half full means probably more.
        size = sum(len(data) for data in fresh)
        self._has_more = len(fresh) == PULL_RECORDS_MAX or size * 2 > PULL_SIZE_MAX
        self._quiet_pulls = 0 if fresh else self._quiet_pulls + 1
        return new_records

    def receive_trouble(self, reason: str) -> None:
        """Note why a pull brought nothing, and back off."""
        self.error = reason
        self._lease_until_ns = 0
        self._has_more = False
        self._quiet_pulls += 1

    def acknowledgement(self, now_ns: int) -> LogHead | None:
        """Return the position to tell the upstream, at most every 30 s and when it has moved."""
        head = self._log.head
        is_due = now_ns >= self._acknowledged_at_ns + ACKNOWLEDGE_PERIOD_NS
        if not is_due or head == self._acknowledged:
            return None
        self._acknowledged = head
        self._acknowledged_at_ns = now_ns
        return head

    @property
    def _is_unbound(self) -> bool:
        return self._log.head.epoch == 0 and self._log.head.seq == 0

    def _check(self, answer: PullAnswer) -> list[bytes]:
        """Return the canonical bytes of the new records."""
        records = answer.records
        head = LogHead.empty(answer.epoch) if self._is_unbound else self._log.head
        if answer.epoch != head.epoch:
            reason = f"upstream is in epoch {answer.epoch}, we are in {head.epoch}"
            raise DivergedError(head.seq, reason)
        if not records:
            return []
        first_seq = records[0].seq
        if not 1 <= first_seq <= head.seq + 1:
            raise GapError(head.seq + 1, first_seq)
        running = answer.base_hash
        fresh: list[bytes] = []
        for offset, record in enumerate(records):
            if record.seq != first_seq + offset:
                raise GapError(first_seq + offset, record.seq)
            data = self._encode(record)
            if record.seq > head.seq:
                fresh.append(data)
                continue
            running = chain(running, data)
        last_known = min(records[-1].seq, head.seq)
        if running != self._hash_at(head, last_known):
            raise DivergedError(last_known, "the chain hashes differ")
        return fresh

    def _hash_at(self, head: LogHead, seq: int) -> bytes:
        return head.chain_hash if seq == head.seq else self._log.hash_at(seq)

    def _encode(self, record: ChangeRecord) -> bytes:
        try:
            data = encode_record(record)
        except EncodingError as error:
            reason = f"record {record.seq}: {error}"
            raise BatchRefusedError(reason) from error
        sizes = [len(row.value) for row in record.rows if row.value is not None]
        if len(data) > RECORD_SIZE_MAX or max(sizes, default=0) > self._row_size_max:
            reason = f"record {record.seq} of {len(data)} bytes is larger than ours may be"
            raise BatchRefusedError(reason)
        return data


class AttachedReplica(NamedTuple):
    """A canister that may pull, and how far it last said it was."""

    canister: str
    epoch: int = 0
    seq: int = 0
    seen_at_ns: int = 0
    """0 until it has said so since the upgrade."""


class ReplicaRegistry:
    """The upstream's side: who may pull, and how far they are.

    Positions come by ``acknowledge``: a pull is a query and keeps nothing.
    """

    def __init__(self, attached: Sequence[str] = ()) -> None:
        self._replicas = {canister: AttachedReplica(canister) for canister in attached}

    def __contains__(self, canister: str) -> bool:
        return canister in self._replicas

    @property
    def all(self) -> Sequence[AttachedReplica]:
        """The attached replicas, in the order they were attached."""
        return tuple(self._replicas.values())

    def attach(self, canister: str) -> bool:
        """Let a canister pull; return whether it may now, which fails only when full."""
        if canister not in self._replicas and len(self._replicas) >= REPLICAS_MAX:
            return False
        self._replicas.setdefault(canister, AttachedReplica(canister))
        return True

    def detach(self, canister: str) -> None:
        """Let it pull no more."""
        self._replicas.pop(canister, None)

    def acknowledge(self, canister: str, epoch: int, seq: int, now_ns: int) -> bool:
        """Note how far a replica is; return whether it is attached at all."""
        if canister not in self._replicas:
            return False
        self._replicas[canister] = AttachedReplica(canister, epoch, seq, now_ns)
        return True


def answer_pull(log: ChangeLog, position: LogHead, size_max: int) -> PullAnswer | None:
    """Return the records after a replica's position, or ``None`` if its history is another.

    A position of epoch 0 and seq 0 is that of a replica which has never pulled: it gets the
    beginning of whatever log this is.
    """
    is_new = position.epoch == 0 and position.seq == 0
    if not is_new and (position.epoch != log.head.epoch or position.seq > log.head.seq):
        return None
    base_hash = log.hash_at(position.seq)
    if not is_new and position.chain_hash != base_hash:
        return None
    records = log.after(position.seq, min(size_max, PULL_SIZE_MAX), PULL_RECORDS_MAX)
    return PullAnswer(log.head.epoch, base_hash, records)
