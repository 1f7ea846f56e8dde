"""Profiles: mainnet's medians come out, scales multiply capacity alone, and labels say "model"."""

import math
from fractions import Fraction
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet.profiles import (
    FAST,
    MAINNET,
    PROFILES,
    Profile,
    ProfileError,
    profile_from,
)

FULL = profile_from("mainnet", 1)
COUNTER_INSTRUCTIONS = 100_000


def _update_latency_s(profile: Profile, random: Random) -> float:
    """What a user waits: to the node, consensus, the next round, execution, certification, back."""
    delays = profile.draw_update(random)
    asked_s = random.uniform(0, profile.round_interval_s)
    ready_s = asked_s + delays.network_s / 2 + delays.consensus_s
    round_s = math.ceil(ready_s / profile.round_interval_s) * profile.round_interval_s
    executed_s = round_s + profile.update_time_s(COUNTER_INSTRUCTIONS)
    return executed_s + delays.certification_s + delays.network_s / 2 - asked_s


def test_an_update_takes_what_was_measured_on_mainnet() -> None:
    """Source: performance.md, June 2025: a median of 1.35 s for a counter on 13 nodes."""
    random = Random(1)

    found = median(_update_latency_s(FULL, random) for _ in range(20_000))

    assert found == pytest.approx(1.35, abs=0.02)


def test_a_query_takes_what_was_measured_on_mainnet() -> None:
    """Source: performance.md, July 2025: a median of 0.167 s."""
    random = Random(1)

    found = median(
        FULL.draw_network_s(random) + FULL.query_time_s(COUNTER_INSTRUCTIONS) for _ in range(20_000)
    )

    assert found == pytest.approx(0.167, abs=0.003)


def test_a_message_reaches_another_subnet_after_two_or_three_rounds() -> None:
    """On mainnet; the fast profile delivers in the next round."""
    random = Random(1)

    assert {MAINNET.draw_cross_subnet_rounds(random) for _ in range(100)} == {2, 3}
    assert {FAST.draw_cross_subnet_rounds(random) for _ in range(100)} == {1}


def test_the_fast_profile_delays_and_limits_nothing() -> None:
    """A round as soon as there is work."""
    delays = FAST.draw_update(Random(1))

    assert (delays.network_s, delays.consensus_s, delays.certification_s) == (0, 0, 0)
    assert (FAST.round_interval_s, FAST.update_time_s(10**12), FAST.query_time_s(10**12)) == (
        0,
        0,
        0,
    )
    assert FAST.instructions_per_second is None


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("1/100", Fraction(1, 100)),
        ("0.01", Fraction(1, 100)),
        (0.01, Fraction(1, 100)),
        (Fraction(1, 7), Fraction(1, 7)),
        ("1", Fraction(1)),
        (1, Fraction(1)),
        (None, Fraction(1, 100)),
    ],
    ids=repr,
)
def test_a_scale_can_be_written_in_several_ways(
    scale: str | float | Fraction | None, expected: Fraction
) -> None:
    """As a fraction or a decimal; without one, mainnet is modelled at a hundredth."""
    assert profile_from("mainnet", scale).scale == expected


@pytest.mark.parametrize(
    "scale",
    [
        *("", "0", "0/1", "1/0", "2", "-1", "1/100/2", "1e-999999999", "ten", "0.0000001"),
        *(0, 1.5, -0.1, float("nan"), float("inf")),
    ],
    ids=repr,
)
def test_a_scale_that_makes_no_sense_is_refused(scale: str | float) -> None:
    """The message says what a scale looks like."""
    with pytest.raises(ProfileError, match="such as 1/100"):
        profile_from("mainnet", scale)


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    """The message lists the choices."""
    with pytest.raises(ProfileError, match="'main': choose one of fast, mainnet"):
        profile_from("main")


def test_the_fast_profile_has_nothing_to_scale() -> None:
    """It has no capacity."""
    with pytest.raises(ProfileError, match="leave the scale out"):
        profile_from("fast", 0.5)


@given(st.fractions(Fraction(1, 1000), 1, max_denominator=1000), st.integers(0, 40 * 10**9))
def test_a_scale_stretches_executions_and_nothing_else(scale: Fraction, instructions: int) -> None:
    """Half the capacity is half the speed; delays, threads and nodes stay."""
    scaled = profile_from("mainnet", scale)

    assert scaled.update_time_s(instructions) * scale == pytest.approx(
        FULL.update_time_s(instructions)
    )
    assert scaled.query_time_s(instructions) * scale == pytest.approx(
        FULL.query_time_s(instructions)
    )
    assert scaled.draw_update(Random(5)) == FULL.draw_update(Random(5))
    assert (scaled.node_count, scaled.capacity) == (13, FULL.capacity)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_a_label_says_that_it_is_a_model(profile: Profile) -> None:
    """Whatever is printed with it cannot be taken for a measurement of mainnet."""
    label = profile.label()

    assert label.startswith(f"Model, not the Internet Computer: profile {profile.name}")
    assert "\n" not in label


def test_a_label_tells_the_scale() -> None:
    """Throughput means nothing without it."""
    assert "capacity multiplied by 1/20" in profile_from("mainnet", 0.05).label()
