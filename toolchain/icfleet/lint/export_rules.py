"""What looks like a method or a hook, and is not what it looks like."""

import ast
from collections.abc import Iterator

from icfleet.lint.bindings import Bindings, Origin, visible_in_entry
from icfleet.lint.rules import (
    ASYNC_FUNCTION,
    CALLED_HOOK,
    FIELD_DEFAULT,
    FOREIGN_BASE,
    HOOK_GUARD,
    KEYWORD_ONLY,
    NESTED_FUNCTION,
    NOT_A_BARE_NAME,
    NOT_VISIBLE,
    PARAMETER_DEFAULT,
    YIELD_IN_QUERY,
)
from icfleet_localnet.kybra_host.annotations import name_of
from icfleet_localnet.kybra_host.declarations import (
    HOOK_DECORATORS,
    METHOD_DECORATORS,
    GuardDeclaration,
    HookDeclaration,
    MethodDeclaration,
)
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.frontend import Analysis
from icfleet_localnet.kybra_host.source_graph import SourceModule

__all__ = ["find_dropped_exports"]

_DECORATORS = frozenset({*METHOD_DECORATORS, *HOOK_DECORATORS})
_UNCALLABLE_HOOKS = frozenset({"init", "post_upgrade"})
_CANDID_BASES = frozenset({"Record", "Service", "Variant"})

_AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


def find_dropped_exports(analysis: Analysis) -> Iterator[Finding]:
    """Give what is missing from the interface, or in it and never reached."""
    bindings = Bindings(analysis.graph)
    for module in analysis.graph.modules.values():
        if module.is_own:
            yield from _find_unseen_functions(module, bindings)
            yield from _find_field_surprises(module, bindings)
    for method in analysis.declarations.methods:
        yield from _find_parameter_surprises(method)
        if method.kind == "query" and not method.result.is_async and _yields(method.node):
            message = f"the query {method.node.name} yields, and a plain query cannot call."
            yield YIELD_IN_QUERY.found(Place.of(method.module.file, method.node), message)
    for hook in analysis.declarations.hooks:
        yield from _find_parameter_surprises(hook)
        yield from _find_hook_surprises(hook)
    yield from _find_invisible(analysis)


def _find_unseen_functions(module: SourceModule, bindings: Bindings) -> Iterator[Finding]:
    top_level = {id(statement) for statement in module.tree.body}
    for node in ast.walk(module.tree):
        if not isinstance(node, _AnyFunction):
            continue
        for decorator in node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            kind = _kybra_decorator(module, bindings, target)
            if kind is None:
                continue
            place = Place.of(module.file, node)
            if isinstance(node, ast.AsyncFunctionDef):
                message = f"`async def {node.name}` is not exported, though decorated as {kind}."
                yield ASYNC_FUNCTION.found(place, message)
            elif id(node) not in top_level:
                message = f"{node.name} is not at module level, so this {kind} is not exported."
                yield NESTED_FUNCTION.found(place, message)
            elif name_of(target) != kind:
                message = f"`@{ast.unparse(target)}` is not seen, so {node.name} is not exported."
                yield NOT_A_BARE_NAME.found(Place.of(module.file, target), message)


def _kybra_decorator(module: SourceModule, bindings: Bindings, target: ast.expr) -> str | None:
    """Return which of Kybra's decorators ``target`` is when the canister runs."""
    match target:
        case ast.Name(id=name):
            origin = bindings.origin(module, name)
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            origin = Origin(bindings.module_name(module, name) or "", attribute)
        case _:
            return None
    if origin is None or origin.module != "kybra" or origin.name not in _DECORATORS:
        return None
    return origin.name


def _find_field_surprises(module: SourceModule, bindings: Bindings) -> Iterator[Finding]:
    for node in module.tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        for base in node.bases:
            name = name_of(base)
            if name not in _CANDID_BASES:
                continue
            origin = bindings.origin(module, name)
            if origin is not None and origin.module != "kybra":
                message = (
                    f"the compiler takes {node.name} for a Candid {name}, by the name of its base "
                    f"alone; that base is {origin.module}.{origin.name}."
                )
                yield FOREIGN_BASE.found(Place.of(module.file, node), message)
            elif name != "Service":
                yield from _find_defaults(module, node)


def _find_defaults(module: SourceModule, node: ast.ClassDef) -> Iterator[Finding]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            field = ast.unparse(statement.target)
            message = f"the default of {node.name}.{field} is ignored."
            yield FIELD_DEFAULT.found(Place.of(module.file, statement), message)


def _find_parameter_surprises(
    declaration: MethodDeclaration | HookDeclaration,
) -> Iterator[Finding]:
    node, file = declaration.node, declaration.module.file
    for parameter in node.args.kwonlyargs:
        message = f"the keyword-only parameter {parameter.arg} of {node.name} is left out."
        yield KEYWORD_ONLY.found(Place.of(file, parameter), message)
    for default in node.args.defaults:
        message = f"{node.name}'s default `{ast.unparse(default)}` is ignored: callers give it."
        yield PARAMETER_DEFAULT.found(Place.of(file, default), message)


def _find_hook_surprises(hook: HookDeclaration) -> Iterator[Finding]:
    for decorator in hook.node.decorator_list:
        if not isinstance(decorator, ast.Call) or name_of(decorator.func) != hook.kind:
            continue
        place = Place.of(hook.module.file, decorator)
        if hook.kind in _UNCALLABLE_HOOKS:
            message = f"`@{hook.kind}(...)` is a TypeError when the canister is installed."
            yield CALLED_HOOK.found(place, message)
        elif any(keyword.arg == "guard" for keyword in decorator.keywords):
            message = f"the guard of the {hook.kind} hook is ignored."
            yield HOOK_GUARD.found(place, message)


def _find_invisible(analysis: Analysis) -> Iterator[Finding]:
    visible = visible_in_entry(analysis.graph)
    if visible is None:
        return
    declarations = analysis.declarations
    used_guards = {method.guard for method in declarations.methods}
    called: list[MethodDeclaration | HookDeclaration | GuardDeclaration] = [
        *declarations.methods,
        *declarations.hooks,
        *(one for one in declarations.guards if one.node.name in used_guards),
    ]
    for one in called:
        name = one.node.name
        if name not in visible:
            entry = analysis.graph.entry.file
            message = (
                f"`from {analysis.graph.entry.name} import *` does not bring {name}, so every call "
                f"would trap with a KeyError; the entry is {entry}."
            )
            yield NOT_VISIBLE.found(Place.of(one.module.file, one.node), message)


def _yields(node: ast.FunctionDef) -> bool:
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(one))
    return False
