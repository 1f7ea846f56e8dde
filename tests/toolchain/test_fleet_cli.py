"""What the commands of a fleet do around the calls: keys, tables, and the project's files."""

import json
from pathlib import Path
from typing import Any

import pytest

from icfleet.admin_calls import Signer, SignerChoice
from icfleet.cli import main
from icfleet.errors import IdentityFileError
from icfleet.fleet import OpenFleet, open_administration, open_fleet
from icfleet.site import open_site
from icfleet_agent import Agent
from icfleet_router.errors import ProjectError

CIRCLE = '[tool.icfleet.upstreams]\nreplica_1 = "replica_2"\nreplica_2 = "replica_1"\n'
REPORT: dict[str, Any] = {
    "main": {"name": "replica_1", "epoch": 2, "seq": 3},
    "former": "main",
    "pause_s": 1.5,
    "replicas": [],
    "warnings": [],
    "bound": None,
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of three canisters, in whose files roles are written in a form of their own."""
    methods = (
        *("acknowledge", "attach", "configure", "demote", "detach", "follow", "head"),
        *("log_since", "promote", "reseed", "state_page", "status", "submit"),
    )
    service = "; ".join(f"{method} : () -> ()" for method in methods)
    (tmp_path / "x.did").write_text(f"service : {{ {service} }}")
    canister = {"type": "custom", "candid": "x.did", "wasm": "x.wasm"}
    names = ["main", "replica_1", "replica_2"]
    (tmp_path / "dfx.json").write_text(json.dumps({"canisters": dict.fromkeys(names, canister)}))
    ids = {
        name: {"local": one}
        for name, one in zip(names, ("aaaaa-aa", "2vxsx-fae", "2vxsx-fae"), strict=True)
    }
    (tmp_path / ".dfx" / "local").mkdir(parents=True)
    (tmp_path / ".dfx" / "local" / "canister_ids.json").write_text(json.dumps(ids))
    return tmp_path


@pytest.mark.parametrize("is_json", [False, True], ids=["text", "json"])
def test_a_promotion_is_told_though_its_roles_cannot_be_written(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_json: bool,
) -> None:
    """The canister is the main all the same; the error has the lines to put there."""

    def run(_place: object, _act: object) -> dict[str, Any]:
        return REPORT

    (project / "pyproject.toml").write_text('[tool.icfleet]\nroles = {main = "main"}\n')
    monkeypatch.setattr("icfleet.fleet_cli._Place.run", run)
    options = ["--yes", "--write-roles", "--dfx", str(project / "dfx.json")]

    code = main(["promote", "replica_1", *options, *(["--json"] if is_json else [])])

    out, err = capsys.readouterr()
    assert code == 1
    assert "roles not written" in err
    assert 'replica_1 = "main"' in err
    if is_json:
        assert json.loads(out)["is_written"] is False
    else:
        assert out == "replica_1 is the main, at 2.3; no canister was main for 1.5 s\n"


async def test_administration_makes_no_key(project: Path) -> None:
    """A new one would be no admin's, and would hide that the right one is lost."""
    site = open_site(project / "dfx.json", "local", None)

    with pytest.raises(IdentityFileError, match=r"no admin key at .*admin\.pem: --identity, or re"):
        async with open_administration(site, SignerChoice(signer=Signer.KEY, key=None)):
            pass

    assert not site.admin_path.exists()


async def test_a_fleet_can_be_looked_at_whatever_its_upstreams_say(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a warning; who wants to use them is refused."""
    (project / "pyproject.toml").write_text(CIRCLE)
    site = open_site(project / "dfx.json", "local", None)

    async with Agent(site.network.host) as agent:
        fleet: OpenFleet = open_fleet(site, agent)

    assert "goes in a circle" in capsys.readouterr().err
    assert len(fleet.members) == 3
    with pytest.raises(ProjectError, match="goes in a circle"):
        _ = fleet.upstreams
