"""Canisters on subnets, without canisters or subnets: one heap of events in virtual time.

What is kept of the Internet Computer is what replication leans on. A message is atomic, and a trap
undoes stable memory and heap alike; a call suspends its caller, and its answer finds nothing when
the caller was upgraded meanwhile; timers die with the heap; a stopped canister refuses, a halted
subnet answers late; clocks of two subnets differ. All chance comes from one seeded generator.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Generic, TypeVar

from icfleet_localnet.kybra_host.checkpoint import Checkpoint

__all__ = [
    "SECOND_NS",
    "START_NS",
    "Call",
    "CallAnswer",
    "Host",
    "SimulatedNetwork",
    "TracedMap",
    "TrapError",
]

SECOND_NS = 1_000_000_000
START_NS = 1_800_000_000 * SECOND_NS

#: Stable-map calls that one message may make; beyond, its work is taken to be unbounded.
STABLE_CALLS_MAX = 30_000

Key = TypeVar("Key")
Value = TypeVar("Value")
_MISSING: Any = object()


class TrapError(BaseException):
    """A trap: no ``except Exception`` of a canister can stop it."""


class Meter:
    """Stable-map calls of the message that runs, and where it is to trap."""

    def __init__(self) -> None:
        self.calls = 0
        self.calls_max = 0
        self.trap_at = 0

    def begin(self, trap_at: int = 0) -> None:
        """Start counting for another message; trap at this call, never if 0."""
        self.calls = 0
        self.trap_at = trap_at

    def count(self) -> None:
        """Note a call.

        Raises:
            TrapError: If the message is to trap here.
        """
        self.calls += 1
        self.calls_max = max(self.calls_max, self.calls)
        if self.calls == self.trap_at:
            raise TrapError


class TracedMap(Generic[Key, Value]):
    """A stable map that counts its calls and can be put back to where the message began."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.entries: dict[Key, Value] = {}
        self._undo: list[tuple[Key, Any]] = []

    def get(self, key: Key) -> Value | None:
        """Return the value, or ``None``."""
        self._meter.count()
        return self.entries.get(key)

    def insert(self, key: Key, value: Value) -> Value | None:
        """Set the value and return the one it replaced."""
        self._meter.count()
        previous: Any = self.entries.get(key, _MISSING)
        self._undo.append((key, previous))
        self.entries[key] = value
        return None if previous is _MISSING else previous

    def remove(self, key: Key) -> Value | None:
        """Drop the value and return it."""
        self._meter.count()
        previous: Any = self.entries.pop(key, _MISSING)
        self._undo.append((key, previous))
        return None if previous is _MISSING else previous

    def commit(self) -> None:
        """Keep what the message changed."""
        self._undo.clear()

    def roll_back(self) -> None:
        """Put back what the message changed."""
        for key, previous in reversed(self._undo):
            if previous is _MISSING:
                self.entries.pop(key, None)
            else:
                self.entries[key] = previous
        self._undo.clear()


@dataclass(frozen=True)
class Call:
    """What a canister's generator yields: a question to another canister.

    ``update`` is what an update method does there; a query method is the world's ``answer``.
    """

    callee: str
    method: str
    args: tuple[Any, ...] = ()
    update: Callable[[Host], None] | None = None


class CallAnswer:
    """``kybra.CallResult``."""

    def __init__(self, ok: Any = None, err: str | None = None) -> None:
        self.Ok = ok
        self.Err = err


Answering = Generator[Call, CallAnswer, None]


class Host:
    """One canister: stable maps that stay, a heap that ``build`` makes anew at each upgrade.

    Args:
        network: Gives time and chance, and carries calls.
        principal: The canister's, as text.
        build: Returns the heap's root over this host's maps: whatever the world calls.
    """

    def __init__(
        self, network: SimulatedNetwork, principal: str, build: Callable[[Host], Any]
    ) -> None:
        self.network = network
        self.principal = principal
        self.meter = Meter()
        self.maps: list[TracedMap[Any, Any]] = [TracedMap(self.meter) for _ in range(4)]
        self.skew_ns = 0
        self.halted_until_ns = 0
        self.is_stopped = False
        self.generation = 0
        self.traps = 0
        self._build = build
        self._timers: dict[int, Callable[[], Any]] = {}
        self._next_timer = 0
        self._outbox: list[Callable[[], None]] = []
        self._waiting: list[Callable[[], None]] = []
        self.root: Any = build(self)

    @property
    def now_ns(self) -> int:
        """This subnet's clock."""
        return self.network.now_ns + self.skew_ns

    def run(self, work: Callable[[], Any], *, trap_at: int = 0) -> Any:
        """Execute one message: all of it, or nothing.

        Raises:
            TrapError: If it trapped; everything is as before.
        """
        outside = (self, self.network, *self.maps, self.meter)
        saved = Checkpoint([self.root], _is_own, foreign=outside) if trap_at else None
        self.meter.begin(trap_at)
        timers = dict(self._timers)
        try:
            result = work()
        except TrapError:
            self.traps += 1
            for entries in self.maps:
                entries.roll_back()
            if saved is not None:
                saved.restore()
            self._timers = timers
            self._outbox.clear()
            raise
        for entries in self.maps:
            entries.commit()
        sent, self._outbox = self._outbox, []
        for send in sent:
            send()
        self.network.executed(self)
        return result

    def when_able(self, work: Callable[[], None]) -> None:
        """Do this now, or when the subnet goes on; a stopped canister's messages wait likewise."""
        if self.halted_until_ns > self.network.now_ns:
            self.network.after(SECOND_NS, lambda: self.when_able(work))
        elif self.is_stopped:
            self._waiting.append(work)
        else:
            work()

    def start_again(self) -> None:
        """End a stop; what has waited is delivered."""
        self.is_stopped = False
        waiting, self._waiting = self._waiting, []
        for work in waiting:
            self.network.after(0, partial(self.when_able, work))

    def replace_heap(self) -> None:
        """Lose heap, timers and suspended calls, as an upgrade does."""
        self.generation += 1
        self._timers = {}
        self.root = self._build(self)

    def set_timer(self, delay_s: int, callback: Callable[[], Any]) -> int:
        """``ic.set_timer``; part of the message that calls it."""
        self._next_timer += 1
        number = self._next_timer
        self._timers[number] = callback
        generation = self.generation
        self._outbox.append(
            lambda: self.network.after(
                delay_s * SECOND_NS, lambda: self.when_able(lambda: self._fire(number, generation))
            )
        )
        return number

    def set_timer_interval(self, period_s: int, callback: Callable[[], Any]) -> int:
        """``ic.set_timer_interval``: goes on after a trap, until the heap is lost."""
        generation = self.generation

        def again() -> None:
            if generation == self.generation:
                self.network.after(period_s * SECOND_NS, lambda: self.when_able(fire))

        def fire() -> None:
            again()
            if generation == self.generation:
                _quietly(self, callback, self.network.draw_trap())

        self._outbox.append(again)
        return 0

    def clear_timer(self, number: int) -> None:
        """``ic.clear_timer``."""
        self._timers.pop(number, None)

    def send(self, callee: str, work: Callable[[Host], None]) -> None:
        """Send a one-way message, when this message commits."""
        network = self.network
        self._outbox.append(lambda: network.carry(callee, work))

    def _fire(self, number: int, generation: int) -> None:
        if generation != self.generation or number not in self._timers:
            return
        callback = self._timers.pop(number)
        trap_at = self.network.draw_trap()
        try:
            answering = self.run(callback, trap_at=trap_at)
        except TrapError:
            return
        if answering is not None:
            self._advance(answering, None, generation)

    def _advance(self, answering: Answering, answer: CallAnswer | None, generation: int) -> None:
        """Run a generator to its next call; the first segment is part of the timer's message."""
        if generation != self.generation:
            return

        def segment() -> Call | None:
            try:
                return answering.send(answer)  # type: ignore[arg-type]
            except StopIteration:
                return None

        # A generator cannot be rewound, so a trap here ends it, as on the Internet Computer.
        try:
            call = self.run(segment, trap_at=self.network.draw_trap())
        except TrapError:
            return
        if call is not None:
            self.network.ask(
                self,
                call,
                lambda answer: self.when_able(lambda: self._advance(answering, answer, generation)),
            )


def _is_own(module: str) -> bool:
    return module.startswith("icfleet_canister") or module == "simulated_bank"


class SimulatedNetwork:
    """Virtual time, chance, and the carrying of messages.

    Args:
        random: The only source of chance.
        executed: Called after every message that committed.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now_ns = START_NS
        self.hosts: dict[str, Host] = {}
        self.watchers: list[Callable[[Host], None]] = []
        self.answer: Callable[[Host, Call, str], Any] = _no_method
        """Executes a query method on the callee; the world sets it."""
        self.latency_max_s = 3.0
        self.reject_share = 0.0
        self.trap_share = 0.0
        self.steps = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._next = 0

    def at(self, time_ns: int, work: Callable[[], None]) -> None:
        """Do this at a time."""
        self._next += 1
        heapq.heappush(self._events, (max(time_ns, self.now_ns), self._next, work))

    def after(self, delay_ns: int, work: Callable[[], None]) -> None:
        """Do this later."""
        self.at(self.now_ns + delay_ns, work)

    def run_until(self, time_ns: int) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= time_ns:
            self.now_ns, _, work = heapq.heappop(self._events)
            self.steps += 1
            work()
        self.now_ns = max(self.now_ns, time_ns)

    def delay_ns(self) -> int:
        """Draw how long a message is under way."""
        slow = self.random.random() < 0.1
        seconds = self.random.uniform(0.2, self.latency_max_s if slow else 1.0)
        return int(seconds * SECOND_NS)

    def draw_trap(self) -> int:
        """Draw at which stable-map call the next message traps; 0 for never."""
        if self.random.random() >= self.trap_share:
            return 0
        return self.random.randint(1, 12)

    def executed(self, host: Host) -> None:
        """Tell the watchers."""
        for watcher in self.watchers:
            watcher(host)

    def carry(self, callee: str, work: Callable[[Host], None]) -> None:
        """Deliver a one-way message: late, but surely, unless the callee is stopped."""
        host = self.hosts.get(callee)
        if host is None:
            return

        def arrive() -> None:
            if host.halted_until_ns > self.now_ns:
                self.after(SECOND_NS, arrive)
            elif not host.is_stopped:
                _quietly(host, lambda: work(host), self.draw_trap())

        self.after(self.delay_ns(), arrive)

    def ask(self, caller: Host, call: Call, answered: Callable[[CallAnswer], None]) -> None:
        """Carry a question to its callee, and the answer back."""
        host = self.hosts.get(call.callee)

        def reply(answer: CallAnswer) -> None:
            self.after(self.delay_ns(), lambda: answered(answer))

        def arrive() -> None:
            if host is None:
                reply(CallAnswer(err="Rejection code 3, no such canister"))
            elif host.halted_until_ns > self.now_ns:
                self.after(SECOND_NS, arrive)
            elif host.is_stopped:
                reply(CallAnswer(err="Rejection code 5, canister is stopped"))
            elif self.random.random() < self.reject_share:
                reply(CallAnswer(err="Rejection code 2, the subnet is overloaded"))
            elif call.update is not None:
                is_done = _quietly(host, partial(call.update, host), self.draw_trap())
                reply(CallAnswer(err=None if is_done else "Rejection code 5, trapped"))
            else:
                # A query method called by a canister: whatever it changed is gone afterwards.
                reply(CallAnswer(ok=self.answer(host, call, caller.principal)))

        self.after(self.delay_ns(), arrive)


def _quietly(host: Host, work: Callable[[], None], trap_at: int) -> bool:
    """Execute a message that nobody waits for; return whether it did not trap."""
    try:
        host.run(work, trap_at=trap_at)
    except TrapError:
        return False
    return True


def _no_method(host: Host, call: Call, caller: str) -> Any:
    raise AssertionError(host.principal, call.method, caller)
