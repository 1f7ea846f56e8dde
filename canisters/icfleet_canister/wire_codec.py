"""The one binary encoding of rows, records and pages: fixed, canonical, easy to write elsewhere.

Numbers are unsigned and big-endian, with the size that the format names. Byte strings carry their
length in front as two bytes; text is its UTF-8 bytes, encoded as a byte string. There is exactly
one encoding of each value, so that equal values have equal hashes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from icfleet_canister.fleet_errors import EncodingError

__all__ = ["BLOB_SIZE_MAX", "ByteReader", "ByteWriter"]

#: What a length of two bytes can say; every stable row is far smaller.
BLOB_SIZE_MAX = 65_535


class ByteWriter:
    """Collect fields and join them once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def number(self, value: int, size: int) -> ByteWriter:
        """Append ``value`` in ``size`` bytes.

        Raises:
            EncodingError: If the value is negative or needs more bytes.
        """
        try:
            self._parts.append(value.to_bytes(size, "big"))
        except OverflowError as error:
            reason = f"{value} does not fit {size} unsigned bytes"
            raise EncodingError(reason) from error
        return self

    def numbers(self, values: Sequence[int]) -> ByteWriter:
        """Append each value in eight bytes; a row of numbers costs one call.

        Raises:
            EncodingError: If one is negative or needs more bytes.
        """
        try:
            self._parts.append(struct.pack(f">{len(values)}Q", *values))
        except struct.error as error:
            reason = f"one of {values} does not fit 8 unsigned bytes"
            raise EncodingError(reason) from error
        return self

    def blob(self, value: bytes) -> ByteWriter:
        """Append a byte string with its length.

        Raises:
            EncodingError: If it is longer than ``BLOB_SIZE_MAX``.
        """
        self.number(len(value), 2)
        self._parts.append(value)
        return self

    def text(self, value: str) -> ByteWriter:
        """Append a text as its UTF-8 bytes."""
        return self.blob(value.encode())

    def raw(self, value: bytes) -> ByteWriter:
        """Append bytes whose size the format fixes, without a length."""
        self._parts.append(value)
        return self

    def finish(self) -> bytes:
        """Return everything appended so far."""
        return b"".join(self._parts)


class ByteReader:
    """Read what a ``ByteWriter`` wrote; every bad byte is an ``EncodingError``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    @property
    def is_at_end(self) -> bool:
        """Whether every byte has been read."""
        return self._offset == len(self._data)

    def raw(self, size: int) -> bytes:
        """Read ``size`` bytes.

        Raises:
            EncodingError: If fewer are left.
        """
        end = self._offset + size
        if end > len(self._data):
            reason = f"{size} bytes wanted at {self._offset} of {len(self._data)}"
            raise EncodingError(reason)
        part = self._data[self._offset : end]
        self._offset = end
        return part

    def number(self, size: int) -> int:
        """Read an unsigned number of ``size`` bytes."""
        return int.from_bytes(self.raw(size), "big")

    def numbers(self, count: int) -> tuple[int, ...]:
        """Read ``count`` unsigned numbers of eight bytes each."""
        return struct.unpack(f">{count}Q", self.raw(8 * count))

    def blob(self) -> bytes:
        """Read a byte string."""
        return self.raw(self.number(2))

    def text(self) -> str:
        """Read a text.

        Raises:
            EncodingError: If the bytes are not UTF-8.
        """
        value = self.blob()
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: {error}"
            raise EncodingError(reason) from error

    def finish(self) -> None:
        """Check that nothing is left over.

        Raises:
            EncodingError: If bytes remain.
        """
        if not self.is_at_end:
            reason = f"{len(self._data) - self._offset} bytes left over"
            raise EncodingError(reason)
