"""A request as an application sees it, and the bytes of a response.

Source: RFC 9110 (fields) and RFC 9112 (messages).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from icfleet_localnet.http_response import HttpResponse

__all__ = ["Header", "HttpAnswer", "HttpRequest", "encode_answer"]

Header = tuple[bytes, bytes]

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, complete."""

    method: str
    path: str
    """Without the query, which no endpoint here has."""
    headers: Sequence[Header]
    """Names in lower case."""
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header, by its lower-case name."""
        return [value for found, value in self.headers if found == name]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response, with the headers that the application adds to every one."""

    response: HttpResponse
    headers: Sequence[Header] = ()


def encode_answer(answer: HttpAnswer, *, has_body: bool, is_last: bool) -> bytes:
    """Write a response; the connection ends with it if it ``is_last``."""
    response = answer.response
    lines = [
        f"HTTP/1.1 {_STATUS_LINES.get(response.status, response.status)}",
        f"date: {_date(int(time.time()))}",
        f"content-type: {response.content_type}",
        f"content-length: {len(response.body)}",
    ]
    if response.retry_after_s is not None:
        lines.append(f"retry-after: {response.retry_after_s}")
    if is_last:
        lines.append("connection: close")
    extra = b"".join(b"\r\n%b: %b" % header for header in answer.headers)
    body = response.body if has_body else b""
    return b"%b%b\r\n\r\n%b" % ("\r\n".join(lines).encode(), extra, body)


@lru_cache(maxsize=1)
def _date(time_s: int) -> str:
    return formatdate(time_s, usegmt=True)
