"""The toolchain's own settings: tables below ``[tool.icfleet]`` of a project's pyproject.toml."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from icfleet.option_values import ExecutorName
from icfleet_router.errors import ProjectError

__all__ = [
    "LocalnetSettings",
    "UpSettings",
    "convert_table",
    "read_localnet_settings",
    "read_table",
    "read_up_settings",
]

Table = TypeVar("Table")


class UpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``icfleet up`` lets the gateway identity do, in the canisters' own words."""

    gateway_operations: tuple[str, ...] = ()
    """Operation names of the gateway's scope. Empty: the gateway gets no scope."""
    gateway_all_players: bool = False
    """Whether it acts for every player, or only for those it created."""
    gateway_roles: tuple[str, ...] = ()
    """Roles beside the scope, such as ``treasury``."""


class LocalnetSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What ``icfleet localnet`` and ``icfleet up`` run unless their options say otherwise."""

    port: int | None = None
    admin_port: int | None = None
    subnets: int | None = None
    profile: str | None = None
    scale: str | None = None
    executor: ExecutorName | None = None


def read_up_settings(root: Path) -> UpSettings:
    """Read ``[tool.icfleet.up]``; a missing file or table means that nothing is granted.

    Args:
        root: The folder of dfx.json.

    Raises:
        ProjectError: If pyproject.toml is no TOML, or the table has a wrong name or type in it.
    """
    return read_table(root, "up", UpSettings)


def read_localnet_settings(root: Path) -> LocalnetSettings:
    """Read ``[tool.icfleet.localnet]``; a missing file or table says nothing.

    Raises:
        ProjectError: If pyproject.toml is no TOML, or the table has a wrong name or type in it.
    """
    return read_table(root, "localnet", LocalnetSettings)


def read_table(root: Path, name: str, kind: type[Table]) -> Table:
    """Read ``[tool.icfleet.<name>]``; a missing file or table is an empty one.

    Raises:
        ProjectError: If pyproject.toml is no TOML, or the table has a wrong name or type in it.
    """
    path = root / "pyproject.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        content = {}
    except OSError as error:
        raise ProjectError(path, error.strerror or str(error)) from error
    except ValueError as error:  # no TOML, no UTF-8, or a number of thousands of digits
        reason = f"not TOML: {error}"
        raise ProjectError(path, reason) from error
    table: object = content
    for step in ("tool", "icfleet", name):
        table = cast("Mapping[str, object]", table).get(step, {}) if _is_table(table) else table
    return convert_table(table, kind, path=path, name=name)


def convert_table(table: object, kind: type[Table], *, path: Path, name: str) -> Table:
    """Take a table of pyproject.toml for what it must be.

    Raises:
        ProjectError: If there is a wrong name or type in it.
    """
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        reason = f"[tool.icfleet.{name}]: {error}"
        raise ProjectError(path, reason) from error


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)
