"""What all checks ask about a canister's sources: functions, scopes, maps and services."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from icfleet.lint.bindings import Bindings, Origin
from icfleet_localnet.kybra_host.annotations import name_of
from icfleet_localnet.kybra_host.declarations import MapBinding
from icfleet_localnet.kybra_host.frontend import Analysis
from icfleet_localnet.kybra_host.interface import HostService, ServiceMethod
from icfleet_localnet.kybra_host.source_graph import SourceModule

__all__ = [
    "AnyFunction",
    "Project",
    "ServiceCall",
    "is_generator",
    "own_nodes",
    "parameters_of_any",
]

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef

_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_PAYMENTS = frozenset({"with_cycles", "with_cycles128"})


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """``ledger.pay(p, 5)``, with what may be chained to it."""

    service: HostService
    method: ServiceMethod
    node: ast.Call
    """The call itself, without the chain."""


@dataclass(slots=True)
class Project:
    """A canister that has been read, and where its names lead."""

    analysis: Analysis
    bindings: Bindings = field(init=False)
    own: tuple[SourceModule, ...] = field(init=False)
    """The project's own modules: nobody can mend what is installed."""
    _maps: Mapping[Origin, MapBinding] = field(init=False)
    _nodes: dict[str, list[ast.AST]] = field(init=False, default_factory=dict[str, list[ast.AST]])
    _functions: dict[str, list[tuple[AnyFunction, ast.ClassDef | None]]] = field(
        init=False, default_factory=dict[str, list[tuple[AnyFunction, ast.ClassDef | None]]]
    )
    _instances: Mapping[Origin, str] = field(init=False)
    """Module-level names bound to an instance of a Service, by the service's name."""

    def __post_init__(self) -> None:
        graph = self.analysis.graph
        self.bindings = Bindings(graph)
        self.own = tuple(one for one in graph.modules.values() if one.is_own)
        self._maps = {
            Origin(one.module.name, one.name): one for one in self.analysis.declarations.maps
        }
        self._instances = {
            Origin(module.name, name): service
            for module in graph.modules.values()
            for name, service in self._iterate_instances(module, module.tree.body)
        }

    def nodes(self, module: SourceModule) -> list[ast.AST]:
        """Return every node of a module; walked once for all checks."""
        if module.name not in self._nodes:
            self._nodes[module.name] = list(ast.walk(module.tree))
        return self._nodes[module.name]

    def functions(self, module: SourceModule) -> list[tuple[AnyFunction, ast.ClassDef | None]]:
        """Return every function of a module, with the class it is a method of."""
        if module.name not in self._functions:
            self._functions[module.name] = list(_functions_of(module.tree))
        return self._functions[module.name]

    def origin(self, module: SourceModule, node: ast.expr) -> Origin | None:
        """Return what a name, or an attribute of an imported module, is defined as."""
        match node:
            case ast.Name(id=name):
                return self.bindings.origin(module, name)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                owner = self.bindings.module_name(module, name)
                if owner is None:
                    return None
                inner = self.analysis.graph.modules.get(owner)
                if inner is None:
                    return Origin(owner, attribute)
                return self.bindings.origin(inner, attribute)
            case _:
                return None

    def is_builtin(self, module: SourceModule, name: str) -> bool:
        """Whether nothing in the module takes the place of Python's own ``name``."""
        return self.bindings.origin(module, name) is None

    def system_name(self, module: SourceModule, node: ast.expr) -> str | None:
        """Return ``set_timer`` for ``ic.set_timer``."""
        match node:
            case ast.Attribute(value=ast.Name() | ast.Attribute() as owner, attr=attribute):
                return attribute if self.origin(module, owner) == Origin("kybra", "ic") else None
            case _:
                return None

    def map_of(self, module: SourceModule, node: ast.expr) -> MapBinding | None:
        """Return the stable map that ``node`` is."""
        origin = self.origin(module, node)
        return None if origin is None else self._maps.get(origin)

    def function_of(
        self, module: SourceModule, node: ast.expr, inside: ast.ClassDef | None = None
    ) -> ast.FunctionDef | None:
        """Return the project's own function that a name, or ``self.name``, leads to."""
        body: list[ast.stmt] = []
        wanted = ""
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=wanted) if inside is not None:
                body = inside.body
            case ast.Name() | ast.Attribute():
                origin = self.origin(module, node)
                where = None if origin is None else self.analysis.graph.modules.get(origin.module)
                if origin is not None and where is not None and where.is_own:
                    body, wanted = where.tree.body, origin.name
            case _:
                pass
        found = [one for one in body if isinstance(one, ast.FunctionDef) and one.name == wanted]
        return found[-1] if found else None

    def services_in(self, module: SourceModule, function: AnyFunction) -> Mapping[str, str]:
        """Return the function's own names that hold a Service's instance, by that service."""
        nodes = [one for one in own_nodes(function.body) if isinstance(one, ast.stmt)]
        annotated = {one.arg: name_of(one.annotation) or "" for one in parameters_of_any(function)}
        known = self.analysis.declarations.services
        held = {name: service for name, service in annotated.items() if service in known}
        return {**held, **dict(self._iterate_instances(module, nodes))}

    def service_call(
        self, module: SourceModule, node: ast.AST | None, local: Mapping[str, str]
    ) -> ServiceCall | None:
        """Read a call of another canister's method, ``with_cycles`` included."""
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Call() as inner, attr=attribute)) if (
                attribute in _PAYMENTS
            ):
                return self.service_call(module, inner, local)
            case ast.Call(func=ast.Attribute(value=receiver, attr=attribute)):
                service = self._service_of(module, receiver, local)
                if service is None or attribute not in service.methods:
                    return None
                return ServiceCall(service, service.methods[attribute], node)
            case _:
                return None

    def _service_of(
        self, module: SourceModule, node: ast.expr, local: Mapping[str, str]
    ) -> HostService | None:
        services = self.analysis.declarations.services
        match node:
            case ast.Call(func=function):
                return services.get(self._service_class(module, function) or "")
            case ast.Name(id=name) if name in local:
                return services.get(local[name])
            case ast.Name() | ast.Attribute():
                origin = self.origin(module, node)
                return None if origin is None else services.get(self._instances.get(origin, ""))
            case _:
                return None

    def _service_class(self, module: SourceModule, node: ast.expr) -> str | None:
        origin = self.origin(module, node)
        if origin is None or origin.name not in self.analysis.declarations.services:
            return None
        return origin.name

    def _iterate_instances(
        self, module: SourceModule, body: list[ast.stmt]
    ) -> Iterator[tuple[str, str]]:
        for statement in body:
            match statement:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function))
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=function))
                ):
                    service = self._service_class(module, function)
                    if service is not None:
                        yield name, service
                case _:
                    pass


def own_nodes(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Give all nodes of a body in the order of the source, but nothing of functions within."""
    waiting: list[ast.AST] = list(reversed(body))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _INNER):
            waiting.extend(reversed(list(ast.iter_child_nodes(node))))


def _functions_of(tree: ast.Module) -> Iterator[tuple[AnyFunction, ast.ClassDef | None]]:
    """Give every function of a module, with the class it is a method of."""
    waiting: list[tuple[ast.AST, ast.ClassDef | None]] = [(tree, None)]
    while waiting:
        node, above = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, AnyFunction):
                yield child, above
                waiting.append((child, None))
            else:
                waiting.append((child, child if isinstance(child, ast.ClassDef) else above))


def is_generator(node: AnyFunction) -> bool:
    """Whether calling the function gives a generator."""
    return any(isinstance(one, ast.Yield | ast.YieldFrom) for one in own_nodes(node.body))


def parameters_of_any(node: AnyFunction) -> list[ast.arg]:
    """Return all parameters but the starred ones."""
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
