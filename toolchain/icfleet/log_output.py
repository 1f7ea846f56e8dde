"""Where the local network's structured logs go: standard error, for people or for programs."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from icfleet.option_values import LogFormat, LogLevel

__all__ = ["configure_logging"]

_TEXT_WIDTH = 28
"""Characters of an event before its values, so that those stand in a column."""


def configure_logging(level: LogLevel, style: LogFormat = "console") -> None:
    """Send all logs to standard error; standard output is for answers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if style == "json" else _ConsoleLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class _JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, the event's values."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": _time(record).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _ConsoleLines(logging.Formatter):
    """Time, event, and values as ``name=value``; a level only where somebody should look."""

    def format(self, record: logging.LogRecord) -> str:
        time = _time(record).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        values = " ".join(f"{name}={_shown(value)}" for name, value in _fields(record).items())
        line = f"{time} {level}{record.getMessage():<{_TEXT_WIDTH}} {values}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The named values of a structured event; other packages' records have none."""
    return getattr(record, "fields", {})


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _shown(value: object) -> str:
    """A value on one line: what canisters print must not look like a line of ours."""
    text = str(value)
    return text if text.isprintable() and " " not in text and text else repr(text)
