"""Making a replica the main though the old main does not answer: what it had alone is lost.

How much that is is said before anything is done, as far as anybody can know it. A main that
answers its status tells the number; of one that is silent it is known when the replica last heard
from it, and what was known to be missing then.
"""

from dataclasses import dataclass

from icfleet.admin_calls import AdminCaller, Member, admin_call
from icfleet.asking import Ask
from icfleet.errors import AttachError, SwitchOverError
from icfleet.fleet import FleetPort
from icfleet.fleet_view import FleetView, look, member_named
from icfleet.member_log import MemberLog
from icfleet.progress import Progress
from icfleet.switch_over import SwitchReport, follow_new_main
from icfleet_agent.errors import AgentError

__all__ = ["LossBound", "bound_lines", "force_promotion", "plan_force", "read_bound"]

RATE_RECORDS = 500
"""By so many of the last records it is told how many operations a second there were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossBound:
    """What a forced promotion loses, as far as it is known."""

    target: str
    former: str | None
    """Who was main; ``None`` if nobody of the fleet is known to have been."""
    exact: int | None
    """Operations that the old main has and the target has not; ``None`` if it does not answer."""
    still_decides: bool
    """Whether the old main goes on deciding until it hears of its successor."""
    known_missing: int
    """Operations that the target knew, at its last pull, that it did not have yet."""
    since_pull_s: float | None
    """Since that pull; ``None`` if the target has not pulled since its last upgrade."""
    rate: float | None
    """Operations a second before that, by the last records."""
    further: tuple[str, ...]
    """Other canisters that have more than the target; their more is lost, too."""

    @property
    def estimate(self) -> int | None:
        """Operations lost, if the old main went on as before."""
        if self.exact is not None:
            return self.exact
        if self.since_pull_s is None or self.rate is None:
            return None
        return self.known_missing + round(self.since_pull_s * self.rate)


async def force_promotion(  # noqa: PLR0913 - one parameter for each choice of the command
    fleet: FleetPort,
    caller: AdminCaller,
    name: str,
    *,
    ask: Ask,
    allow_loss: bool,
    timeout_s: float,
    progress: Progress,
) -> tuple[LossBound | None, SwitchReport]:
    """Say what will be lost, ask, promote, and let follow who can.

    Args:
        fleet: The canisters.
        caller: Signs as an admin of each.
        name: Who is to become main.
        ask: Shows the bound and wants the name typed.
        allow_loss: Whether a canister may be chosen that is not the furthest.
        timeout_s: How long to wait for the others to catch up afterwards, in seconds.
        progress: Told about each step.

    Raises:
        SwitchOverError: If another canister should be chosen, or some do not follow.
        AttachError: If the target does not answer or refuses.
        ToolchainError: If whoever was asked did not agree.
        AgentError: If the network does not answer.
    """
    target = member_named(fleet.members, name)
    view = await look(fleet)
    bound: LossBound | None = None
    former: Member | None = None
    if view.main is not target:
        plan_force(view, target, allow_loss=allow_loss)
        former = _former(view, target)
        bound = await read_bound(fleet, caller, view, target, former)
        ask("\n".join(bound_lines(bound)), target.name)
        if former is not None and bound.still_decides:
            await _stop(caller, view, former, progress)
        with progress.step(f"Promoting {target.name}"):
            # Looked at anew: the asking may have taken long.
            view = await look(fleet)
            expected = view.status(target).position.epoch
            await admin_call(caller, target, "promote", expected, view.highest_epoch + 1)
    report = await follow_new_main(
        fleet,
        caller,
        target,
        former=None if former is None else former.name,
        pause_s=0.0,
        timeout_s=timeout_s,
        progress=progress,
    )
    return bound, report


def plan_force(view: FleetView, target: Member, *, allow_loss: bool) -> None:
    """See that no other canister should be chosen.

    Raises:
        AttachError: If the target does not answer.
        SwitchOverError: If it should not become main.
    """
    status = view.status(target)
    if status.phase == "Seeding":
        message = (
            f"{target.name} is taking rows over and is not whole: wait, or choose a canister that "
            "'icfleet status' shows as Serving"
        )
        raise SwitchOverError(message)
    further = [one for one in _rivals(view, target) if view.status(one).phase != "Seeding"]
    if further and not allow_loss:
        best = max(further, key=lambda one: view.status(one).position)
        message = (
            f"{best.name} is further, at {view.status(best).position}, than {target.name}, at "
            f"{status.position}: 'icfleet promote {best.name} --force' loses less; --allow-loss "
            f"takes {target.name} all the same"
        )
        raise SwitchOverError(message)


async def read_bound(
    fleet: FleetPort,
    caller: AdminCaller,
    view: FleetView,
    target: Member,
    former: Member | None,
) -> LossBound:
    """Find out what is lost.

    Raises:
        AgentError: If the network does not answer.
    """
    status = view.status(target)
    main = view.statuses.get(former.name) if former is not None else None
    exact: int | None = None
    if main is not None:
        exact = max(0, main.position.seq - status.position.seq)
    known_missing = 0
    if status.upstream_head is not None and status.upstream_head > status.position:
        known_missing = max(0, status.upstream_head.seq - status.position.seq)
    since_pull_s: float | None = None
    rate: float | None = None
    if status.pulled_at_ns > 0:
        since_pull_s = max(0.0, (await fleet.now_ns(target) - status.pulled_at_ns) / 1e9)
        log = MemberLog(caller, target, status)
        rate = await log.rate(status.pulled_at_ns, records=RATE_RECORDS)
    return LossBound(
        target=target.name,
        former=None if former is None else former.name,
        exact=exact,
        still_decides=main is not None and main.decides,
        known_missing=known_missing,
        since_pull_s=since_pull_s,
        rate=rate,
        further=tuple(one.name for one in _rivals(view, target)),
    )


def bound_lines(bound: LossBound) -> tuple[str, ...]:
    """Say it in words that promise no more than is known."""
    lines = [f"Promoting {bound.target} by force. What may be lost:"]
    former = bound.former or "the old main"
    if bound.exact is not None:
        lines.append(f"  {former} answers: it has {bound.exact:,} operations more, exactly.")
        if bound.still_decides:
            lines += [
                "  It still takes writes; what it decides until it is demoted is lost, too.",
                f"  Without --force nothing would be lost: icfleet promote {bound.target}",
            ]
    else:
        lines += _unknown_lines(bound, former)
    lines += [f"  What {name} has beyond {bound.target} is lost, too." for name in bound.further]
    name = bound.former or "NAME"
    lines.append(f"  When {former} comes back: icfleet export-tail {name} --out tail.json")
    return tuple(lines)


def _unknown_lines(bound: LossBound, former: str) -> list[str]:
    if bound.since_pull_s is None:
        return [
            f"  {former} does not answer, and {bound.target} has not heard of it since its own",
            "  last upgrade: nobody can tell how much.",
        ]
    lines = [
        f"  What {former} acknowledged in the last {bound.since_pull_s:,.0f} s, since",
        f"  {bound.target} last heard from it.",
        f"  {bound.known_missing:,} operations are known to be missing from before that.",
    ]
    if bound.estimate is None:
        lines.append("  How many came since then, nobody here knows.")
    else:
        lines += [
            f"  There were about {bound.rate:,.1f} operations a second; had that gone on, it",
            f"  would be about {bound.estimate:,} in all. That is an estimate, and no bound:",
            f"  {former} may have decided more, or nothing, and goes on deciding if it is only us",
            "  who cannot reach it.",
        ]
    return lines


def _rivals(view: FleetView, target: Member) -> list[Member]:
    """Canisters that answer, decide nothing, and have more than the target."""
    head = view.status(target)
    return [
        one
        for one in view.answering
        if view.status(one).position > head.position and not view.status(one).decides
    ]


def _former(view: FleetView, target: Member) -> Member | None:
    """Who is main, or was the last that the target heard of."""
    if view.main is not None:
        return view.main
    known = view.by_id(view.status(target).main)
    return None if known is target else known


async def _stop(caller: AdminCaller, view: FleetView, former: Member, progress: Progress) -> None:
    """Try to stop a main that answers; what it decides from now on would be lost."""
    try:
        with progress.step(f"Demoting {former.name}"):
            await admin_call(caller, former, "demote", view.status(former).position.epoch)
    except (AgentError, AttachError) as error:
        progress.warn(f"{former.name} could not be demoted, and may go on deciding: {error}")
