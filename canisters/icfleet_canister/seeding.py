"""Taking over all rows of an upstream, page by page, because its log no longer goes back so far.

The upstream goes on deciding meanwhile, so each page is of a later position than the one before.
The first page's position becomes the base of our own log. Between two pages the log is pulled up
to the position of the page just taken; so our log always goes on from what the upstream still
holds, no page is older than our log, and each page's position and hash are checked against it.
Records name whole rows, so writing a row's older value again is mended by the record that wrote the
newer one: the rows are right as soon as the log has come to the last page's position.

Before that, rows beyond the upstream's last slot, left from another history, are removed by
slices; no record is applied until that is done, since one might use these slots anew. In the end
everything that the heap derives from rows is derived again.

Where seeding is, ``progress`` tells in a few bytes, which the member keeps over upgrades. Until the
first page has come the rows are whole, only old, and are read as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from icfleet_canister.change_log import EPOCHS_MAX, ChangeLog, may_hold
from icfleet_canister.fleet_errors import (
    BehindError,
    DivergedError,
    EncodingError,
    UnusableError,
)
from icfleet_canister.log_record import HASH_SIZE, LogHead, RowChange
from icfleet_canister.pull_messages import Cursor, PageRequest, StatePage

__all__ = [
    "CLEAR_SLOTS_MAX",
    "PAGE_ROWS_SIZE_MAX",
    "PAGE_SLOTS_MAX",
    "SeedOutcome",
    "SeedPhase",
    "SeedProgress",
    "SeedableRows",
    "Seeding",
]

#: Slots in one page. To give a row takes its upstream 0.1 M instructions (100 bytecodes and a get).
#: To take over a game's player takes 0.75 M where nothing was (1,000 bytecodes, a get and two
#: inserts), at most 1.5 M in the place of another one: 1.5 to 3 G of the 40 G of a message.
PAGE_SLOTS_MAX = 2_000

#: Bytes of rows in one page: half of what a reply may carry, so that most pages have all slots.
PAGE_ROWS_SIZE_MAX = 900_000

#: Slots cleared in one slice, at 0.9 to 1.2 M instructions (900 bytecodes, two gets, two removals).
CLEAR_SLOTS_MAX = 2_000

SeedPhase = Literal["None", "First", "Pages", "Clearing", "Replay"]

#: What has become of seeding: it goes on, its rows are right, or it has begun again because a page
#: was of another history than the log.
SeedOutcome = Literal["Going", "Complete", "Again"]


class SeedProgress(NamedTuple):
    """Where seeding is."""

    phase: SeedPhase = "None"
    """Not seeding; asking for the first page; for further ones; removing rows beyond the last one;
    pulling up to the last page's position."""
    is_forced: bool = False
    """Whether the first page may be of any position and history: an admin wants it so."""
    is_partial: bool = False
    """Whether rows of two positions are mixed."""
    slot: int = 0
    """Where the next page begins; beyond the last page, what is to be cleared."""
    target: LogHead = LogHead.empty()
    """Position of the last page."""


class SeedableRows(Protocol):
    """The rows of a canister, as seeding reads and writes them."""

    end_slot: int
    """The first slot that was never used; kept by ``FleetMember`` over upgrades."""

    def page(self, first: int, size_max: int, slots_max: int) -> tuple[Sequence[RowChange], int]:
        """Return the rows that are present in ``[first, end)``, in order, and ``end``.

        ``end`` is beyond ``first`` unless that is ``end_slot``: one row always has room.
        """
        ...

    def seed(self, first: int, end: int, rows: Sequence[RowChange]) -> None:
        """Make exactly these the rows of ``[first, end)``; derive nothing from them yet.

        Rows elsewhere may be of another history, even with the same keys: a key belongs to the row
        that was written last, and taking away another row under it must not take it from that one.

        Raises:
            EncodingError: If a row cannot be read by this code; then nothing was changed.
        """
        ...

    def problem(self, changes: Sequence[RowChange]) -> str | None:
        """Return why ``apply`` would fail on rows that another canister wrote, or ``None``."""
        ...

    def clear_from(self, slot: int, work_max: int) -> bool:
        """Remove up to ``work_max`` rows from ``slot`` on; return whether none is left.

        Then ``end_slot`` is ``slot``.
        """
        ...

    def begin_rebuild(self) -> None:
        """Forget what is derived from rows; the canister derives it anew, by slices."""
        ...


class Seeding:
    """The replica's side.

    Args:
        log: The replica's own log.
        rows: The replica's own rows.
        row_size_max: Longest row in bytes, as the stable map has it.
        progress: As ``progress`` said when the caller last stored it.
    """

    def __init__(
        self,
        log: ChangeLog,
        rows: SeedableRows,
        *,
        row_size_max: int,
        progress: SeedProgress | None = None,
    ) -> None:
        self._log = log
        self._rows = rows
        self._row_size_max = row_size_max
        self.progress = progress or SeedProgress()
        """What to keep over upgrades; it changes with every method that is not a question."""

    @property
    def is_active(self) -> bool:
        """Whether rows are taken over, or are to be."""
        return self.progress.phase != "None"

    @property
    def is_partial(self) -> bool:
        """Whether rows are not whole."""
        return self.progress.is_partial

    @property
    def is_clearing(self) -> bool:
        """Whether rows beyond the end are being removed, and no record may be applied."""
        return self.progress.phase == "Clearing"

    def begin(self, *, is_forced: bool) -> None:
        """Take over everything from the first slot on, also when half of it is there.

        Args:
            is_forced: Accept another history and an older position. Once forced, it stays so.
        """
        before = self.progress
        self.progress = SeedProgress(
            "First",
            is_forced=is_forced or before.is_forced,
            is_partial=before.is_partial,
        )

    def abandon(self) -> None:
        """Take nothing over after all; the rows must be whole."""
        assert not self.is_partial, self.progress.phase
        self.progress = SeedProgress()

    def change_upstream(self) -> None:
        """Begin again with another upstream; what was not begun is not needed there."""
        if self.is_partial:
            self.begin(is_forced=False)
        else:
            self.progress = SeedProgress()

    def request(self, upstream: str) -> PageRequest | None:
        """Return the question for the next page, or ``None`` if it is the log's turn."""
        progress = self.progress
        if progress.phase == "First":
            return PageRequest(upstream, None, PAGE_ROWS_SIZE_MAX)
        if progress.phase != "Pages" or self._log.head.seq < progress.target.seq:
            return None
        return PageRequest(upstream, Cursor(upstream, progress.slot), PAGE_ROWS_SIZE_MAX)

    def receive(self, request: PageRequest, page: StatePage) -> bool:
        """Take over a page; return whether it was the first, to whose position the log was reset.

        Raises:
            BatchRefusedError: If it is not the page that is needed; nothing was changed.
        """
        is_first = request.cursor is None
        first = 0 if request.cursor is None else request.cursor.slot
        self._check_form(request.upstream, first, page)
        if not (is_first and self.progress.is_forced):
            self._check_history(page)
        try:
            self._rows.seed(first, page.end, page.rows)
        except EncodingError as error:
            reason = f"a page's rows: {error}"
            raise UnusableError(reason) from error
        if is_first:
            self._log.reset(page.head, page.epochs)
        self.progress = self.progress._replace(
            phase="Pages" if page.next is not None else "Clearing",
            is_partial=True,
            slot=page.end,
            target=page.head,
        )
        return is_first

    def clear_step(self) -> SeedOutcome:
        """Remove a slice of the rows beyond the end."""
        if self.is_clearing and self._rows.clear_from(self.progress.slot, CLEAR_SLOTS_MAX):
            self.progress = self.progress._replace(phase="Replay")
        return self.advance()

    def advance(self) -> SeedOutcome:
        """Look whether the log has come to the last page's position."""
        progress, log = self.progress, self._log
        target = progress.target
        if progress.phase not in ("Pages", "Replay") or log.head.seq < target.seq:
            return "Going"
        if log.base.seq <= target.seq and log.hash_at(target.seq) != target.chain_hash:
            self.begin(is_forced=False)
            return "Again"
        if progress.phase == "Pages":
            return "Going"
        self.progress = SeedProgress()
        self._rows.begin_rebuild()
        return "Complete"

    def _check_form(self, upstream: str, first: int, page: StatePage) -> None:
        reason = (
            _slots_problem(first, page)
            or _rows_problem(first, page, self._row_size_max)
            or _epochs_problem(page)
        )
        if page.next is not None and page.next != Cursor(upstream, page.end):
            reason = f"next page at {page.next.slot} of {page.next.upstream}"
        if reason is not None:
            raise UnusableError(reason)

    def _check_history(self, page: StatePage) -> None:
        """Raise unless the page's position is ours or a later one of the same history."""
        own, theirs = self._log.head, page.head
        if theirs.position < own.position:
            reason = f"a page of {theirs.position}, we are at {own.position}"
            raise BehindError(reason)
        if theirs.seq == own.seq and theirs.chain_hash != own.chain_hash:
            raise DivergedError(own.seq, "a page's chain hash differs")
        if theirs.seq < own.seq or not may_hold(page.epochs, own.epoch, own.seq):
            reason = f"a page of {theirs.position} is of another history than our {own.position}"
            raise DivergedError(own.seq, reason)


def _slots_problem(first: int, page: StatePage) -> str | None:
    is_long_enough = page.end > first or (page.next is None and page.end == first)
    if not is_long_enough or page.end - first > PAGE_SLOTS_MAX:
        return f"a page of the slots {first} to {page.end}"
    return None


def _rows_problem(first: int, page: StatePage, row_size_max: int) -> str | None:
    slot = first - 1
    for row in page.rows:
        if not slot < row.slot < page.end:
            return f"row {row.slot} in a page of {first} to {page.end}"
        if row.value is None or len(row.value) > row_size_max:
            return f"row {row.slot} is larger than ours may be, or none"
        slot = row.slot
    return None


def _epochs_problem(page: StatePage) -> str | None:
    """Return why a page's position and epochs cannot be a log's, or ``None``."""
    head, starts = page.head, page.epochs
    is_sorted = all(
        starts[index - 1].epoch < start.epoch and starts[index - 1].first_seq < start.first_seq
        for index, start in enumerate(starts)
        if index
    )
    if not starts or len(starts) > EPOCHS_MAX or not is_sorted:
        return f"{len(starts)} epochs out of order"
    first, last = starts[0], starts[-1]
    is_within = first.first_seq >= 1 and first.epoch >= 1 and last.first_seq <= head.seq
    if page.applied + page.refused > head.seq or max(head.epoch, head.seq) >= 1 << 63:
        return f"{page.applied} and {page.refused} operations at position {head.position}"
    if not is_within or last.epoch != head.epoch or len(head.chain_hash) != HASH_SIZE:
        return f"epochs up to {last.epoch}/{last.first_seq} at position {head.position}"
    return None
