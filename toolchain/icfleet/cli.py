"""The ``icfleet`` command: parse, call one function, print. No logic lives here.

Each command imports what it runs: the agent's HTTP client alone takes longer to load than ``lint``
or ``--help`` take altogether.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, cast

import typer

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
from icfleet.errors import AttachError, ToolchainError
from icfleet.fleet_cli import add_fleet_commands
from icfleet.option_values import ExecutorName, LintFormat, LogFormat, LogLevel
from icfleet.printing import (
    print_attachment,
    print_deployment,
    print_fleet,
    print_json,
    print_lines,
)
from icfleet.progress import progress_on
from icfleet.settings_cli import settings_app

__all__ = ["EXIT_FAILED", "EXIT_OK", "main"]

EXIT_OK = 0
EXIT_FAILED = 1
"""An expected failure, told in one line. Wrong usage is typer's own exit code, 2."""

app = typer.Typer(
    name="icfleet",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(settings_app, name="settings")

CodesOption = Annotated[
    list[str] | None, typer.Option(help="Report these rules only: KY701, or KY7 for a group.")
]

PORT_MAX = 65535
PortOption = Annotated[int, typer.Option(min=0, max=PORT_MAX, help="TCP port; 0 picks a free one.")]
AdminPortOption = Annotated[
    int | None,
    typer.Option(
        min=0, max=PORT_MAX, help="TCP port of the status page and of faults; 0 picks a free one."
    ),
]
SubnetsOption = Annotated[
    int, typer.Option(help="Subnets for canisters; from 2 on there is a root subnet besides.")
]
ProfileOption = Annotated[
    str, typer.Option(help="How fast the network pretends to be: fast or mainnet.")
]
ScaleOption = Annotated[
    str | None,
    typer.Option(help="With --profile mainnet: the share of its capacity to model, such as 1/100."),
]
ExecutorOption = Annotated[
    ExecutorName,
    typer.Option(help="Run canisters in this process (breakpoints work), or each in its own."),
]
ReadyFileOption = Annotated[
    Path | None,
    typer.Option(help="Write where everything is here, as JSON, when everything is ready."),
]

PORT_DEFAULT = 4943
"""Where ``dfx start`` listens too, so that one dfx.json serves both."""
ADMIN_PORT_DEFAULT = 4944
_NETWORK_COMMANDS = ("localnet", "up")
"""They take their defaults from ``[tool.icfleet.localnet]`` of the working directory's project."""


def _print_version(is_wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if is_wanted:
        print_lines(f"icfleet {version('icfleet')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Local network, lint, build, deployment and calls for a fleet of canisters."""
    if context.invoked_subcommand in _NETWORK_COMMANDS:
        # msgspec takes a while to load, and no other command needs these settings.
        import msgspec  # noqa: PLC0415

        from icfleet.settings import read_localnet_settings  # noqa: PLC0415

        chosen = msgspec.to_builtins(read_localnet_settings(Path.cwd()))
        context.default_map = dict.fromkeys(_NETWORK_COMMANDS, chosen)


@app.command()
def up(  # noqa: PLR0913 - one parameter for each option of the command
    *,
    dfx: DfxOption = DFX_DEFAULT,
    port: PortOption = PORT_DEFAULT,
    admin_port: AdminPortOption = None,
    subnets: SubnetsOption = 1,
    profile: ProfileOption = "fast",
    scale: ScaleOption = None,
    executor: ExecutorOption = "inprocess",
    ready_file: ReadyFileOption = None,
) -> None:
    """Run a local network with the project's fleet, until Ctrl-C."""
    # The web server comes with the localnet extra, and few other commands need it.
    from icfleet.event_loop import run_served  # noqa: PLC0415
    from icfleet.localnet_command import NetworkChoice  # noqa: PLC0415
    from icfleet.up import UpOptions, run_up  # noqa: PLC0415

    network = NetworkChoice(
        port=port,
        admin_port=admin_port,
        subnets=subnets,
        profile=profile,
        scale=scale,
        executor=executor,
    )
    options = UpOptions(dfx=dfx, network=network, ready_file=ready_file)
    run_served(run_up(options, progress_on(sys.stderr)))


@app.command()
def localnet(  # noqa: PLR0913 - one parameter for each option of the command
    *,
    port: PortOption = PORT_DEFAULT,
    admin_port: AdminPortOption = ADMIN_PORT_DEFAULT,
    subnets: SubnetsOption = 1,
    profile: ProfileOption = "fast",
    scale: ScaleOption = None,
    executor: ExecutorOption = "inprocess",
    state_dir: Annotated[
        Path | None, typer.Option(help="Keep the network's state here, and go on from it.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option(help="Fixes keys and faults; otherwise they are random.")
    ] = None,
    ready_file: ReadyFileOption = None,
    log_level: Annotated[LogLevel, typer.Option(help="How much to tell.")] = "info",
    log_format: Annotated[LogFormat, typer.Option(help="Lines for people or for programs.")] = (
        "console"
    ),
) -> None:
    """Run an empty local network, until Ctrl-C."""
    from icfleet.localnet_command import (  # noqa: PLC0415 - see the module's docstring
        LocalnetCommand,
        NetworkChoice,
        fix_hash_seed,
        run_localnet,
    )
    from icfleet.log_output import configure_logging  # noqa: PLC0415 - see the module's docstring

    fix_hash_seed(state_dir)
    configure_logging(log_level, log_format)
    network = NetworkChoice(
        port=port,
        admin_port=admin_port,
        subnets=subnets,
        profile=profile,
        scale=scale,
        executor=executor,
    )
    command = LocalnetCommand(
        network=network, state_dir=state_dir, seed=seed, ready_file=ready_file
    )
    run_localnet(command, progress_on(sys.stderr))


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The canister's name: letters, digits, underscores.")],
    folder: Annotated[
        Path | None, typer.Option("--dir", help="The project's folder; otherwise one of the name.")
    ] = None,
) -> None:
    """Make a project with a canister that joins a fleet, its tests and its load."""
    from icfleet.new import make_project  # noqa: PLC0415 - see the module's docstring

    here = Path.cwd()
    print_lines(*make_project(name, here / (folder or name)).next_steps(here))


@app.command()
def generate(
    folders: Annotated[list[Path], typer.Argument(help="Folders of canisters.")],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; show what would change, and fail.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a main.py that was not generated.")
    ] = False,
) -> None:
    """Write a canister's main.py, fleet_types.py and interface from its own modules."""
    # The front end takes a while to load.
    from icfleet.generate import check_folders, generate_folders  # noqa: PLC0415

    here = Path.cwd()
    # Line by line: what an error ends has been told.
    for line in (
        check_folders(here, folders) if check else generate_folders(here, folders, is_forced=force)
    ):
        print_lines(line)


@app.command()
def lint(  # noqa: PLR0913 - one parameter for each option of the command
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Entry files, or folders with a main.py; otherwise dfx.json's Kybra canisters."
        ),
    ] = None,
    *,
    format_: Annotated[
        LintFormat, typer.Option("--format", help="For people, scripts, or GitHub's checks.")
    ] = "text",
    json_: JsonOption = False,
    select: CodesOption = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Leave these rules out: KY701, or KY7 for a group.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings, too.")] = False,
    explain: Annotated[
        str | None, typer.Option(metavar="CODE", help="Print a rule's cause, example and cure.")
    ] = None,
) -> None:
    """Say what Kybra would drop, break or refuse in a canister's sources."""
    from icfleet.lint import format_findings  # noqa: PLC0415 - see the module's docstring
    from icfleet.lint.explanations import explain_rule  # noqa: PLC0415 - see the docstring
    from icfleet.lint_command import (  # noqa: PLC0415 - see the module's docstring
        LintRequest,
        lint_project,
        split_codes,
    )

    if explain is not None:
        text = explain_rule(explain.strip().upper())
        if text is None:
            message = f"there is no rule {explain!r}; docs/linting.md lists them all"
            raise typer.BadParameter(message)
        print_lines(text)
        return
    request = LintRequest(
        root=Path.cwd(),
        paths=tuple(paths or ()),
        select=split_codes(select or ()),
        ignore=split_codes(ignore or ()),
        is_strict=strict,
    )
    if request.problem is not None:
        raise typer.BadParameter(request.problem)
    report = lint_project(request)
    style = "json" if json_ else format_
    if report.findings or style == "json":
        print_lines(format_findings(report.findings, style))
    if report.has_failed:
        raise typer.Exit(EXIT_FAILED)
    sys.stderr.write(f"{report.summary()}\n")


@app.command()
def build(
    entry: Annotated[
        Path, typer.Argument(help="The canister's entry file, or the folder of its main.py.")
    ],
    out: Annotated[Path | None, typer.Option(help="Write the module here.")] = None,
    *,
    json_: JsonOption = False,
) -> None:
    """Bundle a canister for the local network."""
    from icfleet.build_entry import build_entry  # noqa: PLC0415 - see the module's docstring

    with progress_on(sys.stderr).step(f"Building {entry}"):
        report = build_entry(Path.cwd(), entry, out)
    sys.stderr.writelines(f"{line}\n" for line in report.warnings)
    if json_:
        print_json(report)
    else:
        print_lines(f"{report.wasm}  {report.size:,} bytes  sha256 {report.sha256}")


@app.command()
def wasm(
    name: Annotated[str, typer.Argument(help="The canister's name in dfx.json.")],
    entry: Annotated[Path, typer.Argument(help="The canister's entry file.")],
    python: Annotated[
        Path | None, typer.Option(help="A Python 3.10 or 3.11 for Kybra; otherwise one is found.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also copy the module here.")] = None,
) -> None:
    """Compile a canister by Kybra, for dfx and icp-cli; one build serves all names."""
    # The file locks it uses exist where Kybra does: on Linux and macOS.
    from icfleet.wasm import WasmRequest, compile_wasm  # noqa: PLC0415

    request = WasmRequest(root=Path.cwd(), name=name, entry=entry, python=python, out=out)
    built = compile_wasm(request, os.environ, progress_on(sys.stderr))
    how = "build of the same sources reused" if built.is_reused else "built"
    print_lines(f"{built.wasm}  sources {built.source_hash}  {how}")


@app.command()
def deploy(
    *,
    dfx: DfxOption = DFX_DEFAULT,
    network: NetworkOption = NETWORK_DEFAULT,
    host: HostOption = None,
    identity: IdentityOption = None,
    json_: JsonOption = False,
) -> None:
    """Create, install or upgrade the project's canisters on a local network."""
    from icfleet.deploy import deploy_site  # noqa: PLC0415 - see the module's docstring
    from icfleet.site import open_site  # noqa: PLC0415 - see the module's docstring

    site = open_site(dfx, network, host)
    report = asyncio.run(deploy_site(site, identity, progress_on(sys.stderr)))
    if json_:
        print_json(report)
    else:
        print_deployment(report)


@app.command()
def attach(  # noqa: PLR0913 - one parameter for each option of the command
    *,
    dfx: DfxOption = DFX_DEFAULT,
    network: NetworkOption = NETWORK_DEFAULT,
    host: HostOption = None,
    identity: IdentityOption = None,
    signer: SignerOption = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for positions.")] = 120,
    json_: JsonOption = False,
) -> None:
    """Join replicas to their main, and wait until they have caught up."""
    from icfleet.admin_calls import choose_signer  # noqa: PLC0415 - see the module's docstring
    from icfleet.attach import attach_site  # noqa: PLC0415 - see the module's docstring
    from icfleet.site import open_site  # noqa: PLC0415 - see the module's docstring

    site = open_site(dfx, network, host)
    progress = progress_on(sys.stderr)
    choice = choose_signer(signer, identity, os.environ)
    report = asyncio.run(attach_site(site, choice, timeout_s=timeout, progress=progress))
    for warning in report.warnings:
        progress.warn(warning)
    if json_:
        print_json(report)
    else:
        print_attachment(report)


@app.command()
def call(  # noqa: PLR0913 - one parameter for each option of the command
    canister: Annotated[str, typer.Argument(help="A name of dfx.json, or a principal.")],
    method: Annotated[str, typer.Argument(help="The method.")],
    args: Annotated[str, typer.Argument(help="Candid, such as '(10, \"x\")'.")] = "()",
    *,
    dfx: DfxOption = DFX_DEFAULT,
    network: NetworkOption = NETWORK_DEFAULT,
    host: HostOption = None,
    identity: IdentityOption = None,
    json_: JsonOption = False,
) -> None:
    """Call a method, as a query or an update by its interface."""
    from icfleet.call import CallRequest, call_site  # noqa: PLC0415 - see the module's docstring
    from icfleet.site import open_site  # noqa: PLC0415 - see the module's docstring

    site = open_site(dfx, network, host)
    result = asyncio.run(call_site(site, identity, CallRequest(canister, method, args)))
    if json_:
        print_json(result.as_json())
    else:
        print_lines(result.text)


@app.command()
def status(
    *,
    dfx: DfxOption = DFX_DEFAULT,
    network: NetworkOption = NETWORK_DEFAULT,
    host: HostOption = None,
    identity: IdentityOption = None,
    json_: JsonOption = False,
) -> None:
    """Show role, position, lag, proven history and rights of each canister."""
    from icfleet.fleet_status import report_site  # noqa: PLC0415 - see the module's docstring
    from icfleet.site import open_site  # noqa: PLC0415 - see the module's docstring

    report = asyncio.run(report_site(open_site(dfx, network, host), identity))
    if json_:
        print_json(report)
    else:
        print_fleet(report)
    if report.divergences:
        message = f"the canisters have DIVERGED: {'; '.join(report.divergences)}"
        raise AttachError(message)
    if not report.is_complete:
        message = "not every canister answered"
        raise AttachError(message)


add_fleet_commands(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Returns:
        0 when done, 1 for an expected failure told on standard error, 2 for wrong usage.
    """
    try:
        code = _run(argv)
        sys.stdout.flush()
    except OSError as error:
        _drop_output()
        if not isinstance(error, BrokenPipeError):
            _tell(error)
        return EXIT_FAILED
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        app(args=None if argv is None else list(argv))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_OK
    except _expected_errors() as error:
        _tell(error)
        return EXIT_FAILED
    except BaseExceptionGroup as group:
        # Task groups wrap what their body or a task raised; one expected error is told as itself.
        told: tuple[type[Exception], ...] = (*_expected_errors(), OSError)
        expected, others = group.split(told)
        if expected is None or others is not None:
            raise
        leaf = _first_leaf(expected)
        if isinstance(leaf, OSError):
            raise leaf from group
        _tell(leaf)
        return EXIT_FAILED
    return EXIT_OK


def _drop_output() -> None:
    """Let Python's own flush at the end not fail once more, if standard output is what failed."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _expected_errors() -> tuple[type[Exception], ...]:
    """What is told in one line; asked for only when something was raised."""
    from icfleet_agent.errors import AgentError  # noqa: PLC0415 - see the module's docstring
    from icfleet_localnet.errors import LocalnetError  # noqa: PLC0415 - see the module's docstring
    from icfleet_protocol.errors import ProtocolError  # noqa: PLC0415 - see the module's docstring
    from icfleet_router.errors import RouterError  # noqa: PLC0415 - see the module's docstring

    return (ToolchainError, AgentError, RouterError, LocalnetError, ProtocolError)


def _tell(error: BaseException) -> None:
    first, *rest = str(error).splitlines() or [type(error).__name__]
    detail = [*rest, *(error.detail.splitlines() if isinstance(error, ToolchainError) else [])]
    sys.stderr.write(f"icfleet: {first}\n")
    sys.stderr.writelines(f"    {line}\n" for line in detail)


def _first_leaf(error: BaseException) -> BaseException:
    if isinstance(error, BaseExceptionGroup):
        return _first_leaf(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
    return error
