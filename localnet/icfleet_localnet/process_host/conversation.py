"""One question, one answer: the network's side of a line to a canister's process."""

import os
from collections.abc import Sequence

from icfleet_localnet.process_host.wire import (
    Command,
    Fork,
    Line,
    Reply,
    Retry,
    Role,
    WireError,
    socket_pair,
)

__all__ = ["Conversation", "EndedError"]

_FORK_ATTEMPTS = 3
"""A worker may be killed just then; its standby forks as well."""


class EndedError(Exception):
    """The process at the other end is gone, or makes no sense."""


class Conversation:
    """Asks a canister's process, whichever process that is by now.

    Args:
        line: The line to it. The process says hello first, which is waited for here.

    Raises:
        EndedError: If the process never started.
    """

    def __init__(self, line: Line[Reply]) -> None:
        self._line = line
        self._number = 0
        try:
            self.pid = self._receive().pid
        except EndedError:
            line.close()
            raise

    def ask(self, command: Command) -> Reply:
        """Send a command and wait for its answer.

        When another process takes over and does not know the command, it gets it again.

        Raises:
            EndedError: If nobody is left to answer.
        """
        self._number += 1
        self._send(command)
        while True:
            reply = self._receive(answering=self._number)
            if reply.is_takeover:
                self._send(Retry())
            elif reply.wants_command:
                self._send(command)
            else:
                return reply

    def fork(self, role: Role) -> "Conversation":
        """Let the process fork one of the given role.

        Raises:
            EndedError: If it cannot.
        """
        for _ in range(_FORK_ATTEMPTS):
            here, there = socket_pair()
            line = Line[Reply](here, Reply)
            with there:
                self._number += 1
                self._send(Fork(role), [there.fileno()])
            try:
                return Conversation(line)
            except EndedError:
                continue
        reason = "the canister's process cannot fork another"
        raise EndedError(reason)

    def close(self) -> None:
        """Let the process end; idempotent."""
        self._line.close()

    def _send(self, command: Command, fds: Sequence[int] = ()) -> None:
        try:
            self._line.send(self._number, command, fds)
        except OSError as error:
            raise EndedError(str(error)) from error

    def _receive(self, *, answering: int = 0) -> Reply:
        """Wait for an answer, or for the news of a take-over, which has number 0."""
        while True:
            try:
                packed = self._line.receive()
            except (OSError, WireError) as error:
                raise EndedError(str(error)) from error
            if packed is None:
                reason = "the process is gone"
                raise EndedError(reason)
            for one in packed.fds:
                os.close(one)
            if packed.number in (0, answering):
                return packed.record
