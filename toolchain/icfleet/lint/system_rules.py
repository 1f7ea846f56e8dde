"""Calls of ``ic`` that trap, or that another platform would answer."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from icfleet.lint.project import Project, is_generator, own_nodes
from icfleet.lint.rules import (
    FILE_ACCESS,
    LOST_TIMERS,
    RAW_STABLE_MEMORY,
    SYSTEM_ARGUMENT,
    THREAD,
    UNKNOWN_SYSTEM_CALL,
    UNTYPED_NUMBER,
    WRONG_CONTEXT,
)
from icfleet_localnet.kybra_host.declarations import HookDeclaration, MethodDeclaration
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.source_graph import SourceModule

__all__ = ["find_system_surprises"]

_CERTIFIED_SIZE_MAX = 32
"""Bytes of certified data. Source: Interface Specification, ``certified_data_set``."""

_NOT_IN_QUERIES = frozenset(
    {
        *("msg_cycles_accept", "msg_cycles_accept128", "notify_raw", "set_certified_data"),
        *("set_timer", "set_timer_interval"),
    }
)
_ONLY_INSPECTING = frozenset({"accept_message", "method_name"})
_ONLY_IN_CALLBACKS = frozenset(
    {"msg_cycles_refunded", "msg_cycles_refunded128", "reject_code", "reject_message"}
)
_RAW_WRITES = frozenset({"stable64_write", "stable_write"})

_UNTYPED_NUMBER = re.compile(r"(?<![\w.:#])-?\d[\d_]*(?![\w.]|\s*[:=])")
_TYPED_OR_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')

_FILE_FUNCTIONS = frozenset({("io", "open"), ("os", "open"), ("os", "makedirs"), ("os", "mkdir")})
_FILE_METHODS = frozenset({"read_bytes", "read_text", "write_bytes", "write_text"})
_THREADS = frozenset(
    {("concurrent.futures", "ThreadPoolExecutor"), ("threading", "Thread"), ("threading", "Timer")}
)


@dataclass(frozen=True, slots=True)
class _Signature:
    required: int
    names: tuple[str, ...]
    is_variadic: bool


def find_system_surprises(project: Project) -> Iterator[Finding]:
    """Give calls of ``ic`` and of the operating system that fail on chain."""
    signatures = _read_signatures(project)
    for module in project.own:
        for node in project.nodes(module):
            if isinstance(node, ast.Attribute):
                yield from _find_unknown(project, module, node, signatures)
            elif isinstance(node, ast.Call):
                yield from _find_call(project, module, node, signatures)
    declarations = project.analysis.declarations
    declared: list[MethodDeclaration | HookDeclaration] = [
        *declarations.methods,
        *declarations.hooks,
    ]
    for one in declared:
        if one.module.is_own:
            yield from _find_misplaced(project, one)
    yield from _find_lost_timers(project)


def _read_signatures(project: Project) -> Mapping[str, _Signature]:
    """Read what ``ic`` has off Kybra's own source; empty where Kybra is not imported."""
    kybra = project.analysis.graph.modules.get("kybra")
    body = [] if kybra is None else kybra.tree.body
    system = next((one for one in body if isinstance(one, ast.ClassDef) and one.name == "ic"), None)
    return {
        one.name: _Signature(
            len(one.args.args) - len(one.args.defaults),
            tuple(argument.arg for argument in one.args.args),
            one.args.vararg is not None,
        )
        for one in ([] if system is None else system.body)
        if isinstance(one, ast.FunctionDef)
    }


def _find_unknown(
    project: Project,
    module: SourceModule,
    node: ast.Attribute,
    signatures: Mapping[str, _Signature],
) -> Iterator[Finding]:
    name = project.system_name(module, node)
    if name is not None and signatures and name not in signatures and not name.startswith("__"):
        message = f"Kybra's `ic` has no {name}."
        yield UNKNOWN_SYSTEM_CALL.found(Place.of(module.file, node), message)


def _find_call(
    project: Project, module: SourceModule, node: ast.Call, signatures: Mapping[str, _Signature]
) -> Iterator[Finding]:
    name = project.system_name(module, node.func)
    place = Place.of(module.file, node)
    if name is None:
        yield from _find_system_access(project, module, node)
        return
    if name in signatures and not _takes(signatures[name], node):
        wanted = ", ".join(signatures[name].names)
        message = f"`ic.{name}` takes ({wanted}): this is a TypeError."
        yield UNKNOWN_SYSTEM_CALL.found(place, message)
    reason = _argument_problem(name, node)
    if reason:
        yield SYSTEM_ARGUMENT.found(place, reason)
    if name in _RAW_WRITES and project.analysis.declarations.maps:
        message = "stable maps own the memory from offset 0, so this writes over them."
        yield RAW_STABLE_MEMORY.found(place, message)
    if name == "candid_encode":
        match node.args:
            case [ast.Constant(value=str(text))] if _holds_untyped_number(text):
                message = "a number without a type is encoded as `int`."
                yield UNTYPED_NUMBER.found(place, message)
            case _:
                pass


def _takes(signature: _Signature, node: ast.Call) -> bool:
    if any(isinstance(one, ast.Starred) for one in node.args) or signature.is_variadic:
        return True
    keywords = [one.arg for one in node.keywords]
    if None in keywords:
        return True
    left = signature.names[len(node.args) :]
    count = len(node.args) + len(keywords)
    is_known = all(one in left for one in keywords)
    return is_known and signature.required <= count <= len(signature.names)


def _argument_problem(name: str, node: ast.Call) -> str:
    match name, node.args:
        case ("set_timer" | "set_timer_interval", [delay, *_]):
            return _delay_problem(delay)
        case ("performance_counter", [ast.Constant(value=int(number))]) if number not in {0, 1}:
            return f"there are the counters 0 and 1, and {number} traps."
        case ("set_certified_data", [ast.Constant(value=bytes(data))]) if (
            len(data) > _CERTIFIED_SIZE_MAX
        ):
            return f"certified data is at most {_CERTIFIED_SIZE_MAX} bytes, and more traps."
        case _:
            return ""


def _delay_problem(delay: ast.expr) -> str:
    match delay:
        case ast.Constant(value=float(number)):
            return f"a timer counts whole seconds, and {number} is a TypeError."
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
            return "a timer's delay is not negative."
        case ast.BinOp(op=ast.Div()):
            return "a timer counts whole seconds, and `/` gives a float: a TypeError."
        case _:
            return ""


def _holds_untyped_number(text: str) -> bool:
    return _UNTYPED_NUMBER.search(_TYPED_OR_QUOTED.sub('""', text)) is not None


def _find_system_access(
    project: Project, module: SourceModule, node: ast.Call
) -> Iterator[Finding]:
    place = Place.of(module.file, node)
    match node.func:
        case ast.Name(id="open") if project.is_builtin(module, "open"):
            is_file, is_thread = True, False
        case ast.Attribute(value=ast.Call(func=ast.Name() as maker), attr=attribute) if (
            attribute in _FILE_METHODS
        ):
            origin = project.origin(module, maker)
            is_file = origin is not None and (origin.module, origin.name) == ("pathlib", "Path")
            is_thread = False
        case function:
            origin = project.origin(module, function)
            used = ("", "") if origin is None else (origin.module, origin.name)
            is_file, is_thread = used in _FILE_FUNCTIONS, used in _THREADS
    if is_file:
        message = "a canister's files are in memory only, and gone with the next upgrade."
        yield FILE_ACCESS.found(place, message)
    if is_thread:
        message = f"a canister has no threads, so `{ast.unparse(node.func)}` runs nothing beside."
        yield THREAD.found(place, message)


def _find_misplaced(
    project: Project, declared: MethodDeclaration | HookDeclaration
) -> Iterator[Finding]:
    """Give the system calls that trap in this kind of method or hook."""
    node, file = declared.node, declared.module.file
    waits = is_generator(node)
    for one in own_nodes(node.body):
        if not isinstance(one, ast.Call):
            continue
        name = project.system_name(declared.module, one.func)
        if name is None:
            continue
        reason = ""
        if declared.kind == "query" and name in _NOT_IN_QUERIES:
            reason = f"`ic.{name}` traps in a query such as {node.name}."
        elif declared.kind != "inspect_message" and name in _ONLY_INSPECTING:
            reason = f"`ic.{name}` traps everywhere but in the inspect_message hook."
        elif name in _ONLY_IN_CALLBACKS and not waits:
            reason = f"`ic.{name}` is for after a call, and {node.name} makes none."
        if reason:
            yield WRONG_CONTEXT.found(Place.of(file, one), reason)


def _find_lost_timers(project: Project) -> Iterator[Finding]:
    """Give the timers of a canister that has nothing to set them again after an upgrade."""
    hooks = {hook.kind: hook for hook in project.analysis.declarations.hooks}
    if "post_upgrade" in hooks:
        return
    at_start = {id(node) for module in project.own for node in own_nodes(module.tree.body)}
    in_init = hooks.get("init")
    only_once = set[int]()
    if in_init is not None:
        only_once = {id(node) for node in own_nodes(in_init.node.body)}
    for module in project.own:
        for node in project.nodes(module):
            if not isinstance(node, ast.Call) or id(node) in at_start:
                continue
            name = project.system_name(module, node.func)
            is_first = name == "set_timer" and id(node) in only_once and not _is_immediate(node)
            if name == "set_timer_interval" or is_first:
                message = "an upgrade ends this timer, and there is no post_upgrade to set it."
                yield LOST_TIMERS.found(Place.of(module.file, node), message)


def _is_immediate(node: ast.Call) -> bool:
    """Whether a timer fires at once, before any upgrade."""
    match node.args:
        case [ast.Constant(value=0), *_]:
            return True
        case _:
            return False
