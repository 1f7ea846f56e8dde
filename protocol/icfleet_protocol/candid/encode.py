"""The writing of values that decides: every check, and errors that name the place.

The values still to be written are iterators on a list, so that neither deep nor cyclic values
meet Python's recursion limit.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#memory
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

from icfleet_protocol.candid.graph import Node, Opcode
from icfleet_protocol.candid.leaf_writers import LEAF_WRITERS, UnfitError
from icfleet_protocol.candid.limits import DEFAULT_LIMITS
from icfleet_protocol.candid.paths import Step, field_step, format_path
from icfleet_protocol.candid.values import Some
from icfleet_protocol.errors import CandidError
from icfleet_protocol.leb128 import encode_uleb128

__all__ = ["encode_values"]

_Part: TypeAlias = tuple[Node, object, Step]

_STEPS_SHOWN_MAX = 20
"""Of the path to a value that is nested too deep."""


def encode_values(types: Sequence[Node], values: Sequence[object]) -> bytes:
    """Write the values of a message, without its header.

    Raises:
        CandidError: If a value is not of its type; ``path`` says which.
    """
    if len(types) != len(values):
        reason = f"expected {len(types)} arguments, got {len(values)}"
        raise CandidError(reason)
    return _ValueWriter().write(zip(types, values, range(len(types)), strict=True))


class _ValueWriter:
    def __init__(self) -> None:
        self._out: list[bytes] = []
        # What is left to write at each level, and the step taken there.
        self._frames: list[Iterator[_Part]] = []
        self._steps: list[Step] = []

    def write(self, arguments: Iterator[_Part]) -> bytes:
        self._push(arguments)
        try:
            while self._frames:
                part = next(self._frames[-1], None)
                if part is None:
                    self._frames.pop()
                    self._steps.pop()
                else:
                    node, value, self._steps[-1] = part
                    self._write(node, value)
        except UnfitError as error:
            raise CandidError(str(error), path=format_path(self._steps)) from None
        return b"".join(self._out)

    def _push(self, parts: Iterator[_Part]) -> None:
        if len(self._frames) > DEFAULT_LIMITS.nesting_depth_max:
            reason = f"nested deeper than {DEFAULT_LIMITS.nesting_depth_max} levels"
            raise CandidError(reason, path=format_path(self._steps[:_STEPS_SHOWN_MAX]))
        self._frames.append(parts)
        self._steps.append("")

    def _write(self, node: Node, value: object) -> None:
        leaf = LEAF_WRITERS.get(node.opcode)
        if leaf is not None:
            self._out.append(leaf(node, value))
            return
        match node.opcode:
            case Opcode.OPT:
                self._write_option(node, value)
            case Opcode.VEC:
                self._write_vector(node, value)
            case Opcode.RECORD:
                self._push(_tuple_parts(node, value) if node.is_tuple else _parts(node, value))
            case _:
                self._write_variant(node, value)

    def _write_option(self, node: Node, value: object) -> None:
        if value is None:
            self._out.append(b"\x00")
            return
        self._out.append(b"\x01")
        content = value.value if isinstance(value, Some) else value
        self._push(iter([(node.inner, content, "")]))

    def _write_vector(self, node: Node, value: object) -> None:
        if node.inner.opcode is Opcode.NAT8 and isinstance(value, bytes | bytearray | memoryview):
            raw = bytes(cast("bytes", value))
            self._out += (encode_uleb128(len(raw)), raw)
            return
        if not isinstance(value, list | tuple):
            raise UnfitError(value, "bytes" if node.inner.opcode is Opcode.NAT8 else "a list")
        items = cast("Sequence[object]", value)
        self._out.append(encode_uleb128(len(items)))
        self._push((node.inner, item, index) for index, item in enumerate(items))

    def _write_variant(self, node: Node, value: object) -> None:
        if not isinstance(value, Mapping):
            raise UnfitError(value, "a dict with one key for a variant")
        cases = cast("Mapping[object, object]", value)
        if len(cases) != 1:
            raise UnfitError(cases, "a dict with one key for a variant")
        ((label, content),) = cases.items()
        for index, part in enumerate(node.fields):
            if part.label == label:
                self._out.append(encode_uleb128(index))
                self._push(iter([(part.node, content, field_step(part.label))]))
                return
        raise UnfitError(label, f"one of the cases {_list_labels(node)}")


def _tuple_parts(node: Node, value: object) -> Iterator[_Part]:
    if not isinstance(value, tuple | list):
        raise UnfitError(value, f"a tuple of {len(node.fields)}")
    items = cast("Sequence[object]", value)
    if len(items) != len(node.fields):
        raise UnfitError(items, f"a tuple of {len(node.fields)}")
    return ((part.node, items[part.id], part.id) for part in node.fields)


def _parts(node: Node, value: object) -> Iterator[_Part]:
    if not isinstance(value, Mapping):
        raise UnfitError(value, "a dict for a record")
    values = cast("Mapping[Any, object]", value)
    unknown = [label for label in values if label not in node.labels]
    if unknown:
        raise UnfitError(unknown[0], f"only the fields {_list_labels(node)}")
    # As on the wire: a field that may be null may be left out.
    absent = [part for part in node.fields if part.label not in values]
    for part in absent:
        if not part.node.is_nullable:
            raise UnfitError(values, f"a record with {part.label}")
    return ((part.node, values.get(part.label), field_step(part.label)) for part in node.fields)


def _list_labels(node: Node) -> str:
    return ", ".join(str(label) for label in node.labels) or "(none)"
