"""How often a principal may act: a virtual schedule, one integer each.

The generic cell rate algorithm: a principal's allowance refills steadily, one unit of weight in
``unit_ns``; its integer is the time at which the allowance is full again, so "in debt" means "in
the future". A burst may use the whole allowance at once, never more, and there is no edge of a
fixed window at which twice the limit passes: in any span of ``t`` nanoseconds a principal is
admitted at most ``limit + t * limit / window`` units, and one that asks for no more than a unit
each ``unit_ns`` is never refused.

A query keeps nothing it writes, so only updates can charge; ``wait_ns`` is safe to ask anywhere.

Source: ITU-T I.371, annex A, with time in nanoseconds.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
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

#: Stand for the shared buckets among the debts. No principal's text has a space.
OVERFLOW_KEY = "no room"
OVERFLOW_KEY_OF_KNOWN = "no room, known"


class Rate(NamedTuple):
    """``limit`` units of weight for each ``window_ns``."""

    limit: int
    window_ns: int

    @property
    def unit_ns(self) -> int:
        """How long one unit takes to refill, rounded up so that the limit is never exceeded."""
        return -(-self.window_ns // self.limit)

    @property
    def capacity_ns(self) -> int:
        """How long the whole allowance takes to refill: the window, but for the rounding."""
        return self.unit_ns * self.limit


#: 100 for each minute.
DEFAULT_RATE = Rate(100, 60 * 1_000_000_000)


class Charge(NamedTuple):
    """A claim on a principal's allowance."""

    key: str
    weight: int = 1
    rate: Rate | None = None
    """``None``: the limiter's default, under which a weight above the limit is the limit."""
    is_known: bool = False
    """Known principals may use the reserved entries."""


class RateLimiter:
    """Charge principals, and tell the rest how long to wait.

    Entries live in two generations: whoever is charged moves to the young one. When the old one
    has been left alone for longer than any debt lasts, it is dropped whole, at no cost for each
    entry, and the young one takes its place.

    Whoever there is no room for shares a bucket: one for the known, one for strangers. A newcomer
    starts with the debt of its bucket, because it may be one of those who made it: so nobody gets
    more than its rate by being evicted or by coming twice.

    Args:
        entries_max: Bound on the entries of both generations together.
        reserved: Entries of these that strangers may not take.
        default: Rate of charges that name none.
    """

    def __init__(
        self,
        entries_max: int = ENTRIES_MAX,
        reserved: int = RESERVED_FOR_KNOWN,
        default: Rate = DEFAULT_RATE,
    ) -> None:
        if not 0 <= reserved < entries_max:
            reason = f"{reserved} of {entries_max} entries reserved"
            raise ConfigurationError(reason)
        self._entries_max = entries_max
        self._reserved = reserved
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}
        # The old one's keys, the one to look at next at the end; made when room is wanted.
        self._old_keys: list[str] = []
        self._rotated_at_ns = 0
        self._bucket_ns = 0
        self._bucket_of_known_ns = 0
        # No debt is longer than this: entries are stored at ``now_ns`` plus it, at most.
        self._longest_ns = 0
        # The last rate that a charge named, with its unit and capacity.
        self._priced: tuple[Rate | None, int, int] = (None, 0, 0)
        self._default: Rate
        self._unit_ns: int
        self._capacity_ns: int
        # The largest debt that leaves room for one unit.
        self._slack_ns: int
        self.admitted = 0
        """Charges that were made, since the heap was made; so are the other figures."""
        self.limited = 0
        """Charges that were not made, nor any that came with them."""
        self.evicted = 0
        """Entries dropped, all without debt."""
        self.overflowed = 0
        """Charges made to a shared bucket."""
        self.set_default(default)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    @property
    def default(self) -> Rate:
        """Rate of charges that name none."""
        return self._default

    def set_default(self, rate: Rate) -> None:
        """Use another rate from now on; debts stay what they are.

        Raises:
            ConfigurationError: If the rate could never admit anything.
        """
        if rate.limit < 1 or rate.window_ns < 1:
            reason = f"a rate of {rate.limit} in {rate.window_ns} ns"
            raise ConfigurationError(reason)
        self._default = rate
        self._unit_ns = rate.unit_ns
        self._capacity_ns = rate.capacity_ns
        self._slack_ns = self._capacity_ns - self._unit_ns
        self._longest_ns = max(self._longest_ns, self._capacity_ns)

    def wait_ns(self, charge: Charge, now_ns: int) -> int:
        """Return 0 if the charge would be admitted now, else how long to wait; changes nothing."""
        cost_ns, capacity_ns = self._price(charge)
        full_ns = max(self._full_ns(charge.key, is_known=charge.is_known), now_ns) + cost_ns
        return max(full_ns - capacity_ns - now_ns, 0)

    def admit_one(self, key: str, now_ns: int) -> int:
        """Do as ``admit`` for one unit at the default rate, in the fewest instructions.

        Who has no entry yet is taken for a stranger.
        """
        try:
            full_ns = self._young[key]
        except KeyError:
            return self._admit_all((Charge(key),), now_ns)
        if full_ns < now_ns:  # noqa: PLR1730 - this is the hot path, and ``max`` is a call
            full_ns = now_ns
        if full_ns - now_ns > self._slack_ns:
            self.limited += 1
            return full_ns - now_ns - self._slack_ns
        self._young[key] = full_ns + self._unit_ns
        self.admitted += 1
        return 0

    def admit(self, charges: Sequence[Charge], now_ns: int) -> int:
        """Make all charges and return 0, or make none and return the longest wait in nanoseconds.

        Charges of one key, or of one shared bucket, add up.

        Raises:
            ConfigurationError: If a charge names a rate under which its weight can never pass.
        """
        if len(charges) == 1:
            key, weight, rate, _ = charges[0]
            if weight == 1 and rate is None and key in self._young:
                return self.admit_one(key, now_ns)
        return self._admit_all(charges, now_ns)

    def fine(self, charge: Charge, now_ns: int) -> None:
        """Make a charge whether or not it would be admitted, down to an empty allowance."""
        cost_ns, capacity_ns = self._price(charge)
        self._place(charge, now_ns)
        held_ns = max(self._full_ns(charge.key, is_known=charge.is_known), now_ns)
        self._store(charge, max(held_ns, min(held_ns + cost_ns, now_ns + capacity_ns)))

    def large_debts(self, now_ns: int, max_entries: int) -> list[tuple[str, int]]:
        """Return who owes half a default window or more, and when each is out of debt.

        The largest first, up to ``max_entries``; what is left out is forgiven at an upgrade, as
        all smaller debts are. Looks at each entry once.
        """
        least_ns = now_ns + self._default.window_ns // 2
        large = ((full_ns, key) for key, full_ns in self._debts() if full_ns >= least_ns)
        return [(key, full_ns) for full_ns, key in heapq.nlargest(max_entries, large)]

    def restore_debts(self, debts: Iterable[tuple[str, int]], now_ns: int) -> None:
        """Take in what ``large_debts`` returned, on top of what has been charged since."""
        for key, full_ns in debts:
            debt_ns = full_ns - now_ns
            if debt_ns <= 0:
                continue
            self._longest_ns = max(self._longest_ns, debt_ns)
            if key == OVERFLOW_KEY_OF_KNOWN:
                self._bucket_of_known_ns = max(self._bucket_of_known_ns, full_ns)
            elif key == OVERFLOW_KEY or not (self._is_listed(key) or len(self) < self._entries_max):
                self._bucket_ns = max(self._bucket_ns, full_ns)
            else:
                since_ns = max(self._young.get(key, 0), self._old.pop(key, 0)) - now_ns
                self._young[key] = full_ns + max(since_ns, 0)
                self._longest_ns = max(self._longest_ns, self._young[key] - now_ns)

    def next_sweep_ns(self) -> int | None:
        """Return when a generation may be dropped; ``None`` when there are no entries."""
        return self._rotated_at_ns + self._lifetime_ns if len(self) else None

    def sweep(self, now_ns: int, work_max: int) -> int:  # noqa: ARG002 - one step is all it takes
        """Drop the generation that has been idle for long enough; return the steps taken."""
        if now_ns < self._rotated_at_ns + self._lifetime_ns or not len(self):
            return 0
        self.evicted += len(self._old)
        self._rotate(now_ns)
        return 1

    @property
    def _lifetime_ns(self) -> int:
        return max(IDLE_CUTOFF_NS, self._longest_ns)

    def _admit_all(self, charges: Sequence[Charge], now_ns: int) -> int:
        wait_ns = 0
        young = self._young
        held: dict[str, int] = {}
        for charge in charges:
            key, weight, rate, _ = charge
            if key not in young or key in held:
                return self._admit_any(charges, now_ns)
            if rate is None and weight == 1:
                cost_ns, capacity_ns = self._unit_ns, self._capacity_ns
            else:
                cost_ns, capacity_ns = self._price(charge)
            full_ns = young[key]
            if full_ns < now_ns:  # noqa: PLR1730 - as in ``admit_one``
                full_ns = now_ns
            full_ns += cost_ns
            held[key] = full_ns
            if full_ns - now_ns > wait_ns + capacity_ns:
                wait_ns = full_ns - now_ns - capacity_ns
        if wait_ns:
            self.limited += len(charges)
            return wait_ns
        young.update(held)
        self.admitted += len(charges)
        return 0

    def _admit_any(self, charges: Sequence[Charge], now_ns: int) -> int:
        """Do as ``admit`` for charges some of which have no entry, or share one."""
        wait_ns = 0
        stores: list[tuple[Charge, int]] = []
        held: dict[str, int] = {}
        for charge in charges:
            cost_ns, capacity_ns = self._price(charge)
            place = charge.key
            full_ns = held.get(place) or self._young.get(place)
            if full_ns is None:
                place = self._place(charge, now_ns)
                full_ns = held.get(place) or self._full_ns(charge.key, is_known=charge.is_known)
            full_ns = max(full_ns, now_ns) + cost_ns
            wait_ns = max(wait_ns, full_ns - now_ns - capacity_ns)
            held[place] = full_ns
            stores.append((charge, full_ns))
        if wait_ns:
            self.limited += len(stores)
            return wait_ns
        for charge, full_ns in stores:
            self._store(charge, full_ns)
        self.admitted += len(stores)
        return 0

    def _rotate(self, now_ns: int) -> None:
        # Whatever was stored until now is out of debt when ``_longest_ns`` has passed.
        self._old, self._young = self._young, {}
        self._old_keys = []
        self._rotated_at_ns = now_ns

    def _price(self, charge: Charge) -> tuple[int, int]:
        """Return what a charge costs, and what it may cost with all that is owed before it."""
        _, weight, rate, _ = charge
        if rate is None:
            if weight < 1:
                reason = f"weight {weight}"
                raise ConfigurationError(reason)
            return min(weight * self._unit_ns, self._capacity_ns), self._capacity_ns
        if not 0 < weight <= rate.limit:
            reason = f"weight {weight} under a limit of {rate.limit}"
            raise ConfigurationError(reason)
        priced = self._priced
        if priced[0] != rate:
            priced = self._priced = (rate, rate.unit_ns, rate.capacity_ns)
            self._longest_ns = max(self._longest_ns, rate.capacity_ns)
        return weight * priced[1], priced[2]

    def _is_listed(self, key: str) -> bool:
        return key in self._young or key in self._old

    def _full_ns(self, key: str, *, is_known: bool) -> int:
        full_ns = self._young.get(key)
        if full_ns is None:
            full_ns = self._old.get(key)
        if full_ns is None:
            return self._bucket_of_known_ns if is_known else self._bucket_ns
        return full_ns

    def _has_room(self, *, is_known: bool) -> bool:
        reserved = 0 if is_known else self._reserved
        return len(self) < self._entries_max - reserved

    def _place(self, charge: Charge, now_ns: int) -> str:
        """Return where a charge goes, and make room for it when it is new."""
        key = charge.key
        if self._is_listed(key):
            return key
        if not self._has_room(is_known=charge.is_known):
            self._make_room(now_ns)
            if not self._has_room(is_known=charge.is_known):
                return OVERFLOW_KEY_OF_KNOWN if charge.is_known else OVERFLOW_KEY
        return key

    def _store(self, charge: Charge, full_ns: int) -> None:
        key, _, _, is_known = charge
        if key in self._young:
            self._young[key] = full_ns
            return
        if key in self._old or self._has_room(is_known=is_known):
            self._old.pop(key, None)
            self._young[key] = full_ns
            return
        self.overflowed += 1
        if is_known:
            self._bucket_of_known_ns = max(self._bucket_of_known_ns, full_ns)
        else:
            self._bucket_ns = max(self._bucket_ns, full_ns)

    def _make_room(self, now_ns: int) -> None:
        """Drop a few entries without debt, those first that came first."""
        if not self._old:
            self._rotate(now_ns)
        if not self._old_keys:
            self._old_keys = list(self._old)
            self._old_keys.reverse()
        for _ in range(min(EVICTION_TRIES, len(self._old_keys))):
            key = self._old_keys.pop()
            full_ns = self._old.pop(key, None)
            if full_ns is None:
                continue
            if full_ns > now_ns:
                self._young[key] = full_ns
            else:
                self.evicted += 1

    def _debts(self) -> Iterator[tuple[str, int]]:
        yield from self._young.items()
        yield from self._old.items()
        yield OVERFLOW_KEY, self._bucket_ns
        yield OVERFLOW_KEY_OF_KNOWN, self._bucket_of_known_ns
