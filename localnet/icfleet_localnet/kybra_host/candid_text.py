"""``ic.candid_encode`` and ``ic.candid_decode``: Candid text without an interface.

Without types, a number is an ``int`` unless it is marked (``42 : nat64``) or has a point, and a
decoded message shows field ids, not names.

Source: ``candid`` 0.10.10, ``IDLValue::value_ty`` and ``pretty::candid::value``.
"""

from typing import Any, cast

from icfleet_protocol.candid import (
    DEFAULT_LIMITS,
    CandidType,
    FieldType,
    FuncType,
    OptType,
    RecordType,
    ServiceType,
    Some,
    VariantType,
    VecType,
    encode,
    parse_args,
)
from icfleet_protocol.candid.coercion import Coercions
from icfleet_protocol.candid.decode import decode_values
from icfleet_protocol.candid.graph import Node, Opcode
from icfleet_protocol.candid.header import read_header
from icfleet_protocol.candid.names import format_name, quote
from icfleet_protocol.candid.types import (
    blob,
    bool_,
    empty,
    float64,
    int_,
    null,
    principal,
    text,
)
from icfleet_protocol.candid.value_tree import (
    Annotated,
    Blob,
    Function,
    Number,
    Present,
    Record,
    Reference,
    Tree,
    Variant,
    Vector,
    Word,
    read_trees,
)

__all__ = ["decode_to_text", "encode_text"]

_FLOAT_MARKS = frozenset(".eEin")
"""A decimal number with one of these is a float: a point, an exponent, ``inf``, ``nan``."""


def encode_text(written: str) -> bytes:
    """Encode an argument sequence such as ``(42 : nat64, "x")``.

    Raises:
        CandidError: If the text is malformed, or a value does not fit its mark.
    """
    types = [_infer(tree) for tree in read_trees(written)]
    return encode(types, parse_args(written, types))


def decode_to_text(message: bytes) -> str:
    """Write a message's values as text, with the type of every number.

    Raises:
        CandidError: If the message is malformed.
    """
    header = read_header(message, DEFAULT_LIMITS)
    values = decode_values(message, header, header.args, DEFAULT_LIMITS, Coercions())
    written = [_write(value, node) for value, node in zip(values, header.args, strict=True)]
    return f"({', '.join(written)})"


def _infer(tree: Tree) -> CandidType:
    match tree:
        case Annotated():
            return tree.type
        case Present(content):
            return OptType(_infer(content))
        case Vector(items):
            return VecType(_infer(items[0]) if items else empty)
        case Record(fields):
            return RecordType(tuple(FieldType(key, _infer(one)) for key, one in fields.items()))
        case Variant():
            return VariantType((FieldType(tree.label, _infer(tree.content)),))
        case _:
            return _infer_leaf(tree)


def _infer_leaf(tree: Tree) -> CandidType:
    match tree:
        case Number(written):
            is_hex = "0x" in written
            return float64 if not is_hex and _FLOAT_MARKS & set(written) else int_
        case Word(written):
            return null if written == "null" else bool_
        case Blob():
            return blob
        case Reference(keyword, _):
            return principal if keyword == "principal" else ServiceType(())
        case Function():
            return FuncType(())
        case _:
            return text


def _write(value: Any, node: Node) -> str:
    match node.opcode:
        case Opcode.OPT:
            return _write_opt(value, node)
        case Opcode.VEC:
            return _write_vec(value, node)
        case Opcode.RECORD:
            return _write_record(value, node)
        case Opcode.VARIANT:
            return _write_variant(value, node)
        case _:
            return _write_leaf(value, node)


def _write_opt(value: Any, node: Node) -> str:
    if value is None:
        return "null"
    content = _write(value.value if isinstance(value, Some) else value, node.inner)
    return f"opt ({content})" if " : " in content else f"opt {content}"


def _write_vec(value: Any, node: Node) -> str:
    if isinstance(value, bytes):
        return 'blob "' + "".join(f"\\{byte:02x}" for byte in value) + '"'
    items = "; ".join(_write(item, node.inner) for item in value)
    return f"vec {{ {items} }}" if items else "vec {}"


def _write_record(value: Any, node: Node) -> str:
    fields = [(one.label, _write(value[one.label], one.node)) for one in node.fields]
    if [label for label, _ in fields] == list(range(len(fields))):
        parts = [content for _, content in fields]
    else:
        parts = [f"{_write_label(label)} = {content}" for label, content in fields]
    return f"record {{ {'; '.join(parts)} }}" if parts else "record {}"


def _write_variant(value: Any, node: Node) -> str:
    label, content = next(iter(cast("dict[str | int, Any]", value).items()))
    inner = next(one.node for one in node.fields if one.label == label)
    if inner.opcode is Opcode.NULL:
        return f"variant {{ {_write_label(label)} }}"
    return f"variant {{ {_write_label(label)} = {_write(content, inner)} }}"


def _write_label(label: str | int) -> str:
    return f"{label:_}" if isinstance(label, int) else format_name(label)


def _write_leaf(value: Any, node: Node) -> str:
    kind = node.opcode.name.lower()
    match node.opcode:
        case Opcode.BOOL:
            written = "true" if value else "false"
        case Opcode.TEXT:
            written = quote(value)
        case Opcode.PRINCIPAL | Opcode.SERVICE:
            written = f'{kind} "{value}"'
        case Opcode.FUNC:
            written = f'func "{value[0]}".{format_name(value[1])}'
        case Opcode.FLOAT32 | Opcode.FLOAT64:
            written = f"{value!r} : {kind}"
        case _:
            written = f"{'null' if value is None else f'{value:_}'} : {kind}"
    return written
