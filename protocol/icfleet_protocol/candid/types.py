"""Candid's types as plain values: frozen, hashable, printed as the .did text they stand for.

Field order is kept for people and generated code, but does not count: two records are equal when
they have the same fields in any order, as on the wire, where fields are sorted by id.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#core-grammar
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, Literal, TypeAlias

from icfleet_protocol.candid.names import FIELD_ID_MAX, field_id, format_name
from icfleet_protocol.errors import CandidError

__all__ = [
    "PRIMITIVES",
    "BoolType",
    "CandidType",
    "EmptyType",
    "FieldType",
    "Float32Type",
    "Float64Type",
    "FuncType",
    "Int8Type",
    "Int16Type",
    "Int32Type",
    "Int64Type",
    "IntType",
    "MethodKind",
    "NamedType",
    "Nat8Type",
    "Nat16Type",
    "Nat32Type",
    "Nat64Type",
    "NatType",
    "NullType",
    "OptType",
    "PrimitiveType",
    "PrincipalType",
    "RecordType",
    "ReservedType",
    "ServiceType",
    "TextType",
    "TypeEnvironment",
    "VariantType",
    "VecType",
    "blob",
    "bool_",
    "empty",
    "float32",
    "float64",
    "format_method",
    "int8",
    "int16",
    "int32",
    "int64",
    "int_",
    "nat",
    "nat8",
    "nat16",
    "nat32",
    "nat64",
    "null",
    "principal",
    "record",
    "reserved",
    "sort_fields",
    "text",
    "variant",
]

MethodKind = Literal["update", "query", "composite_query", "oneway"]


class CandidType:
    """Root of all types; ``str`` gives the .did text."""

    __slots__ = ()


TypeEnvironment: TypeAlias = Mapping[str, CandidType]
"""What the names of a .did file stand for."""


@dataclass(frozen=True, eq=False)
class PrimitiveType(CandidType):
    """A type without parts; two of the same class are equal."""

    keyword: ClassVar[str]
    """The type's word in .did text."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __str__(self) -> str:
        return self.keyword


class NullType(PrimitiveType):
    """``null``: the one value is ``None``."""

    keyword = "null"


class BoolType(PrimitiveType):
    """``bool``."""

    keyword = "bool"


class NatType(PrimitiveType):
    """``nat``: a whole number from 0 without a bound, up to 7,168 bits here."""

    keyword = "nat"


class IntType(PrimitiveType):
    """``int``: a whole number without a bound, up to 7,168 bits here."""

    keyword = "int"


class Nat8Type(PrimitiveType):
    """``nat8``; a ``vec`` of it is ``bytes`` in Python."""

    keyword = "nat8"


class Nat16Type(PrimitiveType):
    """``nat16``."""

    keyword = "nat16"


class Nat32Type(PrimitiveType):
    """``nat32``."""

    keyword = "nat32"


class Nat64Type(PrimitiveType):
    """``nat64``."""

    keyword = "nat64"


class Int8Type(PrimitiveType):
    """``int8``."""

    keyword = "int8"


class Int16Type(PrimitiveType):
    """``int16``."""

    keyword = "int16"


class Int32Type(PrimitiveType):
    """``int32``."""

    keyword = "int32"


class Int64Type(PrimitiveType):
    """``int64``."""

    keyword = "int64"


class Float32Type(PrimitiveType):
    """``float32``: a Python float is rounded to 32 bits."""

    keyword = "float32"


class Float64Type(PrimitiveType):
    """``float64``."""

    keyword = "float64"


class TextType(PrimitiveType):
    """``text``: Unicode without surrogates."""

    keyword = "text"


class ReservedType(PrimitiveType):
    """``reserved``: takes any value and remembers none; decodes to ``None``."""

    keyword = "reserved"


class EmptyType(PrimitiveType):
    """``empty``: has no value at all."""

    keyword = "empty"


class PrincipalType(PrimitiveType):
    """``principal``."""

    keyword = "principal"


@dataclass(frozen=True, slots=True, eq=False)
class _CompositeType(CandidType):
    """A type with parts; its hash is taken once, because types are the keys of the codec cache."""

    _identity: tuple[object, ...] = field(init=False, repr=False)
    _hash: int = field(init=False, repr=False)

    def _identify(self, *identity: object) -> None:
        object.__setattr__(self, "_identity", identity)
        object.__setattr__(self, "_hash", hash((type(self), identity)))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, _CompositeType) or type(self) is not type(other):
            return False
        return self._hash == other._hash and self._identity == other._identity

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True, eq=False)
class OptType(_CompositeType):
    """``opt inner``: ``None``, or the inner value.

    Where ``None`` is itself an inner value (``opt opt t``, ``opt null``, ``opt reserved``), a
    present value is wrapped in ``Some``, so that nothing is lost.
    """

    inner: CandidType

    def __post_init__(self) -> None:
        self._identify(self.inner)

    def __str__(self) -> str:
        return f"opt {self.inner}"


@dataclass(frozen=True, slots=True, eq=False)
class VecType(_CompositeType):
    """``vec inner``: a list; ``bytes`` when the inner type is ``nat8``."""

    inner: CandidType

    def __post_init__(self) -> None:
        self._identify(self.inner)

    def __str__(self) -> str:
        return "blob" if self.inner == nat8 else f"vec {self.inner}"


@dataclass(frozen=True, slots=True)
class FieldType:
    """One field of a record, or one case of a variant.

    Attributes:
        name: A name, or the id itself (0 to 2^32 - 1).
        type: The field's type; ``null`` for a variant's case without a value.
        id: What stands for the name on the wire.
    """

    name: str | int
    type: CandidType
    id: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        number = field_id(self.name) if isinstance(self.name, str) else self.name
        if not 0 <= number <= FIELD_ID_MAX:
            reason = f"field id {number} is not between 0 and {FIELD_ID_MAX}"
            raise CandidError(reason)
        object.__setattr__(self, "id", number)

    def __str__(self) -> str:
        return f"{format_name(self.name)} : {self.type}"


@dataclass(frozen=True, slots=True, eq=False)
class RecordType(_CompositeType):
    """``record``: a dict by field name; a tuple when the fields are exactly 0, 1, ..., n - 1.

    Raises:
        CandidError: If two fields have the same id.
    """

    fields: tuple[FieldType, ...]

    def __post_init__(self) -> None:
        self._identify(*sort_fields(self.fields))

    @property
    def is_tuple(self) -> bool:
        """Whether values are Python tuples."""
        numbers = sorted(one.name for one in self.fields if isinstance(one.name, int))
        return bool(self.fields) and numbers == list(range(len(self.fields)))

    @property
    def parts(self) -> tuple[str, ...]:
        """The fields as text; without names where they are 0, 1, ..."""
        if self.is_tuple:
            return tuple(str(one.type) for one in sort_fields(self.fields))
        return tuple(str(one) for one in self.fields)

    def __str__(self) -> str:
        return _braces("record", self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class VariantType(_CompositeType):
    """``variant``: a dict with one key, ``{"Ok": value}``.

    Raises:
        CandidError: If two cases have the same id.
    """

    fields: tuple[FieldType, ...]

    def __post_init__(self) -> None:
        self._identify(*sort_fields(self.fields))

    @property
    def parts(self) -> tuple[str, ...]:
        """The cases as text; those without a value by their name only."""
        return tuple(format_name(one.name) if one.type == null else str(one) for one in self.fields)

    def __str__(self) -> str:
        return _braces("variant", self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class FuncType(_CompositeType):
    """``func``, also the signature of a service's method; a value is ``(Principal, method)``.

    Raises:
        CandidError: If a one-way function has results.
    """

    args: tuple[CandidType, ...]
    results: tuple[CandidType, ...] = ()
    kind: MethodKind = "update"

    def __post_init__(self) -> None:
        if self.kind == "oneway" and self.results:
            reason = "a oneway function has no results"
            raise CandidError(reason)
        self._identify(self.args, self.results, self.kind)

    @property
    def signature(self) -> str:
        """The text after the method's name, such as ``(nat) -> (text) query``."""
        kind = "" if self.kind == "update" else f" {self.kind}"
        return f"({_join(self.args)}) -> ({_join(self.results)}){kind}"

    def __str__(self) -> str:
        return f"func {self.signature}"


@dataclass(frozen=True, slots=True, eq=False)
class ServiceType(_CompositeType):
    """``service``: a reference to a canister; a value is its ``Principal``.

    Attributes:
        methods: Name and type (a ``FuncType``, or a name that stands for one).

    Raises:
        CandidError: If two methods have the same name.
    """

    methods: tuple[tuple[str, CandidType], ...]

    def __post_init__(self) -> None:
        if len({name for name, _ in self.methods}) != len(self.methods):
            reason = "a method's name appears twice"
            raise CandidError(reason)
        self._identify(*sorted(self.methods, key=lambda method: method[0].encode()))

    def __str__(self) -> str:
        # The semicolon after the last method is for readers as strict as that of ic-py.
        parts = (f"{format_method(name, signature)};" for name, signature in self.methods)
        return " ".join(["service {", *parts, "}"])


@dataclass(frozen=True, slots=True)
class NamedType(CandidType):
    """A name of a ``TypeEnvironment``; the way to write recursive types."""

    name: str

    def __str__(self) -> str:
        return self.name


def sort_fields(fields: tuple[FieldType, ...]) -> tuple[FieldType, ...]:
    """Sort by id, as the wire wants it.

    Raises:
        CandidError: If an id appears twice.
    """
    ordered = tuple(sorted(fields, key=lambda one: one.id))
    for left, right in pairwise(ordered):
        if left.id == right.id:
            reason = f"fields {left.name!r} and {right.name!r} have the same id {left.id}"
            raise CandidError(reason)
    return ordered


def format_method(name: str, signature: CandidType) -> str:
    """Write one method of a service as .did text."""
    written = signature.signature if isinstance(signature, FuncType) else str(signature)
    return f"{format_name(name)} : {written}"


def record(**fields: CandidType) -> RecordType:
    """Make a record type: ``record(name=text, score=nat64)``."""
    return RecordType(_as_fields(fields))


def variant(**cases: CandidType) -> VariantType:
    """Make a variant type: ``variant(Ok=nat, NotFound=null)``."""
    return VariantType(_as_fields(cases))


def _as_fields(types: Mapping[str, CandidType]) -> tuple[FieldType, ...]:
    return tuple(FieldType(name, content) for name, content in types.items())


def _braces(keyword: str, parts: Sequence[str]) -> str:
    return f"{keyword} {{ {'; '.join(parts)} }}" if parts else f"{keyword} {{}}"


def _join(types: Iterable[CandidType]) -> str:
    return ", ".join(str(one) for one in types)


null = NullType()
bool_ = BoolType()
nat = NatType()
int_ = IntType()
nat8 = Nat8Type()
nat16 = Nat16Type()
nat32 = Nat32Type()
nat64 = Nat64Type()
int8 = Int8Type()
int16 = Int16Type()
int32 = Int32Type()
int64 = Int64Type()
float32 = Float32Type()
float64 = Float64Type()
text = TextType()
reserved = ReservedType()
empty = EmptyType()
principal = PrincipalType()
blob = VecType(nat8)

PRIMITIVES: Mapping[str, PrimitiveType] = {
    one.keyword: one
    for one in (
        *(null, bool_, nat, int_, nat8, nat16, nat32, nat64, int8, int16, int32, int64),
        *(float32, float64, text, reserved, empty, principal),
    )
}
"""Every type that is one word."""
