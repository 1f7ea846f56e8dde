"""Checks over all declared types at once: names, missing ones, and types without an end."""

import ast
from collections.abc import Iterable, Iterator, Mapping

from icfleet_localnet.kybra_host.annotations import PRIMITIVE_NAMES, TypeReference, subscript_name
from icfleet_localnet.kybra_host.declarations import Declarations, TypeDeclaration
from icfleet_localnet.kybra_host.findings import Finding
from icfleet_localnet.kybra_host.rules import (
    DUPLICATE_TYPE,
    ENDLESS_TYPE,
    TYPE_NAME,
    UNALIASED_TYPE,
    UNDEFINED_TYPE,
)
from icfleet_localnet.kybra_host.source_graph import SourceGraph
from icfleet_protocol.candid import (
    CandidType,
    FuncType,
    NamedType,
    OptType,
    RecordType,
    ServiceType,
    VariantType,
    VecType,
)
from icfleet_protocol.candid.names import KEYWORDS

__all__ = ["RUST_KEYWORDS", "check_types", "reachable_types"]

RUST_KEYWORDS = frozenset(
    {
        *("abstract", "as", "async", "await", "become", "box", "break", "const", "continue"),
        *("crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "if"),
        *("impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv"),
        *("pub", "ref", "return", "self", "Self", "static", "struct", "super", "trait", "true"),
        *("try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while"),
        "yield",
    }
)
"""Source: The Rust Reference, "Keywords"."""

_RUST_NAMES = frozenset(
    {
        *("Box", "Default", "Err", "None", "Ok", "Option", "Result", "Some", "String", "Vec"),
        *("bool", "char", "f32", "f64", "i128", "i16", "i32", "i64", "i8", "isize", "str"),
        *("u128", "u16", "u32", "u64", "u8", "usize"),
        *("candid", "core", "ic_cdk", "ic_cdk_macros", "ic_cdk_timers", "ic_stable_structures"),
        *("rustpython_stdlib", "rustpython_vm", "serde", "slotmap", "std"),
        *("CandidError", "CdkActTryFromVmValue", "CdkActTryIntoVmValue"),
        *("CdkActTryIntoVmValueError", "Ic", "KybraError", "KybraTryFromVec", "KybraTryIntoVec"),
        *("ToCdkActTryIntoVmValueError", "ToRustErrString", "UnwrapOrTrap"),
        *("UnwrapOrTrapWithMessage", "UnwrapOrTrapWithVm"),
    }
)
"""Names the generated Rust uses or declares itself, read off the output for a small canister."""

_TAKEN_NAMES = RUST_KEYWORDS | _RUST_NAMES | KEYWORDS | frozenset(PRIMITIVE_NAMES) | {"void"}
"""Names of Rust, of Candid's own syntax, and of the types every annotation means by them."""

_CLOSEST_TYPES: Mapping[str, str] = {
    "Any": "Use `reserved`.",
    "None": "Use `null`.",
    "bytearray": "Use `blob`.",
    "bytes": "Use `blob`.",
    "dict": "Declare a Record, or use `Vec[Tuple[K, V]]`.",
    "float": "Use `float64`.",
    "list": "Use `Vec[...]`.",
    "object": "Use `reserved`.",
    "set": "Use `Vec[...]`.",
    "tuple": "Use `Tuple[...]`.",
}


def check_types(graph: SourceGraph, declarations: Declarations) -> Iterator[Finding]:
    """Give what is wrong with the declared types and the names that refer to them."""
    first: dict[str, TypeDeclaration] = {}
    for one in declarations.types:
        other = first.setdefault(one.name, one)
        if other is not one:
            yield _duplicate(other, one)
        if one.name in _TAKEN_NAMES or not one.name.isascii():
            message = f"{one.name} cannot name a type: Rust or Candid takes it for something else."
            yield TYPE_NAME.found(one.place, message)
    yield from _check_references(graph, declarations, first)
    aliases = {name: one.content for name, one in first.items() if one.shape == "Alias"}
    for name in aliases:
        if _is_endless(name, aliases):
            message = f"the alias {name} leads back to itself, so its Rust type has no end."
            yield ENDLESS_TYPE.found(first[name].place, message)


def reachable_types(
    roots: Iterable[CandidType], environment: Mapping[str, CandidType]
) -> frozenset[str]:
    """Return the names in ``environment`` that ``roots`` use, directly or through others."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        if isinstance(one, NamedType):
            if one.name in environment and one.name not in reached:
                reached.add(one.name)
                waiting.append(environment[one.name])
        else:
            waiting.extend(_parts(one))
    return frozenset(reached)


def _parts(one: CandidType) -> Iterator[CandidType]:
    match one:
        case OptType(inner=inner) | VecType(inner=inner):
            yield inner
        case RecordType(fields=fields) | VariantType(fields=fields):
            yield from (field.type for field in fields)
        case FuncType(args=args, results=results):
            yield from (*args, *results)
        case ServiceType(methods=methods):
            yield from (signature for _, signature in methods)
        case _:
            pass


def _duplicate(first: TypeDeclaration, second: TypeDeclaration) -> Finding:
    # Kybra's own modules come after the entry, so the project's declaration may be the first.
    ours, other = (first, second) if second.module.is_kybra else (second, first)
    where = "Kybra itself declares" if other.module.is_kybra else "also declared in"
    detail = f"{where} {other.name}" if other.module.is_kybra else f"{where} {other.place.file}"
    message = f"the type {ours.name} has two declarations: {detail}, line {other.place.line}."
    return DUPLICATE_TYPE.found(ours.place, message)


def _check_references(
    graph: SourceGraph, declarations: Declarations, known: Mapping[str, TypeDeclaration]
) -> Iterator[Finding]:
    unaliased = _find_unaliased(graph)
    subclasses = _find_subclasses(graph, known)
    for reference in declarations.references:
        if reference.name not in known:
            yield _undefined(reference, unaliased, subclasses)


def _undefined(
    reference: TypeReference, unaliased: Mapping[str, str], subclasses: Mapping[str, str]
) -> Finding:
    name = reference.name
    if name in unaliased:
        message = f"{name} = {unaliased[name]} does not make {name} a Candid type."
        fix = f"Write `{name} = Alias[{unaliased[name]}]`."
        return UNALIASED_TYPE.found(reference.place, message, fix=fix)
    if name in subclasses:
        message = f"{name} inherits from {subclasses[name]}, and the compiler follows no such base."
        fix = "List all fields in one class whose base is Record or Variant itself."
        return UNDEFINED_TYPE.found(reference.place, message, fix=fix)
    message = f"no bundled file declares the Candid type {name}."
    return UNDEFINED_TYPE.found(reference.place, message, fix=_CLOSEST_TYPES.get(name))


def _find_unaliased(graph: SourceGraph) -> Mapping[str, str]:
    """Return the names bound at module level to something that looks like a type."""
    found: dict[str, str] = {}
    for module in graph.modules.values():
        for statement in module.tree.body:
            match statement:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ) if _looks_like_type(value):
                    found[name] = ast.unparse(value)
                case _:
                    pass
    return found


def _looks_like_type(value: ast.expr) -> bool:
    if subscript_name(value) in {"Vec", "Opt", "Tuple"}:
        return True
    return isinstance(value, ast.Name) and value.id in PRIMITIVE_NAMES


def _find_subclasses(graph: SourceGraph, known: Mapping[str, TypeDeclaration]) -> Mapping[str, str]:
    """Return the classes whose base is a declared type, each with that base."""
    return {
        statement.name: base.id
        for module in graph.modules.values()
        for statement in module.tree.body
        if isinstance(statement, ast.ClassDef)
        for base in statement.bases
        if isinstance(base, ast.Name) and base.id in known
    }


def _is_endless(start: str, aliases: Mapping[str, CandidType]) -> bool:
    """Whether an alias leads back to itself through Opt, Vec and other aliases only.

    Classes and tuples are Rust types of their own whose parts lie in boxes, so they may recur.
    """
    reached: set[str] = set()
    waiting = [aliases[start]]
    while waiting:
        one = waiting.pop()
        if isinstance(one, OptType | VecType):
            waiting.append(one.inner)
        elif isinstance(one, NamedType) and one.name in aliases and one.name not in reached:
            reached.add(one.name)
            waiting.append(aliases[one.name])
    return start in reached
