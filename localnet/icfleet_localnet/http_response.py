"""What an HTTP request is answered with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from icfleet_protocol.cbor import encode_tagged

__all__ = ["HttpResponse"]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A status, and a body of CBOR or plain text."""

    status: int
    body: bytes = b""
    content_type: str = "application/cbor"
    retry_after_s: int | None = None

    @classmethod
    def text(cls, status: int, text: str, *, retry_after_s: int | None = None) -> Self:
        """A plain-text answer, as the replica gives for every HTTP error."""
        return cls(status, text.encode(), "text/plain; charset=utf-8", retry_after_s)

    @classmethod
    def cbor(cls, value: Mapping[str, object]) -> Self:
        """A CBOR answer with status 200."""
        return cls(200, encode_tagged(value))
