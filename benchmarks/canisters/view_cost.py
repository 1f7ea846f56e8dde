"""Views against a dict that is swept on every insert, and against building the board per read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from side_by_side import Comparison, Side, compare

from icfleet_canister import View, ViewCache

__all__ = ["board_results", "results"]

SIZES = (1_000, 10_000, 100_000, 1_000_000)
NOW_NS = 1_700_000_000_000_000_000
TTL_NS = 300_000_000_000
BOARD_SIZE = 10

_TAGS = [frozenset([f"tag {number}"]) for number in range(100)]


def _content() -> int:
    return 1


class SweptCache:
    """What most people write: expired entries go when another comes.

    Nothing ever expires in these runs, so it only looks; removing would cost more.
    """

    def __init__(self, size: int) -> None:
        self.entries = {f"view {number}": (1, NOW_NS + TTL_NS + number) for number in range(size)}
        self._size = size
        self._names = iter(range(size, size + 10**9))

    def insert(self) -> None:
        """Sweep, then insert; its size has no bound."""
        expired = [name for name, (_, expires_ns) in self.entries.items() if expires_ns <= NOW_NS]
        for name in expired:
            del self.entries[name]
        number = next(self._names)
        self.entries[f"view {number}"] = (1, NOW_NS + TTL_NS + number)

    def insert_and_evict(self) -> None:
        """Sweep, insert, and let the oldest go, since the cache is full."""
        self.insert()
        while len(self.entries) > self._size:
            del self.entries[min(self.entries, key=lambda name: self.entries[name][1])]


class FilledCache:
    """A ``ViewCache`` with so many computed views.

    Args:
        size: How many.
        room: How many more it takes.
    """

    def __init__(self, size: int, room: int) -> None:
        self.cache: ViewCache[int] = ViewCache(views_max=size + room)
        for number in range(size):
            self.cache.register(self._view(number))
        self.cache.refresh(NOW_NS, seq=1, budget=size)
        self._names = iter(range(size, size + 10**9))

    def insert(self) -> None:
        """Register a new view; in a full cache the least important oldest one goes."""
        self.cache.register(self._view(next(self._names)))

    def insert_and_compute(self) -> None:
        """And compute it."""
        self.insert()
        self.cache.refresh(NOW_NS, seq=1, budget=1)

    def _view(self, number: int) -> View[int]:
        tags = _TAGS[number % len(_TAGS)]
        return View(f"view {number}", _content, tags=tags, priority=1)


def results() -> Iterator[Comparison]:
    """Compare inserts at 10^3 to 10^6 entries."""
    for size in SIZES:
        calls = max(1, 20_000 // size)
        roomy, full = FilledCache(size, 10**9), FilledCache(size, 0)
        sweep = Side(_times(SweptCache(size).insert), calls, counted=1)
        evict = Side(_times(SweptCache(size).insert_and_evict), calls, counted=1)
        for what, way, peer_name, peer in (
            ("register", roomy.insert, "dict, swept", sweep),
            ("register and compute", roomy.insert_and_compute, "dict, swept", sweep),
            ("register, evict", full.insert, "dict, swept, oldest out", evict),
            ("register, evict, compute", full.insert_and_compute, "the same", evict),
        ):
            yield compare(what, size, Side(_times(way), 1_000), peer_name, peer)


def board_results() -> Iterator[Comparison]:
    """Compare reads of the ten best of 10^3 to 10^6 players."""
    for size in SIZES:
        scores = {f"player {number}": number * 7_919 % size for number in range(size)}
        cache: ViewCache[list[tuple[str, int]]] = ViewCache()

        def build(scores: dict[str, int] = scores) -> list[tuple[str, int]]:
            return sorted(scores.items(), key=lambda each: each[1], reverse=True)[:BOARD_SIZE]

        def read(
            cache: ViewCache[list[tuple[str, int]]] = cache,
        ) -> list[tuple[str, int]] | None:
            view = cache.read("leaderboard")
            return None if view is None or view.value is None else view.value.content

        cache.register(View("leaderboard", build, tags=["scores"]))
        cache.refresh(NOW_NS, seq=1, budget=1)
        assert read() == build()
        peer = Side(_times(build), max(1, 100_000 // size), counted=1)
        yield compare("read the view", size, Side(_times(read), 100_000), "sort per read", peer)


def _times(way: Callable[[], object]) -> Callable[[int], None]:
    def run(calls: int) -> None:
        for _ in range(calls):
            way()

    return run
