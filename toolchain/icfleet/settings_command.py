"""``icfleet settings``: what canisters are guaranteed, what that costs, and changing it.

Everything is looked up and checked before anything is changed; then one canister is changed after
the other, and the report says of each what became of it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from icfleet.admin_calls import SignerChoice
from icfleet.canister_costs import REFERENCE_NODE_COUNT, ExchangeRate
from icfleet.canister_ids import adopt_icp_ids, read_known_ids
from icfleet.canister_profiles import Profile, ProfileBook, read_profiles
from icfleet.connection import open_agent
from icfleet.errors import CanisterSettingsError
from icfleet.progress import Progress
from icfleet.quantities import show_cycles
from icfleet.settings_plan import (
    CanisterPlan,
    FoundCanister,
    Outcome,
    SettingsReport,
    changes_of,
    oversold_subnets,
    plan_canister,
    tool_command,
)
from icfleet.signer import Signer
from icfleet.site import Site
from icfleet_agent import Agent, CanisterSettings, CanisterStatus, ManagementCanister
from icfleet_agent.errors import AgentError, NotSentError, RejectedError
from icfleet_agent.read_state import SUBNET_PATHS, read_subnet_keys
from icfleet_protocol.identity import AnonymousIdentity
from icfleet_protocol.principal import Principal
from icfleet_router.errors import ProjectError
from icfleet_router.project import parse_canister_id
from icfleet_router.project_files import deploy_commands

__all__ = [
    "ApplyResult",
    "Consent",
    "SettingsPlan",
    "SettingsRequest",
    "apply_settings",
    "plan_settings",
    "run_apply",
    "run_show",
    "settings_request",
]

_NOT_CONTROLLER = "IC0512"
_OVERSUBSCRIBED = "IC0101"
_OUT_OF_CYCLES = "IC0207"
_NO_CYCLES = frozenset({"IC0530", "IC0531"})
_RESERVED_LIMIT = "IC0533"
"""Source: dfinity/ic ``rs/types/error_types``, ``ErrorCode``."""

_DESTINATION_INVALID = 3
"""Reject code of a canister that does not exist. Source: IC interface specification."""

_SIZE_UNKNOWN = (
    "the network does not tell how large its subnets are: prices are those of "
    f"{REFERENCE_NODE_COUNT} nodes, or say --nodes"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsRequest:
    """What a command was asked.

    Attributes:
        names: Canisters of dfx.json; none for all that have an id on the network.
        profile: For all of them, instead of what pyproject.toml gives each.
        choice: Who signs.
        nodes: Size of the subnets; ``None`` for what they certify.
        rate: What cycles cost.
    """

    names: tuple[str, ...] = ()
    profile: str | None = None
    choice: SignerChoice
    nodes: int | None = None
    rate: ExchangeRate = field(default_factory=ExchangeRate)


@dataclass(frozen=True, slots=True)
class SettingsPlan:
    """A report, and what it says would be changed, ready to be sent."""

    report: SettingsReport
    changes: Mapping[str, CanisterSettings]
    """By canister; those that stay as they are are not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What the user allows.

    Attributes:
        is_given: Whether to go on without asking.
        is_dry_run: Whether to stop before anything is changed.
        allows_freezing: Whether a canister may be frozen by its own settings.
        ask: Puts the question; ``None`` where nobody could answer.
        show: Told the plan before anything is asked, refused or changed.
    """

    is_given: bool = False
    is_dry_run: bool = False
    allows_freezing: bool = False
    ask: Callable[[], bool] | None = None
    show: Callable[[SettingsReport], None]


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What became of each canister, and why not all is well if it is not."""

    report: SettingsReport
    problem: str | None = None

    @property
    def was_tried(self) -> bool:
        """Whether any change was sent."""
        return any(one.outcome in {"applied", "failed", "unknown"} for one in self.report.canisters)


def settings_request(
    choice: SignerChoice,
    *,
    names: Sequence[str] | None,
    profile: str | None,
    nodes: int | None,
    rate: float | None,
) -> SettingsRequest:
    """Take what the options say; ``None`` is what they are without being said.

    Raises:
        CanisterSettingsError: If the rate is none.
    """
    return SettingsRequest(
        names=tuple(names or ()),
        profile=profile,
        choice=choice,
        nodes=nodes,
        rate=ExchangeRate() if rate is None else ExchangeRate(rate, date=None),
    )


def run_show(site: Site, request: SettingsRequest, progress: Progress) -> SettingsReport:
    """Compare the canisters with their profiles; see ``plan_settings``."""
    return asyncio.run(plan_settings(site, request, progress)).report


def run_apply(
    site: Site, request: SettingsRequest, consent: Consent, progress: Progress
) -> ApplyResult:
    """Plan, show, ask, and change what was shown and no more.

    Raises:
        ProjectError, NetworkError, IdentityFileError: See ``plan_settings``.
    """
    plan = asyncio.run(plan_settings(site, request, progress))
    report = plan.report
    consent.show(report)
    problem = _problem(report, consent)
    is_theirs = request.choice.signer is not Signer.KEY
    is_over = is_theirs or consent.is_dry_run or not plan.changes
    if problem is not None or is_over:
        return ApplyResult(report, problem)
    problem = _missing_consent(consent)
    if problem is not None:
        return ApplyResult(report, problem)
    report = asyncio.run(apply_settings(site, request, plan, progress))
    return ApplyResult(report, None if report.is_complete else _failure(report))


def _problem(report: SettingsReport, consent: Consent) -> str | None:
    """Why a plan must not be carried out, whatever the user answers."""
    if not report.is_complete:
        return f"nothing was changed\n{_errors(report)}"
    frozen = [_freezing(one) for one in report.canisters if one.would_freeze]
    if frozen and not consent.allows_freezing:
        where = "; ".join(frozen)
        return (
            f"nothing was changed: {where}: top up first, or pass --allow-freeze (the network "
            "itself lets a longer threshold freeze a canister, and no larger allocation)"
        )
    return None


def _freezing(plan: CanisterPlan) -> str:
    assert plan.balance is not None, "only who has a balance can freeze"
    assert plan.reserve_profile is not None, "what was asked has a reserve"
    has, needs = show_cycles(plan.balance), show_cycles(plan.reserve_profile)
    return f"{plan.name} has {has} and would freeze at once, below {needs}"


def _missing_consent(consent: Consent) -> str | None:
    if consent.is_given:
        return None
    if consent.ask is None:
        return "nothing was changed: there is no terminal to ask on, so pass --yes"
    return None if consent.ask() else "nothing was changed: the answer was not yes"


async def plan_settings(site: Site, request: SettingsRequest, progress: Progress) -> SettingsPlan:
    """Look up the canisters, and compare each with its profile.

    A canister that cannot be asked has an ``error`` in the report.

    Raises:
        ProjectError: If a project file is malformed, or there is no such canister or profile.
        NetworkError: If nobody answers at the network's address.
        IdentityFileError: If the key cannot be read.
    """
    book, ids = _chosen(site, request, progress)
    is_ours = request.choice.signer is Signer.KEY
    identity = site.caller(request.choice.key) if is_ours else AnonymousIdentity()
    async with open_agent(site, identity) as agent:
        looker = _Looker(site, agent, request)
        with progress.step(f"Asking {len(ids)} canisters"):
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(looker.look(name, ids[name])) for name in ids]
        answers = [task.result() for task in asked]
        for answer in answers:
            if isinstance(answer, NotSentError):
                raise answer
    plans: list[CanisterPlan] = []
    changes: dict[str, CanisterSettings] = {}
    for (name, canister), answer in zip(ids.items(), answers, strict=True):
        profile = _profile(book, request, name)
        if isinstance(answer, FoundCanister):
            plan = plan_canister(answer, profile)
            if plan.changed:
                changes[name] = changes_of(plan, profile)
            if plan.changed and not is_ours:
                command = tool_command(request.choice.signer, site.network.name, plan, profile)
                plan = replace(plan, command=command)
        else:
            error = str(answer)
            plan = CanisterPlan(name=name, id=str(canister), profile=profile.name, error=error)
        plans.append(plan)
    report = SettingsReport(
        network=site.network.name,
        url=site.network.host,
        usd_per_trillion=request.rate.usd_per_trillion,
        usd_rate_date=request.rate.date,
        canisters=tuple(plans),
        warnings=(*looker.warnings, *oversold_subnets(plans)),
    )
    return SettingsPlan(report, changes)


async def apply_settings(
    site: Site, request: SettingsRequest, plan: SettingsPlan, progress: Progress
) -> SettingsReport:
    """Make the planned changes, one canister after the other, to the first failure.

    Returns:
        The report with what became of each canister; ``is_complete`` if all was done.

    Raises:
        IdentityFileError: If the key cannot be read.
    """
    assert request.choice.signer is Signer.KEY, "another tool applies what it signs"
    done: list[CanisterPlan] = []
    has_failed = False
    async with open_agent(site, site.caller(request.choice.key)) as agent:
        management = ManagementCanister(agent)
        for canister in plan.report.canisters:
            if canister.name not in plan.changes:
                done.append(canister)
            elif has_failed:
                done.append(replace(canister, outcome="not tried"))
            else:
                with progress.step(f"Setting {canister.name} to {canister.profile}"):
                    change = plan.changes[canister.name]
                    done.append(await _apply(management, canister, change))
                has_failed = done[-1].error is not None
    return replace(plan.report, canisters=tuple(done))


def _chosen(
    site: Site, request: SettingsRequest, progress: Progress
) -> tuple[ProfileBook, Mapping[str, Principal]]:
    """Check all names before anybody is asked."""
    project = site.project
    book = read_profiles(project)
    names = [project.canister(name).name for name in dict.fromkeys(request.names)]
    for name in names or project.canisters:
        _profile(book, request, name)
    is_icp = request.choice.signer is Signer.ICP
    adopt_icp_ids(project, site.network, is_current=is_icp)
    known = read_known_ids(project, site.network)
    ids: dict[str, Principal] = {}
    missing: list[str] = []
    for name in names or project.canisters:
        remote = project.canisters[name].remote_ids.get(site.network.name)
        if name in known:
            ids[name] = known[name]
        elif remote is None:
            missing.append(name)
        elif name in names or project.canisters[name].role is not None:
            ids[name] = parse_canister_id(remote, name, path=project.path)
    if missing and (names or not ids):
        reason = (
            f"no id of {', '.join(missing)} on network {site.network.name!r}: deploy first, with "
            f"{deploy_commands(site.network)}"
        )
        raise ProjectError(project.canister_ids_path(site.network), reason)
    if missing:
        progress.warn(f"{', '.join(missing)}: no id on network {site.network.name!r}, and left out")
    return book, ids


def _profile(book: ProfileBook, request: SettingsRequest, name: str) -> Profile:
    return book.profile_of(name) if request.profile is None else book.profile(request.profile)


class _Looker:
    """Asks canisters how they are, and their subnets how large they are."""

    def __init__(self, site: Site, agent: Agent, request: SettingsRequest) -> None:
        self.warnings: tuple[str, ...] = ()
        self._site = site
        self._agent = agent
        self._management = ManagementCanister(agent)
        self._nodes = request.nodes
        self._is_ours = request.choice.signer is Signer.KEY

    async def look(
        self, name: str, canister: Principal
    ) -> FoundCanister | CanisterSettingsError | NotSentError:
        """Ask; what goes wrong is returned, because a task group would wrap what is raised."""
        try:
            status = await self._status(canister) if self._is_ours else None
            subnet, nodes = await self._subnet(canister)
        except NotSentError as error:
            return error
        except RejectedError as error:
            return CanisterSettingsError(self._refusal(name, error))
        except AgentError as error:
            return CanisterSettingsError(f"does not answer: {error}")
        return FoundCanister(name=name, id=canister, nodes=nodes, subnet=subnet, status=status)

    async def _status(self, canister: Principal) -> CanisterStatus:
        try:
            return await self._management.status(canister)
        except RejectedError as error:
            if error.error_code != _OUT_OF_CYCLES:
                raise
            # Frozen: it cannot pay for the certain answer, and lower settings may be its rescue.
            return await self._management.status(canister, is_certified=False)

    async def _subnet(self, canister: Principal) -> tuple[Principal | None, int]:
        certificate = await self._agent.read_state(canister, SUBNET_PATHS)
        if self._nodes is not None:
            return certificate.subnet, self._nodes
        try:
            nodes = len(read_subnet_keys(certificate).nodes)
        except AgentError:
            self.warnings = (_SIZE_UNKNOWN,)
            return certificate.subnet, REFERENCE_NODE_COUNT
        if self._site.network.is_ephemeral:
            # A development network has few nodes, and charges as if it had 13.
            return certificate.subnet, max(nodes, REFERENCE_NODE_COUNT)
        return certificate.subnet, nodes

    def _refusal(self, name: str, error: RejectedError) -> str:
        network = self._site.network
        if error.reject_code == _DESTINATION_INVALID:
            return f"network {network.name!r} has no such canister any more: deploy it again"
        if error.error_code != _NOT_CONTROLLER:
            return f"does not answer: {error}"
        return (
            f"{self._agent.sender} is not a controller of it, and only controllers see and change "
            f"settings: sign as one with --identity KEY.pem, let 'icfleet settings apply --signer "
            f"dfx' (or icp) print what to run there, or make this identity one: 'dfx canister "
            f"update-settings {name} --add-controller {self._agent.sender} --network "
            f"{network.name}'"
        )


async def _apply(
    management: ManagementCanister, plan: CanisterPlan, change: CanisterSettings
) -> CanisterPlan:
    try:
        await management.update_settings(plan.id, change)
    except RejectedError as error:
        return replace(plan, outcome="failed", error=_explained(error))
    except AgentError as error:
        if error.is_without_effect:
            return replace(plan, outcome="failed", error=str(error))
        reason = f"{error}; whether it was changed is not known: see 'icfleet settings show'"
        return replace(plan, outcome="unknown", error=reason)
    return replace(plan, outcome="applied")


def _explained(error: RejectedError) -> str:
    """Say what to do about the network's reason for refusing."""
    hint = ""
    if error.error_code == _OVERSUBSCRIBED:
        hint = (
            "its subnet has sold what it has to other canisters: ask for less, or move the "
            "canister to another subnet"
        )
    elif error.error_code in _NO_CYCLES:
        hint = "top it up first: the reserve against freezing grows with what is allocated"
    elif error.error_code == _RESERVED_LIMIT:
        hint = "its subnet is filling up and sets cycles aside: raise reserved_cycles_limit"
    elif error.error_code == _NOT_CONTROLLER:
        hint = "only a controller may change settings: --identity KEY.pem"
    return f"{error}; {hint}" if hint else str(error)


def _failure(report: SettingsReport) -> str:
    plans = report.canisters
    lines = [
        "not everything was changed",
        _errors(report),
        f"changed: {_names(plans, 'applied')}",
        f"not tried: {_names(plans, 'not tried')}",
    ]
    return "\n".join(lines)


def _errors(report: SettingsReport) -> str:
    wrong = [one for one in report.canisters if one.error is not None]
    return "\n".join(f"{one.name} ({one.id}): {one.error}" for one in wrong)


def _names(plans: Sequence[CanisterPlan], outcome: Outcome) -> str:
    return ", ".join(one.name for one in plans if one.outcome == outcome) or "none"
