"""Driving what a canister method returns: a value, or a generator cut into messages at its calls.

Whatever has a ``send`` is taken for a generator. A generator it yields is driven to its end
first; an exception inside that one is not thrown into the one that waits for it.

Source: ``kybra`` 0.7.1, ``kybra_generate/src/body/async_result_handler.rs``.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

__all__ = ["Drive", "Finished", "Waiting", "is_generator"]


@dataclass(frozen=True, slots=True)
class Finished:
    """There is a result."""

    value: Any


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call was yielded; its result is what the next ``advance`` takes."""

    name: Any
    arguments: Any


def is_generator(value: object) -> bool:
    """Whether the compiled canister would drive this value."""
    return hasattr(value, "send")


class Drive:
    """A generator, and those it waits for."""

    def __init__(self, generator: Any) -> None:
        self._stack: list[Any] = [generator]

    @property
    def generators(self) -> list[object]:
        """The generators that have not ended, outermost first."""
        return list(self._stack)

    def advance(self, value: Any) -> Finished | Waiting:
        """Send a value in, and run to the next call or to the end.

        Raises:
            BaseException: Whatever the canister's code raises, and ``AttributeError`` when it
                yields something that is neither a generator nor a call.
        """
        while True:
            try:
                yielded = self._stack[-1].send(value)
            except StopIteration as stop:
                self._stack.pop()
                value = stop.value
                if not self._stack:
                    return Finished(value)
                continue
            if not is_generator(yielded):
                return Waiting(yielded.name, yielded.args)
            self._stack.append(yielded)
            value = None

    def close(self) -> None:
        """End all generators, whatever their ``finally`` blocks do.

        The compiled runtime runs no such block when it drops a generator, so the caller undoes
        what they change. Without this, Python would run them at some later moment.
        """
        while self._stack:
            with suppress(BaseException):  # Nobody is left to tell.
                self._stack.pop().close()
