"""Writers of values as closures: the usual Python types only, in as few steps as Python allows."""

import struct
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from icfleet_protocol.candid.compiled import UnusualError, is_compilable
from icfleet_protocol.candid.graph import FIXED_FORMATS, Field, Node, Opcode
from icfleet_protocol.candid.leaf_writers import LEAF_WRITERS
from icfleet_protocol.candid.values import Some
from icfleet_protocol.leb128 import encode_sleb128, encode_uleb128
from icfleet_protocol.principal import Principal

__all__ = ["compile_writer"]

_Append: TypeAlias = Callable[[bytes], None]
_Write: TypeAlias = Callable[[_Append, Any], None]

_SHORT_MAX = 0x7F
"""The largest unsigned LEB128 number of one byte."""

_SHORT_SIGN = 0x40
"""Signed LEB128 numbers between this and its negative are one byte."""

_SHORT = tuple(bytes([number]) for number in range(_SHORT_MAX + 1))
"""Naturals of one byte, which most lengths are."""

_NAT_MAX = 2**64
"""Larger numbers are rare, and their length must be checked: the plain way does."""

_INT_MIN, _INT_MAX = -(2**63), 2**63

# Any, because a type checker would take what is in a dict or list it has not seen for unknown.
_DICT: Any = dict
_LIST: Any = list

_FLOATS = frozenset({Opcode.FLOAT32, Opcode.FLOAT64})


def compile_writer(header: bytes, nodes: Sequence[Node]) -> Callable[[Sequence[Any]], bytes] | None:
    """Make the writer of a message, or return ``None`` for types that are not compiled.

    The writer raises one of ``GIVES_UP`` for what it does not know.
    """
    if not all(is_compilable(node) for node in nodes):
        return None
    compiler = _Compiler()
    writes = tuple(compiler.compile(node) for node in nodes)

    def write_message(values: Sequence[Any]) -> bytes:
        out = [header]
        append = out.append
        for write, value in zip(writes, values, strict=True):
            write(append, value)
        return b"".join(out)

    return write_message


class _Compiler:
    """Makes one closure for each type; recursive, since compilable types are not."""

    def __init__(self) -> None:
        self._writes: dict[Node, _Write] = {}

    def compile(self, node: Node) -> _Write:
        """Return the writer of a type."""
        if node not in self._writes:
            self._writes[node] = self._make(node)
        return self._writes[node]

    def _make(self, node: Node) -> _Write:
        match node.opcode:
            case Opcode.OPT:
                return _option_writer(self.compile(node.inner))
            case Opcode.VEC:
                return self._vector(node.inner)
            case Opcode.RECORD:
                return self._record(node)
            case Opcode.VARIANT:
                return _variant_writer(
                    {
                        part.label: (encode_uleb128(index), self.compile(part.node))
                        for index, part in enumerate(node.fields)
                    }
                )
            case _:
                return _leaf_writer(node)

    def _vector(self, inner: Node) -> _Write:
        if inner.opcode is Opcode.NAT8:
            return _write_blob
        if inner.opcode in FIXED_FORMATS:
            return _fixed_vector_writer(inner.opcode)
        return _vector_writer(self.compile(inner))

    def _record(self, node: Node) -> _Write:
        steps: list[_Step] = []
        for run in _split(node.fields):
            if len(run) == 1:
                steps.append((run[0].label, self.compile(run[0].node)))
            else:
                steps.append((None, _run_writer(run)))
        expected = tuple if node.is_tuple else dict
        return _record_writer(expected, len(node.fields), tuple(steps))


_Step: TypeAlias = tuple[str | int | None, _Write]
"""A field's label and writer; without a label, the writer takes the whole record."""


def _split(fields: Sequence[Field]) -> list[list[Field]]:
    """Put neighbours of a fixed size together: one ``struct`` call writes them all."""
    runs: list[list[Field]] = []
    for part in fields:
        is_fixed = part.node.opcode in FIXED_FORMATS
        if runs and is_fixed and runs[-1][-1].node.opcode in FIXED_FORMATS:
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs


def _python_type(opcode: Opcode) -> type:
    return float if opcode in _FLOATS else int


def _run_writer(run: Sequence[Field]) -> _Write:
    pack = struct.Struct("<" + "".join(FIXED_FORMATS[part.node.opcode][0] for part in run)).pack
    expected = tuple(_python_type(part.node.opcode) for part in run)
    get = itemgetter(*(part.label for part in run))

    def write_run(append: _Append, record: Any) -> None:
        values = get(record)
        # struct takes True for a number and an int for a float, so the types are compared first.
        if tuple(map(type, values)) != expected:
            raise UnusualError
        append(pack(*values))

    return write_run


def _record_writer(expected: Any, size: int, steps: Sequence[_Step]) -> _Write:
    def write_record(append: _Append, value: Any) -> None:
        if type(value) is not expected or len(value) != size:
            raise UnusualError
        for label, write in steps:
            write(append, value if label is None else value[label])

    return write_record


def _option_writer(write_inner: _Write) -> _Write:
    def write_option(append: _Append, value: Any) -> None:
        if value is None:
            append(b"\x00")
        else:
            append(b"\x01")
            write_inner(append, value.value if type(value) is Some else value)

    return write_option


def _variant_writer(cases: dict[str | int, tuple[bytes, _Write]]) -> _Write:
    def write_variant(append: _Append, value: Any) -> None:
        if type(value) is not _DICT:
            raise UnusualError
        # More keys or none are a ValueError.
        ((label, content),) = value.items()
        index, write = cases[label]
        append(index)
        write(append, content)

    return write_variant


def _write_size(append: _Append, size: int) -> None:
    append(_SHORT[size] if size <= _SHORT_MAX else encode_uleb128(size))


def _write_blob(append: _Append, value: Any) -> None:
    if type(value) is not bytes:
        raise UnusualError
    _write_size(append, len(value))
    append(value)


def _fixed_vector_writer(opcode: Opcode) -> _Write:
    letter, _ = FIXED_FORMATS[opcode]
    expected = {_python_type(opcode)}

    def write_fixed_vector(append: _Append, value: Any) -> None:
        if type(value) is not _LIST or (value and set(map(type, value)) != expected):
            raise UnusualError
        _write_size(append, len(value))
        append(struct.pack(f"<{len(value)}{letter}", *value))

    return write_fixed_vector


def _vector_writer(write_item: _Write) -> _Write:
    def write_vector(append: _Append, value: Any) -> None:
        if type(value) is not _LIST:
            raise UnusualError
        _write_size(append, len(value))
        for item in value:
            write_item(append, item)

    return write_vector


def _leaf_writer(node: Node) -> _Write:
    if node.opcode in FIXED_FORMATS:
        return _fixed_writer(node.opcode)
    write = _LEAVES.get(node.opcode)
    if write is not None:
        return write
    plain = LEAF_WRITERS[node.opcode]

    def write_plainly(append: _Append, value: Any) -> None:
        append(plain(node, value))

    return write_plainly


def _fixed_writer(opcode: Opcode) -> _Write:
    pack = struct.Struct(f"<{FIXED_FORMATS[opcode][0]}").pack
    expected = _python_type(opcode)

    def write_fixed(append: _Append, value: Any) -> None:
        if type(value) is not expected:
            raise UnusualError
        append(pack(value))

    return write_fixed


def _write_nothing(_append: _Append, value: Any) -> None:
    if value is not None:
        raise UnusualError


def _write_bool(append: _Append, value: Any) -> None:
    if type(value) is not bool:
        raise UnusualError
    append(b"\x01" if value else b"\x00")


def _write_nat(append: _Append, value: Any) -> None:
    if type(value) is not int or not 0 <= value < _NAT_MAX:
        raise UnusualError
    append(_SHORT[value] if value <= _SHORT_MAX else encode_uleb128(value))


def _write_int(append: _Append, value: Any) -> None:
    if type(value) is not int or not _INT_MIN <= value < _INT_MAX:
        raise UnusualError
    if -_SHORT_SIGN <= value < _SHORT_SIGN:
        append(_SHORT[value & _SHORT_MAX])
    else:
        append(encode_sleb128(value))


def _write_text(append: _Append, value: Any) -> None:
    if type(value) is not str:
        raise UnusualError
    raw = value.encode()
    size = len(raw)
    # The size is written here and not by a call: texts are what messages consist of.
    append(_SHORT[size] if size <= _SHORT_MAX else encode_uleb128(size))
    append(raw)


def _write_principal(append: _Append, value: Any) -> None:
    if type(value) is not Principal:
        raise UnusualError
    raw = value.raw
    append(b"\x01" + _SHORT[len(raw)] + raw)


_LEAVES: dict[Opcode, _Write] = {
    Opcode.NULL: _write_nothing,
    Opcode.BOOL: _write_bool,
    Opcode.NAT: _write_nat,
    Opcode.INT: _write_int,
    Opcode.TEXT: _write_text,
    Opcode.PRINCIPAL: _write_principal,
    Opcode.SERVICE: _write_principal,
}
"""Types without parts that are worth a closure; the others are written as the plain way does."""
