"""Reads the official test files: what each assertion says.

The grammar is that of ``test/README.md`` in dfinity/candid.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from icfleet_protocol.candid import CandidType, TypeEnvironment, parse_did
from icfleet_protocol.candid.tokens import TokenStream

VECTORS = Path(__file__).parents[2] / "vectors" / "candid"

_TEXT = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_INPUT = rf"(?:blob\s+)?{_TEXT}"
_COMMENT = re.compile(rf"({_TEXT})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TYPE = re.compile(r"^type\s+\w+\s*=.*?;$", re.MULTILINE | re.DOTALL)
_ASSERTION = re.compile(
    rf"""assert \s+ (?P<left>{_INPUT}) \s*
         (?: (?P<relation>==|!=) \s* (?P<right>{_INPUT}) \s* : | (?P<verdict>!?:) ) \s* (?=\()""",
    re.VERBOSE | re.DOTALL,
)
_BRACKET = re.compile(rf"[()]|{_TEXT}", re.DOTALL)
_TITLE = re.compile(rf"\s*({_TEXT})?\s*;", re.DOTALL)


@dataclass(frozen=True)
class Input:
    """One side of an assertion: a message, or values as text."""

    message: bytes | None
    text: str | None


@dataclass(frozen=True)
class Assertion:
    """One line of a test file.

    Attributes:
        left: What is read.
        relation: ``:`` it fits the types, ``!:`` it does not, ``==`` and ``!=`` it (un)equals.
        right: What it is compared with.
        types: The expected types.
        environment: What names in the types stand for.
        title: The file's words for it.
    """

    left: Input
    relation: str
    right: Input | None
    types: tuple[CandidType, ...]
    environment: TypeEnvironment
    title: str


def read_assertions(name: str) -> Iterator[Assertion]:
    """Read a file, ``name`` without ``.test.did``."""
    source = (VECTORS / f"{name}.test.did").read_text()
    # Comments go, but not what looks like one within a text literal.
    source = _COMMENT.sub(lambda match: match[1] or " ", source)
    definitions = "\n".join(_TYPE.findall(source))
    for match in _ASSERTION.finditer(source):
        end = _closing_bracket(source, match.end())
        types = source[match.end() : end]
        interface = parse_did(f"{definitions}\nservice : {{ check : () -> {types} }}")
        title = _TITLE.match(source, end)
        assert title is not None, source[match.start() : end]
        right = match["right"]
        yield Assertion(
            left=_read_input(match["left"]),
            relation=match["relation"] or match["verdict"],
            right=None if right is None else _read_input(right),
            types=interface.methods["check"].results,
            environment=interface.environment,
            title=" ".join((title[1] or match["left"]).strip('"').split()),
        )


def count_assertions(name: str) -> int:
    """Count the lines that assert something, to see that none was overlooked."""
    source = (VECTORS / f"{name}.test.did").read_text()
    return len(re.findall(r"^assert ", source, re.MULTILINE))


def _closing_bracket(source: str, start: int) -> int:
    depth = 0
    for found in _BRACKET.finditer(source, start):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    raise AssertionError(source[start : start + 40])


def _read_input(written: str) -> Input:
    is_blob = written.startswith("blob")
    stream = TokenStream(written.removeprefix("blob").strip())
    token = stream.literal()
    if is_blob:
        return Input(message=stream.bytes_of(token), text=None)
    return Input(message=None, text=stream.text_of(token))
