"""A whole fleet on a local network: identities, canisters, rights, replicas joined.

``bring_up`` works against a network that is running already; ``fleet_process`` runs ``icfleet up``
in a process of its own, so that whoever measures the fleet does not share a processor core's
Python with it.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from icfleet.admin_calls import AdminCaller, KeyCaller, Member, admin_call
from icfleet.attach import AttachReport, attach_fleet, open_main
from icfleet.connection import open_agent
from icfleet.deploy import DeployReport, deploy_project
from icfleet.errors import NetworkError
from icfleet.fleet import open_fleet
from icfleet.identities import load_or_create_identity
from icfleet.progress import Progress
from icfleet.settings import UpSettings, read_up_settings
from icfleet.site import Site
from icfleet_protocol.principal import Principal

__all__ = ["FleetUp", "bring_up", "fleet_process"]

ATTACH_TIMEOUT_S = 60
"""A replica pulls once a second; a minute is for machines that are busy otherwise."""

_READY_POLL_S = 0.1
_STOP_TIMEOUT_S = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetUp:
    """A fleet that is ready to be used."""

    url: str
    deployment: DeployReport
    attachment: AttachReport
    admin: Path
    """Key of the admin of all canisters."""
    gateway: Path
    """Key that game servers sign with."""

    @property
    def ids(self) -> Mapping[str, str]:
        """Canister ids by name."""
        return {canister.name: canister.id for canister in self.deployment.canisters}


async def bring_up(site: Site, progress: Progress) -> FleetUp:
    """Deploy every canister, grant the gateway its rights, and join the replicas.

    Doing it again changes nothing but what has changed in the sources.

    Args:
        site: A project, and a local network that is running.
        progress: Told about each step.

    Raises:
        ToolchainError: If a step fails; the message says which and why.
        ProjectError: If a project file is missing or malformed.
        AgentError: If the network does not answer.
    """
    settings = read_up_settings(site.project.root)
    admin = site.admin(None)
    gateway = load_or_create_identity(site.gateway_path)
    async with open_agent(site, admin) as agent:
        deployment = await deploy_project(site, agent, progress)
        fleet = open_fleet(site, agent)
        caller = KeyCaller(agent)
        # A main that was never opened takes no writes, and rights are written.
        await open_main(fleet, caller, progress)
        with progress.step("Granting the gateway its rights"):
            await grant_gateway(caller, fleet.main, gateway.sender, settings)
        # Granted before the replicas are waited for: rights reach them through the log.
        attachment = await attach_fleet(
            fleet,
            caller,
            network=site.network.name,
            timeout_s=ATTACH_TIMEOUT_S,
            progress=progress,
        )
    return FleetUp(
        url=site.network.host,
        deployment=deployment,
        attachment=attachment,
        admin=site.admin_path,
        gateway=site.gateway_path,
    )


async def grant_gateway(
    caller: AdminCaller, main: Member, gateway: Principal, settings: UpSettings
) -> None:
    """Give the gateway its scope and roles, as far as the settings name any.

    Raises:
        AttachError: If the canister refuses, such as an operation it does not know.
        AgentError: If the network does not answer.
    """
    if settings.gateway_operations:
        scope = {
            "operations": list(settings.gateway_operations),
            "all_players": settings.gateway_all_players,
        }
        await admin_call(caller, main, "grant_gateway", gateway, scope)
    for role in settings.gateway_roles:
        await admin_call(caller, main, "grant_role", gateway, role)


class ReadyFile(msgspec.Struct, frozen=True, kw_only=True):
    """What ``icfleet up --ready-file`` writes when everything is ready."""

    url: str
    pid: int
    network: str
    canisters: dict[str, str]
    admin: str
    gateway: str


@contextmanager
def fleet_process(dfx: Path, *, port: int, timeout_s: float) -> Generator[ReadyFile]:
    """Run ``icfleet up`` in a process of its own, to the end of the block.

    Args:
        dfx: The project's dfx.json.
        port: TCP port; 0 picks a free one.
        timeout_s: How long it may take until everything is ready, in seconds.

    Raises:
        NetworkError: If it ends before it is ready, or is not ready in time.
    """
    with tempfile.TemporaryDirectory(prefix="icfleet-") as folder:
        ready = Path(folder) / "ready.json"
        command = [sys.executable, "-m", "icfleet", "up", "--dfx", str(dfx), "--port", str(port)]
        process = subprocess.Popen(  # noqa: S603 - our own command, no shell
            [*command, "--ready-file", str(ready)], stdout=subprocess.DEVNULL
        )
        try:
            yield _await_ready(process, ready, timeout_s)
        finally:
            _stop(process)


def _await_ready(process: "subprocess.Popen[bytes]", ready: Path, timeout_s: float) -> ReadyFile:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if ready.exists():
            return msgspec.json.decode(ready.read_bytes(), type=ReadyFile)
        if process.poll() is not None:
            message = f"'icfleet up' ended with code {process.returncode}; its own words are above"
            raise NetworkError(message)
        time.sleep(_READY_POLL_S)
    message = f"'icfleet up' was not ready within {timeout_s:g} s"
    raise NetworkError(message)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
