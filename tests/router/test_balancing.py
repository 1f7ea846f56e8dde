"""Weighted least connections."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_router.balancing import Load, pick_least_conn


def _loads(*pairs: tuple[int, int]) -> list[Load]:
    return [Load(weight=weight, in_flight_count=in_flight) for weight, in_flight in pairs]


@pytest.mark.parametrize(
    ("pairs", "chosen"),
    [
        pytest.param([(1, 2), (1, 1), (1, 3)], 1, id="fewest-calls"),
        pytest.param([(1, 1), (3, 2)], 1, id="fewest-calls-per-weight"),
        pytest.param([(2, 2), (3, 4)], 0, id="two-halves-below-four-thirds"),
        pytest.param([(1, 5)], 0, id="one-alone"),
        pytest.param([(1, 0), (1000, 1)], 0, id="idle-before-any-busy-one"),
    ],
)
def test_the_least_loaded_per_weight_wins(pairs: list[tuple[int, int]], chosen: int) -> None:
    """Calls in flight count relative to the weight."""
    assert pick_least_conn(_loads(*pairs)) == chosen


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        pytest.param([1, 1, 1], [0, 1, 2, 0, 1, 2], id="equal-weights-rotate"),
        # Source: the example in nginx's commit "smooth weighted round-robin balancing" (2012).
        pytest.param([5, 1, 1], [0, 0, 1, 0, 2, 0, 0], id="5-1-1-is-spread-out"),
    ],
)
def test_ties_take_turns_smoothly(weights: list[int], order: list[int]) -> None:
    """With nothing in flight the turns follow nginx's smooth round robin."""
    loads = [Load(weight=weight) for weight in weights]

    assert [pick_least_conn(loads) for _ in order] == order


def test_only_the_tied_take_turns() -> None:
    """A busy canister's turn is not used up while it is passed over."""
    loads = _loads((1, 9), (1, 0), (1, 0))

    picks = [pick_least_conn(loads) for _ in range(4)]

    assert picks == [1, 2, 1, 2]
    assert loads[0].current_weight == 0


def test_a_failure_costs_turns_for_a_while() -> None:
    """A failing canister's share falls, and grows back turn by turn."""
    loads = [Load(weight=4), Load(weight=4)]

    loads[0].lower(fails_max=2)
    loads[0].lower(fails_max=2)
    first, later = (Counter(pick_least_conn(loads) for _ in range(8)) for _ in range(2))

    assert first[0] < first[1]
    assert later[0] == later[1]


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 100)), min_size=1, max_size=16))
def test_nobody_is_less_loaded_than_the_pick(pairs: list[tuple[int, int]]) -> None:
    """Whatever the fleet, no canister has fewer calls per weight than the chosen one."""
    loads = _loads(*pairs)

    weight, in_flight = pairs[pick_least_conn(loads)]

    assert all(in_flight * other <= calls * weight for other, calls in pairs)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_a_full_round_gives_each_its_weight(weights: list[int]) -> None:
    """After as many picks as the sum of weights, each was picked as often as it weighs."""
    loads = [Load(weight=weight) for weight in weights]

    picks = Counter(pick_least_conn(loads) for _ in range(sum(weights)))

    assert [picks[index] for index in range(len(weights))] == weights
