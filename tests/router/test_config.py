"""The fleet's settings."""

from typing import Any

import pytest

from icfleet_router import ConfigError, FleetConfig


def test_the_defaults_are_the_documented_ones() -> None:
    """nginx's words, and what the design promises."""
    config = FleetConfig()

    assert (config.fails_max, config.fail_timeout_s) == (3, 30.0)
    assert (config.linger_s, config.batch_operations_max) == (0.010, 200)
    assert config.batch_size_max == 1_000_000
    assert config.read_attempts_max == 3


@pytest.mark.parametrize(
    "setting",
    [
        {"query_timeout_s": 0},
        {"read_attempts_max": 0},
        {"fails_max": 0},
        {"linger_s": -0.1},
        {"belief_s": -1},
        {"batch_operations_max": 0},
        {"weights": {"replica_1": 0}},
        {"weights": {"replica_1": 1001}},
        {"submit_timeout_s": float("nan")},
    ],
    ids=str,
)
def test_nonsense_is_refused_at_birth(setting: dict[str, Any]) -> None:
    """The message names the setting."""
    with pytest.raises(ConfigError, match=next(iter(setting)).removesuffix("s")):
        FleetConfig(**setting)
