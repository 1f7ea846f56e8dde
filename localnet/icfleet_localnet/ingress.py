"""Ingress history: what became of each request, remembered until it can no longer be repeated.

Source: IC interface specification, "Request status"; dfinity/ic keeps results for five minutes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from icfleet_localnet.rejects import Reject
from icfleet_localnet.state_tree import Forest, forest_of
from icfleet_protocol.leb128 import encode_uleb128
from icfleet_protocol.principal import Principal
from icfleet_protocol.request_id import RequestId

__all__ = ["IngressHistory", "IngressStatus", "Processing", "Received", "Replied"]

_BUCKET_NS = 10 * 1_000_000_000
_KEEP_NS = 5 * 60 * 1_000_000_000
"""How long a result stays readable after the request's expiry, and after it was there."""


@dataclass(frozen=True, slots=True)
class Received:
    """Waits to be executed."""


@dataclass(frozen=True, slots=True)
class Processing:
    """Executed so far, and waiting for calls of its own."""


@dataclass(frozen=True, slots=True)
class Replied:
    """Done, with a reply."""

    arg: bytes


IngressStatus = Received | Processing | Replied | Reject


@dataclass(slots=True)
class _Entry:
    sender: Principal
    receiver: Principal
    status: IngressStatus
    expiry_ns: int


class IngressHistory:
    """All known requests of one subnet, and their subtree of the certified state."""

    def __init__(self) -> None:
        self._entries: dict[RequestId, _Entry] = {}
        self._buckets: dict[int, list[RequestId]] = {}
        """Requests with a final answer, by when to forget them."""
        self._ended: list[RequestId] = []
        """Those that got it since the last time anything was forgotten."""
        self._forest = Forest()
        self._uncertified: dict[RequestId, None] = {}

    @property
    def forest(self) -> Forest:
        """The requests' part of the certified state.

        What changed is hashed when this is asked for, so what a request went through within one
        round costs nothing.
        """
        for request in self._uncertified:
            entry = self._entries.get(request)
            if entry is not None:
                self._forest = self._forest.put(request, _status_tree(entry.status))
        self._uncertified.clear()
        return self._forest

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, request: object) -> bool:
        return request in self._entries

    def add(
        self, request: RequestId, sender: Principal, receiver: Principal, *, expiry_ns: int
    ) -> None:
        """Start to remember a request as received."""
        assert request not in self._entries, request.hex()
        self._entries[request] = _Entry(sender, receiver, Received(), expiry_ns)
        self._uncertified[request] = None

    def update(self, request: RequestId, status: IngressStatus) -> None:
        """Note a request's progress; a forgotten one is left alone."""
        entry = self._entries.get(request)
        if entry is None:
            return
        if _is_final(status) and not _is_final(entry.status):
            self._ended.append(request)
        entry.status = status
        self._uncertified[request] = None

    def status(self, request: RequestId) -> IngressStatus | None:
        """What became of a request, or ``None`` if it is not known."""
        entry = self._entries.get(request)
        return None if entry is None else entry.status

    def is_terminal(self, request: RequestId) -> bool:
        """Whether a request has its final answer."""
        return _is_final(self.status(request))

    def origin(self, request: RequestId) -> tuple[Principal, Principal] | None:
        """Who made a request and to which canister, or ``None`` if it is not known."""
        entry = self._entries.get(request)
        return None if entry is None else (entry.sender, entry.receiver)

    def forget_expired(self, now_ns: int) -> None:
        """Drop what nobody can ask for or repeat any more.

        A request without a final answer stays, however long it takes: somebody may wait for it.
        """
        for request in self._ended:
            forget_ns = max(self._entries[request].expiry_ns, now_ns) + _KEEP_NS
            self._buckets.setdefault(forget_ns // _BUCKET_NS, []).append(request)
        self._ended.clear()
        for request in self._expired(now_ns):
            del self._entries[request]
            self._forest = self._forest.drop(request)

    def _expired(self, now_ns: int) -> Iterator[RequestId]:
        for bucket in sorted(self._buckets):
            if bucket >= now_ns // _BUCKET_NS:
                return
            yield from self._buckets.pop(bucket)


def _is_final(status: IngressStatus | None) -> bool:
    return isinstance(status, Replied | Reject)


def _status_tree(status: IngressStatus) -> Forest:
    match status:
        case Received():
            return _RECEIVED
        case Processing():
            return _PROCESSING
        case Replied(arg):
            return forest_of({b"status": b"replied", b"reply": arg})
        case Reject(code, message, error_code):
            return forest_of(
                {
                    b"status": b"rejected",
                    b"reject_code": encode_uleb128(code),
                    b"reject_message": message.encode(),
                    b"error_code": error_code.encode(),
                }
            )


_RECEIVED = forest_of({b"status": b"received"})
_PROCESSING = forest_of({b"status": b"processing"})
