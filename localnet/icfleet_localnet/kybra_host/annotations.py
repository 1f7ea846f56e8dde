"""From a Python annotation to a Candid type, by bare names alone, as Kybra's compiler reads it.

No import is followed: ``nat`` is Candid's ``nat`` wherever the name comes from, and any other
name is a type that some bundled file must declare.
"""

import ast
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass

from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.rules import (
    FUNC_FORM,
    NONE_AS_TYPE,
    STRING_TYPE,
    TYPE_FORM,
    TYPE_SUBSCRIPT,
    VOID_VALUE,
)
from icfleet_protocol.candid import (
    CandidType,
    FieldType,
    FuncType,
    MethodKind,
    NamedType,
    OptType,
    RecordType,
    VecType,
)
from icfleet_protocol.candid import types as candid

__all__ = [
    "PRIMITIVE_NAMES",
    "ResultAnnotation",
    "TypeReader",
    "TypeReference",
    "candid_name",
    "name_of",
    "python_name",
    "subscript_name",
]

PRIMITIVE_NAMES: Mapping[str, CandidType] = {
    "Principal": candid.principal,
    "blob": candid.blob,
    "bool": candid.bool_,
    "empty": candid.empty,
    "float32": candid.float32,
    "float64": candid.float64,
    "int": candid.int_,
    "int16": candid.int16,
    "int32": candid.int32,
    "int64": candid.int64,
    "int8": candid.int8,
    "nat": candid.nat,
    "nat16": candid.nat16,
    "nat32": candid.nat32,
    "nat64": candid.nat64,
    "nat8": candid.nat8,
    "null": candid.null,
    "reserved": candid.reserved,
    "str": candid.text,
    "text": candid.text,
}
"""Names that always mean these types; ``void`` is the one more, and has no value."""

_VOID = "void"
_WRAPPERS = frozenset({"Async", "Manual"})
_FUNC_KINDS: Mapping[str, MethodKind] = {"Query": "query", "Update": "update", "Oneway": "oneway"}

_PLACEHOLDER = candid.reserved
"""Stands for a type that could not be read; the finding says so, and reading goes on."""

_CLOSEST_SUBSCRIPTS: Mapping[str, str] = {
    "Callable": "Use Func, as in `Func(Query[[nat], text])`.",
    "Dict": "Use `Vec[Tuple[K, V]]`.",
    "List": "Use `Vec[...]`.",
    "Optional": "Use `Opt[...]`.",
    "Sequence": "Use `Vec[...]`.",
    "Union": "Declare a Variant, or use `Opt[...]`.",
    "dict": "Use `Vec[Tuple[K, V]]`.",
    "list": "Use `Vec[...]`.",
    "tuple": "Use `Tuple[...]`.",
}

_KEYWORD_WITH_UNDERSCORE = re.compile(f"(?:{'|'.join(keyword.kwlist)})_+")
_KEYWORD = re.compile(f"(?:{'|'.join(keyword.kwlist)})_*")


def candid_name(python_field: str) -> str:
    """Return a field's name in Candid: ``from_`` is ``from``, as Python cannot write that."""
    if _KEYWORD_WITH_UNDERSCORE.fullmatch(python_field):
        return python_field[:-1]
    return python_field


def python_name(candid_field: str) -> str:
    """Return the key a canister's dicts have for a Candid field; undoes ``candid_name``."""
    return f"{candid_field}_" if _KEYWORD.fullmatch(candid_field) else candid_field


def name_of(node: ast.expr | None) -> str | None:
    """Return a bare or quoted name; ``None`` for every other expression."""
    match node:
        case ast.Name(id=name) | ast.Constant(value=str(name)):
            return name
        case _:
            return None


def subscript_name(node: ast.expr | None) -> str | None:
    """Return ``Vec`` for ``Vec[...]``; ``None`` for everything but a subscript of a name."""
    return name_of(node.value) if isinstance(node, ast.Subscript) else None


@dataclass(frozen=True, slots=True)
class TypeReference:
    """A declared type's name, where it is used."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class ResultAnnotation:
    """What a method returns."""

    types: tuple[CandidType, ...]
    """Empty for ``void``."""
    is_async: bool
    """``Async[...]`` is the outermost form."""
    is_manual: bool
    """``Manual[...]`` occurs along the chain of subscripts."""


@dataclass(frozen=True, slots=True)
class TypeReader:
    """Reads the annotations of one file."""

    file: str
    findings: list[Finding]
    """What is wrong is added here, and reading goes on."""
    references: list[TypeReference]
    """Each use of a declared type is added here."""

    def read(self, node: ast.expr) -> CandidType:
        """Return the type of a parameter, a field, or a map's key or value."""
        match node:
            case ast.Name(id=name) | ast.Constant(value=str(name)):
                return self._read_name(node, name)
            case ast.Subscript(slice=inner):
                return self._read_subscript(node, inner)
            case ast.Call(func=function) if name_of(function) == "Func":
                return self.read_func(node)
            case ast.Constant(value=None):
                message = "None is a value, and no Candid type."
                self.findings.append(NONE_AS_TYPE.found(self._place(node), message))
            case _:
                self._refuse_form(node)
        return _PLACEHOLDER

    def read_result(self, node: ast.expr) -> ResultAnnotation:
        """Return what a function with this return annotation answers."""
        inner = node
        is_manual = False
        while isinstance(inner, ast.Subscript) and subscript_name(inner) in _WRAPPERS:
            inner = inner.slice
        chain: ast.expr = node
        while isinstance(chain, ast.Subscript):
            is_manual = is_manual or subscript_name(chain) == "Manual"
            chain = chain.slice
        return ResultAnnotation(
            types=() if name_of(inner) == _VOID else (self.read(inner),),
            is_async=subscript_name(node) == "Async",
            is_manual=is_manual,
        )

    def read_func(self, call: ast.Call) -> FuncType:
        """Return the type of ``Func(Query[[A, B], R])``."""
        match call.args:
            case [
                ast.Subscript(value=kind_node, slice=ast.Tuple(elts=[ast.List(elts=args), result]))
            ] if name_of(kind_node) in _FUNC_KINDS:
                kind = _FUNC_KINDS[name_of(kind_node) or ""]
                results = () if kind == "oneway" else self.read_result(result).types
                return FuncType(tuple(self.read(one) for one in args), results, kind)
            case _:
                message = "this is not how a function type is written."
                self.findings.append(FUNC_FORM.found(self._place(call), message))
                return FuncType(())

    def _place(self, node: ast.expr) -> Place:
        return Place.of(self.file, node)

    def _read_name(self, node: ast.expr, name: str) -> CandidType:
        if name in PRIMITIVE_NAMES:
            return PRIMITIVE_NAMES[name]
        if name == _VOID:
            message = "void has no value, so nothing can hold one."
            self.findings.append(VOID_VALUE.found(self._place(node), message))
        elif not name.isidentifier():
            message = f"the quoted annotation {name!r} is taken for one name."
            self.findings.append(STRING_TYPE.found(self._place(node), message))
        else:
            self.references.append(TypeReference(name, self._place(node)))
            return NamedType(name)
        return _PLACEHOLDER

    def _read_subscript(self, node: ast.Subscript, inner: ast.expr) -> CandidType:
        match subscript_name(node):
            case "Vec":
                return VecType(self.read(inner))
            case "Opt":
                return OptType(self.read(inner))
            case "Tuple":
                parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                fields = (FieldType(index, self.read(part)) for index, part in enumerate(parts))
                return RecordType(tuple(fields))
            case "Async" | "Manual":
                return self.read(inner)
            case name:
                shown = ast.unparse(node.value)
                message = f"`{shown}[...]` is no Candid type."
                fix = _CLOSEST_SUBSCRIPTS.get(name or node_tail(node.value))
                self.findings.append(TYPE_SUBSCRIPT.found(self._place(node), message, fix=fix))
                return _PLACEHOLDER

    def _refuse_form(self, node: ast.expr) -> None:
        fix: str | None = None
        match node:
            case ast.Attribute(attr=attribute):
                fix = f"Import `{attribute}` and write the bare name."
            case ast.BinOp(op=ast.BitOr()):
                fix = "Write `Opt[...]` for a value or None, or declare a Variant."
            case _:
                pass
        message = f"`{ast.unparse(node)}` is no Candid type."
        self.findings.append(TYPE_FORM.found(self._place(node), message, fix=fix))


def node_tail(node: ast.expr) -> str:
    """Return ``Optional`` for ``typing.Optional``; empty where there is no such name."""
    return node.attr if isinstance(node, ast.Attribute) else ""
