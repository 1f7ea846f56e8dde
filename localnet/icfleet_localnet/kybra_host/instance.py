"""One canister, run natively: its modules, its memory, and messages executed one at a time.

Source: ``kybra`` 0.7.1, ``kybra_generate/src/canister_method``, ``guard_function``, ``body``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import assert_never

from icfleet_localnet.bundle import Module
from icfleet_localnet.executor import (
    Environment,
    Heartbeat,
    Inspect,
    Message,
    Outcome,
    Query,
    Response,
    TimerFired,
    Trap,
    Update,
)
from icfleet_localnet.kybra_host.canister_code import CanisterCode
from icfleet_localnet.kybra_host.failures import describe, release_frames
from icfleet_localnet.kybra_host.host_state import HostState
from icfleet_localnet.kybra_host.interface import HostHook, HostInterface, HostMethod
from icfleet_localnet.kybra_host.message import (
    CallState,
    Continuation,
    MessageState,
    Mode,
    shorten,
)
from icfleet_localnet.kybra_host.metering import PRICES
from icfleet_localnet.kybra_host.modules import HostSide, ModuleSpace
from icfleet_localnet.kybra_host.stable_memory import StableMemory
from icfleet_localnet.kybra_host.system_api import SystemApi
from icfleet_localnet.kybra_host.traps import (
    CONTRACT_VIOLATION,
    EXPLICIT_TRAP,
    OTHER_TRAP,
    CanisterTrap,
    Panic,
)
from icfleet_localnet.kybra_host.unit_of_work import UnitOfWork

__all__ = ["KybraInstance"]

_METHOD_NOT_FOUND = "IC0536"
_COMPOSITE_AS_UPDATE = "IC0527"
"""Source: dfinity/ic, ``rs/types/error_types``."""

HEAP_OBJECT_SIZE = 250
"""Bytes for a mutable object with what only it holds.

Measured 2026-11 in dicts of five fields and a list each: 250 bytes for each dict or list.
"""

_LABEL_SIZE = 12
"""Characters of the module's hash that tell its files from others' in the process's caches."""


class KybraInstance:
    """An installed canister; implements ``CanisterInstance``.

    Made by ``InProcessExecutor``: ``start`` must succeed before anything is executed.
    """

    def __init__(
        self,
        module: Module,
        interface: HostInterface,
        memory: StableMemory,
        *,
        random_seed: bytes,
        located: Mapping[str, Path],
    ) -> None:
        self._state = HostState(interface, memory)
        self._space = ModuleSpace(
            module.files,
            label=module.sha256.hex()[:_LABEL_SIZE],
            host=HostSide(
                api=SystemApi(self._state),
                meter=self._state.meter,
                clock=self._state.clock,
                halt=self._state.halt,
            ),
            random_seed=random_seed,
            located=located,
        )
        self._code = CanisterCode(module.entry, self._space, self._state)
        self._continuations: dict[int, Continuation] = {}
        self._left: dict[int, Continuation] = {}
        self._unit = UnitOfWork(self._space, memory, self._state.timers, self._waiting_generators)

    @property
    def interface(self) -> HostInterface:
        """The methods, hooks and Candid types of the installed code."""
        return self._state.interface

    @property
    def memory(self) -> StableMemory:
        """The stable memory, which an upgrade hands on."""
        return self._state.memory

    @property
    def stable_bytes(self) -> int:
        """Bytes held in stable memory."""
        return self._state.memory.stored_bytes

    @property
    def next_timer_ns(self) -> int | None:
        """Earliest timer deadline, or ``None`` when no timer is set."""
        return self._state.timers.next_deadline_ns

    @property
    def heap_objects(self) -> int:
        """Mutable objects seen by the last checkpoint."""
        return self._unit.heap_objects

    @property
    def heap_bytes(self) -> int:
        """About how much they took before the last message that was kept."""
        return self._unit.counted_objects * HEAP_OBJECT_SIZE

    @property
    def is_exact(self) -> bool:
        """Whether queries since the last commit left the very state that was committed."""
        return self._unit.is_exact

    def hold(self) -> int:
        """Keep the committed state; see ``unit_of_work`` for what cannot be kept."""
        with self._space.active():
            return self._unit.hold()

    def execute_held(self, version: int, message: Query, environment: Environment) -> Outcome:
        """Run a query against a held state."""
        with self._space.active(), self._unit.visit(version):
            outcome = self.execute(message, environment)
            if not outcome.is_suspended:
                return outcome
            for call in outcome.calls:
                self._abandon(call.continuation)
            return Outcome(
                trap=Trap("a composite query on an old state cannot call", CONTRACT_VIOLATION),
                prints=outcome.prints,
            )

    def release(self, version: int) -> None:
        """Forget a held state; an unknown number is no error."""
        self._unit.release(version)

    def close(self) -> None:
        """Do nothing: there is no process to end."""

    def leave_heap(self, *, is_left: bool) -> None:
        """Say whether the heap is undone by ending the process, and not here."""
        self._unit.leave_heap(is_left=is_left)

    def checkpoint_heap(self) -> bool:
        """Take the checkpoint for all queries to come, and say whether it can be exact."""
        with self._space.active():
            self._unit.checkpoint_heap()
        return self._unit.is_exact

    def leave_continuations(self) -> None:
        """Keep suspended generators out of reach, in a process that only runs queries."""
        self._left, self._continuations = self._continuations, {}

    def use_up(self, message: Message) -> None:
        """Forget what a message uses up even when it is undone: its timer, or its continuation."""
        match message:
            case TimerFired(timer):
                self._state.timers.fire(timer)
            case Response(continuation):
                self._abandon(continuation)
            case _:
                pass

    def _abandon(self, number: int | None) -> None:
        waiting = None if number is None else self._continuations.pop(number, None)
        drive = None if waiting is None else waiting.call.drive
        if drive is not None:
            with self._space.active():
                self._unit.drop(partial(self._space.run_aside, drive.close))
            self._state.meter.disown()

    def take_due_timers(self, now_ns: int) -> Sequence[int]:
        """Return timers whose deadline has passed; re-arm intervals from now."""
        return self._state.timers.take_due(now_ns)

    def drop_continuation(self, continuation: int) -> None:
        """Forget one suspended generator; what its code still does is undone."""
        self._abandon(continuation)

    def drop_continuations(self) -> None:
        """End every suspended generator; what its code still does concerns nobody."""
        continuations, self._continuations = self._continuations, {}
        with self._space.active():
            for continuation in continuations.values():
                self._close(continuation.call)
        self._state.meter.disown()

    def start(self, hook: HostHook | None, arg: bytes, environment: Environment) -> Outcome:
        """Load the code and run ``init`` or ``post_upgrade``.

        The caller has begun the stable memory's unit of work, and ends it.
        """
        message = _hook_message(Mode.START, environment, arg)
        with self._space.active():
            self._attempt(message, lambda: self._code.load_and_call(message, hook))
        return self._outcome(message)

    def prepare_upgrade(self, environment: Environment) -> Outcome:
        """Run ``pre_upgrade``; then ``finish_upgrade`` or ``abandon_upgrade`` must follow."""
        message = _hook_message(Mode.PRE_UPGRADE, environment)
        with self._space.active():
            self._unit.begin()
            hook = None if environment.skips_pre_upgrade else self.interface.pre_upgrade
            self._attempt(message, lambda: self._code.call_hook(message, hook))
        return self._outcome(message)

    def finish_upgrade(self) -> None:
        """Keep what ``pre_upgrade`` and the new code wrote; this instance ends here."""
        self._unit.commit()
        self._unit.release_all()
        self.drop_continuations()

    def abandon_upgrade(self) -> None:
        """Undo ``pre_upgrade``, and all that the new code wrote to stable memory."""
        with self._space.active():
            self._unit.rollback()

    def execute(self, message: Message, environment: Environment) -> Outcome:
        """Run one message to its commit or its complete undoing."""
        with self._space.active():
            match message:
                case Update(name, arg):
                    return self._execute_method(name, arg, environment, is_replicated=True)
                case Query(name, arg):
                    return self._execute_method(name, arg, environment, is_replicated=False)
                case Inspect(name, arg):
                    return self._execute_inspect(name, arg, environment)
                case Heartbeat():
                    return self._execute_heartbeat(environment)
                case TimerFired(timer):
                    return self._execute_timer(timer, environment)
                case Response():
                    return self._execute_response(message, environment)
                case _:
                    assert_never(message)

    def _execute_method(
        self, name: str, arg: bytes, environment: Environment, *, is_replicated: bool
    ) -> Outcome:
        method = self.interface.methods.get(name)
        mode = None if method is None else _method_mode(method, is_replicated=is_replicated)
        if method is None or mode is None:
            return self._refuse(name, method, is_replicated=is_replicated)
        call = CallState(method, is_dropped=mode is not Mode.UPDATE)
        message = MessageState(mode=mode, environment=environment, call=call, argument=arg)
        return self._run(message, lambda: self._code.call_method(message, method))

    def _execute_inspect(self, name: str, arg: bytes, environment: Environment) -> Outcome:
        message = _hook_message(Mode.INSPECT, environment, arg)
        message.inspected_method = name
        message.call.is_dropped = True
        hook = self.interface.inspect_message
        return self._run(message, lambda: self._code.call_hook(message, hook))

    def _execute_heartbeat(self, environment: Environment) -> Outcome:
        message = _hook_message(Mode.HEARTBEAT, environment)
        hook = self.interface.heartbeat
        if hook is None:
            return self._outcome(message)
        code = self._code
        return self._run(message, lambda: code.proceed(message, code.function(hook.name)()))

    def _execute_timer(self, timer: int, environment: Environment) -> Outcome:
        message = _hook_message(Mode.TIMER, environment)
        message.call.is_detached = True
        callback = self._state.timers.fire(timer)
        if callback is None:
            return self._outcome(message)
        return self._run(message, lambda: self._code.proceed(message, callback()))

    def _execute_response(self, response: Response, environment: Environment) -> Outcome:
        continuation = self._continuations.pop(response.continuation, None)
        if continuation is None:
            return Outcome(
                trap=Trap("no call waits for this response", OTHER_TRAP),
            )
        call = continuation.call
        message = MessageState(
            mode=_callback_mode(response, is_query=call.is_dropped),
            environment=environment,
            call=call,
            argument=response.reply or b"",
            reject_code=response.reject_code,
            reject_message=response.reject_message,
        )
        return self._run(message, lambda: self._resume(message, continuation, response))

    def _resume(
        self, message: MessageState, continuation: Continuation, response: Response
    ) -> None:
        if continuation.branch is not None:
            self._unit.go_on(continuation.branch)
        # With the context variables that the query had.
        self._space.run_apart(lambda: self._code.resume(message, continuation, response))

    def _run(self, message: MessageState, body: Callable[[], None]) -> Outcome:
        """Execute a message, and keep or undo what it changed."""
        self._unit.begin()
        try:
            self._attempt(message, body)
        except BaseException:
            self._close(message.call)
            self._unit.rollback()
            raise
        call = message.call
        if message.trap is not None:
            self._close(call)
            self._unit.rollback()
        elif call.is_dropped:
            self._set_aside(message)
        else:
            self._commit(message)
        call.instructions += message.instructions
        if call.drive is not None:
            self._state.meter.disown()  # What closing its generators may have done.
        return self._outcome(message)

    def _attempt(self, message: MessageState, body: Callable[[], None]) -> None:
        """Run canister code; afterwards ``message.trap`` says whether it must be undone.

        Raises:
            KeyboardInterrupt: If the developer stopped the process in the canister's code.
        """
        meter = self._state.meter
        self._state.message = message
        meter.begin(message.environment.instruction_limit)
        try:
            meter.charge(PRICES.message)
            self._space.run_apart(body)
            meter.finish()
        except KeyboardInterrupt:
            raise  # Not the canister's, which has its own; see ``modules``.
        except BaseException as error:  # noqa: BLE001  # Whatever the canister's code raises.
            message.trap = message.trap or self._explain(error)
            self._state.message = None
            release_frames(error)
        finally:
            message.instructions = meter.end()
            self._state.message = None

    def _commit(self, message: MessageState) -> None:
        if message.waiting is not None:
            self._continuations[message.waiting.id] = message.waiting
        self._unit.commit()
        drive = message.call.drive
        if message.waiting is None and drive is not None and drive.generators:
            # Dropped on an exception that nobody hears of: its ``finally`` blocks must not count.
            self._unit.drop(partial(self._space.run_aside, drive.close))

    def _set_aside(self, message: MessageState) -> None:
        """Undo a query's changes; one that waits gets them back when it goes on."""
        waiting, drive = message.waiting, message.call.drive
        if waiting is None or drive is None:
            self._unit.rollback()
            return
        waiting.branch = self._unit.set_aside(drive.generators)
        self._continuations[waiting.id] = waiting

    def _close(self, call: CallState) -> None:
        if call.drive is not None:
            self._space.run_aside(call.drive.close)

    def _outcome(self, message: MessageState) -> Outcome:
        prints = tuple(message.prints)
        if message.trap is not None:
            trap = replace(message.trap, message=shorten(message.trap.message))
            return Outcome(trap=trap, prints=prints, instructions=message.instructions)
        return Outcome(
            reply=message.reply,
            reject=message.reject,
            calls=tuple(message.calls),
            prints=prints,
            is_accepted=message.is_accepted,
            certified_data=message.certified_data,
            is_suspended=message.waiting is not None,
            cycles_accepted=message.cycles_accepted,
            instructions=message.instructions,
        )

    def _explain(self, error: BaseException) -> Trap:
        if isinstance(error, CanisterTrap):
            return error.trap
        if isinstance(error, Panic):
            return Trap(str(error), EXPLICIT_TRAP)
        if isinstance(error, MemoryError):
            # The compiled runtime has no such exception: an allocation that fails ends it.
            return Trap("the canister ran out of memory", OTHER_TRAP)
        # Kybra's runtime calls ``ic0.trap`` with the exception's text.
        return Trap(describe(error), EXPLICIT_TRAP, self._space.format_traceback(error))

    def _refuse(self, name: str, method: HostMethod | None, *, is_replicated: bool) -> Outcome:
        if method is not None and is_replicated:
            reason = f"Composite query '{name}' cannot be called in replicated mode"
            trap = Trap(reason, _COMPOSITE_AS_UPDATE)
        else:
            kind = "update" if is_replicated else "query"
            trap = Trap(f"Canister has no {kind} method '{name}'", _METHOD_NOT_FOUND)
        return Outcome(trap=trap)

    def _waiting_generators(self) -> list[object]:
        return [
            generator
            for continuation in self._continuations.values()
            if continuation.branch is None and continuation.call.drive is not None
            for generator in continuation.call.drive.generators
        ]


def _hook_message(mode: Mode, environment: Environment, argument: bytes = b"") -> MessageState:
    return MessageState(mode=mode, environment=environment, call=CallState(), argument=argument)


def _method_mode(method: HostMethod, *, is_replicated: bool) -> Mode | None:
    """Return how the method would execute, or ``None`` when it cannot be called this way."""
    if is_replicated:
        modes = {"update": Mode.UPDATE, "query": Mode.REPLICATED_QUERY}
    else:
        modes = {"query": Mode.QUERY, "composite_query": Mode.COMPOSITE_QUERY}
    return modes.get(method.kind)


def _callback_mode(response: Response, *, is_query: bool) -> Mode:
    if is_query:
        return Mode.COMPOSITE_REJECT if response.reply is None else Mode.COMPOSITE_REPLY
    return Mode.REJECT if response.reply is None else Mode.REPLY
