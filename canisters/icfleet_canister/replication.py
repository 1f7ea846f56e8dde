"""Replicas pull: what to ask an upstream, when, and what to do with its answer.

The upstream holds no open call and knows no schedule, so it can always be stopped and upgraded.
A replica names its position and chain hash; the upstream answers with the records that follow, or
says why there are none (``answer_pull``). Records that the replica has are skipped, so that an
answer may come late, twice, or in the wrong order; records that do not continue its log are
refused, all of them. So a replica is always a prefix of its upstream. Whatever else an answer says
is only believed when it is about the present position and from the present upstream.

A pull in flight is a lease with a deadline and not a flag: when the answer is lost, together with
the generator that waited for it, the next pull is allowed once the lease has run out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Union

from icfleet_canister.change_log import RECORD_SIZE_MAX, ChangeLog
from icfleet_canister.fleet_errors import (
    CycleError,
    DivergedError,
    EncodingError,
    GapError,
    UnusableError,
)
from icfleet_canister.log_record import (
    ChangeRecord,
    LogHead,
    Position,
    chain,
    encode_record,
    first_hash,
    record_epoch,
    result_kind,
)
from icfleet_canister.pull_messages import (
    Behind,
    Cursor,
    Diverged,
    LogAnswer,
    LogBatch,
    NotAttached,
    NotReady,
    PageAnswer,
    PageRequest,
    PullRequest,
    Reseed,
    StatePage,
    WrongCursor,
)

__all__ = [
    "NUMBER_MAX",
    "PATH_MAX",
    "PULL_LEASE_S",
    "PULL_RECORDS_MAX",
    "PULL_SIZE_MAX",
    "REPLICAS_MAX",
    "AttachedReplica",
    "Behind",
    "Cursor",
    "Diverged",
    "LogAnswer",
    "LogBatch",
    "NotAttached",
    "NotReady",
    "PageAnswer",
    "PageRequest",
    "PullRequest",
    "ReplicaRegistry",
    "Replication",
    "Request",
    "Reseed",
    "StatePage",
    "WrongCursor",
    "answer_pull",
]

#: Bytes of records in one answer: a tenth of what a call may carry, applied in one message.
PULL_SIZE_MAX = 200_000

#: Records in one answer: at 1.1 to 1.5 M instructions each, 1.5 G of the 40 G of a message.
PULL_RECORDS_MAX = 1_000

#: How long an answer is waited for before the next pull. A call across subnets takes some 3 s.
PULL_LEASE_S = 60

#: Highest epoch and seq in which another canister is believed.
NUMBER_MAX = 2**63 - 1

#: Longest lease, after 60, 120, 240 ... seconds for questions in a row that nobody answered.
LEASE_MAX_S = 3_600

#: Pause between pulls while records come.
BUSY_DELAY_S = 1

#: Pulls in a row without news after which the pause is ``QUIET_DELAY_S``.
QUIET_PULLS = 5

#: Pause then: how long reads of new data stay on the main when activity begins again. On mainnet it
#: costs about 11 dollars a month and replica.
QUIET_DELAY_S = 5

#: Pulls in a row without news after which the pause is the setting ``pull_idle_s``: five minutes.
IDLE_PULLS = 60

#: Longest pause after failures; 1, 2, 4, ... seconds before.
FAILED_DELAY_MAX_S = 30

#: How often a replica tells its upstream how far it is, unless it is asked to.
ACKNOWLEDGE_PERIOD_NS = 30 * 1_000_000_000

#: Each one costs its upstream a query a second; a wider fleet is a tree.
REPLICAS_MAX = 64

#: Canisters between a replica and its main, that one included.
PATH_MAX = 8

#: Characters of an error that ``status`` shows.
_ERROR_SIZE_MAX = 300

_NS_PER_S = 1_000_000_000

Request = Union[PullRequest, PageRequest]  # noqa: UP007 - evaluated under Python 3.10 syntax


class NewRecords(NamedTuple):
    """What a batch brings beyond our head."""

    records: Sequence[ChangeRecord]
    encoded: Sequence[bytes]

    @property
    def is_full(self) -> bool:
        """Whether there are probably more: an answer ends at the first that does not fit."""
        size = sum(len(data) for data in self.encoded)
        return len(self.encoded) >= PULL_RECORDS_MAX or size * 2 > PULL_SIZE_MAX


class Replication:
    """The replica's side: whom to ask, when, and what it last said.

    What stays over upgrades is the upstream alone; the rest is learnt again by the next pull.

    Args:
        log: The replica's own log.
        row_size_max: Longest row in bytes, as the stable map has it.
        upstream: Principal to pull from, as text, if one is known.
    """

    def __init__(self, log: ChangeLog, *, row_size_max: int, upstream: str | None = None) -> None:
        self._log = log
        self._row_size_max = row_size_max
        self.upstream = upstream
        self.pull_idle_s = FAILED_DELAY_MAX_S
        """The setting of that name."""
        self.upstream_head: Position | None = None
        """Where the upstream's log ended, by its last answer."""
        self.path: Sequence[str] = ()
        """The upstream, its upstream, ... up to the main, by its last answer."""
        self.pulled_at_ns = 0
        """Time of the last answer that was accepted; 0 before the first since the upgrade."""
        self.pulls = 0
        """Answers accepted since the heap was made."""
        self.failures = 0
        """Answers refused, or not come, since the heap was made."""
        self.error: str | None = None
        """Why the last pull brought nothing usable: ``Diverged: ...`` and so on."""
        self._in_flight: Request | None = None
        self._unanswered = 0
        self._lease_until_ns = 0
        self._quiet_pulls = 0
        self._failed_pulls = 0
        self._has_more = False
        self._acknowledged = LogHead(0, 0, b"")
        self._acknowledged_at_ns = 0
        self._must_acknowledge = False

    def follow(self, upstream: str | None) -> None:
        """Pull from here now on, at once; from nowhere if ``None``."""
        if upstream != self.upstream:
            self.upstream_head = None
            self.path = ()
            self._acknowledged = LogHead(0, 0, b"")
            self._acknowledged_at_ns = 0
            self._must_acknowledge = False
        self.upstream = upstream
        self.error = None
        self.wake()

    def wake(self) -> None:
        """Ask at once, as if there were news."""
        self._in_flight = None
        self._lease_until_ns = 0
        self._quiet_pulls = 0
        self._failed_pulls = 0
        self._has_more = False

    def ask_at_once(self) -> None:
        """Make the next pause none."""
        self._has_more = True

    @property
    def next_delay_s(self) -> int:
        """Pause before the next pull, in seconds: 0 when more is known to be waiting."""
        if self._has_more:
            return 0
        if self._failed_pulls:
            # The exponent is bounded as well: a halted upstream is asked for months.
            return min(1 << min(self._failed_pulls - 1, 8), FAILED_DELAY_MAX_S)
        if self._quiet_pulls < QUIET_PULLS:
            return BUSY_DELAY_S
        pause_s = QUIET_DELAY_S if self._quiet_pulls < IDLE_PULLS else self.pull_idle_s
        return min(pause_s, self.pull_idle_s)

    def lease(self, request: Request, now_ns: int) -> bool:
        """Take the lease for a question; return whether it was free."""
        if now_ns < self._lease_until_ns:
            return False
        # An upstream that is halted answers all of them at once, one day; each open call costs.
        self._unanswered = 0 if self._in_flight is None else min(self._unanswered + 1, 8)
        lease_s = min(PULL_LEASE_S << self._unanswered, LEASE_MAX_S)
        self._lease_until_ns = now_ns + lease_s * _NS_PER_S
        self._in_flight = request
        return True

    @property
    def next_request(self) -> PullRequest | None:
        """The question for the records after our head, if there is somebody to ask."""
        if self.upstream is None:
            return None
        return PullRequest(self.upstream, self._log.head, PULL_SIZE_MAX)

    def check(self, batch: LogBatch, own: str, asked: LogHead) -> NewRecords:
        """Return a batch's records that are new.

        Args:
            batch: The answer.
            own: This canister, as text.
            asked: The position that was asked from.

        Raises:
            BatchRefusedError: If they do not continue this log, or came in a circle.
        """
        self._check_path(batch.path, own)
        records = batch.records[:PULL_RECORDS_MAX]
        head, base = self._log.head, self._log.base
        first_seq = records[0].seq if records else asked.seq + 1
        if not 1 <= first_seq <= head.seq + 1:
            raise GapError(head.seq + 1, first_seq)
        running = batch.base_hash
        known_seq = first_seq - 1
        fresh: list[bytes] = []
        for offset, record in enumerate(records):
            if record.seq != first_seq + offset:
                raise GapError(first_seq + offset, record.seq)
            data = self._encode(record)
            if record.seq > head.seq:
                fresh.append(data)
            else:
                running = chain(running, data)
                known_seq = record.seq
        # From before our log begins nothing can be new, and nothing compared.
        if known_seq >= base.seq and running != self._log.hash_at(known_seq):
            raise DivergedError(known_seq, "the chain hashes differ")
        fresh_records = records[len(records) - len(fresh) :]
        _check_epochs(head, fresh)
        return NewRecords(fresh_records, fresh)

    def accept_batch(
        self, request: PullRequest, batch: LogBatch, new: NewRecords, now_ns: int
    ) -> None:
        """Note that a batch has been applied."""
        self.upstream_head = batch.head
        self.path = _with_upstream(batch.path, request.upstream)
        self._must_acknowledge = self._must_acknowledge or batch.acknowledge
        self.accept(request, now_ns, has_more=new.is_full)
        self._quiet_pulls = 0 if new.records else self._quiet_pulls + 1

    def accept(self, request: Request, now_ns: int, *, has_more: bool) -> None:
        """Note that an answer was of use, and whether the next question should be asked at once."""
        self.release(request)
        self.error = None
        self.pulled_at_ns = now_ns
        self.pulls += 1
        self._failed_pulls = 0
        self._has_more = has_more

    def refuse(self, request: Request, reason: str) -> None:
        """Note why an answer was of no use, or did not come, and back off."""
        self.release(request)
        self.error = reason[:_ERROR_SIZE_MAX]
        self.failures += 1
        self._failed_pulls += 1
        self._quiet_pulls = 0
        self._has_more = False

    def is_in_flight(self, request: Request) -> bool:
        """Return whether this is the question that is being waited for."""
        return request == self._in_flight

    def release(self, request: Request) -> None:
        """Give back the lease, if it is this question's."""
        if request == self._in_flight:
            self._in_flight = None
            self._lease_until_ns = 0

    def acknowledge_at_once(self) -> None:
        """Let ``acknowledgement`` return our position next, whether or not it has moved."""
        self._must_acknowledge = True

    def acknowledgement(self, now_ns: int) -> LogHead | None:
        """Return the position to tell the upstream: when it has moved, at most every 30 s.

        When the upstream must know, it is told at once.
        """
        head = self._log.head
        is_due = now_ns >= self._acknowledged_at_ns + ACKNOWLEDGE_PERIOD_NS
        has_moved = head.position != self._acknowledged.position
        is_asked = self._must_acknowledge and now_ns >= self._acknowledged_at_ns + _NS_PER_S
        if self.upstream is None or not (is_asked or (is_due and has_moved)):
            return None
        self._acknowledged = head
        self._acknowledged_at_ns = now_ns
        self._must_acknowledge = False
        return head

    def _check_path(self, path: Sequence[str], own: str) -> None:
        if own in path:
            raise CycleError(path)
        if len(path) > PATH_MAX:
            raise CycleError(path[:PATH_MAX])

    def _encode(self, record: ChangeRecord) -> bytes:
        try:
            data = encode_record(record)
            result_kind(record.result)
        except EncodingError as error:
            reason = f"record {record.seq}: {error}"
            raise UnusableError(reason) from error
        sizes = [len(row.value) for row in record.rows if row.value is not None]
        if len(data) > RECORD_SIZE_MAX or max(sizes, default=0) > self._row_size_max:
            reason = f"record {record.seq} of {len(data)} bytes is larger than ours may be"
            raise UnusableError(reason)
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

    def __len__(self) -> int:
        return len(self._replicas)

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
        if canister not in self._replicas or max(epoch, seq) > NUMBER_MAX:
            return False
        self._replicas[canister] = AttachedReplica(canister, epoch, seq, now_ns)
        return True


def answer_pull(
    log: ChangeLog, asked: LogHead, size_max: int
) -> LogBatch | Reseed | Diverged | Behind:
    """Return the records after a replica's position, or why it gets none.

    Any numbers may be asked for. The batch names no path: its caller knows that. Without a hash the
    position alone is asked for: so an admin finds where two histories part.
    """
    own = log.head.position
    if asked.position > own:
        return Behind(own)
    if not log.may_hold(asked.epoch, asked.seq):
        return Diverged(own)
    if asked.seq == 0 and asked.chain_hash not in (b"", first_hash()):
        return Diverged(own)
    if asked.seq < log.base.seq:
        return Reseed(own)
    base_hash = log.hash_at(asked.seq)
    if asked.chain_hash not in (b"", base_hash):
        return Diverged(own)
    records = log.after(asked.seq, min(size_max, PULL_SIZE_MAX), PULL_RECORDS_MAX)
    return LogBatch(base_hash, records, own, ())


def _with_upstream(path: Sequence[str], upstream: str) -> Sequence[str]:
    return tuple(path) if list(path[:1]) == [upstream] else (upstream, *path)


def _check_epochs(head: LogHead, fresh: Sequence[bytes]) -> None:
    """Epochs only grow, and no record is before the first."""
    epoch = head.epoch
    for offset, data in enumerate(fresh, start=1):
        begun = record_epoch(data)
        if begun is not None and begun <= epoch:
            reason = f"epoch {begun} after epoch {epoch}"
            raise DivergedError(head.seq + offset, reason)
        epoch = begun or epoch
        if epoch == 0:
            reason = f"record {head.seq + offset} is of no epoch"
            raise UnusableError(reason)
