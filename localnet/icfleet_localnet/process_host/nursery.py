"""The network's side of the zygote: starts it, and asks it for canisters' processes."""

import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable

import msgspec

from icfleet_localnet.process_host.conversation import Conversation, EndedError
from icfleet_localnet.process_host.limits import ProcessLimits
from icfleet_localnet.process_host.wire import Line, Reply, socket_pair

__all__ = ["Nursery"]

_END_TIMEOUT_S = 10.0
_DEATH_TIMEOUT_S = 0.5

_ZYGOTE = "icfleet_localnet.process_host.zygote"


class Nursery:
    """Starts the zygote when the first process is wanted.

    Args:
        limits: Bounds of each canister's process.
    """

    def __init__(self, limits: ProcessLimits) -> None:
        self._limits = limits
        self._zygote: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None
        self._end: Callable[[], object] | None = None

    @property
    def zygote_pid(self) -> int | None:
        """The zygote's process id, which is its process group's as well."""
        return None if self._zygote is None else self._zygote.pid

    def spawn(self) -> Conversation:
        """Start a worker, and return the line to it.

        Raises:
            EndedError: If it does not start.
        """
        try:
            return self._try_to_spawn()
        except EndedError:
            if not self._is_zygote_gone():
                raise
            # Something has killed the zygote: canisters live on, but new ones need another.
            self.close()
            return self._try_to_spawn()

    def _try_to_spawn(self) -> Conversation:
        here, there = socket_pair()
        line = Line[Reply](here, Reply)
        with there:
            try:
                self._order(there)
            except OSError as error:
                raise EndedError(str(error)) from error
        return Conversation(line)

    def _is_zygote_gone(self) -> bool:
        if self._zygote is None:
            return False
        try:
            # Its sockets close a moment before it counts as gone.
            self._zygote.wait(_DEATH_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """End the zygote, and with it every process it has started; idempotent.

        Forgetting the nursery does the same.
        """
        if self._end is not None:
            self._end()
            self._zygote = self._orders = self._end = None

    def _order(self, end: socket.socket) -> None:
        if self._orders is None:
            self._start()
        assert self._orders is not None, "the zygote was just started"
        socket.send_fds(self._orders, [b"+"], [end.fileno()])

    def _start(self) -> None:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        limits = msgspec.json.encode(self._limits).decode()
        paths = os.pathsep.join(path for path in sys.path if path)
        with there:
            self._zygote = subprocess.Popen(  # noqa: S603  # This interpreter, our own code.
                [sys.executable, "-m", _ZYGOTE, str(there.fileno()), limits],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Hashes that repeat; the paths of this process, wherever they came from.
                env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": paths},
                pass_fds=[there.fileno()],
                # A group of its own, to be ended as one; and Ctrl-C is for this process only.
                start_new_session=True,
            )
        self._orders = here
        self._end = weakref.finalize(self, _end, here, self._zygote)


def _end(orders: socket.socket, zygote: subprocess.Popen[bytes]) -> None:
    orders.close()
    try:
        zygote.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        zygote.kill()
        zygote.wait()
