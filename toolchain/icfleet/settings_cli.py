"""``icfleet settings show`` and ``apply``: parse, call one function, print."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from icfleet.cli_options import (
    DFX_DEFAULT,
    NETWORK_DEFAULT,
    DfxOption,
    HostOption,
    IdentityOption,
    JsonOption,
    NetworkOption,
)
from icfleet.errors import CanisterSettingsError
from icfleet.printing import print_json, print_lines
from icfleet.progress import progress_on
from icfleet.signer import Signer

__all__ = ["settings_app"]

settings_app = typer.Typer(
    no_args_is_help=True, help="What canisters are guaranteed, and what that costs a month."
)

NODES_MAX = 1_000
"""Far above any subnet."""

NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Canisters of dfx.json; otherwise all that are on the network."),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(help="A profile for all of them, instead of each one's own in pyproject.toml."),
]
NodesOption = Annotated[
    int | None,
    typer.Option(
        min=1, max=NODES_MAX, help="Size of the subnet. Otherwise what the network certifies."
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        "--usd-per-trillion", help="Dollars for 10^12 cycles. Otherwise a rate of known date."
    ),
]


@settings_app.command()
def show(  # noqa: PLR0913 - one parameter for each option of the command
    names: NamesArgument = None,
    *,
    profile: ProfileOption = None,
    nodes: NodesOption = None,
    rate: RateOption = None,
    dfx: DfxOption = DFX_DEFAULT,
    network: NetworkOption = NETWORK_DEFAULT,
    host: HostOption = None,
    identity: IdentityOption = None,
    json_: JsonOption = False,
) -> None:
    """Show canisters' settings beside their profiles', and what both cost a month."""
    # What calls the network loads the agent, which takes long.
    from icfleet.admin_calls import SignerChoice  # noqa: PLC0415
    from icfleet.settings_command import run_show, settings_request  # noqa: PLC0415
    from icfleet.settings_printing import show_lines  # noqa: PLC0415
    from icfleet.site import open_site  # noqa: PLC0415

    choice = SignerChoice(Signer.KEY, identity)
    request = settings_request(choice, names=names, profile=profile, nodes=nodes, rate=rate)
    report = run_show(open_site(dfx, network, host), request, progress_on(sys.stderr))
    if json_:
        print_json(report.as_json())
    else:
        print_lines(*show_lines(report))
    if not report.is_complete:
        message = "not every canister told its settings"
        raise CanisterSettingsError(message)


@settings_app.command()
def apply(  # noqa: PLR0913 - one parameter for each option of the command
    names: NamesArgument = None,
    *,
    profile: ProfileOption = None,
    nodes: NodesOption = None,
    rate: RateOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Apply without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would change.")] = (
        False
    ),
    allow_freeze: Annotated[
        bool, typer.Option("--allow-freeze", help="Even if it freezes a canister at once.")
    ] = False,
    signer: Annotated[
        Signer | None,
        typer.Option(help="key applies by the key of --identity; dfx or icp prints their command."),
    ] = None,
    dfx: DfxOption = DFX_DEFAULT,
    network: NetworkOption = NETWORK_DEFAULT,
    host: HostOption = None,
    identity: IdentityOption = None,
    json_: JsonOption = False,
) -> None:
    """Bring canisters to their profiles, after printing what that costs and asking."""
    # What calls the network loads the agent, which takes long.
    from icfleet.admin_calls import choose_signer  # noqa: PLC0415
    from icfleet.settings_command import Consent, run_apply, settings_request  # noqa: PLC0415
    from icfleet.settings_printing import outcome_lines, plan_lines  # noqa: PLC0415
    from icfleet.site import open_site  # noqa: PLC0415

    choice = choose_signer(signer, identity, os.environ)
    consent = Consent(
        is_given=yes,
        is_dry_run=dry_run,
        allows_freezing=allow_freeze,
        ask=_ask if _is_interactive() else None,
        # Standard output is for the report alone when that is JSON.
        show=lambda report: (
            _tell(plan_lines(report)) if json_ else print_lines(*plan_lines(report))
        ),
    )
    request = settings_request(choice, names=names, profile=profile, nodes=nodes, rate=rate)
    site = open_site(dfx, network, host)
    result = run_apply(site, request, consent, progress_on(sys.stderr))
    if json_:
        print_json(result.report.as_json())
    elif result.was_tried:
        print_lines(*outcome_lines(result.report))
    if result.problem is not None:
        message, _, detail = result.problem.partition("\n")
        raise CanisterSettingsError(message, detail=detail)


def _tell(lines: Sequence[str]) -> None:
    sys.stderr.writelines(f"{line}\n" for line in lines)


def _is_interactive() -> bool:
    # A closed standard input is no stream at all.
    return bool(sys.stdin) and sys.stdin.isatty()


def _ask() -> bool:
    sys.stderr.write("Type yes to apply this: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() == "yes"
