"""A sleeping copy of a canister's process that wakes when the process is gone.

Worker and standby are connected by a pair of sockets. When those close, the worker is gone: it
trapped, was killed, or crashed. The standby then does what was committed since (see ``journal``)
and goes on. When the standby is gone, the worker sees that the same way and forks another.

Only one standby may wake. A new one holds the worker's socket to the one before, which therefore
sleeps on until it is dismissed, by the worker or by the new standby once that has woken.
"""

import os
import signal
import socket
from contextlib import suppress

__all__ = ["Standby"]


class Standby:
    """The worker's handle of its standby."""

    def __init__(self, end: socket.socket, pidfd: int | None) -> None:
        self._end = end
        self._pidfd = pidfd

    @staticmethod
    def fork() -> "Standby | None":
        """Fork a standby; in that process, return ``None`` when it must take over.

        Raises:
            OSError: If the system has no room for a process.
        """
        here, there = socket.socketpair()
        with there:
            try:
                pid = os.fork()
            except OSError:
                here.close()
                raise
            if pid:
                return Standby(here, _pidfd(pid))
            here.close()
            if there.recv(1):
                os._exit(0)
            return None

    def fileno(self) -> int:
        """Return the descriptor that can be read from when the standby is gone."""
        return self._end.fileno()

    def dismiss(self) -> None:
        """End the standby."""
        if self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        else:
            with suppress(ConnectionError):
                self._end.sendall(b"x")
        self.close()

    def close(self) -> None:
        """Close this process's end."""
        self._end.close()
        if self._pidfd is not None:
            os.close(self._pidfd)


def _pidfd(pid: int) -> int | None:
    """Return a handle that never means another process; killing needs no turn of the killed."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
