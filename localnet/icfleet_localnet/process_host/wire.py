"""Messages between the network's process and the canisters' processes.

A message travels in packets over a pair of sockets, each packet arriving whole or not at all: so
that a process may be killed at any moment, and the one that takes its place finds the socket at
the border of a packet. Where the system has no such sockets (macOS), a stream stands in for them;
there a process killed from outside in the middle of a packet costs the canister.

    packet    number u32 | flags u32 (1 first, 2 last) | content
    message   codec u8 (0 MessagePack, 1 CBOR) | record

What comes from a canister's process is decoded into declared types, and bounded in size. CBOR is
for the rare record with a number above 64 bits.
"""

import socket
import struct
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import cbor2
import msgspec

from icfleet_localnet.executor import (
    Environment,
    Heartbeat,
    Inspect,
    Message,
    Outcome,
    Query,
    Response,
    TimerFired,
    Update,
)

__all__ = [
    "Command",
    "Execute",
    "Fork",
    "Install",
    "Line",
    "Packed",
    "Reply",
    "Retry",
    "Role",
    "Status",
    "TakeTimers",
    "Upgrade",
    "WireError",
    "socket_pair",
]

_PACKET_SIZE = 64 * 1024
"""Bytes of content; a socket's default buffer on Linux holds three such packets."""

_MESSAGE_SIZE_MAX = 512 * 1024 * 1024
"""Bytes. A message may make 500 calls, and few make even ten of the size allowed."""

_FDS_MAX = 1
_HEAD = struct.Struct("<II")
_FIRST, _LAST = 1, 2
_MSGPACK, _CBOR = b"\0", b"\1"

_KIND = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_STREAM)
_HAS_PACKETS = _KIND != socket.SOCK_STREAM
_SIZE = struct.Struct("<I")

Role = str
"""What a forked process is for: ``reader``, ``once``, ``branch`` or ``holder``."""


class WireError(Exception):
    """The other side does not keep to the protocol."""


class Status(msgspec.Struct, array_like=True, frozen=True):
    """Figures of a canister after a command."""

    next_timer_ns: int | None = None
    stable_bytes: int = 0
    heap_objects: int = 0
    heap_bytes: int = 0


class Reply(msgspec.Struct, array_like=True, frozen=True):
    """What a command came to."""

    outcome: Outcome | None = None
    status: Status | None = None
    """``None`` when it is as before."""
    timers: list[int] = []
    """Due timers, taken."""
    pid: int = 0
    """In a process's first message, which answers nothing."""
    is_spent: bool = False
    """A reader whose state is no longer exactly the version's."""
    is_takeover: bool = False
    """Nothing is answered: another process took over, and does not know of any command."""
    wants_command: bool = False
    """Answers ``Retry``: the command never arrived."""


class Install(msgspec.Struct, tag=True, frozen=True):
    """Load code and run ``init``."""

    prepared: bytes
    """Pickled: it comes from the network's process only."""
    arg: bytes
    environment: Environment


class Upgrade(msgspec.Struct, tag=True, frozen=True):
    """Replace the code."""

    prepared: bytes
    """Pickled, as for ``Install``."""
    arg: bytes
    environment: Environment


class Execute(msgspec.Struct, tag=True, frozen=True, omit_defaults=True):
    """Execute the one message that is given."""

    environment: Environment
    update: Update | None = None
    query: Query | None = None
    inspect: Inspect | None = None
    heartbeat: Heartbeat | None = None
    timer: TimerFired | None = None
    response: Response | None = None

    @classmethod
    def of(cls, message: Message, environment: Environment) -> "Execute":
        """Wrap a message."""
        match message:
            case Update():
                return cls(environment, update=message)
            case Query():
                return cls(environment, query=message)
            case Inspect():
                return cls(environment, inspect=message)
            case Heartbeat():
                return cls(environment, heartbeat=message)
            case TimerFired():
                return cls(environment, timer=message)
            case Response():
                return cls(environment, response=message)

    @property
    def message(self) -> Message:
        """The message that is given."""
        for one in (self.query, self.update, self.inspect, self.timer, self.response):
            if one is not None:
                return one
        return Heartbeat()


class TakeTimers(msgspec.Struct, tag=True, frozen=True):
    """Take the timers that are due."""

    now_ns: int


class Fork(msgspec.Struct, tag=True, frozen=True):
    """Fork a process that serves the socket sent along."""

    role: Role


class Retry(msgspec.Struct, tag=True, frozen=True):
    """Tell what became of the command of this message's number."""


Command = Install | Upgrade | Execute | TakeTimers | Fork | Retry

R = TypeVar("R")


@dataclass(slots=True)
class Packed(Generic[R]):
    """One received message."""

    number: int
    record: R
    fds: Sequence[int]
    content: bytes
    """The record as it came, for ``Line.decode``."""


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets for two ``Line``."""
    return socket.socketpair(socket.AF_UNIX, _KIND)


class Line(Generic[R]):
    """One side of a conversation; forgetting it closes it.

    Args:
        end: The socket, which it closes in the end.
        receives: Type of the records that come in.
        takes_fds: Whether file descriptors may come with them.
    """

    def __init__(self, end: socket.socket, receives: Any, *, takes_fds: bool = False) -> None:
        self._socket = end
        self._takes_fds = takes_fds
        self._receives = receives
        self._decoder = msgspec.msgpack.Decoder[Any](receives)
        self._close = weakref.finalize(self, end.close)

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket; the other side then receives ``None``."""
        self._close()

    def send(self, number: int, record: msgspec.Struct, fds: Sequence[int] = ()) -> None:
        """Send a record.

        Raises:
            OSError: If the other side is gone.
            WireError: If the record is too large.
        """
        content = _encode(record)
        if len(content) <= _PACKET_SIZE:
            self._send_packet(_HEAD.pack(number, _FIRST | _LAST) + content, fds)
            return
        if len(content) > _MESSAGE_SIZE_MAX:
            reason = f"a message of {len(content)} bytes, at most {_MESSAGE_SIZE_MAX} allowed"
            raise WireError(reason)
        start = 0
        while True:
            part = content[start : start + _PACKET_SIZE]
            flags = _FIRST if start == 0 else 0
            start += len(part)
            flags |= _LAST if start >= len(content) else 0
            self._send_packet(_HEAD.pack(number, flags) + part, fds if flags & _FIRST else ())
            if flags & _LAST:
                return

    def receive(self) -> "Packed[R] | None":
        """Wait for the next record; ``None`` when the other side is gone.

        What is left of a message whose beginning a dead process has read is passed over.

        Raises:
            WireError: If what comes is not a record of the declared type.
        """
        parts: list[bytes] = []
        fds: list[int] = []
        current, size, is_whole = -1, 0, False
        while True:
            packet, with_it = self._receive_packet()
            if not packet:
                return None
            if len(packet) < _HEAD.size:
                reason = f"a packet of {len(packet)} bytes"
                raise WireError(reason)
            number, flags = _HEAD.unpack_from(packet)
            if flags == _FIRST | _LAST:
                content = packet[_HEAD.size :]
                return Packed(number, self.decode(content), [*fds, *with_it], content)
            if flags & _FIRST or number != current:
                parts, size, is_whole = [], 0, bool(flags & _FIRST)
            fds += with_it
            current = number
            parts.append(packet[_HEAD.size :])
            size += len(packet)
            if size > _MESSAGE_SIZE_MAX + _PACKET_SIZE:
                reason = f"a message of more than {_MESSAGE_SIZE_MAX} bytes"
                raise WireError(reason)
            if flags & _LAST and is_whole:
                content = b"".join(parts)
                return Packed(number, self.decode(content), fds, content)

    def _send_packet(self, packet: bytes, fds: Sequence[int]) -> None:
        if not _HAS_PACKETS:
            packet = _SIZE.pack(len(packet)) + packet
        if fds:
            sent = socket.send_fds(self._socket, [packet], fds)
            packet = packet[sent:]
            if not packet:
                return
        self._socket.sendall(packet)

    def _receive_packet(self) -> tuple[bytes, Sequence[int]]:
        try:
            if _HAS_PACKETS:
                return self._receive_some(_HEAD.size + _PACKET_SIZE)
            head, fds = self._receive_all(_SIZE.size)
            if not head:
                return b"", ()
            (size,) = _SIZE.unpack(head)
            if size > _HEAD.size + _PACKET_SIZE:
                reason = f"a packet of {size} bytes"
                raise WireError(reason)
            packet, more = self._receive_all(size)
        except ConnectionError:
            return b"", ()
        return packet, [*fds, *more]

    def _receive_all(self, size: int) -> tuple[bytes, Sequence[int]]:
        parts: list[bytes] = []
        fds: list[int] = []
        while size:
            part, with_it = self._receive_some(size)
            fds += with_it
            if not part:
                return b"", fds
            parts.append(part)
            size -= len(part)
        return b"".join(parts), fds

    def _receive_some(self, size: int) -> tuple[bytes, Sequence[int]]:
        if not self._takes_fds:
            return self._socket.recv(size), ()
        content, fds, _, _ = socket.recv_fds(self._socket, size, _FDS_MAX)
        return content, fds

    def decode(self, content: bytes) -> R:
        """Read a record.

        Raises:
            WireError: If it is not one of the declared type.
        """
        body = memoryview(content)[1:]
        try:
            if content[:1] == _MSGPACK:
                record: R = self._decoder.decode(body)
            else:
                plain = cbor2.loads(bytes(body))
                record = msgspec.convert(plain, self._receives, builtin_types=(bytes,))
        except (
            msgspec.MsgspecError,
            cbor2.CBORError,
            ValueError,
            RecursionError,
        ) as error:
            reason = f"a malformed message: {error}"
            raise WireError(reason) from error
        return record


_encoder = msgspec.msgpack.Encoder()


def _encode(record: msgspec.Struct) -> bytes:
    try:
        return _MSGPACK + _encoder.encode(record)
    except (OverflowError, UnicodeEncodeError):
        # A number of cycles above 64 bits, or text of a canister that has no UTF-8 form.
        plain = _as_utf8(msgspec.to_builtins(record, builtin_types=(bytes,)))
        return _CBOR + cbor2.dumps(plain)


def _as_utf8(value: Any) -> Any:
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case list() | tuple():
            return [_as_utf8(one) for one in cast("Sequence[Any]", value)]
        case dict():
            return {key: _as_utf8(one) for key, one in cast("dict[str, Any]", value).items()}
        case _:
            return value
