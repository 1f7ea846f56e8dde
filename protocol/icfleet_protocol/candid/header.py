"""The front of a message: magic bytes, type table, argument types.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#parameters-and-results
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from icfleet_protocol.candid.cursor import Cursor
from icfleet_protocol.candid.graph import (
    PRIMITIVE_NODES,
    UNINHABITED,
    Field,
    Node,
    Opcode,
    measure,
)
from icfleet_protocol.candid.limits import DecodeLimits
from icfleet_protocol.candid.names import FIELD_ID_MAX
from icfleet_protocol.leb128 import encode_sleb128, encode_uleb128

__all__ = ["MAGIC", "Header", "read_header", "write_header"]

MAGIC = b"DIDL"

_ANNOTATIONS = frozenset({1, 2, 3})

_ENTRY_SIZE_MIN = 2
"""Bytes of the shortest entry: an opcode, and a type or a count."""


class Header(NamedTuple):
    """What a message says about itself.

    Attributes:
        args: The types of the values that follow.
        size: Bytes of the header; the first value starts there.
    """

    args: tuple[Node, ...]
    size: int


def write_header(args: Sequence[Node]) -> bytes:
    """Write magic bytes, table and argument types; equal messages get equal headers."""
    table: dict[Node, int] = {}
    pending = list(reversed(args))
    while pending:
        node = pending.pop()
        if node.opcode not in PRIMITIVE_NODES and node not in table:
            table[node] = len(table)
            pending.extend(reversed(_parts(node)))
    entries = b"".join(_write_entry(node, table) for node in table)
    refs = b"".join(_write_ref(node, table) for node in args)
    return b"".join([MAGIC, encode_uleb128(len(table)), entries, encode_uleb128(len(args)), refs])


def _parts(node: Node) -> list[Node]:
    if node.opcode in {Opcode.OPT, Opcode.VEC}:
        return [node.inner]
    return [
        *(part.node for part in node.fields),
        *node.args,
        *node.results,
        *(method for _, method in node.methods),
    ]


def _write_ref(node: Node, table: dict[Node, int]) -> bytes:
    return encode_sleb128(table.get(node, node.opcode))


def _write_entry(node: Node, table: dict[Node, int]) -> bytes:
    out = [encode_sleb128(node.opcode)]
    match node.opcode:
        case Opcode.OPT | Opcode.VEC:
            out.append(_write_ref(node.inner, table))
        case Opcode.RECORD | Opcode.VARIANT:
            out.append(encode_uleb128(len(node.fields)))
            for part in node.fields:
                out += (encode_uleb128(part.id), _write_ref(part.node, table))
        case Opcode.FUNC:
            for refs in (node.args, node.results):
                out.append(encode_uleb128(len(refs)))
                out += (_write_ref(one, table) for one in refs)
            out += (encode_uleb128(len(node.annotations)), bytes(sorted(node.annotations)))
        case _:
            assert node.opcode is Opcode.SERVICE, node.opcode
            out.append(encode_uleb128(len(node.methods)))
            for name, method in node.methods:
                raw = name.encode()
                out += (encode_uleb128(len(raw)), raw, _write_ref(method, table))
    return b"".join(out)


def read_header(data: bytes, limits: DecodeLimits) -> Header:
    """Read and check everything before the first value.

    Raises:
        CandidError: If the header is malformed or larger than the limits allow.
    """
    if not data.startswith(MAGIC):
        reason = "not a Candid message: no DIDL in front"
        raise Cursor(data).fail(reason)
    return _HeaderReader(data, limits).read()


class _HeaderReader:
    def __init__(self, data: bytes, limits: DecodeLimits) -> None:
        self._cursor = Cursor(data, len(MAGIC))
        self._limits = limits
        self._table: list[Node] = []

    def read(self) -> Header:
        cursor = self._cursor
        length = cursor.count(_ENTRY_SIZE_MIN)
        if length > self._limits.table_length_max:
            reason = f"type table of {length}, at most {self._limits.table_length_max} allowed"
            raise cursor.fail(reason)
        # An entry may point forward, so every node exists before the first is filled.
        self._table = [Node(Opcode.FUTURE) for _ in range(length)]
        for node in self._table:
            self._read_entry(node)
            self._check_size()
        for node in self._table:
            self._check_methods(node)
            measure(node)
        args = tuple(self._read_ref() for _ in range(cursor.count(1)))
        self._check_size()
        return Header(args, cursor.offset)

    def _check_size(self) -> None:
        if self._cursor.offset > self._limits.header_size_max:
            reason = f"header of more than {self._limits.header_size_max} bytes"
            raise self._cursor.fail(reason)

    def _read_entry(self, node: Node) -> None:
        code = self._cursor.integer()
        if code < Opcode.PRINCIPAL:
            node.become(Opcode.FUTURE)
            self._cursor.take(self._cursor.natural())
            return
        if not Opcode.SERVICE <= code <= Opcode.OPT:
            reason = f"type {code} cannot be an entry of the type table"
            raise self._cursor.fail(reason)
        node.become(Opcode(code))
        match node.opcode:
            case Opcode.OPT | Opcode.VEC:
                node.inner = self._read_ref()
            case Opcode.RECORD | Opcode.VARIANT:
                self._read_fields(node)
            case Opcode.FUNC:
                self._read_function(node)
            case _:
                self._read_service(node)

    def _read_ref(self) -> Node:
        cursor = self._cursor
        code = cursor.integer()
        if 0 <= code < len(self._table):
            return self._table[code]
        if code < 0:
            node = _PRIMITIVES_BY_CODE.get(code)
            if node is not None:
                return node
        reason = f"type {code} does not exist"
        raise cursor.fail(reason)

    def _read_fields(self, node: Node) -> None:
        cursor = self._cursor
        fields: list[Field] = []
        previous = -1
        for _ in range(cursor.count(_ENTRY_SIZE_MIN)):
            number = cursor.natural()
            if not previous < number <= FIELD_ID_MAX:
                reason = f"field id {number} is out of order, repeated or too large"
                raise cursor.fail(reason)
            previous = number
            fields.append(Field(number, number, self._read_ref()))
        node.fields = tuple(fields)
        if node.opcode is Opcode.VARIANT and not fields:
            node.size_min = UNINHABITED

    def _read_function(self, node: Node) -> None:
        cursor = self._cursor
        node.args = tuple(self._read_ref() for _ in range(cursor.count(1)))
        node.results = tuple(self._read_ref() for _ in range(cursor.count(1)))
        annotations = cursor.take(cursor.natural())
        if not _ANNOTATIONS.issuperset(annotations):
            reason = "unknown function annotation"
            raise cursor.fail(reason)
        node.annotations = frozenset(annotations)

    def _read_service(self, node: Node) -> None:
        cursor = self._cursor
        methods = [(cursor.text(), self._read_ref()) for _ in range(cursor.count(_ENTRY_SIZE_MIN))]
        names = [name.encode() for name, _ in methods]
        if any(left >= right for left, right in pairwise(names)):
            reason = "service methods are out of order or repeated"
            raise cursor.fail(reason)
        node.methods = tuple(methods)

    def _check_methods(self, node: Node) -> None:
        if any(method.opcode is not Opcode.FUNC for _, method in node.methods):
            reason = "a service's method is not a function"
            raise self._cursor.fail(reason)


_PRIMITIVES_BY_CODE = {int(opcode): node for opcode, node in PRIMITIVE_NODES.items()}
