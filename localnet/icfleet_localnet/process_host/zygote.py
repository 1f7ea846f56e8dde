"""The process that canisters' processes are forked from: it has imported all they need, once.

It is clean: one thread, no event loop, no sockets but the one it takes orders from. When that one
closes, because the network's process is gone however it went, it kills its whole process group,
which is all canisters' processes and itself.
"""

import ctypes
import gc
import os
import signal
import socket
import sys
from contextlib import suppress

import msgspec

from icfleet_localnet.process_host.limits import ProcessLimits, limit_memory
from icfleet_localnet.process_host.wire import Command, Line
from icfleet_localnet.process_host.worker import Worker

__all__ = ["main"]

_SET_CHILD_SUBREAPER = 36
"""Source: ``prctl(2)`` of Linux."""


def main(orders: int, limits: ProcessLimits) -> None:
    """Fork a worker for each socket that comes, until there are no more orders."""
    _adopt_orphans()
    # Nobody waits for workers, so the system may forget them at once.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    # Collections in canisters need not look at, and so copy, what is here already.
    gc.freeze()
    with socket.socket(fileno=orders) as end:
        while True:
            order, fds, _, _ = socket.recv_fds(end, 1, 1)
            if not order:
                break
            with suppress(OSError):  # No room for a process: the other side sees the close.
                if os.fork() == 0:
                    end.close()
                    _work(fds[0], limits)
            os.close(fds[0])
    os.killpg(0, signal.SIGKILL)


def _work(end: int, limits: ProcessLimits) -> None:
    limit_memory(limits)
    Worker(Line(socket.socket(fileno=end), Command, takes_fds=True), limits).serve()


def _adopt_orphans() -> None:
    """Become the parent of processes whose worker has ended, so that none stays as a zombie.

    Other systems than Linux give them to the first process, which does the same.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=ProcessLimits))
