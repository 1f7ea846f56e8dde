"""Candid as ic-py's users write it: its ``Types`` and values, turned into ours.

Objects of ic-py are known by the names of their classes; the package itself is not imported. What
differs in values: there, ``opt`` is a list of at most one value, a principal may be a text, and a
``vec nat8`` may be a list.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from icfleet_agent.adaptors import as_principal
from icfleet_protocol.candid import (
    CandidType,
    FieldType,
    FuncType,
    MethodKind,
    NamedType,
    OptType,
    PrincipalType,
    RecordType,
    ServiceType,
    Some,
    TypeEnvironment,
    VariantType,
    VecType,
    encode,
)
from icfleet_protocol.candid.types import PRIMITIVES, blob
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import Principal

__all__ = ["encode_ic_py", "to_candid_type"]

_METHOD_KINDS: dict[tuple[str, ...], MethodKind] = {
    (): "update",
    ("query",): "query",
    ("oneway",): "oneway",
}


def encode_ic_py(params: Sequence[Mapping[str, object]]) -> bytes:
    """Write a message from ic-py's parameters: ``[{"type": Types.Nat, "value": 1}]``.

    Raises:
        CandidError: If a type is none of ic-py's, or a value does not fit its type.
    """
    environment: dict[str, CandidType] = {}
    types = [to_candid_type(param["type"], environment) for param in params]
    values = [
        _to_value(kind, param["value"], environment)
        for kind, param in zip(types, params, strict=True)
    ]
    return encode(types, values, environment=environment)


def to_candid_type(ic_py_type: object, environment: dict[str, CandidType]) -> CandidType:
    """Turn a type of ic-py's into ours.

    Args:
        ic_py_type: One of ``ic.candid.Types``.
        environment: Takes up what names of recursive types stand for; pass it on to the codec.

    Raises:
        CandidError: If it is none of ic-py's types, or a ``Rec`` that was never filled.
    """
    turn = _COMPOSITES.get(type(ic_py_type).__name__)
    if turn is None:
        return _to_primitive(ic_py_type)
    return turn(vars(ic_py_type), environment)


def _to_primitive(ic_py_type: object) -> CandidType:
    name: object = getattr(ic_py_type, "name", None)
    primitive = PRIMITIVES.get(name) if isinstance(name, str) else None
    if primitive is None:
        reason = f"not a Candid type of ic-py: {type(ic_py_type).__name__}"
        raise CandidError(reason)
    return primitive


def _to_fields(fields: object, environment: dict[str, CandidType]) -> tuple[FieldType, ...]:
    return tuple(
        FieldType(_to_label(name), to_candid_type(kind, environment))
        for name, kind in cast("Mapping[str, object]", fields).items()
    )


def _to_label(name: str) -> str | int:
    """Read ic-py's ``_7`` as the number it stands for."""
    digits = name.removeprefix("_")
    return int(digits) if name != digits and digits.isascii() and digits.isdigit() else name


def _to_named(parts: Mapping[str, object], environment: dict[str, CandidType]) -> NamedType:
    name = f"rec_{parts['_id']}"
    if parts["_type"] is None:
        reason = "a recursive type of ic-py that was never filled"
        raise CandidError(reason)
    named = NamedType(name)
    if name not in environment:
        # Entered before its parts are turned, because they lead back to it.
        environment[name] = named
        environment[name] = to_candid_type(parts["_type"], environment)
    return named


def _to_func(parts: Mapping[str, object], environment: dict[str, CandidType]) -> FuncType:
    annotations = tuple(cast("Sequence[str]", parts["annotations"]))
    kind = _METHOD_KINDS.get(annotations)
    if kind is None:
        reason = f"unknown annotations of a function: {annotations}"
        raise CandidError(reason)
    args = cast("Sequence[object]", parts["argTypes"])
    results = cast("Sequence[object]", parts["retTypes"])
    return FuncType(
        tuple(to_candid_type(arg, environment) for arg in args),
        tuple(to_candid_type(result, environment) for result in results),
        kind,
    )


def _to_service(methods: object, environment: dict[str, CandidType]) -> ServiceType:
    named = cast("Mapping[str, object]", methods)
    return ServiceType(
        tuple((name, to_candid_type(kind, environment)) for name, kind in named.items())
    )


def _to_value(kind: CandidType, value: object, environment: TypeEnvironment) -> object:
    """Turn a value by its type; what does not fit is left for the codec to refuse by its path."""
    if isinstance(kind, NamedType):
        return _to_value(environment[kind.name], value, environment)
    if isinstance(kind, (PrincipalType, ServiceType)):
        return _to_principal(value)
    if isinstance(value, (list, tuple)):
        return _to_value_of_items(kind, cast("Sequence[object]", value), environment)
    if isinstance(value, Mapping):
        return _to_value_of_fields(kind, cast("Mapping[str, object]", value), environment)
    return value


def _to_value_of_items(
    kind: CandidType, items: Sequence[object], environment: TypeEnvironment
) -> object:
    match kind:
        case OptType(inner):
            return _to_optional(inner, items, environment)
        case VecType():
            return _to_vector(kind, items, environment)
        case RecordType():
            return _to_record(kind, dict(enumerate(items)), environment)
        case FuncType() if items:
            return (_to_principal(items[0]), *items[1:])
        case _:
            return items


def _to_value_of_fields(
    kind: CandidType, fields: Mapping[str, object], environment: TypeEnvironment
) -> object:
    labelled = {_to_label(name): value for name, value in fields.items()}
    match kind:
        case RecordType():
            return _to_record(kind, labelled, environment)
        case VariantType():
            return _turn_fields(kind, labelled, environment)
        case _:
            return fields


def _to_optional(
    inner: CandidType, value: Sequence[object], environment: TypeEnvironment
) -> object:
    if len(value) > 1:
        reason = f"an opt of ic-py's is a list of at most one value, not {len(value)}"
        raise CandidError(reason)
    return Some(_to_value(inner, value[0], environment)) if value else None


def _to_vector(kind: VecType, items: Sequence[object], environment: TypeEnvironment) -> object:
    if kind != blob:
        return [_to_value(kind.inner, item, environment) for item in items]
    try:
        return bytes(cast("Sequence[int]", items))
    except (TypeError, ValueError) as error:
        reason = f"a vec nat8 has whole numbers from 0 to 255: {error}"
        raise CandidError(reason) from error


def _to_record(
    kind: RecordType, fields: Mapping[str | int, object], environment: TypeEnvironment
) -> object:
    turned = _turn_fields(kind, fields, environment)
    if kind.is_tuple and turned.keys() == set(range(len(kind.fields))):
        return tuple(turned[index] for index in range(len(turned)))
    return turned


def _turn_fields(
    kind: RecordType | VariantType,
    fields: Mapping[str | int, object],
    environment: TypeEnvironment,
) -> dict[str | int, object]:
    types = {one.name: one.type for one in kind.fields}
    return {
        name: _to_value(types[name], value, environment) if name in types else value
        for name, value in fields.items()
    }


def _to_principal(value: object) -> Principal:
    return Principal(value) if isinstance(value, bytes) else as_principal(cast("Any", value))


_COMPOSITES: Mapping[str, Callable[[Mapping[str, object], dict[str, CandidType]], CandidType]] = {
    "VecClass": lambda parts, known: VecType(to_candid_type(parts["_type"], known)),
    "OptClass": lambda parts, known: OptType(to_candid_type(parts["_type"], known)),
    "RecordClass": lambda parts, known: RecordType(_to_fields(parts["_fields"], known)),
    "TupleClass": lambda parts, known: RecordType(_to_fields(parts["_fields"], known)),
    "VariantClass": lambda parts, known: VariantType(_to_fields(parts["_fields"], known)),
    "RecClass": _to_named,
    "FuncClass": _to_func,
    "ServiceClass": lambda parts, known: _to_service(parts["_fields"], known),
}
