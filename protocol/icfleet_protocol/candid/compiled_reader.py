"""Readers of values as closures, one for each pair of a message's type and an expected type.

A part that does not fit its expected type is left to the plain way when it is met: only there
does it become ``None`` under an ``opt``, or an error. So a compiled reader never goes back.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from icfleet_protocol.candid.coercion import Coercions, Part
from icfleet_protocol.candid.compiled import UnusualError, is_compilable
from icfleet_protocol.candid.cursor import Cursor
from icfleet_protocol.candid.graph import (
    FIXED_FORMATS,
    RESERVED,
    UNINHABITED,
    Node,
    Opcode,
    measured,
)
from icfleet_protocol.candid.header import Header
from icfleet_protocol.candid.leaf_readers import LEAF_READERS
from icfleet_protocol.candid.values import Some
from icfleet_protocol.principal import Principal

__all__ = ["compile_reader"]

_Read: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
"""Takes the message and an offset; returns the value and the offset after it."""

_SHORT_MAX = 0x7F
"""The largest unsigned LEB128 number of one byte."""

_SHIFTS = range(7, 70, 7)
"""Of the further bytes of a LEB128 number."""

_SHORT_SIGN = 0x40
"""This bit in the last byte of a signed LEB128 number makes it negative."""

_SIGNS = tuple(1 << (7 * size) for size in range(11))
"""What a negative number of so many bytes lacks to what its bits say."""

_OVERHEAD_MAX = 4
"""Values for a byte, and in front of the first. What needs more is left to the plain way, which
counts (``VALUES_PER_BYTE_MAX``); below, a message's size bounds the work by itself."""


def compile_reader(
    header: Header, expected: Sequence[Node], coercions: Coercions
) -> Callable[[bytes], tuple[Any, ...]] | None:
    """Make the reader of messages with one header, or return ``None`` if that is not sensible.

    The reader raises one of ``GIVES_UP`` for what it does not know.
    """
    missing = expected[len(header.args) :]
    if not all(is_compilable(node) for node in header.args):
        return None
    if not all(node.is_nullable for node in missing):
        return None
    compiler = _Compiler(coercions)
    reads = [
        compiler.compile_unit(wire, target)
        for wire, target in zip(header.args, expected, strict=False)
    ]
    skips = [compiler.compile_unit(wire, wire) for wire in header.args[len(expected) :]]
    defaults = (None,) * len(missing)
    start = header.size

    def read_message(data: bytes) -> tuple[Any, ...]:
        offset = start
        values: list[Any] = []
        for read in reads:
            value, offset = read(data, offset)
            values.append(value)
        for skip in skips:
            _, offset = skip(data, offset)
        if offset != len(data):
            raise UnusualError
        return (*values, *defaults)

    return read_message


class _Compiler:
    """Makes one closure for each pair of types; recursive, since compilable types are not."""

    def __init__(self, coercions: Coercions) -> None:
        self._coercions = coercions
        self._reads: dict[tuple[Node, Node], _Read] = {}
        self._weights: dict[Node, int] = {}

    def compile_unit(self, wire: Node, expected: Node) -> _Read:
        """Return the reader of a value that has a byte of its own in front, or is an argument."""
        read = self.compile(wire, expected)
        is_light = self._weigh(wire) <= _OVERHEAD_MAX * (1 + measured(wire))
        return read if is_light else _give_up

    def _weigh(self, wire: Node) -> int:
        """Count the values that a value consists of, without those that have their own byte."""
        if wire not in self._weights:
            inside = wire.fields if wire.opcode is Opcode.RECORD else ()
            self._weights[wire] = 1 + sum(self._weigh(part.node) for part in inside)
        return self._weights[wire]

    def compile(self, wire: Node, expected: Node) -> _Read:
        """Return the reader of a pair of types."""
        pair = (wire, expected)
        if pair not in self._reads:
            self._reads[pair] = self._make(wire, expected)
        return self._reads[pair]

    def _make(self, wire: Node, expected: Node) -> _Read:
        if measured(wire) >= UNINHABITED:
            return _give_up
        if expected is RESERVED and wire is not RESERVED:
            return _dropping_reader(self.compile(wire, wire))
        if expected.opcode is Opcode.OPT:
            return self._option(wire, expected)
        if wire.opcode in LEAF_READERS:
            return _leaf_reader(wire) if self._coercions.fits(wire, expected) else _give_up
        return self._composite(wire, expected)

    def _composite(self, wire: Node, expected: Node) -> _Read:
        if wire.opcode is not expected.opcode:
            return _give_up
        match wire.opcode:
            case Opcode.VEC:
                return self._vector(wire.inner, expected.inner)
            case Opcode.RECORD:
                return self._record(wire, expected)
            case _:
                return self._variant(wire, expected)

    def _option(self, wire: Node, expected: Node) -> _Read:
        if wire.opcode is Opcode.NULL or wire.opcode is Opcode.RESERVED:
            return _read_nothing
        inner = expected.inner
        if wire.opcode is Opcode.OPT:
            return _option_reader(self.compile_unit(wire.inner, inner), wraps=inner.is_nullable)
        # A plain value is a present one. Deeper options, where it is less plain, are rare.
        if inner.opcode is Opcode.OPT:
            return _give_up
        read = self.compile(wire, inner)
        return _present_reader(read) if inner.is_nullable else read

    def _vector(self, wire: Node, expected: Node) -> _Read:
        if measured(wire) == 0 or (expected.opcode is Opcode.NAT8) != (wire.opcode is Opcode.NAT8):
            return _give_up
        if wire.opcode is Opcode.NAT8:
            return _read_blob
        if wire.opcode is expected.opcode and wire.opcode in FIXED_FORMATS:
            return _fixed_vector_reader(wire.opcode)
        return _vector_reader(self.compile_unit(wire, expected), measured(wire))

    def _record(self, wire: Node, expected: Node) -> _Read:
        plan = self._coercions.plan(wire, expected)
        if plan.missing:
            return _give_up
        steps = tuple(self._step(run) for run in _split(plan.requests))
        if plan.is_tuple:
            return _tuple_reader(plan.template, steps)
        return _record_reader(plan.template, steps)

    def _step(self, run: Sequence[Part]) -> "_Step":
        label, request = run[0]
        if len(run) > 1:
            return None, _run_reader(run)
        if label is None:
            return None, _skipping_reader(self.compile(request.wire, request.wire))
        return label, self.compile(request.wire, request.expected)

    def _variant(self, wire: Node, expected: Node) -> _Read:
        return _variant_reader(
            tuple(
                (label, self.compile_unit(request.wire, request.expected))
                if label is not None
                else (label, _give_up)
                for label, request in self._coercions.cases(wire, expected)
            )
        )


_Step: TypeAlias = tuple[str | int | None, _Read]
"""A field's label and reader; without a label, the reader gives pairs of label and value."""


def _is_plain_number(part: Part) -> bool:
    label, request = part
    fits = label is None or request.wire.opcode is request.expected.opcode
    return fits and request.wire.opcode in FIXED_FORMATS


def _split(parts: Sequence[Part]) -> list[list[Part]]:
    """Put neighbours of a fixed size together: one ``struct`` call reads them all."""
    runs: list[list[Part]] = []
    for part in parts:
        if runs and _is_plain_number(part) and _is_plain_number(runs[-1][-1]):
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs


def _give_up(_data: bytes, _offset: int) -> tuple[Any, int]:
    raise UnusualError


def _run_reader(run: Sequence[Part]) -> _Read:
    formats = [
        (label, *FIXED_FORMATS[request.wire.opcode])  # x is a byte that struct passes over.
        for label, request in run
    ]
    unpack = struct.Struct(
        "<" + "".join(f"{size}x" if label is None else letter for label, letter, size in formats)
    ).unpack_from
    labels = [label for label, _, _ in formats if label is not None]
    size = sum(size for _, _, size in formats)

    def read_run(data: bytes, offset: int) -> tuple[Iterable[tuple[str | int, Any]], int]:
        return zip(labels, unpack(data, offset), strict=True), offset + size

    return read_run


def _skipping_reader(read: _Read) -> _Read:
    def skip(data: bytes, offset: int) -> tuple[Any, int]:
        _, end = read(data, offset)
        return (), end

    return skip


def _dropping_reader(read: _Read) -> _Read:
    def drop(data: bytes, offset: int) -> tuple[Any, int]:
        _, end = read(data, offset)
        return None, end

    return drop


def _record_reader(template: dict[str | int, Any], steps: Sequence[_Step]) -> _Read:
    def read_record(data: bytes, offset: int) -> tuple[Any, int]:
        values = template.copy()
        for label, read in steps:
            if label is None:
                pairs, offset = read(data, offset)
                values.update(pairs)
            else:
                values[label], offset = read(data, offset)
        return values, offset

    return read_record


def _tuple_reader(template: dict[str | int, Any], steps: Sequence[_Step]) -> _Read:
    read_fields = _record_reader(dict.fromkeys(range(len(template))), steps)

    def read_tuple(data: bytes, offset: int) -> tuple[Any, int]:
        values, end = read_fields(data, offset)
        return tuple(values.values()), end

    return read_tuple


def _variant_reader(cases: Sequence[tuple[str | int | None, _Read]]) -> _Read:
    def read_variant(data: bytes, offset: int) -> tuple[Any, int]:
        label, read = cases[data[offset]]
        value, end = read(data, offset + 1)
        return {label: value}, end

    return read_variant


def _option_reader(read_inner: _Read, *, wraps: bool) -> _Read:
    if wraps:
        read_inner = _present_reader(read_inner)

    def read_option(data: bytes, offset: int) -> tuple[Any, int]:
        tag = data[offset]
        if tag == 0:
            return None, offset + 1
        if tag == 1:
            return read_inner(data, offset + 1)
        raise UnusualError

    return read_option


def _present_reader(read: _Read) -> _Read:
    def read_present(data: bytes, offset: int) -> tuple[Any, int]:
        value, end = read(data, offset)
        return Some(value), end

    return read_present


def _read_nat(data: bytes, offset: int) -> tuple[int, int]:
    number = data[offset]
    if number <= _SHORT_MAX:
        return number, offset + 1
    number &= _SHORT_MAX
    for shift in _SHIFTS:
        offset += 1
        byte = data[offset]
        if byte <= _SHORT_MAX:
            return number | byte << shift, offset + 1
        number |= (byte & _SHORT_MAX) << shift
    # Numbers of more than 70 bits are rare; their length is checked by the plain way.
    raise UnusualError


def _read_int(data: bytes, offset: int) -> tuple[int, int]:
    number, end = _read_nat(data, offset)
    return number - _SIGNS[end - offset] if data[end - 1] & _SHORT_SIGN else number, end


def _vector_reader(read_item: _Read, size_min: int) -> _Read:
    def read_vector(data: bytes, offset: int) -> tuple[Any, int]:
        count, offset = _read_nat(data, offset)
        if count * size_min > len(data) - offset:
            raise UnusualError
        items: list[Any] = []
        for _ in range(count):
            item, offset = read_item(data, offset)
            items.append(item)
        return items, offset

    return read_vector


def _fixed_vector_reader(opcode: Opcode) -> _Read:
    letter, size = FIXED_FORMATS[opcode]

    def read_fixed_vector(data: bytes, offset: int) -> tuple[Any, int]:
        count, offset = _read_nat(data, offset)
        end = offset + count * size
        if end > len(data):
            raise UnusualError
        return list(struct.unpack_from(f"<{count}{letter}", data, offset)), end

    return read_fixed_vector


def _read_blob(data: bytes, offset: int) -> tuple[Any, int]:
    # The size is read here and not by a call: texts and blobs are what messages consist of.
    size = data[offset]
    start = offset + 1
    if size > _SHORT_MAX:
        size, start = _read_nat(data, offset)
    end = start + size
    # A slice that is too long is no error to Python.
    if end > len(data):
        raise UnusualError
    return data[start:end], end


def _read_text(data: bytes, offset: int) -> tuple[Any, int]:
    size = data[offset]
    start = offset + 1
    if size > _SHORT_MAX:
        size, start = _read_nat(data, offset)
    end = start + size
    if end > len(data):
        raise UnusualError
    return data[start:end].decode(), end


def _read_nothing(_data: bytes, offset: int) -> tuple[Any, int]:
    return None, offset


def _read_bool(data: bytes, offset: int) -> tuple[Any, int]:
    return _FLAGS[data[offset]], offset + 1


_FLAGS = (False, True)


def _read_principal(data: bytes, offset: int) -> tuple[Any, int]:
    if data[offset] != 1:
        raise UnusualError
    raw, end = _read_blob(data, offset + 1)
    # A principal that is too long is a DecodeError.
    return Principal(raw), end


_LEAVES: dict[Opcode, _Read] = {
    Opcode.NULL: _read_nothing,
    Opcode.RESERVED: _read_nothing,
    Opcode.BOOL: _read_bool,
    Opcode.NAT: _read_nat,
    Opcode.INT: _read_int,
    Opcode.TEXT: _read_text,
    Opcode.PRINCIPAL: _read_principal,
    Opcode.SERVICE: _read_principal,
}
"""Types without parts that are worth a closure; the others are read as the plain way does."""


def _leaf_reader(wire: Node) -> _Read:
    if wire.opcode in FIXED_FORMATS:
        return _fixed_reader(wire.opcode)
    read = _LEAVES.get(wire.opcode)
    if read is not None:
        return read
    plain = LEAF_READERS[wire.opcode]

    def read_plainly(data: bytes, offset: int) -> tuple[Any, int]:
        cursor = Cursor(data, offset)
        return plain(cursor), cursor.offset

    return read_plainly


def _fixed_reader(opcode: Opcode) -> _Read:
    letter, size = FIXED_FORMATS[opcode]
    unpack = struct.Struct(f"<{letter}").unpack_from

    def read_fixed(data: bytes, offset: int) -> tuple[Any, int]:
        return unpack(data, offset)[0], offset + size

    return read_fixed
