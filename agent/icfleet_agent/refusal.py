"""HTTP answers that are no IC answers: turned into errors that say what the server said.

Source: IC interface specification, "HTTPS Interface"; dfinity/ic for the texts.
"""

from http import HTTPStatus

from icfleet_agent.errors import ClockSkewError, HttpStatusError
from icfleet_agent.transport import HttpReply

__all__ = ["raise_for_status"]

_TEXT_LENGTH_MAX = 1000
"""Characters quoted; replicas' explanations have at most a few hundred."""

_CLOCK_SKEW_PREFIX = "Invalid request expiry: "
"""The text that both JavaScript agents look for, and so replicas keep."""


def raise_for_status(reply: HttpReply, *, accepted: frozenset[int]) -> None:
    """Do nothing if the status is one of ``accepted``.

    Raises:
        ClockSkewError: If the replica finds the expiry out of its range.
        HttpStatusError: For any other status.
    """
    if reply.status in accepted:
        return
    text = _printable(reply.body[: 4 * _TEXT_LENGTH_MAX].decode("utf-8", "replace"))
    if reply.status == HTTPStatus.BAD_REQUEST and text.startswith(_CLOCK_SKEW_PREFIX):
        raise ClockSkewError(reply.status, text)
    raise HttpStatusError(reply.status, text, retry_after_s=reply.retry_after_s)


def _printable(text: str) -> str:
    """Keep what can stand in a log line: no control characters, no endless pages."""
    words = " ".join(text.split())
    safe = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words
    )
    return safe if len(safe) <= _TEXT_LENGTH_MAX else safe[:_TEXT_LENGTH_MAX] + " ..."
