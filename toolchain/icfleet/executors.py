"""The executors by the names that users choose them by."""

from collections.abc import Sequence
from pathlib import Path

from icfleet.option_values import ExecutorName
from icfleet_localnet.executor import Executor

__all__ = ["make_executor"]


def make_executor(name: ExecutorName, *, source_roots: Sequence[Path] = ()) -> Executor:
    """Make an executor; whoever makes it closes it.

    Args:
        name: Which one.
        source_roots: Where canisters' sources lie: breakpoints in them work, and tracebacks name
            them.
    """
    match name:
        case "inprocess":
            from icfleet_localnet.kybra_host.inprocess import (  # noqa: PLC0415 - only the chosen one is loaded
                InProcessExecutor,
            )

            return InProcessExecutor(source_roots=source_roots)
        case "process":
            from icfleet_localnet.process_host.executor import (  # noqa: PLC0415 - only the chosen one is loaded
                ProcessExecutor,
            )

            return ProcessExecutor(source_roots=source_roots)
