"""The limiter's check against the straightforward one: timestamps in a list, filtered each time.

Every principal measured makes 100 requests in 60 s, its whole allowance, so each call finds 99 or
100 timestamps of its own and one integer here. 1,000 principals are measured, in turns; the others
are only there, to show what their number costs. At 10^6 the limiter's bound is raised to hold all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from side_by_side import Comparison, Side, compare

from icfleet_canister import Charge, RateLimiter

__all__ = ["results"]

SECOND_NS = 1_000_000_000
WINDOW_NS = 60 * SECOND_NS
LIMIT = 100
MEASURED = 1_000
START_NS = 1_700_000_000 * SECOND_NS

#: Between two calls, so that each principal comes by every 0.6 s.
STEP_NS = WINDOW_NS // LIMIT // MEASURED


class ListLimiter:
    """What most people write."""

    def __init__(self) -> None:
        self.requests: dict[str, list[int]] = {}

    def allow(self, principal: str, now_ns: int) -> bool:
        """Filter, count, append."""
        recent = [each for each in self.requests.get(principal, []) if now_ns - each < WINDOW_NS]
        self.requests[principal] = recent
        if len(recent) >= LIMIT:
            return False
        recent.append(now_ns)
        return True

    def allow_tuned(self, principal: str, now_ns: int) -> bool:
        """Do the same with the subtraction done once: the best that a list can do."""
        oldest_ns = now_ns - WINDOW_NS
        recent = [each for each in self.requests.get(principal, []) if each > oldest_ns]
        self.requests[principal] = recent
        if len(recent) >= LIMIT:
            return False
        recent.append(now_ns)
        return True


class Visitors:
    """The measured principals, one after the other, under a clock that goes on.

    Args:
        keys: Their texts, or their charges.
        call: What each does.
    """

    def __init__(self, keys: Sequence[Any], call: Callable[[Any, int], object]) -> None:
        self._keys = keys
        self._call = call
        self._now_ns = START_NS
        self._next = 0

    def run(self, calls: int) -> None:
        """Let so many come by."""
        call = self._call
        for key, now_ns in self._turns(calls):
            call(key, now_ns)
        self._next += calls
        self._now_ns += calls * STEP_NS

    def loop(self, calls: int) -> None:
        """Do as ``run``, with nobody coming by and no time passing."""
        for _key, _now_ns in self._turns(calls):
            pass

    def _turns(self, calls: int) -> Iterator[tuple[Any, int]]:
        keys = [self._keys[(self._next + offset) % len(self._keys)] for offset in range(calls)]
        times = range(self._now_ns, self._now_ns + calls * STEP_NS, STEP_NS)
        return iter(list(zip(keys, times, strict=True)))


def results() -> Iterator[Comparison]:
    """Compare at 10^3 to 10^6 principals."""
    for size in (1_000, 10_000, 100_000, 1_000_000):
        yield from _compare_at(size)


def _compare_at(size: int) -> Iterator[Comparison]:
    principals = [_principal(number) for number in range(size)]
    measured = principals[:: size // MEASURED]
    charges = [(Charge(principal),) for principal in measured]
    first, second = _limiter(principals), _limiter(principals)
    ways = {
        "admit_one(key)": Visitors(measured, first.admit_one),
        "admit(charges)": Visitors(charges, second.admit),
    }
    peers = {
        "list, filtered": Visitors(measured, _lists(principals).allow),
        "list, filtered, tuned": Visitors(measured, _lists(principals).allow_tuned),
    }
    for visitors in (*ways.values(), *peers.values()):
        visitors.run(LIMIT * MEASURED)
    for what, ours in ways.items():
        for peer_name, peer in peers.items():
            yield compare(
                what,
                size,
                Side(ours.run, 20_000, ours.loop),
                peer_name,
                Side(peer.run, 2_000, peer.loop),
            )


def _limiter(principals: Sequence[str]) -> RateLimiter:
    limiter = RateLimiter(entries_max=len(principals) + 1, reserved=0)
    for principal in principals:
        limiter.admit_one(principal, START_NS - WINDOW_NS)
    return limiter


def _lists(principals: Sequence[str]) -> ListLimiter:
    lists = ListLimiter()
    lists.requests = {principal: [] for principal in principals}
    return lists


def _principal(number: int) -> str:
    return f"{number:08d}-bbbbb-ccccc-ddddd-eeeee-fffff-ggggg-hhhhh-iiiii-jjjjj"
