"""What the heap writes down before an upgrade, because no log tells it: debts, views' data.

Notes are a shortcut and no more: without them debts are forgiven and derived values are computed
anew, so whatever is wrong with them is no reason to fail. They are read once. The dump counts only
while the log ends where it ended then: after that the rows are others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from icfleet_canister.fleet_errors import EncodingError
from icfleet_canister.log_record import HASH_SIZE, LogHead
from icfleet_canister.stable_map import StableMap
from icfleet_canister.wire_codec import ByteReader, ByteWriter

__all__ = ["DEBTS_MAX", "Notes", "UpgradeNotes"]

#: Debts that are kept; all others are of strangers or nearly paid.
DEBTS_MAX = 1_600

#: Debts in one row: of at most 63 characters of principal, two of length, eight of time.
_DEBTS_IN_ROW = 100

_ROWS_MAX = DEBTS_MAX // _DEBTS_IN_ROW
_VERSION = 1
_KEY = "notes"


class Notes(NamedTuple):
    """What was written."""

    debts: Sequence[tuple[str, int]]
    """Keys of the limiter, and when their allowances are full again."""
    derived: bytes | None
    """The derived values, if the log has not moved since."""


class UpgradeNotes:
    """The rows of notes in the state's map.

    Args:
        state: Rows of up to 8,000 bytes.
    """

    def __init__(self, state: StableMap[str, bytes]) -> None:
        self._state = state

    def write(self, head: LogHead, debts: Sequence[tuple[str, int]], derived: bytes | None) -> None:
        """Write notes; they count once the last row, which is the first that is read, is there.

        Raises:
            EncodingError: If something does not fit; nothing is noted then.
        """
        self._state.remove(_KEY)
        kept = debts[:DEBTS_MAX]
        parts = range(0, len(kept), _DEBTS_IN_ROW)
        for number, first in enumerate(parts):
            writer = ByteWriter()
            for key, full_ns in kept[first : first + _DEBTS_IN_ROW]:
                writer.text(key).number(full_ns, 8)
            self._state.insert(_row_key(number), writer.finish())
        writer = ByteWriter().number(_VERSION, 1).number(len(parts), 1)
        writer.number(head.epoch, 8).number(head.seq, 8).raw(head.chain_hash)
        if derived is not None:
            writer.blob(derived)
        self._state.insert(_KEY, writer.finish())

    def take(self, head: LogHead) -> Notes:
        """Read the notes and drop them; what cannot be read is as if never written."""
        data = self._state.remove(_KEY)
        rows = [self._state.remove(_row_key(number)) for number in range(_ROWS_MAX)]
        if data is None:
            return Notes((), None)
        try:
            return _decode(data, [row for row in rows if row is not None], head)
        except EncodingError:
            return Notes((), None)


def _decode(data: bytes, rows: Sequence[bytes], head: LogHead) -> Notes:
    reader = ByteReader(data)
    version, count = reader.number(1), reader.number(1)
    if version != _VERSION or count > len(rows):
        reason = f"notes of version {version} in {len(rows)} of {count} rows"
        raise EncodingError(reason)
    noted_at = LogHead(reader.number(8), reader.number(8), reader.raw(HASH_SIZE))
    derived = None if reader.is_at_end else reader.blob()
    reader.finish()
    debts: list[tuple[str, int]] = []
    for row in rows[:count]:
        reader = ByteReader(row)
        while not reader.is_at_end:
            debts.append((reader.text(), reader.number(8)))
    return Notes(debts, derived if noted_at == head else None)


def _row_key(number: int) -> str:
    return f"notes.{number}"
