"""The fleet's settings, checked at birth."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from icfleet_agent import RetryBudgetConfig
from icfleet_router.balancing import WEIGHT_MAX
from icfleet_router.errors import ConfigError

__all__ = ["DEFAULT_CONFIG", "FleetConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConfig:
    """How to spread reads, gather writes, and when to give up.

    Raises:
        ConfigError: If a value is out of its range.
    """

    query_timeout_s: float = 10.0
    """For a read with all its retries, in seconds."""

    read_attempts_max: int = 3
    """Calls on the wire per read. Source: Google SRE, "Handling Overload": three, no more."""

    read_retries: RetryBudgetConfig = field(default_factory=RetryBudgetConfig)
    """Failed reads that may be tried elsewhere: a fifth of all, and ten a second."""

    fails_max: int = 3
    """Failures that set a canister aside; nginx calls it ``max_fails``."""

    fail_timeout_s: float = 30.0
    """How long it is set aside, in seconds; nginx's ``fail_timeout``."""

    weights: Mapping[str, int] = field(default_factory=dict[str, int])
    """Share of the reads by canister name; 1 where nothing is said."""

    belief_s: float = 0.5
    """How long a replica is left alone after it was seen behind a session, in seconds.

    Replicas pull once a second while there are changes, so sooner would mostly be in vain, and
    later would leave reads on main that a replica could take.
    """

    submit_timeout_s: float = 30.0
    """How long a caller waits for an operation's fate, in seconds."""

    batch_timeout_s: float = 15.0
    """How long one batch may take, in seconds: an update takes 2 s on mainnet, with a long tail."""

    linger_s: float = 0.010
    """How long the first operation of a batch waits for others, in seconds."""

    batch_operations_max: int = 200
    """Operations in one batch; beyond that the cost per operation hardly falls (design, 3)."""

    batch_size_max: int = 1_000_000
    """Bytes of operations in one batch; the canister takes 1.5 MB, a message 2 MiB."""

    batches_in_flight_max: int = 8
    """Batches on the way to main at once; a canister's message queue holds 500."""

    operations_waiting_max: int = 10_000
    """Operations that wait or are on the way; 50 full batches are about a minute of work."""

    retry_delay_first_s: float = 0.1
    """Pause after main's first failure, in seconds; doubles with each further one, jittered."""

    retry_delay_max_s: float = 2.0
    """Longest such pause, in seconds: recovery is noticed within it."""

    drain_timeout_s: float = 10.0
    """How long closing waits for operations on the way, in seconds."""

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                message = f"{name} must be above zero, not {getattr(self, name)!r}"
                raise ConfigError(message)
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                message = f"{name} must not be negative, and it is {getattr(self, name)!r}"
                raise ConfigError(message)
        for name, weight in self.weights.items():
            if not 1 <= weight <= WEIGHT_MAX:
                message = f"the weight of {name} must be 1 to {WEIGHT_MAX}, not {weight}"
                raise ConfigError(message)


_POSITIVE = (
    *("query_timeout_s", "read_attempts_max", "fails_max", "fail_timeout_s", "submit_timeout_s"),
    *("batch_timeout_s", "batch_operations_max", "batch_size_max", "batches_in_flight_max"),
    *("operations_waiting_max", "retry_delay_first_s", "retry_delay_max_s"),
)
_NOT_NEGATIVE = ("belief_s", "linger_s", "drain_timeout_s")

DEFAULT_CONFIG = FleetConfig()
"""Suits mainnet and a local network."""
