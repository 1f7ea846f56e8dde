"""The toolchain's tables in pyproject.toml."""

from pathlib import Path

import pytest

from icfleet.settings import (
    LocalnetSettings,
    UpSettings,
    read_localnet_settings,
    read_up_settings,
)
from icfleet_router.errors import ProjectError


def test_without_a_table_nothing_is_granted(tmp_path: Path) -> None:
    """A project needs no pyproject.toml, and a pyproject.toml needs no table."""
    assert read_up_settings(tmp_path) == UpSettings()
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert read_up_settings(tmp_path) == UpSettings()


def test_the_table_is_read(tmp_path: Path) -> None:
    """Operations and roles are the canisters' own words."""
    (tmp_path / "pyproject.toml").write_text(
        "[tool.icfleet.up]\n"
        "gateway_operations = ['Move', 'Buy']\ngateway_all_players = true\n"
        "gateway_roles = ['treasury']\n"
    )

    assert read_up_settings(tmp_path) == UpSettings(
        gateway_operations=("Move", "Buy"), gateway_all_players=True, gateway_roles=("treasury",)
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("[tool", "not TOML", id="no-toml"),
        pytest.param("[tool.icfleet.up]\ngateway_roles = 'x'", "Expected `array`", id="type"),
        pytest.param("[tool.icfleet.up]\ngateway = []", "unknown field", id="name"),
        pytest.param("[tool]\nicfleet = 3", "Expected `object`", id="no-table"),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, text: str, reason: str) -> None:
    """The error names file and field."""
    (tmp_path / "pyproject.toml").write_text(text)

    with pytest.raises(ProjectError, match=reason) as caught:
        read_up_settings(tmp_path)

    assert "pyproject.toml" in str(caught.value)


def test_a_networks_defaults_are_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.icfleet.localnet]\nsubnets = 3\nexecutor = 'process'\nprofile = 'mainnet'\n"
    )

    assert read_localnet_settings(tmp_path) == LocalnetSettings(
        subnets=3, executor="process", profile="mainnet"
    )


@pytest.mark.parametrize("line", ["subnet = 2", "subnets = 'two'", "executor = 'thread'"])
def test_a_wrong_default_of_a_network_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.icfleet.localnet]\n{line}\n")

    with pytest.raises(ProjectError, match=r"tool\.icfleet\.localnet"):
        read_localnet_settings(tmp_path)
