"""The writer of values in Candid's text form, for people.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#values
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from icfleet_protocol.candid.codec import NO_NAMES
from icfleet_protocol.candid.encode import encode_values
from icfleet_protocol.candid.graph import build_graph, resolve
from icfleet_protocol.candid.names import format_name, quote
from icfleet_protocol.candid.types import (
    BoolType,
    CandidType,
    Float32Type,
    Float64Type,
    FuncType,
    NullType,
    OptType,
    PrincipalType,
    RecordType,
    ReservedType,
    ServiceType,
    TextType,
    TypeEnvironment,
    VariantType,
    VecType,
    nat8,
)
from icfleet_protocol.candid.value_tree import VALUE_DEPTH_MAX
from icfleet_protocol.candid.values import Some
from icfleet_protocol.errors import CandidError

__all__ = ["format_value"]

_WIDTH = 100
"""Characters of a line; what is longer gets a line for each part."""

_INDENT = "  "


def format_value(
    value: object, content: CandidType, *, environment: TypeEnvironment = NO_NAMES
) -> str:
    """Write one value, such as ``record { name = "ada"; score = 1_000 }``.

    ``parse_args`` reads it back, in brackets and with the same type.

    Raises:
        CandidError: If the value is not of the type, or nested deeper than text may be.
    """
    # Writing the message checks the value once and for all, so that nothing below has to.
    encode_values(build_graph([content], environment), [value])
    return _Formatter(environment).format(value, content, 0)


class _Formatter:
    """Writes checked values; recursive, since text is bounded in depth."""

    def __init__(self, environment: TypeEnvironment) -> None:
        self._environment = environment

    def format(self, value: Any, content: CandidType, depth: int) -> str:
        """Write a value that stands ``depth`` levels deep."""
        if depth > VALUE_DEPTH_MAX:
            reason = f"values nested deeper than {VALUE_DEPTH_MAX} levels"
            raise CandidError(reason)
        match resolve(content, self._environment):
            case OptType(inner=inner):
                if value is None:
                    return "null"
                present = value.value if isinstance(value, Some) else value
                written = self.format(present, inner, depth + 1)
                # It counts as a level, but ``opt`` opens no line of its own; texts hold no breaks.
                return "opt " + written.replace(f"\n{_INDENT}", "\n")
            case VecType(inner=inner):
                return self._format_vector(value, inner, depth)
            case RecordType() as record:
                return self._format_record(value, record, depth)
            case VariantType() as variant:
                return self._format_variant(value, variant, depth)
            case leaf:
                return _format_leaf(value, leaf)

    def _format_vector(self, value: Any, inner: CandidType, depth: int) -> str:
        if resolve(inner, self._environment) == nat8:
            return f'blob "{"".join(_BYTES[byte] for byte in bytes(value))}"'
        return _braces("vec", [self.format(item, inner, depth + 1) for item in value], depth)

    def _format_record(self, value: Any, record: RecordType, depth: int) -> str:
        if record.is_tuple:
            types = {part.name: part.type for part in record.fields}
            parts = [self.format(item, types[index], depth + 1) for index, item in enumerate(value)]
        else:
            parts = [
                f"{format_name(part.name)} = "
                + self.format(value.get(part.name), part.type, depth + 1)
                for part in record.fields
            ]
        return _braces("record", parts, depth)

    def _format_variant(self, value: Any, variant: VariantType, depth: int) -> str:
        ((label, content),) = value.items()
        inner = next(part.type for part in variant.fields if part.name == label)
        if isinstance(resolve(inner, self._environment), NullType):
            return f"variant {{ {format_name(label)} }}"
        written = self.format(content, inner, depth + 1)
        return _braces("variant", [f"{format_name(label)} = {written}"], depth)


def _braces(keyword: str, parts: Sequence[str], depth: int) -> str:
    if not parts:
        return f"{keyword} {{}}"
    line = f"{keyword} {{ {'; '.join(parts)} }}"
    if len(line) + len(_INDENT) * depth <= _WIDTH and "\n" not in line:
        return line
    lines = "".join(f"{_INDENT * (depth + 1)}{part};\n" for part in parts)
    return f"{keyword} {{\n{lines}{_INDENT * depth}}}"


def _format_leaf(value: Any, content: CandidType) -> str:
    return _LEAF_FORMATS.get(type(content), _format_whole)(value)


def _format_null(_: Any) -> str:
    return "null"


def _format_bool(value: Any) -> str:
    return "true" if value else "false"


def _format_principal(value: Any) -> str:
    return f'principal "{value}"'


def _format_service(value: Any) -> str:
    return f'service "{value}"'


def _format_function(value: Any) -> str:
    canister, method = value
    return f'func "{canister}".{format_name(method)}'


def _format_float(value: Any) -> str:
    return repr(float(value))


def _format_whole(value: Any) -> str:
    return f"{int(value):_}"


_LEAF_FORMATS: Mapping[type[CandidType], Callable[[Any], str]] = {
    NullType: _format_null,
    ReservedType: _format_null,
    BoolType: _format_bool,
    TextType: quote,
    PrincipalType: _format_principal,
    ServiceType: _format_service,
    FuncType: _format_function,
    Float32Type: _format_float,
    Float64Type: _format_float,
}
"""Every type without parts but whole numbers."""


def _format_byte(byte: int) -> str:
    character = chr(byte)
    is_plain = character.isascii() and character.isprintable() and character not in '"\\'
    return character if is_plain else f"\\{byte:02x}"


_BYTES = tuple(_format_byte(byte) for byte in range(256))
