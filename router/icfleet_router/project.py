"""A project as dfx.json describes it: canisters with their roles, networks, ids.

Pure: texts in, values out. ``project_files`` reads the files.

Source: dfx's dfx.json schema (the fields used here), canister_ids.json as dfx writes it.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar

import msgspec

from icfleet_protocol.errors import PrincipalError
from icfleet_protocol.principal import Principal
from icfleet_router.errors import ProjectError
from icfleet_router.roles import Role, RoleOverride, role_of

__all__ = [
    "DfxProject",
    "Network",
    "ProjectCanister",
    "parse_canister_ids",
    "parse_project",
    "parse_roles",
]

LOCAL_HOST = "http://127.0.0.1:4943"
"""Where dfx and ``icfleet up`` serve the local network when dfx.json does not say."""

MAINNET_HOST = "https://icp0.io"
"""The boundary of the Internet Computer, as dfx's network ``ic`` has it."""

Decoded = TypeVar("Decoded")


class _Remote(msgspec.Struct, frozen=True):
    id: dict[str, str] = {}


class _Canister(msgspec.Struct, frozen=True):
    # dfx's own default, odd as it is for a Python project.
    type: str = "motoko"
    main: str | None = None
    candid: str | None = None
    build: str | list[str] = []
    remote: _Remote = _Remote()


class _Network(msgspec.Struct, frozen=True):
    bind: str | None = None
    providers: list[str] = []
    type: Literal["ephemeral", "persistent"] | None = None


class _Dfx(msgspec.Struct, frozen=True):
    # dfx's file has many more fields, and new ones with each release: they are not ours to refuse.
    canisters: dict[str, _Canister]
    networks: dict[str, _Network] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectCanister:
    """One canister of dfx.json.

    Attributes:
        name: Its name.
        type: ``kybra``, ``custom`` or another of dfx's types.
        role: Its role in the fleet; ``None`` if it is no part of it.
        entry: The Python file it is built from: ``main``, or named by the build command.
        candid: Its .did file.
        remote_ids: Ids that dfx.json itself gives, by network.
    """

    name: str
    type: str
    role: Role | None
    entry: Path | None
    candid: Path | None
    remote_ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Network:
    """Where canisters run.

    Attributes:
        name: As in dfx.json and canister_ids.json.
        host: An URL such as ``http://127.0.0.1:4943``.
        is_ephemeral: Whether ids are kept in ``.dfx/`` because the network may vanish.
    """

    name: str
    host: str
    is_ephemeral: bool


@dataclass(frozen=True, slots=True)
class DfxProject:
    """What dfx.json says; all paths are absolute, or relative to the working directory.

    Attributes:
        path: The dfx.json.
        canisters: By name, in the file's order.
        networks: Those that dfx.json defines, and dfx's own ``local`` and ``ic``.
    """

    path: Path
    canisters: Mapping[str, ProjectCanister]
    networks: Mapping[str, Network]

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.path.parent

    @property
    def main(self) -> ProjectCanister:
        """The canister with the role of main.

        Raises:
            ProjectError: If there is none, or more than one.
        """
        mains = [one for one in self.canisters.values() if one.role is Role.MAIN]
        if len(mains) != 1:
            found = ", ".join(one.name for one in mains) or "none"
            reason = (
                f"a fleet has one canister named 'main' (or given that role in "
                f"[tool.icfleet.roles] of pyproject.toml), and here is {found}"
            )
            raise ProjectError(self.path, reason)
        return mains[0]

    @property
    def replicas(self) -> tuple[ProjectCanister, ...]:
        """The canisters with the role of replica."""
        return tuple(one for one in self.canisters.values() if one.role is Role.REPLICA)

    @property
    def fleet(self) -> tuple[ProjectCanister, ...]:
        """Main, then the replicas.

        Raises:
            ProjectError: If there is not exactly one main.
        """
        return (self.main, *self.replicas)

    def canister(self, name: str) -> ProjectCanister:
        """Look a canister up.

        Raises:
            ProjectError: If dfx.json has none of this name.
        """
        if name not in self.canisters:
            known = ", ".join(self.canisters) or "none"
            reason = f"has no canister {name!r}; it has {known}"
            raise ProjectError(self.path, reason)
        return self.canisters[name]

    def network(self, name: str) -> Network:
        """Look a network up; a URL stands for an ephemeral network there, as it does for dfx.

        Raises:
            ProjectError: If dfx.json has none of this name.
        """
        if name.startswith(("http://", "https://")):
            # dfx keeps the ids of such a network under its URL with all but word characters cut.
            return Network(re.sub(r"\W", "_", name), name.rstrip("/"), is_ephemeral=True)
        if name not in self.networks:
            reason = f"has no network {name!r}; it has {', '.join(self.networks)}"
            raise ProjectError(self.path, reason)
        return self.networks[name]

    def canister_ids_path(self, network: Network) -> Path:
        """Tell where dfx keeps the ids of a network's canisters."""
        if network.is_ephemeral:
            return self.root / ".dfx" / network.name / "canister_ids.json"
        return self.root / "canister_ids.json"


def parse_project(
    text: bytes, *, path: Path, roles: Mapping[str, RoleOverride] = MappingProxyType({})
) -> DfxProject:
    """Read dfx.json.

    Args:
        text: The file's content.
        path: Where it was found; other paths are relative to its folder.
        roles: Roles that differ from what the names say.

    Raises:
        ProjectError: If the content is no JSON, or a field is not what dfx wants it to be.
    """
    dfx = _decode_json(text, _Dfx, path)
    unknown = sorted(set(roles) - set(dfx.canisters))
    if unknown:
        reason = f"[tool.icfleet.roles] names {', '.join(unknown)}, which dfx.json does not have"
        raise ProjectError(path.parent / "pyproject.toml", reason)
    canisters = {
        name: ProjectCanister(
            name=name,
            type=canister.type,
            role=role_of(name, roles),
            entry=_entry(name, canister, path),
            candid=None if canister.candid is None else path.parent / canister.candid,
            remote_ids=canister.remote.id,
        )
        for name, canister in dfx.canisters.items()
    }
    networks = {
        "local": Network("local", LOCAL_HOST, is_ephemeral=True),
        "ic": Network("ic", MAINNET_HOST, is_ephemeral=False),
        **{name: _network(name, network, path) for name, network in dfx.networks.items()},
    }
    return DfxProject(path, canisters, networks)


class _Tool(msgspec.Struct, frozen=True):
    class _Tables(msgspec.Struct, frozen=True):
        class _Icfleet(msgspec.Struct, frozen=True):
            roles: dict[str, RoleOverride] = {}

        icfleet: _Icfleet = _Icfleet()

    tool: _Tables = _Tables()


def parse_roles(content: Mapping[str, object], *, path: Path) -> Mapping[str, RoleOverride]:
    """Read ``[tool.icfleet.roles]`` of a pyproject.toml that was parsed already.

    Raises:
        ProjectError: If a role is not ``main``, ``replica`` or ``none``.
    """
    try:
        return msgspec.convert(content, _Tool).tool.icfleet.roles
    except msgspec.ValidationError as error:
        raise ProjectError(path, str(error)) from error


def parse_canister_ids(text: bytes, network: str, *, path: Path) -> Mapping[str, Principal]:
    """Read the ids that canister_ids.json has for one network, by canister name.

    Raises:
        ProjectError: If the content is not what dfx writes, or an id is no principal.
    """
    entries = _decode_json(text, dict[str, dict[str, str]], path)
    return {
        name: parse_canister_id(ids[network], name, path=path)
        for name, ids in entries.items()
        if network in ids
    }


def parse_canister_id(text: str, name: str, *, path: Path) -> Principal:
    """Read one canister id.

    Raises:
        ProjectError: If it is no principal.
    """
    try:
        return Principal.from_text(text)
    except PrincipalError as error:
        reason = f"the id of {name} is {error}"
        raise ProjectError(path, reason) from error


def _decode_json(text: bytes, kind: type[Decoded], path: Path) -> Decoded:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise ProjectError(path, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = f"not JSON: {error}"
        raise ProjectError(path, reason) from error


def _entry(name: str, canister: _Canister, path: Path) -> Path | None:
    if canister.main is not None:
        return path.parent / canister.main
    commands = [canister.build] if isinstance(canister.build, str) else canister.build
    try:
        words = [word for command in commands for word in shlex.split(command)]
    except ValueError as error:
        reason = f"the build command of {name} cannot be read: {error}"
        raise ProjectError(path, reason) from error
    # Both "python -m kybra NAME ENTRY" and "icfleet wasm NAME ENTRY" end in the entry file.
    sources = [word for word in words if word.endswith(".py")]
    return path.parent / sources[-1] if sources else None


def _network(name: str, network: _Network, path: Path) -> Network:
    if network.bind is not None:
        is_ephemeral = network.type != "persistent"
        return Network(name, _host_of_bind(name, network.bind, path), is_ephemeral)
    is_ephemeral = network.type == "ephemeral"
    if network.providers:
        return Network(name, _host_of_provider(name, network.providers[0], path), is_ephemeral)
    if name == "local":
        return Network(name, LOCAL_HOST, network.type != "persistent")
    if name == "ic":
        return Network(name, MAINNET_HOST, is_ephemeral)
    reason = f"network {name!r} has neither 'bind' nor 'providers'"
    raise ProjectError(path, reason)


def _host_of_bind(name: str, bind: str, path: Path) -> str:
    address, separator, port = bind.rpartition(":")
    if not separator or not port.isdecimal():
        reason = f"'bind' of network {name!r} must be address:port, not {bind!r}"
        raise ProjectError(path, reason)
    # A server that listens on every address is reached on this machine's own.
    reachable = "127.0.0.1" if address in {"0.0.0.0", "[::]", ""} else address  # noqa: S104 - compared, not bound
    return f"http://{reachable}:{port}"


def _host_of_provider(name: str, provider: str, path: Path) -> str:
    if not provider.startswith(("http://", "https://")):
        reason = f"'providers' of network {name!r} must be URLs, not {provider!r}"
        raise ProjectError(path, reason)
    return provider.rstrip("/")
