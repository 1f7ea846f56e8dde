"""The interface of the fleet, those of our canisters, and the sources as Kybra takes them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from icfleet.build import build
from icfleet_protocol.candid import (
    CandidType,
    NamedType,
    OptType,
    RecordType,
    ServiceInterface,
    ServiceType,
    VariantType,
    VecType,
    parse_did,
)
from icfleet_protocol.candid.graph import Node, build_graph
from icfleet_protocol.candid.subtyping import is_subtype

ROOT = Path(__file__).parents[2]
FOLDERS = {"game": ROOT / "canisters" / "game", "counter": ROOT / "examples" / "counter"}


def interface(path: Path) -> ServiceInterface:
    return parse_did(path.read_text(encoding="utf-8"))


FLEET = interface(ROOT / "canisters" / "icfleet.did")
OURS = {name: interface(folder / f"{name}.did") for name, folder in FOLDERS.items()}
each_canister = pytest.mark.parametrize("name", FOLDERS)


def expanded(candid_type: CandidType, environment: Mapping[str, CandidType]) -> object:
    """A type with its names looked up, except the one that each canister has for itself."""
    match candid_type:
        case NamedType("Operation"):
            return "Operation"
        case NamedType(name):
            return expanded(environment[name], environment)
        case OptType(inner) | VecType(inner):
            return (type(candid_type).__name__, expanded(inner, environment))
        case RecordType(fields) | VariantType(fields):
            members = {str(field.name): expanded(field.type, environment) for field in fields}
            return (type(candid_type).__name__, members)
        case _:
            return candid_type


def node_of(interface: ServiceInterface) -> Node:
    """The whole service as one type."""
    signatures = tuple(interface.methods.items())
    return build_graph([ServiceType(signatures)], interface.environment)[0]


@each_canister
@pytest.mark.parametrize("method", sorted(FLEET.methods))
def test_a_canister_has_every_method_of_the_fleet(name: str, method: str) -> None:
    """With the same kind, arguments and results."""
    theirs, ours = FLEET.methods[method], OURS[name].methods[method]

    assert ours.kind == theirs.kind
    for own, common in ((ours.args, theirs.args), (ours.results, theirs.results)):
        assert [expanded(each, OURS[name].environment) for each in own] == [
            expanded(each, FLEET.environment) for each in common
        ]


@each_canister
def test_the_interface_of_the_fleet_is_a_supertype(name: str) -> None:
    """By Candid's own rules: who knows icfleet.did alone can call any canister of a fleet."""
    assert is_subtype(node_of(OURS[name]), node_of(FLEET))
    assert not is_subtype(node_of(FLEET), node_of(OURS[name]))


@each_canister
def test_a_canister_is_installed_with_its_role(name: str) -> None:
    """And nothing else."""
    (role,) = FLEET.init_args
    (own,) = OURS[name].init_args

    assert expanded(own, OURS[name].environment) == expanded(role, FLEET.environment)


@each_canister
def test_types_of_the_fleet_keep_their_names(name: str) -> None:
    """So that code generated from one interface reads like code generated from the other."""
    environment = OURS[name].environment

    for own in FLEET.environment:
        assert own in environment
        assert expanded(NamedType(own), environment) == expanded(NamedType(own), FLEET.environment)


@each_canister
def test_the_interface_in_the_repository_is_that_of_the_sources(name: str) -> None:
    """Tools that do not build read the .did file."""
    folder = FOLDERS[name]

    assert parse_did(build(folder / "main.py", [folder.parent, ROOT]).did) == OURS[name]


@each_canister
def test_every_bundled_module_has_a_name_of_its_own(name: str) -> None:
    """Kybra copies modules flat by file name, so two of one name would be one."""
    library = ROOT / "canisters" / "icfleet_canister"
    names = [path.name for folder in (library, FOLDERS[name]) for path in folder.glob("*.py")]

    assert len(set(names)) == len(names)
