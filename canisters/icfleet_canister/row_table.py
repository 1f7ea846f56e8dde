"""All rows of a canister, where each is found, and what the heap derives from them.

``apply`` is the way in, for a main that decides and for a replica that repeats, so both hold the
same. What the heap derives (the best of all rows, a sum) is a fold over the rows in slot order:
after an upgrade it is folded again, a slice at a time, and a row that changes meanwhile counts only
if the fold has passed it already. ``seed`` is the other way in, for rows of another canister that
are taken over page by page; nothing is folded then, and all of it afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from icfleet_canister.fleet_errors import EncodingError
from icfleet_canister.log_record import RowChange
from icfleet_canister.row_kinds import FLEET_SLOT, FleetRow, GrantRow, Row, RowKinds, grant_key
from icfleet_canister.stable_map import RowOverlay, StableMap

__all__ = ["DERIVED_SIZE_MAX", "REBUILD_ROWS_MAX", "Derived", "RowTable"]

#: Rows folded in one slice after an upgrade. By the model of docs/replication.md a game's player
#: takes 0.5 M instructions (800 bytecodes and one get), the largest 0.75 M: 1.2 to 1.9 G a slice.
REBUILD_ROWS_MAX = 2_500

#: Bytes of what is kept of the derived values over an upgrade: one row of state.
DERIVED_SIZE_MAX = 7_000

#: Slots of a canister: more rows than stable memory holds. What another canister names beyond would
#: make each later walk over the slots endless.
SLOTS_MAX = 100_000_000

#: Bytes of a page besides its rows' values, for each of them.
_ROW_OVERHEAD = 16


class Derived(Protocol):
    """What an application's heap derives from the rows. Made anew by ``reset``."""

    def reset(self) -> None:
        """Forget everything."""
        ...

    def fold(self, slot: int, before: Row | None, after: Row | None) -> Iterable[str]:
        """Take in that a row has changed; return the tags of what has changed with it.

        Rows come in any order; ``before`` is ``None`` for one that was never folded. Must not fail.
        """
        ...

    def dump(self) -> bytes:
        """Return all of it in at most ``DERIVED_SIZE_MAX`` bytes, best by naming slots."""
        ...

    def load(self, data: bytes, table: RowTable) -> None:
        """Become what was dumped when the table held the same rows.

        Raises:
            EncodingError: If another version dumped it.
        """
        ...


class RowTable:
    """Rows by slot, slots by key, and the derived values.

    Args:
        rows: Stable rows.
        slots: Stable slots by key.
        kinds: What rows there are.
        derived: The values folded from them; none if there are none.
    """

    def __init__(
        self,
        rows: StableMap[int, bytes],
        slots: StableMap[str, int],
        kinds: RowKinds,
        derived: Derived | None = None,
    ) -> None:
        self._overlay = RowOverlay(rows)
        self._slots = slots
        self._derived = derived
        # Of this message: rows by slot, their keys by slot, and what values have been found to be.
        self._decoded: dict[int, Row | None] = {}
        self._keys: dict[int, str | None] = {}
        self._known: dict[bytes, tuple[Row, str | None]] = {}
        self._slots_seen: dict[str, int | None] = {}
        self._tags: set[str] = set()
        self._folded_to = 0
        self._is_mixed = False
        self.kinds = kinds
        self.end_slot = 0
        """The first slot that was never used. The member keeps it, with its own state."""
        self.is_ready = True
        """Whether the derived values cover every row."""
        self.rights_version = 0
        """Counts what may change anybody's roles: keys that come or go, and rows of grants."""
        if derived is not None:
            derived.reset()

    @property
    def fleet(self) -> FleetRow | None:
        """The fleet's own row; ``None`` before the first epoch."""
        row = self.row(FLEET_SLOT)
        return row if isinstance(row, FleetRow) else None

    def grant(self, principal: str) -> GrantRow | None:
        """Return what admins gave to a principal, or ``None``."""
        row = self.row_by_key(grant_key(principal))
        return row if isinstance(row, GrantRow) else None

    def row(self, slot: int) -> Row | None:
        """Return a row, or ``None``."""
        row = self._decoded.get(slot)
        if row is None:
            row = self._read(slot)
            if row is not None:
                self._decoded[slot] = row
        return row

    def slot_of(self, key: str) -> int | None:
        """Return the slot of a key, or ``None``."""
        seen = self._slots_seen
        if key not in seen:
            slot = seen[key] = self._slots.get(key)
            if slot is not None and self.is_ready and slot not in self._keys:
                self._keys[slot] = key
        return seen[key]

    def key_at(self, slot: int) -> str | None:
        """Return the key of the row in a slot, or ``None`` if it has none or is not there.

        Raises:
            EncodingError: If the key is longer than it may be.
        """
        if slot not in self._keys:
            row = self.row(slot)
            self._keys[slot] = None if row is None else self.kinds.key_of(row)
        return self._keys[slot]

    def encode(self, row: Row, key: str | None) -> bytes:
        """Return the bytes of a row about to be applied, so that ``apply`` need not read them.

        Args:
            row: A value; whoever has it must not change what it is made of.
            key: What ``kinds.key_of`` says of it.

        Raises:
            EncodingError: If a number or text has no room.
        """
        value = self.kinds.encode(row)
        self._known[value] = (row, key)
        return value

    def row_by_key(self, key: str) -> Row | None:
        """Return the row of a key, or ``None``."""
        slot = self.slot_of(key)
        return None if slot is None else self.row(slot)

    def rows(self, first: int, end: int) -> Iterable[tuple[int, Row]]:
        """Read the rows of these slots one by one, keeping none of them in the heap."""
        for slot in range(first, min(end, self.end_slot)):
            row = self._read(slot)
            if row is not None:
                yield slot, row

    def apply(self, changes: Sequence[RowChange]) -> None:
        """Change rows and everything derived from them."""
        derived = self._derived
        for slot, value in changes:
            before = self.row(slot)
            after = self._write(slot, before, value)
            if derived is not None and (self.is_ready or slot < self._folded_to):
                self._tags.update(derived.fold(slot, before, after))

    def problem(self, changes: Sequence[RowChange]) -> str | None:
        """Return why ``apply`` would fail on rows that another canister wrote, or ``None``."""
        for slot, value in changes:
            if slot >= SLOTS_MAX:
                return f"row {slot}: slots are below {SLOTS_MAX}"
            try:
                self._check(value)
            except EncodingError as error:
                return f"row {slot}: {error}"
        return None

    def flush(self) -> None:
        """Write changed rows to stable memory, and forget what was read."""
        self._overlay.flush()
        self._decoded = {}
        self._keys = {}
        self._known = {}
        self._slots_seen = {}

    def take_tags(self) -> Collection[str]:
        """Return what has changed since the last call, in the words of the views' tags."""
        tags = self._tags
        self._tags = set()
        return tags

    def page(self, first: int, size_max: int, slots_max: int) -> tuple[Sequence[RowChange], int]:
        """Return the rows of a range of slots for another canister, and where the range ends.

        Args:
            first: Where it begins.
            size_max: Bytes of all rows together; the first is given in any case.
            slots_max: Slots looked at.
        """
        size = 0
        page: list[RowChange] = []
        slot = first
        stop = min(first + max(slots_max, 1), self.end_slot)
        while slot < stop:
            value = self._overlay.get(slot)
            if value is not None:
                size += len(value) + _ROW_OVERHEAD
                if page and size > size_max:
                    break
                page.append(RowChange(slot, value))
            slot += 1
        return page, slot

    def seed(self, first: int, end: int, rows: Sequence[RowChange]) -> None:
        """Take over a page: these slots hold these rows now, and nothing else.

        What was derived is worth nothing from here until it is rebuilt.

        Raises:
            EncodingError: If a row is not of this code, or not of this range; nothing was changed.
        """
        values = {change.slot: change.value for change in rows}
        for slot, value in values.items():
            if value is None or not first <= slot < end:
                reason = f"row {slot} in a page of {first} to {end}"
                raise EncodingError(reason)
            self._check(value)
        self._begin_mixing()
        for slot in range(first, end):
            # What was never used needs no look.
            before = self.row(slot) if slot < self.end_slot else None
            value = values.get(slot)
            if before is not None or value is not None:
                self._write(slot, before, value)
        self.end_slot = max(self.end_slot, end)
        self.flush()

    def clear_from(self, slot: int, work_max: int) -> bool:
        """Remove rows from this slot on, the last ones first; return whether that is done."""
        if self.end_slot <= slot:
            return True
        self._begin_mixing()
        stop = max(slot, self.end_slot - work_max)
        while self.end_slot > stop:
            last = self.end_slot - 1
            before = self.row(last)
            if before is not None:
                self._write(last, before, None)
            self.end_slot = last
        self.flush()
        return self.end_slot <= slot

    def begin_rebuild(self) -> None:
        """Derive everything anew, by ``rebuild_step``; not before the rows are whole."""
        self._folded_to = 0
        self._is_mixed = False
        self.is_ready = False
        if self._derived is not None:
            self._derived.reset()

    def rebuild_step(self, rows_max: int = REBUILD_ROWS_MAX) -> bool:
        """Fold the next rows; return whether the derived values are complete."""
        if self.is_ready or self._is_mixed:
            return self.is_ready
        stop = min(self._folded_to + rows_max, self.end_slot)
        while self._folded_to < stop and self._derived is not None:
            row = self._read(self._folded_to)
            if row is not None:
                self._fold(self._folded_to, None, row)
            self._folded_to += 1
        self.is_ready = self._derived is None or stop == self.end_slot
        return self.is_ready

    def dump_derived(self) -> bytes | None:
        """Return the derived values, or ``None`` if they are not complete or not small."""
        if self._derived is None or not self.is_ready:
            return None
        try:
            data = self._derived.dump()
        except Exception:  # noqa: BLE001 - before an upgrade: without them it takes longer, no more
            return None
        return data if len(data) <= DERIVED_SIZE_MAX else None

    def load_derived(self, data: bytes) -> bool:
        """Take over values dumped when the rows were the same; return whether that is possible."""
        self.begin_rebuild()
        if self._derived is None:
            self.is_ready = True
            return True
        try:
            self._derived.load(data, self)
        except EncodingError:
            self._derived.reset()
            return False
        self.is_ready = True
        return True

    def _check(self, value: bytes | None) -> None:
        """Raise ``EncodingError`` unless these are the bytes of a row that can be found again."""
        if value is not None:
            self._read_value(value)

    def _read_value(self, value: bytes) -> tuple[Row, str | None]:
        """Return the row that these bytes are, and its key; in one message they are read once."""
        known = self._known.get(value)
        if known is None:
            row = self.kinds.decode(value)
            known = self._known[value] = (row, self.kinds.key_of(row))
        return known

    def _begin_mixing(self) -> None:
        """Rows of two canisters side by side: nothing derived from them means anything."""
        self.begin_rebuild()
        self._is_mixed = True

    def _read(self, slot: int) -> Row | None:
        data = self._overlay.get(slot)
        return None if data is None else self.kinds.decode(data)

    def _write(self, slot: int, before: Row | None, value: bytes | None) -> Row | None:
        after: Row | None = None
        key: str | None = None
        if value is not None:
            after, key = self._known.get(value) or self._read_value(value)
        key_before = None if before is None else self._keys.get(slot) or self.key_at(slot)
        if key != key_before or not self.is_ready:
            self._index(slot, key_before, key)
        if isinstance(after, GrantRow) or isinstance(before, GrantRow):
            self.rights_version += 1
        self._overlay.put(slot, value)
        self._decoded[slot] = after
        self._keys[slot] = key
        if slot >= self.end_slot:
            self.end_slot = slot + 1
        return after

    def _index(self, slot: int, key_before: str | None, key_after: str | None) -> None:
        """Make the slot found by its row's key.

        While rows of another canister are taken over, a key may be found at a slot that has not
        been replaced yet: so a key is only taken from the slot that it leads to, and led to a slot
        even if the row there had it before.
        """
        self.rights_version += 1
        is_left = key_before is not None and key_before != key_after
        if key_before is not None and is_left and self.slot_of(key_before) == slot:
            self._slots.remove(key_before)
            self._slots_seen[key_before] = None
        if key_after is not None and self.slot_of(key_after) != slot:
            self._slots.insert(key_after, slot)
            self._slots_seen[key_after] = slot

    def _fold(self, slot: int, before: Row | None, after: Row | None) -> None:
        if self._derived is not None:
            self._tags.update(self._derived.fold(slot, before, after))
