"""Kybra's compiler front end: from a source graph to the interface the host runs it by.

``analyze`` collects everything the compiler (or rustc after it) refuses; ``read_interface``
raises it. Only syntax is read, and nothing of the canister runs.

Source: ``kybra`` 0.7.1's front end, observed case by case.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from icfleet_localnet.errors import CanisterSourceError
from icfleet_localnet.kybra_host.declarations import (
    Declarations,
    HookDeclaration,
    MethodDeclaration,
    read_declarations,
)
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.interface import HostHook, HostInterface, HostMethod
from icfleet_localnet.kybra_host.rules import (
    ASYNC_HOOK,
    DUPLICATE_GUARD,
    DUPLICATE_HOOK,
    DUPLICATE_MAP_ID,
    DUPLICATE_METHOD,
    GUARD_UNDEFINED,
    HOOK_NOT_VOID,
    HOOK_PARAMETERS,
)
from icfleet_localnet.kybra_host.source_graph import SourceGraph, SourceModule, read_bundle
from icfleet_localnet.kybra_host.syntax import find_new_syntax
from icfleet_localnet.kybra_host.type_checks import check_types, reachable_types
from icfleet_protocol.candid import CandidType, FuncType, NamedType, ServiceInterface

__all__ = ["Analysis", "analyze", "public_service", "read_bundle_interface", "read_interface"]

_HOOKS_WITH_ARGS = frozenset({"init", "post_upgrade"})


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the front end made of a canister."""

    graph: SourceGraph
    declarations: Declarations
    interface: HostInterface
    """Complete only when there are no findings."""
    findings: tuple[Finding, ...]
    """Everything the compiler refuses, in the order of files and lines."""


def analyze(graph: SourceGraph) -> Analysis:
    """Read the canister's interface, and collect what is wrong with it."""
    declarations = read_declarations(graph)
    findings = [
        *graph.unreadable,
        *_find_syntax(graph),
        *declarations.findings,
        *_check_methods(declarations.methods),
        *_check_hooks(declarations.hooks),
        *_check_guards(declarations),
        *_check_maps(declarations),
        *check_types(graph, declarations),
    ]
    interface = _build_interface(graph, declarations)
    return Analysis(graph, declarations, interface, tuple(sorted(set(findings))))


def read_interface(graph: SourceGraph) -> HostInterface:
    """Read the canister's interface.

    Raises:
        CanisterSourceError: If Kybra would not compile these sources; carries all findings.
    """
    analysis = analyze(graph)
    if analysis.findings:
        raise CanisterSourceError(analysis.findings)
    return analysis.interface


def read_bundle_interface(files: Mapping[str, bytes], entry: str) -> HostInterface:
    """Read the interface of a bundle's canister; see ``read_interface``."""
    return read_interface(read_bundle(files, entry))


def public_service(interface: HostInterface) -> ServiceInterface:
    """Return the interface clients see: with no type that its methods do not reach."""
    service = interface.service
    roots = [*service.init_args]
    for method in service.methods.values():
        roots.extend((*method.args, *method.results))
    used = reachable_types(roots, service.environment)
    return ServiceInterface(
        environment={name: service.environment[name] for name in sorted(used)},
        init_args=service.init_args,
        methods={name: service.methods[name] for name in sorted(service.methods)},
    )


def _find_syntax(graph: SourceGraph) -> Iterator[Finding]:
    unreadable = {one.place.file for one in graph.unreadable}
    for module in graph.modules.values():
        if not module.is_kybra and module.file not in unreadable:
            yield from find_new_syntax(module.source, module.tree, module.file)


def _place(module: SourceModule, node: HookDeclaration | MethodDeclaration) -> Place:
    return Place.of(module.file, node.node)


def _check_methods(methods: Sequence[MethodDeclaration]) -> Iterator[Finding]:
    first: dict[str, MethodDeclaration] = {}
    for method in methods:
        name = method.node.name
        other = first.setdefault(name, method)
        if other is not method:
            where = _place(other.module, other)
            message = f"the method {name} is also declared in {where.file}, line {where.line}."
            yield DUPLICATE_METHOD.found(_place(method.module, method), message)


def _check_hooks(hooks: Sequence[HookDeclaration]) -> Iterator[Finding]:
    first: dict[str, HookDeclaration] = {}
    for hook in hooks:
        place = _place(hook.module, hook)
        other = first.setdefault(hook.kind, hook)
        if other is not hook:
            where = _place(other.module, other)
            message = f"a second {hook.kind}: the first is in {where.file}, line {where.line}."
            yield DUPLICATE_HOOK.found(place, message)
        if hook.result is not None and hook.result.types:
            yield HOOK_NOT_VOID.found(place, f"the {hook.kind} hook returns a value.")
        elif hook.result is not None and hook.result.is_async and hook.kind != "heartbeat":
            yield ASYNC_HOOK.found(place, f"the {hook.kind} hook cannot wait for calls.")
        parameters = hook.node.args.posonlyargs + hook.node.args.args
        if parameters and hook.kind not in _HOOKS_WITH_ARGS:
            yield HOOK_PARAMETERS.found(place, f"the {hook.kind} hook has parameters.")


def _check_guards(declarations: Declarations) -> Iterator[Finding]:
    first: dict[str, Place] = {}
    for guard in declarations.guards:
        place = Place.of(guard.module.file, guard.node)
        if first.setdefault(guard.node.name, place) is not place:
            yield DUPLICATE_GUARD.found(place, f"a second guard called {guard.node.name}.")
    for method in declarations.methods:
        if method.guard is not None and method.guard not in first:
            message = f"no bundled file declares the guard {method.guard}."
            yield GUARD_UNDEFINED.found(method.guard_place, message)


def _check_maps(declarations: Declarations) -> Iterator[Finding]:
    first: dict[int, str] = {}
    for binding in declarations.maps:
        memory_id = binding.declaration.memory_id
        if memory_id in first:
            message = f"memory_id {memory_id} is also that of {first[memory_id]}."
            yield DUPLICATE_MAP_ID.found(binding.place, message)
        first.setdefault(memory_id, binding.name)


def _build_interface(graph: SourceGraph, declarations: Declarations) -> HostInterface:
    kybra_files = frozenset(one.file for one in graph.modules.values() if one.is_kybra)
    methods = {method.node.name: _host_method(method) for method in declarations.methods}
    hooks = {
        hook.kind: HostHook(name=hook.node.name, args=hook.args) for hook in declarations.hooks
    }
    return HostInterface(
        service=ServiceInterface(
            environment=_environment(declarations, kybra_files),
            init_args=hooks["init"].args if "init" in hooks else (),
            methods={name: _service_method(method) for name, method in methods.items()},
        ),
        methods=methods,
        init=hooks.get("init"),
        post_upgrade=hooks.get("post_upgrade"),
        pre_upgrade=hooks.get("pre_upgrade"),
        inspect_message=hooks.get("inspect_message"),
        heartbeat=hooks.get("heartbeat"),
        stable_maps={one.declaration.memory_id: one.declaration for one in declarations.maps},
        services=declarations.services,
    )


def _host_method(method: MethodDeclaration) -> HostMethod:
    kind: Literal["query", "composite_query", "update"] = "update"
    if method.kind == "query":
        kind = "composite_query" if method.result.is_async else "query"
    return HostMethod(
        name=method.node.name,
        kind=kind,
        args=method.args,
        results=method.result.types,
        is_manual=method.result.is_manual,
        guard=method.guard,
    )


def _service_method(method: HostMethod) -> FuncType:
    # Kybra's own .did calls a composite query a query, and older clients know no other word.
    return FuncType(method.args, method.results, "update" if method.kind == "update" else "query")


def _environment(
    declarations: Declarations, kybra_files: frozenset[str]
) -> Mapping[str, CandidType]:
    """Return the project's types, and those of Kybra's own that they, methods or calls use."""
    content = {one.name: one.content for one in declarations.types}
    own = {one.name for one in declarations.types if not one.module.is_kybra}
    used = {one.name for one in declarations.references if one.place.file not in kybra_files}
    roots: list[CandidType] = [NamedType(name) for name in own | used]
    for service in declarations.services.values():
        for method in service.methods.values():
            roots.extend((*method.args, *method.results))
    return {name: content[name] for name in sorted(reachable_types(roots, content))}
