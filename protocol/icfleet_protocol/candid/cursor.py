"""A place in a message, and the readings that both the header and the values need."""

from icfleet_protocol.errors import CandidError, DecodeError
from icfleet_protocol.leb128 import decode_sleb128, decode_uleb128

__all__ = ["Cursor"]

_SHORT = 0x80
"""A LEB128 number below this is one byte."""


class Cursor:
    """Reads a message from front to back; every method moves ``offset`` past what it read.

    Every method raises ``CandidError``, with the offset, when the bytes are not what it reads.
    """

    __slots__ = ("data", "offset")

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data = data
        self.offset = offset

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.offset

    def fail(self, reason: str) -> CandidError:
        """Make the error for what is found at this place; the caller raises it."""
        return CandidError(reason, offset_bytes=self.offset)

    def byte(self) -> int:
        """Read one byte."""
        if self.offset >= len(self.data):
            reason = "the message ends early"
            raise self.fail(reason)
        value = self.data[self.offset]
        self.offset += 1
        return value

    def take(self, count: int) -> bytes:
        """Read ``count`` bytes."""
        if count > self.remaining:
            reason = f"{count} bytes announced, {self.remaining} left"
            raise self.fail(reason)
        start = self.offset
        self.offset = start + count
        return self.data[start : self.offset]

    def natural(self) -> int:
        """Read an unsigned LEB128 number."""
        if self.offset < len(self.data) and self.data[self.offset] < _SHORT:
            return self.byte()
        try:
            value, self.offset = decode_uleb128(self.data, self.offset)
        except DecodeError as error:
            raise self.fail(error.reason) from error
        return value

    def integer(self) -> int:
        """Read a signed LEB128 number."""
        try:
            value, self.offset = decode_sleb128(self.data, self.offset)
        except DecodeError as error:
            raise self.fail(error.reason) from error
        return value

    def count(self, size_min: int) -> int:
        """Read the number of things that follow, each of ``size_min`` bytes or more."""
        start = self.offset
        value = self.natural()
        if value * size_min > self.remaining:
            self.offset = start
            reason = f"{value} elements announced, more than the message can hold"
            raise self.fail(reason)
        return value

    def text(self) -> str:
        """Read a length and that many bytes of UTF-8."""
        raw = self.take(self.natural())
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            reason = "text is not UTF-8"
            raise self.fail(reason) from error
