"""How a message's types become ours: questions asked for every value, answered once for a type."""

from typing import Any, NamedTuple

from icfleet_protocol.candid.graph import RESERVED, Field, Node, Opcode
from icfleet_protocol.candid.paths import field_step
from icfleet_protocol.candid.subtyping import WIDENINGS, is_subtype

__all__ = ["Coercions", "Part", "RecordPlan", "Request"]


class Request(NamedTuple):
    """A part that a composite value wants read.

    Attributes:
        wire: Its type in the message.
        expected: The type wanted; ``reserved`` to read, check and drop it.
        step: The step into it, for error messages.
        is_guarded: A part that does not fit is an answer here, not an error.
    """

    wire: Node
    expected: Node
    step: str | int
    is_guarded: bool = False


Part = tuple[str | int | None, Request]
"""The label that a part gets in the result (``None``: nobody wants it), and the part."""


class RecordPlan(NamedTuple):
    """How one wire record becomes one expected record.

    Attributes:
        requests: One for each wire field, in order.
        template: The result with every field ``None``, in the author's order.
        missing: Labels of fields that the message should have and has not.
        is_tuple: The result is a tuple.
        is_dropped: There is no result.
    """

    requests: tuple[Part, ...]
    template: dict[str | int, Any]
    missing: tuple[str | int, ...]
    is_tuple: bool
    is_dropped: bool


class Coercions:
    """Remembers answers for one header and one sequence of expected types."""

    __slots__ = ("_cases", "_plans", "_subtypes")

    def __init__(self) -> None:
        self._cases: dict[tuple[Node, Node], tuple[Part, ...]] = {}
        self._plans: dict[tuple[Node, Node], RecordPlan] = {}
        self._subtypes: dict[tuple[Node, Node], bool] = {}

    def plan(self, wire: Node, expected: Node) -> RecordPlan:
        """Return how to read a record; ``expected`` is a record or ``reserved``."""
        pair = (wire, expected)
        if pair not in self._plans:
            self._plans[pair] = _plan_record(wire, expected)
        return self._plans[pair]

    def cases(self, wire: Node, expected: Node) -> tuple[Part, ...]:
        """Return how to read each case of a variant; ``expected`` is a variant or ``reserved``."""
        pair = (wire, expected)
        if pair not in self._cases:
            wanted = {part.id: part for part in expected.fields}
            self._cases[pair] = tuple(_plan_part(part, wanted) for part in wire.fields)
        return self._cases[pair]

    def fits(self, wire: Node, expected: Node) -> bool:
        """Return whether a value without parts may be used as it is."""
        if wire.opcode is not expected.opcode:
            return (wire.opcode, expected.opcode) in WIDENINGS
        if wire.opcode is not Opcode.FUNC and wire.opcode is not Opcode.SERVICE:
            return True
        pair = (wire, expected)
        if pair not in self._subtypes:
            self._subtypes[pair] = is_subtype(wire, expected)
        return self._subtypes[pair]


def _plan_record(wire: Node, expected: Node) -> RecordPlan:
    wanted = {part.id: part for part in expected.fields}
    requests = tuple(_plan_part(part, wanted) for part in wire.fields)
    return RecordPlan(
        requests=requests,
        template=dict.fromkeys(expected.labels),
        missing=tuple(part.label for part in wanted.values() if not part.node.is_nullable),
        is_tuple=expected.is_tuple,
        is_dropped=expected is RESERVED,
    )


def _plan_part(part: Field, wanted: dict[int, Field]) -> Part:
    """Match a part of the message with the one of the same id, and take that from ``wanted``."""
    target = wanted.pop(part.id, None)
    if target is None:
        return None, Request(part.node, RESERVED, field_step(part.label))
    return target.label, Request(part.node, target.node, field_step(target.label))
