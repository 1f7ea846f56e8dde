"""What dfx.json, canister_ids.json and pyproject.toml say."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.principal import Principal
from icfleet_router import DfxProject, Network, ProjectError, Role
from icfleet_router.project import parse_canister_ids, parse_project, parse_roles
from icfleet_router.roles import RoleOverride

PATH = Path("game/dfx.json")
FLEET = {
    "main": {
        "type": "custom",
        "candid": ".icfleet/build/main/main.did",
        "wasm": "main.wasm",
        "build": "icfleet wasm main canisters/game/main.py",
    },
    "replica_1": {"type": "kybra", "main": "canisters/game/main.py"},
    "replica_2": {"type": "custom", "build": ["echo", "python -m kybra replica_2 'my game.py'"]},
    "website": {"type": "assets", "source": ["dist"]},
}


def _parse(content: object, **roles: RoleOverride) -> DfxProject:
    return parse_project(json.dumps(content).encode(), path=PATH, roles=roles)


def test_names_tell_the_roles() -> None:
    """``main``, ``replica_*``, and whatever else is in the project."""
    project = _parse({"canisters": FLEET})

    assert [one.name for one in project.fleet] == ["main", "replica_1", "replica_2"]
    assert project.main.role is Role.MAIN
    assert project.canister("website").role is None


def test_roles_can_be_overridden() -> None:
    """For projects whose canisters had names before."""
    project = _parse({"canisters": FLEET}, main="none", replica_1="main", website="replica")

    assert project.main.name == "replica_1"
    assert [one.name for one in project.replicas] == ["replica_2", "website"]


def test_the_entry_is_main_or_named_by_the_build_command() -> None:
    """Kybra's own type and the custom one both lead to a Python file."""
    project = _parse({"canisters": FLEET})

    assert {name: one.entry for name, one in project.canisters.items()} == {
        "main": Path("game/canisters/game/main.py"),
        "replica_1": Path("game/canisters/game/main.py"),
        "replica_2": Path("game/my game.py"),
        "website": None,
    }


def test_candid_is_relative_to_the_project() -> None:
    """As dfx has it."""
    project = _parse({"canisters": FLEET})

    assert project.main.candid == Path("game/.icfleet/build/main/main.did")
    assert project.canister("replica_1").candid is None


def test_the_rest_of_the_file_is_dfxs_business() -> None:
    """A new dfx field must not break a fleet."""
    project = _parse({"version": 1, "dfx": "0.32.0", "canisters": FLEET, "defaults": {"x": [1]}})

    assert project.root == Path("game")


@pytest.mark.parametrize(
    ("networks", "name", "network"),
    [
        ({}, "local", Network("local", "http://127.0.0.1:4943", is_ephemeral=True)),
        ({}, "ic", Network("ic", "https://icp0.io", is_ephemeral=False)),
        (
            {"local": {"bind": "127.0.0.1:8000", "type": "ephemeral"}},
            "local",
            Network("local", "http://127.0.0.1:8000", is_ephemeral=True),
        ),
        (
            {"local": {"bind": "0.0.0.0:8000"}},
            "local",
            Network("local", "http://127.0.0.1:8000", is_ephemeral=True),
        ),
        (
            {"stage": {"providers": ["https://a.example/", "https://b.example"]}},
            "stage",
            Network("stage", "https://a.example", is_ephemeral=False),
        ),
        (
            {"emu": {"providers": ["http://127.0.0.1:99"], "type": "ephemeral"}},
            "emu",
            Network("emu", "http://127.0.0.1:99", is_ephemeral=True),
        ),
        (
            {"ic": {"type": "persistent"}},
            "ic",
            Network("ic", "https://icp0.io", is_ephemeral=False),
        ),
        (
            {},
            "http://127.0.0.1:8080/",
            Network("http___127_0_0_1_8080_", "http://127.0.0.1:8080", is_ephemeral=True),
        ),
    ],
    ids=["local", "ic", "bind", "any-address", "providers", "ephemeral", "ic-bare", "url"],
)
def test_networks(networks: object, name: str, network: Network) -> None:
    """As dfx resolves them."""
    assert _parse({"canisters": FLEET, "networks": networks}).network(name) == network


def test_ids_are_kept_where_dfx_keeps_them() -> None:
    """Ephemeral networks below ``.dfx``, others beside dfx.json."""
    project = _parse({"canisters": FLEET})

    paths = [project.canister_ids_path(project.network(name)) for name in ("local", "ic")]

    assert paths == [Path("game/.dfx/local/canister_ids.json"), Path("game/canister_ids.json")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "not JSON", id="cut"),
        pytest.param("", "not JSON", id="empty"),
        pytest.param("\xff", "not JSON", id="not-utf-8"),
        pytest.param("[]", "Expected `object`", id="array"),
        pytest.param("{}", "canisters", id="no-canisters"),
        pytest.param('{"canisters": {"main": 5}}', r"\$\.canisters", id="canister-is-a-number"),
        pytest.param('{"canisters": {"main": {"candid": 5}}}', "candid", id="candid-is-a-number"),
        pytest.param(
            '{"canisters": {}, "networks": {"local": {"bind": "here"}}}', "address:port", id="bind"
        ),
        pytest.param(
            '{"canisters": {}, "networks": {"x": {"providers": ["ftp://x"]}}}', "URLs", id="ftp"
        ),
        pytest.param('{"canisters": {}, "networks": {"x": {}}}', "neither", id="no-place"),
        pytest.param('{"canisters": {"main": {"build": "a \'b"}}}', "build command", id="quotes"),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong(text: str, message: str) -> None:
    """The path first, then the place in the file."""
    with pytest.raises(ProjectError, match=message) as caught:
        parse_project(text.encode("latin-1"), path=PATH)

    assert str(caught.value).startswith("game/dfx.json: ")


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":, canistersmain05', max_size=60))
def test_any_file_is_read_or_refused(text: str | bytes) -> None:
    """Nothing but ``ProjectError`` leaves the parser."""
    try:
        parse_project(text if isinstance(text, bytes) else text.encode(), path=PATH)
    except ProjectError:
        return


def test_what_is_not_there_is_named_with_what_is() -> None:
    """Most mistakes are in a name."""
    project = _parse({"canisters": FLEET})

    with pytest.raises(ProjectError, match="'bank'; it has main, replica_1"):
        project.canister("bank")
    with pytest.raises(ProjectError, match="'stage'; it has local, ic"):
        project.network("stage")


@pytest.mark.parametrize(
    ("roles", "found"),
    [({"main": "none"}, "none"), ({"website": "main"}, "main, website")],
    ids=["none", "two"],
)
def test_a_fleet_has_one_main(roles: dict[str, RoleOverride], found: str) -> None:
    """The message says where roles come from."""
    project = _parse({"canisters": FLEET}, **roles)

    with pytest.raises(ProjectError, match=f"pyproject.*{found}$"):
        _ = project.main


def test_a_role_for_a_canister_that_is_not_there_is_refused() -> None:
    """A typing error would otherwise go unseen."""
    with pytest.raises(ProjectError, match="bank") as caught:
        _parse({"canisters": FLEET}, bank="main")

    assert caught.value.path == Path("game/pyproject.toml")


def test_roles_are_read_from_pyproject() -> None:
    """Other tools' tables are not looked at."""
    content = {"tool": {"icfleet": {"roles": {"bank": "main"}}, "ruff": {"x": 1}}, "project": {}}

    assert parse_roles(content, path=PATH) == {"bank": "main"}
    assert parse_roles({}, path=PATH) == {}


def test_an_unknown_role_is_refused() -> None:
    """With the place in the file."""
    with pytest.raises(ProjectError, match="leader"):
        parse_roles({"tool": {"icfleet": {"roles": {"bank": "leader"}}}}, path=PATH)


def test_ids_are_read_for_one_network() -> None:
    """dfx writes its own Candid UI into the same file."""
    text = json.dumps(
        {
            "__Candid_UI": {"local": "bd3sg-teaaa-aaaaa-qaaba-cai"},
            "main": {"local": "bkyz2-fmaaa-aaaaa-qaaaq-cai", "ic": "rwlgt-iiaaa-aaaaa-aaaaa-cai"},
            "replica_1": {"ic": "ryjl3-tyaaa-aaaaa-aaaba-cai"},
        }
    ).encode()

    ids = parse_canister_ids(text, "local", path=PATH)

    assert ids["main"] == Principal.from_text("bkyz2-fmaaa-aaaaa-qaaaq-cai")
    assert "replica_1" not in ids


def test_an_id_that_is_no_principal_is_refused() -> None:
    """With the canister's name."""
    with pytest.raises(ProjectError, match=r"the id of main is not a"):
        parse_canister_ids(b'{"main": {"local": "bkyz2"}}', "local", path=PATH)
