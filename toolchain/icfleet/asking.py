"""Questions to whoever runs a command: asked on a terminal only, and answered by ``--yes``."""

import sys
from collections.abc import Callable

from icfleet.errors import ToolchainError

__all__ = ["Ask", "ask_on_terminal", "say_yes"]

Ask = Callable[[str, str], None]
"""Shows a text and wants a word typed; raises ``ToolchainError`` unless it is."""


def ask_on_terminal(text: str, word: str) -> None:
    """Ask the person at the terminal to type a word.

    Raises:
        ToolchainError: If they type another, or nobody is there; nothing was done then.
    """
    sys.stderr.write(f"{text}\n")
    if not sys.stdin.isatty():
        message = "nobody is here to ask: say --yes; nothing was done"
        raise ToolchainError(message)
    sys.stderr.write(f"Type {word} to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != word:
        message = "nothing was done"
        raise ToolchainError(message)


def say_yes(text: str, word: str) -> None:  # noqa: ARG001 - the signature of ``Ask``
    """Show the text, as ``--yes`` does: what is lost is told also to who has agreed before."""
    sys.stderr.write(f"{text}\n")
