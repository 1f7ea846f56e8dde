"""Settings are refused at birth if they make no sense, and keep to the network's limits."""

import pytest

from icfleet_agent import AgentConfig, PollingConfig, RetryConfig
from icfleet_agent.errors import SettingsError


def test_the_defaults_leave_time_to_learn_an_updates_fate() -> None:
    """The last word on a call can be read only after it has expired."""
    config = AgentConfig()

    assert config.ingress_expiry_s + 30 < config.update_timeout_s
    assert config.attempt_timeout_s < config.query_timeout_s


@pytest.mark.parametrize(
    "changes",
    [
        {"query_timeout_s": 0},
        {"update_timeout_s": -1},
        {"attempt_timeout_s": 0},
        {"ingress_expiry_s": 0},
        {"ingress_expiry_s": 301},
        {"certificate_age_max_s": 0},
        {"node_keys_ttl_s": 0},
        {"reply_size_max": 0},
    ],
)
def test_an_agent_refuses_nonsense(changes: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(changes))):
        AgentConfig(**changes)  # type: ignore[arg-type]  # the point is a wrong value


@pytest.mark.parametrize(
    "changes",
    [
        {"attempts_max": 0},
        {"unproven_max": 0},
        {"delay_first_s": 0},
        {"delay_first_s": 9, "delay_max_s": 8},
        {"delay_growth": 0.9},
    ],
)
def test_retries_refuse_nonsense(changes: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        RetryConfig(**changes)  # type: ignore[arg-type]  # the point is a wrong value


@pytest.mark.parametrize(
    "changes",
    [
        {"delay_first_s": 0},
        {"delay_first_s": 9, "delay_max_s": 8},
        {"delay_growth": 0.9},
        {"jitter": 1.1},
        {"jitter": -0.1},
    ],
)
def test_polling_refuses_nonsense(changes: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        PollingConfig(**changes)
