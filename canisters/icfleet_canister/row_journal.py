"""The working copy of one operation: rows as it leaves them, before any of them is written.

A rule that refuses raises; nothing has been written then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from icfleet_canister.log_record import RowChange
from icfleet_canister.row_kinds import FLEET_SLOT, Row
from icfleet_canister.row_table import RowTable

__all__ = ["REASON_LENGTH_MAX", "RowJournal", "RuleRefusedError", "refuse"]

#: Characters of a refusal's reason: it is kept in the log, and may quote what somebody sent.
REASON_LENGTH_MAX = 200


class RuleRefusedError(Exception):
    """The rules say no: ``code`` for programs, ``reason`` for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


def refuse(code: str, reason: str) -> NoReturn:
    """Raise ``RuleRefusedError``; a reason that is too long is cut."""
    if len(reason) > REASON_LENGTH_MAX:
        reason = reason[: REASON_LENGTH_MAX - 3] + "..."
    raise RuleRefusedError(code, reason)


class RowJournal:
    """What one operation reads and changes.

    Args:
        table: The rows as they are.
        caller: Who sent the operation.
        subject: Whom it is about.
        now_ns: Time of the message.
        seq: Number that the operation's record will have.
        operation: Name of the operation; empty for an admin's change.
    """

    def __init__(
        self,
        table: RowTable,
        caller: str,
        subject: str,
        now_ns: int,
        seq: int,
        operation: str = "",
    ) -> None:
        self._table = table
        self._changed: dict[int, Row | None] = {}
        # Slots put since their keys were looked at: that is done only once it matters.
        self._put: dict[int, None] = {}
        self._key_at: dict[int, str | None] = {}
        self._keys: dict[str, int | None] = {}
        self._next_slot = max(table.end_slot, FLEET_SLOT + 1)
        self.caller = caller
        self.subject = subject
        self.now_ns = now_ns
        self.seq = seq
        self.operation = operation

    def slot_of(self, key: str) -> int | None:
        """Return the slot of a key, or ``None``."""
        if self._put:
            self._note_keys()
        return self._keys[key] if key in self._keys else self._table.slot_of(key)

    def find(self, slot: int) -> Row | None:
        """Return a row as this operation has left it so far, or ``None``."""
        return self._changed[slot] if slot in self._changed else self._table.row(slot)

    def row(self, slot: int) -> Row:
        """Return a row that must be there."""
        row = self._changed.get(slot)
        if row is None:
            row = None if slot in self._changed else self._table.row(slot)
            assert row is not None, slot
        return row

    def put(self, slot: int, row: Row) -> None:
        """Change a row, or set the fleet's own at the very first."""
        assert slot < self._next_slot, slot
        self._changed[slot] = row
        self._put[slot] = None

    def add(self, row: Row) -> int:
        """Put a new row into the next free slot and return the slot; it keeps it for good."""
        slot = self._next_slot
        self._next_slot += 1
        self.put(slot, row)
        self._note_keys()
        return slot

    def drop(self, slot: int) -> None:
        """Remove a row; its slot stays empty."""
        self._changed[slot] = None
        self._put[slot] = None

    def changes(self) -> Sequence[RowChange]:
        """Return the changed rows, encoded, by slot.

        Raises:
            EncodingError: If a value has no room in its row.
        """
        self._note_keys()
        changed, encode, keys = self._changed, self._table.encode, self._key_at
        changes: list[RowChange] = []
        for slot in sorted(changed):
            row = changed[slot]
            value = None if row is None else encode(self.finished(row), keys[slot])
            changes.append(RowChange(slot, value))
        return changes

    def finished(self, row: Row) -> Row:
        """Return a changed row as it is written: with what each operation notes, not in its key."""
        return row

    def _note_keys(self) -> None:
        """Take in where the keys of the rows lead that were put or dropped lately."""
        table, put, known = self._table, self._put, self._key_at
        key_of = table.kinds.key_of
        self._put = {}
        for slot in put:
            row = self._changed[slot]
            new = None if row is None else key_of(row)
            if slot in known:
                old = known[slot]
            else:
                old = table.key_at(slot) if slot < table.end_slot else None
            known[slot] = new
            if old != new:
                self._move_key(old, new, slot)

    def _move_key(self, old: str | None, new: str | None, slot: int) -> None:
        taken = None
        if new is not None:
            taken = self._keys[new] if new in self._keys else self._table.slot_of(new)
        assert taken is None, f"two rows with the key {new}"
        if old is not None:
            self._keys[old] = None
        if new is not None:
            self._keys[new] = slot
