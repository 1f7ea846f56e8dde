"""When to ask again for a call's fate: pauses that grow, with some chance, faster after failures.

Source of the figures: agent-rs 0.49 (0.5 s, times 1.4, up to 1 s).
"""

from random import Random

from icfleet_agent.config import PollingConfig, RetryConfig

__all__ = ["Poller"]


class Poller:
    """The pauses of one wait."""

    __slots__ = ("_config", "_failure_s", "_pause_s", "_random", "_retry")

    def __init__(self, config: PollingConfig, retry: RetryConfig, random: Random) -> None:
        self._config = config
        self._retry = retry
        self._random = random
        self._pause_s = config.delay_first_s
        self._failure_s = config.delay_first_s

    def next_delay_s(self, *, has_failed: bool) -> float:
        """Seconds until the next question.

        Args:
            has_failed: Whether the last one went unanswered: then the server needs rest, and the
                pauses grow up to those between retries.
        """
        if has_failed:
            pause_s = self._failure_s
            self._failure_s = min(pause_s * self._retry.delay_growth, self._retry.delay_max_s)
        else:
            pause_s = self._pause_s
            self._pause_s = min(pause_s * self._config.delay_growth, self._config.delay_max_s)
            self._failure_s = self._pause_s
        return pause_s * (1 - self._config.jitter * self._random.random())
