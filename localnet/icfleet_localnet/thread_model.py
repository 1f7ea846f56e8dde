"""When a subnet of the Internet Computer would have executed what this machine executes.

A message's instructions are known only once it has been executed, so both models are asked twice:
first who may go next (``choose``, ``pick``), then, with the instructions, when it would have been
finished (``run``, ``admit``). The caller executes at once and holds the answer back until then.
Nothing here reads a clock: times are seconds since any moment, as long as it is the same one.

Source: dfinity/ic ``rs/execution_environment`` (scheduler, query scheduler),
``rs/http_endpoints/public`` (load shedding).
"""

import heapq
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from icfleet_localnet.errors import LocalnetError
from icfleet_localnet.profiles import Profile
from icfleet_protocol.principal import Principal

__all__ = ["Admission", "HostLag", "OverloadedError", "QueryThreads", "Slot", "UpdateThreads"]

_IDLE_CANISTERS_MAX = 256
"""Canisters that a node remembers before it looks which of them have nothing running."""

_LAG_TOLERANCE_S = 0.02
"""Seconds: an event loop's timers are late by milliseconds, and that is not the host binding."""

_LATE_SHARE_MAX = 0.01
"""A garbage collection or two do not spoil a run; one message in a hundred does."""


class OverloadedError(LocalnetError):
    """A node has as many queries as it takes, running and waiting.

    Source: the replica sheds load with HTTP status 429 and this text
    (dfinity/ic ``rs/http_endpoints/public``, ``map_box_error_to_response``).

    Attributes:
        node: Index of the node.
    """

    http_status = 429
    text = "The service is overloaded."

    def __init__(self, node: int) -> None:
        super().__init__(f"node {node} takes no more queries now; send fewer, or later")
        self.node = node


@dataclass(frozen=True, slots=True)
class Slot:
    """When and where an update-type message executes in the model."""

    thread: int
    start_s: float
    finish_s: float


@dataclass(frozen=True, slots=True)
class Admission:
    """When and where a query executes in the model."""

    node: int
    """Index of the node, from 0."""
    start_s: float
    finish_s: float


class UpdateThreads:
    """The update threads of one subnet: a canister runs on one of them at a time.

    In a round, messages begin until the next one is due; one that began runs on into it, as a long
    execution does on the Internet Computer. So a thread is never idle while a message waits that
    may run, and a canister sustains ``1 / profile.update_time_s(instructions)`` messages a second.

    The replica allows 7 G instructions a thread in a round, and a thread executes 2 G in a second:
    at a round a second speed binds and not the allowance, which bounds slower rounds to 3.5 s of
    execution. A message above it runs on for as many rounds as it needs, in slices on the replica.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        threads = 1 if profile.capacity is None else profile.capacity.update_threads
        self._threads = [0.0] * threads
        self._canisters: dict[Principal, float] = {}
        self._now_s = 0.0
        self._end_s = math.inf

    def begin_round(self, now_s: float) -> None:
        """Open a round; time does not go back."""
        self._now_s = max(now_s, self._now_s)
        self._canisters = {
            canister: free_s for canister, free_s in self._canisters.items() if free_s > self._now_s
        }
        self._end_s = self._now_s + self._window_s()

    def choose(self, waiting: Iterable[Principal]) -> Principal | None:
        """Say whose message begins next in this round.

        Args:
            waiting: Canisters with a message to execute, those that wait longest first.

        Returns:
            The canister that can begin first, or ``None`` when the round is full for all of them.
        """
        earliest_s, chosen = self._end_s, None
        soonest_s = max(self._now_s, min(self._threads))
        for canister in waiting:
            start_s = self._start_s(canister)
            if start_s < earliest_s:
                earliest_s, chosen = start_s, canister
                if start_s <= soonest_s:
                    break
        return chosen

    def run(self, canister: Principal, instructions: int) -> Slot:
        """Account for a message that was executed in this round."""
        start_s = self._start_s(canister)
        finish_s = start_s + self._profile.update_time_s(instructions)
        if self._profile.capacity is None:
            return Slot(0, start_s, finish_s)
        thread = _best_fit(self._threads, start_s)
        self._threads[thread] = finish_s
        self._canisters[canister] = finish_s
        return Slot(thread, start_s, finish_s)

    def plan_round(
        self, now_s: float, queue: Sequence[tuple[Principal, int]]
    ) -> tuple[Slot | None, ...]:
        """Run a round of messages whose instructions are known.

        Args:
            now_s: When the round begins.
            queue: Canister and instructions of each message, oldest first.

        Returns:
            A slot for each message of the queue, or ``None`` if it waits for a later round.
        """
        self.begin_round(now_s)
        slots: list[Slot | None] = [None] * len(queue)
        waiting: dict[Principal, deque[int]] = {}
        for index, (canister, _) in enumerate(queue):
            waiting.setdefault(canister, deque()).append(index)
        while waiting:
            chosen = self.choose(sorted(waiting, key=lambda key: waiting[key][0]))
            if chosen is None:
                break
            index = waiting[chosen].popleft()
            if not waiting[chosen]:
                del waiting[chosen]
            slots[index] = self.run(chosen, queue[index][1])
        return tuple(slots)

    def _window_s(self) -> float:
        capacity = self._profile.capacity
        if capacity is None:
            return math.inf
        allowance_s = capacity.round_instructions_max / capacity.instructions_per_second
        return min(self._profile.round_interval_s or math.inf, allowance_s)

    def _start_s(self, canister: Principal) -> float:
        return max(self._now_s, min(self._threads), self._canisters.get(canister, 0.0))


@dataclass(slots=True)
class _Node:
    threads: list[float]
    canisters: dict[Principal, list[float]] = field(default_factory=dict[Principal, list[float]])
    finishing: list[float] = field(default_factory=list[float])
    """When each query that runs or waits is finished, as a heap."""


class QueryThreads:
    """The query threads of a subnet's nodes.

    A query goes to a node at random, as behind a boundary node, and waits there for one of the
    node's threads and for one of those that its canister may have. Queries of one canister begin in
    the order of their arrival; one that waits for its canister holds up nobody else's.

    Args:
        profile: Threads, nodes and speed.
        random: Chooses nodes.
    """

    def __init__(self, profile: Profile, random: Random) -> None:
        self._profile = profile
        self._random = random
        threads = 0 if profile.capacity is None else profile.capacity.query_threads
        self._nodes = [_Node([0.0] * threads) for _ in range(profile.node_count)]

    def pick(self, now_s: float) -> int:
        """Choose the node that will answer a query.

        Raises:
            OverloadedError: If that node takes no more.
        """
        index = self._random.randrange(len(self._nodes))
        self._check_room(index, now_s)
        return index

    def admit(
        self, now_s: float, canister: Principal, instructions: int, *, node: int | None = None
    ) -> Admission:
        """Account for a query.

        Args:
            now_s: When it arrived at the node.
            canister: Whom it asks.
            instructions: What it executed.
            node: What ``pick`` answered; by default one is picked now.

        Raises:
            OverloadedError: If the node takes no more.
        """
        capacity = self._profile.capacity
        if node is None:
            node = self.pick(now_s)
        else:
            self._check_room(node, now_s)
        if capacity is None:
            return Admission(node, now_s, now_s)
        state = self._nodes[node]
        own = state.canisters.get(canister)
        if own is None:
            _forget_idle(state, now_s)
            own = state.canisters[canister] = [0.0] * capacity.query_threads_per_canister
        start_s = max(now_s, min(state.threads), min(own))
        finish_s = start_s + self._profile.query_time_s(instructions)
        state.threads[_best_fit(state.threads, start_s)] = finish_s
        own[_best_fit(own, start_s)] = finish_s
        heapq.heappush(state.finishing, finish_s)
        return Admission(node, start_s, finish_s)

    def in_flight(self, node: int, now_s: float) -> int:
        """How many queries run or wait on a node."""
        finishing = self._nodes[node].finishing
        while finishing and finishing[0] <= now_s:
            heapq.heappop(finishing)
        return len(finishing)

    def _check_room(self, node: int, now_s: float) -> None:
        capacity = self._profile.capacity
        if capacity is None:
            return
        if self.in_flight(node, now_s) >= capacity.queries_in_flight_max:
            raise OverloadedError(node)


@dataclass(slots=True)
class HostLag:
    """Whether this machine kept up with the model, so that a run says something about the model."""

    tolerance_s: float = _LAG_TOLERANCE_S
    """How late an answer may be and still count as in time."""
    late_share_max: float = _LATE_SHARE_MAX
    """The share of late messages above which a run is invalid."""
    count: int = 0
    """Messages recorded."""
    late_count: int = 0
    lag_max_s: float = 0.0
    """The longest that a message was finished after the model's time for it."""

    def record(self, *, modelled_finish_s: float, real_finish_s: float) -> None:
        """Compare when a message should have been finished with when it could be, at best."""
        self.count += 1
        lag_s = real_finish_s - modelled_finish_s
        self.lag_max_s = max(self.lag_max_s, lag_s)
        if lag_s > self.tolerance_s:
            self.late_count += 1

    @property
    def is_valid(self) -> bool:
        """Whether the model bound and not the host."""
        return self.late_count <= self.late_share_max * self.count

    def sentence(self) -> str:
        """What to print with the results of a run."""
        if self.late_count == 0:
            return f"The host kept up with the model in all of {self.count} messages."
        found = (
            f"The host was the bottleneck in {self.late_count} of {self.count} messages "
            f"(up to {self.lag_max_s:.3f} s late)"
        )
        if self.is_valid:
            return f"{found}: few enough for the run to count."
        return f"{found}: this run is INVALID; choose a smaller --scale or send less."


def _best_fit(free_s: Sequence[float], start_s: float) -> int:
    """The one of those free at ``start_s`` that became free last: the others keep longer gaps."""
    fitting = (index for index, free in enumerate(free_s) if free <= start_s)
    return max(fitting, key=lambda index: free_s[index])


def _forget_idle(node: _Node, now_s: float) -> None:
    if len(node.canisters) < _IDLE_CANISTERS_MAX:
        return
    node.canisters = {
        canister: free_s for canister, free_s in node.canisters.items() if max(free_s) > now_s
    }
