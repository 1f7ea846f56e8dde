"""Methods and hooks that compile, and do not answer, accept, upgrade or keep what they change."""

import ast
from collections.abc import Iterator

from icfleet.lint.project import Project, is_generator, own_nodes
from icfleet.lint.rules import (
    HEARTBEAT,
    LOST_IN_QUERY,
    MANUAL_VALUE,
    MAP_LOOP,
    NEVER_ACCEPTS,
    NO_REPLY,
    REPLY_TWICE,
    STUCK_UPGRADE,
    SYNC_GENERATOR,
    UPGRADE_ARGUMENT,
)
from icfleet_localnet.kybra_host.declarations import (
    HookDeclaration,
    MethodDeclaration,
    parameters_of,
)
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_protocol.candid import OptType

__all__ = ["find_method_surprises"]

_REPLIES = frozenset({"reject", "reply", "reply_raw"})
_ONE_MESSAGE_HOOKS = frozenset({"post_upgrade", "pre_upgrade"})


def find_method_surprises(project: Project) -> Iterator[Finding]:
    """Give methods, hooks and guards that do not do what their form says."""
    declarations = project.analysis.declarations
    for method in declarations.methods:
        if method.module.is_own:
            yield from _find_reply_surprises(project, method)
            if method.kind == "query":
                yield from _find_lost_changes(project, method)
    for hook in declarations.hooks:
        if hook.module.is_own:
            yield from _find_hook_surprises(project, hook)
    for guard in declarations.guards:
        if is_generator(guard.node):
            message = f"the guard {guard.node.name} yields, so every call would be rejected."
            place = Place.of(guard.module.file, guard.node)
            fix = "Decide by what the canister itself knows; a guard cannot call."
            yield SYNC_GENERATOR.found(place, message, fix=fix)


def _find_reply_surprises(project: Project, method: MethodDeclaration) -> Iterator[Finding]:
    file, name = method.module.file, method.node.name
    nodes = list(own_nodes(method.node.body))
    if not method.result.is_manual:
        for node in nodes:
            system_name = _called(project, method, node)
            if system_name in _REPLIES:
                assert isinstance(node, ast.Call), node
                message = f"{name} answers by what it returns, so `ic.{system_name}` fails in it."
                yield REPLY_TWICE.found(Place.of(file, node), message)
        return
    for node in nodes:
        if isinstance(node, ast.Return) and _is_value(node.value):
            message = f"{name} is Manual, so the value it returns is not its answer."
            yield MANUAL_VALUE.found(Place.of(file, node), message)
    # A function that it calls may be the one that replies.
    if not _may_reply(method.node) and not any(isinstance(one, ast.Call) for one in nodes):
        message = f"{name} is Manual and never replies: each call would be rejected."
        yield NO_REPLY.found(Place.of(file, method.node), message)


def _called(
    project: Project, declared: MethodDeclaration | HookDeclaration, node: ast.AST
) -> str | None:
    """Return the name of the system call that ``node`` is."""
    if not isinstance(node, ast.Call):
        return None
    return project.system_name(declared.module, node.func)


def _is_value(node: ast.expr | None) -> bool:
    """Whether a result is given for good; ``return ic.reply(x)`` returns None."""
    if isinstance(node, ast.Constant):
        return node.value is not None
    return isinstance(node, ast.Dict | ast.List | ast.Tuple | ast.JoinedStr | ast.BinOp)


def _may_reply(node: ast.FunctionDef) -> bool:
    """Whether the body calls nothing by which it could reply, or has no body to speak of."""
    match node.body:
        case [ast.Expr(value=ast.Constant())] | [ast.Pass()] | [ast.Raise()]:
            return True
        case _:
            return any(isinstance(one, ast.Yield | ast.YieldFrom) for one in own_nodes(node.body))


def _find_lost_changes(project: Project, method: MethodDeclaration) -> Iterator[Finding]:
    """Give the changes that a query makes and the platform drops."""
    file, name = method.module.file, method.node.name
    nodes = list(own_nodes(method.node.body))
    shared = {name for one in nodes if isinstance(one, ast.Global) for name in one.names}
    for node in nodes:
        match node:
            case ast.Call(func=ast.Attribute(value=receiver, attr="insert" | "remove" as what)):
                if project.map_of(method.module, receiver) is None:
                    continue
                changed = f"{ast.unparse(receiver)}.{what}"
            case ast.Name(id=changed, ctx=ast.Store()) if changed in shared:
                pass
            case _:
                continue
        message = f"{name} is a query, so what `{changed}` changes is dropped when it ends."
        yield LOST_IN_QUERY.found(Place.of(file, node), message)


def _find_hook_surprises(project: Project, hook: HookDeclaration) -> Iterator[Finding]:
    file, node = hook.module.file, hook.node
    place = Place.of(file, node)
    if hook.kind == "heartbeat":
        message = "a heartbeat runs in every round and is paid for, also with nothing to do."
        yield HEARTBEAT.found(place, message)
    elif is_generator(node):
        message = f"the {hook.kind} hook yields: a TypeError, since it cannot wait."
        yield SYNC_GENERATOR.found(place, message)
    if hook.kind == "inspect_message" and not _mentions_acceptance(project):
        message = "nothing calls `ic.accept_message()`, so every update from outside is refused."
        yield NEVER_ACCEPTS.found(place, message)
    if hook.kind == "post_upgrade":
        yield from _find_upgrade_arguments(hook)
    if hook.kind == "pre_upgrade":
        yield from _find_traps(project, hook)
    if hook.kind in _ONE_MESSAGE_HOOKS:
        yield from _find_map_loops(project, hook)


def _mentions_acceptance(project: Project) -> bool:
    return any(b"accept_message" in module.source for module in project.own)


def _find_upgrade_arguments(hook: HookDeclaration) -> Iterator[Finding]:
    for parameter, content in zip(parameters_of(hook.node), hook.args, strict=False):
        if not isinstance(content, OptType):
            message = (
                f"an upgrade without a value for {parameter.arg} is undone, and dfx sends init's."
            )
            yield UPGRADE_ARGUMENT.found(Place.of(hook.module.file, parameter), message)


def _find_traps(project: Project, hook: HookDeclaration) -> Iterator[Finding]:
    """Give what would undo each upgrade; what a handler may catch is left out."""
    caught = {
        id(inner)
        for one in own_nodes(hook.node.body)
        if isinstance(one, ast.Try) and one.handlers
        for inner in own_nodes(one.body)
    }
    for one in own_nodes(hook.node.body):
        is_trap = _called(project, hook, one) == "trap"
        if is_trap or (isinstance(one, ast.Raise) and id(one) not in caught):
            assert isinstance(one, ast.expr | ast.stmt), one
            message = "a trap in pre_upgrade undoes the upgrade, and each one after it."
            yield STUCK_UPGRADE.found(Place.of(hook.module.file, one), message)


def _find_map_loops(project: Project, hook: HookDeclaration) -> Iterator[Finding]:
    for node in own_nodes(hook.node.body):
        match node:
            case ast.For(
                iter=ast.Call(
                    func=ast.Name(id="range"),
                    args=[
                        *_,
                        ast.Call(func=ast.Attribute(value=receiver, attr="len"), args=[]),
                    ],
                )
            ) if project.map_of(hook.module, receiver) is not None:
                message = (
                    f"{hook.kind} goes through all of {ast.unparse(receiver)} in one message: once "
                    "the map has outgrown it, no upgrade succeeds."
                )
                yield MAP_LOOP.found(Place.of(hook.module.file, node), message)
            case _:
                pass
