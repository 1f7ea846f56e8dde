"""The words of Candid text, shared by interfaces (.did) and values.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#values (lexical grammar) and
"Comments" there.
"""

import re
from enum import Enum
from typing import NamedTuple

from icfleet_protocol.errors import CandidError

__all__ = ["Kind", "Token", "TokenStream"]

TEXT_SIZE_MAX = 4_194_304
"""Characters. The largest interface in use has 100 thousand; 4 MiB is read in about 2 s."""


class Kind(Enum):
    """What a token is."""

    IDENTIFIER = "name"
    TEXT = "text"
    NUMBER = "number"
    SYMBOL = "symbol"
    END = "end of text"


class Token(NamedTuple):
    """One word.

    Attributes:
        kind: What it is.
        text: As written; for a text literal, with its quotes and escapes.
        offset: Index of its first character.
    """

    kind: Kind
    text: str
    offset: int

    def __str__(self) -> str:
        return self.kind.value if self.kind is Kind.END else repr(self.text)


_TOKEN = re.compile(
    r"""
      (?P<SPACE>\s+ | //[^\n]*)
    | (?P<COMMENT>/\*)
    | (?P<SYMBOL>-> | [{}();:,=.])
    | (?P<TEXT>"[^"\\]*(?:\\.[^"\\]*)*")
    | (?P<NUMBER>[-+]?(?:
          0x[0-9a-fA-F][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][-+]?[0-9_]+)?
        | [0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9_]+)?
      ))
    | (?P<IDENTIFIER>[-+]?inf\b | [A-Za-z_][A-Za-z0-9_]*)
    """,
    re.VERBOSE | re.DOTALL,
)

_COMMENT_EDGE = re.compile(r"/\*|\*/")

_ESCAPE = re.compile(
    rb"""\\(?: (?P<simple>[nrt\\"']) | (?P<byte>[0-9a-fA-F]{2})
             | u\{(?P<code>[0-9a-fA-F](?:_?[0-9a-fA-F])*)\} | (?P<bad>.|\Z) )""",
    re.VERBOSE | re.DOTALL,
)

_SIMPLE_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class TokenStream:
    """The tokens of one text, read from front to back.

    Raises:
        CandidError: If the text is too long or holds a character that starts no token; ``path``
            is the line and column.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens: list[Token] = []
        self._index = 0
        if len(source) > TEXT_SIZE_MAX:
            reason = f"text of {len(source)} characters, at most {TEXT_SIZE_MAX} allowed"
            raise CandidError(reason)
        self._scan()

    def _scan(self) -> None:
        offset = 0
        while offset < len(self._source):
            match = _TOKEN.match(self._source, offset)
            if match is None:
                reason = f"unexpected character {self._source[offset]!r}"
                raise self.fail(reason, offset)
            assert match.lastgroup is not None, "every alternative is a named group"
            if match.lastgroup == "COMMENT":
                offset = self._comment_end(offset)
                continue
            if match.lastgroup != "SPACE":
                self._tokens.append(Token(Kind[match.lastgroup], match.group(), offset))
            offset = match.end()
        self._tokens.append(Token(Kind.END, "", offset))

    def _comment_end(self, start: int) -> int:
        """Find the end of a block comment; block comments nest."""
        depth = 0
        for edge in _COMMENT_EDGE.finditer(self._source, start):
            depth += 1 if edge.group() == "/*" else -1
            if depth == 0:
                return edge.end()
        reason = "comment without an end"
        raise self.fail(reason, start)

    def fail(self, reason: str, where: int | Token) -> CandidError:
        """Make the error for a place in the text; the caller raises it."""
        offset = where.offset if isinstance(where, Token) else where
        line = self._source.count("\n", 0, offset) + 1
        column = offset - self._source.rfind("\n", 0, offset)
        return CandidError(reason, path=f"line {line}, column {column}")

    @property
    def head(self) -> Token:
        """The next token, still to be read."""
        return self._tokens[self._index]

    def is_followed_by(self, symbol: str) -> bool:
        """Whether the token after the next one is this symbol."""
        after = self._tokens[min(self._index + 1, len(self._tokens) - 1)]
        return after.kind is Kind.SYMBOL and after.text == symbol

    def next(self) -> Token:
        """Read a token; the last one stays."""
        token = self.head
        if token.kind is not Kind.END:
            self._index += 1
        return token

    def accept(self, text: str) -> bool:
        """Read the next token if it is this symbol or word."""
        token = self.head
        if token.text != text or token.kind not in {Kind.SYMBOL, Kind.IDENTIFIER}:
            return False
        self._index += 1
        return True

    def expect(self, text: str) -> None:
        """Read this symbol or word."""
        if not self.accept(text):
            reason = f"expected {text!r}, found {self.head}"
            raise self.fail(reason, self.head)

    def expect_end(self) -> None:
        """Check that everything was read."""
        if self.head.kind is not Kind.END:
            reason = f"expected the end, found {self.head}"
            raise self.fail(reason, self.head)

    def expect_separator(self, separator: str, close: str) -> None:
        """Read what stands between two parts of a list; it may be left out after the last."""
        if self.head.text != close and not self.accept(separator):
            reason = f"expected {separator!r} or {close!r}, found {self.head}"
            raise self.fail(reason, self.head)

    def name(self) -> str:
        """Read a name: an identifier, a keyword, or a text literal."""
        token = self.next()
        if token.kind is Kind.TEXT:
            return self.text_of(token)
        if token.kind is not Kind.IDENTIFIER:
            reason = f"expected a name, found {token}"
            raise self.fail(reason, token)
        return token.text

    def literal(self) -> Token:
        """Read a text literal."""
        token = self.next()
        if token.kind is not Kind.TEXT:
            reason = f"expected a text literal, found {token}"
            raise self.fail(reason, token)
        return token

    def natural(self) -> int:
        """Read a natural number, as a field's id is written."""
        token = self.next()
        if token.kind is Kind.NUMBER and token.text[0] not in "+-":
            try:
                return int(token.text, 0) if token.text.startswith("0x") else int(token.text)
            except ValueError:
                pass  # A fraction, an exponent, or a misplaced underscore: not a natural number.
        reason = f"expected a natural number, found {token}"
        raise self.fail(reason, token)

    def text_of(self, token: Token) -> str:
        """Return what a text literal says."""
        try:
            return self.bytes_of(token).decode()
        except UnicodeDecodeError as error:
            reason = "text literal is not UTF-8"
            raise self.fail(reason, token) from error

    def bytes_of(self, token: Token) -> bytes:
        """Return the bytes of a text literal, escapes resolved."""

        def replace(match: re.Match[bytes]) -> bytes:
            if match["simple"] is not None:
                return _SIMPLE_ESCAPES.get(match["simple"], match["simple"])
            if match["byte"] is not None:
                return bytes.fromhex(match["byte"].decode())
            if match["code"] is not None:
                # A code point that does not exist, or half of a surrogate pair, is a ValueError.
                return chr(int(match["code"], 16)).encode()
            reason = f"unknown escape {match.group().decode(errors='replace')}"
            raise self.fail(reason, token)

        try:
            return _ESCAPE.sub(replace, token.text[1:-1].encode())
        except (ValueError, OverflowError) as error:
            reason = "text literal holds no Unicode scalar value"
            raise self.fail(reason, token) from error
