"""Stable maps that are not maps, that cannot hold their keys, or that are read without a bound."""

import ast
from collections.abc import Iterator, Mapping

from icfleet.lint.project import AnyFunction, Project, own_nodes
from icfleet.lint.rules import (
    LOST_CHANGE,
    MAP_NOT_TOP_LEVEL,
    MAP_OPERATOR,
    MAP_TOO_SMALL,
    MAP_UNBOUNDED,
)
from icfleet_localnet.kybra_host.annotations import name_of
from icfleet_localnet.kybra_host.declarations import MapBinding
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.map_declarations import STABLE_MAP, is_stable_map
from icfleet_localnet.kybra_host.rules import MAP_FORM
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
    PrincipalType,
    TextType,
    TypeEnvironment,
)

__all__ = ["find_map_surprises"]

_LISTINGS = frozenset({"items", "keys", "values"})
_METHODS = _LISTINGS | {"contains_key", "get", "insert", "is_empty", "len", "remove"}
_ATTRIBUTES = _METHODS | {"memory_id"}
_ITERATING = frozenset({"dict", "enumerate", "iter", "len", "list", "set", "sorted", "tuple"})
_CHANGES = frozenset(
    {
        "append",
        "clear",
        "extend",
        "insert",
        "pop",
        "remove",
        "reverse",
        "setdefault",
        "sort",
        "update",
    }
)
"""Methods that change a list or a dict."""

_HEADER_SIZE = 7
"""Bytes before a primitive value: magic (4), empty type table (1), one argument (1), type (1)."""

_VALUE_SIZES: Mapping[type[CandidType], int] = {
    BoolType: 1,
    Float32Type: 4,
    Float64Type: 8,
    Int16Type: 2,
    Int32Type: 4,
    Int64Type: 8,
    Int8Type: 1,
    IntType: 1,
    Nat16Type: 2,
    Nat32Type: 4,
    Nat64Type: 8,
    Nat8Type: 1,
    NatType: 1,
    PrincipalType: 2,
    TextType: 1,
}
"""Bytes of the shortest value. Source: Candid.md, "Memory": a principal is a flag and a length."""


def find_map_surprises(project: Project) -> Iterator[Finding]:
    """Give what would raise LookupError, trap at each insert, or grow past any message's limit."""
    analysis = project.analysis
    environment = analysis.interface.service.environment
    for binding in analysis.declarations.maps:
        yield from _find_small_sizes(binding, environment)
    for module in analysis.graph.modules.values():
        if not module.is_kybra:
            yield from _find_misplaced(module)
    for module in project.own:
        for node in project.nodes(module):
            yield from _find_use(project, module, node)
        for function, _ in project.functions(module):
            yield from _find_lost_changes(project, module, function)


def _find_small_sizes(binding: MapBinding, environment: TypeEnvironment) -> Iterator[Finding]:
    declaration = binding.declaration
    for what, content, size in (
        ("key", declaration.key, declaration.key_size_max),
        ("value", declaration.value, declaration.value_size_max),
    ):
        needed = _shortest_encoding(content, environment)
        if size < needed:
            message = (
                f"no {what} of {binding.name} fits max_{what}_size={size}: a {content} takes at "
                f"least {needed} bytes, so each insert would trap."
            )
            yield MAP_TOO_SMALL.found(binding.place, message)


def _shortest_encoding(content: CandidType, environment: TypeEnvironment) -> int:
    """Return the bytes of the shortest message; for composite types only a lower bound."""
    seen: set[str] = set()
    while isinstance(content, NamedType) and content.name not in seen:
        seen.add(content.name)
        content = environment.get(content.name, content)
    return _HEADER_SIZE + _VALUE_SIZES.get(type(content), 0)


def _find_misplaced(module: SourceModule) -> Iterator[Finding]:
    declared = {
        id(statement.value)
        for statement in module.tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
    }
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        if is_stable_map(node) and id(node) not in declared:
            message = (
                "the compiler sees no map here, so each use would raise LookupError: it is not "
                "the whole right side of a module-level assignment."
            )
            yield MAP_NOT_TOP_LEVEL.found(Place.of(module.file, node), message)
        elif name_of(node.func) == STABLE_MAP:
            message = "the compiler sees no map without key and value types."
            yield MAP_FORM.found(Place.of(module.file, node), message)


def _find_use(project: Project, module: SourceModule, node: ast.AST) -> Iterator[Finding]:
    """Give what a dict would do and a stable map does not, and the listing of a whole map."""
    used: ast.expr | None = None
    how = ""
    match node:
        case ast.Call(func=ast.Attribute(value=receiver, attr=method)) if method in _LISTINGS:
            if project.map_of(module, receiver) is not None:
                message = (
                    f"`{ast.unparse(receiver)}.{method}()` decodes the whole map in one message, "
                    "until the map outgrows it."
                )
                yield MAP_UNBOUNDED.found(Place.of(module.file, node), message)
            return
        case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[used]):
            how = "`in`"
        case ast.Subscript(value=used):
            how = "`[...]`"
        case ast.For(iter=used) | ast.comprehension(iter=used):
            how = "iteration"
        case ast.Call(func=ast.Name(id=name), args=[used, *_]) if name in _ITERATING:
            how = f"`{name}`" if project.is_builtin(module, name) else ""
        case ast.Attribute(value=used, attr=name) if name not in _ATTRIBUTES:
            how = f"method {name}"
        case _:
            return
    if how and not _is_dunder(node) and project.map_of(module, used) is not None:
        message = f"a stable map knows no {how}: this raises."
        yield MAP_OPERATOR.found(Place.of(module.file, used), message)


def _is_dunder(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr.startswith("__")


def _find_lost_changes(
    project: Project, module: SourceModule, function: AnyFunction
) -> Iterator[Finding]:
    """Give the changes to a copy from a map that nothing else in the function looks at."""
    nodes = list(own_nodes(function.body))
    for node in nodes:
        changed = _changed_value(node)
        if isinstance(changed, ast.Call) and _is_get(project, module, changed):
            yield _lost_change(module, changed)
    reads = _reads(nodes)
    for name in _copies(project, module, nodes):
        changes = {
            id(changed): changed
            for node in nodes
            if isinstance(changed := _changed_value(node), ast.Name) and changed.id == name
        }
        others = [
            one
            for one in ast.walk(function)
            if isinstance(one, ast.Name)
            and one.id == name
            and isinstance(one.ctx, ast.Load)
            and id(one) not in changes
            and id(one) not in reads
        ]
        if changes and not others:
            yield _lost_change(module, next(iter(changes.values())))


def _lost_change(module: SourceModule, node: ast.expr) -> Finding:
    message = f"`{ast.unparse(node)}` is a copy, so the map never sees this change."
    return LOST_CHANGE.found(Place.of(module.file, node), message)


def _is_get(project: Project, module: SourceModule, node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=receiver, attr="get")):
            return project.map_of(module, receiver) is not None
        case _:
            return False


def _copies(project: Project, module: SourceModule, nodes: list[ast.AST]) -> list[str]:
    """Return the names that hold what a map gave, and nothing else."""
    assigned: dict[str, list[bool]] = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                assigned.setdefault(name, []).append(_is_get(project, module, value))
            case ast.Name(id=name, ctx=ast.Store()):
                assigned.setdefault(name, [])
            case _:
                pass
    stores = [
        one.id for one in nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    ]
    return [
        name
        for name, all_gets in assigned.items()
        if all_gets and all(all_gets) and stores.count(name) == len(all_gets)
    ]


def _changed_value(node: ast.AST) -> ast.expr | None:
    """Return what a statement changes in place: ``x`` of ``x["k"] = 1`` and ``x.append(1)``."""
    match node:
        case (
            ast.Assign(targets=[ast.Subscript(value=value)])
            | ast.AugAssign(target=ast.Subscript(value=value))
        ):
            return value
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=value, attr=attribute))) if (
            attribute in _CHANGES
        ):
            return value
        case _:
            return None


def _reads(nodes: list[ast.AST]) -> set[int]:
    """Return the expressions that are only looked at: ``x`` of ``x["k"]`` and ``x is None``."""
    found: set[int] = set()
    for node in nodes:
        match node:
            case (
                ast.Compare(left=read, ops=[ast.Is() | ast.IsNot()])
                | ast.If(test=read)
                | ast.If(test=ast.UnaryOp(op=ast.Not(), operand=read))
                | ast.Subscript(value=read)
            ):
                found.add(id(read))
            case _:
                pass
    return found
