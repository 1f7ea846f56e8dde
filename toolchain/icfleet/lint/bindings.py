"""Where names come from: the module, the canister's or Kybra's, that defines what they mean."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from icfleet_localnet.kybra_host.imports import iterate_bound_names
from icfleet_localnet.kybra_host.source_graph import SourceGraph, SourceModule, absolute_name

__all__ = ["Bindings", "Origin", "visible_in_entry"]


@dataclass(frozen=True, slots=True)
class Origin:
    """A definition."""

    module: str
    """Dotted name of the defining module."""
    name: str


@dataclass(frozen=True, slots=True)
class _Table:
    """What one module binds, wherever in it."""

    modules: dict[str, str] = field(default_factory=dict[str, str])
    """``import a.b as c``: c is bound to the module a.b."""
    imported: dict[str, Origin] = field(default_factory=dict[str, Origin])
    """``from a import b as c``: c is bound to b of a."""
    stars: list[str] = field(default_factory=list[str])
    bound: set[str] = field(default_factory=set[str])


class Bindings:
    """Follows names through the imports of a source graph."""

    def __init__(self, graph: SourceGraph) -> None:
        self._graph = graph
        self._tables: dict[str, _Table] = {}

    def origin(self, module: SourceModule, name: str) -> Origin | None:
        """Return where ``name``, as ``module`` uses it, is defined; ``None`` when unknown."""
        waiting = [Origin(module.name, name)]
        seen: set[Origin] = set()
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            if not self._graph.has(one.module):
                return one
            table = self._table(one.module)
            if one.name in table.imported:
                waiting.append(table.imported[one.name])
            elif one.name in table.bound:
                return one
            else:
                waiting.extend(Origin(star, one.name) for star in table.stars)
        return None

    def module_name(self, module: SourceModule, name: str) -> str | None:
        """Return the module ``name`` is bound to, by ``import`` or ``from package import``."""
        table = self._table(module.name)
        if name in table.modules:
            return table.modules[name]
        origin = table.imported.get(name)
        if origin is not None and self._graph.has(f"{origin.module}.{origin.name}"):
            return f"{origin.module}.{origin.name}"
        return None

    def _table(self, name: str) -> _Table:
        if name not in self._tables:
            self._tables[name] = _read_table(self._graph, self._graph.modules[name])
        return self._tables[name]


def visible_in_entry(graph: SourceGraph) -> frozenset[str] | None:
    """Return what ``from entry import *`` brings; ``None`` when only running it would tell."""
    return _star_names(graph, graph.entry, frozenset())


def _read_table(graph: SourceGraph, module: SourceModule) -> _Table:
    table = _Table(bound=set(_iterate_module_names(module.tree)))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                table.modules[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            source = absolute_name(module, node.module or "", node.level)
            if source is None:
                continue
            for alias in node.names:
                if alias.name != "*":
                    table.imported[alias.asname or alias.name] = Origin(source, alias.name)
                elif graph.has(source):
                    table.stars.append(source)
    return table


def _star_names(
    graph: SourceGraph, module: SourceModule, above: frozenset[str]
) -> frozenset[str] | None:
    listed = _literal_all(module.tree)
    if listed is not None:
        return listed
    if "__all__" in set(iterate_bound_names(module.tree)):
        return None
    names = set(_iterate_module_names(module.tree))
    for star in _iterate_stars(module):
        inner = graph.modules.get(star)
        if inner is None or star in above:
            continue
        brought = _star_names(graph, inner, above | {module.name})
        if brought is None:
            return None
        names |= brought
    return frozenset(name for name in names if not name.startswith("_") and name != "*")


def _literal_all(tree: ast.Module) -> frozenset[str] | None:
    """Return ``__all__`` when one assignment of plain strings is all there is to it."""
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and _mentions_all(node)
    ]
    match values:
        case [ast.List(elts=elements) | ast.Tuple(elts=elements)]:
            names = [one.value for one in elements if isinstance(one, ast.Constant)]
            texts = frozenset(name for name in names if isinstance(name, str))
            return texts if len(names) == len(elements) else None
        case _:
            return None


def _mentions_all(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(one, ast.Name) and one.id == "__all__" for one in targets)


def _iterate_module_names(tree: ast.Module) -> Iterator[str]:
    """Give the names bound at module level: not those of class bodies."""
    shallow: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            yield statement.name
        else:
            shallow.append(statement)
    yield from iterate_bound_names(ast.Module(shallow, []))


def _iterate_stars(module: SourceModule) -> Iterator[str]:
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            source = absolute_name(module, node.module or "", node.level)
            if source is not None:
                yield source
