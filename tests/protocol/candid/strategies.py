"""Candid types and values of them, drawn at random.

Left out: NaN, because it does not equal itself; ``empty``, because it has no value.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from icfleet_protocol.candid import (
    CandidType,
    FieldType,
    FuncType,
    NamedType,
    OptType,
    RecordType,
    ServiceType,
    Some,
    TypeEnvironment,
    VariantType,
    VecType,
)
from icfleet_protocol.candid import types as candid
from icfleet_protocol.candid.graph import resolve
from icfleet_protocol.principal import PRINCIPAL_SIZE_MAX, Principal

ENVIRONMENT: TypeEnvironment = {
    "List": OptType(candid.record(head=candid.int_, tail=NamedType("List"))),
    "Tree": candid.variant(Leaf=candid.text, Fork=VecType(NamedType("Tree"))),
    "Score": candid.nat64,
}
"""Two recursive types and a plain name."""

_texts = st.text(st.characters(codec="utf-8"), max_size=20)
_principals = st.binary(max_size=PRINCIPAL_SIZE_MAX).map(Principal)

_LEAVES: dict[CandidType, st.SearchStrategy[Any]] = {
    candid.null: st.none(),
    candid.bool_: st.booleans(),
    candid.nat: st.integers(0, 2**200),
    candid.int_: st.integers(-(2**200), 2**200),
    candid.nat8: st.integers(0, 2**8 - 1),
    candid.nat16: st.integers(0, 2**16 - 1),
    candid.nat32: st.integers(0, 2**32 - 1),
    candid.nat64: st.integers(0, 2**64 - 1),
    candid.int8: st.integers(-(2**7), 2**7 - 1),
    candid.int16: st.integers(-(2**15), 2**15 - 1),
    candid.int32: st.integers(-(2**31), 2**31 - 1),
    candid.int64: st.integers(-(2**63), 2**63 - 1),
    candid.float32: st.floats(width=32, allow_nan=False),
    candid.float64: st.floats(allow_nan=False),
    candid.text: _texts,
    candid.reserved: st.none(),
    candid.principal: _principals,
}

_names = (
    st.sampled_from(["name", "score", "a", "b", "Ok", "Err", "principal", "with space", "☃", ""])
    | st.integers(0, 3)
    | st.sampled_from([2**32 - 1])
)


def _unique_fields(
    content: st.SearchStrategy[CandidType], size_min: int
) -> st.SearchStrategy[tuple[FieldType, ...]]:
    # Not st.builds: hypothesis writes a strategy out when it retries a draw, and this nested one
    # would take tens of kilobytes; a composite is written by its name.
    @st.composite
    def field(draw: st.DrawFn) -> FieldType:
        return FieldType(draw(_names), draw(content))

    return st.lists(field(), min_size=size_min, max_size=5, unique_by=lambda one: one.id).map(tuple)


def _tuples(content: st.SearchStrategy[CandidType]) -> st.SearchStrategy[CandidType]:
    return st.lists(content, min_size=1, max_size=3).map(
        lambda types: RecordType(tuple(FieldType(i, one) for i, one in enumerate(types)))
    )


def _composites(content: st.SearchStrategy[CandidType]) -> st.SearchStrategy[CandidType]:
    signatures = st.lists(content, max_size=2).map(tuple)
    functions = st.builds(
        FuncType, signatures, signatures, st.sampled_from(["update", "query", "composite_query"])
    )
    return st.one_of(
        content.map(OptType),
        content.map(VecType),
        _unique_fields(content, 0).map(RecordType),
        _unique_fields(content, 1).map(VariantType),
        _tuples(content),
        functions,
        functions.map(lambda one: ServiceType((("call", one), ("query", one)))),
    )


types: st.SearchStrategy[CandidType] = st.recursive(
    st.sampled_from([*_LEAVES, candid.blob, *map(NamedType, ENVIRONMENT)]),
    _composites,
    max_leaves=8,
)
"""Any type that has a value; names are those of ``ENVIRONMENT``."""


def values(named: CandidType, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a type; recursive ones end after a few levels."""
    content = resolve(named, ENVIRONMENT)
    if content in _LEAVES:
        return _LEAVES[content]
    drawn: st.SearchStrategy[Any]
    match content:
        case OptType(inner=inner):
            drawn = _options(inner, depth)
        case VecType(inner=inner):
            drawn = _vectors(inner, depth)
        case RecordType():
            drawn = _records(content, depth)
        case VariantType(fields=fields):
            cases = fields[:1] if depth > _DEPTH else fields
            drawn = st.one_of(
                *(values(one.type, depth + 1).map(_labelled(one.name)) for one in cases)
            )
        case ServiceType():
            drawn = _principals
        case _:
            drawn = st.tuples(_principals, _texts)
    return drawn


def _vectors(inner: CandidType, depth: int) -> st.SearchStrategy[Any]:
    if resolve(inner, ENVIRONMENT) == candid.nat8:
        return st.binary(max_size=300)
    return st.lists(values(inner, depth + 1), max_size=0 if depth > _DEPTH else 3)


_DEPTH = 4


def _labelled(name: str | int) -> Callable[[Any], dict[str | int, Any]]:
    return lambda value: {name: value}


def _options(inner: CandidType, depth: int) -> st.SearchStrategy[Any]:
    if depth > _DEPTH:
        return st.none()
    present = values(inner, depth + 1)
    is_nullable = isinstance(resolve(inner, ENVIRONMENT), OptType) or inner in {
        candid.null,
        candid.reserved,
    }
    return st.none() | (present.map(Some) if is_nullable else present)


def _records(record: RecordType, depth: int) -> st.SearchStrategy[Any]:
    if record.is_tuple:
        ordered = sorted(record.fields, key=lambda one: one.id)
        return st.tuples(*(values(one.type, depth + 1) for one in ordered))
    return st.fixed_dictionaries({one.name: values(one.type, depth + 1) for one in record.fields})


@st.composite
def messages(draw: st.DrawFn) -> tuple[tuple[CandidType, ...], tuple[Any, ...]]:
    """Types of a message, and a value for each."""
    drawn = draw(st.lists(types, max_size=3))
    return tuple(drawn), tuple(draw(values(one)) for one in drawn)


@st.composite
def relatives(draw: st.DrawFn, named: CandidType, depth: int = 0) -> CandidType:
    """A type as it may look some upgrades later, or as a mistake may make it."""
    if depth > _DEPTH or draw(st.integers(0, 3)) == 0:
        return draw(st.just(named) | st.sampled_from(_CHANGED_LEAVES) | types)
    match resolve(named, ENVIRONMENT):
        case OptType(inner=inner):
            return draw(relatives(inner, depth + 1).flatmap(_with_or_without_option))
        case VecType(inner=inner):
            return VecType(draw(relatives(inner, depth + 1)))
        case RecordType(fields=fields):
            return RecordType(draw(_related_fields(fields, depth)))
        case VariantType(fields=fields):
            return VariantType(draw(_related_fields(fields, depth)))
        case _:
            return draw(_with_or_without_option(named))


_CHANGED_LEAVES = [candid.reserved, candid.int_, candid.null, OptType(candid.nat)]


def _with_or_without_option(one: CandidType) -> st.SearchStrategy[CandidType]:
    return st.sampled_from([one, OptType(one), OptType(OptType(one))])


@st.composite
def _related_fields(
    draw: st.DrawFn, fields: tuple[FieldType, ...], depth: int
) -> tuple[FieldType, ...]:
    kept = [one for one in fields if draw(st.integers(0, 4))]
    changed = [FieldType(one.name, draw(relatives(one.type, depth + 1))) for one in kept]
    added = draw(_unique_fields(st.one_of(types.map(OptType), types), 0))
    known = {one.id for one in changed}
    changed += [one for one in added[:2] if one.id not in known]
    return tuple(draw(st.permutations(changed)))
