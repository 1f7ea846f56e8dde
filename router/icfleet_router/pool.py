"""The fleet's canisters: who is main, who is up, who is how far, and who takes the next read.

Everything here is state and decisions; time is an argument and nothing waits.
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from icfleet_protocol.principal import Principal
from icfleet_router.balancing import Load, pick_least_conn
from icfleet_router.health import Health
from icfleet_router.position import Position
from icfleet_router.roles import Role

__all__ = ["Belief", "Member", "Pool"]


@dataclass(slots=True)
class Belief:
    """What we believe of a canister's position, from its last reply.

    Attributes:
        lifetime_s: After so many seconds the canister may have moved on; then one call finds out.
        position: ``None`` while nothing is known.
    """

    lifetime_s: float
    position: Position | None = field(init=False, default=None)
    _renewed_at_s: float = field(init=False, default=float("-inf"))

    def satisfies(self, floor: Position, now_s: float) -> bool:
        """Tell whether an answer at or after ``floor`` can be hoped for."""
        if self.position is None or self.position >= floor:
            return True
        return now_s - self._renewed_at_s > self.lifetime_s

    def asked(self, floor: Position, now_s: float) -> None:
        """Note a call; if it goes out on hope alone, no other does until it is answered."""
        if self.position is not None and self.position < floor:
            self._renewed_at_s = now_s

    def learned(self, position: Position, now_s: float) -> None:
        """Take a reply's position; the last word counts, for a reinstalled replica starts over."""
        self.position = position
        self._renewed_at_s = now_s


@dataclass(slots=True, eq=False)
class Member:
    """One canister of the fleet.

    Attributes:
        name: Its name in dfx.json.
        canister: Its principal.
        role: What it does now; changes when another canister becomes main.
    """

    name: str
    canister: Principal
    role: Role
    load: Load
    health: Health
    belief: Belief

    def sent(self, floor: Position, now_s: float) -> None:
        """Count a call that goes out now."""
        self.load.in_flight_count += 1
        self.health.sent(now_s)
        self.belief.asked(floor, now_s)

    def done(self) -> None:
        """Count a call that came to its end."""
        assert self.load.in_flight_count > 0, self.name
        self.load.in_flight_count -= 1

    def failed(self, now_s: float) -> None:
        """Charge a failure that was the canister's or its subnet's."""
        self.health.failed(now_s)
        self.load.lower(self.health.fails_max)


class Pool:
    """All canisters of the fleet, one of them main.

    Args:
        members: Exactly one with the role of main.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        assert [member.role for member in members].count(Role.MAIN) == 1, "one main"
        self._members = tuple(members)
        self.epoch_seen = 0

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    @property
    def main(self) -> Member:
        """The canister that takes writes."""
        return next(member for member in self._members if member.role is Role.MAIN)

    def by_canister(self, canister: Principal) -> Member | None:
        """Find a member by its principal."""
        return next((one for one in self._members if one.canister == canister), None)

    def promote(self, member: Member) -> None:
        """Note that ``member`` is main now; whoever was it serves reads from here on."""
        for one in self._members:
            one.role = Role.MAIN if one is member else Role.REPLICA

    def learned(self, member: Member, as_of: Position, now_s: float) -> None:
        """Take the position of a reply."""
        member.belief.learned(as_of, now_s)
        self.epoch_seen = max(self.epoch_seen, as_of.epoch)

    def pick_read(
        self, floor: Position, tried: Container[str], now_s: float, *, prefer_main: bool
    ) -> Member:
        """Choose whom to ask next.

        The least loaded healthy replica that may satisfy ``floor``; then main; then a healthy
        replica that was last seen behind; then, like nginx when all are down, anybody who was not
        asked yet; at last main again.

        Args:
            floor: What the answer must not be older than.
            tried: Names of those already asked.
            now_s: Monotonic time, in seconds.
            prefer_main: Ask main before any replica, unless it is down.
        """
        untried = [member for member in self._members if member.name not in tried]
        healthy = [member for member in untried if member.health.may_send(now_s)]
        replicas = [member for member in healthy if member.role is Role.REPLICA]
        mains = [member for member in healthy if member.role is Role.MAIN]
        hopeful = [member for member in replicas if member.belief.satisfies(floor, now_s)]
        first, second = (mains, hopeful) if prefer_main else (hopeful, mains)
        for tier in (first, second, replicas, untried):
            if tier:
                return tier[pick_least_conn([member.load for member in tier])]
        return self.main
