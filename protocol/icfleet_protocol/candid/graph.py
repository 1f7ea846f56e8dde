"""Types as a graph of nodes, the one form in which ours and a message's are compared.

A recursive type is a cycle. Whatever walks the graph keeps its own stack: the depth and shape of
a message's types are the sender's choice, and must not meet Python's recursion limit.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#binary-format
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

from icfleet_protocol.candid.types import (
    CandidType,
    FuncType,
    MethodKind,
    NamedType,
    OptType,
    PrimitiveType,
    RecordType,
    ServiceType,
    TypeEnvironment,
    VariantType,
    VecType,
    sort_fields,
)
from icfleet_protocol.errors import CandidError

__all__ = [
    "ANNOTATIONS",
    "FIXED_FORMATS",
    "PRIMITIVE_NODES",
    "RESERVED",
    "UNINHABITED",
    "Field",
    "Node",
    "Opcode",
    "build_graph",
    "measure",
    "resolve",
]


class Opcode(IntEnum):
    """What a type is, as on the wire. Source: Candid.md, "Types"."""

    NULL = -1
    BOOL = -2
    NAT = -3
    INT = -4
    NAT8 = -5
    NAT16 = -6
    NAT32 = -7
    NAT64 = -8
    INT8 = -9
    INT16 = -10
    INT32 = -11
    INT64 = -12
    FLOAT32 = -13
    FLOAT64 = -14
    TEXT = -15
    RESERVED = -16
    EMPTY = -17
    OPT = -18
    VEC = -19
    RECORD = -20
    VARIANT = -21
    FUNC = -22
    SERVICE = -23
    PRINCIPAL = -24
    FUTURE = -25
    """Any type of a later specification: it can be skipped, but not read."""


ANNOTATIONS: Mapping[MethodKind, frozenset[int]] = {
    "update": frozenset(),
    "query": frozenset({1}),
    "oneway": frozenset({2}),
    "composite_query": frozenset({3}),
}
"""A function's annotations on the wire. Source: Candid.md, "Types", ``I(<funcann>)``."""

FIXED_FORMATS: Mapping[Opcode, tuple[str, int]] = {
    Opcode.NAT8: ("B", 1),
    Opcode.NAT16: ("H", 2),
    Opcode.NAT32: ("I", 4),
    Opcode.NAT64: ("Q", 8),
    Opcode.INT8: ("b", 1),
    Opcode.INT16: ("h", 2),
    Opcode.INT32: ("i", 4),
    Opcode.INT64: ("q", 8),
    Opcode.FLOAT32: ("f", 4),
    Opcode.FLOAT64: ("d", 8),
}
"""Numbers of a fixed size: the letter in the ``struct`` module (little-endian), and the bytes."""

UNINHABITED = 1 << 62
"""The size of a value that cannot exist: ``empty``, or a record that contains itself."""

_SIZES_MIN: Mapping[Opcode, int] = {
    Opcode.NULL: 0,
    Opcode.RESERVED: 0,
    Opcode.EMPTY: UNINHABITED,
    Opcode.PRINCIPAL: 2,
    Opcode.FUNC: 4,
    Opcode.SERVICE: 2,
    Opcode.FUTURE: 2,
    **{opcode: size for opcode, (_, size) in FIXED_FORMATS.items()},
}
"""Bytes of the shortest value; 1 (a length, a tag, a short number) where nothing is said."""


class Node:
    """One type. Parts are filled in after creation, so that cycles can be tied.

    Attributes:
        opcode: Which type this is; it says which of the other attributes matter.
        size_min: Bytes of the shortest value; ``measure`` finds it for records.
        inner: Of ``opt`` and ``vec``.
        fields: Of ``record`` and ``variant``, by rising id.
        labels: Of a record, in the order its author wrote the fields.
        is_tuple: Of a record: values are Python tuples.
        args: Of ``func``.
        results: Of ``func``.
        annotations: Of ``func``.
        methods: Of ``service``, by rising name.
    """

    __slots__ = (
        "annotations",
        "args",
        "fields",
        "inner",
        "is_tuple",
        "labels",
        "methods",
        "opcode",
        "results",
        "size_min",
    )

    def __init__(self, opcode: Opcode) -> None:
        self.opcode = opcode
        self.size_min = _size_min(opcode)
        # An opt or vec gets its real content before anybody reads it.
        self.inner: Node = self
        self.fields: tuple[Field, ...] = ()
        self.labels: tuple[str | int, ...] = ()
        self.is_tuple = False
        self.args: tuple[Node, ...] = ()
        self.results: tuple[Node, ...] = ()
        self.annotations: frozenset[int] = frozenset()
        self.methods: tuple[tuple[str, Node], ...] = ()

    def become(self, opcode: Opcode) -> None:
        """Say what a node is that was made before its entry was read."""
        self.opcode = opcode
        self.size_min = _size_min(opcode)

    @property
    def is_nullable(self) -> bool:
        """Whether ``None`` is a value, so that a missing field or argument may stand for it."""
        return self.opcode in _NULLABLE

    def __str__(self) -> str:
        return self.opcode.name.lower()


def _size_min(opcode: Opcode) -> int | None:
    return None if opcode is Opcode.RECORD else _SIZES_MIN.get(opcode, 1)


_NULLABLE = frozenset({Opcode.NULL, Opcode.OPT, Opcode.RESERVED})


class Field(NamedTuple):
    """A field of a record or a case of a variant.

    Attributes:
        id: The number on the wire.
        label: The name in Python values; the id where no name is known.
        node: The type.
    """

    id: int
    label: str | int
    node: Node


_COMPOSITE = range(Opcode.SERVICE, Opcode.OPT + 1)

PRIMITIVE_NODES: Mapping[Opcode, Node] = {
    opcode: Node(opcode)
    for opcode in Opcode
    if opcode not in _COMPOSITE and opcode is not Opcode.FUTURE
}
"""One shared node for each type without parts."""

RESERVED = PRIMITIVE_NODES[Opcode.RESERVED]


def resolve(one: CandidType, environment: TypeEnvironment) -> CandidType:
    """Follow names to the type they stand for.

    Raises:
        CandidError: If a name is unknown, or stands for nothing but itself.
    """
    seen: set[str] = set()
    while isinstance(one, NamedType):
        if one.name in seen:
            reason = f"type {one.name} is defined by itself only"
            raise CandidError(reason)
        seen.add(one.name)
        if one.name not in environment:
            reason = f"type {one.name} is not defined"
            raise CandidError(reason)
        one = environment[one.name]
    return one


def build_graph(types: Iterable[CandidType], environment: TypeEnvironment) -> tuple[Node, ...]:
    """Turn types into nodes; equal types become one node.

    Raises:
        CandidError: If a name is undefined, or a method's type is not a function.
    """
    return _Builder(environment).build(types)


class _Builder:
    def __init__(self, environment: TypeEnvironment) -> None:
        self._environment = environment
        self._nodes: dict[CandidType, Node] = {}
        self._pending: list[tuple[Node, CandidType]] = []

    def build(self, types: Iterable[CandidType]) -> tuple[Node, ...]:
        roots = tuple(self._node(one) for one in types)
        while self._pending:
            self._fill(*self._pending.pop())
        for node in self._nodes.values():
            measure(node)
        return roots

    def _node(self, one: CandidType) -> Node:
        target = resolve(one, self._environment)
        if isinstance(target, PrimitiveType):
            return PRIMITIVE_NODES[Opcode[target.keyword.upper()]]
        node = self._nodes.get(target)
        if node is None:
            node = self._nodes[target] = Node(_opcode(target))
            self._pending.append((node, target))
        return node

    def _fill(self, node: Node, one: CandidType) -> None:
        match one:
            case OptType() | VecType():
                node.inner = self._node(one.inner)
            case RecordType() | VariantType():
                node.fields = tuple(
                    Field(part.id, part.name, self._node(part.type))
                    for part in sort_fields(one.fields)
                )
                node.labels = tuple(part.name for part in one.fields)
                node.is_tuple = isinstance(one, RecordType) and one.is_tuple
                if isinstance(one, VariantType) and not one.fields:
                    node.size_min = UNINHABITED
            case FuncType():
                node.args = tuple(self._node(part) for part in one.args)
                node.results = tuple(self._node(part) for part in one.results)
                node.annotations = ANNOTATIONS[one.kind]
            case _:
                assert isinstance(one, ServiceType), "the only type left that has an opcode"
                node.methods = tuple(
                    (name, self._method(name, part))
                    for name, part in sorted(one.methods, key=lambda method: method[0].encode())
                )

    def _method(self, name: str, one: CandidType) -> Node:
        node = self._node(one)
        if node.opcode is not Opcode.FUNC:
            reason = f"method {name} is not a function"
            raise CandidError(reason)
        return node


_OPCODES: Mapping[type[CandidType], Opcode] = {
    OptType: Opcode.OPT,
    VecType: Opcode.VEC,
    RecordType: Opcode.RECORD,
    VariantType: Opcode.VARIANT,
    FuncType: Opcode.FUNC,
    ServiceType: Opcode.SERVICE,
}


def _opcode(one: CandidType) -> Opcode:
    opcode = _OPCODES.get(type(one))
    if opcode is None:
        reason = f"not a Candid type: {one!r}"
        raise CandidError(reason)
    return opcode


def measure(root: Node) -> int:
    """Return the bytes of a node's shortest value, and note it in every record on the way.

    Only records within records need a walk: everything else takes at least one byte by itself.
    A record met inside itself has no finite value.
    """
    if root.size_min is None:
        root.size_min = UNINHABITED
        frames = [(root, iter(root.fields))]
        while frames:
            node, rest = frames[-1]
            child = next((part.node for part in rest if part.node.size_min is None), None)
            if child is not None:
                child.size_min = UNINHABITED
                frames.append((child, iter(child.fields)))
            else:
                frames.pop()
                node.size_min = min(UNINHABITED, sum(measured(part.node) for part in node.fields))
    return measured(root)


def measured(node: Node) -> int:
    """Return ``size_min`` of a node that ``measure`` has seen."""
    assert node.size_min is not None, node.opcode
    return node.size_min
