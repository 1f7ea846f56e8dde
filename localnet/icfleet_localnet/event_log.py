"""Structured logs: each event is a sentence that never changes, with named values beside it.

They go through the standard library, so that whoever embeds the network decides where they end up;
the values are the record's attribute ``fields``. (structlog was measured to add 250 ms to the start
of a network, for what its console output imports.)
"""

import logging
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["EventLog", "quiet"]

_PACKAGE = "icfleet_localnet"


class EventLog:
    """Writes the events of one module.

    Args:
        name: The module's ``__name__``.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        """What helps to understand one request."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """What an operator follows; never once per request."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """What somebody should look at."""
        self._write(logging.WARNING, event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """Our own mistake, with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, event, fields, is_exception=True)

    def _write(
        self, level: int, event: str, fields: dict[str, object], *, is_exception: bool = False
    ) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, exc_info=is_exception, extra={"fields": fields})


@contextmanager
def quiet() -> Generator[None]:
    """Leave out all below a warning: what is computed again has been told already."""
    logger = logging.getLogger(_PACKAGE)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
