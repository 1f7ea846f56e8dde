"""The course of one update: what is known of it, and what each failure means, as plain decisions.

The rule behind them: once a request may have reached the network, nothing but a certificate tells
what became of it. Until then the same bytes may be sent again as often as need be, because the
network runs one request id once.
"""

from icfleet_agent.call import Missing
from icfleet_agent.config import RetryConfig
from icfleet_agent.errors import AgentError, MalformedReplyError, UnverifiedReplyError

__all__ = ["STATUS_KEPT_S", "Course"]

STATUS_KEPT_S = 290.0
"""Seconds that the network keeps an outcome after it is reached: five minutes, less some slack.
Past that, not to know a request no longer means that it never ran. Source: dfinity/ic,
``MAX_INGRESS_TTL``."""

_UNPROVEN = (MalformedReplyError, UnverifiedReplyError)


class Course:
    """What is known of one update on its way, and what each failure means for it."""

    __slots__ = ("_can_resend", "_config", "_expiry_ns", "_may_have_arrived", "_unproven_count")

    def __init__(self, config: RetryConfig, *, ingress_expiry_ns: int, can_resend: bool) -> None:
        self._config = config
        self._expiry_ns = ingress_expiry_ns
        self._can_resend = can_resend
        self._may_have_arrived = False
        self._unproven_count = 0

    @property
    def may_have_arrived(self) -> bool:
        """Whether the network may have the call."""
        return self._may_have_arrived

    def note_accepted(self) -> None:
        """A node took the call."""
        self._may_have_arrived = True

    def note_failure(self, error: AgentError) -> None:
        """Sending, or asking, has failed like this."""
        if not error.is_without_effect:
            self._may_have_arrived = True
        if isinstance(error, _UNPROVEN):
            self._unproven_count += 1

    def should_resend(self, error: AgentError, attempts: int, *, now_ns: int) -> bool:
        """Whether to send the same bytes again after this failure of sending them."""
        if not self._can_resend or now_ns >= self._expiry_ns:
            return False
        if not self._may_have_arrived:
            return error.is_retryable and attempts < self._config.attempts_max
        return self._is_passing(error)

    def should_ask(self, error: AgentError, *, now_ns: int) -> bool:
        """Whether to ask for the fate, when sending has ended with this failure.

        There is no point in asking a server that does not answer at all. But one that refuses what
        may have arrived before, or finds it expired by now, can tell what became of it.
        """
        if not self._may_have_arrived or not self._can_resend:
            return False
        return now_ns >= self._expiry_ns or not (error.is_retryable or isinstance(error, _UNPROVEN))

    def should_ask_again(self, error: AgentError) -> bool:
        """Whether to go on asking after this failure to learn the fate."""
        return self._is_passing(error)

    def is_never_executed(self, missing: Missing, *, elapsed_s: float) -> bool:
        """Whether the network's not knowing the call proves that it has not run and never will.

        Args:
            missing: The network's word, with its time.
            elapsed_s: Seconds since the call was first sent.
        """
        return missing.time_ns > self._expiry_ns and elapsed_s < STATUS_KEPT_S

    def _is_passing(self, error: AgentError) -> bool:
        if isinstance(error, _UNPROVEN):
            return self._unproven_count < self._config.unproven_max
        return error.is_retryable
