"""Single values out of canister code: what is taken, and the error for what is not.

Errors are in RustPython's words, since that is what a compiled canister raises.

Source: ``kybra`` 0.7.1, ``kybra_generate/src/vm_value_conversion/try_from_vm_value_impls``.
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from icfleet_protocol.candid import (
    BoolType,
    CandidType,
    EmptyType,
    Float32Type,
    Float64Type,
    FuncType,
    Int8Type,
    Int16Type,
    Int32Type,
    Int64Type,
    IntType,
    Nat8Type,
    Nat16Type,
    Nat32Type,
    Nat64Type,
    NatType,
    NullType,
    ReservedType,
    ServiceType,
    TextType,
)
from icfleet_protocol.errors import PrincipalError
from icfleet_protocol.principal import Principal

__all__ = [
    "ITERABLE_ELEMENTS",
    "LEAF_TAKERS",
    "Convert",
    "as_bytes",
    "as_list",
    "as_null",
    "as_principal",
    "as_raw_principal",
    "as_reserved",
    "as_text",
    "as_u8",
    "as_u32",
    "as_u64",
    "as_u128",
    "wrong_type",
]

Convert = Callable[[Any], Any]


def wrong_type(wanted: type[Any], value: object) -> TypeError:
    """Return the error for a value of the wrong Python type."""
    return TypeError(f"Expected type '{wanted.__name__}' but '{type(value).__name__}' found")


def as_text(value: object) -> str:
    """Take a ``str`` only."""
    if not isinstance(value, str):
        raise wrong_type(str, value)
    return value


def as_list(value: object) -> list[Any]:
    """Take any iterable."""
    return list(cast("Iterable[Any]", value))


def _fixed_int(rust_name: str, least: int, end: int) -> Callable[[object], int]:
    """Return the conversion to an integer from ``least`` up to, not including, ``end``."""

    def convert(value: object) -> int:
        if not isinstance(value, int):
            raise wrong_type(int, value)
        if not least <= value < end:
            reason = f"Python int too large to convert to Rust {rust_name}"
            raise OverflowError(reason)
        return int(value)

    return convert


as_u8 = _fixed_int("u8", 0, 2**8)
as_u32 = _fixed_int("u32", 0, 2**32)
as_u64 = _fixed_int("u64", 0, 2**64)
as_u128 = _fixed_int("u128", 0, 2**128)

_FIXED_INTS: Mapping[type[CandidType], Convert] = {
    Nat8Type: as_u8,
    Nat16Type: _fixed_int("u16", 0, 2**16),
    Nat32Type: as_u32,
    Nat64Type: as_u64,
    Int8Type: _fixed_int("i8", -(2**7), 2**7),
    Int16Type: _fixed_int("i16", -(2**15), 2**15),
    Int32Type: _fixed_int("i32", -(2**31), 2**31),
    Int64Type: _fixed_int("i64", -(2**63), 2**63),
}

ITERABLE_ELEMENTS: tuple[type[CandidType], ...] = (BoolType, TextType, *_FIXED_INTS)
"""A vector of these may come from any iterable; of anything else, from a list only."""


def as_bytes(value: object) -> bytes:
    """Take ``bytes``, or any iterable of ints from 0 to 255."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    return bytes(map(as_u8, cast("Iterable[object]", value)))


def as_principal(value: Any) -> Principal:
    """Take anything whose ``to_str()`` is a principal's text."""
    text = as_text(value.to_str())
    try:
        return Principal.from_text(text)
    except PrincipalError as error:
        raise _not_a_principal(error) from error


def as_raw_principal(raw: bytes) -> Principal:
    """Take the bytes of a ``kybra.Principal``, which spares its way through text."""
    try:
        return Principal(raw)
    except PrincipalError as error:
        raise _not_a_principal(error) from error


def _not_a_principal(error: PrincipalError) -> TypeError:
    return TypeError(f"could not convert value to Principal: {error}")


def as_null(value: object) -> None:
    """Take ``None`` only."""
    if value is not None:
        reason = f"expected NoneType but received {type(value).__name__}"
        raise TypeError(reason)


def as_reserved(value: object) -> None:
    """Take anything, and remember nothing of it."""
    del value


def _as_bool(value: object) -> bool:
    if not isinstance(value, int):
        reason = f"Expected type bool, not {type(value).__name__}"
        raise TypeError(reason)
    return bool(value)


def _as_nat(value: object) -> int:
    if not isinstance(value, int):
        raise wrong_type(int, value)
    if value < 0:
        reason = "Could not convert value to nat"
        raise TypeError(reason)
    return int(value)


def _as_int(value: object) -> int:
    if not isinstance(value, int):
        reason = "PyObjectRef is not a PyIntRef"
        raise TypeError(reason)
    return int(value)


def _as_float(value: object) -> float:
    if not isinstance(value, float):
        raise wrong_type(float, value)
    return float(value)


def _as_float32(value: object) -> float:
    number = _as_float(value)
    try:
        struct.pack("<f", number)
    except OverflowError:  # Rust's ``as f32`` gives infinity here.
        return math.copysign(math.inf, number)
    return number


def _as_empty(value: object) -> None:
    del value
    reason = "value cannot be converted to Empty"
    raise TypeError(reason)


def _as_func(value: object) -> tuple[Principal, str]:
    if not isinstance(value, tuple):
        raise wrong_type(tuple, value)
    parts = cast("tuple[object, ...]", value)
    for index, missing in enumerate(("Principal", "method")):
        if len(parts) <= index:
            reason = f"could not convert value to Func, missing {missing}"
            raise TypeError(reason)
    return as_principal(parts[0]), as_text(parts[1])


def _as_service(value: Any) -> Principal:
    return as_principal(value.canister_id)


LEAF_TAKERS: Mapping[type[CandidType], Convert] = {
    BoolType: _as_bool,
    TextType: as_text,
    NatType: _as_nat,
    IntType: _as_int,
    Float32Type: _as_float32,
    Float64Type: _as_float,
    NullType: as_null,
    ReservedType: as_reserved,
    EmptyType: _as_empty,
    FuncType: _as_func,
    ServiceType: _as_service,
    **_FIXED_INTS,
}
"""Every type without parts but ``principal``, for which the canister's own class is asked first."""
