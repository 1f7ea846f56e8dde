"""Which modules a source imports, wherever in it, and whether it can do without them."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["ImportStatement", "find_imports", "iterate_bound_names"]

_IMPORT_FAILURES = frozenset({"BaseException", "Exception", "ImportError", "ModuleNotFoundError"})
"""Exceptions whose handler also catches a missing module."""


@dataclass(frozen=True, slots=True)
class ImportStatement:
    """One imported module, with the names taken from it."""

    module: str
    """Dotted, as written; empty in ``from . import x``."""
    names: tuple[str, ...]
    """What ``from module import`` names, without ``*``; empty for a plain import."""
    level: int
    """Leading dots."""
    line: int
    column: int
    is_optional: bool
    """The source goes on without it: under ``TYPE_CHECKING``, or where ImportError is caught."""
    fallback_for: tuple[str, ...]
    """In an ``except ImportError`` block: the modules whose absence it makes good."""


def find_imports(tree: ast.Module) -> tuple[ImportStatement, ...]:
    """Return every import of a module, in the order of the source, however deeply nested."""
    visitor = _ImportVisitor()
    visitor.visit(tree)
    return tuple(visitor.found)


def iterate_bound_names(tree: ast.Module) -> Iterator[str]:
    """Give the names a module binds outside its functions, and those functions declare global.

    A name bound here is not looked for as a submodule by ``from package import name``.
    """
    for node in _iterate_outside_functions(tree):
        yield from _bound_by(node)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names


def _bound_by(node: ast.AST) -> Sequence[str]:
    match node:
        case (
            ast.Name(id=name, ctx=ast.Store())
            | ast.FunctionDef(name=name)
            | ast.AsyncFunctionDef(name=name)
            | ast.ClassDef(name=name)
            | ast.ExceptHandler(name=str(name))
            | ast.MatchAs(name=str(name))
            | ast.MatchStar(name=str(name))
            | ast.MatchMapping(rest=str(name))
        ):
            return [name]
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return [alias.asname or alias.name.split(".")[0] for alias in aliases]
        case _:
            return []


def _iterate_outside_functions(tree: ast.Module) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


@dataclass(slots=True)
class _ImportVisitor(ast.NodeVisitor):
    found: list[ImportStatement] = field(default_factory=list[ImportStatement])
    is_optional: bool = False
    fallback_for: tuple[str, ...] = ()

    def generic_visit(self, node: ast.AST) -> None:
        """Go on into blocks; an expression holds no import."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(node, alias.name, (), 0)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        names = tuple(alias.name for alias in node.names if alias.name != "*")
        self._add(node, node.module or "", names, node.level)

    def visit_If(self, node: ast.If) -> None:
        # A chain of elif is as deep as it is long, and a loop goes deeper than calls do.
        rest: list[ast.stmt] = [node]
        while len(rest) == 1 and isinstance(rest[0], ast.If):
            test, body, rest = rest[0].test, rest[0].body, rest[0].orelse
            self._visit_all(body, is_optional=self.is_optional or _is_type_checking(test))
        self._visit_all(rest, is_optional=self.is_optional)

    def visit_Try(self, node: ast.Try) -> None:
        is_caught = any(_catches_import_failure(handler) for handler in node.handlers)
        first = len(self.found)
        self._visit_all(node.body, is_optional=self.is_optional or is_caught)
        tried = tuple(one.module for one in self.found[first:] if one.level == 0)
        outer = self.fallback_for
        for handler in node.handlers:
            self.fallback_for = tried if _catches_import_failure(handler) else outer
            self._visit_all(handler.body, is_optional=self.is_optional)
        self.fallback_for = outer
        self._visit_all([*node.orelse, *node.finalbody], is_optional=self.is_optional)

    def _visit_all(self, body: list[ast.stmt], *, is_optional: bool) -> None:
        outer = self.is_optional
        self.is_optional = is_optional
        for statement in body:
            self.visit(statement)
        self.is_optional = outer

    def _add(
        self, node: ast.Import | ast.ImportFrom, module: str, names: tuple[str, ...], level: int
    ) -> None:
        self.found.append(
            ImportStatement(
                module=module,
                names=names,
                level=level,
                line=node.lineno,
                column=node.col_offset + 1,
                is_optional=self.is_optional,
                fallback_for=self.fallback_for,
            )
        )


def _is_type_checking(test: ast.expr) -> bool:
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
        case _:
            return False


def _catches_import_failure(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    if caught is None:
        return True
    choices = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(one, ast.Name) and one.id in _IMPORT_FAILURES for one in choices)
