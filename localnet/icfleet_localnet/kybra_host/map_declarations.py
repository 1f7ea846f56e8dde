"""Stable maps as Kybra's compiler finds them: declared at module level, sized by literals."""

import ast
from collections.abc import Mapping

from icfleet_localnet.kybra_host.annotations import TypeReader, subscript_name
from icfleet_localnet.kybra_host.findings import Place
from icfleet_localnet.kybra_host.interface import StableMapDeclaration
from icfleet_localnet.kybra_host.rules import (
    MAP_FORM,
    MAP_ID_RANGE,
    MAP_NOT_LITERAL,
    MAP_SIZE_RANGE,
)

__all__ = ["STABLE_MAP", "is_stable_map", "read_stable_map"]

STABLE_MAP = "StableBTreeMap"

_MEMORY_ID_MAX = 254
"""Of 256 memories, the last is the manager's own. Observed: 255 compiles, and panics."""

_SIZE_MAX = 2**32 - 1
"""The compiler reads sizes as 32-bit numbers."""

_ARGUMENTS = ("memory_id", "max_key_size", "max_value_size")


def is_stable_map(node: ast.expr | None) -> bool:
    """Whether ``node`` is ``StableBTreeMap[...](...)``."""
    return isinstance(node, ast.Call) and subscript_name(node.func) == STABLE_MAP


def read_stable_map(call: ast.Call, reader: TypeReader) -> StableMapDeclaration | None:
    """Read a declaration; ``None`` when a number is missing or wrong."""
    assert isinstance(call.func, ast.Subscript), call
    place = Place.of(reader.file, call)
    match call.func.slice:
        case ast.Tuple(elts=[key_node, value_node]):
            key, value = reader.read(key_node), reader.read(value_node)
        case _:
            message = "a stable map needs a key type and a value type."
            reader.findings.append(MAP_FORM.found(place, message))
            return None
    numbers = _read_numbers(call, reader, place)
    if numbers is None:
        return None
    memory_id, key_size, value_size = (numbers[name] for name in _ARGUMENTS)
    if memory_id > _MEMORY_ID_MAX:
        message = f"memory_id {memory_id} is above {_MEMORY_ID_MAX}."
        reader.findings.append(MAP_ID_RANGE.found(place, message))
        return None
    for name, size in (("max_key_size", key_size), ("max_value_size", value_size)):
        if not 1 <= size <= _SIZE_MAX:
            message = f"{name} {size} is not a size the compiler takes."
            reader.findings.append(MAP_SIZE_RANGE.found(place, message))
            return None
    return StableMapDeclaration(
        memory_id=memory_id,
        key=key,
        value=value,
        key_size_max=key_size,
        value_size_max=value_size,
    )


def _read_numbers(call: ast.Call, reader: TypeReader, place: Place) -> Mapping[str, int] | None:
    given = {one.arg: one.value for one in call.keywords if one.arg is not None}
    given.update(zip(_ARGUMENTS, call.args, strict=False))
    numbers: dict[str, int] = {}
    for name in _ARGUMENTS:
        if name not in given:
            reader.findings.append(MAP_FORM.found(place, f"a stable map needs {name}."))
            return None
        match given[name]:
            case ast.Constant(value=int(number)) if not isinstance(number, bool):
                numbers[name] = number
            case other:
                message = f"{name} is not a plain number: `{ast.unparse(other)}`."
                where = Place.of(reader.file, other)
                reader.findings.append(MAP_NOT_LITERAL.found(where, message))
                return None
    return numbers
