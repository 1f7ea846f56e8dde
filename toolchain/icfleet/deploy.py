"""Deploying to a local network: build, create, install or upgrade what has changed.

Only a network that runs bundles is deployed to; for any other, dfx and icp-cli install what
``icfleet wasm`` compiled.
"""

import hashlib
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Literal, cast

from icfleet.build import BuildResult, build
from icfleet.canister_ids import read_known_ids, write_canister_ids
from icfleet.connection import open_agent
from icfleet.errors import DeployError
from icfleet.progress import Progress
from icfleet.search_path import search_path_of
from icfleet.site import Site
from icfleet_agent import Agent, ManagementCanister
from icfleet_agent.errors import RejectedError
from icfleet_agent.management import InstallMode
from icfleet_protocol.candid import encode, format_did, parse_did
from icfleet_protocol.errors import CandidError, PrincipalError
from icfleet_protocol.principal import Principal
from icfleet_router.errors import ProjectError
from icfleet_router.project import ProjectCanister
from icfleet_router.project_files import find_entry

__all__ = [
    "Action",
    "DeployReport",
    "DeployedCanister",
    "build_project",
    "deploy_project",
    "deploy_site",
]

LOCALNET_IMPLEMENTATION = "icfleet-localnet"
"""What the local network calls itself in its status."""

DESTINATION_INVALID = 3
"""Reject code of a canister that does not exist. Source: IC interface specification."""

Action = Literal["created", "installed", "upgraded", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedCanister:
    """What was done for one canister."""

    name: str
    id: str
    role: str | None
    action: Action
    module_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployReport:
    """What was done, in the order it was done."""

    network: str
    url: str
    canisters: tuple[DeployedCanister, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    """A canister's code, ready to install."""

    canister: ProjectCanister
    wasm: bytes
    arg: bytes

    @property
    def name(self) -> str:
        return self.canister.name

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.wasm).digest()


@dataclass(frozen=True, slots=True)
class _Found:
    """A canister that the network has."""

    id: Principal
    module_hash: bytes | None
    """``None`` when it is empty."""


async def deploy_site(site: Site, key: Path | None, progress: Progress) -> DeployReport:
    """Deploy as the chosen identity, or as the project's admin.

    Raises:
        ToolchainError, ProjectError, CanisterSourceError, AgentError: See ``deploy_project``.
    """
    async with open_agent(site, site.admin(key)) as agent:
        return await deploy_project(site, agent, progress)


async def deploy_project(site: Site, agent: Agent, progress: Progress) -> DeployReport:
    """Bring every canister of dfx.json that has a Python source to its current state.

    Doing it again changes only what has changed: a canister whose module is the same stays as it
    is, another module is an upgrade, a canister the network has forgotten is created anew.

    Args:
        site: The project, and a local network.
        agent: Signs as the canisters' controller.
        progress: Told about each step.

    Raises:
        ProjectError: If dfx.json names a file that is not there.
        CanisterSourceError: If a canister's sources would not compile.
        DeployError: If the network is no local network, or refuses a canister; a trap in ``init``
            has the canister's own traceback in ``detail``.
        AgentError: If the network does not answer.
    """
    modules = build_project(site, progress)
    subnets = await _read_subnets(site, agent)
    management = ManagementCanister(agent)
    # All are looked for before any is created: an id of an earlier network may come again, and
    # would then be taken for the canister that once had it.
    known = read_known_ids(site.project, site.network)
    found = {
        module.name: await _find(management, module.name, known.get(module.name))
        for module in modules
    }
    deployed: list[DeployedCanister] = []
    # Round the subnets in dfx.json's order: replicas gain by living elsewhere than their main.
    for module, near in zip(modules, cycle(subnets), strict=False):
        with progress.step(f"Deploying {module.name}"):
            deployed.append(await _deploy(site, management, module, found[module.name], near))
    return DeployReport(network=site.network.name, url=site.network.host, canisters=tuple(deployed))


def build_project(site: Site, progress: Progress) -> list[_Module]:
    """Build every canister that has a Python source; canisters of one source are built once.

    Modules and interfaces are left in ``.icfleet/build/<name>/``.

    Raises:
        ProjectError: If dfx.json has no such canister, or names a file that is not there.
        CanisterSourceError: If a canister's sources would not compile.
        DeployError: If its ``init`` wants something else than a role.
    """
    canisters = [one for one in site.project.canisters.values() if one.entry is not None]
    if not canisters:
        reason = "no canister names a Python file, in 'main' or in 'build'"
        raise ProjectError(site.project.path, reason)
    built: dict[Path, BuildResult] = {}
    modules: list[_Module] = []
    for canister in canisters:
        entry = find_entry(site.project, canister)
        if canister.candid is not None and not canister.candid.is_file():
            reason = f"canister {canister.name} names {canister.candid}, which is not there"
            raise ProjectError(site.project.path, reason)
        if entry not in built:
            with progress.step(f"Building {entry.relative_to(site.project.root)}"):
                built[entry] = build(entry, search_path_of(site.project.root, entry))
        result = built[entry]
        folder = site.project.root / ".icfleet" / "build" / canister.name
        _write_build(folder, canister.name, result)
        if canister.candid is not None and format_did(site.interface(canister)) != result.did:
            progress.warn(
                f"{canister.candid} is not what {canister.name}'s source declares; callers encode "
                f"by it, so replace it with {folder / f'{canister.name}.did'}"
            )
        modules.append(
            _Module(canister=canister, wasm=result.wasm, arg=init_arg(canister, result.did))
        )
    return modules


def init_arg(canister: ProjectCanister, did: str) -> bytes:
    """Encode what ``init`` wants: nothing, or the canister's role as ``variant { Main; Replica }``.

    Raises:
        DeployError: If it wants anything else.
    """
    interface = parse_did(did)
    if not interface.init_args:
        return encode((), ())
    role = "none" if canister.role is None else canister.role.value
    try:
        return encode(
            interface.init_args, [{role.title(): None}], environment=interface.environment
        )
    except CandidError as error:
        wanted = ", ".join(str(content) for content in interface.init_args)
        message = f"{canister.name}: init wants ({wanted}), and 'icfleet deploy' gives a role only"
        raise DeployError(message) from error


def _write_build(folder: Path, name: str, built: BuildResult) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.wasm").write_bytes(built.wasm)
        (folder / f"{name}.did").write_text(built.did, encoding="utf-8")
    except OSError as error:
        message = f"cannot write to {folder}: {error.strerror}"
        raise DeployError(message) from error


async def _read_subnets(site: Site, agent: Agent) -> list[Principal]:
    """An id on each subnet of a local network that runs bundles."""
    status = await agent.status()
    if status.impl_version != LOCALNET_IMPLEMENTATION:
        found = status.impl_version or "something unknown"
        message = (
            f"{site.network.host} runs {found}, which does not run bundles: start "
            "'icfleet up', or deploy with dfx or icp (they build by 'icfleet wasm')"
        )
        raise DeployError(message)
    try:
        names = cast("str", status.others["icfleet_subnets"])
        return [Principal.from_text(name) for name in names.split()]
    except (KeyError, TypeError, AttributeError, PrincipalError) as error:
        message = f"{site.network.host} is a local network of another version: start it anew"
        raise DeployError(message) from error


async def _find(
    management: ManagementCanister, name: str, known: Principal | None
) -> _Found | None:
    """The canister with its module, or ``None`` if the network does not have it."""
    if known is None:
        return None
    try:
        status = await management.status(known)
    except RejectedError as error:
        if error.reject_code == DESTINATION_INVALID:
            return None
        message = (
            f"{name} ({known}) is there, and not ours to change: {error.reject_message}; deploy as "
            "its controller with --identity, or remove its id to create another"
        )
        raise DeployError(message) from error
    return _Found(known, status.module_hash)


async def _deploy(
    site: Site,
    management: ManagementCanister,
    module: _Module,
    found: _Found | None,
    near: Principal,
) -> DeployedCanister:
    action: Action
    if found is None:
        canister = await management.create(effective_canister=near)
        # Written at once: whatever fails from here on, the canister is not lost.
        write_canister_ids(site.project, site.network, {module.name: canister})
        action = "created"
    else:
        canister = found.id
        action = "unchanged" if found.module_hash == module.hash else "upgraded"
        if found.module_hash is None:
            action = "installed"
    if action != "unchanged":
        mode: InstallMode = "upgrade" if action == "upgraded" else "install"
        try:
            await management.install(canister, module.wasm, module.arg, mode=mode)
        except RejectedError as error:
            reason, _, traceback = error.reject_message.partition("\n")
            message = f"{module.name}: {mode} failed, and nothing of it was kept: {reason}"
            raise DeployError(message, detail=traceback) from error
    role = module.canister.role
    return DeployedCanister(
        name=module.name,
        id=str(canister),
        role=None if role is None else role.value,
        action=action,
        module_hash=module.hash.hex(),
    )
