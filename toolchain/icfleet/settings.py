"""The toolchain's own settings: ``[tool.icfleet.up]`` of the pyproject.toml beside dfx.json."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import msgspec

from icfleet_router.errors import ProjectError

__all__ = ["UpSettings", "read_up_settings"]


class UpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``icfleet up`` lets the gateway identity do, in the canisters' own words."""

    gateway_operations: tuple[str, ...] = ()
    """Operation names of the gateway's scope. Empty: the gateway gets no scope."""
    gateway_all_players: bool = False
    """Whether it acts for every player, or only for those it created."""
    gateway_roles: tuple[str, ...] = ()
    """Roles beside the scope, such as ``treasury``."""


def read_up_settings(root: Path) -> UpSettings:
    """Read the table; a missing file or table means that nothing is granted.

    Args:
        root: The folder of dfx.json.

    Raises:
        ProjectError: If pyproject.toml is no TOML, or the table has a wrong name or type in it.
    """
    path = root / "pyproject.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        content = {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        reason = f"not TOML: {error}"
        raise ProjectError(path, reason) from error
    table: object = content
    for name in ("tool", "icfleet", "up"):
        table = cast("Mapping[str, object]", table).get(name, {}) if _is_table(table) else table
    try:
        return msgspec.convert(table, UpSettings)
    except msgspec.ValidationError as error:
        reason = f"[tool.icfleet.up]: {error}"
        raise ProjectError(path, reason) from error


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)
