"""Making another canister the main, with the old one's help: nothing is lost.

The old main is demoted and decides nothing from that moment; the new one catches up to the same
position and hash, and is promoted at an epoch above all that were ever seen. Interrupted anywhere,
the same command finishes it: what has been done shows in the canisters themselves.
"""

import asyncio
import time
from dataclasses import dataclass

from icfleet.admin_calls import AdminCaller, Member, admin_call
from icfleet.asking import Ask
from icfleet.errors import AdminRefusedError, AttachError, SwitchOverError
from icfleet.fleet import FleetPort
from icfleet.fleet_view import FleetView, certified_status, look, look_main_last, member_named
from icfleet.following import (
    MemberReport,
    check_still_main,
    detach_strays,
    join,
    prove_heads,
    report_member,
    tail_message,
    wait_until_level,
    whereabouts,
)
from icfleet.member_status import MemberStatus
from icfleet.progress import Progress
from icfleet.upstreams import upstream_order, upstreams_below
from icfleet_agent.errors import AgentError
from icfleet_router.position import Position
from icfleet_router.roles import Role

__all__ = ["SwitchPlan", "SwitchReport", "follow_new_main", "plan_switch", "switch_over"]

_POLL_DELAY_S = 0.1
"""Writes stand still meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchReport:
    """Who is main now."""

    main: MemberReport
    former: str | None
    """Who was it; ``None`` if that is the same canister, or unknown."""
    pause_s: float
    """How long no canister was main, in seconds, as far as this command caused it."""
    replicas: tuple[MemberReport, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchPlan:
    """What is to be done, by what all canisters say.

    Attributes:
        former: Who has everything that was ever decided.
        decides: Whether that one still takes writes, and must be demoted.
        is_done: Whether the canister is the main already.
    """

    former: Member
    decides: bool
    is_done: bool


def plan_switch(view: FleetView, target: Member) -> SwitchPlan:
    """Decide how a canister can become main without a loss.

    Raises:
        AttachError: If it does not answer.
        SwitchOverError: If it cannot; the message says what can be done.
    """
    status = view.status(target)
    main = view.main
    if main is target:
        return SwitchPlan(former=target, decides=False, is_done=True)
    if main is not None:
        _check_follows(view, target, main)
        return SwitchPlan(former=main, decides=True, is_done=False)
    for name in view.silent:
        message = (
            f"nobody takes writes, and {name} does not answer, which may have more than "
            f"{target.name}: bring it back, or see what 'icfleet promote {target.name} --force' "
            "would lose"
        )
        raise SwitchOverError(message)
    if view.highest_epoch == 0:
        message = "the fleet was never opened: run 'icfleet attach' first"
        raise SwitchOverError(message)
    if len({view.status(one).chain_hash for one in view.furthest}) > 1:
        names = " and ".join(one.name for one in view.furthest)
        message = (
            f"{names} are at {status.position} with different histories: decide which is right; "
            f"'icfleet promote {target.name} --force' chooses {target.name}'s"
        )
        raise SwitchOverError(message)
    former = target if target in view.furthest else view.furthest[0]
    if former is not target and status.role is Role.MAIN:
        message = (
            f"{target.name} is at {status.position} and {former.name} is further, at "
            f"{view.status(former).position}: 'icfleet promote {former.name}' loses nothing"
        )
        raise SwitchOverError(message)
    return SwitchPlan(former=former, decides=False, is_done=False)


async def switch_over(
    fleet: FleetPort,
    caller: AdminCaller,
    name: str,
    *,
    ask: Ask,
    timeout_s: float,
    progress: Progress,
) -> SwitchReport:
    """Make a canister the main.

    Args:
        fleet: The canisters.
        caller: Signs as an admin of each.
        name: Who is to become main.
        ask: Says what will be done and wants the name typed.
        timeout_s: How long to wait for a canister to catch up, in seconds, each time.
        progress: Told about each step.

    Raises:
        SwitchOverError: If it cannot be done, or was undone; the message says what is the case now.
        AttachError: If a canister does not answer or refuses.
        ToolchainError: If whoever was asked did not agree.
        AgentError: If the network does not answer.
    """
    target = member_named(fleet.members, name)
    view = await look(fleet)
    plan = plan_switch(view, target)
    pause_s = 0.0
    if not plan.is_done:
        ask(_question(view, plan, target), target.name)
        switch = _Switch(fleet, caller, target, plan.former, timeout_s)
        pause_s = await switch.run(view, progress, decides=plan.decides)
    return await follow_new_main(
        fleet,
        caller,
        target,
        former=None if plan.former is target else plan.former.name,
        pause_s=pause_s,
        timeout_s=timeout_s,
        progress=progress,
    )


async def follow_new_main(  # noqa: PLR0913 - what is reported beside what is done
    fleet: FleetPort,
    caller: AdminCaller,
    main: Member,
    *,
    former: str | None,
    pause_s: float,
    timeout_s: float,
    progress: Progress,
) -> SwitchReport:
    """Let everybody who answers follow the new main, and wait until they are level.

    Who has another history is left as it is, and named.

    Raises:
        SwitchOverError: If somebody does not follow, and the main is the main all the same; or if
            another was made main meanwhile.
        AgentError: If the network does not answer.
    """
    view = await look_main_last(fleet, main)
    check_still_main(view, main, view.status(main))
    wanted = upstreams_below(main, fleet.members, fleet.upstreams)
    warnings = [f"{error}: 'icfleet attach' joins it later" for error in view.silent.values()]
    following: list[Member] = []
    try:
        for member in upstream_order(main, fleet.members, wanted):
            if member.name in view.silent or wanted[member.name].name in view.silent:
                continue
            if view.status(member).has_more_than(view.status(main)):
                warnings.append(tail_message(member, view.status(member), main))
                continue
            with progress.step(f"Letting {member.name} follow {wanted[member.name].name}"):
                await join(caller, view, member, wanted[member.name])
            following.append(member)
        if following:
            view = await wait_until_level(
                fleet, main, following, timeout_s=timeout_s, progress=progress
            )
        warnings += await detach_strays(caller, view, wanted)
        with progress.step("Verifying certified heads"):
            await prove_heads(fleet, (main, *following))
    except AttachError as error:
        message = (
            f"{main.name} is the main now, at {view.status(main).position}; but {error}. When that "
            "is mended, 'icfleet attach' joins the others"
        )
        raise SwitchOverError(message) from error
    return SwitchReport(
        main=report_member(main, view.status(main)),
        former=former,
        pause_s=pause_s,
        replicas=tuple(report_member(one, view.status(one)) for one in following),
        warnings=tuple(warnings),
    )


def _question(view: FleetView, plan: SwitchPlan, target: Member) -> str:
    status, former = view.status(target), view.status(plan.former)
    lines = [f"Making {target.name}, at {status.position}, the main. Nothing is lost."]
    if plan.decides:
        lines.append(
            f"Nobody takes writes until it has all that {plan.former.name} has, now at "
            f"{former.position}."
        )
    return "\n".join(lines)


class _Switch:
    """The steps from the old main to the new one."""

    def __init__(
        self,
        fleet: FleetPort,
        caller: AdminCaller,
        target: Member,
        former: Member,
        timeout_s: float,
    ) -> None:
        self._fleet = fleet
        self._caller = caller
        self._target = target
        self._former = former
        self._timeout_s = timeout_s

    async def run(self, view: FleetView, progress: Progress, *, decides: bool) -> float:
        """Promote the target, and return how many seconds no canister was main."""
        if not decides:
            await self._finish(view, progress)
            return 0.0
        before = view.status(self._former)
        with progress.step(f"Waiting until {self._target.name} is close to {self._former.name}"):
            # Before anything is stopped, so that the pause is short.
            if not await self._reaches(before.position):
                message = f"{await self._lag()}; {self._former.name} is the main as before"
                raise SwitchOverError(message)
        stopped_s = time.monotonic()
        with progress.step(f"Demoting {self._former.name}"):
            final = await admin_call(self._caller, self._former, "demote", before.position.epoch)
        try:
            with progress.step(f"Waiting until {self._target.name} has everything"):
                if not await self._reaches(final, is_final=True):
                    raise await self._undone(await self._lag())
            with progress.step(f"Promoting {self._target.name}"):
                await self._promote(self._target)
        except AdminRefusedError as error:
            raise await self._undone(str(error)) from error
        except asyncio.CancelledError:
            progress.warn(self._how_to_go_on())
            raise
        except (AgentError, AttachError) as error:
            message = f"{error}; {self._how_to_go_on()}"
            raise SwitchOverError(message) from error
        return time.monotonic() - stopped_s

    async def _finish(self, view: FleetView, progress: Progress) -> None:
        """Go on where an earlier run ended: the old main is demoted already, or fenced."""
        for member in view.members:
            final = (await certified_status(self._caller, member)).position
            if final > view.status(self._former).position:
                message = f"{member.name} is further than it said, at {final}: run this again"
                raise SwitchOverError(message)
        if self._former is not self._target:
            await join(self._caller, view, self._target, self._former)
            with progress.step(f"Waiting until {self._target.name} has everything"):
                final = view.status(self._former).position
                if not await self._reaches(final, is_final=True):
                    message = f"{await self._lag()}; {self._how_to_go_on()}"
                    raise SwitchOverError(message)
        with progress.step(f"Promoting {self._target.name}"):
            await self._promote(self._target)

    async def _reaches(self, goal: Position, *, is_final: bool = False) -> bool:
        """Wait until the target can be read at ``goal``; ``False`` if it does not come in time.

        Args:
            goal: Where the old main was.
            is_final: Whether it stays there, so that the hashes must be equal too.

        Raises:
            AttachError: If one does not answer, or their histories differ.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    status = await self._fleet.status(self._target)
                    if status.has_diverged:
                        raise AttachError(self._diverged(status))
                    is_there = status.position >= goal and status.phase == "Serving"
                    if is_there and not is_final:
                        return True
                    if is_there and await self._is_equal(status):
                        return True
                    await asyncio.sleep(_POLL_DELAY_S)
        except TimeoutError:
            return False

    async def _is_equal(self, status: MemberStatus) -> bool:
        former = await self._fleet.status(self._former)
        if former.position == status.position and former.chain_hash != status.chain_hash:
            raise AttachError(self._diverged(status))
        # Unequal positions are from a node that is a round behind: it is asked again.
        return former.position == status.position

    async def _promote(self, member: Member) -> None:
        view = await look(self._fleet)
        expected = view.status(member).position.epoch
        await admin_call(self._caller, member, "promote", expected, view.highest_epoch + 1)

    async def _undone(self, reason: str) -> SwitchOverError:
        """Make the old main the main again, unless there is one by now."""
        try:
            main = (await look(self._fleet)).main
            if main is None:
                await self._promote(self._former)
        except (AgentError, AttachError) as error:
            return SwitchOverError(f"{reason}; and then: {error}; {self._how_to_go_on()}")
        if main is not None and main is not self._former:
            return SwitchOverError(f"{reason}; {main.name} is the main now")
        return SwitchOverError(
            f"{reason}; {self._former.name} was promoted again and is the main as before: nothing "
            "is lost"
        )

    async def _lag(self) -> str:
        status = await self._fleet.status(self._target)
        return (
            f"{self._target.name} {whereabouts(status)} after {self._timeout_s:g} s and has not "
            f"reached {self._former.name}: wait longer with --timeout"
        )

    def _diverged(self, status: MemberStatus) -> str:
        return (
            f"{self._target.name} {whereabouts(status)} and has another history than "
            f"{self._former.name}: 'icfleet reseed {self._target.name}' first"
        )

    def _how_to_go_on(self) -> str:
        return (
            f"{self._former.name} may be demoted: 'icfleet promote {self._target.name}' goes on "
            f"from here, 'icfleet promote {self._former.name}' goes back; nothing is lost, and "
            "until then nobody may take writes"
        )


def _check_follows(view: FleetView, target: Member, main: Member) -> None:
    status = view.status(target)
    head = view.status(main)
    # Ahead by a write that main's own answer does not have yet is not another history.
    is_other = status.position == head.position and status.chain_hash != head.chain_hash
    if status.has_diverged or is_other:
        message = (
            f"{target.name} {whereabouts(status)} and has another history than {main.name}: "
            f"'icfleet reseed {target.name}' first"
        )
        raise SwitchOverError(message)
    if status.role is Role.MAIN or main.id not in {status.upstream, *status.path}:
        message = (
            f"{target.name} does not follow {main.name}: 'icfleet attach' joins it, then run this "
            "again"
        )
        raise SwitchOverError(message)
