"""What admins do with one canister of the fleet: reseed, detach, configure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from icfleet.admin_calls import AdminCaller, Member, admin_call
from icfleet.asking import Ask
from icfleet.errors import SwitchOverError
from icfleet.fleet import FleetPort
from icfleet.fleet_view import FleetView, check_is_latest, look, member_named
from icfleet.following import MemberReport, prove_heads, report_member, wait_until_level
from icfleet.progress import Progress
from icfleet.tail_export import common_seq_max
from icfleet.upstreams import upstreams_below
from icfleet_protocol.errors import PrincipalError
from icfleet_protocol.principal import Principal
from icfleet_router.roles import Role

__all__ = [
    "ConfigureReport",
    "DetachReport",
    "configure",
    "detach",
    "parse_settings",
    "reseed",
]

_DIGITS_MAX = 9
"""Below 2^32, which is the type's own bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachReport:
    """Who lets a canister pull no more."""

    canister: str
    detached_from: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureReport:
    """The settings that canisters have now, by name."""

    settings: Mapping[str, Mapping[str, int]]


async def reseed(
    fleet: FleetPort,
    caller: AdminCaller,
    name: str,
    *,
    ask: Ask,
    timeout_s: float,
    progress: Progress,
) -> MemberReport:
    """Throw away what a canister holds, and take everything over from whom it follows.

    A main that was never opened is opened first, so that a fleet may begin anew on purpose.

    Raises:
        SwitchOverError: If the canister is the main, there is none, or a later one is silent.
        AttachError: If a canister does not answer, refuses, or does not become level in time.
        ToolchainError: If whoever was asked did not agree.
        AgentError: If the network does not answer.
    """
    member = member_named(fleet.members, name)
    view = await look(fleet)
    status = view.status(member)
    main = _main_for(view, fleet, member)
    ask("\n".join(_discarded(view, member, main)), member.name)
    if view.status(main).is_unopened:
        with progress.step(f"Opening {main.name}"):
            await admin_call(caller, main, "promote", 0, view.highest_epoch + 1)
    upstream = upstreams_below(main, fleet.members, fleet.upstreams)[member.name]
    with progress.step(f"Letting {member.name} take everything over from {upstream.name}"):
        if member.id not in view.status(upstream).attached:
            await admin_call(caller, upstream, "attach", member.id)
        if status.role is Role.MAIN:
            await admin_call(caller, member, "demote", status.position.epoch)
        await admin_call(caller, member, "reseed", upstream.id)
    view = await wait_until_level(fleet, main, (member,), timeout_s=timeout_s, progress=progress)
    await prove_heads(fleet, (main, member))
    return report_member(member, view.status(member))


async def detach(fleet: FleetPort, caller: AdminCaller, name: str) -> DetachReport:
    """Let a canister pull from nobody any more, such as one that dfx.json does not name any more.

    Raises:
        SwitchOverError: If the name is neither in the fleet nor a principal.
        AttachError: If a canister refuses.
        AgentError: If the network does not answer.
    """
    canister = _canister_named(fleet.members, name)
    view = await look(fleet)
    having = [one for one in view.answering if canister in view.status(one).attached]
    for member in having:
        await admin_call(caller, member, "detach", canister)
    if view.silent and not having:
        raise next(iter(view.silent.values()))
    return DetachReport(canister=str(canister), detached_from=tuple(one.name for one in having))


async def configure(
    fleet: FleetPort, caller: AdminCaller, names: Sequence[str], changes: Mapping[str, int]
) -> ConfigureReport:
    """Change settings of some canisters; each has its own, and what is not named stays.

    Args:
        fleet: The canisters.
        caller: Signs as an admin of each.
        names: Whose settings; none for all.
        changes: New values by name.

    Raises:
        SwitchOverError: If there is no such canister or setting.
        AttachError: If a canister does not answer, or refuses a value; the message has its bounds.
        AgentError: If the network does not answer.
    """
    members = [member_named(fleet.members, name) for name in names] or list(fleet.members)
    view = await look(fleet)
    # All are asked before any is changed.
    before = {member.name: view.status(member).settings for member in members}
    settings: dict[str, Mapping[str, int]] = {}
    for member in members:
        unknown = sorted(set(changes) - set(before[member.name]))
        if unknown:
            known = ", ".join(before[member.name])
            message = f"there is no setting {unknown[0]!r}; there are {known}"
            raise SwitchOverError(message)
    for member in members:
        settings[member.name] = {**before[member.name], **changes}
        await admin_call(caller, member, "configure", settings[member.name])
    return ConfigureReport(settings=settings)


def parse_settings(words: Sequence[str]) -> Mapping[str, int]:
    """Read ``key=value`` as the command takes them.

    Raises:
        SwitchOverError: If one is no such pair, or its value no number that fits.
    """
    changes: dict[str, int] = {}
    for word in words:
        key, separator, value = word.partition("=")
        number = value.replace("_", "")
        is_number = number.isascii() and number.isdecimal() and len(number) <= _DIGITS_MAX
        if not separator or not is_number:
            message = (
                f"{word!r} is no setting: write key=value with a whole number, such as "
                "pull_idle_s=5"
            )
            raise SwitchOverError(message)
        changes[key] = int(number)
    return changes


def _main_for(view: FleetView, fleet: FleetPort, member: Member) -> Member:
    """Whom the canister is to be seeded from, in the end."""
    main = view.main
    if main is None and fleet.main.name in view.statuses:
        unopened = view.status(fleet.main).is_unopened
        main = fleet.main if unopened else None
    if main is None:
        message = (
            "nobody is main, so there is nothing to take over: 'icfleet promote NAME' makes one; "
            "see 'icfleet status'"
        )
        raise SwitchOverError(message)
    if main is member:
        message = (
            f"{member.name} is the main: there is nobody to take over from; 'icfleet promote NAME' "
            "makes another canister the main first"
        )
        raise SwitchOverError(message)
    if not view.status(main).is_unopened:
        check_is_latest(view, main)
    return main


def _discarded(view: FleetView, member: Member, main: Member) -> list[str]:
    """Say what is thrown away."""
    status, head = view.status(member), view.status(main)
    lines = [
        f"{member.name} is at {status.position}. Everything that it holds is thrown away, and",
        f"taken over anew from {main.name}, at {head.position}.",
    ]
    alone = status.position.seq - common_seq_max(status, head)
    if alone > 0:
        lines += [
            f"{alone:,} records that it has are not in the history of {main.name}. To keep them:",
            f"  icfleet export-tail {member.name} --out tail.json",
        ]
    elif status.has_diverged:
        lines.append(f"Its history is another than that of {main.name}.")
    return lines


def _canister_named(members: Sequence[Member], name: str) -> Principal:
    for member in members:
        if member.name == name:
            return member.id
    try:
        return Principal.from_text(name)
    except PrincipalError as error:
        known = ", ".join(member.name for member in members)
        message = f"{name!r} is neither a canister of the fleet ({known}) nor a principal"
        raise SwitchOverError(message) from error
