"""Canister ids on disk."""

import json
from pathlib import Path

import pytest

from icfleet.canister_ids import read_icp_ids, read_known_ids, write_canister_ids
from icfleet_protocol.principal import Principal
from icfleet_router.errors import ProjectError
from icfleet_router.project import DfxProject, parse_project

MAIN = Principal.from_text("rwlgt-iiaaa-aaaaa-aaaaa-cai")
REPLICA = Principal.from_text("rrkah-fqaaa-aaaaa-aaaaq-cai")


@pytest.fixture
def project(tmp_path: Path) -> DfxProject:
    """A project with a main, on dfx's own networks."""
    return parse_project(b'{"canisters": {"main": {}}}', path=tmp_path / "dfx.json")


def test_ids_are_written_where_dfx_keeps_them(project: DfxProject) -> None:
    """The local network's ids go to ``.dfx/local``, mainnet's beside dfx.json."""
    write_canister_ids(project, project.network("local"), {"main": MAIN})
    write_canister_ids(project, project.network("ic"), {"main": REPLICA})

    local = project.root / ".dfx" / "local" / "canister_ids.json"
    assert json.loads(local.read_text()) == {"main": {"local": str(MAIN)}}
    beside = project.root / "canister_ids.json"
    assert json.loads(beside.read_text()) == {"main": {"ic": str(REPLICA)}}
    assert read_known_ids(project, project.network("local")) == {"main": MAIN}


def test_other_ids_stay(project: DfxProject) -> None:
    """Writing one id loses no other canister and no other network."""
    path = project.root / "canister_ids.json"
    path.write_text(json.dumps({"main": {"test": "x"}, "assets": {"ic": str(MAIN)}}))

    write_canister_ids(project, project.network("ic"), {"main": REPLICA})

    assert json.loads(path.read_text()) == {
        "main": {"test": "x", "ic": str(REPLICA)},
        "assets": {"ic": str(MAIN)},
    }
    assert [file.name for file in project.root.iterdir()] == ["canister_ids.json"]


def test_no_file_means_no_ids(project: DfxProject) -> None:
    """Before the first deployment there is nothing to read."""
    assert read_known_ids(project, project.network("local")) == {}
    assert read_icp_ids(project.root, "local") == {}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no-json"),
        pytest.param("[]", id="other-shape"),
        pytest.param('{"main": {"ic": "nope"}}', id="no-principal"),
    ],
)
def test_a_malformed_file_is_named(project: DfxProject, text: str) -> None:
    """The error has the file's path; the file is left as it is."""
    path = project.root / "canister_ids.json"
    path.write_text(text)

    with pytest.raises(ProjectError) as caught:
        read_known_ids(project, project.network("ic"))

    assert caught.value.path == path
    assert path.read_text() == text


def test_a_folder_that_cannot_be_made_is_an_error(project: DfxProject) -> None:
    """A file in the place of ``.dfx`` is told by name."""
    (project.root / ".dfx").write_text("")

    with pytest.raises(ProjectError, match="cannot be written"):
        write_canister_ids(project, project.network("local"), {"main": MAIN})


@pytest.mark.parametrize("kind", ["data", "cache"])
def test_ids_of_icp_cli_are_read(tmp_path: Path, kind: str) -> None:
    """icp-cli keeps connected networks under data and managed ones under cache."""
    folder = tmp_path / ".icp" / kind / "mappings"
    folder.mkdir(parents=True)
    (folder / "localnet.ids.json").write_text(json.dumps({"main": str(MAIN)}))

    assert read_icp_ids(tmp_path, "localnet") == {"main": MAIN}
    assert read_icp_ids(tmp_path, "ic") == {}
