"""Processes forked from a canister's for what leaves no trace in it.

    reader   serves many queries on one committed state
    once     serves one
    branch   one composite query, whose changes stay in it until it ends
    holder   keeps a state for later, and forks the others from it

A reader undoes each query by a checkpoint of the heap, which costs little on a small heap, and
says when that was not exact, so that it is replaced. On a heap that is large, or that a
checkpoint cannot restore exactly, it forks a process for each query instead.
"""

import gc
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from typing import NoReturn, Protocol

from icfleet_localnet.executor import Outcome
from icfleet_localnet.kybra_host.instance import KybraInstance
from icfleet_localnet.process_host.limits import (
    ProcessLimits,
    ended,
    limit_time,
    unlimit_time,
)
from icfleet_localnet.process_host.wire import (
    Command,
    Execute,
    Fork,
    Line,
    Packed,
    Reply,
    Role,
)

__all__ = ["TRACKED_OBJECTS_MAX", "fork_role"]

TRACKED_OBJECTS_MAX = 20_000
"""Objects from which on a fork for each query (3 to 4 ms) is cheaper than a checkpoint."""


class _Closable(Protocol):
    def close(self) -> None: ...


def fork_role(
    role: Role,
    end: int,
    instance: KybraInstance,
    limits: ProcessLimits,
    *,
    inherited: Sequence[_Closable],
) -> None:
    """Fork a process that serves the socket ``end``; here, only close it.

    When there is no room for a process, the other side sees the socket close.

    Args:
        role: What the process is for.
        end: A socket's descriptor.
        instance: The canister in the state to serve.
        limits: Bounds of each message.
        inherited: What the new process must not keep open.
    """
    try:
        pid = os.fork()
    except OSError:
        pid = -1
    if pid == 0:
        for one in inherited:
            one.close()
        instance.leave_heap(is_left=True)
        line = Line[Command](socket.socket(fileno=end), Command, takes_fds=role == "holder")
        _serve(role, line, instance, limits)
    os.close(end)


def _serve(
    role: Role, line: Line[Command], instance: KybraInstance, limits: ProcessLimits
) -> NoReturn:
    try:
        line.send(0, Reply(pid=os.getpid()))
        if role == "holder":
            _hold(line, instance, limits)
        else:
            _read(role, line, instance, limits)
    except OSError:
        pass  # The network's process is gone.
    except BaseException:  # noqa: BLE001  # Nothing may come out of a forked process.
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _hold(line: Line[Command], instance: KybraInstance, limits: ProcessLimits) -> None:
    while (packed := line.receive()) is not None:
        if isinstance(packed.record, Fork):
            fork_role(packed.record.role, packed.fds[0], instance, limits, inherited=[line])


def _read(role: Role, line: Line[Command], instance: KybraInstance, limits: ProcessLimits) -> None:
    is_restoring = role == "reader" and _can_restore(instance)
    while (packed := line.receive()) is not None:
        if role == "reader" and not is_restoring:
            _read_apart(line, packed, instance, limits)
            continue
        _answer(line, packed, instance, limits)
        if role == "once":
            return


def _can_restore(instance: KybraInstance) -> bool:
    """Take a checkpoint, if it is worth it and can be restored exactly."""
    instance.leave_continuations()
    is_small = len(gc.get_objects()) < TRACKED_OBJECTS_MAX
    # What is here now lives as long as this process, so that no collection need look at it.
    gc.freeze()
    if is_small:
        instance.leave_heap(is_left=False)
        if instance.checkpoint_heap():
            return True
        instance.leave_heap(is_left=True)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return False


def _answer(
    line: Line[Command],
    packed: Packed[Command],
    instance: KybraInstance,
    limits: ProcessLimits,
) -> None:
    command = packed.record
    assert isinstance(command, Execute), "readers only execute"
    limit_time(limits)
    outcome = instance.execute(command.message, command.environment)
    unlimit_time()
    line.send(packed.number, Reply(outcome, is_spent=not instance.is_exact))


def _read_apart(
    line: Line[Command],
    packed: Packed[Command],
    instance: KybraInstance,
    limits: ProcessLimits,
) -> None:
    """Execute in a process of its own."""
    began_s = time.monotonic()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _answer(line, packed, instance, limits)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        trap = ended(time.monotonic() - began_s, limits)
        line.send(packed.number, Reply(Outcome(trap=trap)))
