"""What looks like a method or a hook, and is not what it looks like."""

import ast
from collections.abc import Iterator

from icfleet.lint.bindings import Bindings, Origin, visible_in_entry
from icfleet.lint.project import Project
from icfleet.lint.rules import (
    ASYNC_FUNCTION,
    CALLED_HOOK,
    FIELD_DEFAULT,
    FOREIGN_BASE,
    HOOK_GUARD,
    KEYWORD_ONLY,
    NESTED_FUNCTION,
    NESTED_OPT,
    NOT_A_BARE_NAME,
    NOT_VISIBLE,
    PARAMETER_DEFAULT,
    YIELD_IN_QUERY,
)
from icfleet_localnet.kybra_host.annotations import name_of, subscript_name
from icfleet_localnet.kybra_host.declarations import (
    HOOK_DECORATORS,
    METHOD_DECORATORS,
    GuardDeclaration,
    HookDeclaration,
    MethodDeclaration,
    parameters_of,
)
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.frontend import Analysis
from icfleet_localnet.kybra_host.source_graph import SourceModule
from icfleet_localnet.kybra_host.type_checks import reachable_types

__all__ = ["find_dropped_exports"]

_DECORATORS = frozenset({*METHOD_DECORATORS, *HOOK_DECORATORS})
_UNCALLABLE_HOOKS = frozenset({"init", "post_upgrade"})
_CANDID_BASES = frozenset({"Record", "Service", "Variant"})

_AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


def find_dropped_exports(project: Project) -> Iterator[Finding]:
    """Give what is missing from the interface, or in it and never reached."""
    analysis = project.analysis
    for module in project.own:
        yield from _find_unseen_functions(module, project.bindings)
        yield from _find_field_surprises(module, project.bindings)
        yield from _find_nested_opts(module)
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


def _find_nested_opts(module: SourceModule) -> Iterator[Finding]:
    for node in ast.walk(module.tree):
        match node:
            case ast.Subscript(slice=ast.Subscript() as inner) if (
                subscript_name(node) == "Opt" and subscript_name(inner) == "Opt"
            ):
                message = "in Python, an Opt of None and None itself are one and the same."
                yield NESTED_OPT.found(Place.of(module.file, node), message)
            case _:
                pass


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
    optional = parameters_of(node)[::-1]
    for parameter, default in zip(optional, node.args.defaults[::-1], strict=False):
        if subscript_name(parameter.annotation) == "Opt" and _is_none(default):
            # Candid itself takes a missing Opt for None.
            continue
        message = f"{node.name}'s default `{ast.unparse(default)}` is ignored: callers give it."
        yield PARAMETER_DEFAULT.found(Place.of(file, default), message)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


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
    yield from _find_invisible_services(analysis, visible)


def _find_invisible_services(analysis: Analysis, visible: frozenset[str]) -> Iterator[Finding]:
    """Give the methods that receive a Service whose class the entry does not have."""
    environment = {one.name: one.content for one in analysis.declarations.types}
    for method in analysis.declarations.methods:
        used = reachable_types(method.args, environment)
        for name in sorted(used & analysis.declarations.services.keys() - visible):
            message = (
                f"{method.node.name} receives a {name}, which `from {analysis.graph.entry.name} "
                "import *` does not bring, so every call would trap."
            )
            yield NOT_VISIBLE.found(Place.of(method.module.file, method.node), message)


def _yields(node: ast.FunctionDef) -> bool:
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(one))
    return False
