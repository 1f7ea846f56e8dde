"""Typed fields of a CBOR map that a peer sent.

An explicit ``null`` means that a field is absent: ic-py and icp-py-core send it so, and replicas
take it so.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from icfleet_protocol.errors import DecodeError, PrincipalError
from icfleet_protocol.principal import Principal

__all__ = [
    "PARSED_FACTOR",
    "as_array",
    "as_principal",
    "optional_array",
    "optional_bytes",
    "optional_text",
    "required",
    "required_map",
    "required_principal",
    "required_time_ns",
]

PARSED_FACTOR = 10

T = TypeVar("T", str, int, bytes)


def required(fields: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """The field, which must be there and of this type.

    Raises:
        DecodeError: If it is not.
    """
    value = fields.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        reason = f"field {name} is missing or not of type {kind.__name__}"
        raise DecodeError(reason)
    return value


def optional_bytes(fields: Mapping[str, Any], name: str) -> bytes | None:
    """The byte string, or ``None`` if there is no such field.

    Raises:
        DecodeError: If it is something else.
    """
    return None if fields.get(name) is None else required(fields, name, bytes)


def optional_text(fields: Mapping[str, Any], name: str) -> str | None:
    """The text, or ``None`` if there is no such field.

    Raises:
        DecodeError: If it is something else.
    """
    return None if fields.get(name) is None else required(fields, name, str)


def optional_array(fields: Mapping[str, Any], name: str, *, limit: int) -> Sequence[object] | None:
    """The array, or ``None`` if there is no such field.

    Args:
        fields: The map.
        name: The field.
        limit: How many elements the specification allows. Up to ``PARSED_FACTOR`` times as many
            are passed on, for a later check to refuse in the replica's words.

    Raises:
        DecodeError: If it is something else, or far beyond the limit.
    """
    value = fields.get(name)
    return None if value is None else as_array(value, name, limit=limit)


def as_array(value: object, name: str, *, limit: int) -> Sequence[object]:
    """Take a decoded value for an array; see ``optional_array``.

    Raises:
        DecodeError: If it is something else, or far beyond the limit.
    """
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        reason = f"field {name} is not an array"
        raise DecodeError(reason)
    items = cast("Sequence[object]", value)
    if len(items) > PARSED_FACTOR * limit:
        reason = f"field {name} has {len(items)} elements, at most {limit} are allowed"
        raise DecodeError(reason)
    return items


def required_map(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The map with text keys, which must be there.

    Raises:
        DecodeError: If it is missing or something else.
    """
    value = fields.get(name)
    if not isinstance(value, Mapping):
        reason = f"field {name} is missing or not a map"
        raise DecodeError(reason)
    return cast("Mapping[str, Any]", value)


def required_principal(fields: Mapping[str, Any], name: str) -> Principal:
    """The principal, which must be there.

    Raises:
        DecodeError: If it is missing, not a byte string, or longer than a principal.
    """
    return as_principal(required(fields, name, bytes), name)


def as_principal(value: object, name: str) -> Principal:
    """Take a decoded value for the principal that stands in the field ``name``.

    Raises:
        DecodeError: If it is not a byte string, or longer than a principal.
    """
    if not isinstance(value, bytes):
        reason = f"field {name} has a principal that is not a byte string"
        raise DecodeError(reason)
    try:
        return Principal(value)
    except PrincipalError as error:
        reason = f"field {name}: {error}"
        raise DecodeError(reason) from error


def required_time_ns(fields: Mapping[str, Any], name: str) -> int:
    """The time in nanoseconds since 1970, 64 bits.

    Raises:
        DecodeError: If it is missing or no such number.
    """
    time_ns = required(fields, name, int)
    if not 0 <= time_ns < 1 << 64:
        reason = f"field {name}: {time_ns} is no time in nanoseconds"
        raise DecodeError(reason)
    return time_ns
