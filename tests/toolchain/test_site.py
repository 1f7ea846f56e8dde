"""Projects, networks and identities as commands find them."""

from pathlib import Path

import pytest

from icfleet.errors import IdentityFileError
from icfleet.search_path import search_path_of
from icfleet.site import open_site
from icfleet_protocol.principal import ANONYMOUS
from icfleet_router.errors import ProjectError

DFX = '{"canisters": {"main": {"type": "custom", "candid": "main.did"}}}'


@pytest.fixture
def dfx(tmp_path: Path) -> Path:
    """A project with one canister."""
    path = tmp_path / "dfx.json"
    path.write_text(DFX)
    return path


def test_the_host_may_be_another_than_dfx_json_says(dfx: Path) -> None:
    """``--host`` keeps the network's name, and so its ids."""
    assert open_site(dfx, "local", None).network.host == "http://127.0.0.1:4943"
    site = open_site(dfx, "local", "http://127.0.0.1:5000/")
    assert (site.network.name, site.network.host) == ("local", "http://127.0.0.1:5000")


def test_the_admin_is_made_on_first_use(dfx: Path) -> None:
    """Without ``--identity`` the project's own admin signs, always the same."""
    site = open_site(dfx, "local", None)

    sender = site.admin(None).sender

    assert site.admin(None).sender == sender
    assert site.admin(site.admin_path).sender == sender
    assert site.caller(None).sender == sender


def test_calls_are_anonymous_where_there_is_no_key(dfx: Path) -> None:
    """Reading makes no files."""
    site = open_site(dfx, "local", None)

    assert site.caller(None).sender == ANONYMOUS
    assert not site.admin_path.exists()


def test_a_chosen_key_must_be_there(dfx: Path) -> None:
    """A path given with ``--identity`` is never made."""
    site = open_site(dfx, "local", None)

    for choose in (site.admin, site.caller):
        with pytest.raises(IdentityFileError, match="no such key"):
            choose(dfx.parent / "other.pem")


def test_a_broken_interface_is_named(dfx: Path) -> None:
    """The error has the .did file's path."""
    site = open_site(dfx, "local", None)
    (dfx.parent / "main.did").write_text("service : {")

    with pytest.raises(ProjectError, match="not a Candid interface") as caught:
        site.interface(site.project.main)

    assert caught.value.path == dfx.parent / "main.did"


def test_a_missing_interface_is_named(dfx: Path) -> None:
    """dfx.json naming a file that is not there is an error of dfx.json."""
    site = open_site(dfx, "local", None)

    with pytest.raises(ProjectError, match=r"main\.did, which is not there"):
        site.interface(site.project.main)


@pytest.mark.parametrize(
    ("entry", "folders"),
    [
        pytest.param("canisters/game/main.py", ("canisters", "."), id="shared-folder"),
        pytest.param("src/main.py", (".",), id="folder-in-root"),
        pytest.param("main.py", (".",), id="file-in-root"),
    ],
)
def test_imports_are_found_beside_the_canister(
    tmp_path: Path, entry: str, folders: tuple[str, ...]
) -> None:
    """The folder that holds the canisters' folders comes before the project's own."""
    found = search_path_of(tmp_path, tmp_path / entry)

    assert found == tuple(tmp_path / folder for folder in folders)


def test_an_entry_outside_the_project_is_refused(tmp_path: Path) -> None:
    """Kybra would leave its imports out without a word."""
    with pytest.raises(ProjectError, match="is not below"):
        search_path_of(tmp_path / "project", tmp_path / "project" / ".." / "main.py")
