"""What a person at a terminal sees while a command works; scripts see nothing of it.

Everything goes to standard error: standard output carries answers only.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.markup import escape

__all__ = ["Progress", "QuietProgress", "TerminalProgress", "progress_on"]


class Progress(Protocol):
    """Where a command tells what it is doing."""

    @contextmanager
    def step(self, text: str) -> Generator[None]:
        """Show ``text`` while the block runs."""
        ...

    def warn(self, text: str) -> None:
        """Tell something the user should know, whatever the stream is."""
        ...


class QuietProgress:
    """For streams that are no terminal: steps are silent, warnings are plain lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @contextmanager
    def step(self, text: str) -> Generator[None]:  # noqa: ARG002 - the port's signature
        """Show nothing."""
        yield

    def warn(self, text: str) -> None:
        """Write one line."""
        self._stream.write(f"icfleet: warning: {text}\n")
        self._stream.flush()


class TerminalProgress:
    """A spinner with the step's name, which stays as a ticked line when the step is done."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)

    @contextmanager
    def step(self, text: str) -> Generator[None]:
        """Spin while the block runs, then tick it off; a failed step leaves no tick."""
        with self._console.status(escape(text)):
            yield
        self._console.print(f"[green]✓[/green] {escape(text)}")

    def warn(self, text: str) -> None:
        """Print one highlighted line."""
        self._console.print(f"[yellow]![/yellow] {escape(text)}")


def progress_on(stream: TextIO) -> Progress:
    """Choose by whether ``stream`` is a terminal."""
    return TerminalProgress(stream) if stream.isatty() else QuietProgress(stream)
