"""What a value in Candid's text form says, before anybody asks of what type it should be.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#values
"""

from dataclasses import dataclass
from typing import TypeAlias

from icfleet_protocol.candid.names import FIELD_ID_MAX, field_id
from icfleet_protocol.candid.tokens import Kind, Token, TokenStream
from icfleet_protocol.candid.type_text import TypeParser
from icfleet_protocol.candid.types import CandidType

__all__ = [
    "VALUE_DEPTH_MAX",
    "Annotated",
    "Blob",
    "Function",
    "Number",
    "Present",
    "Record",
    "Reference",
    "Tree",
    "Variant",
    "Vector",
    "Word",
    "Written",
    "read_trees",
]

VALUE_DEPTH_MAX = 100
"""Levels of values in text, written or read. People do not write deeper; the parser is recursive,
and a level takes up to four of Python's thousand frames."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written."""

    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """A text literal."""

    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """``null``, ``true`` or ``false``."""

    text: str


@dataclass(frozen=True, slots=True)
class Blob:
    """``blob "..."``."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Present:
    """``opt value``."""

    content: "Tree"


@dataclass(frozen=True, slots=True)
class Vector:
    """``vec { ... }``."""

    items: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Record:
    """``record { ... }``, by field id."""

    fields: dict[int, "Tree"]


@dataclass(frozen=True, slots=True)
class Variant:
    """``variant { case = value }``."""

    id: int
    label: str | int
    content: "Tree"


@dataclass(frozen=True, slots=True)
class Reference:
    """``principal "..."`` or ``service "..."``."""

    keyword: str
    text: str


@dataclass(frozen=True, slots=True)
class Function:
    """``func "...".method``."""

    canister: str
    method: str


@dataclass(frozen=True, slots=True)
class Annotated:
    """``value : type``."""

    content: "Tree"
    type: CandidType


Tree: TypeAlias = (
    Number
    | Written
    | Word
    | Blob
    | Present
    | Vector
    | Record
    | Variant
    | Reference
    | Function
    | Annotated
)


def read_trees(text: str) -> tuple[Tree, ...]:
    """Read an argument sequence in brackets.

    Raises:
        CandidError: If the text is not one; ``path`` is the line and column.
    """
    return _TreeReader(TokenStream(text)).read_arguments()


class _TreeReader:
    def __init__(self, stream: TokenStream) -> None:
        self._stream = stream
        self._types = TypeParser(stream)
        self._depth = 0

    def read_arguments(self) -> tuple[Tree, ...]:
        stream = self._stream
        trees: list[Tree] = []
        stream.expect("(")
        while not stream.accept(")"):
            trees.append(self._read_annotated())
            stream.expect_separator(",", ")")
        stream.expect_end()
        return tuple(trees)

    def _read_annotated(self) -> Tree:
        tree = self._read_tree()
        if self._stream.accept(":"):
            return Annotated(tree, self._types.read_type())
        return tree

    def _read_tree(self) -> Tree:
        token = self._stream.next()
        self._depth += 1
        if self._depth > VALUE_DEPTH_MAX:
            reason = f"values nested deeper than {VALUE_DEPTH_MAX} levels"
            raise self._stream.fail(reason, token)
        tree = self._tree(token)
        self._depth -= 1
        return tree

    def _tree(self, token: Token) -> Tree:
        match token.kind, token.text:
            case Kind.NUMBER, text:
                tree: Tree = Number(text)
            case Kind.TEXT, _:
                tree = Written(self._stream.text_of(token))
            case Kind.SYMBOL, "(":
                tree = self._read_annotated()
                self._stream.expect(")")
            case Kind.IDENTIFIER, "opt":
                tree = Present(self._read_tree())
            case Kind.IDENTIFIER, "vec":
                tree = Vector(self._read_items())
            case Kind.IDENTIFIER, "record":
                tree = self._read_record()
            case Kind.IDENTIFIER, "variant":
                tree = self._read_variant()
            case Kind.IDENTIFIER, _:
                tree = self._read_word(token)
            case _:
                reason = f"expected a value, found {token}"
                raise self._stream.fail(reason, token)
        return tree

    def _read_word(self, token: Token) -> Tree:
        stream = self._stream
        match token.text:
            case "null" | "true" | "false":
                return Word(token.text)
            # Beyond the specification, which has no literal for what every float can be.
            case "inf" | "+inf" | "-inf" | "nan":
                return Number(token.text)
            case "blob":
                return Blob(stream.bytes_of(stream.literal()))
            case "principal" | "service" as keyword:
                return Reference(keyword, stream.text_of(stream.literal()))
            case "func":
                canister = stream.text_of(stream.literal())
                stream.expect(".")
                return Function(canister, stream.name())
            case _:
                reason = f"expected a value, found {token}"
                raise stream.fail(reason, token)

    def _read_items(self) -> tuple[Tree, ...]:
        items: list[Tree] = []
        self._stream.expect("{")
        while not self._stream.accept("}"):
            items.append(self._read_annotated())
            self._stream.expect_separator(";", "}")
        return tuple(items)

    def _read_record(self) -> Record:
        fields: dict[int, Tree] = {}
        number = -1
        self._stream.expect("{")
        while not self._stream.accept("}"):
            token = self._stream.head
            if self._stream.is_followed_by("="):
                number, _ = self._read_label()
                self._stream.expect("=")
            else:
                number += 1
            if number in fields or number > FIELD_ID_MAX:
                reason = f"field id {number} appears twice or is too large"
                raise self._stream.fail(reason, token)
            fields[number] = self._read_annotated()
            self._stream.expect_separator(";", "}")
        return Record(fields)

    def _read_variant(self) -> Variant:
        self._stream.expect("{")
        number, label = self._read_label()
        content = self._read_annotated() if self._stream.accept("=") else Word("null")
        self._stream.accept(";")
        self._stream.expect("}")
        return Variant(number, label, content)

    def _read_label(self) -> tuple[int, str | int]:
        if self._stream.head.kind is Kind.NUMBER:
            number = self._stream.natural()
            return number, number
        name = self._stream.name()
        return field_id(name), name
