"""Weighted least connections with smooth round robin among equals, as nginx picks.

Source: nginx 1.31, ngx_http_upstream_least_conn_module.c and ..._round_robin.c (the rules, not
the code): the fewest calls in flight per weight wins; among those that tie, each one's current
weight grows by its effective weight, the highest wins and pays back the sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["WEIGHT_MAX", "Load", "pick_least_conn"]

WEIGHT_MAX = 1000
"""Weights say "three times as much"; far larger ones would be a mistake in a settings file."""


@dataclass(slots=True)
class Load:
    """How busy one canister is, and whose turn it is among equals.

    Attributes:
        weight: Its share, 1 to ``WEIGHT_MAX``.
        in_flight_count: Calls sent and not answered.
        effective_weight: The weight, less what failures took; grows back with each turn.
        current_weight: State of the smooth round robin.
    """

    weight: int = 1
    in_flight_count: int = 0
    effective_weight: int = field(init=False)
    current_weight: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        assert 1 <= self.weight <= WEIGHT_MAX, self.weight
        self.effective_weight = self.weight

    def lower(self, fails_max: int) -> None:
        """Take the weight that one failure costs; it never falls below zero."""
        self.effective_weight = max(self.effective_weight - self.weight // fails_max, 0)


def pick_least_conn(loads: Sequence[Load]) -> int:
    """Return the index of the canister to send to, and count its turn.

    The same sequence of calls always gives the same picks: there is no chance in it.
    """
    assert loads, "the caller must have somebody to choose from"
    best = loads[0]
    for load in loads[1:]:
        # a/b < c/d without division, so that ties are exact.
        if load.in_flight_count * best.weight < best.in_flight_count * load.weight:
            best = load
    tied = [
        index
        for index, load in enumerate(loads)
        if load.in_flight_count * best.weight == best.in_flight_count * load.weight
    ]
    return tied[0] if len(tied) == 1 else _take_turns(loads, tied)


def _take_turns(loads: Sequence[Load], tied: Sequence[int]) -> int:
    total = 0
    for index in tied:
        load = loads[index]
        load.current_weight += load.effective_weight
        total += load.effective_weight
        load.effective_weight = min(load.effective_weight + 1, load.weight)
    # ``max`` keeps the first of equals, which is what makes the rotation start in order.
    chosen = max(tied, key=lambda index: loads[index].current_weight)
    loads[chosen].current_weight -= total
    return chosen
