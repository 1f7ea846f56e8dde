"""A fleet at one moment: who answered what, who decides, who is furthest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from icfleet.admin_calls import AdminCaller, Member
from icfleet.errors import AttachError, SwitchOverError
from icfleet.fleet import FleetPort
from icfleet.member_status import MemberStatus
from icfleet_protocol.principal import Principal

__all__ = [
    "FleetView",
    "certified_status",
    "check_is_latest",
    "look",
    "look_main_last",
    "member_named",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """What the members said of themselves."""

    members: tuple[Member, ...]
    statuses: Mapping[str, MemberStatus]
    """Of those that answered, by name."""
    silent: Mapping[str, AttachError]
    """Why the others did not."""

    @classmethod
    def of(
        cls, members: tuple[Member, ...], answers: Mapping[str, MemberStatus | AttachError]
    ) -> Self:
        """Part the answers."""
        return cls(
            members=members,
            statuses={name: one for name, one in answers.items() if isinstance(one, MemberStatus)},
            silent={name: one for name, one in answers.items() if isinstance(one, AttachError)},
        )

    @property
    def answering(self) -> tuple[Member, ...]:
        """The members that answered."""
        return tuple(member for member in self.members if member.name in self.statuses)

    @property
    def main(self) -> Member | None:
        """The member that takes writes: of several that believe it, the one of the last epoch."""
        mains = [one for one in self.answering if self.status(one).decides]
        return max(mains, key=lambda one: self.status(one).position, default=None)

    @property
    def highest_epoch(self) -> int:
        """The highest epoch that anybody has heard of."""
        return max((one.highest_epoch for one in self.statuses.values()), default=0)

    @property
    def furthest(self) -> tuple[Member, ...]:
        """The members that answered and are at the last position of all."""
        last = max((one.position for one in self.statuses.values()), default=None)
        return tuple(one for one in self.answering if self.status(one).position == last)

    def status(self, member: Member) -> MemberStatus:
        """What a member said.

        Raises:
            AttachError: If it did not answer.
        """
        if member.name in self.silent:
            raise self.silent[member.name]
        return self.statuses[member.name]

    def by_id(self, canister: Principal | None) -> Member | None:
        """Find a member by its principal."""
        return next((one for one in self.members if one.id == canister), None)


async def look(fleet: FleetPort) -> FleetView:
    """Ask all members at once.

    Raises:
        NotSentError: If nobody is at the network's address at all.
    """
    return FleetView.of(fleet.members, await fleet.answers())


async def look_main_last(fleet: FleetPort, main: Member | None = None) -> FleetView:
    """Ask all members at once, and main anew if another seems ahead of it.

    That one may have answered after a write which main's own answer does not have yet.

    Args:
        fleet: The canisters.
        main: Who that is; otherwise whoever says so.

    Raises:
        NotSentError: If nobody is at the network's address at all.
    """
    answers = dict(await fleet.answers())
    view = FleetView.of(fleet.members, answers)
    main = main or view.main
    if main is None or main.name in view.silent or main in view.furthest:
        return view
    try:
        answers[main.name] = await fleet.status(main)
    except AttachError as error:
        answers[main.name] = error
    return FleetView.of(fleet.members, answers)


async def certified_status(caller: AdminCaller, member: Member) -> MemberStatus:
    """Ask a member by a call that goes through consensus.

    A query may be answered by a node that is a round behind, which would be fatal where a canister
    that has just been demoted says how much its successor must have.

    Raises:
        AttachError: If it does not answer as a fleet's canister.
        AgentError: If the network does not answer.
    """
    return MemberStatus.from_candid(await caller.call(member, "status"))


def check_is_latest(view: FleetView, main: Member) -> None:
    """See that nobody has heard of a later main than the one that answers.

    Raises:
        SwitchOverError: If there is one, which is silent: what this one has does not count.
    """
    position, latest = view.status(main).position, view.highest_epoch
    if position.epoch < latest:
        message = (
            f"{main.name} is at {position} and epoch {latest} has begun; whoever is its main does "
            "not answer: bring it back, or 'icfleet promote NAME --force'"
        )
        raise SwitchOverError(message)


def member_named(members: Sequence[Member], name: str) -> Member:
    """Find a member by its name in dfx.json, or by its principal.

    Raises:
        SwitchOverError: If there is none.
    """
    for member in members:
        if name in {member.name, str(member.id)}:
            return member
    known = ", ".join(member.name for member in members)
    message = f"the fleet has no {name!r}; it has {known}"
    raise SwitchOverError(message)
