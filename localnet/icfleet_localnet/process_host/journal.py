"""What a canister's process has done since its standby was forked, for the standby to do again.

It lies in memory that both share: so the standby need not run at all while it is not needed, and
what a process noted before it was killed is there.

A message that committed is noted with its content, and done again by whoever takes over, as a
replica of the IC does from its last checkpoint. That comes to the same: the standby is a copy of
the very process, and a message sees nothing that differs from run to run (its time and its random
numbers are its own). A fingerprint of the outcome tells whether it did.
"""

import mmap
import struct
import time
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Begun", "Journal", "Use"]

_SIZE = 512 * 1024
"""Bytes; only what is ever written to takes memory."""

_COMMANDS_MAX = 64
"""Commands that a standby may be behind."""

_REPEATED_MAX = 16
"""Commands that one take-over, or some in a row, may do again."""

_INSTRUCTIONS_MAX = 100_000_000
"""Approximated instructions that it may be behind: some 15 ms. Nothing that is measured decides,
so that the same messages make the same forks."""


class Use(IntEnum):
    """What a command uses up, whether or not it is undone."""

    NOTHING = 0
    TIMER = 1
    CONTINUATION = 2
    DUE_TIMERS = 3
    """Not undone at all: the standby takes the due timers as well."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A command the worker began."""

    number: int
    use: Use
    detail: int
    """The id of what is used up; of due timers, the time."""
    since_s: float
    """On the monotonic clock, which processes share."""
    is_kept: bool
    """Whether it committed; its answer may have left or not."""
    fingerprint: int
    """Of its outcome, when it was kept."""
    content: bytes
    """The command, when it is to be done again."""


class Journal:
    """What was begun, kept and answered since the standby was forked.

    A process may be killed between any two writes: a note is in force only with the count after
    it, and kept only with the mark after its fingerprint.
    """

    _HEAD = struct.Struct("=IIIIQ")
    """Count, last answered number, take-overs, nothing, and last, for it puts the others in force:
    the generation."""
    _NOTE = struct.Struct("=IBQdI")
    """Number, use, detail, since, size of the content; fingerprint, mark and content follow."""
    _FINGERPRINT = struct.Struct("=q")

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, _SIZE)
        self._generation = 0
        """Of the standby; the page may still be about the one before."""
        self._empty()

    def _empty(self) -> None:
        self._count = self._answered = self._takeovers = self._outcome_at = 0
        self._end = self._HEAD.size
        self._instructions = self._repeated = 0

    @property
    def is_long(self) -> bool:
        """Whether it is time for a new standby."""
        return (
            self._count >= _COMMANDS_MAX
            or self._repeated >= _REPEATED_MAX
            or self._instructions >= _INSTRUCTIONS_MAX
            or self._end > _SIZE // 2
        )

    def go_to_next(self) -> None:
        """Be about the next standby, as process and standby each say after the fork."""
        self._generation += 1

    def start(self) -> None:
        """Begin anew, for the standby that was just forked."""
        self._empty()
        self._write_head()

    def begin(self, number: int, use: Use, detail: int, content: bytes) -> bool:
        """Note a command before it is executed, and say whether it can be done again from here.

        There is always room for a command that is not to be done again: ``is_long`` comes in time.
        """
        start, size = self._end, len(content)
        fits = self._body(start) + size + self._HEAD.size <= _SIZE
        if not fits:
            size = 0
        self._NOTE.pack_into(self._page, start, number, use, detail, time.monotonic(), size)
        self._outcome_at = start + self._NOTE.size
        body = self._body(start)
        self._page[body - 1] = 0
        self._end = body + size
        if size:
            self._page[body : self._end] = content
        self._count += 1
        self._write_head()
        return fits

    def keep(self, fingerprint: int) -> None:
        """Note that the command begun last has committed; it is done again by who takes over."""
        self._FINGERPRINT.pack_into(self._page, self._outcome_at, fingerprint)
        self._page[self._outcome_at + self._FINGERPRINT.size] = 1

    def count_in(self, instructions: int, *, is_again: bool = False) -> None:
        """Count what it takes to do a kept command again, or took."""
        self._instructions += instructions
        self._repeated += is_again

    def answer(self, number: int) -> None:
        """Note that a command's answer was sent."""
        self._answered = number
        self._write_head()

    def take_over(self) -> int:
        """Go on with the journal of the process that is gone; ``settle`` follows.

        Returns:
            How many processes in a row have come as far as here, this one included.
        """
        count, answered, takeovers, _, generation = self._HEAD.unpack_from(self._page)
        self._empty()
        if generation == self._generation:
            self._count, self._answered, self._takeovers = count, answered, takeovers
        self._takeovers += 1
        self._write_head()
        return self._takeovers

    def settle(self) -> None:
        """Note that everything is done again."""
        self._takeovers = 0
        self._write_head()

    @property
    def answered(self) -> int:
        """The last command whose answer was sent; 0 when none was since the standby's fork."""
        return self._answered

    def read(self) -> list[Begun]:
        """Return what was begun since this standby was forked; new notes come after it."""
        found: list[Begun] = []
        start = self._HEAD.size
        for _ in range(self._count):
            number, use, detail, since_s, size = self._NOTE.unpack_from(self._page, start)
            (fingerprint,) = self._FINGERPRINT.unpack_from(self._page, start + self._NOTE.size)
            body = self._body(start)
            is_kept = bool(self._page[body - 1])
            content = self._page[body : body + size]
            found.append(Begun(number, Use(use), detail, since_s, is_kept, fingerprint, content))
            start = body + size
        self._end = start
        return found

    def _body(self, start: int) -> int:
        return start + self._NOTE.size + self._FINGERPRINT.size + 1

    def _write_head(self) -> None:
        numbers = self._count, self._answered, self._takeovers
        self._HEAD.pack_into(self._page, 0, *numbers, 0, self._generation)
