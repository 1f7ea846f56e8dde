"""Reading a project's files; what they mean is decided in ``project``."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from icfleet_protocol.principal import Principal
from icfleet_router.errors import ProjectError
from icfleet_router.project import (
    DfxProject,
    Network,
    ProjectCanister,
    parse_canister_id,
    parse_canister_ids,
    parse_project,
    parse_roles,
)
from icfleet_router.roles import RoleOverride

__all__ = ["deploy_commands", "find_candid", "find_entry", "read_canister_ids", "read_project"]

PROJECT_FILE_SIZE_MAX = 4 * 1024 * 1024
"""Bytes: far above any real dfx.json or .did, far below what would hurt."""


def read_project(path: str | Path) -> DfxProject:
    """Read dfx.json, and the roles from the pyproject.toml beside it if there is one.

    Raises:
        ProjectError: If dfx.json is missing, or one of the two is malformed.
    """
    dfx = Path(path)
    if not dfx.is_file():
        reason = "no such file: run this in the project's folder, or pass the path of its dfx.json"
        raise ProjectError(dfx, reason)
    return parse_project(_read(dfx), path=dfx, roles=_read_roles(dfx.parent / "pyproject.toml"))


def read_canister_ids(project: DfxProject, network: Network) -> Mapping[str, Principal]:
    """Read the ids of the fleet's canisters on a network, main first.

    Raises:
        ProjectError: If there are none for the network, one is missing, or one is no principal.
    """
    path = project.canister_ids_path(network)
    known: Mapping[str, Principal] = {}
    if path.is_file():
        known = parse_canister_ids(_read(path), network.name, path=path)
    ids: dict[str, Principal] = {}
    for canister in project.fleet:
        remote = canister.remote_ids.get(network.name)
        if canister.name in known:
            ids[canister.name] = known[canister.name]
        elif remote is not None:
            ids[canister.name] = parse_canister_id(remote, canister.name, path=project.path)
        else:
            what = f"no id of {canister.name} on network {network.name!r}"
            where = "" if path.is_file() else " (no such file)"
            reason = f"{what}{where}: deploy it first, with {deploy_commands(network)}"
            raise ProjectError(path, reason)
    return ids


def deploy_commands(network: Network) -> str:
    """Name the commands that create canisters on a network, for errors that tell people so."""
    if network.is_ephemeral:
        return "'icfleet up', 'icfleet deploy' or 'dfx deploy'"
    return f"'dfx deploy --network {network.name}'"


def find_candid(project: DfxProject, canister: ProjectCanister) -> str:
    """Read a canister's .did: the file dfx.json names, else what ``icfleet build`` wrote.

    Raises:
        ProjectError: If neither is there.
    """
    built = project.root / ".icfleet" / "build" / canister.name / f"{canister.name}.did"
    for path in (canister.candid, built):
        if path is not None and path.is_file():
            return _decode_text(_read(path), path)
    if canister.candid is None:
        reason = f"canister {canister.name} has no 'candid', and {built} is not there"
    else:
        reason = f"canister {canister.name} names {canister.candid}, which is not there"
    raise ProjectError(project.path, reason)


def find_entry(project: DfxProject, canister: ProjectCanister) -> Path:
    """Return the path of the Python file that a canister is built from.

    Raises:
        ProjectError: If dfx.json names none, or one that is not there.
    """
    if canister.entry is None:
        reason = f"canister {canister.name} names no Python file, in 'main' or in 'build'"
        raise ProjectError(project.path, reason)
    if not canister.entry.is_file():
        reason = f"canister {canister.name} names {canister.entry}, which is not there"
        raise ProjectError(project.path, reason)
    return canister.entry


def _read_roles(path: Path) -> Mapping[str, RoleOverride]:
    if not path.is_file():
        return {}
    try:
        content = tomllib.loads(_decode_text(_read(path), path))
    except ValueError as error:  # no TOML, or a number of thousands of digits
        raise ProjectError(path, str(error)) from error
    return parse_roles(content, path=path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(PROJECT_FILE_SIZE_MAX + 1)
    except OSError as error:
        raise ProjectError(path, error.strerror or str(error)) from error
    if len(content) > PROJECT_FILE_SIZE_MAX:
        reason = f"larger than {PROJECT_FILE_SIZE_MAX} bytes"
        raise ProjectError(path, reason)
    return content


def _decode_text(content: bytes, path: Path) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: {error}"
        raise ProjectError(path, reason) from error
