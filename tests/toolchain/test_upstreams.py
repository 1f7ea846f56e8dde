"""Chains of replicas, as pyproject.toml names them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet.admin_calls import Member
from icfleet.upstreams import check_upstreams, read_upstreams, upstream_order, upstreams_below
from icfleet_protocol.candid import ServiceInterface
from icfleet_protocol.principal import Principal
from icfleet_router.errors import ProjectError
from icfleet_router.project_files import read_project

NAMES = ["main", "replica_1", "replica_2", "replica_3"]
MEMBERS = [
    Member(name=name, id=Principal(bytes([number, 1])), interface=ServiceInterface())
    for number, name in enumerate(NAMES)
]
MAIN = MEMBERS[0]


def write_project(root: Path, table: str) -> Path:
    canister = {"type": "custom", "candid": "x.did", "wasm": "x.wasm"}
    (root / "dfx.json").write_text(json.dumps({"canisters": dict.fromkeys(NAMES, canister)}))
    (root / "pyproject.toml").write_text(table)
    return root / "dfx.json"


def test_a_replica_may_follow_a_replica(tmp_path: Path) -> None:
    dfx = write_project(tmp_path, '[tool.icfleet.upstreams]\nreplica_2 = "replica_1"\n')

    assert read_upstreams(read_project(dfx)) == {"replica_2": "replica_1"}


def test_without_a_table_everybody_follows_main(tmp_path: Path) -> None:
    dfx = write_project(tmp_path, "")

    assert read_upstreams(read_project(dfx)) == {}
    assert all(one is MAIN for one in upstreams_below(MAIN, MEMBERS, {}).values())


@pytest.mark.parametrize(
    "table",
    [
        pytest.param({"main": "replica_1"}, id="former"),
        pytest.param({"main": "replica_1", "replica_1": "main"}, id="back"),
    ],
)
def test_an_entry_of_the_present_main_waits_until_another_is_it(table: dict[str, str]) -> None:
    """Else a table made for one main would stop every command under the next."""
    assert check_upstreams(table, main="main", names=NAMES) is None
    assert upstreams_below(MAIN, MEMBERS, table)["replica_1"] is MAIN
    assert upstreams_below(MEMBERS[2], MEMBERS, {"main": "replica_1"})["main"] is MEMBERS[1]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        pytest.param({"replica_9": "main"}, "replica_9 is no canister of the fleet", id="who"),
        pytest.param({"replica_1": "mian"}, "mian is no canister of the fleet", id="whom"),
        pytest.param({"replica_1": "replica_1"}, "replica_1 cannot follow itself", id="itself"),
        pytest.param(
            {"replica_1": "replica_2", "replica_2": "replica_1"},
            "replica_1 -> replica_2 -> replica_1 goes in a circle: let one of them follow main",
            id="circle",
        ),
    ],
)
def test_what_cannot_be_followed_is_told(
    tmp_path: Path, table: dict[str, str], problem: str
) -> None:
    """With the file and the table to look at."""
    lines = [f'{name} = "{upstream}"' for name, upstream in table.items()]
    dfx = write_project(tmp_path, "\n".join(["[tool.icfleet.upstreams]", *lines]))

    with pytest.raises(ProjectError) as caught:
        read_upstreams(read_project(dfx))

    assert f"pyproject.toml: [tool.icfleet.upstreams]: {problem}" in str(caught.value)


@given(
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.sampled_from(MEMBERS),
)
def test_whoever_is_main_everybody_is_led_to_it(table: dict[str, str], main: Member) -> None:
    """Also where the table was made for another main; and upstreams come first."""
    wanted = upstreams_below(main, MEMBERS, table)

    order = upstream_order(main, MEMBERS, wanted)

    assert sorted(one.name for one in (main, *order)) == NAMES
    joined = {main.name}
    for member in order:
        assert wanted[member.name].name in joined, (member.name, wanted)
        joined.add(member.name)


@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NAMES)))
def test_a_table_without_a_problem_is_taken_as_it_is(table: dict[str, str]) -> None:
    if check_upstreams(table, main="main", names=NAMES) is None:
        wanted = upstreams_below(MAIN, MEMBERS, table)

        assert {name: one.name for name, one in wanted.items()} == {
            name: table.get(name, "main") for name in NAMES[1:]
        }
