"""Values without parts, written into a message.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#memory
"""

import reprlib
import struct
from collections.abc import Callable, Mapping

from icfleet_protocol.candid.graph import FIXED_FORMATS, Node, Opcode
from icfleet_protocol.leb128 import LEB128_SIZE_MAX, encode_sleb128, encode_uleb128
from icfleet_protocol.principal import Principal

__all__ = ["BITS_MAX", "LEAF_WRITERS", "UnfitError", "brief"]

BITS_MAX = 7 * LEB128_SIZE_MAX - 1
"""Of a ``nat`` or ``int``: what a reader with our own limit still reads, sign included."""


class UnfitError(Exception):
    """A value that is not of its type; turned into ``CandidError`` where its path is known."""

    def __init__(self, value: object, expected: object) -> None:
        super().__init__(f"expected {expected}, got {brief(value)}")


class _Brief(reprlib.Repr):
    """``repr`` in a few words, whatever the value."""

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to print numbers of more than 4300 digits.
        if x.bit_length() > BITS_MAX:
            return f"a number of {x.bit_length()} bits"
        return super().repr_int(x, level)


def brief(value: object) -> str:
    """Show a value in an error message."""
    return _BRIEF.repr(value)


_BRIEF = _Brief()


def _write_null(node: Node, value: object) -> bytes:
    if value is not None:
        raise UnfitError(value, node)
    return b""


def _write_reserved(_node: Node, _value: object) -> bytes:
    return b""


def _write_empty(_node: Node, value: object) -> bytes:
    raise UnfitError(value, "nothing, because empty has no values")


def _write_bool(node: Node, value: object) -> bytes:
    if not isinstance(value, bool):
        raise UnfitError(value, node)
    return b"\x01" if value else b"\x00"


def _write_nat(node: Node, value: object) -> bytes:
    number = _whole(node, value)
    if number < 0:
        raise UnfitError(value, node)
    return encode_uleb128(number)


def _write_int(node: Node, value: object) -> bytes:
    return encode_sleb128(_whole(node, value))


def _whole(node: Node, value: object) -> int:
    # True is an int to Python, but a flag written as a number is a mistake.
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnfitError(value, node)
    if value.bit_length() > BITS_MAX:
        raise UnfitError(value, node)
    return int(value)


def _fixed_writer(letter: str) -> Callable[[Node, object], bytes]:
    pack = struct.Struct(f"<{letter}").pack

    def write(node: Node, value: object) -> bytes:
        if letter in "fd" and isinstance(value, float):
            number: float = value
        else:
            number = _whole(node, value)
        try:
            return pack(number)
        except (struct.error, OverflowError):
            raise UnfitError(value, node) from None

    return write


def _write_text(node: Node, value: object) -> bytes:
    if not isinstance(value, str):
        raise UnfitError(value, node)
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        raise UnfitError(value, "text without surrogates") from None
    return encode_uleb128(len(raw)) + raw


def _write_principal(node: Node, value: object) -> bytes:
    if not isinstance(value, Principal):
        raise UnfitError(value, node)
    return b"\x01" + bytes([len(value.raw)]) + value.raw


def _write_function(node: Node, value: object) -> bytes:
    match value:
        case (Principal() as canister, str() as method):
            return b"\x01" + _write_principal(node, canister) + _write_text(node, method)
        case _:
            raise UnfitError(value, "(principal, method name)")


LEAF_WRITERS: Mapping[Opcode, Callable[[Node, object], bytes]] = {
    Opcode.NULL: _write_null,
    Opcode.RESERVED: _write_reserved,
    Opcode.EMPTY: _write_empty,
    Opcode.BOOL: _write_bool,
    Opcode.NAT: _write_nat,
    Opcode.INT: _write_int,
    Opcode.TEXT: _write_text,
    Opcode.PRINCIPAL: _write_principal,
    Opcode.SERVICE: _write_principal,
    Opcode.FUNC: _write_function,
    **{opcode: _fixed_writer(letter) for opcode, (letter, _) in FIXED_FORMATS.items()},
}
"""Every type but those with parts."""
