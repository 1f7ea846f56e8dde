"""docs/canister-api.md names everything that programs may rely on."""

import re
from pathlib import Path

import pytest
from tiny_application import TinyNode

from icfleet_canister import fleet_errors
from icfleet_protocol.candid import parse_did

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "canisters" / "icfleet_canister"
DOCUMENT = (ROOT / "docs" / "canister-api.md").read_text(encoding="utf-8")
FLEET = parse_did((ROOT / "canisters" / "icfleet.did").read_text(encoding="utf-8"))
SOURCES = "".join(path.read_text(encoding="utf-8") for path in sorted(LIBRARY.glob("*.py")))


def documented(name: str) -> bool:
    """As code, alone or as a call."""
    return re.search(rf"`{re.escape(name)}[`(]", DOCUMENT) is not None


@pytest.mark.parametrize("method", sorted(FLEET.methods))
def test_every_method_is_described(method: str) -> None:
    assert documented(method) or f"## {method}:" in DOCUMENT


def test_every_code_of_a_problem_is_listed() -> None:
    """In the document, and in the constant that programs switch over."""
    codes = set(re.findall(r'(?:Problem|refuse)\(\s*"([A-Z]\w+)"', SOURCES))

    assert codes == set(fleet_errors.PROBLEM_CODES)
    assert [code for code in sorted(codes) if not documented(code)] == []


def test_every_code_of_an_invalid_operation_is_listed() -> None:
    source = (LIBRARY / "batch_applier.py").read_text(encoding="utf-8")
    codes = re.findall(r'^[A-Z_]+ = "([A-Z]\w+)"$', source, re.MULTILINE)

    assert sorted(codes) == ["Encoding", "IdSize", "RecordTooLarge", "RowTooLarge", "RulesFailed"]
    assert [code for code in codes if not documented(code)] == []


def test_every_prefix_of_a_pull_error_is_listed() -> None:
    kinds = {
        error.kind
        for error in vars(fleet_errors).values()
        if isinstance(error, type)
        and issubclass(error, fleet_errors.BatchRefusedError)
        and error is not fleet_errors.BatchRefusedError
    }
    kinds |= set(re.findall(r'f?"([A-Z]\w+): (?:the upstream|this canister|\{)', SOURCES))
    kinds -= {"Reseed", "Seeding", "Rebuilding"}  # no error; rejects of reads

    assert {"Unreachable", "NotAttached", "WrongCursor", "Gap"} <= kinds
    assert [kind for kind in sorted(kinds) if not documented(kind)] == []


def test_every_figure_is_explained() -> None:
    service = TinyNode.main().service
    own = {name for name, _ in service.app.figures()}
    names = [name for name, _ in service.figures() if name not in own]

    assert [name for name in names if not documented(name)] == []
