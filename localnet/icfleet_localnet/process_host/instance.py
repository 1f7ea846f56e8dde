"""One canister in processes of its own, as the network sees it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

import msgspec

from icfleet_localnet.executor import (
    Environment,
    Heartbeat,
    Message,
    Outcome,
    OutgoingCall,
    Query,
    Response,
    TimerFired,
    Trap,
    Update,
)
from icfleet_localnet.kybra_host.interface import HostInterface, MethodKind
from icfleet_localnet.kybra_host.traps import CONTRACT_VIOLATION, OTHER_TRAP
from icfleet_localnet.kybra_host.unit_of_work import HELD_MAX
from icfleet_localnet.process_host.conversation import Conversation, EndedError
from icfleet_localnet.process_host.limits import ProcessLimits, closed, ended, lost
from icfleet_localnet.process_host.wire import Execute, Reply, Status, TakeTimers

__all__ = ["ProcessInstance", "Version"]


class Version:
    """A committed state and the processes that serve queries on it.

    Args:
        source: The process with the state, which forks the others. It is not closed here, unless
            it was forked to hold just this state.
        is_held: Whether it was.
    """

    def __init__(self, source: Conversation, *, is_held: bool = False) -> None:
        self._source = source
        self._is_held = is_held
        self._reader: Conversation | None = None
        self._queries = 0

    def read(self, command: Execute) -> Reply:
        """Execute what leaves no trace.

        The first query since a commit has a process for itself, which is cheaper than a reader
        that serves only one; from the second on, a reader serves them.

        Raises:
            EndedError: If the process ended over it.
        """
        self._queries += 1
        if self._queries == 1:
            once = self._source.fork("once")
            try:
                return once.ask(command)
            finally:
                once.close()
        if self._reader is None:
            self._reader = self._source.fork("reader")
        try:
            reply = self._reader.ask(command)
        except EndedError:
            self._drop_reader()
            raise
        if reply.is_spent:
            self._drop_reader()
        return reply

    def branch(self) -> Conversation:
        """Fork a process for one composite query.

        Raises:
            EndedError: If that fails.
        """
        return self._source.fork("branch")

    def hold(self) -> "Version":
        """Return this state, held for as long as that version is not closed.

        Raises:
            EndedError: If its process cannot be forked.
        """
        return Version(self._source.fork("holder"), is_held=True)

    def close(self) -> None:
        """End the processes that serve this state; idempotent."""
        self._drop_reader()
        if self._is_held:
            self._source.close()

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call that waits for its answer."""

    branch: Conversation | None
    """The composite query's process; ``None`` for the canister's own."""
    continuation: int
    """As that process numbers it."""


class ProcessInstance:
    """An installed canister; implements ``CanisterInstance``.

    Args:
        worker: The line to its process.
        interface: What the network read off the code.
        limits: Bounds of each message.
        status: Figures after the install or upgrade.
    """

    def __init__(
        self,
        worker: Conversation,
        interface: HostInterface,
        limits: ProcessLimits,
        status: Status,
    ) -> None:
        self._worker = worker
        self._interface = interface
        self._limits = limits
        self._status = status
        self._is_closed = False
        self._current = Version(worker)
        self._held: dict[int, Version] = {}
        self._version_numbers = count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._continuation_numbers = count(1)

    @property
    def interface(self) -> HostInterface:
        """The methods, hooks and Candid types of the installed code."""
        return self._interface

    @property
    def stable_bytes(self) -> int:
        """Bytes held in stable memory."""
        return self._status.stable_bytes

    @property
    def next_timer_ns(self) -> int | None:
        """Earliest timer deadline, or ``None`` when no timer is set."""
        return self._status.next_timer_ns

    @property
    def heap_objects(self) -> int:
        """An estimate, from the memory blocks that Python has allocated since the install."""
        return self._status.heap_objects

    @property
    def heap_bytes(self) -> int:
        """An estimate of the heap's size."""
        return self._status.heap_bytes

    @property
    def worker(self) -> Conversation:
        """The line to its process, for an upgrade."""
        return self._worker

    def execute(self, message: Message, environment: Environment) -> Outcome:
        """Run one message to its commit or its complete undoing."""
        if isinstance(message, Response):
            return self._respond(message, environment)
        command = Execute.of(message, environment)
        match message:
            case Update(name) if self._kind(name) == "update":
                return self._change(command)
            case Heartbeat() if self._interface.heartbeat is None:
                return Outcome()
            case TimerFired() | Heartbeat():
                return self._change(command)
            case Query(name) if self._kind(name) == "composite_query":
                return self._open_branch(command)
            case _:
                return self._read(self._current, command)

    def take_due_timers(self, now_ns: int) -> Sequence[int]:
        """Return timers whose deadline has passed; one that is not executed stays due."""
        deadline_ns = self._status.next_timer_ns
        if self._is_closed or deadline_ns is None or deadline_ns > now_ns:
            return ()
        try:
            reply = self._worker.ask(TakeTimers(now_ns))
        except EndedError:
            # The timers died with the canister; its next message tells.
            self._status = msgspec.structs.replace(self._status, next_timer_ns=None)
            return ()
        self._keep_status(reply)
        return tuple(reply.timers)

    def drop_continuation(self, continuation: int) -> None:
        """End one suspended composite query."""
        waiting = self._waiting.pop(continuation, None)
        if waiting is not None and waiting.branch is not None:
            waiting.branch.close()

    def drop_continuations(self) -> None:
        """Forget every suspended generator; those of composite queries end."""
        waiting, self._waiting = self._waiting, {}
        for one in waiting.values():
            if one.branch is not None:
                one.branch.close()

    def hold(self) -> int:
        """Keep the committed state in a process of its own."""
        assert len(self._held) < HELD_MAX, f"at most {HELD_MAX} states can be held"
        number = next(self._version_numbers)
        try:
            self._held[number] = self._current.hold()
        except EndedError:
            # Its queries will say that the canister is lost.
            self._held[number] = self._current
        return number

    def execute_held(self, version: int, message: Query, environment: Environment) -> Outcome:
        """Run a query against a held state."""
        held = self._held[version]
        outcome = self._read(held, Execute.of(message, environment))
        if outcome.is_suspended:
            trap = Trap("a composite query on an old state cannot call", CONTRACT_VIOLATION)
            return Outcome(trap=trap, prints=outcome.prints)
        return outcome

    def release(self, version: int) -> None:
        """Forget a held state; an unknown number is no error."""
        held = self._held.pop(version, None)
        if held is not None:
            held.close()

    def close(self) -> None:
        """End all processes of this canister; idempotent."""
        if not self._is_closed:
            self.retire()
            self._worker.close()

    def retire(self) -> None:
        """End what serves this code's queries; its process goes on with other code."""
        self._is_closed = True
        self.drop_continuations()
        self._current.close()
        for version in tuple(self._held):
            self.release(version)

    def _kind(self, method: str) -> MethodKind | None:
        found = self._interface.methods.get(method)
        return None if found is None else found.kind

    def _read(self, version: Version, command: Execute) -> Outcome:
        """Execute what leaves no trace."""
        if self._is_closed:
            return Outcome(trap=closed())
        began_s = time.monotonic()
        try:
            reply = version.read(command)
        except EndedError:
            return Outcome(trap=self._ended(began_s))
        assert reply.outcome is not None, "Execute is answered by an outcome"
        return reply.outcome

    def _change(self, command: Execute) -> Outcome:
        """Execute what is kept unless it traps."""
        if self._is_closed:
            return Outcome(trap=closed())
        try:
            reply = self._worker.ask(command)
        except EndedError:
            return Outcome(trap=lost())
        outcome = reply.outcome
        assert outcome is not None, "Execute is answered by an outcome"
        self._keep_status(reply)
        if outcome.trap is None:
            self._current.close()
            self._current = Version(self._worker)
        return self._number_calls(outcome, None)

    def _open_branch(self, command: Execute) -> Outcome:
        if self._is_closed:
            return Outcome(trap=closed())
        try:
            branch = self._current.branch()
        except EndedError:
            return Outcome(trap=self._ended(time.monotonic()))
        return self._go_on(branch, command)

    def _respond(self, response: Response, environment: Environment) -> Outcome:
        waiting = self._waiting.pop(response.continuation, None)
        if waiting is None:
            return Outcome(trap=Trap("no call waits for this response", OTHER_TRAP))
        local = replace(response, continuation=waiting.continuation)
        command = Execute.of(local, environment)
        if waiting.branch is None:
            return self._change(command)
        return self._go_on(waiting.branch, command)

    def _go_on(self, branch: Conversation, command: Execute) -> Outcome:
        """Let a composite query run to its next call or its end."""
        began_s = time.monotonic()
        try:
            outcome = branch.ask(command).outcome
        except EndedError:
            outcome = Outcome(trap=self._ended(began_s))
        assert outcome is not None, "Execute is answered by an outcome"
        if not outcome.is_suspended:
            branch.close()
        return self._number_calls(outcome, branch)

    def _number_calls(self, outcome: Outcome, branch: Conversation | None) -> Outcome:
        """Give continuations numbers of our own: each process counts for itself."""
        if not outcome.calls:
            return outcome
        calls = tuple(self._number(call, branch) for call in outcome.calls)
        return replace(outcome, calls=calls)

    def _number(self, call: OutgoingCall, branch: Conversation | None) -> OutgoingCall:
        if call.continuation is None:
            return call
        number = next(self._continuation_numbers)
        self._waiting[number] = _Waiting(branch, call.continuation)
        return replace(call, continuation=number)

    def _keep_status(self, reply: Reply) -> None:
        if reply.status is not None:
            self._status = reply.status

    def _ended(self, began_s: float) -> Trap:
        """Say why a query's process ended."""
        return ended(time.monotonic() - began_s, self._limits)
