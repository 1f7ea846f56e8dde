"""The one binary encoding of rows, records and pages: fixed, canonical, easy to write elsewhere.

Numbers are unsigned and big-endian, with the size that the format names. Byte strings carry their
length in front as two bytes; text is its UTF-8 bytes, encoded as a byte string. There is exactly
one encoding of each value, so that equal values have equal hashes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import chain

from icfleet_canister.fleet_errors import EncodingError

__all__ = ["BLOB_SIZE_MAX", "ByteReader", "ByteWriter", "utf8"]

#: What a length of two bytes can say; every stable row is far smaller.
BLOB_SIZE_MAX = 65_535

#: The lengths of short texts.
_SIZES = [size.to_bytes(2, "big") for size in range(256)]


def utf8(text: str) -> bytes:
    """Return the UTF-8 bytes of a text.

    Raises:
        EncodingError: If it has none: half of a surrogate pair is no character.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        reason = f"not a text: {error.reason} at {error.start}"
        raise EncodingError(reason) from error


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

    def fields(self, form: str, *values: int) -> ByteWriter:
        """Append numbers in the sizes that ``struct`` calls ``form``: many cost one call.

        Raises:
            EncodingError: If one is negative or needs more bytes.
        """
        try:
            self._parts.append(struct.pack(form, *values))
        except struct.error as error:
            reason = f"one of {values} does not fit {form}"
            raise EncodingError(reason) from error
        return self

    def packed(self, form: str, rows: Sequence[Sequence[int]]) -> ByteWriter:
        """Append rows of numbers, each in the sizes that ``struct`` calls ``form``.

        Args:
            form: Begins with ``>``.
            rows: All in one call, however many.

        Raises:
            EncodingError: If one is negative or needs more bytes.
        """
        try:
            whole = form[0] + form[1:] * len(rows)
            self._parts.append(struct.pack(whole, *chain.from_iterable(rows)))
        except struct.error as error:
            reason = f"a number does not fit {form}"
            raise EncodingError(reason) from error
        return self

    def blob(self, value: bytes) -> ByteWriter:
        """Append a byte string with its length.

        Raises:
            EncodingError: If it is longer than ``BLOB_SIZE_MAX``.
        """
        size = len(value)
        if size > BLOB_SIZE_MAX:
            reason = f"{size} does not fit 2 unsigned bytes"
            raise EncodingError(reason)
        self._parts.append(size.to_bytes(2, "big"))
        self._parts.append(value)
        return self

    def text(self, value: str) -> ByteWriter:
        """Append a text as its UTF-8 bytes.

        Raises:
            EncodingError: If it has none, or they are longer than ``BLOB_SIZE_MAX``.
        """
        return self.blob(utf8(value))

    def texts(self, values: Sequence[str]) -> ByteWriter:
        """Append texts, one after the other; their number is not written.

        Raises:
            EncodingError: As ``text`` does.
        """
        try:
            data = list(map(str.encode, values))
            sizes = list(map(_SIZES.__getitem__, map(len, data)))
        except (UnicodeEncodeError, IndexError):
            # Longer than most, or no texts.
            for value in values:
                self.text(value)
            return self
        self._parts.extend(chain.from_iterable(zip(sizes, data)))  # noqa: B905 - as many
        return self

    def raw(self, value: bytes) -> ByteWriter:
        """Append bytes whose size the format fixes, without a length."""
        self._parts.append(value)
        return self

    def finish(self) -> bytes:
        """Return everything appended so far."""
        return b"".join(self._parts)


class ByteReader:
    """Read what a ``ByteWriter`` wrote; every bad byte is an ``EncodingError``.

    Every operation reads a few rows, field by field, and on chain each bytecode is paid for: so
    numbers and byte strings are read where they are, and only trouble goes through ``raw``.
    """

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self._data = data
        self._size = len(data)
        self._offset = offset

    @property
    def is_at_end(self) -> bool:
        """Whether every byte has been read."""
        return self._offset == self._size

    def raw(self, size: int) -> bytes:
        """Read ``size`` bytes.

        Raises:
            EncodingError: If fewer are left.
        """
        start = self._offset
        end = start + size
        if end > self._size:
            reason = f"{size} bytes wanted at {start} of {self._size}"
            raise EncodingError(reason)
        self._offset = end
        return self._data[start:end]

    def number(self, size: int) -> int:
        """Read an unsigned number of ``size`` bytes."""
        start = self._offset
        end = start + size
        if end > self._size:
            self.raw(size)
        self._offset = end
        return int.from_bytes(self._data[start:end], "big")

    def numbers(self, count: int) -> tuple[int, ...]:
        """Read ``count`` unsigned numbers of eight bytes each."""
        return struct.unpack(f">{count}Q", self.raw(8 * count))

    def fields(self, form: str) -> tuple[int, ...]:
        """Read numbers in the sizes that ``struct`` calls ``form``."""
        start = self._offset
        end = start + struct.calcsize(form)
        if end > self._size:
            self.raw(end - start)
        self._offset = end
        return struct.unpack_from(form, self._data, start)

    def counted(self, form: str) -> Sequence[tuple[int, ...]]:
        """Read a number of one byte, and as many rows of numbers as that says; see ``packed``."""
        start = self._offset + 1
        if start > self._size:
            self.raw(1)
        self._offset = end = start + self._data[start - 1] * struct.calcsize(form)
        if end > self._size:
            self._offset = start
            self.raw(end - start)
        return tuple(struct.iter_unpack(form, self._data[start:end]))

    def packed(self, form: str, count: int) -> Iterator[tuple[int, ...]]:
        """Read ``count`` rows of numbers, each in the sizes that ``struct`` calls ``form``."""
        start = self._offset
        end = start + struct.calcsize(form) * count
        if end > self._size:
            self.raw(end - start)
        self._offset = end
        return struct.iter_unpack(form, self._data[start:end])

    def blob(self) -> bytes:
        """Read a byte string."""
        start = self._offset + 2
        end = start + int.from_bytes(self._data[start - 2 : start], "big")
        if end > self._size:
            return self.raw(self.number(2))
        self._offset = end
        return self._data[start:end]

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

    def texts(self, count: int) -> list[str]:
        """Read ``count`` texts that follow each other.

        Raises:
            EncodingError: As ``text`` does.
        """
        data = self._data
        end = self._offset
        texts: list[str] = []
        try:
            for _ in range(count):
                start = end + 2
                end = start + int.from_bytes(data[end:start], "big")
                texts.append(data[start:end].decode())
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: {error}"
            raise EncodingError(reason) from error
        if end > self._size:
            self.raw(end - self._offset)
        self._offset = end
        return texts

    def finish(self) -> None:
        """Check that nothing is left over.

        Raises:
            EncodingError: If bytes remain.
        """
        if self._offset != self._size:
            reason = f"{self._size - self._offset} bytes left over"
            raise EncodingError(reason)
