"""A principal as text, by a few steps that are not Python's.

Kybra's ``Principal.to_str`` goes through Python's base 32, group by group; every operation needs
two principals as text, and on chain each bytecode is paid for. The result is the same.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

__all__ = ["KNOWN_MAX", "principal_text"]

#: Principals whose texts are remembered, all of them forgotten when there are more: 3 MB of heap.
KNOWN_MAX = 10_000

_PRINCIPAL_SIZE_MAX = 29
_CHECKSUM_SIZE = 4

#: By its five bits, in words, each character of base 32.
_CHARACTERS = {
    f"{number:05b}".encode(): bytes((character,))
    for number, character in enumerate(b"abcdefghijklmnopqrstuvwxyz234567")
}


def _shape(size: int) -> tuple[int, str, str, str]:
    """Return how so many bytes are written.

    That is the bits missing to whole digits; all bits, the digits and their groups, as ``format``
    and ``struct`` call them.
    """
    bits = 8 * (_CHECKSUM_SIZE + size)
    digits = -(-bits // 5)
    rest = f"{digits % 5}s" if digits % 5 else ""
    return 5 * digits - bits, f"0{5 * digits}b", "5s" * digits, "5s" * (digits // 5) + rest


_SHAPES = [_shape(size) for size in range(_PRINCIPAL_SIZE_MAX + 1)]


_KNOWN: dict[bytes, str] = {}


def principal_text(principal: Any) -> str:
    """Return ``principal.to_str()``, from its ``bytes`` where it has them as Kybra's has."""
    data = getattr(principal, "bytes", None)
    if not isinstance(data, bytes) or len(data) > _PRINCIPAL_SIZE_MAX:
        text: str = principal.to_str()
        return text
    known = _KNOWN.get(data)
    return _text(data) if known is None else known


def _text(data: bytes) -> str:
    missing, bits, digits, groups = _SHAPES[len(data)]
    checksum = zlib.crc32(data).to_bytes(_CHECKSUM_SIZE, "big")
    number = int.from_bytes(checksum + data, "big") << missing
    fives = struct.unpack(digits, format(number, bits).encode())
    characters = b"".join(map(_CHARACTERS.__getitem__, fives))
    text = b"-".join(struct.unpack(groups, characters)).decode()
    if len(_KNOWN) >= KNOWN_MAX:
        _KNOWN.clear()
    _KNOWN[data] = text
    return text
