"""Values that trap where they meet their declared Candid type, as far as they are written out.

Kybra converts a result only after the method has run, and a map's value when it is inserted. A
value that does not fit traps there, each time; natively it passes.
"""

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType

from icfleet.lint.project import Project, own_nodes
from icfleet.lint.rules import INT_FOR_FLOAT, MISSING_FIELD, UNFIT_VALUE, UNKNOWN_CASE
from icfleet_localnet.kybra_host.annotations import python_name
from icfleet_localnet.kybra_host.findings import Finding, Place, Rule
from icfleet_localnet.kybra_host.source_graph import SourceModule
from icfleet_protocol.candid import (
    BoolType,
    CandidType,
    Float32Type,
    Float64Type,
    Int8Type,
    Int16Type,
    Int32Type,
    Int64Type,
    IntType,
    NamedType,
    Nat8Type,
    Nat16Type,
    Nat32Type,
    Nat64Type,
    NatType,
    NullType,
    OptType,
    PrincipalType,
    RecordType,
    ReservedType,
    TextType,
    VariantType,
    VecType,
)

__all__ = ["find_unfit_values"]

_RANGES: Mapping[type[CandidType], tuple[float, float]] = {
    Int16Type: (-(2**15), 2**15 - 1),
    Int32Type: (-(2**31), 2**31 - 1),
    Int64Type: (-(2**63), 2**63 - 1),
    Int8Type: (-(2**7), 2**7 - 1),
    IntType: (-math.inf, math.inf),
    Nat16Type: (0, 2**16 - 1),
    Nat32Type: (0, 2**32 - 1),
    Nat64Type: (0, 2**64 - 1),
    Nat8Type: (0, 2**8 - 1),
    NatType: (0, math.inf),
}

_FLOATS = (Float32Type, Float64Type)
_CHECKED = (*_RANGES, *_FLOATS, BoolType, NullType, PrincipalType, TextType)
_TYPES_OF: Mapping[type[object], tuple[type[CandidType], ...]] = {
    NoneType: (NullType,),
    bytes: (VecType,),
    float: _FLOATS,
    str: (TextType,),
}
"""The types a constant becomes; an int becomes those of ``_RANGES``."""
_UNBOUNDED = (IntType, NatType, *_FLOATS)
_ITERATED = tuple(one for one in (*_RANGES, BoolType, TextType) if one not in _UNBOUNDED)
"""Types whose vectors take any iterable; for all others only a list will do."""

_NO_LISTS = frozenset(
    {"enumerate", "filter", "frozenset", "map", "range", "reversed", "set", "tuple", "zip"}
)
"""Builtins that give an iterable that is not a list."""

_KEYED = frozenset({"contains_key", "get", "remove"})

_Problem = tuple[Rule, ast.expr, str]


@dataclass(frozen=True, slots=True)
class _Values:
    project: Project
    module: SourceModule
    types: Mapping[str, CandidType]

    def problems(self, content: CandidType, value: ast.expr) -> Iterator[_Problem]:
        """Give what in ``value`` would not convert to ``content``."""
        content = self._resolve(content)
        if isinstance(value, ast.IfExp):
            yield from self.problems(content, value.body)
            yield from self.problems(content, value.orelse)
        elif not isinstance(content, OptType):
            yield from self._plain_problems(content, value)
        elif not _is_none(value):
            yield from self.problems(content.inner, value)

    def _plain_problems(self, content: CandidType, value: ast.expr) -> Iterator[_Problem]:
        match value:
            case ast.Constant(value=constant) if constant is not Ellipsis:
                yield from _constant_problems(content, value, constant)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                yield from _constant_problems(content, value, -number)
            case ast.Dict():
                yield from self._dict_problems(content, value)
            case ast.List() | ast.Tuple():
                yield from self._sequence_problems(content, value)
            case _:
                if isinstance(content, VecType) and self._is_no_list(value):
                    yield from self._list_problems(content, value)

    def _resolve(self, content: CandidType) -> CandidType:
        seen: set[str] = set()
        while isinstance(content, NamedType) and content.name not in seen:
            seen.add(content.name)
            content = self.types.get(content.name, content)
        return content

    def _dict_problems(self, content: CandidType, value: ast.Dict) -> Iterator[_Problem]:
        given = {
            key.value: item
            for key, item in zip(value.keys, value.values, strict=True)
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }
        is_whole = len(given) == len(value.keys)
        if isinstance(content, VariantType):
            cases = {python_name(str(one.name)): one.type for one in content.fields}
            chosen = next((name for name in cases if name in given), None)
            if chosen is not None:
                yield from self.problems(cases[chosen], given[chosen])
            elif is_whole and cases:
                message = f"none of {_listed(given)} is a case: they are {_listed(cases)}."
                yield UNKNOWN_CASE, value, message
        elif isinstance(content, RecordType):
            yield from self._record_problems(content, value, given if is_whole else None)
            for one in content.fields:
                name = python_name(str(one.name))
                if name in given:
                    yield from self.problems(one.type, given[name])
        elif isinstance(content, _CHECKED):
            yield UNFIT_VALUE, value, f"a dict is no {content}."

    def _record_problems(
        self, content: RecordType, value: ast.Dict, given: Mapping[str, ast.expr] | None
    ) -> Iterator[_Problem]:
        """Give the fields that are missing, when all of the dict's keys are written out."""
        names = [python_name(one.name) for one in content.fields if isinstance(one.name, str)]
        missing = [] if given is None else [name for name in names if name not in given]
        if missing:
            yield MISSING_FIELD, value, f"the record lacks {_listed(missing)}: a KeyError."

    def _sequence_problems(
        self, content: CandidType, value: ast.List | ast.Tuple
    ) -> Iterator[_Problem]:
        parts = [] if any(isinstance(one, ast.Starred) for one in value.elts) else value.elts
        what = "list" if isinstance(value, ast.List) else "tuple"
        if isinstance(content, VecType):
            if isinstance(value, ast.Tuple):
                yield from self._list_problems(content, value)
            for part in parts:
                yield from self.problems(content.inner, part)
        elif isinstance(content, RecordType) and _is_tuple(content):
            for one, part in zip(content.fields, parts, strict=False):
                yield from self.problems(one.type, part)
            if parts and len(parts) < len(content.fields):
                yield UNFIT_VALUE, value, f"the {what} is shorter than {content}."
        elif isinstance(content, (*_CHECKED, VariantType)) or (
            isinstance(content, RecordType) and content.fields
        ):
            yield UNFIT_VALUE, value, f"a {what} is no {content}."

    def _is_no_list(self, value: ast.expr) -> bool:
        match value:
            case ast.GeneratorExp() | ast.Set() | ast.SetComp() | ast.DictComp():
                return True
            case ast.Call(func=ast.Name(id=name)) if name in _NO_LISTS:
                return self.project.is_builtin(self.module, name)
            case _:
                return False

    def _list_problems(self, content: VecType, value: ast.expr) -> Iterator[_Problem]:
        if not isinstance(self._resolve(content.inner), _ITERATED):
            yield UNFIT_VALUE, value, f"only a list becomes {content}."


def find_unfit_values(project: Project) -> Iterator[Finding]:
    """Give the written-out results, replies, keys and values that trap when converted."""
    declarations = project.analysis.declarations
    types = {one.name: one.content for one in declarations.types}
    for method in declarations.methods:
        values = _Values(project, method.module, types)
        for one in own_nodes(method.node.body):
            match one:
                case ast.Return(value=value) if not method.result.is_manual:
                    yield from _check_result(values, method.result.types, one, value)
                case ast.Call(func=function, args=[value]) if (
                    method.result.is_manual
                    and project.system_name(method.module, function) == "reply"
                ):
                    yield from _check_result(values, method.result.types, one, value)
                case _:
                    pass
    for guard in declarations.guards:
        values = _Values(project, guard.module, types)
        for one in own_nodes(guard.node.body):
            if isinstance(one, ast.Return):
                yield from _check_result(values, (NamedType("GuardResult"),), one, one.value)
    for module in project.own:
        yield from _check_map_calls(_Values(project, module, types))


def _check_result(
    values: _Values,
    types: tuple[CandidType, ...],
    at: ast.Return | ast.Call,
    value: ast.expr | None,
) -> Iterator[Finding]:
    given = value or ast.copy_location(ast.Constant(None), at)
    content = types[0] if types else NullType()
    for rule, node, message in values.problems(content, given):
        yield rule.found(Place.of(values.module.file, node), message)


def _check_map_calls(values: _Values) -> Iterator[Finding]:
    for node in values.project.nodes(values.module):
        match node:
            case ast.Call(func=ast.Attribute(value=receiver, attr=method), args=[key, *others]) if (
                method == "insert" or method in _KEYED
            ):
                binding = values.project.map_of(values.module, receiver)
                if binding is None:
                    continue
                problems = list(values.problems(binding.declaration.key, key))
                if method == "insert" and others:
                    problems += values.problems(binding.declaration.value, others[0])
                for rule, at, message in problems:
                    yield rule.found(Place.of(values.module.file, at), message)
            case _:
                pass


def _constant_problems(content: CandidType, node: ast.expr, value: object) -> Iterator[_Problem]:
    if isinstance(content, ReservedType | NamedType):
        return
    if isinstance(content, _FLOATS) and type(value) is int:
        yield INT_FOR_FLOAT, node, f"{value} is an int, and a {content} takes only a float."
    elif not _fits(content, value):
        yield UNFIT_VALUE, node, f"`{ast.unparse(node)}` does not fit {content}."


def _fits(content: CandidType, value: object) -> bool:
    if isinstance(value, int):
        low, high = _RANGES.get(type(content), (1, 0))
        return isinstance(content, BoolType) or low <= value <= high
    return isinstance(content, _TYPES_OF.get(type(value), ()))


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _is_tuple(content: RecordType) -> bool:
    return bool(content.fields) and all(isinstance(one.name, int) for one in content.fields)


def _listed(names: Mapping[str, object] | list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names) or "nothing"
