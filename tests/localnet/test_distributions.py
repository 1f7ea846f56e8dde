"""Delays stay within their bounds, have the median they say, and repeat with their seed."""

from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet.distributions import DELAY_MAX_S, Distribution, Fixed, LogNormal, Uniform

seconds = st.floats(0, DELAY_MAX_S)
distributions: st.SearchStrategy[Distribution] = st.one_of(
    st.builds(Fixed, seconds),
    st.builds(LogNormal, seconds, st.floats(0, 3)),
    st.tuples(seconds, seconds).map(lambda pair: Uniform(min(pair), max(pair))),
)


@given(distributions, st.integers(0, 2**32))
def test_a_delay_is_bounded_and_repeats(distribution: Distribution, seed: int) -> None:
    """No draw is negative or longer than any client waits."""
    first = [distribution.draw(Random(seed)) for _ in range(3)]

    assert all(0 <= delay_s <= DELAY_MAX_S for delay_s in first)
    assert [distribution.draw(Random(seed)) for _ in range(3)] == first


@pytest.mark.parametrize("distribution", [Fixed(0.2), Uniform(0.1, 0.3), LogNormal(0.2, 0.5)])
def test_half_the_delays_are_below_the_median(distribution: Distribution) -> None:
    """The median is the one that the distribution says."""
    random = Random(1)

    found = median(distribution.draw(random) for _ in range(20_000))

    assert found == pytest.approx(distribution.median_s, rel=0.02)
    assert distribution.median_s == pytest.approx(0.2)


@pytest.mark.parametrize("wrong", [-0.1, DELAY_MAX_S + 1, float("nan"), float("inf")])
def test_a_delay_that_no_request_could_have_is_refused(wrong: float) -> None:
    """Negative, endless and not a number."""
    with pytest.raises(ValueError, match="seconds"):
        Fixed(wrong)
    with pytest.raises(ValueError, match="seconds"):
        Uniform(0, wrong)
    with pytest.raises(ValueError, match="median_s"):
        LogNormal(wrong, 0.1)


def test_a_distribution_that_contradicts_itself_is_refused() -> None:
    """Bounds in the wrong order, and a spread without bounds."""
    with pytest.raises(ValueError, match="above high_s"):
        Uniform(2, 1)
    with pytest.raises(ValueError, match="sigma"):
        LogNormal(1, float("nan"))
