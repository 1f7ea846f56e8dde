"""A project's whole fleet on the local network of a test."""

import asyncio
import shutil
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from icfleet.fleet_up import FleetUp, bring_up
from icfleet.identities import load_identity
from icfleet.progress import QuietProgress
from icfleet.site import Site, open_site
from icfleet.testing import Localnet
from icfleet_protocol.candid import parse_did
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal
from icfleet_router import Fleet
from icfleet_router.fleet import FleetCanister
from icfleet_router.project_files import find_candid

__all__ = ["RunningFleet", "running_fleet"]


@dataclass(frozen=True, slots=True)
class RunningFleet:
    """Main and replicas, joined and level."""

    localnet: Localnet
    site: Site
    deployed: FleetUp

    @property
    def ids(self) -> Mapping[str, str]:
        """Canister ids by name."""
        return self.deployed.ids

    @property
    def admin(self) -> Ed25519Identity:
        """Controls the canisters, and administers them."""
        return load_identity(self.deployed.admin)

    @property
    def gateway(self) -> Ed25519Identity:
        """What game servers sign with; has the rights of ``[tool.icfleet.up]``."""
        return load_identity(self.deployed.gateway)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Fleet]:
        """The router's fleet, in the test's own event loop, signed by the gateway."""
        project = self.site.project
        interface = parse_did(find_candid(project, project.main))
        canisters = [
            FleetCanister(one.name, Principal.from_text(self.ids[one.name]), one.role)
            for one in project.fleet
            if one.role is not None
        ]
        async with (
            self.localnet.agent(self.gateway) as agent,
            Fleet(canisters, interface, agent=agent) as opened,
        ):
            yield opened


@contextmanager
def running_fleet(localnet: Localnet, dfx: Path) -> Generator[RunningFleet]:
    """Deploy a project on a test's network, to the end of the block.

    Raises:
        ToolchainError: If a step fails; the message says which and why.
        ProjectError: If a project file is missing or malformed.
    """
    site = open_site(dfx, localnet.url, None)
    progress = QuietProgress(sys.stderr)
    try:
        deployed = asyncio.run_coroutine_threadsafe(
            bring_up(site, progress), localnet.loop
        ).result()
        yield RunningFleet(localnet, site, deployed)
    finally:
        # Kept under the network's address, which nobody will have again.
        ids = site.project.canister_ids_path(site.network)
        shutil.rmtree(ids.parent, ignore_errors=True)
