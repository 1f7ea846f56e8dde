"""The commands that change who is main, and what its canisters hold: parse, call, print."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from icfleet.asking import Ask, ask_on_terminal, say_yes
from icfleet.cli_options import (
    DFX_DEFAULT,
    NETWORK_DEFAULT,
    DfxOption,
    HostOption,
    IdentityOption,
    JsonOption,
    NetworkOption,
    SignerOption,
)
from icfleet.errors import ToolchainError
from icfleet.printing import print_json, print_lines
from icfleet.progress import Progress, progress_on

if TYPE_CHECKING:
    # Loaded by the commands: 'icfleet lint' and '--help' start without an agent.
    from icfleet.admin_calls import AdminCaller
    from icfleet.fleet import OpenFleet
    from icfleet.signer import Signer
    from icfleet.site import Site
    from icfleet.switch_over import SwitchReport

__all__ = ["add_fleet_commands"]

Result = TypeVar("Result")

NameArgument = Annotated[str, typer.Argument(help="A canister's name in dfx.json, or its id.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
TimeoutOption = Annotated[
    float, typer.Option(min=1, help="Seconds to wait for a canister to catch up.")
]

_TIMEOUT_DEFAULT_S = 120
_SEEDING_TIMEOUT_DEFAULT_S = 3600


def add_fleet_commands(app: typer.Typer) -> None:
    """Put the commands where ``icfleet`` finds them."""
    for name, command in (
        ("promote", promote),
        ("reseed", reseed),
        ("detach", detach),
        ("configure", configure),
        ("export-tail", export_tail),
    ):
        app.command(name)(command)


def promote(  # noqa: PLR0913 - one parameter for each option of the command
    name: NameArgument,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="The main need not answer; what only it has is lost.")
    ] = False,
    allow_loss: Annotated[
        bool,
        typer.Option("--allow-loss", help="With --force: also if another canister is further."),
    ] = False,
    write_roles: Annotated[
        bool, typer.Option("--write-roles", help="Write the new roles into pyproject.toml.")
    ] = False,
    timeout: TimeoutOption = _TIMEOUT_DEFAULT_S,
    yes: YesOption = False,
    dfx: DfxOption = DFX_DEFAULT,
    network: NetworkOption = NETWORK_DEFAULT,
    host: HostOption = None,
    identity: IdentityOption = None,
    signer: SignerOption = None,
    json_: JsonOption = False,
) -> None:
    """Make another canister the main; without --force nothing is lost."""
    from icfleet.forced_promotion import force_promotion  # noqa: PLC0415 - see above
    from icfleet.switch_over import switch_over  # noqa: PLC0415 - see above

    place = _Place(dfx, network, host, identity, signer)
    ask = _asker(yes)

    async def run(fleet: "OpenFleet", caller: "AdminCaller", progress: Progress) -> dict[str, Any]:
        if force:
            bound, report = await force_promotion(
                fleet,
                caller,
                name,
                ask=ask,
                allow_loss=allow_loss,
                timeout_s=timeout,
                progress=progress,
            )
            return _switch_json(report, None if bound is None else _as_dict(bound))
        report = await switch_over(
            fleet, caller, name, ask=ask, timeout_s=timeout, progress=progress
        )
        return _switch_json(report, None)

    report = place.run(run)
    roles = place.new_roles(report["main"]["name"])
    failure: ToolchainError | None = None
    if roles and write_roles:
        from icfleet.role_lines import write_roles as write  # noqa: PLC0415 - see above

        try:
            write(place.site.project.root / "pyproject.toml", roles)
        except ToolchainError as error:
            failure = error
    written = bool(roles) and write_roles and failure is None
    # Without advice where the error has it.
    advised = roles if failure is None or json_ else {}
    _tell_switch(report, place, advised, is_written=written, is_json=json_)
    if failure is not None:
        raise failure


def reseed(  # noqa: PLR0913 - one parameter for each option of the command
    name: NameArgument,
    *,
    timeout: TimeoutOption = _SEEDING_TIMEOUT_DEFAULT_S,
    yes: YesOption = False,
    dfx: DfxOption = DFX_DEFAULT,
    network: NetworkOption = NETWORK_DEFAULT,
    host: HostOption = None,
    identity: IdentityOption = None,
    signer: SignerOption = None,
    json_: JsonOption = False,
) -> None:
    """Throw away what a canister holds, and take everything over anew."""
    from icfleet.member_admin import reseed as run_reseed  # noqa: PLC0415 - see above

    ask = _asker(yes)
    report = _Place(dfx, network, host, identity, signer).run(
        lambda fleet, caller, progress: run_reseed(
            fleet, caller, name, ask=ask, timeout_s=timeout, progress=progress
        )
    )
    if json_:
        print_json(report)
    else:
        print_lines(f"{report.name} has everything, at {report.epoch}.{report.seq}")


def detach(  # noqa: PLR0913 - one parameter for each option of the command
    name: NameArgument,
    *,
    dfx: DfxOption = DFX_DEFAULT,
    network: NetworkOption = NETWORK_DEFAULT,
    host: HostOption = None,
    identity: IdentityOption = None,
    signer: SignerOption = None,
    json_: JsonOption = False,
) -> None:
    """Let a canister pull no more, such as one that dfx.json names no more."""
    from icfleet.member_admin import detach as run_detach  # noqa: PLC0415 - see above

    report = _Place(dfx, network, host, identity, signer).run(
        lambda fleet, caller, _: run_detach(fleet, caller, name)
    )
    if json_:
        print_json(report)
    elif report.detached_from:
        print_lines(f"{report.canister} is detached from {', '.join(report.detached_from)}")
    else:
        print_lines(f"{report.canister} is attached to nobody: nothing to do")


def configure(  # noqa: PLR0913 - one parameter for each option of the command
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME] KEY=VALUE...",
            help="Such as replica_1 pull_idle_s=5. Keys: pull_idle_s, log_pages_max, rate_limit, "
            "rate_window_s.",
        ),
    ],
    *,
    all_: Annotated[bool, typer.Option("--all", help="All canisters of the fleet.")] = False,
    dfx: DfxOption = DFX_DEFAULT,
    network: NetworkOption = NETWORK_DEFAULT,
    host: HostOption = None,
    identity: IdentityOption = None,
    signer: SignerOption = None,
    json_: JsonOption = False,
) -> None:
    """Change the settings of a canister, or of --all."""
    from icfleet.member_admin import configure as run_configure  # noqa: PLC0415 - see above
    from icfleet.member_admin import parse_settings  # noqa: PLC0415 - see above

    names = [] if all_ else words[:1]
    pairs = words if all_ else words[1:]
    if not pairs or (names and "=" in names[0]):
        message = "say whose settings, NAME or --all, and KEY=VALUE"
        raise typer.BadParameter(message)
    changes = parse_settings(pairs)
    report = _Place(dfx, network, host, identity, signer).run(
        lambda fleet, caller, _: run_configure(fleet, caller, names, changes)
    )
    if json_:
        print_json(report)
        return
    for member, settings in report.settings.items():
        shown = "  ".join(f"{key}={value}" for key, value in settings.items())
        print_lines(f"{member:<12}  {shown}")


def export_tail(  # noqa: PLR0913 - one parameter for each option of the command
    name: NameArgument,
    *,
    out: Annotated[Path, typer.Option("--out", help="Write the records here, as JSON.")],
    dfx: DfxOption = DFX_DEFAULT,
    network: NetworkOption = NETWORK_DEFAULT,
    host: HostOption = None,
    identity: IdentityOption = None,
    signer: SignerOption = None,
    json_: JsonOption = False,
) -> None:
    """Write what an old main has and the present one has not, after a forced promotion."""
    from icfleet.tail_export import export_tail as run_export  # noqa: PLC0415 - see above

    report = _Place(dfx, network, host, identity, signer).run(
        lambda fleet, caller, progress: run_export(fleet, caller, name, out, progress)
    )
    if json_:
        print_json(report)
        return
    if report.count == 0:
        print_lines(
            f"{report.name} has nothing that {report.main} has not: {report.path} is empty."
        )
        return
    print_lines(
        f"{report.path}: {report.count:,} records after {report.fork_epoch}.{report.fork_seq}, "
        f"which {report.main} has not.",
        f"Next: icfleet reseed {report.name}",
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a command works, and as whom."""

    dfx: Path
    network: str
    host: str | None
    identity: Path | None
    signer: "Signer | None"

    @property
    def site(self) -> "Site":
        from icfleet.site import open_site  # noqa: PLC0415 - see above

        return open_site(self.dfx, self.network, self.host)

    def run(
        self,
        act: "Callable[[OpenFleet, AdminCaller, Progress], Awaitable[Result]]",
    ) -> Result:
        """Open the fleet for its administration, and act."""
        from icfleet.admin_calls import choose_signer  # noqa: PLC0415 - see above
        from icfleet.fleet import open_administration  # noqa: PLC0415 - see above

        choice = choose_signer(self.signer, self.identity, os.environ)
        site = self.site

        async def run() -> Result:
            async with open_administration(site, choice) as (fleet, caller):
                return await act(fleet, caller, progress_on(sys.stderr))

        return asyncio.run(run())

    def new_roles(self, main: str) -> dict[str, Any]:
        """Roles that the project's files do not tell, once a canister is the main."""
        from icfleet_router.roles import Role  # noqa: PLC0415 - see above

        before = self.site.project.main.name
        return {} if main == before else {before: Role.REPLICA, main: Role.MAIN}


def _asker(is_yes: bool) -> Ask:  # noqa: FBT001 - the only thing it is about
    return say_yes if is_yes else ask_on_terminal


def _as_dict(bound: Any) -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415 - see above

    return {**asdict(bound), "estimate": bound.estimate}


def _switch_json(report: "SwitchReport", bound: dict[str, Any] | None) -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415 - see above

    return {**asdict(report), "bound": bound}


def _tell_switch(
    report: dict[str, Any],
    place: _Place,
    roles: dict[str, Any],
    *,
    is_written: bool,
    is_json: bool,
) -> None:
    from icfleet.role_lines import role_lines  # noqa: PLC0415 - see above

    lines = role_lines(roles) if roles else ()
    for warning in report["warnings"]:
        progress_on(sys.stderr).warn(warning)
    if is_json:
        print_json({**report, "roles": list(lines), "is_written": is_written})
        return
    main = report["main"]
    pause = f"; no canister was main for {report['pause_s']:.1f} s" if report["pause_s"] else ""
    print_lines(f"{main['name']} is the main, at {main['epoch']}.{main['seq']}{pause}")
    for one in report["replicas"]:
        print_lines(f"{one['name']} follows, at {one['epoch']}.{one['seq']}")
    if lines and is_written:
        print_lines(f"{place.site.project.root / 'pyproject.toml'} says so now.")
    elif lines:
        print_lines(
            "", "Put this into pyproject.toml, or run this again with --write-roles:", *lines
        )
