"""The reading of values that decides: by wire type, coerced to the expected type, step by step.

Each composite value is a generator that yields the parts it wants read and is sent their values;
one loop drives them from a list. So the code reads like plain recursion, but a message nested a
million deep meets a limit of ours and not Python's.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#deserialisation and
"Coercion" there.
"""

from collections.abc import Generator, Sequence
from typing import Any, TypeAlias, cast

from icfleet_protocol.candid.coercion import Coercions, RecordPlan, Request
from icfleet_protocol.candid.cursor import Cursor
from icfleet_protocol.candid.graph import RESERVED, UNINHABITED, Node, Opcode, measured
from icfleet_protocol.candid.header import Header
from icfleet_protocol.candid.leaf_readers import LEAF_READERS, read_flag
from icfleet_protocol.candid.limits import VALUES_PER_BYTE_MAX, DecodeLimits
from icfleet_protocol.candid.paths import Step, format_path
from icfleet_protocol.candid.values import Some
from icfleet_protocol.errors import CandidError

__all__ = ["decode_values"]

_Reading: TypeAlias = Generator[Request, Any, object]

_UNFIT = object()
"""Sent to a guarding ``opt`` in place of content that is not of the expected type."""


class _MismatchError(Exception):
    """Well-formed, but not of the expected type: an enclosing ``opt`` turns it into ``None``."""


def decode_values(
    data: bytes,
    header: Header,
    expected: Sequence[Node],
    limits: DecodeLimits,
    coercions: Coercions,
) -> tuple[object, ...]:
    """Read every argument of a message.

    Args:
        data: The whole message.
        header: Its header.
        expected: The types wanted; further arguments are read, checked and dropped.
        limits: Bounds on depth and work.
        coercions: Answers remembered for this header and these expected types.

    Raises:
        CandidError: If the message is malformed, too costly, or not of the expected types.
    """
    reader = _ValueReader(Cursor(data, header.size), limits, coercions)
    values: list[object] = []
    for index, wire in enumerate(header.args):
        if index < len(expected):
            values.append(reader.read(Request(wire, expected[index], index)))
        else:
            reader.read(Request(wire, RESERVED, index))
    for index in range(len(values), len(expected)):
        if not expected[index].is_nullable:
            reason = f"expected {expected[index]}, but there are only {index} arguments"
            raise CandidError(reason, path=format_path([index]))
        values.append(None)
    reader.finish()
    return tuple(values)


class _ValueReader:
    """Reads arguments one after another; the budgets are for all of them together."""

    def __init__(self, cursor: Cursor, limits: DecodeLimits, coercions: Coercions) -> None:
        self._cursor = cursor
        self._limits = limits
        self._coercions = coercions
        self._values_left = limits.values_free_max + VALUES_PER_BYTE_MAX * len(cursor.data)
        self._empty_elements_left = limits.empty_elements_max
        self._readings: list[_Reading] = []
        # The way to the value being read: a step for each reading, and one more for a leaf.
        self._steps: list[Step] = []
        # How many readings there were when a guarded part was asked for.
        self._guards: list[int] = []

    def finish(self) -> None:
        """Check that nothing follows the last value."""
        if self._cursor.remaining:
            reason = f"{self._cursor.remaining} bytes after the last value"
            raise self._cursor.fail(reason)

    def read(self, request: Request) -> object:
        """Read one argument."""
        try:
            return self._drive(request)
        except _MismatchError as mismatch:
            raise CandidError(str(mismatch), path=format_path(self._steps)) from None
        except CandidError as error:
            path = format_path(self._steps)
            raise CandidError(error.reason, path=path, offset_bytes=error.offset_bytes) from error

    def _drive(self, request: Request) -> object:
        while True:
            value = self._begin(request)
            while self._readings:
                if self._guards and self._guards[-1] == len(self._readings):
                    self._guards.pop()
                try:
                    request = self._readings[-1].send(value)
                except StopIteration as done:
                    self._readings.pop()
                    self._steps.pop()
                    value = done.value
                else:
                    break
            else:
                return value

    def _begin(self, request: Request) -> object:
        """Read a leaf and return it, or push a reading and return ``None``, which starts it."""
        if request.is_guarded:
            self._guards.append(len(self._readings))
        self._steps.append(request.step)
        self._values_left -= 1
        if self._values_left < 0:
            reason = "more values than the message's size can justify"
            raise self._cursor.fail(reason)
        try:
            started = self._start(request.wire, request.expected)
        except _MismatchError:
            if not self._guards:
                raise
            return self._recover()
        if isinstance(started, Generator):
            self._push(cast("_Reading", started))
            return None
        self._steps.pop()
        return started

    def _push(self, reading: _Reading) -> None:
        if len(self._readings) >= self._limits.nesting_depth_max:
            reason = f"nested deeper than {self._limits.nesting_depth_max} levels"
            raise self._cursor.fail(reason)
        self._readings.append(reading)

    def _recover(self) -> object:
        """Go back to the innermost guard."""
        depth = self._guards[-1]
        del self._readings[depth:]
        del self._steps[depth:]
        return _UNFIT

    def _start(self, wire: Node, expected: Node) -> object:
        """Return a leaf's value, or the reading of a composite."""
        if measured(wire) >= UNINHABITED:
            reason = f"a value of this {wire} type cannot exist"
            raise self._cursor.fail(reason)
        if expected.opcode is Opcode.OPT:
            return self._start_option(wire, expected)
        if wire.opcode in LEAF_READERS:
            return self._read_leaf(wire, expected)
        if wire.opcode is not expected.opcode and expected is not RESERVED:
            raise _mismatch(wire, expected)
        match wire.opcode:
            case Opcode.RECORD:
                return self._start_record(self._coercions.plan(wire, expected))
            case Opcode.VARIANT:
                return self._start_variant(wire, expected)
            case Opcode.VEC:
                return self._start_vector(wire, expected)
            case _:
                return self._skip_option(wire)

    def _read_leaf(self, wire: Node, expected: Node) -> object:
        value = LEAF_READERS[wire.opcode](self._cursor)
        if expected is RESERVED:
            return None
        if not self._coercions.fits(wire, expected):
            raise _mismatch(wire, expected)
        return value

    def _skip_option(self, wire: Node) -> _Reading:
        if read_flag(self._cursor):
            yield Request(wire.inner, RESERVED, "")
        return None

    def _start_option(self, wire: Node, expected: Node) -> _Reading | None:
        if wire.opcode is Opcode.NULL or wire.opcode is Opcode.RESERVED:
            return None
        if wire.opcode is Opcode.OPT:
            if not read_flag(self._cursor):
                return None
            return self._read_content(wire.inner, expected.inner, 0)
        # A plain value stands for a present one, at whatever level of options it fits.
        inner = expected.inner
        seen = {expected}
        while inner.opcode is Opcode.OPT:
            if inner in seen:
                reason = f"a plain {wire} never fits an opt of itself"
                raise self._cursor.fail(reason)
            seen.add(inner)
            inner = inner.inner
        return self._read_content(wire, inner, len(seen) - 1)

    def _read_content(self, wire: Node, inner: Node, outer_levels: int) -> _Reading:
        """Read an option's content; what does not fit is read as it comes and dropped."""
        start = self._cursor.offset
        value = yield Request(wire, inner, "", is_guarded=True)
        if value is _UNFIT:
            self._cursor.offset = start
            yield Request(wire, RESERVED, "")
            value = None
        elif inner.is_nullable:
            value = Some(value)
        for _ in range(outer_levels):
            value = Some(value)
        return value

    def _start_vector(self, wire: Node, expected: Node) -> _Reading | bytes | None:
        size_min = measured(wire.inner)
        count = self._cursor.count(size_min)
        if size_min == 0:
            self._empty_elements_left -= count
            if self._empty_elements_left < 0:
                reason = f"{count} elements without bytes"
                raise self._cursor.fail(reason)
        if wire.inner.opcode is Opcode.NAT8:
            if expected is RESERVED:
                self._cursor.take(count)
                return None
            if expected.inner.opcode is Opcode.NAT8:
                return self._cursor.take(count)
        if expected is RESERVED:
            return self._skip_vector(wire.inner, count)
        return self._read_vector(wire.inner, expected.inner, count)

    def _skip_vector(self, wire: Node, count: int) -> _Reading:
        for index in range(count):
            yield Request(wire, RESERVED, index)
        return None

    def _read_vector(self, wire: Node, expected: Node, count: int) -> _Reading:
        items: list[Any] = []
        for index in range(count):
            items.append((yield Request(wire, expected, index)))  # noqa: PERF401 - a yield
        return bytes(items) if expected.opcode is Opcode.NAT8 else items

    def _start_record(self, plan: RecordPlan) -> _Reading:
        if plan.missing:
            missing = ", ".join(str(label) for label in plan.missing)
            reason = f"record without {missing}"
            raise _MismatchError(reason)
        return self._read_record(plan)

    def _read_record(self, plan: RecordPlan) -> _Reading:
        values = plan.template.copy()
        for label, request in plan.requests:
            value = yield request
            if label is not None:
                values[label] = value
        if plan.is_tuple:
            return tuple(values[index] for index in range(len(values)))
        return None if plan.is_dropped else values

    def _start_variant(self, wire: Node, expected: Node) -> _Reading:
        cases = self._coercions.cases(wire, expected)
        start = self._cursor.offset
        index = self._cursor.natural()
        if index >= len(cases):
            self._cursor.offset = start
            reason = f"case {index} of a variant with {len(cases)}"
            raise self._cursor.fail(reason)
        label, request = cases[index]
        if label is None and expected is not RESERVED:
            reason = f"unknown case{request.step}"
            raise _MismatchError(reason)
        return self._read_case(label, request)

    def _read_case(self, label: str | int | None, request: Request) -> _Reading:
        value = yield request
        return None if label is None else {label: value}


def _mismatch(wire: Node, expected: Node) -> _MismatchError:
    return _MismatchError(f"expected {expected}, got {wire}")
