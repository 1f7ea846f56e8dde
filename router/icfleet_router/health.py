"""Passive health of one canister, as nginx's ``max_fails`` and ``fail_timeout`` define it.

Source: nginx 1.31, ngx_http_upstream_round_robin.c (the rules, not the code).
"""

from dataclasses import dataclass, field

__all__ = ["Health"]


@dataclass(slots=True)
class Health:
    """Counts a canister's failures, sets it aside, and lets one trial through per time-out.

    As in nginx one number is both the window and the penalty: failures further apart than
    ``fail_timeout_s`` do not add up if a success lies between, and a canister that failed
    ``fails_max`` times is left alone for ``fail_timeout_s``.

    Attributes:
        fails_max: Failures that set a canister aside; nginx's ``max_fails``.
        fail_timeout_s: Seconds.
        fails_count: Failures that still count.
    """

    fails_max: int
    fail_timeout_s: float
    fails_count: int = field(init=False, default=0)
    _failed_at_s: float = field(init=False, default=float("-inf"))
    _checked_at_s: float = field(init=False, default=float("-inf"))

    @property
    def is_down(self) -> bool:
        """Whether the canister is set aside (a trial may still be due)."""
        return self.fails_count >= self.fails_max

    def may_send(self, now_s: float) -> bool:
        """Tell whether a call may go to the canister: it is up, or a trial is due."""
        return not self.is_down or now_s - self._checked_at_s > self.fail_timeout_s

    def sent(self, now_s: float) -> None:
        """Note a call; when the time-out has passed it is the one trial until the next."""
        if now_s - self._checked_at_s > self.fail_timeout_s:
            self._checked_at_s = now_s

    def failed(self, now_s: float) -> None:
        """Charge one failure."""
        self.fails_count += 1
        self._failed_at_s = self._checked_at_s = now_s

    def succeeded(self, started_at_s: float) -> None:
        """Take a success in.

        A canister that is set aside is back with any success of a call that started after its
        last failure (a trial, or one sent because nobody else was left). One that is up starts
        from zero again when the time-out has passed since the last failure, so that a canister
        which fails every other call is still found out.
        """
        if self.is_down:
            is_clear = started_at_s > self._failed_at_s
        else:
            is_clear = self._checked_at_s > self._failed_at_s
        if is_clear:
            self.fails_count = 0
