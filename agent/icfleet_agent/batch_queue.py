"""Which items leave together, and when: the decisions of group commit, without I/O or clock.

Items may have keys. What shares a key with a batch on its way waits for that batch, and nothing
overtakes an item that it shares a key with. So a player's operations keep their order and are never
in two batches at once.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from icfleet_agent.errors import QueueFullError, SettingsError

__all__ = ["Batch", "BatchQueue", "Entry", "GroupCommitConfig", "Linger"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCommitConfig:
    """When a batch is full, and when it leaves anyway."""

    linger_s: float = 0.02
    """How long the first item waits for company, in seconds: a fiftieth of an update's latency."""

    items_max: int = 200
    """Items in a batch. From there on an item's own cost, not the message's, is what counts."""

    size_max: int = 1_500_000
    """Bytes in a batch. Source: an ingress message has 2 MiB, some of them its envelope."""

    batches_in_flight_max: int = 4
    """Batches on their way at once; the canister executes one message at a time anyway."""

    waiting_max: int = 10_000
    """Items waiting; more are refused, because nobody waits that long for them."""

    def __post_init__(self) -> None:
        limits = (self.items_max, self.size_max, self.batches_in_flight_max, self.waiting_max)
        if self.linger_s < 0 or min(limits) < 1:
            reason = f"need linger_s >= 0 and every limit at least 1, got {self!r}"
            raise SettingsError(reason)


@dataclass(eq=False, slots=True)
class Entry(Generic[T]):
    """One item in the queue."""

    item: T
    size: int
    keys: frozenset[Hashable]
    since_s: float
    is_withdrawn: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Batch(Generic[T]):
    """Items that leave together, in the order they came."""

    entries: tuple[Entry[T], ...]

    @property
    def items(self) -> list[T]:
        """What was submitted."""
        return [entry.item for entry in self.entries]


@dataclass(frozen=True, slots=True)
class Linger:
    """Nothing leaves now; ask again after so many seconds, or when something changes."""

    delay_s: float


class BatchQueue(Generic[T]):
    """Items that wait, and batches that are on their way."""

    def __init__(self, config: GroupCommitConfig) -> None:
        self._config = config
        self._waiting: list[Entry[T]] = []
        self._waiting_size = 0
        self._in_flight: list[Batch[T]] = []

    def __len__(self) -> int:
        """Items waiting."""
        return len(self._waiting)

    @property
    def batches_in_flight(self) -> int:
        """Batches taken and not finished."""
        return len(self._in_flight)

    @property
    def may_fill_a_batch(self) -> bool:
        """Whether enough waits that ``take`` could answer with a batch before its time."""
        is_many = len(self._waiting) >= self._config.items_max
        return is_many or self._waiting_size >= self._config.size_max

    def add(self, item: T, *, size: int, keys: frozenset[Hashable], now_s: float) -> Entry[T]:
        """Put an item at the end of the queue.

        Raises:
            QueueFullError: If too many wait already.
            SettingsError: If the item alone is larger than a batch may be.
        """
        if size > self._config.size_max:
            reason = f"an item of {size} bytes, a batch holds {self._config.size_max}"
            raise SettingsError(reason)
        if len(self._waiting) >= self._config.waiting_max:
            reason = f"{len(self._waiting)} items are waiting already"
            raise QueueFullError(reason)
        entry = Entry(item, size, keys, now_s)
        self._waiting.append(entry)
        self._waiting_size += size
        return entry

    def withdraw(self, entry: Entry[T]) -> None:
        """Let an item not leave, if it has not left yet."""
        entry.is_withdrawn = True

    def take(self, *, now_s: float, is_closing: bool = False) -> Batch[T] | Linger | None:
        """Take out the next batch that should leave now.

        Args:
            now_s: Seconds of a steady clock.
            is_closing: Whether to wait for company no longer.

        Returns:
            A batch, a time to wait, or ``None`` when only a finished batch can change anything.
        """
        if len(self._in_flight) >= self._config.batches_in_flight_max:
            return None
        self._keep([entry for entry in self._waiting if not entry.is_withdrawn])
        taken, is_full = self._select()
        if not taken:
            return None
        waited_s = now_s - taken[0].since_s
        if not (is_full or is_closing) and waited_s < self._config.linger_s:
            return Linger(self._config.linger_s - waited_s)
        chosen = set(map(id, taken))
        self._keep([entry for entry in self._waiting if id(entry) not in chosen])
        batch = Batch(tuple(taken))
        self._in_flight.append(batch)
        return batch

    def finish(self, batch: Batch[T]) -> None:
        """Free the keys of a batch whose items' fate is known."""
        self._in_flight.remove(batch)

    def drop_waiting(self) -> list[T]:
        """Take out everything that waits; it will never leave."""
        items = [entry.item for entry in self._waiting]
        self._keep([])
        return items

    def drop_in_flight(self) -> list[T]:
        """Forget every batch on its way; nobody will tell how it ended."""
        items = [item for batch in self._in_flight for item in batch.items]
        self._in_flight.clear()
        return items

    def _keep(self, entries: list[Entry[T]]) -> None:
        self._waiting = entries
        self._waiting_size = sum(entry.size for entry in entries)

    def _select(self) -> tuple[list[Entry[T]], bool]:
        """Choose items from the front, and tell whether no more fit."""
        on_their_way = (entry for batch in self._in_flight for entry in batch.entries)
        blocked = {key for entry in on_their_way for key in entry.keys}
        taken: list[Entry[T]] = []
        size = 0
        for entry in self._waiting:
            if not blocked.isdisjoint(entry.keys):
                # Whoever shares a key with an item that waits must not overtake it.
                blocked |= entry.keys
                continue
            if size + entry.size > self._config.size_max:
                return taken, True
            taken.append(entry)
            size += entry.size
            if len(taken) == self._config.items_max:
                return taken, True
        return taken, False
