"""Profiles of canisters in pyproject.toml, and the quantities written in them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet.canister_profiles import ProfileBook, read_profiles
from icfleet.quantities import (
    QuantityError,
    parse_cycles,
    parse_duration,
    parse_percent,
    parse_size,
    show_cycles,
    show_duration,
    show_size,
)
from icfleet_agent import CanisterSettings
from icfleet_protocol.principal import ANONYMOUS
from icfleet_router.errors import ProjectError
from icfleet_router.project_files import read_project

GIB = 1024**3
DAY_S = 24 * 3600


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of two canisters."""
    canisters: dict[str, dict[str, str]] = {"main": {}, "replica_1": {}}
    (tmp_path / "dfx.json").write_text(json.dumps({"canisters": canisters}))
    return tmp_path


def read(root: Path, toml: str = "") -> ProfileBook:
    (root / "pyproject.toml").write_text(toml)
    return read_profiles(read_project(root / "dfx.json"))


def test_two_profiles_are_always_there(root: Path) -> None:
    """The cheap default, and the one that keeps compute and memory for a canister."""
    book = read_profiles(read_project(root / "dfx.json"))

    assert book.profile("economy").settings == CanisterSettings(
        compute_allocation=0, memory_allocation=0, freezing_threshold=30 * DAY_S
    )
    assert book.profile("reserved").settings == CanisterSettings(
        compute_allocation=20, memory_allocation=2 * GIB, freezing_threshold=30 * DAY_S
    )
    assert book.profile_of("main").name == "economy"


def test_a_profile_may_be_written_with_units_or_without(root: Path) -> None:
    written = read(
        root,
        """
        [tool.icfleet.profiles.with_units]
        compute_allocation = "5 %"
        memory_allocation = "1.5 GiB"
        freezing_threshold = "90 days"
        reserved_cycles_limit = "6 T"
        wasm_memory_limit = "3 gib"
        wasm_memory_threshold = "200MiB"
        log_visibility = ["2vxsx-fae"]

        [tool.icfleet.profiles.plain]
        compute_allocation = 5
        memory_allocation = 1610612736
        freezing_threshold = 7776000
        reserved_cycles_limit = 6_000_000_000_000
        wasm_memory_limit = 3221225472
        wasm_memory_threshold = 209715200
        log_visibility = ["2vxsx-fae"]
        """,
    )

    assert written.profile("plain").settings == written.profile("with_units").settings
    assert written.profile("plain").settings == CanisterSettings(
        compute_allocation=5,
        memory_allocation=3 * GIB // 2,
        freezing_threshold=90 * DAY_S,
        reserved_cycles_limit=6 * 10**12,
        wasm_memory_limit=3 * GIB,
        wasm_memory_threshold=200 * 1024**2,
        log_visibility=(ANONYMOUS,),
    )


def test_what_a_table_leaves_out_is_as_in_the_profile_it_changes(root: Path) -> None:
    """A built-in's own values; for another name, the cheap default's."""
    book = read(
        root,
        "[tool.icfleet.profiles.reserved]\nfreezing_threshold = '90 days'\n"
        "[tool.icfleet.profiles.mine]\nlog_visibility = 'public'\n",
    )

    assert book.profile("reserved").settings == CanisterSettings(
        compute_allocation=20, memory_allocation=2 * GIB, freezing_threshold=90 * DAY_S
    )
    assert book.profile("mine").settings == CanisterSettings(
        compute_allocation=0,
        memory_allocation=0,
        freezing_threshold=30 * DAY_S,
        log_visibility="public",
    )


def test_a_canister_has_the_profile_that_it_was_given(root: Path) -> None:
    book = read(root, "[tool.icfleet.canisters.main]\nprofile = 'reserved'\n")

    assert book.profile_of("main").name == "reserved"
    assert book.profile_of("replica_1").name == "economy"


BAD = [
    pytest.param("compute_allocation = 101", "above the largest value, 100", id="compute-101"),
    pytest.param("compute_allocation = -1", "below zero", id="compute-negative"),
    pytest.param("compute_allocation = 0.5", "got `float`", id="compute-fraction"),
    pytest.param("compute_allocation = true", "got `bool`", id="compute-bool"),
    pytest.param("compute_allocation = '0.5 %'", "no whole number", id="compute-half"),
    pytest.param("memory_allocation = '2 GB of ram'", "is not a size", id="memory-words"),
    pytest.param("memory_allocation = '2 GB'", "write GiB", id="memory-ambiguous"),
    pytest.param("memory_allocation = '500.1 GiB'", "no whole number", id="memory-part-of-byte"),
    pytest.param("memory_allocation = '501 GiB'", "above the largest value", id="memory-501"),
    pytest.param("memory_allocation = -5", "below zero", id="memory-negative"),
    pytest.param("memory_allocation = '-5 GiB'", "is not a size", id="memory-negative-text"),
    pytest.param("memory_allocation = ''", "is not a size", id="memory-empty"),
    pytest.param("freezing_threshold = 0", "until its balance is gone", id="threshold-0"),
    pytest.param("freezing_threshold = '0 days'", "until its balance is gone", id="threshold-0-d"),
    pytest.param("freezing_threshold = '1 month'", "is not a time", id="threshold-month"),
    pytest.param(f"freezing_threshold = {2**64}", "above the largest", id="threshold-64-bit"),
    pytest.param("reserved_cycles_limit = '5 ICP'", "number of cycles", id="cycles"),
    pytest.param(f"wasm_memory_limit = {2**48 + 1}", "above the largest", id="wasm-limit"),
    pytest.param("wasm_memory_threshold = []", "got `array`", id="wasm-threshold"),
    pytest.param("log_visibility = 'everybody'", "is not 'controllers', 'public'", id="log"),
    pytest.param("log_visibility = ['me']", "a list of principals", id="log-viewer"),
    pytest.param(f"log_visibility = {['2vxsx-fae'] * 11}", "at most 10", id="log-viewers"),
]


@pytest.mark.parametrize(("line", "reason"), BAD)
def test_a_bad_value_is_an_error_that_names_file_table_and_key(
    root: Path, line: str, reason: str
) -> None:
    with pytest.raises(ProjectError) as caught:
        read(root, f"[tool.icfleet.profiles.mine]\n{line}\n")

    message = str(caught.value)
    assert message.startswith(f"{root / 'pyproject.toml'}: [tool.icfleet.profiles.mine]")
    assert line.split(maxsplit=1)[0] in message
    assert reason in message


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        pytest.param("[tool.icfleet", "pyproject.toml: ", id="no-toml"),
        pytest.param(
            f"[tool.icfleet.profiles.mine]\ncompute_allocation = {'9' * 5000}",
            "Exceeds the limit",
            id="digits",
        ),
        pytest.param("[tool.icfleet]\nprofiles = 3", "got `int`", id="no-tables"),
        pytest.param("[tool.icfleet.profiles]\nmine = 3", "profiles.mine]", id="no-table"),
        pytest.param("[tool.icfleet.profiles.mine]\ncompute = 3", "field `compute`", id="key"),
        pytest.param("[tool.icfleet.canisters.mian]\n", "no such canister; it has main", id="name"),
        pytest.param(
            "[tool.icfleet.canisters.main]\nprofile = 'rich'",
            "canisters.main] profile: no profile 'rich'; there are economy, reserved",
            id="profile",
        ),
        pytest.param("[tool.icfleet.canisters.main]\nsize = 1", "field `size`", id="canister-key"),
    ],
)
def test_a_wrong_table_is_named(root: Path, toml: str, reason: str) -> None:
    with pytest.raises(ProjectError) as caught:
        read(root, toml)

    assert str(root / "pyproject.toml") in str(caught.value)
    assert reason in str(caught.value)


def test_an_unknown_profile_is_answered_with_those_there_are(root: Path) -> None:
    book = read(root, "[tool.icfleet.profiles.mine]\n")

    with pytest.raises(ProjectError, match="no profile 'rich'; there are economy, reserved, mine"):
        book.profile("rich")


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (show_size(2 * GIB), "2 GiB"),
        (show_size(3 * GIB // 2), "1.5 GiB"),
        (show_size(2 * GIB + 1), "2,147,483,649 B"),
        (show_size(0), "0 B"),
        (show_duration(30 * DAY_S), "30 days"),
        (show_duration(3600), "1 hour"),
        (show_duration(DAY_S + 1), "86,401 seconds"),
        (show_cycles(518_400_000_000_000), "518.400 T"),
    ],
)
def test_quantities_are_shown_exactly(shown: str, text: str) -> None:
    assert shown == text


@given(st.one_of(st.text(max_size=40), st.from_regex(r"[0-9_.]{1,60} ?[A-Za-z%]{0,6}")))
@pytest.mark.parametrize("parse", [parse_percent, parse_size, parse_duration, parse_cycles])
def test_any_text_is_a_quantity_or_the_documented_error(parse: object, text: str) -> None:
    assert callable(parse)
    try:
        value = parse(text)
    except QuantityError:
        return

    assert isinstance(value, int)
    assert value >= 0


@pytest.mark.parametrize("name", ['"\\u001b[2J"', '"a b"', '""', '"ä"'])
def test_names_that_a_terminal_might_obey_are_refused(root: Path, name: str) -> None:
    with pytest.raises(ProjectError, match="the name") as told:
        read(root, f"[tool.icfleet.profiles.{name}]\n")

    assert str(told.value).isprintable()
