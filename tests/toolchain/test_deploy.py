"""Deploying canisters to a running network."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from running_fleet import RunningFleet

from icfleet.cli import main
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal

COUNTER = """
from kybra import StableBTreeMap, init, nat64, post_upgrade, query, text, update, void

counts = StableBTreeMap[text, nat64](0, 40, 20)


@init
def start() -> void:
    counts.insert("all", 0)


@update
def add() -> nat64:
    total = (counts.get("all") or 0) + 1
    counts.insert("all", total)
    return total


@query
def read() -> nat64:
    return counts.get("all") or 0
"""
TRAPPING = """
from kybra import init, nat64, query, void


def read_settings() -> void:
    raise ValueError("no settings")


@init
def start() -> void:
    read_settings()


@query
def read() -> nat64:
    return 1
"""

Icfleet = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one canister that is no part of any fleet."""
    (tmp_path / "canisters" / "counter").mkdir(parents=True)
    (tmp_path / "canisters" / "counter" / "main.py").write_text(COUNTER)
    canister = {"type": "kybra", "main": "canisters/counter/main.py"}
    (tmp_path / "dfx.json").write_text(json.dumps({"canisters": {"counter": canister}}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def icfleet_at(running_fleet: RunningFleet, capsys: pytest.CaptureFixture[str]) -> Icfleet:
    """Run a command against the shared network."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--host", running_fleet.url])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def actions(answer: tuple[int, str, str]) -> list[str]:
    """What a deployment with ``--json`` did."""
    code, out, err = answer
    assert code == 0, err
    return [canister["action"] for canister in json.loads(out)["canisters"]]


def test_a_canister_is_created_once_and_upgraded_when_it_changed(
    project: Path, icfleet_at: Icfleet
) -> None:
    """Stable memory and id stay; the same sources are not installed again."""
    assert actions(icfleet_at("deploy", "--json")) == ["created"]
    ids = (project / ".dfx" / "local" / "canister_ids.json").read_text()
    assert icfleet_at("call", "counter", "add")[1] == "(1)\n"
    assert actions(icfleet_at("deploy", "--json")) == ["unchanged"]

    (project / "canisters" / "counter" / "main.py").write_text(COUNTER.replace("+ 1", "+ 5"))

    assert actions(icfleet_at("deploy", "--json")) == ["upgraded"]
    assert icfleet_at("call", "counter", "add")[1] == "(6)\n"
    assert (project / ".dfx" / "local" / "canister_ids.json").read_text() == ids


def test_a_canister_that_the_network_has_forgotten_is_created_anew(
    project: Path, icfleet_at: Icfleet
) -> None:
    """Ids of a network that was stopped are replaced."""
    ids = project / ".dfx" / "local" / "canister_ids.json"
    ids.parent.mkdir(parents=True)
    gone = Principal(bytes.fromhex("80000000001077770101"))
    ids.write_text(json.dumps({"counter": {"local": str(gone)}}))

    assert actions(icfleet_at("deploy", "--json")) == ["created"]

    assert str(gone) not in ids.read_text()


def test_a_trap_in_init_shows_the_canisters_traceback(project: Path, icfleet_at: Icfleet) -> None:
    """The error names the canister; below it stand the lines of its source."""
    source = project / "canisters" / "counter" / "main.py"
    source.write_text(TRAPPING)

    code, out, err = icfleet_at("deploy")

    first, *traceback = err.splitlines()
    assert (code, out) == (1, "")
    assert first.startswith("icfleet: counter: install failed, and nothing of it was kept: ")
    assert "ValueError: no settings" in err
    assert any("main.py" in line and "read_settings" in line for line in traceback)


def test_after_a_trap_the_same_canister_is_installed(project: Path, icfleet_at: Icfleet) -> None:
    """The id that was made for the failed try is used by the next one."""
    source = project / "canisters" / "counter" / "main.py"
    source.write_text(TRAPPING)
    icfleet_at("deploy")
    ids = (project / ".dfx" / "local" / "canister_ids.json").read_text()
    source.write_text(COUNTER)

    assert actions(icfleet_at("deploy", "--json")) == ["installed"]

    assert (project / ".dfx" / "local" / "canister_ids.json").read_text() == ids


def test_a_canister_of_somebody_else_is_not_touched(project: Path, icfleet_at: Icfleet) -> None:
    """The error says how to go on."""
    icfleet_at("deploy")
    (project / "other.pem").write_text(Ed25519Identity.generate().to_pem())

    code, _, err = icfleet_at("deploy", "--identity", "other.pem")

    assert code == 1
    assert "not ours to change" in err
    assert "--identity" in err


def test_an_init_that_wants_more_than_a_role_is_told(project: Path, icfleet_at: Icfleet) -> None:
    """Nothing is sent that the canister could not decode."""
    source = COUNTER.replace("def start() -> void", "def start(limit: nat64) -> void")
    (project / "canisters" / "counter" / "main.py").write_text(source)

    code, _, err = icfleet_at("deploy")

    assert code == 1
    assert "counter: init wants (nat64)" in err


def test_an_outdated_interface_is_warned_of(project: Path, icfleet_at: Icfleet) -> None:
    """Callers encode by the .did file that dfx.json names, so it must be the source's."""
    canister = {"type": "kybra", "main": "canisters/counter/main.py", "candid": "counter.did"}
    (project / "dfx.json").write_text(json.dumps({"canisters": {"counter": canister}}))
    (project / "counter.did").write_text("service : { read : () -> (nat64) query }")

    code, _, err = icfleet_at("deploy")

    assert code == 0
    assert "counter.did is not what counter's source declares" in err
