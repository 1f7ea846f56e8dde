"""What was put into a network, in order: enough to compute its whole state again.

The network's core is deterministic, so its inputs are its state: the messages users submitted, the
times of the rounds that executed something with what was measured for them (see ``figures``), and
the commands of its operator. Each entry is a frame
of length, checksums and content. A frame that a crash cut off ends the journal; damage before the
end is an error. The length has a checksum of its own: without it, damage to a length in the middle
could not be told from the end.

    | length: u32 LE | CRC-32 of it: u32 LE | CRC-32 of content: u32 LE | content: MessagePack |

Sources of what repeats: canisters draw seeded random numbers and see the network's time. A set's
order follows PYTHONHASHSEED, which ``icfleet localnet`` fixes.
"""

import struct
import zlib
from collections.abc import Iterator

import msgspec

from icfleet_localnet.errors import StateDirectoryError
from icfleet_localnet.fault_rules import Command
from icfleet_localnet.figures import Measured

__all__ = ["Commanded", "Digest", "Entry", "Round", "Submitted", "decode_entries", "encode_entry"]

_HEAD = struct.Struct("<III")
_CONTENT_SIZE_MAX = 8 * 1024 * 1024
"""Bytes of an entry: an ingress message and some."""


class Submitted(msgspec.Struct, frozen=True, tag="submitted", array_like=True):
    """An ingress message that was accepted."""

    subnet: bytes
    request: bytes
    sender: bytes
    canister: bytes
    method: str
    arg: bytes
    ingress_expiry_ns: int


class Round(msgspec.Struct, frozen=True, tag="round", array_like=True):
    """A round that had something to do."""

    time_ns: int
    heights: tuple[int, ...]
    """Of each subnet, before the round: random numbers follow it, and idle rounds are missing."""
    times_ns: tuple[int, ...]
    """Of each subnet, before the round; canisters are charged by it."""
    measured: tuple[Measured, ...] = ()
    """What subnets that charge their canisters in this round go by."""


class Commanded(msgspec.Struct, frozen=True, tag="commanded", array_like=True):
    """What the operator ordered."""

    command: Command


class Digest(msgspec.Struct, frozen=True, tag="digest", array_like=True):
    """What the canisters had and had answered, as a hash: to see that a replay is true."""

    state: bytes
    canisters: tuple[tuple[bytes, int], ...] = ()
    """A checksum for each canister, to tell which one differs."""


Entry = Submitted | Round | Commanded | Digest

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """Write one frame."""
    content = _encoder.encode(entry)
    assert len(content) <= _CONTENT_SIZE_MAX, len(content)
    return _HEAD.pack(len(content), _length_crc(len(content)), zlib.crc32(content)) + content


def decode_entries(data: memoryview) -> Iterator[tuple[int, Entry]]:
    """Read frames; each comes with the offset of its end.

    An incomplete last frame is left out, since writing it was never finished.

    Raises:
        StateDirectoryError: If a frame is damaged.
    """
    offset = 0
    while offset + _HEAD.size <= len(data):
        length, length_crc, content_crc = _HEAD.unpack_from(data, offset)
        start = offset + _HEAD.size
        end = start + length
        if length_crc != _length_crc(length):
            if not any(data[offset:]):
                # What a failing computer kept from being written reads as zeros.
                return
            raise _damaged(offset, "wrong checksum")
        if end > len(data):
            return
        # A copy: a view would keep the file mapped as long as an error is looked at.
        content = bytes(data[start:end])
        if zlib.crc32(content) != content_crc:
            raise _damaged(offset, "wrong checksum")
        try:
            entry = _decoder.decode(content)
        except msgspec.DecodeError as error:
            raise _damaged(offset, str(error)) from error
        yield end, entry
        offset = end


def _length_crc(length: int) -> int:
    return zlib.crc32(length.to_bytes(4, "little"))


def _damaged(offset: int, detail: str) -> StateDirectoryError:
    return StateDirectoryError(f"the journal is damaged at byte {offset}: {detail}")
