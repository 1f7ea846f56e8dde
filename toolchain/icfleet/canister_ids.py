"""Canister ids on disk: dfx's own file is written, icp-cli's is read.

Source: canister_ids.json as dfx writes it; icp-cli's project model, ``.icp/*/mappings``.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from icfleet_protocol.errors import PrincipalError
from icfleet_protocol.principal import Principal
from icfleet_router.errors import ProjectError
from icfleet_router.project import DfxProject, Network

__all__ = [
    "adopt_icp_ids",
    "forget_canister_ids",
    "read_icp_ids",
    "read_known_ids",
    "write_canister_ids",
]

Decoded = TypeVar("Decoded")

_IdsFile = dict[str, dict[str, str]]


def read_known_ids(project: DfxProject, network: Network) -> dict[str, Principal]:
    """Read whatever ids there are for a network, of all canisters; none is no error.

    Raises:
        ProjectError: If the file is malformed, or an id is no principal.
    """
    path = project.canister_ids_path(network)
    return {
        name: _principal(ids[network.name], name, path)
        for name, ids in _read(path).items()
        if network.name in ids
    }


def write_canister_ids(project: DfxProject, network: Network, ids: Mapping[str, Principal]) -> None:
    """Set ids of one network; ids of other canisters and networks stay.

    The file is replaced in one step, so that a reader never sees half of it.

    Raises:
        ProjectError: If the file that is there is malformed, or cannot be replaced.
    """
    path = project.canister_ids_path(network)
    content = _read(path)
    for name, canister in ids.items():
        content.setdefault(name, {})[network.name] = str(canister)
    _write(path, content)


def forget_canister_ids(project: DfxProject, network: Network) -> None:
    """Drop all ids of one network; those of other networks stay.

    Raises:
        ProjectError: If the file that is there is malformed, or cannot be replaced.
    """
    path = project.canister_ids_path(network)
    content = _read(path)
    kept = {
        name: {other: text for other, text in ids.items() if other != network.name}
        for name, ids in content.items()
    }
    if kept != content:
        _write(path, {name: ids for name, ids in kept.items() if ids})


def read_icp_ids(root: Path, environment: str) -> dict[str, Principal]:
    """Read the ids that icp-cli keeps for an environment; none is no error.

    Args:
        root: The folder of icp.yaml.
        environment: icp-cli's environment.

    Raises:
        ProjectError: If icp-cli's file is malformed, or an id is no principal.
    """
    # Connected networks are "data" to keep, managed ones a "cache"; an environment has one of them.
    for kind in ("data", "cache"):
        path = root / ".icp" / kind / "mappings" / f"{environment}.ids.json"
        if path.is_file():
            ids = _decode(path, dict[str, str])
            return {name: _principal(text, name, path) for name, text in ids.items()}
    return {}


def adopt_icp_ids(project: DfxProject, network: Network, *, is_current: bool) -> None:
    """Take over the ids of icp-cli's environment of the same name, where there are any.

    Args:
        project: The project.
        network: The network; icp-cli's environment has the same name.
        is_current: Whether icp-cli is what deployed last, so that its ids replace dfx's.

    Raises:
        ProjectError: If a file is malformed or cannot be written.
    """
    if not is_current and read_known_ids(project, network):
        return
    ids = read_icp_ids(project.root, network.name)
    ours = {name: canister for name, canister in ids.items() if name in project.canisters}
    if ours:
        write_canister_ids(project, network, ours)


def _read(path: Path) -> _IdsFile:
    return _decode(path, _IdsFile) if path.is_file() else {}


def _write(path: Path, content: _IdsFile) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
        draft.replace(path)
    except OSError as error:
        reason = f"cannot be written: {error.strerror}"
        raise ProjectError(path, reason) from error


def _decode(path: Path, kind: type[Decoded]) -> Decoded:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise ProjectError(path, error.strerror or str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = f"not what dfx or icp-cli writes: {error}"
        raise ProjectError(path, reason) from error


def _principal(text: str, name: str, path: Path) -> Principal:
    try:
        return Principal.from_text(text)
    except PrincipalError as error:
        reason = f"the id of {name}: {error}"
        raise ProjectError(path, reason) from error
