"""Approximated WebAssembly instructions of a message: the prices, and the meter that adds them up.

A compiled canister's work cannot be measured natively, so it is modelled. ``instrumentation``
gives each function entry, loop pass and block of statements a price from ``PRICES``, by its
syntax alone; the host adds the prices of its own work. So the same code on the same input counts
the same on every machine, and an endless loop ends.

How good the model is: it was fitted to four published programs and an empty query, and is within
15 % of those (``test_metering`` repeats them). Nothing else could be compared; for code made of
loops, calls, arithmetic and containers we expect a factor of two either way. It is worse, and
always too low, where much happens below the canister's own statements:

- loops inside the interpreter or the standard library: ``sum(range(10**9))``, ``sorted``,
  ``in`` on a list, long strings, ``json``, ``hashlib``, generated methods of dataclasses. They
  are not seen at all, nor stopped here; an executor that runs canisters in processes of their own
  can end them.
- code made by ``exec`` and ``eval``.

Branches of a few statements are priced at their average, larger ones when they are taken. What
starting the interpreter costs at an install is not counted: ``BOOT_INSTRUCTIONS``.

Counting costs the machine some 10 ns for a pass of ``for`` or ``while``, 20 ns for a call and 3 us
for a message. Measured 2026-11: a method of object and dict work is 19 % slower, a ``for`` loop of
one ``if`` 28 %, recursion of one line 49 %, an empty ``while`` 60 %.

Sources: the benchmark canister of ``smart-social-contracts/basilisk`` (README and
``benchmarks``, PocketIC, 2026-05, column RustPython): 500 dict inserts and look-ups 23.1 M,
500 appends and a sort 5.82 M, 100 string concatenations 2.14 M, ``fib(20)`` by recursion 29.6 M in
CPython, times 7 to 10; ``Sweet-Papa-Technologies/PYRE`` (mainnet and PocketIC, 2026-07): an empty
Kybra query 40.8 k, a boot some 150 G; ``dfinity/canister-profiling`` (2024-11): a stable B-tree
get 58 k, put 106 k, remove 178 k.
"""

import gc
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from operator import length_hint, mul
from typing import Any, NoReturn, Self

__all__ = [
    "BOOT_INSTRUCTIONS",
    "EACH",
    "PRICES",
    "Meter",
    "Prices",
    "Source",
    "weight_of",
]

BOOT_INSTRUCTIONS = 150_000_000_000
"""What an install or upgrade spends before the canister's first line, and no ``Outcome`` counts.

Measured by PYRE as 63.24 G cycles, when an instruction cost 0.4. Whoever charges or limits
installs as mainnet does must add it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Instructions of RustPython, and of Kybra's host around it, in WebAssembly."""

    name: int = 300
    """To load or store a variable, or load a constant."""
    attribute: int = 1_200
    operation: int = 1_200
    """An arithmetic operation, comparison or test."""
    subscript: int = 2_500
    store_subscript: int = 3_500
    call_method: int = 5_000
    call_function: int = 4_000
    call_type: int = 17_000
    """``str(x)``, ``list(x)``: looked up among the builtins, and through ``type.__call__``."""
    display: int = 1_500
    """A list, tuple, dict, set or f-string, without its items."""
    item: int = 400
    """Each item of a display, and each argument of a call."""
    statement: int = 300
    entry: int = 1_500
    """To enter a function or resume a generator for the first time."""
    define_function: int = 3_000
    define_class: int = 40_000
    import_: int = 20_000
    raise_: int = 5_000
    enter_try: int = 500
    enter_with: int = 6_000
    yield_: int = 2_000
    start_loop: int = 1_500
    loop_pass: int = 2_000

    message: int = 38_000
    """Any message: dispatch, candid header, reply."""
    host_call: int = 5_000
    candid_byte: int = 40
    """A byte decoded or encoded, with the Python value made of it or read for it."""
    raw_byte: int = 5
    """A byte copied into or out of stable memory."""
    printed_byte: int = 10
    map_get: tuple[int, int] = (15_000, 3_000)
    """Of a stable map: at least, and for each doubling of its size."""
    map_insert: tuple[int, int] = (30_000, 5_000)
    map_remove: tuple[int, int] = (50_000, 8_000)
    map_listed: int = 5_000
    """Each item of ``keys``, ``values`` or ``items``."""

    def of_map(self, price: tuple[int, int], size: int) -> int:
        """Return the price of an operation on a stable map of ``size`` items."""
        return price[0] + price[1] * size.bit_length()


PRICES = Prices()

_UNIT = 1_000
"""Instructions. Weights are multiples of it."""

_WEIGHTS = (1, 2, 3, 5, 8, 12, 20, 32, 50, 80, 128, 200, 320, 500, 800, 1_300, 2_000)
"""In units. A block's price is rounded to the nearest, at most 27 % off, so that a canister has
few counters, which cost a fraction of a microsecond each with every message."""

_CHUNK = 1_024
"""Ticks between two looks at the limit. A message ends at most so many ticks late, which changes
nothing that can be seen: what it did is undone, and counts as exactly the limit."""

_CHAIN_MAX = 50
"""Exceptions, more than anybody reads in a traceback."""

EACH = ".each"
"""Name of ``itertools.compress`` among the builtins of instrumented code.

It gives the items of one iterable and takes a tick of another for each; that is all in C, which
is why counting a pass of a loop costs some 10 ns and not 40.
"""


@dataclass(frozen=True, slots=True)
class Source:
    """Where instrumented code takes ticks of one weight."""

    weight: int
    is_pass: bool = False
    """Whether each tick is an empty tuple, for a ``while`` loop to unpack, and not ``True``."""

    @property
    def name(self) -> str:
        """How code finds it among its builtins: no identifier of Python's."""
        return f".pass{self.weight}" if self.is_pass else f".tick{self.weight}"


def weight_of(instructions: int) -> int:
    """Return the weight nearest to a price."""
    units = max(instructions / _UNIT, 1)
    return min(_WEIGHTS, key=lambda weight: abs(math.log(weight / units)))


class _Look(itertools.chain[object]):
    """Between two chunks: an iterator of nothing, which looks at the limit when it is asked.

    Near the recursion limit there is no frame left to look in. The exception that comes of it,
    or of the look itself, leaves all iterators in C as they are, and so the look stays to be made:
    nobody gets a tick before it was. What it inherits is ``__iter__`` in C, which takes no frame.
    """

    def __new__(
        cls, check: Callable[[], None], begin_chunk: Callable[[int], None], weight: int
    ) -> Self:
        del check, begin_chunk, weight
        return super().__new__(cls)

    def __init__(
        self, check: Callable[[], None], begin_chunk: Callable[[int], None], weight: int
    ) -> None:
        self._check = check
        self._begin_chunk = begin_chunk
        self._weight = weight

    def __next__(self) -> NoReturn:
        handled = sys.exception()
        if handled is not None:
            _cut_chain(handled)
        self._check()
        self._begin_chunk(self._weight)
        raise StopIteration


def _cut_chain(error: BaseException) -> None:
    """Forget what an exception was raised after, beyond some others.

    Python walks this chain for each exception that is raised in a handler. Code that goes on in
    handlers for ever makes it longer all the time, and so would take hours to its limit.
    """
    for _ in range(_CHAIN_MAX):
        before = error.__context__
        if before is None:
            return
        error = before
    error.__context__ = None


class _Counter:
    """Ticks of one source. Taking them is all in C; here they are counted from the outside."""

    __slots__ = ("ticks", "weight")

    def __init__(self, source: Source, look: _Look) -> None:
        self.weight = source.weight
        tick: object = () if source.is_pass else True
        self.ticks = itertools.chain.from_iterable(itertools.cycle(((tick,) * _CHUNK, look)))
        next(self.ticks)  # So that it always holds a chunk, or the look after it.


class _Stopper:
    """Stands for all ticks once the limit is passed: whoever takes one is stopped again."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def __iter__(self) -> "_Stopper":
        return self

    def __next__(self) -> object:
        self._check()
        return True

    def __contains__(self, tick: object) -> bool:
        self._check()
        return True


class Meter:
    """Counts the instructions of one canister, a message at a time.

    Args:
        stop: Ends the message because it passed the limit, by raising.
    """

    def __init__(self, stop: Callable[[int], NoReturn]) -> None:
        self._stop = stop
        self._names: MutableMapping[str, Any] = {}
        self._stopper = _Stopper(self.check)
        self._counters: dict[Source, _Counter] = {}
        self._ticks: list[Iterator[object]] = []
        self._weights: list[int] = []
        self._begun = 0
        """In units; of all chunks that counters have begun, their ends included."""
        self._limit = 0
        self._started = 0
        self._ended: int | None = None
        """What the counters said at the end of the last message; ``None`` if they went on."""
        self._charged = 0
        self._is_stopped = False

    @property
    def objects(self) -> list[object]:
        """What instrumented code holds of the meter, which is the host's and never undone."""
        return [*self._ticks]

    @property
    def used(self) -> int:
        """Instructions of this message so far."""
        return self._charged + self._read() - self._started

    def serve(self, names: MutableMapping[str, Any]) -> None:
        """Put ticks among these builtins, where the canister's code finds them."""
        self._names = names
        names[EACH] = itertools.compress

    def provide(self, sources: Iterable[Source]) -> None:
        """Make counters for code that is about to be run."""
        for source in sources:
            if source not in self._counters:
                look = _Look(self.check, self._begin_chunk, source.weight)
                self._counters[source] = counter = _Counter(source, look)
                self._begun += (_CHUNK - 1) * counter.weight
                self._names[source.name] = self._stopper if self._is_stopped else counter.ticks
        self._ticks = [counter.ticks for counter in self._counters.values()]
        self._weights = [counter.weight for counter in self._counters.values()]

    def begin(self, limit: int) -> None:
        """Start a message, which may use ``limit`` instructions."""
        if self._is_stopped:
            self._is_stopped = False
            for source, counter in self._counters.items():
                self._names[source.name] = counter.ticks
        self._limit = limit
        self._charged = 0
        self._started = self._read() if self._ended is None else self._ended
        self._ended = None

    def finish(self) -> None:
        """Stop the message if it passed its limit, as its code comes to its end."""
        self._ended = self._read()
        if self._charged + self._ended - self._started > self._limit:
            self.check()

    def end(self) -> int:
        """End a message, and return what it counts as: at most its limit."""
        if self._ended is None:
            self._ended = self._read()
        return min(self._charged + self._ended - self._started, self._limit)

    def disown(self) -> None:
        """Let what was run since the last message count for none, as closing generators does."""
        self._ended = None

    def charge(self, instructions: int) -> None:
        """Count work of the host; stops the message when that alone passes the limit."""
        self._charged += instructions
        if self._charged > self._limit:
            self.check()

    def check(self) -> None:
        """Stop the message if it passed its limit."""
        if self.used <= self._limit:
            return
        if not self._is_stopped:
            # From here on each function and loop that is begun ends at once; a loop that already
            # runs keeps the ticks it has, and ends when those come to the next chunk.
            self._is_stopped = True
            for source in self._counters:
                self._names[source.name] = self._stopper
        self._stop(self._limit)

    def _begin_chunk(self, weight: int) -> None:
        self._begun += _CHUNK * weight

    def _read(self) -> int:
        """Return the instructions of all ticks ever taken, at some 0.2 us a counter."""
        # Each refers to where it gets chunks, and then to its chunk, or the look that comes next.
        chunks = gc.get_referents(*self._ticks)[1::2]
        left: int = sum(map(mul, map(length_hint, chunks), self._weights))
        return (self._begun - left) * _UNIT
