"""Telling a main that was replaced: it may have been out of reach when that happened.

A forced promotion cannot ask the old main to stop. So the canisters that know of the new epoch send
the old main their position: as one of its replicas that is ahead, which fences it. A call on the
Internet Computer waits for a subnet that is halted, so it is there before any client; a canister
that was stopped meanwhile refuses it and is told again. Only one call at a time is open to each: it
holds cycles, and a canister with an open call can be upgraded, but not stopped.

Whom the log names may not be all: the upstream of a replica that is promoted may have become main
itself, before anybody pulled its records; so may a replica of an old main that is opened again.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["FORMER_MAX", "TELL_FOR_NS", "TELL_LEASE_NS", "TELL_RETRY_NS", "FormerMains"]

#: Canisters told; more than one can only come of promotions in quick succession.
FORMER_MAX = 4

#: How long a former main is told.
TELL_FOR_NS = 24 * 3_600 * 1_000_000_000

#: How long an answer is waited for before it is told anew; by then there is one, or the heap is
#: another, or its subnet is halted and a second call does no harm.
TELL_LEASE_NS = 3_600 * 1_000_000_000

#: Pause after a call that was refused.
TELL_RETRY_NS = 60 * 1_000_000_000


class FormerMains:
    """Who may think it writes the log, and until when it is told.

    Args:
        canisters: Their principals as text, at most ``FORMER_MAX``.
        tell_until_ns: When telling ends.
    """

    def __init__(self, canisters: Sequence[str] = (), tell_until_ns: int = 0) -> None:
        self.canisters = tuple(canisters)
        self.tell_until_ns = tell_until_ns
        self._next_ns: dict[str, int] = {}

    def note(self, canisters: Sequence[str], now_ns: int) -> None:
        """Remember mains that were replaced just now, beside those before that may not know yet."""
        waiting = [one for one in self.canisters if self._next_ns.get(one, 0) < self.tell_until_ns]
        self.canisters = tuple(dict.fromkeys((*canisters, *waiting)))[:FORMER_MAX]
        self.tell_until_ns = now_ns + TELL_FOR_NS
        self._next_ns = {}

    def due(self, now_ns: int) -> str | None:
        """Return whom to tell now, if anybody."""
        if now_ns < self.tell_until_ns:
            for canister in self.canisters:
                if self._next_ns.get(canister, 0) <= now_ns:
                    return canister
        return None

    def asked(self, canister: str, now_ns: int) -> None:
        """Note that a call is under way."""
        self._next_ns[canister] = now_ns + TELL_LEASE_NS

    def answered(self, canister: str, now_ns: int, *, is_told: bool) -> None:
        """Note what became of the call."""
        self._next_ns[canister] = self.tell_until_ns if is_told else now_ns + TELL_RETRY_NS
