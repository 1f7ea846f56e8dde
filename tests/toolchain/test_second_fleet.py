"""A fleet that is deployed and attached step by step, as after ``dfx deploy``."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from running_fleet import RunningFleet, copy_project

from icfleet.cli import main
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal

Icfleet = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def second_project(tmp_path_factory: pytest.TempPathFactory, running_fleet: RunningFleet) -> Path:
    """A project whose canisters are installed on the shared network, and not attached."""
    project = copy_project(tmp_path_factory.mktemp("second"))
    dfx = str(project / "dfx.json")
    assert main(["deploy", "--dfx", dfx, "--host", running_fleet.url]) == 0
    return project


@pytest.fixture
def icfleet_in(
    second_project: Path,
    running_fleet: RunningFleet,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Icfleet:
    """Run a command in the second project."""
    monkeypatch.chdir(second_project)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--host", running_fleet.url])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def ids_path(project: Path) -> Path:
    return project / ".dfx" / "local" / "canister_ids.json"


def test_a_stranger_attaches_nothing_and_the_admin_everything(
    icfleet_in: Icfleet, second_project: Path, tmp_path: Path
) -> None:
    """The refusal says who may; after the admin's call every replica stands where main stands."""
    (tmp_path / "stranger.pem").write_text(Ed25519Identity.generate().to_pem())
    stranger = ("--identity", str(tmp_path / "stranger.pem"))
    replica = json.loads(ids_path(second_project).read_text())["replica_1"]["local"]
    assert icfleet_in("call", "main", "detach", f'(principal "{replica}")')[0] == 0

    code, _, err = icfleet_in("attach", *stranger)
    assert code == 1
    assert "main refuses " in err
    assert "only an admin of the canister may" in err

    code, out, _ = icfleet_in("attach", "--json")
    report = json.loads(out)
    assert code == 0
    places = {(line["epoch"], line["seq"], line["chain_hash"]) for line in report["replicas"]}
    assert places == {tuple(report["main"][key] for key in ("epoch", "seq", "chain_hash"))}

    # Nothing is left to do, so nobody's rights are asked for.
    assert icfleet_in("attach", *stranger)[0] == 0


def test_a_wrong_role_is_told(icfleet_in: Icfleet, second_project: Path) -> None:
    """What dfx.json wants is compared with what the canisters say of themselves."""
    assert icfleet_in("attach")[0] == 0
    pyproject = second_project / "pyproject.toml"
    before = pyproject.read_text()
    pyproject.write_text('[tool.icfleet.roles]\nmain = "replica"\nreplica_1 = "main"\n')
    try:
        code, _, err = icfleet_in("attach")
    finally:
        pyproject.write_text(before)

    assert code == 1
    assert "main (" in err
    assert "is the main now" in err
    assert err.endswith('[tool.icfleet.roles]\n    replica_1 = "replica"\n    main = "main"\n')


def test_one_silent_canister_leaves_the_others_in_the_table(
    icfleet_in: Icfleet, second_project: Path
) -> None:
    """Its line says why; the exit code tells a script."""
    assert icfleet_in("attach")[0] == 0
    ids = ids_path(second_project)
    before = ids.read_text()
    gone = str(Principal(bytes.fromhex("80000000001066660101")))
    ids.write_text(json.dumps({**json.loads(before), "replica_2": {"local": gone}}))
    try:
        code, out, err = icfleet_in("status", "--json")
        _, table, _ = icfleet_in("status")
    finally:
        ids.write_text(before)

    report = json.loads(out)
    assert (code, err) == (1, "icfleet: not every canister answered\n")
    assert report["is_complete"] is False
    assert [line["error"] is None for line in report["canisters"]] == [True, True, False]
    assert "does not answer" in table


def test_ids_of_icp_cli_are_taken_over(icfleet_in: Icfleet, second_project: Path) -> None:
    """After ``icp deploy`` the fleet's ids are in icp-cli's own file only."""
    ids: dict[str, dict[str, str]] = json.loads(ids_path(second_project).read_text())
    mapping = second_project / ".icp" / "data" / "mappings" / "localnet.ids.json"
    mapping.parent.mkdir(parents=True)
    mapping.write_text(json.dumps({name: known["local"] for name, known in ids.items()}))

    code, _, err = icfleet_in("attach", "--network", "localnet")

    assert code == 0, err
    taken = json.loads((second_project / ".dfx/localnet/canister_ids.json").read_text())
    assert taken["replica_2"] == {"localnet": ids["replica_2"]["local"]}
