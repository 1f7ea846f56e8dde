"""How often a principal may act: a virtual schedule, one integer each.

The generic cell rate algorithm: a principal's allowance refills steadily, ``window / limit`` for
each unit of weight; its integer is the time at which the allowance is full again, so "in debt"
means "in the future". A burst may use the whole allowance at once, never more, and there is no
edge of a fixed window at which twice the limit passes.

A query keeps nothing it writes, so only updates can charge; ``wait_ns`` is safe to ask anywhere.

Source: ITU-T I.371, annex A, with time in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from icfleet_canister.fleet_errors import ConfigurationError

__all__ = ["DEFAULT_RATE", "ENTRIES_MAX", "IDLE_CUTOFF_NS", "Charge", "Rate", "RateLimiter"]

#: Principals with an integer of their own; about 20 MB of heap.
ENTRIES_MAX = 100_000

#: Of these, kept free of strangers, so that a crowd of fresh principals never locks players out.
RESERVED_FOR_KNOWN = 20_000

#: How long an entry without debt stays before the sweeper takes it: it saves nothing but a lookup.
IDLE_CUTOFF_NS = 10 * 60 * 1_000_000_000

#: Entries looked at to make room for one more: bounds the work of a charge.
EVICTION_TRIES = 8

#: Shared by everybody there is no room for. No principal's text has a space.
OVERFLOW_KEY = "no room"


class Rate(NamedTuple):
    """``limit`` units of weight for each ``window_ns``."""

    limit: int
    window_ns: int

    def cost_ns(self, weight: int) -> int:
        """Return how long ``weight`` units take to refill.

        Raises:
            ConfigurationError: If ``weight`` could never be admitted.
        """
        if not 0 < weight <= self.limit:
            reason = f"weight {weight} under a limit of {self.limit}"
            raise ConfigurationError(reason)
        return self.window_ns * weight // self.limit


#: 100 for each minute.
DEFAULT_RATE = Rate(100, 60 * 1_000_000_000)


class Charge(NamedTuple):
    """A claim on a principal's allowance."""

    key: str
    weight: int = 1
    rate: Rate = DEFAULT_RATE
    is_known: bool = False
    """Known principals may use the reserved entries."""


class RateLimiter:
    """Charge principals, and tell the rest how long to wait.

    Entries live in two generations: whoever is charged moves to the young one, and the sweeper
    empties the old one entry by entry, so that its work can stop and resume anywhere.

    Args:
        entries_max: Bound on the entries of both generations together.
        reserved: Entries of these that strangers may not take.
    """

    def __init__(self, entries_max: int = ENTRIES_MAX, reserved: int = RESERVED_FOR_KNOWN) -> None:
        if not 0 <= reserved < entries_max:
            reason = f"{reserved} of {entries_max} entries reserved"
            raise ConfigurationError(reason)
        self._entries_max = entries_max
        self._reserved = reserved
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self._overflow_full_ns = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def wait_ns(self, charge: Charge, now_ns: int) -> int:
        """Return 0 if the charge would be admitted now, else how long to wait; changes nothing."""
        full_ns = max(self._full_ns(charge), now_ns) + charge.rate.cost_ns(charge.weight)
        return max(full_ns - charge.rate.window_ns - now_ns, 0)

    def admit(self, charges: Sequence[Charge], now_ns: int) -> int:
        """Make all charges and return 0, or make none and return the longest wait in nanoseconds.

        No two charges may have one key.
        """
        wait_ns = max((self.wait_ns(charge, now_ns) for charge in charges), default=0)
        if wait_ns == 0:
            for charge in charges:
                self._store(charge, now_ns)
        return wait_ns

    def fine(self, charge: Charge, now_ns: int) -> None:
        """Make a charge whether or not it would be admitted, down to an empty allowance."""
        self._store(charge, now_ns)

    def next_sweep_ns(self) -> int | None:
        """Return 0 while there are entries to look through, ``None`` when there are none."""
        return 0 if len(self) else None

    def sweep(self, now_ns: int, work_max: int) -> int:
        """Look through up to ``work_max`` old entries and drop the idle ones.

        Returns:
            How many were looked at; fewer than ``work_max`` when a generation is done.
        """
        if not self._old:
            self._old, self._young = self._young, {}
        done = 0
        while done < work_max and self._old:
            key, full_ns = self._old.popitem()
            done += 1
            if full_ns + IDLE_CUTOFF_NS > now_ns:
                self._young[key] = full_ns
        return done

    def _full_ns(self, charge: Charge) -> int:
        full_ns = self._young.get(charge.key)
        if full_ns is None:
            full_ns = self._old.get(charge.key)
        if full_ns is None:
            return 0 if self._has_room(charge) else self._overflow_full_ns
        return full_ns

    def _has_room(self, charge: Charge) -> bool:
        reserved = 0 if charge.is_known else self._reserved
        return len(self) < self._entries_max - reserved

    def _store(self, charge: Charge, now_ns: int) -> None:
        held_ns = max(self._full_ns(charge), now_ns)
        cost_ns = charge.rate.cost_ns(charge.weight)
        full_ns = max(held_ns, min(held_ns + cost_ns, now_ns + charge.rate.window_ns))
        is_listed = charge.key in self._young or charge.key in self._old
        if is_listed or self._has_room(charge):
            self._old.pop(charge.key, None)
            self._young[charge.key] = full_ns
            return
        self._overflow_full_ns = full_ns
        self._make_room(now_ns)

    def _make_room(self, now_ns: int) -> None:
        """Drop entries without debt, so that the next newcomer need not share."""
        if not self._old:
            self._old, self._young = self._young, {}
        for _ in range(min(EVICTION_TRIES, len(self._old))):
            key, full_ns = self._old.popitem()
            if full_ns > now_ns:
                self._young[key] = full_ns
