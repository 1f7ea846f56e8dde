"""Values without parts, read from a message.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#memory
"""

import struct
from collections.abc import Callable, Mapping

from icfleet_protocol.candid.cursor import Cursor
from icfleet_protocol.candid.graph import FIXED_FORMATS, Opcode
from icfleet_protocol.principal import PRINCIPAL_SIZE_MAX, Principal

__all__ = ["LEAF_READERS", "read_flag"]


def read_flag(cursor: Cursor) -> bool:
    """Read a byte that is 0 or 1."""
    value = cursor.byte()
    if value > 1:
        cursor.offset -= 1
        reason = f"byte {value} where only 0 or 1 may be"
        raise cursor.fail(reason)
    return value == 1


def _read_nothing(_: Cursor) -> None:
    return None


def _fixed_reader(letter: str, size: int) -> Callable[[Cursor], object]:
    unpack = struct.Struct(f"<{letter}").unpack

    def read(cursor: Cursor) -> object:
        return unpack(cursor.take(size))[0]

    return read


def _read_principal(cursor: Cursor) -> Principal:
    if not read_flag(cursor):
        reason = "an opaque reference has no value outside its canister"
        raise cursor.fail(reason)
    size = cursor.natural()
    if size > PRINCIPAL_SIZE_MAX:
        reason = f"principal of {size} bytes, at most {PRINCIPAL_SIZE_MAX} allowed"
        raise cursor.fail(reason)
    return Principal(cursor.take(size))


def _read_function(cursor: Cursor) -> tuple[Principal, str]:
    if not read_flag(cursor):
        reason = "an opaque reference has no value outside its canister"
        raise cursor.fail(reason)
    return _read_principal(cursor), cursor.text()


def _skip_future(cursor: Cursor) -> None:
    size = cursor.natural()
    if cursor.natural():
        reason = "a value of a future type holds references"
        raise cursor.fail(reason)
    cursor.take(size)


LEAF_READERS: Mapping[Opcode, Callable[[Cursor], object]] = {
    Opcode.NULL: _read_nothing,
    Opcode.RESERVED: _read_nothing,
    Opcode.BOOL: read_flag,
    Opcode.NAT: Cursor.natural,
    Opcode.INT: Cursor.integer,
    Opcode.TEXT: Cursor.text,
    Opcode.PRINCIPAL: _read_principal,
    Opcode.SERVICE: _read_principal,
    Opcode.FUNC: _read_function,
    Opcode.FUTURE: _skip_future,
    **{opcode: _fixed_reader(letter, size) for opcode, (letter, size) in FIXED_FORMATS.items()},
}
"""Every type but ``empty``, which has no value, and those with parts."""
