"""What a canister's sources declare: methods, hooks, guards, types, services and stable maps.

Only statements at module level count, in every module the compiler reads, and only bare names:
``@query`` is a query whatever ``query`` is bound to, ``@kybra.query`` is nothing.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from icfleet_localnet.kybra_host.annotations import (
    ResultAnnotation,
    TypeReader,
    TypeReference,
    candid_name,
    name_of,
    subscript_name,
)
from icfleet_localnet.kybra_host.findings import Finding, Place, Rule
from icfleet_localnet.kybra_host.interface import (
    HostService,
    ServiceMethod,
    StableMapDeclaration,
)
from icfleet_localnet.kybra_host.map_declarations import is_stable_map, read_stable_map
from icfleet_localnet.kybra_host.rules import (
    CHAINED_ASSIGNMENT,
    DUPLICATE_FIELD,
    GUARD_NOT_A_NAME,
    GUARD_PARAMETERS,
    MEMBER_FORM,
    MISSING_ANNOTATION,
    MISSING_RETURN,
    SELF_PARAMETER,
    SERVICE_DECORATOR,
    SERVICE_FORM,
    TARGET_NOT_A_NAME,
    TOO_MANY_PARAMETERS,
    VARIADIC_PARAMETERS,
)
from icfleet_localnet.kybra_host.source_graph import SourceGraph, SourceModule
from icfleet_protocol.candid import (
    CandidType,
    FieldType,
    FuncType,
    RecordType,
    ServiceType,
    VariantType,
)
from icfleet_protocol.errors import CandidError

__all__ = [
    "HOOK_DECORATORS",
    "METHOD_DECORATORS",
    "Declarations",
    "GuardDeclaration",
    "HookDeclaration",
    "MapBinding",
    "MethodDeclaration",
    "TypeDeclaration",
    "decorator_names",
    "parameters_of",
    "read_declarations",
]

METHOD_DECORATORS = ("query", "update")
HOOK_DECORATORS = ("heartbeat", "init", "inspect_message", "post_upgrade", "pre_upgrade")

_PARAMETERS_MAX = 5
"""Kybra's own bound, without ``self``."""

_NO_RESULT = ResultAnnotation(types=(), is_async=False, is_manual=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodDeclaration:
    """A function with ``@query`` or ``@update``."""

    kind: str
    """``query`` or ``update``."""
    module: SourceModule
    node: ast.FunctionDef
    args: tuple[CandidType, ...]
    result: ResultAnnotation
    guard: str | None
    guard_place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class HookDeclaration:
    """A function with ``@init`` or another of ``HOOK_DECORATORS``."""

    kind: str
    module: SourceModule
    node: ast.FunctionDef
    args: tuple[CandidType, ...]
    result: ResultAnnotation | None
    """``None`` when there is no annotation."""


@dataclass(frozen=True, slots=True)
class GuardDeclaration:
    """A function that returns ``GuardResult``."""

    module: SourceModule
    node: ast.FunctionDef


@dataclass(frozen=True, slots=True)
class TypeDeclaration:
    """A named type: a class, or an assigned Alias, Tuple or Func."""

    name: str
    module: SourceModule
    place: Place
    content: CandidType
    shape: str
    """``Record``, ``Variant``, ``Service``, ``Alias``, ``Tuple`` or ``Func``."""


@dataclass(frozen=True, slots=True)
class MapBinding:
    """A stable map and the name it is bound to."""

    name: str
    module: SourceModule
    place: Place
    declaration: StableMapDeclaration


@dataclass(frozen=True, slots=True)
class Declarations:
    """Everything declared in a source graph, and what was wrong on the way."""

    methods: list[MethodDeclaration] = field(default_factory=list[MethodDeclaration])
    hooks: list[HookDeclaration] = field(default_factory=list[HookDeclaration])
    guards: list[GuardDeclaration] = field(default_factory=list[GuardDeclaration])
    types: list[TypeDeclaration] = field(default_factory=list[TypeDeclaration])
    services: dict[str, HostService] = field(default_factory=dict[str, HostService])
    maps: list[MapBinding] = field(default_factory=list[MapBinding])
    references: list[TypeReference] = field(default_factory=list[TypeReference])
    findings: list[Finding] = field(default_factory=list[Finding])


def read_declarations(graph: SourceGraph) -> Declarations:
    """Read every module of the graph; errors are collected, none is raised."""
    declarations = Declarations()
    for module in graph.modules.values():
        _ModuleReader(module, declarations).read()
    return declarations


def decorator_names(node: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """Return the bare names among the decorators, called or not."""
    calls = (one.func if isinstance(one, ast.Call) else one for one in node.decorator_list)
    return frozenset(one.id for one in calls if isinstance(one, ast.Name))


def parameters_of(node: ast.FunctionDef) -> list[ast.arg]:
    """Return the parameters the compiler sees: those that can be given by position."""
    return [*node.args.posonlyargs, *node.args.args]


@dataclass(slots=True)
class _ModuleReader:
    module: SourceModule
    into: Declarations
    types: TypeReader = field(init=False)

    def __post_init__(self) -> None:
        self.types = TypeReader(self.module.file, self.into.findings, self.into.references)

    def read(self) -> None:
        for statement in self.module.tree.body:
            match statement:
                case ast.FunctionDef():
                    self._read_function(statement)
                case ast.ClassDef():
                    self._read_class(statement)
                case ast.Assign(targets=targets, value=value):
                    self._read_assignment(statement, targets, value)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self._read_assignment(statement, [target], value)
                case _:
                    pass

    def _report(self, rule: Rule, node: ast.stmt | ast.expr | ast.arg, message: str) -> None:
        self.into.findings.append(rule.found(Place.of(self.module.file, node), message))

    # Functions.

    def _read_function(self, node: ast.FunctionDef) -> None:
        names = decorator_names(node)
        for kind in METHOD_DECORATORS:
            if kind in names:
                self._read_method(node, kind)
        for kind in HOOK_DECORATORS:
            if kind in names:
                self._read_hook(node, kind)
        if name_of(node.returns) == "GuardResult":
            if parameters_of(node):
                message = f"the guard {node.name} has parameters."
                self._report(GUARD_PARAMETERS, parameters_of(node)[0], message)
            self.into.guards.append(GuardDeclaration(self.module, node))

    def _read_method(self, node: ast.FunctionDef, kind: str) -> None:
        guard, guard_place = self._read_guard(node)
        self.into.methods.append(
            MethodDeclaration(
                kind=kind,
                module=self.module,
                node=node,
                args=self._read_parameters(node),
                result=self._read_result(node) or _NO_RESULT,
                guard=guard,
                guard_place=guard_place,
            )
        )

    def _read_hook(self, node: ast.FunctionDef, kind: str) -> None:
        has_args = kind in {"init", "post_upgrade"}
        self.into.hooks.append(
            HookDeclaration(
                kind=kind,
                module=self.module,
                node=node,
                args=self._read_parameters(node) if has_args else (),
                result=self._read_result(node),
            )
        )

    def _read_result(self, node: ast.FunctionDef) -> ResultAnnotation | None:
        if node.returns is None:
            self._report(MISSING_RETURN, node, f"{node.name} has no return annotation.")
            return None
        return self.types.read_result(node.returns)

    def _read_parameters(
        self, node: ast.FunctionDef, *, is_method: bool = False
    ) -> tuple[CandidType, ...]:
        parameters = parameters_of(node)
        for starred in (node.args.vararg, node.args.kwarg):
            if starred is not None:
                message = f"{node.name} takes a variable number of arguments."
                self._report(VARIADIC_PARAMETERS, starred, message)
        has_self = bool(parameters) and parameters[0].arg == "self"
        if has_self != is_method:
            message = f"{node.name} {'lacks' if is_method else 'has'} the parameter self."
            self._report(SELF_PARAMETER, node, message)
        parameters = parameters[1:] if has_self else parameters
        if len(parameters) > _PARAMETERS_MAX:
            message = f"{node.name} has {len(parameters)} parameters, at most {_PARAMETERS_MAX}."
            self._report(TOO_MANY_PARAMETERS, node, message)
        return tuple(self._read_parameter(node, one) for one in parameters)

    def _read_parameter(self, node: ast.FunctionDef, parameter: ast.arg) -> CandidType:
        if parameter.annotation is not None:
            return self.types.read(parameter.annotation)
        message = f"the parameter {parameter.arg} of {node.name} has no annotation."
        self._report(MISSING_ANNOTATION, parameter, message)
        return RecordType(())

    def _read_guard(self, node: ast.FunctionDef) -> tuple[str | None, Place]:
        """Return the first ``guard=`` of any decorator, as the compiler does."""
        for keyword in _iterate_decorator_keywords(node):
            place = Place.of(self.module.file, keyword.value)
            if keyword.arg == "guard":
                guard = name_of(keyword.value)
                if guard is None:
                    message = f"the guard of {node.name} is not a function's name."
                    self._report(GUARD_NOT_A_NAME, keyword.value, message)
                return guard, place
        return None, Place.of(self.module.file, node)

    # Classes.

    def _read_class(self, node: ast.ClassDef) -> None:
        bases = {name_of(base) for base in node.bases}
        if "Record" in bases:
            self._add_fields(node, "Record", RecordType)
        if "Variant" in bases:
            self._add_fields(node, "Variant", VariantType)
        if "Service" in bases:
            self._read_service(node)

    def _add_fields(
        self,
        node: ast.ClassDef,
        shape: str,
        make: Callable[[tuple[FieldType, ...]], RecordType | VariantType],
    ) -> None:
        fields = tuple(self._iterate_fields(node, shape))
        try:
            content = make(fields)
        except CandidError as error:
            self._report(DUPLICATE_FIELD, node, f"in {node.name}, {error.reason}.")
            content = make(())
        self._add_type(node.name, node, content, shape)

    def _iterate_fields(self, node: ast.ClassDef, shape: str) -> Iterator[FieldType]:
        for statement in node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                    yield FieldType(candid_name(name), self.types.read(annotation))
                case ast.Expr(value=ast.Constant(value=value)) if value is Ellipsis and (
                    shape == "Record"
                ):
                    pass
                case _:
                    message = f"the {shape} {node.name} holds more than fields."
                    self._report(MEMBER_FORM, statement, message)

    def _read_service(self, node: ast.ClassDef) -> None:
        methods: dict[str, ServiceMethod] = {}
        for statement in node.body:
            if not isinstance(statement, ast.FunctionDef):
                message = f"the Service {node.name} holds more than methods."
                self._report(SERVICE_FORM, statement, message)
                continue
            method = self._read_service_method(node, statement)
            if statement.name in methods:
                message = f"{node.name}.{statement.name} is declared twice."
                self._report(SERVICE_FORM, statement, message)
            if method is not None:
                methods[statement.name] = method
        signatures = (
            (name, FuncType(method.args, method.results, method.kind))
            for name, method in methods.items()
        )
        self._add_type(node.name, node, ServiceType(tuple(signatures)), "Service")
        self.into.services[node.name] = HostService(name=node.name, methods=methods)

    def _read_service_method(
        self, service: ast.ClassDef, node: ast.FunctionDef
    ) -> ServiceMethod | None:
        args = self._read_parameters(node, is_method=True)
        result = self._read_result(node) or _NO_RESULT
        match node.decorator_list:
            case [ast.Name(id="service_query")]:
                return ServiceMethod(name=node.name, kind="query", args=args, results=result.types)
            case [ast.Name(id="service_update")]:
                return ServiceMethod(name=node.name, kind="update", args=args, results=result.types)
            case _:
                message = f"{service.name}.{node.name} does not say whether it is a query."
                self._report(SERVICE_DECORATOR, node, message)
                return None

    # Assignments.

    def _read_assignment(
        self, node: ast.Assign | ast.AnnAssign, targets: list[ast.expr], value: ast.expr
    ) -> None:
        match targets:
            case [ast.Name(id=name)]:
                self._read_value(node, name, value)
            case [target]:
                message = f"the compiler takes no module-level assignment to `{_shown(target)}`."
                self._report(TARGET_NOT_A_NAME, node, message)
            case _:
                message = "the compiler takes no chained assignment at module level."
                self._report(CHAINED_ASSIGNMENT, node, message)

    def _read_value(self, node: ast.Assign | ast.AnnAssign, name: str, value: ast.expr) -> None:
        match value:
            case ast.Subscript(slice=inner) if subscript_name(value) == "Alias":
                self._add_type(name, node, self.types.read(inner), "Alias")
            case ast.Subscript() if subscript_name(value) == "Tuple":
                # An annotated assignment of a Tuple declares nothing: the compiler passes it by.
                if isinstance(node, ast.Assign):
                    self._add_type(name, node, self.types.read(value), "Tuple")
            case ast.Call(func=function) if name_of(function) == "Func":
                self._add_type(name, node, self.types.read_func(value), "Func")
            case ast.Call() if is_stable_map(value):
                declaration = read_stable_map(value, self.types)
                if declaration is not None:
                    place = Place.of(self.module.file, node)
                    self.into.maps.append(MapBinding(name, self.module, place, declaration))
            case _:
                pass

    def _add_type(self, name: str, node: ast.stmt, content: CandidType, shape: str) -> None:
        place = Place.of(self.module.file, node)
        self.into.types.append(TypeDeclaration(name, self.module, place, content, shape))


def _iterate_decorator_keywords(node: ast.FunctionDef) -> Iterator[ast.keyword]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call):
            yield from decorator.keywords


def _shown(target: ast.expr) -> str:
    return ast.unparse(target)
