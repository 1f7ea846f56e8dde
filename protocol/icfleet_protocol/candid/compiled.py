"""What compiled readers and writers have in common.

Both are closures, one for each type, made once and called for every value. They do only what is
usual and sure: on anything else they give up by an exception of ``GIVES_UP``, and the plain way
(``decode``, ``encode``) answers, or says what is wrong and where. So a closure may leave out a
check only if its failure shows as one of these exceptions.
"""

import struct
from collections.abc import Sequence

from icfleet_protocol.candid.graph import Node, Opcode
from icfleet_protocol.candid.leaf_writers import UnfitError
from icfleet_protocol.errors import DecodeError

__all__ = ["GIVES_UP", "UnusualError", "is_compilable"]

_HEIGHT_MAX = 64
"""Levels of a type that is compiled: each takes a frame of Python's stack when it runs."""


class UnusualError(Exception):
    """A closure met something that it leaves to the plain way."""


GIVES_UP = (
    UnusualError,
    UnfitError,
    DecodeError,
    IndexError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    UnicodeError,
    ValueError,
    struct.error,
)
"""What closures raise; never an answer, only the reason to ask the plain way."""


def is_compilable(root: Node) -> bool:
    """Return whether values of a type have a known, small number of levels.

    A type that contains itself has not: there the depth is the value's, and closures that call
    each other would meet Python's recursion limit before ours.
    """
    heights: dict[Node, int] = {}
    unfinished = {root}
    frames = [(root, iter(_parts(root)))]
    while frames:
        node, rest = frames[-1]
        child = next((part for part in rest if part not in heights), None)
        if child is None:
            frames.pop()
            unfinished.discard(node)
            heights[node] = 1 + max((heights[part] for part in _parts(node)), default=0)
        elif child in unfinished:
            return False
        else:
            unfinished.add(child)
            frames.append((child, iter(_parts(child))))
    return heights[root] <= _HEIGHT_MAX


def _parts(node: Node) -> Sequence[Node]:
    if node.opcode is Opcode.OPT or node.opcode is Opcode.VEC:
        return (node.inner,)
    return [part.node for part in node.fields]
