"""What a replica does with its upstream's answers: records into the log, pages into the rows.

``Replication`` knows whom to ask and when, ``Seeding`` which rows are missing; here the two take
turns. An answer is only believed if it is from the present upstream; whatever it says besides
records must also be about the present position. What is wrong with it is noted in
``Replication.error`` and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Union

from icfleet_canister.change_log import ChangeLog
from icfleet_canister.fleet_errors import BatchRefusedError, BehindError, UnusableError
from icfleet_canister.log_record import Position, RowChange, result_kind
from icfleet_canister.pull_messages import (
    Behind,
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
from icfleet_canister.replication import Replication, Request
from icfleet_canister.seeding import SeedableRows, Seeding, SeedOutcome

__all__ = ["ReplicaIntake", "Taken"]

Excuse = Union[Reseed, Diverged, Behind, NotReady, NotAttached, WrongCursor]  # noqa: UP007


class Taken(NamedTuple):
    """What an answer has brought."""

    applied: int = 0
    """New records that are no refusals."""
    refused: int = 0
    is_changed: bool = False
    """Whether rows, log or progress have changed and must be written down."""
    first_page: StatePage | None = None
    """The page at whose position our log begins now."""


_NOTHING = Taken()


class ReplicaIntake:
    """Ask and take in.

    Args:
        apply: Changes rows by the log; must not fail on rows that ``SeedableRows.problem`` passes.
        rows: The same rows.
        log: The replica's own log.
        replication: Whom to ask, when.
        seeding: Which rows are missing.
    """

    def __init__(
        self,
        apply: Callable[[Sequence[RowChange]], None],
        rows: SeedableRows,
        log: ChangeLog,
        replication: Replication,
        seeding: Seeding,
    ) -> None:
        self._apply = apply
        self._rows = rows
        self._log = log
        self._replication = replication
        self._seeding = seeding

    def request(self, now_ns: int) -> Request | None:
        """Take the lease and return what to ask the upstream now, if anything."""
        replication, seeding = self._replication, self._seeding
        if replication.upstream is None or seeding.is_clearing:
            return None
        request = seeding.request(replication.upstream) or replication.next_request
        if request is None or not replication.lease(request, now_ns):
            return None
        return request

    def receive_log(self, request: PullRequest, answer: LogAnswer, own: str, now_ns: int) -> Taken:
        """Take in an answer to a pull.

        Args:
            request: The question. If it is of an earlier position, records that fit are taken all
                the same, and nothing else.
            answer: Whatever the upstream says.
            own: This canister, as text.
            now_ns: Time of this message.
        """
        if request.upstream != self._replication.upstream:
            return _NOTHING
        is_late = request.head != self._log.head
        if isinstance(answer, LogBatch) and not self._seeding.is_clearing:
            try:
                return self._receive_batch(request, answer, own, now_ns)
            except BatchRefusedError as error:
                if not is_late:
                    self._replication.refuse(request, str(error))
                    return _NOTHING
        if is_late or isinstance(answer, LogBatch):
            self._replication.release(request)
            return _NOTHING
        return self._receive_excuse(request, answer, now_ns)

    def receive_page(self, request: PageRequest, answer: PageAnswer, now_ns: int) -> Taken:
        """Take in an answer to the question for a page; one that is not needed now is dropped."""
        replication, seeding = self._replication, self._seeding
        if request.upstream != replication.upstream:
            return _NOTHING
        if request != seeding.request(request.upstream):
            replication.release(request)
            return _NOTHING
        if not isinstance(answer, StatePage):
            if isinstance(answer, WrongCursor):
                seeding.begin(is_forced=False)
            replication.refuse(request, _excuse(answer, self._log.head.position))
            return Taken(is_changed=isinstance(answer, WrongCursor))
        try:
            is_first = seeding.receive(request, answer)
        except BatchRefusedError as error:
            if isinstance(error, BehindError):
                replication.acknowledge_at_once()
            replication.refuse(request, str(error))
            return _NOTHING
        replication.accept(request, now_ns, has_more=not seeding.is_clearing)
        if seeding.is_clearing:
            self.clear_step()
        return Taken(is_changed=True, first_page=answer if is_first else None)

    def receive_trouble(self, request: Request, reason: str) -> None:
        """Note that an answer did not come, and back off; a late one is no news."""
        replication = self._replication
        if request.upstream == replication.upstream and replication.is_in_flight(request):
            replication.refuse(request, f"Unreachable: {reason}")

    def clear_step(self) -> None:
        """Remove a slice of the rows beyond the upstream's last one."""
        self._note(self._seeding.clear_step())

    def _receive_batch(self, request: PullRequest, batch: LogBatch, own: str, now_ns: int) -> Taken:
        replication = self._replication
        new = replication.check(batch, own, request.head)
        for record in new.records:
            problem = self._rows.problem(record.rows)
            if problem is not None:
                reason = f"record {record.seq}: {problem}"
                raise UnusableError(reason)
        for record in new.records:
            self._apply(record.rows)
        self._log.append(new.encoded, now_ns)
        replication.accept_batch(request, batch, new, now_ns)
        progress = self._seeding.progress
        if self._seeding.is_active:
            self._note(self._seeding.advance())
        refused = sum(1 for record in new.records if result_kind(record.result) == "Refused")
        is_changed = bool(new.records) or self._seeding.progress != progress
        return Taken(len(new.records) - refused, refused, is_changed)

    def _receive_excuse(self, request: PullRequest, answer: Excuse, now_ns: int) -> Taken:
        replication = self._replication
        if isinstance(answer, (Reseed, Diverged, Behind)):
            replication.upstream_head = answer.position
        if isinstance(answer, Reseed):
            self._seeding.begin(is_forced=False)
            replication.accept(request, now_ns, has_more=True)
            return Taken(is_changed=True)
        if isinstance(answer, Behind):
            replication.acknowledge_at_once()
        replication.refuse(request, _excuse(answer, self._log.head.position))
        return _NOTHING

    def _note(self, outcome: SeedOutcome) -> None:
        """Say what has become of seeding, and ask at once where there is something to ask for."""
        replication, upstream = self._replication, self._replication.upstream
        if outcome == "Again":
            replication.error = "Diverged: a page was of another history; seeding begins again"
        elif outcome == "Complete" or (upstream and self._seeding.request(upstream) is not None):
            replication.ask_at_once()


def _excuse(answer: Excuse, own: Position) -> str:
    """Return an upstream's excuse in words that begin with its kind."""
    if isinstance(answer, Diverged):
        return f"Diverged: the upstream at {answer.position} has another history than our {own}"
    if isinstance(answer, Behind):
        return f"Behind: the upstream is at {answer.position}, we are at {own}"
    if isinstance(answer, WrongCursor):
        return f"WrongCursor: {answer.reason}"
    if isinstance(answer, NotReady):
        return "NotReady: the upstream has nothing whole to give yet"
    if isinstance(answer, NotAttached):
        return "NotAttached: this canister is not attached to its upstream"
    return f"Reseed: the upstream at {answer.position} no longer has our {own}"
