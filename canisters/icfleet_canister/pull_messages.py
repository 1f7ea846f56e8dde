"""What a replica asks its upstream, and what it may be told: questions and answers as values.

Positions in answers are the upstream's own, for ``status`` and for messages to people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Union

from icfleet_canister.change_log import EpochStart
from icfleet_canister.log_record import ChangeRecord, LogHead, Position, RowChange

__all__ = [
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
    "Reseed",
    "StatePage",
    "WrongCursor",
]


class Cursor(NamedTuple):
    """Where a page of rows begins, and on which canister: slots of another mean other rows."""

    upstream: str
    slot: int


class PullRequest(NamedTuple):
    """Ask for the records after ``head``."""

    upstream: str
    head: LogHead
    size_max: int


class PageRequest(NamedTuple):
    """Ask for a page of rows; without a cursor, for the first."""

    upstream: str
    cursor: Cursor | None
    size_max: int


class LogBatch(NamedTuple):
    """The records after the position that was asked for."""

    base_hash: bytes
    """Chain hash at that position."""
    records: Sequence[ChangeRecord]
    head: Position
    path: Sequence[str]
    """The upstream, its upstream, ... up to the main."""
    acknowledge: bool = False
    """The upstream wants to be told the asker's position now."""


class Reseed(NamedTuple):
    """Those records are gone: the rows must be taken over."""

    position: Position


class Diverged(NamedTuple):
    """The asker's history is another."""

    position: Position


class Behind(NamedTuple):
    """The asker is ahead."""

    position: Position


class NotReady(NamedTuple):
    """The upstream is being seeded itself, or has no rows yet."""


class NotAttached(NamedTuple):
    """The asker may not pull here."""


class StatePage(NamedTuple):
    """The rows of all slots from the cursor's to before ``end``; slots without a row are empty."""

    head: LogHead
    """Where the upstream's log ended when it read the rows."""
    taken_at_ns: int
    """No operation whose ``created_at`` is more than 5 minutes later can be in the rows."""
    applied: int
    refused: int
    epochs: Sequence[EpochStart]
    rows: Sequence[RowChange]
    end: int
    next: Cursor | None
    """``None`` after the last page."""


class WrongCursor(NamedTuple):
    """The cursor is another canister's, or beyond the end."""

    reason: str


LogAnswer = Union[LogBatch, Reseed, Diverged, Behind, NotReady, NotAttached]  # noqa: UP007
PageAnswer = Union[StatePage, WrongCursor, NotReady, NotAttached]  # noqa: UP007
