"""Named settings of canisters: ``[tool.icfleet.profiles]``, and which canister has which.

    [tool.icfleet.profiles.reserved]
    compute_allocation = 20          # per cent
    memory_allocation = "2 GiB"
    freezing_threshold = "30 days"

    [tool.icfleet.canisters.main]
    profile = "reserved"

Everything is checked when it is read, so that a profile that exists can be applied.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import msgspec

from icfleet.quantities import (
    QuantityError,
    parse_cycles,
    parse_duration,
    parse_percent,
    parse_size,
)
from icfleet.settings import convert_table, read_table
from icfleet_agent import CanisterSettings, LogVisibility
from icfleet_protocol.errors import PrincipalError
from icfleet_protocol.principal import Principal
from icfleet_router.errors import ProjectError
from icfleet_router.project import DfxProject

__all__ = [
    "BUILT_IN",
    "DEFAULT_PROFILE",
    "SETTING_NAMES",
    "Profile",
    "ProfileBook",
    "read_profiles",
]

DEFAULT_PROFILE = "economy"

_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-]+")
_GIB = 1024**3
_DAY_S = 24 * 60 * 60

_LIMITS = {
    "compute_allocation": 100,
    "memory_allocation": 500 * _GIB,
    "freezing_threshold": 2**64 - 1,
    "reserved_cycles_limit": 2**128 - 1,
    "wasm_memory_limit": 2**48,
    "wasm_memory_threshold": 2**48,
}
"""The largest value of each. Source: IC interface specification, "IC method create_canister"; 500
GiB is the most that a canister can fill. Source: resource-limits.md."""

SETTING_NAMES = (*_LIMITS, "log_visibility")
"""In the order in which they are shown."""

_VIEWERS_MAX = 10
"""Source: IC interface specification."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Settings under a name; ``None`` leaves a setting as it is."""

    name: str
    settings: CanisterSettings


_ECONOMY = CanisterSettings(
    compute_allocation=0, memory_allocation=0, freezing_threshold=30 * _DAY_S
)
BUILT_IN: Mapping[str, Profile] = MappingProxyType(
    {
        "economy": Profile("economy", _ECONOMY),
        "reserved": Profile(
            "reserved", replace(_ECONOMY, compute_allocation=20, memory_allocation=2 * _GIB)
        ),
    }
)
"""Always there; a table of the same name in pyproject.toml changes what it says."""


@dataclass(frozen=True, slots=True)
class ProfileBook:
    """The profiles of a project, and the profile of each canister that was given one."""

    project: DfxProject
    profiles: Mapping[str, Profile]
    assigned: Mapping[str, str]

    def profile(self, name: str) -> Profile:
        """Look a profile up.

        Raises:
            ProjectError: If there is none of this name.
        """
        if name not in self.profiles:
            known = ", ".join(self.profiles)
            reason = f"[tool.icfleet.profiles] has no profile {name!r}; there are {known}"
            raise ProjectError(self.project.root / "pyproject.toml", reason)
        return self.profiles[name]

    def profile_of(self, canister: str) -> Profile:
        """The profile that a canister was given, else the cheap one."""
        return self.profile(self.assigned.get(canister, DEFAULT_PROFILE))


def read_profiles(project: DfxProject) -> ProfileBook:
    """Read ``[tool.icfleet.profiles]`` and ``[tool.icfleet.canisters]`` beside dfx.json.

    Raises:
        ProjectError: If one is malformed, a value is none, or a name leads nowhere; file, table
            and key are named.
    """
    profiles = dict(BUILT_IN)
    for name, table in read_table(project.root, "profiles", dict[str, object]).items():
        profiles[name] = _read_profile(project, name, table)
    assigned: dict[str, str] = {}
    for name, table in read_table(project.root, "canisters", dict[str, object]).items():
        path = project.root / "pyproject.toml"
        where = f"canisters.{name}"
        chosen = convert_table(table, _CanisterTable, path=path, name=where).profile
        if name not in project.canisters:
            known = ", ".join(project.canisters) or "none"
            reason = f"[tool.icfleet.{where}]: dfx.json has no such canister; it has {known}"
            raise ProjectError(path, reason)
        if chosen is not None and chosen not in profiles:
            known = ", ".join(profiles)
            reason = f"[tool.icfleet.{where}] profile: no profile {chosen!r}; there are {known}"
            raise ProjectError(path, reason)
        if chosen is not None:
            assigned[name] = chosen
    return ProfileBook(project, profiles, assigned)


class _CanisterTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    profile: str | None = None


class _ProfileTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    compute_allocation: int | str | None = None
    memory_allocation: int | str | None = None
    freezing_threshold: int | str | None = None
    reserved_cycles_limit: int | str | None = None
    wasm_memory_limit: int | str | None = None
    wasm_memory_threshold: int | str | None = None
    log_visibility: str | list[str] | None = None


_PARSERS: Mapping[str, Callable[[int | str], int]] = {
    "compute_allocation": parse_percent,
    "memory_allocation": parse_size,
    "freezing_threshold": parse_duration,
    "reserved_cycles_limit": parse_cycles,
    "wasm_memory_limit": parse_size,
    "wasm_memory_threshold": parse_size,
}


def _read_profile(project: DfxProject, name: str, table: object) -> Profile:
    path = project.root / "pyproject.toml"
    if not _PROFILE_NAME.fullmatch(name):
        # Names are printed as they are, and could hold what a terminal obeys.
        reason = f"[tool.icfleet.profiles]: the name {name!a} has more than A-Z a-z 0-9 _ -"
        raise ProjectError(path, reason)
    where = f"profiles.{name}"
    found = convert_table(table, _ProfileTable, path=path, name=where)
    base = BUILT_IN.get(name, BUILT_IN[DEFAULT_PROFILE]).settings
    settings: dict[str, Any] = {}
    for key in SETTING_NAMES:
        value: int | str | list[str] | None = getattr(found, key)
        if value is not None:
            try:
                settings[key] = _read_setting(key, value)
            except QuantityError as error:
                reason = f"[tool.icfleet.{where}] {key}: {error}"
                raise ProjectError(path, reason) from error
    return Profile(name, replace(base, **settings))


def _read_setting(key: str, value: int | str | list[str]) -> int | LogVisibility:
    if key == "log_visibility":
        assert not isinstance(value, int), "the table's type says so"
        return _read_visibility(value)
    assert not isinstance(value, list), "the table's type says so"
    return _checked(key, _PARSERS[key](value))


def _checked(key: str, value: int) -> int:
    largest = _LIMITS[key]
    if value > largest:
        shown = "500 GiB" if key == "memory_allocation" else f"{largest:,}"
        message = f"above the largest value, {shown}"
        raise QuantityError(message)
    if key == "freezing_threshold" and value == 0:
        message = (
            "0 would let the canister run until its balance is gone, and then its code and state "
            'are deleted: write a time, such as "30 days"'
        )
        raise QuantityError(message)
    return value


def _read_visibility(found: str | list[str]) -> LogVisibility:
    if isinstance(found, str):
        match found:
            case "controllers":
                return "controllers"
            case "public":
                return "public"
            case _:
                message = f"{found!r} is not 'controllers', 'public' or a list of principals"
                raise QuantityError(message)
    if len(found) > _VIEWERS_MAX:
        message = f"{len(found)} principals, and at most {_VIEWERS_MAX} are allowed"
        raise QuantityError(message)
    try:
        return tuple(Principal.from_text(text) for text in found)
    except PrincipalError as error:
        message = f"a list of principals, and one is {error}"
        raise QuantityError(message) from error
