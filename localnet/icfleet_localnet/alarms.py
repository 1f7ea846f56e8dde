"""When canisters want to run by themselves: timers, and heartbeats.

Asking for the next moment, and for those whose moment has come, costs nothing for all the others.
"""

import heapq

from icfleet_protocol.principal import Principal

__all__ = ["Alarms"]

_STALE_MAX = 64
"""Heap entries without meaning that are tolerated beside one for each alarm."""


class Alarms:
    """At most one moment for each canister, in nanoseconds."""

    def __init__(self) -> None:
        self._due: dict[bytes, int] = {}
        self._heap: list[tuple[int, bytes]] = []

    def set(self, canister: Principal, due_ns: int | None) -> None:
        """Set a canister's moment in place of the one before; ``None`` for never."""
        raw = canister.raw
        if self._due.get(raw) == due_ns:
            return
        if due_ns is None:
            del self._due[raw]
            return
        self._due[raw] = due_ns
        heapq.heappush(self._heap, (due_ns, raw))
        if len(self._heap) > 2 * len(self._due) + _STALE_MAX:
            self._heap = [(moment_ns, name) for name, moment_ns in self._due.items()]
            heapq.heapify(self._heap)

    @property
    def first_ns(self) -> int | None:
        """The earliest moment."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now_ns: int) -> list[Principal]:
        """Remove and return those whose moment has come, the earliest first."""
        due: list[Principal] = []
        while (first_ns := self.first_ns) is not None and first_ns <= now_ns:
            raw = heapq.heappop(self._heap)[1]
            del self._due[raw]
            due.append(Principal(raw))
        return due
