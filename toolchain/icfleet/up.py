"""``icfleet up``: a local network with the project's fleet, kept running until a signal."""

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from icfleet.canister_ids import forget_canister_ids
from icfleet.event_loop import stopped_by_signals
from icfleet.fleet_up import FleetUp, ReadyFile, bring_up
from icfleet.identities import load_or_create_identity
from icfleet.localnet_command import NetworkChoice, check_ready_file
from icfleet.log_output import configure_logging
from icfleet.printing import print_lines
from icfleet.progress import Progress
from icfleet.site import Site, open_site

__all__ = ["UpOptions", "run_up"]

_NETWORK = "local"
_SEED_PURPOSE = b"icfleet local network"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What the user chose."""

    dfx: Path
    network: NetworkChoice
    ready_file: Path | None


async def run_up(options: UpOptions, progress: Progress) -> None:
    """Serve the network, bring the fleet up, and wait for SIGINT or SIGTERM.

    Raises:
        LocalnetError: If the port is taken.
        ToolchainError: If the fleet cannot be brought up.
        ProjectError: If a project file is missing or malformed.
    """
    # What the network does is shown by our own progress.
    configure_logging("warning")
    if options.ready_file is not None:
        check_ready_file(options.ready_file)
    site = open_site(options.dfx, _NETWORK, None)
    task = asyncio.current_task()
    assert task is not None
    try:
        with stopped_by_signals(task.cancel):
            await _serve(options, site, progress)
    except asyncio.CancelledError:
        print_lines("", "The local network is stopped; what it held is gone.")
    finally:
        if options.ready_file is not None:
            options.ready_file.unlink(missing_ok=True)


async def _serve(options: UpOptions, site: Site, progress: Progress) -> None:
    # The same keys at every start, so that clients which know the root key find it again.
    seed = load_or_create_identity(site.network_path).sign(_SEED_PURPOSE)
    async with options.network.server(seed=seed) as server:
        here = replace(site, network=replace(site.network, host=server.url))
        # The network is new, so whatever ids there are belong to one that is gone.
        forget_canister_ids(site.project, site.network)
        fleet = await bring_up(here, progress)
        _tell_ready(options, site, fleet, server.admin_url)
        # Only a signal ends the wait.
        await asyncio.get_running_loop().create_future()


def _tell_ready(options: UpOptions, site: Site, fleet: FleetUp, admin_url: str | None) -> None:
    print_lines(*ready_lines(site, fleet, admin_url))
    if options.ready_file is not None:
        ready = ReadyFile(
            url=fleet.url,
            pid=os.getpid(),
            network=_NETWORK,
            canisters=dict(fleet.ids),
            admin=str(fleet.admin),
            gateway=str(fleet.gateway),
        )
        draft = options.ready_file.with_name(f".{options.ready_file.name}.draft")
        draft.write_bytes(msgspec.json.encode(ready))
        draft.replace(options.ready_file)


def ready_lines(site: Site, fleet: FleetUp, admin_url: str | None) -> list[str]:
    """Say where everything is, and what to do next."""
    root = site.project.root
    # The ids are kept under the network's name, but it may be served elsewhere than dfx.json says.
    host = "" if fleet.url == site.network.host else f" --host {fleet.url}"
    lines = [f"Local network  {fleet.url}"]
    if admin_url is not None:
        lines.append(f"Status page    {admin_url}")
    lines += [f"{name:<13}  {canister}" for name, canister in fleet.ids.items()]
    lines += [
        f"{'admin key':<13}  {_below(fleet.admin, root)}",
        f"{'gateway key':<13}  {_below(fleet.gateway, root)}",
        "",
        "Next, in another terminal:",
        f"  icfleet status{host}",
        f"  icfleet call main status{host}",
    ]
    for locustfile in ("loadtests/locustfile.py", "locustfile.py"):
        if (root / locustfile).is_file():
            lines.append(f"  locust -f {locustfile} --host {fleet.url}")
    return [*lines, "", "Ctrl-C stops it."]


def _below(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
