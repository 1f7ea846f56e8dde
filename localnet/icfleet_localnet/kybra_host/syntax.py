"""What Kybra's parser cannot read: it stops at Python 3.10, less two of that version's forms.

Observed: the parser (RustPython of September 2022) refuses ``match`` statements, parenthesised
``with`` items, ``except*``, a star or a walrus directly inside a subscript, and a byte-order mark.
"""

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator

from icfleet_localnet.kybra_host.findings import Finding, Place, Rule
from icfleet_localnet.kybra_host.rules import (
    MATCH_STATEMENT,
    NEW_SYNTAX,
    PARENTHESISED_WITH,
    TOO_LARGE,
)

__all__ = ["SOURCE_SIZE_MAX", "find_new_syntax", "parse_source"]

SOURCE_SIZE_MAX = 4 * 1024 * 1024
"""Bytes of one source: its syntax tree takes hundreds of times as many."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_TYPE_PARAMETER_OWNERS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_TYPE_ALIAS: type[ast.AST] | None = getattr(ast, "TypeAlias", None)
"""The ``type`` statement's node, which the ``ast`` of Python 3.11 does not have."""

_FSTRING_START: int = getattr(tokenize, "FSTRING_START", -1)
_FSTRING_END: int = getattr(tokenize, "FSTRING_END", -1)
"""Tokens of Python 3.12 and newer; before, the forms of PEP 701 do not parse at all."""

_WITH_PARENTHESIS = re.compile(rb"\bwith[\s\\]*\(")
_BLANK_TOKENS = frozenset({tokenize.NL, tokenize.COMMENT})


def parse_source(source: bytes, file: str, rule: Rule = NEW_SYNTAX) -> ast.Module | Finding:
    """Parse a source file, or say why it is not UTF-8, not plain, or not Python."""
    unfit = _find_unfit(source, file, rule)
    if unfit is not None:
        return unfit
    try:
        with warnings.catch_warnings():
            # An odd escape in somebody's string is not this tool's to report.
            warnings.simplefilter("ignore")
            return ast.parse(source.decode(), file)
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{source[error.start]:02x} is not UTF-8 text."
        return rule.found(Place(file, line), message, fix="Save it as UTF-8.")
    except SyntaxError as error:
        place = Place(file, error.lineno or 1, max(error.offset or 1, 1))
        return rule.found(place, f"this does not parse: {error.msg}.")
    except (MemoryError, RecursionError, ValueError) as error:
        message = f"this does not parse: {str(error) or type(error).__name__}."
        fix = "Split its longest expression or chain of elif."
        return rule.found(Place(file), message, fix=fix)


def _find_unfit(source: bytes, file: str, rule: Rule) -> Finding | None:
    """Say what is wrong with a source before it is parsed, if anything is."""
    if len(source) > SOURCE_SIZE_MAX:
        message = f"the file has more than {SOURCE_SIZE_MAX:,} bytes."
        return TOO_LARGE.found(Place(file), message)
    if source.startswith(_BYTE_ORDER_MARK):
        message = "the file begins with a byte-order mark, which the compiler's parser refuses."
        return rule.found(Place(file), message, fix="Save it as plain UTF-8.")
    if b"\0" in source:
        line = source.count(b"\n", 0, source.index(b"\0")) + 1
        message = "the file holds a null byte, so it is no text."
        return rule.found(Place(file, line), message, fix="Save it as plain UTF-8.")
    return None


def find_new_syntax(source: bytes, tree: ast.Module, file: str) -> Iterator[Finding]:
    """Give each place that Python reads and Kybra's parser does not."""
    for node in ast.walk(tree):
        match node:
            case ast.Match():
                message = "the compiler's parser does not know match statements."
                yield MATCH_STATEMENT.found(Place.of(file, node), message)
            case ast.TryStar():
                yield _new_syntax(file, node, "`except*`")
            case ast.Subscript(slice=ast.NamedExpr() as inner):
                if not _is_parenthesised(source, inner):
                    yield _new_syntax(file, inner, "a walrus directly inside a subscript")
            case ast.Subscript(slice=ast.Tuple(elts=[*parts])) if _has_bare_star(source, node):
                yield _new_syntax(file, parts[0], "a star inside a subscript")
            case ast.arg(annotation=ast.Starred() as annotation):
                yield _new_syntax(file, annotation, "a star in an annotation")
            case _:
                yield from _find_type_parameters(file, node)
    yield from _find_in_tokens(source, file)


def _new_syntax(file: str, node: ast.stmt | ast.expr, what: str) -> Finding:
    return NEW_SYNTAX.found(Place.of(file, node), f"the compiler's parser does not know {what}.")


def _find_type_parameters(file: str, node: ast.AST) -> Iterator[Finding]:
    if isinstance(node, _TYPE_PARAMETER_OWNERS) and getattr(node, "type_params", None):
        yield _new_syntax(file, node, "type parameters")
    elif _TYPE_ALIAS is not None and isinstance(node, _TYPE_ALIAS):
        assert isinstance(node, ast.stmt), node
        yield _new_syntax(file, node, "the `type` statement")


def _is_parenthesised(source: bytes, node: ast.expr) -> bool:
    """Whether the last character before ``node``, blanks left out, opens a parenthesis."""
    line = source.splitlines()[node.lineno - 1]
    return line[: node.col_offset].rstrip().endswith(b"(")


def _has_bare_star(source: bytes, node: ast.Subscript) -> bool:
    """Whether a subscript holds ``*x`` outside parentheses: ``a[*b]``, but not ``a[(*b, 1)]``."""
    inner = node.slice
    assert isinstance(inner, ast.Tuple), inner
    has_star = any(isinstance(part, ast.Starred) for part in inner.elts)
    line = source.splitlines()[inner.lineno - 1]
    return has_star and not line[inner.col_offset :].startswith(b"(")


def _find_in_tokens(source: bytes, file: str) -> Iterator[Finding]:
    if _FSTRING_START == -1 and not _WITH_PARENTHESIS.search(source):
        # Nothing to find, and the tokenizer of Python 3.11 takes longer than all the rest.
        return
    try:
        tokens = list(tokenize.tokenize(io.BytesIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        # The parser has read the file, so it is the tokenizer that is the stricter of the two.
        return
    for index, token in enumerate(tokens):
        if token.type == tokenize.NAME and token.string == "with":
            if _is_parenthesised_with(tokens, index):
                message = "the compiler's parser does not know a parenthesised `with`."
                yield PARENTHESISED_WITH.found(_token_place(file, token), message)
        elif token.type == _FSTRING_START and _is_new_fstring(tokens, index):
            message = "the compiler's parser does not know f-strings of Python 3.12."
            yield NEW_SYNTAX.found(_token_place(file, token), message)


def _token_place(file: str, token: tokenize.TokenInfo) -> Place:
    return Place(file, token.start[0], token.start[1] + 1)


def _is_parenthesised_with(tokens: list[tokenize.TokenInfo], index: int) -> bool:
    """Whether ``with (`` opens a list of items with names: ``with (a as b, c):``.

    ``with (a) as b:`` is the older form, and ``with (a, b):`` passes as a tuple here, while the
    interpreter in the canister reads it as two items.
    """
    depth = 0
    for token in tokens[index + 1 :]:
        if token.string in {"(", "[", "{"}:
            depth += 1
        elif token.string in {")", "]", "}"}:
            depth -= 1
        elif depth == 1 and token.string == "as":
            return True
        if depth == 0 and token.type not in _BLANK_TOKENS:
            return False
    return False


def _is_new_fstring(tokens: list[tokenize.TokenInfo], index: int) -> bool:
    """Whether an f-string's expressions reuse its quotes, or hold a backslash or a comment."""
    quote = tokens[index].string.lstrip("fFrRbBuU")
    depth = 1
    for token in tokens[index + 1 :]:
        if token.type == _FSTRING_END:
            depth -= 1
            if depth == 0:
                return False
        elif token.type == _FSTRING_START:
            depth += 1
            if token.string.lstrip("fFrR") == quote:
                return True
        elif _is_new_inside_fstring(token, quote):
            return True
    return False


def _is_new_inside_fstring(token: tokenize.TokenInfo, quote: str) -> bool:
    if token.type == tokenize.STRING:
        return "\\" in token.string or token.string.lstrip("fFrRbBuU").startswith(quote)
    if token.type == tokenize.COMMENT:
        return True
    return token.type == tokenize.NL and len(quote) == 1
