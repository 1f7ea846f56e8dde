"""What a person at a terminal sees while a command works; scripts see nothing of it.

Everything goes to standard error: standard output carries answers only.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol, TextIO

__all__ = ["Progress", "QuietProgress", "TerminalProgress", "progress_on"]


class Progress(Protocol):
    """Where a command tells what it is doing."""

    @contextmanager
    def step(self, text: str) -> Generator[None]:
        """Show ``text`` while the block runs."""
        ...

    @contextmanager
    def bar(self, text: str) -> Generator[Callable[[float], None]]:
        """Show how much is done: call what is yielded with a share from 0 to 1."""
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

    @contextmanager
    def bar(self, text: str) -> Generator[Callable[[float], None]]:  # noqa: ARG002 - the port's signature
        """Show nothing."""
        yield lambda _share: None

    def warn(self, text: str) -> None:
        """Write one line."""
        self._stream.write(f"icfleet: warning: {text}\n")
        self._stream.flush()


class TerminalProgress:
    """A spinner with the step's name, which stays as a ticked line when the step is done."""

    def __init__(self, stream: TextIO) -> None:
        # Rich takes a fifth of a second to load, which scripts need not wait for.
        from rich.console import Console  # noqa: PLC0415
        from rich.markup import escape  # noqa: PLC0415

        self._console = Console(file=stream, highlight=False)
        self._escape = escape

    @contextmanager
    def step(self, text: str) -> Generator[None]:
        """Spin while the block runs, then tick it off; a failed step leaves no tick."""
        with self._console.status(self._escape(text)):
            yield
        self._console.print(f"[green]✓[/green] {self._escape(text)}")

    @contextmanager
    def bar(self, text: str) -> Generator[Callable[[float], None]]:
        """Show a bar while the block runs, then tick it off."""
        # Only long work has a bar, and few commands do long work.
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True) as shown:
            task = shown.add_task(self._escape(text), total=1.0)
            yield lambda share: shown.update(task, completed=share)
        self._console.print(f"[green]✓[/green] {self._escape(text)}")

    def warn(self, text: str) -> None:
        """Print one highlighted line."""
        self._console.print(f"[yellow]![/yellow] {self._escape(text)}")


def progress_on(stream: TextIO) -> Progress:
    """Choose by whether ``stream`` is a terminal."""
    return TerminalProgress(stream) if stream.isatty() else QuietProgress(stream)
