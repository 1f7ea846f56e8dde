"""Fakes for tests of code that uses the agent: time that does not pass, a network in memory."""

from collections.abc import Callable

from icfleet_agent.errors import ClosedError
from icfleet_agent.transport import HttpMethod, HttpReply

__all__ = ["ManualClock", "MemoryTransport"]


class ManualClock:
    """A clock that moves only when somebody sleeps on it, and then at once.

    Args:
        start_ns: Nanoseconds since 1970 at the beginning.
    """

    def __init__(self, *, start_ns: int = 1_750_000_000_000_000_000) -> None:
        self._start_ns = start_ns
        self._passed_s = 0.0
        self.sleeps_s: list[float] = []
        """How long each sleep was."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self._start_ns + round(self._passed_s * 1e9)

    def now_s(self) -> float:
        """Seconds since the clock was made."""
        return self._passed_s

    async def sleep(self, duration_s: float) -> None:
        """Let so much time pass."""
        self.sleeps_s.append(duration_s)
        self.advance(duration_s)

    def advance(self, duration_s: float) -> None:
        """Let so much time pass."""
        self._passed_s += duration_s


class MemoryTransport:
    """Answers requests by calling a function; counts them.

    Args:
        answer: Given method, URL and body, returns the reply, or raises what a transport raises.
    """

    def __init__(self, answer: Callable[[HttpMethod, str, bytes], HttpReply]) -> None:
        self._answer = answer
        self._is_closed = False
        self.requests: list[tuple[HttpMethod, str, bytes]] = []
        """Every request, in order."""

    async def request(
        self, method: HttpMethod, url: str, body: bytes, *, timeout_s: float, size_max: int
    ) -> HttpReply:
        """See ``Transport.request``; time-out and size are the function's affair."""
        assert timeout_s > 0, timeout_s
        assert size_max > 0, size_max
        if self._is_closed:
            reason = "the transport is closed"
            raise ClosedError(reason)
        self.requests.append((method, url, body))
        return self._answer(method, url, body)

    async def aclose(self) -> None:
        """See ``Transport.aclose``."""
        self._is_closed = True
