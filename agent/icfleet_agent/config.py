"""Settings of the agent: each field names its unit, its default and where that comes from."""

from dataclasses import dataclass, field

from icfleet_agent.errors import SettingsError
from icfleet_agent.retry_budget import RetryBudgetConfig

__all__ = ["AgentConfig", "PollingConfig", "RetryConfig"]

INGRESS_EXPIRY_MAX_S = 300.0
"""Seconds. Source: IC interface specification, "Authentication": five minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """How to try again after a failure that may pass."""

    attempts_max: int = 4
    """Tries in all, while nothing is known to have been delivered. Three pauses outlast a replica's
    restart of a process or a broken connection; more is the caller's decision."""

    unproven_max: int = 3
    """Answers to one update that prove nothing, before the agent stops asking that server."""

    delay_first_s: float = 0.25
    """Longest first pause, in seconds. Source: agent-rs waits 250 ms."""

    delay_growth: float = 2.0
    """Factor from one longest pause to the next."""

    delay_max_s: float = 5.0
    """Longest pause, in seconds: an update is sent again about 50 times before it expires."""

    def __post_init__(self) -> None:
        _require("attempts_max must be at least 1", met=self.attempts_max >= 1)
        _require("unproven_max must be at least 1", met=self.unproven_max >= 1)
        _require(
            "need 0 < delay_first_s <= delay_max_s", met=0 < self.delay_first_s <= self.delay_max_s
        )
        _require("delay_growth must be at least 1", met=self.delay_growth >= 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingConfig:
    """How to wait for an update whose answer did not come with the call."""

    delay_first_s: float = 0.5
    """Pause before the first poll, in seconds. Source: agent-rs 0.49."""

    delay_growth: float = 1.4
    """Factor from one pause to the next. Source: agent-rs 0.49."""

    delay_max_s: float = 1.0
    """Longest pause, in seconds. Source: agent-rs 0.49."""

    jitter: float = 0.2
    """Part of each pause that is left to chance, 0 to 1, so that waiters do not march in step."""

    def __post_init__(self) -> None:
        _require(
            "need 0 < delay_first_s <= delay_max_s", met=0 < self.delay_first_s <= self.delay_max_s
        )
        _require("delay_growth must be at least 1", met=self.delay_growth >= 1)
        _require("jitter must be between 0 and 1", met=0 <= self.jitter <= 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """How an agent behaves; the defaults suit mainnet and a local network."""

    query_timeout_s: float = 30.0
    """One query or read_state with all its retries, in seconds. Queries take 0.2 s on mainnet."""

    update_timeout_s: float = 300.0
    """One update with everything it takes to know its fate, in seconds. Source: agent-rs polls for
    5 minutes; a minute longer than ``ingress_expiry_s``, so that the last word can be read."""

    attempt_timeout_s: float = 20.0
    """One HTTP exchange, in seconds. A replica answers a synchronous call within 10 s."""

    ingress_expiry_s: float = 240.0
    """From now until a request can no longer start to run, in seconds. Source: agent-rs, 4 minutes:
    a minute less than the network takes leaves room for clocks that are off."""

    certificate_age_max_s: float = 300.0
    """How far a certificate's or a node's time may lie from ours, either way, in seconds. Source:
    agent-rs and @dfinity/agent, 5 minutes."""

    node_keys_ttl_s: float = 300.0
    """How long a subnet's node keys are kept, in seconds. Source: agent-rs, 5 minutes."""

    reply_size_max: int = 5 * 1024 * 1024
    """Bytes of an answer: a certified reply of 2 MiB or a query's of 3 MiB, and its proof."""

    verify_query_signatures: bool = True
    """Whether a query's answer needs a node's signature. Updates are always verified."""

    fetch_root_key: bool = False
    """Whether to take the root key from a server that is not on this machine. Whoever answers
    there can then forge anything: for test networks only. On loopback it is always taken."""

    polling: PollingConfig = field(default_factory=PollingConfig)
    retry: RetryConfig = field(default_factory=RetryConfig)
    retry_budget: RetryBudgetConfig = field(default_factory=RetryBudgetConfig)

    def __post_init__(self) -> None:
        for name in (
            *("query_timeout_s", "update_timeout_s", "attempt_timeout_s", "ingress_expiry_s"),
            *("certificate_age_max_s", "node_keys_ttl_s", "reply_size_max"),
        ):
            value: float = getattr(self, name)
            _require(f"{name} must be above 0", met=value > 0)
        _require(
            f"ingress_expiry_s must be at most {INGRESS_EXPIRY_MAX_S:.0f}",
            met=self.ingress_expiry_s <= INGRESS_EXPIRY_MAX_S,
        )


def _require(reason: str, *, met: bool) -> None:
    if not met:
        raise SettingsError(reason)
