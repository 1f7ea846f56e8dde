"""Stable maps that are not maps, that cannot hold their keys, or that are read without a bound."""

import ast
from collections.abc import Iterator, Mapping

from icfleet.lint.bindings import Bindings
from icfleet.lint.rules import MAP_NOT_TOP_LEVEL, MAP_TOO_SMALL, MAP_UNBOUNDED
from icfleet_localnet.kybra_host.annotations import name_of
from icfleet_localnet.kybra_host.declarations import MapBinding
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.frontend import Analysis
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


def find_map_surprises(analysis: Analysis) -> Iterator[Finding]:
    """Give what would raise LookupError, trap at each insert, or grow past any message's limit."""
    environment = analysis.interface.service.environment
    for binding in analysis.declarations.maps:
        yield from _find_small_sizes(binding, environment)
    finder = _ListingFinder(analysis)
    for module in analysis.graph.modules.values():
        if not module.is_kybra:
            yield from _find_misplaced(module)
        if module.is_own:
            yield from finder.find(module)


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


class _ListingFinder:
    """Finds ``map.keys()`` and the like, also on maps imported from other modules."""

    def __init__(self, analysis: Analysis) -> None:
        self._bindings = Bindings(analysis.graph)
        self._maps = {(one.module.name, one.name) for one in analysis.declarations.maps}

    def find(self, module: SourceModule) -> Iterator[Finding]:
        for node in ast.walk(module.tree):
            match node:
                case ast.Call(func=ast.Attribute(value=receiver, attr=method)) if (
                    method in _LISTINGS and self._is_map(module, receiver)
                ):
                    message = (
                        f"`{ast.unparse(receiver)}.{method}()` decodes the whole map in one "
                        "message, until the map outgrows it."
                    )
                    yield MAP_UNBOUNDED.found(Place.of(module.file, node), message)
                case _:
                    pass

    def _is_map(self, module: SourceModule, receiver: ast.expr) -> bool:
        match receiver:
            case ast.Name(id=name):
                origin = self._bindings.origin(module, name)
                return origin is not None and (origin.module, origin.name) in self._maps
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                owner = self._bindings.module_name(module, name)
                return owner is not None and (owner, attribute) in self._maps
            case _:
                return False
