"""Values in Candid's text form, ``(10, "x", record { a = 1 })``, read by expected types.

Text is taken as values of the expected types by the rules by which messages are read. One thing
differs: what does not fit below an ``opt`` is an error, not ``null``, since somebody typed it.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#values
"""

import struct
from collections.abc import Sequence
from typing import Any

from icfleet_protocol.candid.codec import NO_NAMES
from icfleet_protocol.candid.encode import encode_values
from icfleet_protocol.candid.graph import build_graph, resolve
from icfleet_protocol.candid.names import quote
from icfleet_protocol.candid.paths import Step, field_step, format_path
from icfleet_protocol.candid.types import (
    BoolType,
    CandidType,
    EmptyType,
    Float32Type,
    Float64Type,
    FuncType,
    NullType,
    OptType,
    PrimitiveType,
    PrincipalType,
    RecordType,
    ReservedType,
    ServiceType,
    TextType,
    TypeEnvironment,
    VariantType,
    VecType,
    int_,
    nat,
    nat8,
)
from icfleet_protocol.candid.value_tree import (
    Annotated,
    Blob,
    Function,
    Number,
    Present,
    Record,
    Reference,
    Tree,
    Variant,
    Vector,
    Word,
    Written,
    read_trees,
)
from icfleet_protocol.candid.values import Some
from icfleet_protocol.errors import CandidError, PrincipalError
from icfleet_protocol.principal import Principal

__all__ = ["parse_args"]

_BYTE_MAX = 255

_SHOWN_MAX = 40
"""Characters of a text literal that an error message shows."""


def parse_args(
    text: str, types: Sequence[CandidType], *, environment: TypeEnvironment = NO_NAMES
) -> tuple[object, ...]:
    """Read an argument sequence such as ``(10, "x", record { a = 1 })``.

    Args:
        text: The sequence, with its brackets.
        types: One expected type for each argument; ``opt``, ``null`` and ``reserved`` arguments
            may be left out at the end.
        environment: What names in the types stand for.

    Raises:
        CandidError: If the text is malformed (``path`` is the line and column) or a value is not
            of its type (``path`` is the way to it).
    """
    trees = read_trees(text)
    if len(trees) > len(types):
        reason = f"expected {len(types)} arguments, got {len(trees)}"
        raise CandidError(reason)
    nodes = build_graph(types, environment)
    taker = _ValueTaker(environment)
    values = [taker.take(index, tree, types[index]) for index, tree in enumerate(trees)]
    for index in range(len(values), len(types)):
        if not nodes[index].is_nullable:
            reason = f"expected {types[index]}, but there are only {index} arguments"
            raise CandidError(reason, path=format_path([index]))
        values.append(None)
    # Writing the values checks what is left to check: the ranges of numbers.
    encode_values(nodes, values)
    return tuple(values)


class _ValueTaker:
    """Takes trees as values of expected types; recursive, since trees are bounded in depth."""

    def __init__(self, environment: TypeEnvironment) -> None:
        self._environment = environment
        self._steps: list[Step] = []

    def take(self, step: Step, tree: Tree, expected: CandidType) -> object:
        """Take one part of a value."""
        self._steps.append(step)
        value = self._take(tree, self._resolve(expected))
        self._steps.pop()
        return value

    def _resolve(self, named: CandidType) -> CandidType:
        return resolve(named, self._environment)

    def _fail(self, tree: Tree, expected: CandidType | str) -> CandidError:
        reason = f"expected {expected}, got {_describe(tree)}"
        return CandidError(reason, path=format_path(self._steps))

    def _take(self, tree: Tree, expected: CandidType) -> object:
        if isinstance(tree, Annotated):
            return self._take_annotated(tree, expected)
        value: object = None
        match expected:
            case ReservedType():
                pass
            case OptType():
                value = self._take_option(tree, expected)
            case VecType():
                value = self._take_vector(tree, expected)
            case RecordType():
                value = self._take_record(tree, expected)
            case VariantType():
                value = self._take_variant(tree, expected)
            case _:
                value = self._take_leaf(tree, expected)
        return value

    def _take_annotated(self, tree: Annotated, expected: CandidType) -> object:
        """Take a value marked with a type; the mark must agree with the expected type."""
        mark = self._resolve(tree.type)
        content = expected
        if isinstance(expected, OptType) and not isinstance(mark, OptType):
            content, _ = self._strip(expected)
        agrees = (
            mark == content or isinstance(content, ReservedType) or (mark, content) == (nat, int_)
        )
        if isinstance(mark, PrimitiveType) and not agrees:
            reason = f"expected {expected}, got a value marked as {mark}"
            raise CandidError(reason, path=format_path(self._steps))
        self._take(tree.content, mark)
        return self._take(tree.content, expected)

    def _strip(self, option: OptType) -> tuple[CandidType, int]:
        """Return what is below all levels of an option, and how many there are."""
        seen: set[CandidType] = set()
        content: CandidType = option
        while isinstance(content, OptType):
            if content in seen:
                reason = "a plain value never fits an opt of itself"
                raise CandidError(reason, path=format_path(self._steps))
            seen.add(content)
            content = self._resolve(content.inner)
        return content, len(seen)

    def _take_option(self, tree: Tree, expected: OptType) -> object:
        if tree == Word("null"):
            return None
        if isinstance(tree, Present):
            tree, content, outer_levels = tree.content, self._resolve(expected.inner), 0
        else:
            content, levels = self._strip(expected)
            outer_levels = levels - 1
        value = self._take(tree, content)
        if isinstance(content, OptType | NullType | ReservedType):
            value = Some(value)
        for _ in range(outer_levels):
            value = Some(value)
        return value

    def _take_vector(self, tree: Tree, expected: VecType) -> object:
        is_blob = self._resolve(expected.inner) == nat8
        if isinstance(tree, Blob):
            if is_blob:
                return tree.content
            tree = Vector(tuple(Number(str(byte)) for byte in tree.content))
        if not isinstance(tree, Vector):
            raise self._fail(tree, expected)
        items: list[Any] = [
            self.take(index, item, expected.inner) for index, item in enumerate(tree.items)
        ]
        # A number that is no byte stays in the list, where the final check finds and names it.
        return bytes(items) if is_blob and all(0 <= item <= _BYTE_MAX for item in items) else items

    def _take_record(self, tree: Tree, expected: RecordType) -> object:
        if not isinstance(tree, Record):
            raise self._fail(tree, "a record")
        values: dict[str | int, object] = {}
        for part in expected.fields:
            if part.id in tree.fields:
                values[part.name] = self.take(
                    field_step(part.name), tree.fields[part.id], part.type
                )
            elif isinstance(self._resolve(part.type), OptType | NullType | ReservedType):
                values[part.name] = None
            else:
                raise self._fail(tree, f"a record with {part.name}")
        if expected.is_tuple:
            return tuple(values[index] for index in range(len(values)))
        return values

    def _take_variant(self, tree: Tree, expected: VariantType) -> object:
        if isinstance(tree, Variant):
            for part in expected.fields:
                if part.id == tree.id:
                    content = self.take(field_step(part.name), tree.content, part.type)
                    return {part.name: content}
        labels = ", ".join(str(part.name) for part in expected.fields)
        raise self._fail(tree, f"a variant with one of {labels or 'no cases'}")

    def _take_leaf(self, tree: Tree, expected: CandidType) -> object:
        match expected, tree:
            case NullType(), Word("null"):
                return None
            case BoolType(), Word("true" | "false" as word):
                return word == "true"
            case TextType(), Written(text):
                return text
            case (PrincipalType(), Reference(_, text)) | (
                ServiceType(),
                Reference("service", text),
            ):
                return self._principal(text)
            case FuncType(), Function(canister, method):
                return self._principal(canister), method
            case PrimitiveType(), Number() if not isinstance(expected, _NOT_NUMBERS):
                return self._number(tree, expected)
            case _:
                raise self._fail(tree, expected)

    def _principal(self, text: str) -> Principal:
        try:
            return Principal.from_text(text)
        except PrincipalError as error:
            raise CandidError(error.reason, path=format_path(self._steps)) from error

    def _number(self, tree: Number, expected: CandidType) -> int | float:
        text = tree.text
        is_hex = "0x" in text
        try:
            if not isinstance(expected, Float32Type | Float64Type):
                return int(text, 16) if is_hex else int(text)
            number = float.fromhex(text.replace("_", "")) if is_hex else float(text)
            return _round(number) if isinstance(expected, Float32Type) else number
        except (ValueError, OverflowError):
            raise self._fail(tree, expected) from None


_NOT_NUMBERS = (NullType, BoolType, TextType, PrincipalType, EmptyType)


def _round(number: float) -> float:
    """Round to what a ``float32`` can hold."""
    (rounded,) = struct.unpack("<f", struct.pack("<f", number))
    return float(rounded)


def _describe(tree: Tree) -> str:
    match tree:
        case Number() | Word():
            return tree.text
        case Written():
            return quote(tree.text[:_SHOWN_MAX])
        case Reference():
            return f"a {tree.keyword}"
        case Variant():
            return f"variant case {tree.label}"
        case _:
            return f"a {type(tree).__name__.lower()}"
