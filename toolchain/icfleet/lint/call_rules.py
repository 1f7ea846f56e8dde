"""Calls to other canisters that are never made, cannot be made, or fail unnoticed."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from icfleet.lint.bindings import Origin
from icfleet.lint.project import (
    AnyFunction,
    Project,
    is_generator,
    own_nodes,
)
from icfleet.lint.rules import (
    CALL_NOT_MADE,
    FLAG_AFTER_YIELD,
    PAYMENT_FORM,
    RESULT_NOT_DICT,
    SERVICE_KEYWORD,
    SWALLOWED_EXCEPTION,
    UNCAUGHT_FAILURE,
    UNSEEN_SERVICE,
    UPDATE_FROM_QUERY,
    WRONG_CONTEXT,
)
from icfleet_localnet.kybra_host.annotations import name_of
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.source_graph import SourceModule

__all__ = ["find_call_surprises"]

_RAW_CALLS = frozenset({"call_raw", "call_raw128"})
_TIMERS = frozenset({"set_timer", "set_timer_interval"})
_PAYMENTS = frozenset({"with_cycles", "with_cycles128"})
_RESULT_KEYS = frozenset({"Err", "Ok"})
_BROAD = frozenset({"BaseException", "Exception"})
_ADDERS = frozenset({"add"})
_REMOVERS = frozenset({"discard", "remove"})


@dataclass(slots=True)
class _Function:
    """One function, with what its names hold."""

    project: Project
    module: SourceModule
    node: AnyFunction
    inside: ast.ClassDef | None
    local: Mapping[str, str] = field(init=False)
    nodes: list[ast.AST] = field(init=False)

    def __post_init__(self) -> None:
        self.local = self.project.services_in(self.module, self.node)
        self.nodes = list(own_nodes(self.node.body))

    def is_call(self, node: ast.AST | None) -> bool:
        """Whether ``node`` prepares a call to another canister."""
        if isinstance(node, ast.Call):
            if self.project.system_name(self.module, node.func) in _RAW_CALLS:
                return True
            match node.func:
                case ast.Attribute(value=ast.Call() as inner, attr=attribute) if (
                    attribute in _PAYMENTS
                ):
                    return self.is_call(inner)
                case _:
                    pass
        return self.project.service_call(self.module, node, self.local) is not None

    def place(self, node: ast.stmt | ast.expr) -> Place:
        """Where ``node`` is."""
        return Place.of(self.module.file, node)


def find_call_surprises(project: Project) -> Iterator[Finding]:
    """Give what is wrong with calls, with waiting for them, and with who waits."""
    kinds = {
        id(method.node): (method.kind, method.result.is_async)
        for method in project.analysis.declarations.methods
    }
    for module in project.own:
        yield from _find_unseen_services(project, module)
        for node, inside in project.functions(module):
            function = _Function(project, module, node, inside)
            yield from _find_calls(function, kinds.get(id(node)))
            yield from _find_results(function)
            yield from _find_timers(function)
            if is_generator(node):
                yield from _find_uncaught(function)
                yield from _find_flags(function)


def _find_unseen_services(project: Project, module: SourceModule) -> Iterator[Finding]:
    """Give the Service classes that run, and that the compiler does not see."""
    top_level = {id(statement) for statement in module.tree.body}
    for node in project.nodes(module):
        if not isinstance(node, ast.ClassDef):
            continue
        for base in node.bases:
            if project.origin(module, base) != Origin("kybra", "Service"):
                continue
            if id(node) not in top_level or name_of(base) != "Service":
                message = f"the compiler does not see {node.name}, so each call by it would trap."
                yield UNSEEN_SERVICE.found(Place.of(module.file, node), message)


def _find_calls(function: _Function, kind: tuple[str, bool] | None) -> Iterator[Finding]:
    for node in function.nodes:
        match node:
            case ast.Expr(value=value) if function.is_call(value):
                message = f"`{_shown(value)}` only prepares the call, which is never made."
                yield CALL_NOT_MADE.found(function.place(value), message)
            case ast.Call():
                yield from _find_call_form(function, node, kind)
            case _:
                pass


def _find_call_form(
    function: _Function, node: ast.Call, kind: tuple[str, bool] | None
) -> Iterator[Finding]:
    place = function.place(node)
    match node.func:
        case ast.Attribute(value=ast.Call() as inner, attr=attribute) if attribute in _PAYMENTS:
            if function.is_call(inner) and _is_paid(function, inner):
                message = "cycles are given twice: the call would trap."
                yield PAYMENT_FORM.found(place, message)
            return
        case ast.Attribute(value=inner, attr="notify") if function.is_call(inner):
            if kind == ("query", False):
                message = "a query sends no messages, so `.notify()` traps in it."
                yield WRONG_CONTEXT.found(place, message)
            return
        case _:
            pass
    call = function.project.service_call(function.module, node, function.local)
    if call is None:
        return
    what = f"{call.service.name}.{call.method.name}"
    if node.keywords:
        yield SERVICE_KEYWORD.found(place, f"{what} takes no keyword arguments: a TypeError.")
    if kind == ("query", True) and call.method.kind == "update":
        message = f"{what} is an update, which a composite query cannot call."
        yield UPDATE_FROM_QUERY.found(place, message)


def _is_paid(function: _Function, node: ast.Call) -> bool:
    """Whether a call has its cycles already: ``call_raw`` takes them as an argument."""
    if function.project.system_name(function.module, node.func) in _RAW_CALLS:
        return True
    return isinstance(node.func, ast.Attribute) and node.func.attr in _PAYMENTS


def _find_results(function: _Function) -> Iterator[Finding]:
    """Give the results of calls that are read as dicts, which they are not."""
    assigned: dict[str, list[ast.expr]] = {}
    for node in function.nodes:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                assigned.setdefault(name, []).append(value)
            case _:
                pass
    results = {
        name
        for name, values in assigned.items()
        if all(isinstance(one, ast.Yield) and function.is_call(one.value) for one in values)
    }
    for node in function.nodes:
        match node:
            case (
                ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=key))
                | ast.Compare(
                    left=ast.Constant(value=key),
                    ops=[ast.In() | ast.NotIn()],
                    comparators=[ast.Name(id=name)],
                )
                | ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr="get"),
                    args=[ast.Constant(value=key), *_],
                )
            ) if name in results and key in _RESULT_KEYS:
                message = f"{name} is a CallResult, an object and not a dict: this raises."
                yield RESULT_NOT_DICT.found(function.place(node), message)
            case _:
                pass


def _find_timers(function: _Function) -> Iterator[Finding]:
    """Give the generators that timers start and whose exceptions nobody would see."""
    for node in function.nodes:
        if not isinstance(node, ast.Call) or len(node.args) <= 1:
            continue
        if function.project.system_name(function.module, node.func) not in _TIMERS:
            continue
        callback = node.args[1]
        if isinstance(callback, ast.Lambda) and isinstance(callback.body, ast.Call):
            callback = callback.body.func
        started = function.project.function_of(function.module, callback, function.inside)
        if started is not None and is_generator(started) and not _catches_all(started):
            message = (
                f"an exception in {started.name} ends it without a word, and keeps what it has "
                "changed, since a timer starts it."
            )
            yield SWALLOWED_EXCEPTION.found(function.place(node), message)


def _catches_all(node: ast.FunctionDef) -> bool:
    return any(
        handler.type is None or any(name in _BROAD for name in _caught_names(handler.type))
        for one in own_nodes(node.body)
        if isinstance(one, ast.Try)
        for handler in one.handlers
    )


def _caught_names(node: ast.expr) -> list[str | None]:
    return [name_of(one) for one in (node.elts if isinstance(node, ast.Tuple) else [node])]


def _find_uncaught(function: _Function) -> Iterator[Finding]:
    for node in function.nodes:
        if not isinstance(node, ast.Try) or not node.handlers:
            continue
        for inner in own_nodes(node.body):
            match inner:
                case ast.Yield(value=ast.Call(func=called)):
                    started = function.project.function_of(function.module, called, function.inside)
                    if started is not None and is_generator(started):
                        message = f"an exception in {started.name} is not caught here: it traps."
                        yield UNCAUGHT_FAILURE.found(function.place(inner), message)
                case _:
                    pass
        match node.body:
            case [
                ast.Expr(value=ast.Yield(value=call) as only)
                | ast.Assign(value=ast.Yield(value=call) as only)
                | ast.AnnAssign(value=ast.Yield(value=call) as only)
            ] if function.is_call(call):
                message = "a failed call raises nothing, so this is never handled."
                fix = "Test the result's `.Err`."
                yield UNCAUGHT_FAILURE.found(function.place(only), message, fix=fix)
            case _:
                pass


def _find_flags(function: _Function) -> Iterator[Finding]:
    """Give the flags that stay up when the part after a yield traps."""
    shared = {name for one in function.nodes if isinstance(one, ast.Global) for name in one.names}
    stored = {
        one.id
        for one in function.nodes
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }
    raised: dict[str, ast.stmt] = {}
    waiting: dict[str, ast.stmt] = {}
    for node in function.nodes:
        if isinstance(node, ast.Yield | ast.YieldFrom):
            waiting.update(raised)
        if not isinstance(node, ast.stmt):
            continue
        what, is_raised = _read_flag(node, shared, stored)
        if what is None:
            continue
        if is_raised:
            raised.setdefault(what, node)
        elif what in waiting:
            message = (
                f"a trap after the yield leaves `{what}` as it is for ever: what was changed "
                "before the yield is not undone."
            )
            yield FLAG_AFTER_YIELD.found(function.place(waiting.pop(what)), message)
            raised.pop(what, None)
        else:
            raised.pop(what, None)


def _read_flag(node: ast.stmt, shared: set[str], stored: set[str]) -> tuple[str | None, bool]:
    """Return what is raised (True) or lowered (False): a global, an attribute, a set's member."""
    match node:
        case ast.Assign(
            targets=[ast.Name() | ast.Attribute() as target],
            value=ast.Constant(value=bool(value)),
        ):
            if isinstance(target, ast.Name) and target.id not in shared:
                return None, False
            return ast.unparse(target), value
        case ast.Expr(
            value=ast.Call(func=ast.Attribute(value=owner, attr=method), args=[member])
        ) if method in _ADDERS | _REMOVERS:
            if isinstance(owner, ast.Name) and owner.id in stored:
                return None, False
            return f"{ast.unparse(owner)}: {ast.unparse(member)}", method in _ADDERS
        case _:
            return None, False


def _shown(node: ast.expr) -> str:
    return ast.unparse(node)
