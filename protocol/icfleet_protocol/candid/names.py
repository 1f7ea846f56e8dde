"""Names in Candid: the number that stands for a field on the wire, and how a name is written.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#core-grammar
"""

import re
from functools import lru_cache

from icfleet_protocol.errors import CandidError

__all__ = ["FIELD_ID_MAX", "KEYWORDS", "field_id", "format_name", "quote"]

FIELD_ID_MAX = 2**32 - 1
"""Field ids are 32 bits wide. Source: Candid.md, "Symbolic Field Ids"."""

KEYWORDS = frozenset(
    {
        *("bool", "empty", "float32", "float64", "int", "int8", "int16", "int32", "int64", "nat"),
        *("nat8", "nat16", "nat32", "nat64", "null", "principal", "reserved", "text"),
        *("blob", "func", "import", "opt", "record", "service", "type", "variant", "vec"),
        *("composite_query", "oneway", "query", "false", "true"),
    }
)
"""Words that mean something in .did or value text, so a name among them is quoted."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

_FIELD_IDS_KEPT = 4096
"""Names of a few hundred interfaces; hashing a name costs about 2 us, a look-up 0.05 us."""


@lru_cache(maxsize=_FIELD_IDS_KEPT)
def field_id(name: str) -> int:
    """Return the number that stands for a field's name on the wire.

    Raises:
        CandidError: If the name holds a lone surrogate.

    Source: Candid.md, "Symbolic Field Ids".
    """
    try:
        raw = name.encode()
    except UnicodeEncodeError as error:
        reason = f"name {name!r} is not Unicode text"
        raise CandidError(reason) from error
    number = 0
    for byte in raw:
        number = (number * 223 + byte) & FIELD_ID_MAX
    return number


def format_name(name: str | int) -> str:
    """Write a field's or method's name as Candid text, quoted where it must be."""
    if isinstance(name, int):
        return str(name)
    if _IDENTIFIER.match(name) and name not in KEYWORDS:
        return name
    return quote(name)


def quote(content: str) -> str:
    """Write a text literal; what is not printable becomes an escape."""
    return '"' + "".join(map(_escape, content)) + '"'


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"
