"""The process of one canister: executes what changes it, and forks readers for what does not.

Two standbys sleep behind it, forked together every 64 commits or so; what was committed since is in
the ``journal`` before its answer leaves. Whichever process is killed at whatever moment, no
answered message is lost, and none is kept twice. Only when all three end within a few
milliseconds is the canister lost; it says so.

Measured 2026-11 on two shared cores: two forks take the system some 4 ms, a message that commits
0.3 to 0.5 ms of this process with its share of those, a trap undone in place the same, one undone
by a standby 5 to 7 ms.
"""

import gc
import logging
import os
import pickle
import select
import signal
import sys
import time
import traceback
from typing import NoReturn, cast

from icfleet_localnet.executor import Message, Outcome, Response, TimerFired, Trap
from icfleet_localnet.kybra_host.installation import (
    Prepared,
    install_canister,
    upgrade_canister,
)
from icfleet_localnet.kybra_host.instance import HEAP_OBJECT_SIZE, KybraInstance
from icfleet_localnet.kybra_host.traps import OTHER_TRAP
from icfleet_localnet.process_host.journal import Begun, Journal, Use
from icfleet_localnet.process_host.limits import (
    ProcessLimits,
    ended,
    limit_time,
    unlimit_time,
)
from icfleet_localnet.process_host.reader import TRACKED_OBJECTS_MAX, fork_role
from icfleet_localnet.process_host.standby import Standby
from icfleet_localnet.process_host.wire import (
    Command,
    Execute,
    Fork,
    Install,
    Line,
    Packed,
    Reply,
    Retry,
    Status,
    TakeTimers,
    Upgrade,
)

__all__ = ["Worker"]

_BLOCK_SIZE = 64
"""Bytes of memory for each block that Python allocates.

Measured 2026-11: 48 for instances, 63 for dicts of five fields, 84 for one dict of numbers.
"""

_log = logging.getLogger(__name__)


_STANDBYS = 2
"""So that one may be killed while the other is needed; they share nearly all their memory."""

_HEAP_OBJECTS_MAX = 2_000
"""Mutable objects up to which each message is undone by a checkpoint, at 0.2 us an object."""

_TAKEOVERS_MAX = 3
"""Processes in a row that may end over the same journal before the canister is given up."""


class Worker:
    """Serves one canister until the network's process is gone.

    Args:
        line: Where commands come from.
        limits: Bounds of each message.
    """

    def __init__(self, line: Line[Command], limits: ProcessLimits) -> None:
        self._line = line
        self._limits = limits
        self._instance: KybraInstance | None = None
        self._journal = Journal()
        self._standbys: list[Standby] = []
        """The last one wakes first."""
        self._is_stale = False
        """Whether something was committed that the standby cannot do again."""
        self._is_repeatable = True
        """Whether no message came to something else when it was repeated."""
        self._has_order = True
        """Whether nothing on the heap is in the order of addresses, which repeating changes."""
        self._undoes_in_place = False
        self._checkpoint_blocks = 0
        self._unsent: tuple[int, Reply] | None = None
        self._done = 0
        self._blocks_before = sys.getallocatedblocks()

    def serve(self) -> NoReturn:
        """Serve; the process ends here."""
        # Nobody asks how readers and standbys ended, so the system may forget them at once.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            self._line.send(0, Reply(pid=os.getpid()))
            while self._serve_one():
                pass
        except OSError:
            # The network's process is gone.
            pass
        except BaseException:  # noqa: BLE001  # Nothing may come out of a forked process.
            traceback.print_exc()
            os._exit(1)
        _dismiss(self._standbys)
        os._exit(0)

    def _serve_one(self) -> bool:
        before = self._stand_by()
        # A standby wakes here, where messages have the very depth of the stack they had.
        while before is not None and self._take_over(before):
            pass
        self._send_unsent()
        if self._has_lost_standby():
            return True
        packed = self._line.receive()
        if packed is None:
            return False
        self._take(packed)
        return True

    def _has_lost_standby(self) -> bool:
        """Wait for a command, or for the news that a standby is gone."""
        if not self._standbys:
            return False
        watched: list[Line[Command] | Standby] = [self._line, *self._standbys]
        ready, _, _ = select.select(watched, [], [])
        gone = [one for one in self._standbys if one in ready]
        for one in gone:
            self._standbys.remove(one)
            one.close()
        return bool(gone)

    @property
    def _installed(self) -> KybraInstance:
        assert self._instance is not None, "the first command is Install"
        return self._instance

    def _stand_by(self) -> list[Standby] | None:
        """See to it that there are standbys, not far behind.

        Returns:
            Older standbys, in a standby that has woken; ``None`` everywhere else.
        """
        is_behind = self._is_stale or self._journal.is_long or self._has_grown
        if self._instance is None or (len(self._standbys) == _STANDBYS and not is_behind):
            return None
        self._look_at_heap()
        before, was_stale = self._standbys, self._is_stale
        self._standbys, self._is_stale = [], False
        if self._fork_standbys():
            self._journal.go_to_next()
            return before
        if self._standbys:
            self._journal.go_to_next()
            self._journal.start()
            _dismiss(before)
        elif was_stale:
            # Better no state than an old one.
            _dismiss(before)
        else:
            self._standbys = before
        return None

    @property
    def _has_grown(self) -> bool:
        """Whether the heap got too large for its checkpoint."""
        return self._undoes_in_place and self._installed.heap_objects > _HEAP_OBJECTS_MAX

    def _look_at_heap(self) -> None:
        """Choose how messages are undone until the next standbys.

        By a checkpoint where that is exact, and costs little; by repeating what was committed
        where that makes no difference to be seen; else each commit gets standbys.
        """
        instance, objects = self._installed, gc.get_objects()
        self._has_order = not any(map(_is_ordered_by_address, objects))
        is_small = len(objects) <= TRACKED_OBJECTS_MAX
        del objects
        instance.leave_heap(is_left=True)
        self._undoes_in_place, self._checkpoint_blocks = False, 0
        if is_small:
            before = sys.getallocatedblocks()
            instance.leave_heap(is_left=False)
            instance.checkpoint_heap()
            if instance.is_exact and instance.heap_objects <= _HEAP_OBJECTS_MAX:
                self._undoes_in_place = True
                self._checkpoint_blocks = sys.getallocatedblocks() - before
            else:
                instance.leave_heap(is_left=True)

    def _fork_standbys(self) -> bool:
        """Fork standbys up to their number; each returns yes when it wakes."""
        try:
            while len(self._standbys) < _STANDBYS:
                forked = Standby.fork()
                if forked is None:
                    return True
                self._standbys.append(forked)
        except OSError as error:
            _log.warning("no room for a canister's standby: %s", error)
        return False

    def _take_over(self, before: list[Standby]) -> bool:
        """Go on from where the process that is gone was.

        Args:
            before: Older standbys, which must not wake any more.

        Returns:
            Whether it must be called again: this process was forked by the one that went on, and
            woke as that ended too.
        """
        takeovers = self._journal.take_over()
        if takeovers > _TAKEOVERS_MAX:
            _dismiss(before)
            self._give_up("%d processes of a canister ended as they took over", takeovers)
        if self._fork_standbys():
            return True
        _dismiss(before)
        answered = self._journal.answered
        if self._unsent is not None and self._unsent[0] <= answered:
            self._unsent = None
        for begun in self._journal.read():
            self._done = begun.number
            reply = self._repeat(begun) if begun.is_kept else self._account_for(begun)
            if begun.number > answered:
                self._unsent = begun.number, reply
        self._journal.settle()
        if self._unsent is None:
            self._line.send(0, Reply(is_takeover=True))
        return False

    def _repeat(self, begun: Begun) -> Reply:
        """Do a message again that has committed, and answer it as it was answered."""
        command = self._line.decode(begun.content)
        assert isinstance(command, Execute), "nothing else is noted with its content"
        outcome = self._execute(command)
        if outcome.trap is not None:
            self._give_up("a message that had committed trapped when repeated: %s", outcome.trap)
        self._journal.count_in(outcome.instructions, is_again=True)
        if hash(outcome) != begun.fingerprint:
            _log.warning("a canister's message came to something else when repeated")
            self._is_repeatable = False
        return Reply(outcome, self._status())

    def _account_for(self, begun: Begun) -> Reply:
        """Do what must be done of a command that was undone with its process, and answer it."""
        match begun.use:
            case Use.DUE_TIMERS:
                return self._take_timers(begun.detail)
            case Use.TIMER:
                self._installed.use_up(TimerFired(begun.detail))
            case Use.CONTINUATION:
                self._installed.use_up(Response(begun.detail, None))
            case Use.NOTHING:
                pass
        elapsed_s = time.monotonic() - begun.since_s
        return Reply(Outcome(trap=ended(elapsed_s, self._limits)), self._status())

    def _give_up(self, reason: str, detail: object) -> NoReturn:
        """End all processes that know this canister's state, which is lost."""
        _log.error(reason, detail)
        _dismiss(self._standbys)
        os._exit(1)

    def _send_unsent(self) -> None:
        if self._unsent is not None:
            number, reply = self._unsent
            self._line.send(number, reply)
            self._journal.answer(number)
            self._unsent = None

    def _take(self, packed: Packed[Command]) -> None:
        number, command = packed.number, packed.record
        if number <= self._done:
            for one in packed.fds:
                os.close(one)
            return
        if isinstance(command, Retry):
            self._line.send(number, Reply(wants_command=True))
            return
        self._done = number
        match command:
            case Fork(role):
                self._fork(role, packed.fds[0])
            case TakeTimers(now_ns):
                self._journal.begin(number, Use.DUE_TIMERS, now_ns, b"")
                self._unsent = number, self._take_timers(now_ns)
            case Install():
                self._install(number, command)
            case Upgrade():
                self._upgrade(number, command)
            case Execute():
                self._change(number, command, packed.content)

    def _fork(self, role: str, end: int) -> None:
        inherited: list[Line[Command] | Standby] = [self._line, *self._standbys]
        fork_role(role, end, self._installed, self._limits, inherited=inherited)

    def _take_timers(self, now_ns: int) -> Reply:
        timers = self._installed.take_due_timers(now_ns)
        return Reply(status=self._status(), timers=list(timers))

    def _install(self, number: int, command: Install) -> None:
        prepared = _unpickle(command.prepared)
        limit_time(self._limits)
        instance, outcome = install_canister(prepared, command.arg, command.environment)
        unlimit_time()
        if outcome.trap is not None:
            self._line.send(number, Reply(outcome))
            os._exit(0)
        instance.leave_heap(is_left=True)
        self._undoes_in_place = False
        self._commit(number, instance, outcome)

    def _upgrade(self, number: int, command: Upgrade) -> None:
        if self._refuse(number):
            return
        self._journal.begin(number, Use.NOTHING, 0, b"")
        prepared = _unpickle(command.prepared)
        limit_time(self._limits)
        instance, outcome = upgrade_canister(
            self._installed, prepared, command.arg, command.environment
        )
        unlimit_time()
        if outcome.trap is not None:
            self._give_way(number, outcome)
        instance.leave_heap(is_left=True)
        self._undoes_in_place = False
        self._commit(number, instance, outcome)

    def _change(self, number: int, command: Execute, content: bytes) -> None:
        """Execute what either commits or ends this process."""
        if self._refuse(number):
            return
        use, detail = _use_of(command.message)
        is_noted = self._is_repeatable and self._has_order
        fits = self._journal.begin(number, use, detail, content if is_noted else b"")
        outcome = self._execute(command)
        if outcome.trap is not None:
            if not (self._undoes_in_place and self._installed.is_exact):
                self._give_way(number, outcome)
            self._unsent = number, Reply(outcome, self._status())
            return
        if fits and is_noted:
            self._journal.keep(hash(outcome))
            self._journal.count_in(outcome.instructions)
            self._unsent = number, Reply(outcome, self._status())
        else:
            self._commit(number, self._installed, outcome)

    def _execute(self, command: Execute) -> Outcome:
        limit_time(self._limits)
        outcome = self._installed.execute(command.message, command.environment)
        unlimit_time()
        return outcome

    def _refuse(self, number: int) -> bool:
        """Do not begin what could not be undone."""
        if self._standbys:
            return False
        reason = "the system has no room for another process: close some canisters"
        self._unsent = number, Reply(Outcome(trap=Trap(reason, OTHER_TRAP)))
        return True

    def _give_way(self, number: int, outcome: Outcome) -> NoReturn:
        """Answer a message that trapped, and let the standby go on from before it."""
        self._line.send(number, Reply(outcome))
        self._journal.answer(number)
        os._exit(0)

    def _commit(self, number: int, instance: KybraInstance, outcome: Outcome) -> None:
        """Keep what the standby cannot do again: before the answer leaves, it is replaced."""
        self._instance = instance
        self._is_stale = True
        self._unsent = number, Reply(outcome, self._status())

    def _status(self) -> Status:
        instance = self._installed
        blocks = sys.getallocatedblocks() - self._blocks_before - self._checkpoint_blocks
        heap_bytes = max(0, blocks) * _BLOCK_SIZE
        return Status(
            next_timer_ns=instance.next_timer_ns,
            stable_bytes=instance.stable_bytes,
            heap_objects=heap_bytes // HEAP_OBJECT_SIZE,
            heap_bytes=heap_bytes,
        )


def _unpickle(prepared: bytes) -> Prepared:
    return cast("Prepared", pickle.loads(prepared))  # noqa: S301  # From the network's process.


def _dismiss(standbys: list[Standby]) -> None:
    for one in standbys:
        one.dismiss()


def _use_of(message: Message) -> tuple[Use, int]:
    match message:
        case TimerFired(timer):
            return Use.TIMER, timer
        case Response(continuation):
            return Use.CONTINUATION, continuation
        case _:
            return Use.NOTHING, 0


def _is_ordered_by_address(one: object) -> bool:
    if not isinstance(one, set | frozenset):
        return False
    items = cast("set[object] | frozenset[object]", one)
    # Sets of classes are the libraries', above all.
    return any(
        type(item).__hash__ is object.__hash__ and not isinstance(item, type) for item in items
    )
