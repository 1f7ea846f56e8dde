"""Arguments that do not fit, explained to people with a call that would."""

from dataclasses import dataclass

from icfleet_protocol.candid import (
    BoolType,
    CandidType,
    Float32Type,
    Float64Type,
    NamedType,
    NullType,
    OptType,
    PrincipalType,
    RecordType,
    ReservedType,
    ServiceInterface,
    TextType,
    TypeEnvironment,
    VariantType,
    VecType,
)
from icfleet_protocol.candid.value_tree import read_trees
from icfleet_protocol.errors import CandidError

__all__ = ["CallRequest", "example_args", "explain_args"]

_EXAMPLES: dict[type[CandidType], str] = {
    BoolType: "true",
    Float32Type: "1.5",
    Float64Type: "1.5",
    NullType: "null",
    OptType: "null",
    PrincipalType: 'principal "aaaaa-aa"',
    ReservedType: "null",
    TextType: '"text"',
    VecType: "vec {}",
}
_COMPOUND_TYPES = (RecordType, VariantType)
_NUMBER = "5"


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What the user asked for."""

    canister: str
    """A name of dfx.json, or a principal."""
    method: str
    args: str
    """Such as ``(10, "x")``."""


def explain_args(request: CallRequest, interface: ServiceInterface, error: CandidError) -> str:
    """Say in one line what the method takes, and what is wrong with what it was given."""
    types = interface.methods[request.method].args
    wanted = ", ".join(str(content) for content in types)
    if not request.args.lstrip().startswith("("):
        return f"{request.method} takes ({wanted}): {error}; write '({request.args.strip()})'"
    given = _count_args(request.args)
    if given is None or given == len(types):
        return f"{request.method} takes ({wanted}): {error}"
    count = f"{len(types)} argument{'' if len(types) == 1 else 's'}" if types else "no arguments"
    takes = f"{request.method} takes {count}" + (f" ({wanted})" if types else "")
    example = example_args(types, interface.environment)
    if example is None:
        return f"{takes}, got {given}"
    command = " ".join(["icfleet call", request.canister, request.method, example]).rstrip()
    return f"{takes}, got {given}: {command}"


def example_args(types: tuple[CandidType, ...], environment: TypeEnvironment) -> str | None:
    """Arguments as a shell takes them, such as ``'(5)'``; nothing for a method that takes none.

    Returns:
        ``None`` if a type has parts of its own: the types tell more about those than an example.
    """
    values: list[str] = []
    for content in types:
        resolved = content
        while isinstance(resolved, NamedType):
            resolved = environment[resolved.name]
        if isinstance(resolved, _COMPOUND_TYPES):
            return None
        values.append(_EXAMPLES.get(type(resolved), _NUMBER))
    return f"'({', '.join(values)})'" if values else ""


def _count_args(text: str) -> int | None:
    try:
        return len(read_trees(text))
    except CandidError:
        return None
