"""``icfleet settings`` against a running network: what is shown, asked, refused and applied."""

import io
import json
import re
import shlex
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from icfleet.canister_costs import (
    GIB,
    MONTH_DAYS,
)
from icfleet.canister_profiles import BUILT_IN, read_profiles
from icfleet.cli import main
from icfleet.site import open_site
from icfleet.testing import Localnet
from icfleet_agent import Agent, CanisterSettings, CanisterStatus, ManagementCanister
from icfleet_localnet.fault_rules import DrainCycles, FaultRule, Match, RejectWith
from icfleet_localnet.management import MANAGEMENT_INTERFACE
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_router.project_files import read_project

Answer = tuple[int, str, str]
Settings = Callable[..., Answer]

DOCUMENT = Path(__file__).parent.parent.parent / "docs/settings.md"
T = 10**12
DAY_S = 24 * 3600
NAMES = ("main", "replica_1")
PROBE = "from kybra import nat64, query\n\n\n@query\ndef read() -> nat64:\n    return 1\n"
RESERVED = BUILT_IN["reserved"].settings
LEAN = """
[tool.icfleet.profiles.lean]
compute_allocation = 1
memory_allocation = "2 GiB"
log_visibility = "public"

[tool.icfleet.canisters.main]
profile = "lean"
"""


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def network() -> Iterator[Localnet]:
    """A network that tests share; each has canisters of its own."""
    with Localnet() as localnet:
        yield localnet


@pytest.fixture
def project(
    network: Localnet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Path:
    """Two small canisters, deployed."""
    return deploy(network, tmp_path, monkeypatch, capsys)


@pytest.fixture
def settings(
    network: Localnet, project: Path, capsys: pytest.CaptureFixture[str]
) -> Generator[Settings]:
    """Run the command in the project; faults are cleared afterwards."""
    assert project.is_dir()

    def run(*arguments: str) -> Answer:
        code = main(["settings", *arguments, "--host", network.url])
        out, err = capsys.readouterr()
        return code, out, err

    yield run
    network.clear_faults()


def deploy(
    network: Localnet,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Path:
    (root / "canisters/probe").mkdir(parents=True)
    (root / "canisters/probe/main.py").write_text(PROBE)
    canister = {"type": "kybra", "main": "canisters/probe/main.py"}
    lab = {"bind": network.url.removeprefix("http://"), "type": "persistent"}
    content = {"canisters": dict.fromkeys(NAMES, canister), "networks": {"lab": lab}}
    (root / "dfx.json").write_text(json.dumps(content))
    (root / "pyproject.toml").write_text(LEAN)
    monkeypatch.chdir(root)
    assert main(["deploy", "--host", network.url]) == 0
    capsys.readouterr()
    return root


def id_of(project: Path, name: str) -> Principal:
    ids = json.loads((project / ".dfx/local/canister_ids.json").read_text())
    return Principal.from_text(ids[name]["local"])


def status_of(network: Localnet, project: Path, name: str = "main") -> CanisterStatus:
    """What the network tells the canister's controller."""
    admin = open_site(project / "dfx.json", "local", network.url).admin(None)
    canister = id_of(project, name)
    return network.call(lambda agent: ManagementCanister(agent).status(canister), admin)


def top_up(network: Localnet, canister: Principal, cycles: int) -> None:
    fields = {"canister_id": canister, "amount": cycles}
    method = "provisional_top_up_canister"
    arg = MANAGEMENT_INTERFACE.encode_args(method, [fields])

    async def send(agent: Agent) -> None:
        await agent.update(MANAGEMENT_CANISTER, method, arg, effective_canister=canister)

    network.call(send)


def canisters(answer: Answer) -> dict[str, dict[str, Any]]:
    """The report's canisters by name."""
    return {one["name"]: one for one in json.loads(answer[1])["canisters"]}


def line(canister: dict[str, Any], key: str) -> dict[str, Any]:
    return next(one for one in canister["settings"] if one["key"] == key)


def test_what_is_set_is_shown_beside_the_profile(settings: Settings) -> None:
    """A row for each setting, with what it costs a month; nothing is folded or left out."""
    code, out, err = settings("show")

    rows = [row.split() for row in out.splitlines()]
    assert (code, err) == (0, "")
    assert rows[2][:6] == ["compute_allocation", "0", "%", "0.000", "T", "$0.00"]
    assert rows[2][6:] == ["1", "%", "25.920", "T", "$35.42"]
    assert rows[3][0:3] == ["memory_allocation", "0", "B"]
    assert rows[3][6:] == ["2", "GiB", "0.658", "T", "$0.90"]
    assert rows[4] == ["freezing_threshold", "30", "days", "30", "days"]
    assert "A GiB of memory, used or allocated, is 0.329 T cycles ($0.45) a month" in out
    assert "A trillion cycles is $1.36643 (rate of 2026-05-22)" in out


def test_show_is_json_for_scripts(settings: Settings, project: Path) -> None:
    """The fields are a promise."""
    answer = settings("show", "--json")

    report, main_ = json.loads(answer[1]), canisters(answer)["main"]
    assert answer[0] == 0
    assert sorted(report) == [
        *("canisters", "is_complete", "month_days", "network", "total_cycles_now"),
        *("total_cycles_profile", "total_usd_now", "total_usd_profile", "url"),
        *("usd_per_trillion", "usd_rate_date", "warnings"),
    ]
    assert sorted(main_) == [
        *("balance", "command", "cycles_now", "cycles_profile", "error", "id", "memory_used"),
        *("name", "nodes", "outcome", "profile", "reserve_now", "reserve_profile", "settings"),
        *("subnet", "usd_now", "usd_profile", "warnings", "would_freeze"),
    ]
    assert (main_["id"], main_["profile"]) == (str(id_of(project, "main")), "lean")
    assert line(main_, "log_visibility") == {
        "key": "log_visibility",
        "now": "controllers",
        "profile": "public",
        "is_changed": True,
        "cycles_now": None,
        "cycles_profile": None,
    }
    assert canisters(answer)["replica_1"]["profile"] == "economy"


def test_a_profile_is_applied(settings: Settings, network: Localnet, project: Path) -> None:
    """The network itself says so; what the profile leaves out stays; a second time does nothing."""
    before = status_of(network, project).settings

    answer = settings("apply", "--yes", "--json")

    after = status_of(network, project).settings
    assert answer[0] == 0
    assert {name: one["outcome"] for name, one in canisters(answer).items()} == {
        "main": "applied",
        "replica_1": "unchanged",
    }
    assert after == CanisterSettings(
        compute_allocation=1,
        memory_allocation=2 * GIB,
        freezing_threshold=30 * DAY_S,
        log_visibility="public",
        reserved_cycles_limit=before.reserved_cycles_limit,
        wasm_memory_limit=before.wasm_memory_limit,
        wasm_memory_threshold=before.wasm_memory_threshold,
    )
    assert status_of(network, project, "replica_1").settings == before
    assert settings("apply", "main")[0] == 0  # without --yes: there is nothing to ask


@pytest.mark.parametrize("profile", ["reserved", "lean"])
def test_the_network_charges_what_was_printed(
    profile: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A day of a canister that does nothing is a thirtieth of the printed month, within 1 %."""
    with Localnet() as network:
        project = deploy(network, tmp_path, monkeypatch, capsys)
        top_up(network, id_of(project, "main"), 500 * T)
        options = ("--profile", profile, "--yes", "--json", "--host", network.url)
        assert main(["settings", "apply", "main", *options]) == 0
        printed = json.loads(capsys.readouterr().out)["canisters"][0]["cycles_profile"]
        before = status_of(network, project).cycles

        network.clock.advance(DAY_S)

        charged = before - status_of(network, project).cycles
    assert charged == pytest.approx(printed / MONTH_DAYS, rel=0.01)


def test_without_a_terminal_nothing_is_applied_unasked(
    settings: Settings, network: Localnet, project: Path
) -> None:
    """The plan is printed all the same."""
    code, out, err = settings("apply")

    assert code == 1
    assert "$35.42" in out
    assert err == "icfleet: nothing was changed: there is no terminal to ask on, so pass --yes\n"
    assert status_of(network, project).settings.compute_allocation == 0


@pytest.mark.parametrize(
    ("typed", "code", "compute"), [("yes\n", 0, 1), ("y\n", 1, 0), ("\n", 1, 0), ("", 1, 0)]
)
def test_only_a_typed_yes_applies(  # noqa: PLR0917 - fixtures
    settings: Settings,
    network: Localnet,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    code: int,
    compute: int,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))

    answer = settings("apply")

    assert answer[0] == code, answer
    assert "Type yes to apply this: " in answer[2]
    assert status_of(network, project).settings.compute_allocation == compute


def test_a_dry_run_changes_nothing(settings: Settings, network: Localnet, project: Path) -> None:
    answer = settings("apply", "--dry-run", "--yes", "--json")

    assert answer[0] == 0
    assert canisters(answer)["main"]["outcome"] == "planned"
    assert status_of(network, project).settings.compute_allocation == 0


def test_what_would_freeze_a_canister_is_refused(
    settings: Settings, network: Localnet, project: Path
) -> None:
    """30 days of 20 % compute must lie on the balance, and the network insists on it."""
    answer = settings("apply", "main", "--profile", "reserved", "--yes", "--json")

    assert answer[0] == 1
    assert "main has 100.000 T and would freeze at once, below 519.058 T" in answer[2]
    assert canisters(answer)["main"]["would_freeze"] is True

    insisted = settings("apply", "main", "--profile=reserved", "--yes", "--allow-freeze")

    assert insisted[0] == 1
    assert "IC0530" in insisted[2]
    assert "top it up first: the reserve against freezing grows" in insisted[2]
    assert status_of(network, project).settings.compute_allocation == 0


def test_a_longer_threshold_may_freeze_a_canister_if_insisted_on(
    settings: Settings, network: Localnet, project: Path
) -> None:
    """That is the one change for which the network does not look at the balance."""
    (project / "pyproject.toml").write_text(
        "[tool.icfleet.profiles.longer]\nfreezing_threshold = '90 days'\n"
    )
    network.obey(DrainCycles(canister=str(id_of(project, "main")), leave=T // 100))

    refused = settings("apply", "main", "--profile", "longer", "--yes")
    insisted = settings("apply", "main", "--profile", "longer", "--yes", "--allow-freeze")

    assert (refused[0], insisted[0]) == (1, 0), insisted
    assert "main has 0.010 T and would freeze at once, below 0.015 T" in refused[2]

    # Frozen, it can still be looked at, and given back its time.
    shown = settings("show", "main", "--json")
    rescued = settings("apply", "main", "--profile", "economy", "--yes")

    assert line(canisters(shown)["main"], "freezing_threshold")["now"] == 90 * DAY_S
    assert rescued[0] == 0
    assert status_of(network, project).settings.freezing_threshold == 30 * DAY_S


def test_a_stranger_is_told_who_may(settings: Settings, tmp_path: Path) -> None:
    """Every canister has its line; nobody is changed."""
    stranger = Ed25519Identity.generate()
    (tmp_path / "stranger.pem").write_text(stranger.to_pem())

    shown = settings("show", "--identity", "stranger.pem")
    applied = settings("apply", "--identity", "stranger.pem", "--yes")

    assert (shown[0], applied[0]) == (1, 1)
    assert f"{stranger.sender} is not a controller of it" in shown[1]
    assert "--identity KEY.pem" in shown[1]
    assert "nothing was changed" in applied[2]
    assert f"main ({id_of(tmp_path, 'main')}): {stranger.sender} is not a controller" in applied[2]


def test_one_canister_that_cannot_be_asked_keeps_all_from_being_changed(
    settings: Settings, network: Localnet, project: Path
) -> None:
    """Such as an id of a network that was stopped."""
    path = project / ".dfx/local/canister_ids.json"
    ids = json.loads(path.read_text())
    ids["replica_1"] = {"local": str(Principal(bytes.fromhex("80000000001077770101")))}
    path.write_text(json.dumps(ids))

    code, _, err = settings("apply", "--yes")

    assert code == 1
    assert "nothing was changed" in err
    assert "no such canister any more: deploy it again" in err
    assert status_of(network, project).settings.compute_allocation == 0


def test_a_refusal_midway_says_what_was_applied_and_what_was_not(
    settings: Settings, network: Localnet, project: Path
) -> None:
    """The network may have sold its compute to others in the meantime."""
    canister = str(id_of(project, "replica_1"))
    effect = RejectWith(
        code=1,
        message="Canister requested a compute allocation of 1% which cannot be satisfied",
        error_code="IC0101",
    )
    match = Match(operation="call", canister=canister, method="update_settings")
    network.add_fault(FaultRule(effect=effect, match=match))

    answer = settings("apply", "main", "replica_1", "--profile", "lean", "--yes", "--json")

    outcomes = {name: one["outcome"] for name, one in canisters(answer).items()}
    assert (answer[0], outcomes) == (1, {"main": "applied", "replica_1": "failed"})
    first, *rest = answer[2].splitlines()[-4:]
    assert first == "icfleet: not everything was changed"
    assert f"replica_1 ({canister}): rejected (1 SYS_FATAL, IC0101)" in rest[0]
    assert "its subnet has sold what it has" in rest[0]
    assert [row.strip() for row in rest[1:]] == ["changed: main", "not tried: none"]
    assert status_of(network, project).settings.compute_allocation == 1
    assert status_of(network, project, "replica_1").settings.compute_allocation == 0


def test_after_a_refusal_no_further_canister_is_tried(
    settings: Settings, network: Localnet, project: Path
) -> None:
    effect = RejectWith(code=5, message="no cycles", error_code="IC0530")
    match = Match(operation="call", canister=str(id_of(project, "main")), method="update_settings")
    network.add_fault(FaultRule(effect=effect, match=match))

    answer = settings("apply", "main", "replica_1", "--profile", "lean", "--yes", "--json")

    outcomes = {name: one["outcome"] for name, one in canisters(answer).items()}
    assert (answer[0], outcomes) == (1, {"main": "failed", "replica_1": "not tried"})
    assert "top it up first" in answer[2]
    assert "changed: none\n    not tried: replica_1" in answer[2]
    assert status_of(network, project, "replica_1").settings.compute_allocation == 0


@pytest.mark.parametrize(
    ("signer", "words", "where"),
    [
        ("dfx", ["dfx", "canister", "update-settings"], ["--network", "local"]),
        ("icp", ["icp", "canister", "settings", "update"], ["--environment", "local"]),
    ],
)
def test_for_a_tools_identity_its_command_is_printed(
    settings: Settings,
    network: Localnet,
    project: Path,
    signer: str,
    words: list[str],
    where: list[str],
) -> None:
    """Its key is not ours: nothing is asked as a controller, and nothing is changed."""
    code, out, _ = settings("apply", "main", "--signer", signer)

    assert code == 0
    assert shlex.split(out.splitlines()[-1]) == [
        *(*words, "main"),
        *("--compute-allocation", "1", "--memory-allocation", "2147483648"),
        *("--freezing-threshold", "2592000", "--log-visibility", "public", *where),
    ]
    assert status_of(network, project).settings.compute_allocation == 0


def test_prices_are_those_of_the_subnets_size(settings: Settings) -> None:
    """As told, or as certified; a development network charges as 13 nodes, and is shown so."""
    local = canisters(settings("show", "main", "--json"))["main"]
    large = canisters(settings("show", "main", "--nodes", "34", "--json"))["main"]

    assert (local["nodes"], large["nodes"]) == (13, 34)
    assert large["cycles_profile"] == pytest.approx(local["cycles_profile"] * 34 / 13)


def test_a_lasting_network_is_priced_by_the_nodes_it_certifies(
    settings: Settings, project: Path
) -> None:
    """This one has a single node."""
    ids = json.loads((project / ".dfx/local/canister_ids.json").read_text())
    lasting = {name: {"lab": one["local"]} for name, one in ids.items()}
    (project / "canister_ids.json").write_text(json.dumps(lasting))

    local = canisters(settings("show", "main", "--json"))["main"]
    lab = canisters(settings("show", "main", "--network", "lab", "--json"))["main"]

    assert lab["nodes"] == 1
    assert lab["cycles_profile"] == pytest.approx(local["cycles_profile"] / 13)


def test_another_rate_may_be_given(settings: Settings) -> None:
    answer = settings("show", "main", "--usd-per-trillion", "2", "--json")

    report = json.loads(answer[1])
    assert (report["usd_per_trillion"], report["usd_rate_date"]) == (2.0, None)
    assert report["total_usd_profile"] == pytest.approx(report["total_cycles_profile"] / T * 2)


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "1e300"])
def test_a_rate_that_is_no_price_is_refused(settings: Settings, rate: str) -> None:
    code, out, err = settings("show", f"--usd-per-trillion={rate}")

    assert (code, out) == (1, "")
    assert err.startswith("icfleet: --usd-per-trillion must be above 0")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["show", "nobody"], "has no canister 'nobody'; it has main", id="canister"),
        pytest.param(["apply", "--profile", "rich"], "no profile 'rich'", id="profile"),
        pytest.param(["show", "--network", "moon"], "has no network 'moon'", id="network"),
        pytest.param(["show", "--network", "lab"], "no id of main, replica_1", id="not-deployed"),
    ],
)
def test_a_wrong_name_is_answered_with_those_there_are(
    settings: Settings, arguments: list[str], reason: str
) -> None:
    code, out, err = settings(*arguments)

    assert (code, out) == (1, "")
    assert reason in err


def test_canisters_that_were_never_deployed_are_left_out_unless_named(
    settings: Settings, project: Path
) -> None:
    path = project / ".dfx/local/canister_ids.json"
    ids = json.loads(path.read_text())
    del ids["replica_1"]
    path.write_text(json.dumps(ids))

    everyone, named = settings("show"), settings("show", "replica_1")

    assert everyone[0] == 0
    assert everyone[2] == ("icfleet: warning: replica_1: no id on network 'local', and left out\n")
    assert named[0] == 1
    assert "no id of replica_1 on network 'local': deploy first" in named[2]


def test_a_broken_profile_changes_nothing(
    settings: Settings, network: Localnet, project: Path
) -> None:
    (project / "pyproject.toml").write_text(f"{LEAN}\n[tool.icfleet.profiles.x]\nmemory = 1\n")

    code, _, err = settings("apply", "main", "--yes")

    assert code == 1
    assert "[tool.icfleet.profiles.x]: Object contains unknown field `memory`" in err
    assert status_of(network, project).settings.compute_allocation == 0


def test_the_documents_profiles_can_be_read(project: Path) -> None:
    """And those of this repository's own pyproject.toml are the built-in ones."""
    (table,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (project / "pyproject.toml").write_text(table)

    book = read_profiles(read_project(project / "dfx.json"))
    own = read_profiles(read_project(DOCUMENT.parent.parent / "dfx.json"))

    assert [book.profile_of(name).name for name in NAMES] == ["reserved", "steady"]
    assert book.profile("steady").settings.freezing_threshold == 90 * DAY_S
    assert own.profiles == BUILT_IN
