"""The interface of the fleet, the game's own, and the sources as Kybra takes them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from icfleet.build import build
from icfleet.lint import lint_paths
from icfleet_protocol.candid import (
    CandidType,
    NamedType,
    OptType,
    RecordType,
    ServiceInterface,
    VariantType,
    VecType,
    parse_did,
)

CANISTERS = Path(__file__).parent.parent.parent / "canisters"
ENTRY = CANISTERS / "game" / "main.py"


def interface(path: str) -> ServiceInterface:
    return parse_did((CANISTERS / path).read_text(encoding="utf-8"))


FLEET = interface("icfleet.did")
GAME = interface("game/game.did")


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


@pytest.mark.parametrize("name", sorted(FLEET.methods))
def test_the_game_has_every_method_of_the_fleet(name: str) -> None:
    """With the same kind, arguments and results."""
    theirs, ours = FLEET.methods[name], GAME.methods[name]

    assert ours.kind == theirs.kind
    for own, common in ((ours.args, theirs.args), (ours.results, theirs.results)):
        assert [expanded(each, GAME.environment) for each in own] == [
            expanded(each, FLEET.environment) for each in common
        ]


def test_a_canister_is_installed_with_its_role() -> None:
    """And nothing else."""
    (role,) = FLEET.init_args

    assert expanded(role, FLEET.environment) == expanded(GAME.init_args[0], GAME.environment)
    assert len(GAME.init_args) == 1


def test_the_sources_are_as_kybra_wants_them() -> None:
    """Nothing that it would refuse, drop or read otherwise."""
    assert lint_paths([ENTRY], search_path=[CANISTERS]) == []


def test_the_interface_in_the_repository_is_that_of_the_sources() -> None:
    """Tools that do not build read game.did."""
    assert parse_did(build(ENTRY, [CANISTERS]).did) == GAME


def test_every_bundled_module_has_a_name_of_its_own() -> None:
    """Kybra copies modules flat by file name, so two of one name would be one."""
    names = [path.name for path in CANISTERS.rglob("*.py") if path.name != "__init__.py"]

    assert len(set(names)) == len(names)
