"""A canister's log: what its replicated messages printed, and why they trapped.

Bounded by bytes as the mainnet's is, so that a canister which prints too much loses its oldest
lines here too.

Source: IC interface specification, "IC method fetch_canister_logs"; dfinity/ic's log memory
store for the limits and for what a record takes.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "LOG_MEMORY_LIMIT_DEFAULT",
    "LOG_MEMORY_LIMIT_MAX",
    "LOG_MEMORY_LIMIT_MIN",
    "CanisterLog",
    "LogLine",
    "LogRecord",
]

LOG_MEMORY_LIMIT_DEFAULT = 4 * 1024
"""Bytes of all records together."""

LOG_MEMORY_LIMIT_MIN = 4 * 1024
"""Bytes. Zero is allowed too: it keeps no log."""

LOG_MEMORY_LIMIT_MAX = 2 * 1024 * 1024

_RECORD_HEADER_SIZE = 20
"""Bytes in front of a record's content: index and time of 8 each, size of 4."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One ``ic.print`` or trap."""

    time_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A line as it is kept."""

    index: int
    """Counts all lines that the canister ever logged, from 0."""
    line: LogLine
    content: bytes
    """UTF-8, cut to what the log can hold."""

    @property
    def size(self) -> int:
        """Bytes it takes of the log's limit."""
        return _RECORD_HEADER_SIZE + len(self.content)


class CanisterLog:
    """The newest lines, as many as fit the limit. Iterating gives the lines, the oldest first."""

    def __init__(self, limit: int = LOG_MEMORY_LIMIT_DEFAULT) -> None:
        self._limit = limit
        self._records: deque[LogRecord] = deque()
        self._next_index = 0
        self._size = 0

    def __iter__(self) -> Iterator[LogLine]:
        return (record.line for record in self._records)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def lines(self) -> list[LogLine]:
        """What is kept, the oldest first."""
        return list(self)

    @property
    def records(self) -> tuple[LogRecord, ...]:
        """What ``fetch_canister_logs`` gives, the oldest first."""
        return tuple(self._records)

    @property
    def size(self) -> int:
        """Bytes of all records kept."""
        return self._size

    def append(self, line: LogLine) -> None:
        """Add a line; the oldest ones go when there is no room."""
        content_size_max = max(0, self._limit - _RECORD_HEADER_SIZE)
        content = line.text.encode("utf-8", "replace")[:content_size_max]
        kept = LogLine(line.time_ns, content.decode("utf-8", "ignore"))
        record = LogRecord(self._next_index, kept, content)
        self._next_index += 1
        self._records.append(record)
        self._size += record.size
        self._trim()

    def resize(self, limit: int) -> None:
        """Set how many bytes are kept."""
        self._limit = limit
        self._trim()

    def clear(self) -> None:
        """Drop all lines; further ones go on counting."""
        self._records.clear()
        self._size = 0

    def _trim(self) -> None:
        while self._size > self._limit:
            self._size -= self._records.popleft().size
