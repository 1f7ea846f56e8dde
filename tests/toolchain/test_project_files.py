"""The repository's own dfx.json and icp.yaml: one fleet, twice described."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from icfleet_protocol.candid import encode, parse_args, parse_did
from icfleet_router.project_files import read_project

ROOT = Path(__file__).parents[2]
DFX: dict[str, Any] = json.loads((ROOT / "dfx.json").read_text())
ICP = (ROOT / "icp.yaml").read_text()
NAMES = list(DFX["canisters"])


def test_the_fleet_is_a_main_and_two_replicas() -> None:
    """Roles follow from the names."""
    project = read_project(ROOT / "dfx.json")

    assert project.main.name == "main"
    assert [replica.name for replica in project.replicas] == ["replica_1", "replica_2"]
    assert project.network("local").host == "http://127.0.0.1:4943"


@pytest.mark.parametrize("name", NAMES)
def test_dfx_builds_each_canister_by_icfleet_wasm(name: str) -> None:
    """The command writes the module where dfx looks for it, and the sources are there."""
    canister = DFX["canisters"][name]

    command, verb, built, entry = shlex.split(canister["build"])

    assert (command, verb, built) == ("icfleet", "wasm", name)
    assert canister["wasm"] == f".kybra/{name}/{name}.wasm"
    assert (ROOT / entry).is_file()
    assert canister["type"] == "custom"
    assert canister["gzip"] is True
    assert canister["metadata"] == [{"name": "candid:service", "visibility": "public"}]


@pytest.mark.parametrize("name", NAMES)
def test_each_canister_is_installed_with_its_role(name: str) -> None:
    """The text fits the interface, and says what ``icfleet deploy`` would encode."""
    canister = DFX["canisters"][name]
    interface = parse_did((ROOT / canister["candid"]).read_text())
    role = "Main" if name == "main" else "Replica"

    (value,) = parse_args(
        canister["init_arg"], interface.init_args, environment=interface.environment
    )

    assert value == {role: None}
    assert encode(interface.init_args, [value], environment=interface.environment)


def test_dfx_attaches_after_the_last_canister() -> None:
    """dfx installs in the order of the names, and post_install runs after its own canister."""
    with_task = [name for name in NAMES if "post_install" in DFX["canisters"][name]]

    assert with_task == [max(NAMES)]
    assert DFX["canisters"][max(NAMES)]["post_install"] == "icfleet attach"


def test_icp_yaml_describes_the_same_fleet() -> None:
    """The same canisters with the same arguments, and the three environments."""
    sections = re.compile(r"^(?:networks|environments):\n", re.MULTILINE)
    canisters, networks, environments = sections.split(ICP)

    names = re.findall(r"- name: (\w+)", canisters)
    arguments = re.findall(r'init_args: "(.*)"', canisters)
    assert dict(zip(names, arguments, strict=True)) == {
        name: canister["init_arg"] for name, canister in DFX["canisters"].items()
    }
    assert re.findall(r"- name: (\w+)", networks) == ["localnet", "local"]
    assert re.findall(r"- name: (\w+)", environments) == ["localnet", "local", "ic"]
    assert "url: http://127.0.0.1:4943\n    root-key: fetch" in networks


def test_icp_yaml_builds_by_environment() -> None:
    """The local network takes the bundle, every other network Kybra's module."""
    (entry,) = {shlex.split(canister["build"])[3] for canister in DFX["canisters"].values()}
    script = " ".join(ICP.split())

    assert (
        f'if [ "$ICP_CLI_ENVIRONMENT" = localnet ]; then icfleet build {entry} --out '
        f'"$ICP_WASM_OUTPUT_PATH"; else icfleet wasm game {entry} --out "$ICP_WASM_OUTPUT_PATH"; fi'
    ) in script
    assert 'command: icfleet attach --network "$ICP_CLI_ENVIRONMENT"' in script
