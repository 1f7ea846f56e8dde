"""The parser of types in text; interfaces and annotated values are built on it.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#core-grammar
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from icfleet_protocol.candid.names import KEYWORDS
from icfleet_protocol.candid.tokens import Kind, Token, TokenStream
from icfleet_protocol.candid.types import (
    PRIMITIVES,
    CandidType,
    FieldType,
    FuncType,
    MethodKind,
    NamedType,
    OptType,
    RecordType,
    ServiceType,
    VariantType,
    VecType,
    blob,
    null,
)
from icfleet_protocol.errors import CandidError

__all__ = ["TypeParser"]

TYPE_DEPTH_MAX = 64
"""Levels of types in text. People name their types and do not nest deeper; the parser is
recursive, and a level takes up to six of Python's thousand frames."""

_Made = TypeVar("_Made")

_KINDS: dict[str, MethodKind] = {
    "query": "query",
    "composite_query": "composite_query",
    "oneway": "oneway",
}


class TypeParser:
    """Reads types from a stream of tokens.

    Every method raises ``CandidError``, with line and column, on what is not a type.
    """

    def __init__(self, stream: TokenStream) -> None:
        self._stream = stream
        self._depth = 0

    def read_type(self) -> CandidType:
        """Read one type."""
        token = self._stream.next()
        self._depth += 1
        if self._depth > TYPE_DEPTH_MAX:
            reason = f"types nested deeper than {TYPE_DEPTH_MAX} levels"
            raise self._stream.fail(reason, token)
        read = self._type(token)
        self._depth -= 1
        return read

    def _type(self, token: Token) -> CandidType:
        if token.kind is not Kind.IDENTIFIER:
            reason = f"expected a type, found {token}"
            raise self._stream.fail(reason, token)
        if token.text in PRIMITIVES:
            return PRIMITIVES[token.text]
        match token.text:
            case "blob":
                made: CandidType = blob
            case "opt":
                made = OptType(self.read_type())
            case "vec":
                made = VecType(self.read_type())
            case "record" | "variant":
                made = self._read_composite(token)
            case "func":
                made = self.read_function()
            case "service":
                made = self.read_service()
            case word:
                made = self._read_reference(token, word)
        return made

    def _read_reference(self, token: Token, word: str) -> NamedType:
        if word in KEYWORDS:
            reason = f"expected a type, found {token}"
            raise self._stream.fail(reason, token)
        return NamedType(word)

    def _read_composite(self, token: Token) -> RecordType | VariantType:
        if token.text == "record":
            fields = self._read_fields(self._read_field)
            return self._make(token, lambda: RecordType(fields))
        fields = self._read_fields(self._read_case)
        return self._make(token, lambda: VariantType(fields))

    def _read_fields(
        self, read: Callable[[Sequence[FieldType]], FieldType]
    ) -> tuple[FieldType, ...]:
        fields: list[FieldType] = []
        self._stream.expect("{")
        while not self._stream.accept("}"):
            fields.append(read(fields))
            self._stream.expect_separator(";", "}")
        return tuple(fields)

    def _read_field(self, before: Sequence[FieldType]) -> FieldType:
        token = self._stream.head
        if self._stream.is_followed_by(":"):
            label = self._read_label()
            self._stream.expect(":")
        else:
            label = before[-1].id + 1 if before else 0
        content = self.read_type()
        return self._make(token, lambda: FieldType(label, content))

    def _read_case(self, _before: Sequence[FieldType]) -> FieldType:
        token = self._stream.head
        label = self._read_label()
        content = self.read_type() if self._stream.accept(":") else null
        return self._make(token, lambda: FieldType(label, content))

    def _read_label(self) -> str | int:
        if self._stream.head.kind is Kind.NUMBER:
            return self._stream.natural()
        return self._stream.name()

    def read_tuple(self) -> tuple[CandidType, ...]:
        """Read argument or result types in brackets; names before them are dropped."""
        types: list[CandidType] = []
        names: set[str] = set()
        self._stream.expect("(")
        while not self._stream.accept(")"):
            token = self._stream.head
            if self._stream.is_followed_by(":"):
                name = self._stream.name()
                if name in names:
                    reason = f"name {token} appears twice"
                    raise self._stream.fail(reason, token)
                names.add(name)
                self._stream.expect(":")
            types.append(self.read_type())
            self._stream.expect_separator(",", ")")
        return tuple(types)

    def read_function(self) -> FuncType:
        """Read a function's type, after the word ``func`` or a method's name."""
        token = self._stream.head
        args = self.read_tuple()
        self._stream.expect("->")
        results = self.read_tuple()
        kinds: set[MethodKind] = set()
        while self._stream.head.text in _KINDS:
            kinds.add(_KINDS[self._stream.next().text])
        if len(kinds) > 1:
            reason = f"a function cannot be {' and '.join(sorted(kinds))} at once"
            raise self._stream.fail(reason, token)
        kind = kinds.pop() if kinds else "update"
        return self._make(token, lambda: FuncType(args, results, kind))

    def read_service(self) -> ServiceType:
        """Read a service's methods, in braces."""
        token = self._stream.head
        methods: list[tuple[str, CandidType]] = []
        self._stream.expect("{")
        while not self._stream.accept("}"):
            name = self._stream.name()
            self._stream.expect(":")
            methods.append((name, self._read_method()))
            self._stream.expect_separator(";", "}")
        return self._make(token, lambda: ServiceType(tuple(methods)))

    def _read_method(self) -> CandidType:
        token = self._stream.head
        if token.kind is Kind.IDENTIFIER:
            return self._read_reference(self._stream.next(), token.text)
        return self.read_function()

    def _make(self, token: Token, make: Callable[[], _Made]) -> _Made:
        """Make a type, and tell the place if its parts contradict each other."""
        try:
            return make()
        except CandidError as error:
            raise self._stream.fail(error.reason, token) from error
