"""What runs in a canister, but not as it does under CPython or as it reads.

The rules are heuristics over syntax, for the project's own files only.
"""

import ast
from collections.abc import Iterator

from icfleet.lint.bindings import Bindings
from icfleet.lint.project import Project, own_nodes
from icfleet.lint.rules import DICT_UNPACKING, PREDICTABLE_RANDOM, PRINCIPAL_IDENTITY, PRINT_CALL
from icfleet_localnet.kybra_host.annotations import name_of
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.source_graph import SourceModule

__all__ = ["find_behaviour_surprises"]

_PRINCIPAL_CALLS = frozenset({("ic", "caller"), ("ic", "id")})
_CONTAINER_CALLS = frozenset({"Counter", "OrderedDict", "defaultdict", "dict", "set"})
_KEYED_METHODS = frozenset({"add", "discard", "get", "pop", "remove", "setdefault"})

_PREDICTABLE = frozenset(
    {("os", "urandom"), ("random", "SystemRandom"), ("uuid", "uuid1"), ("uuid", "uuid4")}
)
"""Functions that draw from the canister's constant seed; so does all of ``secrets``."""

_DRAWS = frozenset(
    {
        *(
            "betavariate",
            "choice",
            "choices",
            "expovariate",
            "gauss",
            "getrandbits",
            "normalvariate",
        ),
        *("randbytes", "randint", "random", "randrange", "sample", "shuffle", "uniform"),
    }
)
"""Functions of ``random`` that draw from its shared generator."""

_BEFORE_SEEDING = frozenset({"init", "post_upgrade"})

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def find_behaviour_surprises(project: Project) -> Iterator[Finding]:
    """Give the lines that behave otherwise on chain."""
    bindings = project.bindings
    for module in project.own:
        for node in project.nodes(module):
            yield from _find_print(module, bindings, node)
            yield from _find_unpacking(module, node)
            yield from _find_predictable(module, bindings, node)
        yield from _find_principals(module)
        yield from _find_early_draws(project, module, module.tree.body, "at module level")
    for hook in project.analysis.declarations.hooks:
        if hook.kind in _BEFORE_SEEDING and hook.module.is_own:
            yield from _find_early_draws(project, hook.module, hook.node.body, f"in {hook.kind}")


def _find_early_draws(
    project: Project, module: SourceModule, body: list[ast.stmt], where: str
) -> Iterator[Finding]:
    """Give the draws of ``random`` before Kybra's timer has seeded it."""
    for node in own_nodes(body):
        if not isinstance(node, ast.Call):
            continue
        origin = project.origin(module, node.func)
        if origin is not None and origin.module == "random" and origin.name in _DRAWS:
            message = (
                f"`{ast.unparse(node.func)}` {where} draws from a constant seed: Kybra seeds "
                "`random` by a timer, after the install or upgrade."
            )
            yield PREDICTABLE_RANDOM.found(Place.of(module.file, node), message)


def _find_print(module: SourceModule, bindings: Bindings, node: ast.AST) -> Iterator[Finding]:
    match node:
        case ast.Call(func=ast.Name(id="print")) if bindings.origin(module, "print") is None:
            message = "`print` goes nowhere in a canister."
            yield PRINT_CALL.found(Place.of(module.file, node), message)
        case _:
            pass


def _find_unpacking(module: SourceModule, node: ast.AST) -> Iterator[Finding]:
    if not isinstance(node, ast.Dict) or None not in node.keys:
        return
    after = node.keys[node.keys.index(None) :]
    if any(key is not None for key in after):
        message = "in a canister, `**` wins over the keys written after it."
        yield DICT_UNPACKING.found(Place.of(module.file, node), message)


def _find_predictable(module: SourceModule, bindings: Bindings, node: ast.AST) -> Iterator[Finding]:
    match node:
        case ast.Name(id=name, ctx=ast.Load()):
            origin = bindings.origin(module, name)
            used = ("", "") if origin is None else (origin.module, origin.name)
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            used = (bindings.module_name(module, name) or "", attribute)
        case _:
            return
    if used in _PREDICTABLE or used[0] == "secrets":
        assert isinstance(node, ast.expr), node
        message = f"`{ast.unparse(node)}` draws from a constant seed, the same in each canister."
        yield PREDICTABLE_RANDOM.found(Place.of(module.file, node), message)


def _find_principals(module: SourceModule) -> Iterator[Finding]:
    outer = _principal_names(module.tree.body, [])
    containers = {
        statement.targets[0].id
        for statement in module.tree.body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and _is_container(statement.value)
    }
    for scope, nodes in _iterate_scopes(module.tree):
        parameters = _parameters(scope) if isinstance(scope, _Function) else []
        names = outer | _principal_names(nodes, parameters)
        for node in nodes:
            yield from _find_identity(module, node, names, containers)


def _iterate_scopes(tree: ast.Module) -> Iterator[tuple[ast.AST, list[ast.AST]]]:
    """Give the module and each function, with the nodes that belong to it and no inner one."""
    scopes: list[ast.AST] = [tree]
    while scopes:
        scope = scopes.pop()
        nodes: list[ast.AST] = []
        waiting = list(ast.iter_child_nodes(scope))
        while waiting:
            node = waiting.pop()
            if isinstance(node, _Function):
                scopes.append(node)
            else:
                nodes.append(node)
                waiting.extend(ast.iter_child_nodes(node))
        yield scope, nodes


def _parameters(node: _Function) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def _principal_names(nodes: list[ast.stmt] | list[ast.AST], parameters: list[ast.arg]) -> set[str]:
    names = {one.arg for one in parameters if name_of(one.annotation) == "Principal"}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_principal(
                value, set()
            ):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation) if (
                name_of(annotation) == "Principal"
            ):
                names.add(name)
            case _:
                pass
    return names


def _is_principal(node: ast.expr, names: set[str]) -> bool:
    match node:
        case ast.Name(id=name):
            return name in names
        case ast.Call(func=ast.Attribute(value=ast.Name(id="Principal"))):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=method)):
            return (owner, method) in _PRINCIPAL_CALLS
        case _:
            return False


def _is_container(node: ast.expr) -> bool:
    if isinstance(node, ast.Dict | ast.DictComp | ast.Set | ast.SetComp):
        return True
    return isinstance(node, ast.Call) and name_of(node.func) in _CONTAINER_CALLS


def _find_identity(
    module: SourceModule, node: ast.AST, names: set[str], containers: set[str]
) -> Iterator[Finding]:
    found: ast.expr | None = None
    what = ""
    match node:
        case ast.Compare(left=left, ops=operators, comparators=others) if any(
            isinstance(one, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for one in operators
        ):
            found = next((one for one in (left, *others) if _is_principal(one, names)), None)
            what = "two equal principals compare unequal"
        case ast.Subscript(slice=key) if _is_principal(key, names):
            found, what = key, "a principal never finds its own entry again"
        case ast.Dict(keys=keys):
            found = next((one for one in keys if one and _is_principal(one, names)), None)
            what = "a principal never finds its own entry again"
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=owner), attr=method), args=[key, *_]
        ) if owner in containers and method in _KEYED_METHODS and _is_principal(key, names):
            found, what = key, "a principal never finds its own entry again"
        case _:
            pass
    if found is not None:
        message = f"`{ast.unparse(found)}` is a Principal without equality: {what}."
        yield PRINCIPAL_IDENTITY.found(Place.of(module.file, found), message)
