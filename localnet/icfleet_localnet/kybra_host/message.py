"""One message while it runs: what it is allowed to ask the system, and what it has done so far.

Source: IC interface specification, "Overview of imports", for which call is allowed where.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import NoReturn

from icfleet_localnet.executor import Environment, OutgoingCall, Trap
from icfleet_localnet.kybra_host.generators import Drive
from icfleet_localnet.kybra_host.interface import HostMethod
from icfleet_localnet.kybra_host.service_calls import CallRequest
from icfleet_localnet.kybra_host.traps import CONTRACT_VIOLATION, CanisterTrap
from icfleet_localnet.kybra_host.unit_of_work import Branch

__all__ = [
    "ANSWERING",
    "CALLBACKS",
    "CALLING",
    "CHANGING",
    "INSPECTING",
    "REFUNDED",
    "REJECTED",
    "TAKING_CYCLES",
    "WITH_ARGUMENT",
    "CallState",
    "Continuation",
    "MessageState",
    "Mode",
    "shorten",
]

_PRINTED_SIZE_MAX = 256 * 1024
"""Characters kept of what one message prints, so that a loop cannot fill the memory."""

_REPLY_SIZE_MAX = 2 * 1024 * 1024
_QUERY_REPLY_SIZE_MAX = 3 * 1024 * 1024
"""Bytes. Source: dfinity/ic, ``rs/limits``."""

_CALL_SIZE_MAX = 10 * 1024 * 1024
"""Bytes of a call's method name and argument, to a canister of the same subnet; the network allows
2 MiB to others. Source: dfinity/ic, ``MULTIPLIER_MAX_SIZE_LOCAL_SUBNET``."""

_TEXT_SIZE_MAX = 8 * 1024
"""Bytes of a trap's or rejection's text. Source: dfinity/ic, ``MAX_REJECT_MESSAGE_LEN_BYTES``."""

_ELLIPSIS = "..."

_OUT_OF_CYCLES = "IC0501"


class Mode(Enum):
    """Where in its life a canister executes; the value is how the system names it in traps."""

    START = "start"
    """``init`` and ``post_upgrade``, and the modules' top level."""
    PRE_UPGRADE = "pre upgrade"
    UPDATE = "update"
    REPLICATED_QUERY = "replicated query"
    QUERY = "non replicated query"
    COMPOSITE_QUERY = "composite query"
    REPLY = "reply callback"
    REJECT = "reject callback"
    COMPOSITE_REPLY = "composite reply callback"
    COMPOSITE_REJECT = "composite reject callback"
    INSPECT = "inspect message"
    HEARTBEAT = "heartbeat"
    TIMER = "timer"
    """Kybra's timers run in a call of the canister to itself, so much of an update is allowed."""


_COMPOSITE = frozenset({Mode.COMPOSITE_QUERY, Mode.COMPOSITE_REPLY, Mode.COMPOSITE_REJECT})

CALLBACKS = frozenset({Mode.REPLY, Mode.REJECT, Mode.COMPOSITE_REPLY, Mode.COMPOSITE_REJECT})
REJECTED = frozenset({Mode.REJECT, Mode.COMPOSITE_REJECT})
REFUNDED = frozenset({Mode.REPLY, Mode.REJECT})
INSPECTING = frozenset({Mode.INSPECT})
TAKING_CYCLES = frozenset({Mode.UPDATE, Mode.TIMER, Mode.REPLY, Mode.REJECT})
CALLING = TAKING_CYCLES | _COMPOSITE | {Mode.HEARTBEAT}
CHANGING = TAKING_CYCLES | {Mode.START, Mode.PRE_UPGRADE, Mode.HEARTBEAT}
ANSWERING = CALLBACKS | {Mode.UPDATE, Mode.REPLICATED_QUERY, Mode.QUERY, Mode.COMPOSITE_QUERY}
WITH_ARGUMENT = frozenset(Mode) - REJECTED - {Mode.PRE_UPGRADE, Mode.HEARTBEAT}

_REPLICATED = TAKING_CYCLES | {Mode.REPLICATED_QUERY}


@dataclass(slots=True)
class CallState:
    """What belongs to one call over all its messages."""

    method: HostMethod | None = None
    """The method that was called; ``None`` for hooks and timers, which nobody waits for."""
    is_detached: bool = False
    """A timer's: its result, and an exception of its generator, concern nobody."""
    is_dropped: bool = False
    """Its changes are undone in the end: queries and ``inspect_message``."""
    is_answered: bool = False
    drive: Drive | None = None
    """The generator it waits in, once there is one."""
    instructions: int = 0
    """Of the messages before this one; see ``MessageState.instructions``."""


@dataclass(slots=True)
class Continuation:
    """A call context that waits for an answer."""

    id: int
    call: CallState
    request: CallRequest
    branch: Branch | None = None
    """Of a query: its changes so far."""


@dataclass(slots=True, kw_only=True)
class MessageState:
    """One message's rights and effects."""

    mode: Mode
    environment: Environment
    call: CallState
    argument: bytes = b""
    """The call's argument; in a reply callback, the reply."""
    reject_code: int = 0
    reject_message: str = ""
    inspected_method: str = ""

    reply: bytes | None = None
    reject: str | None = None
    calls: list[OutgoingCall] = field(default_factory=list[OutgoingCall])
    waiting: Continuation | None = None
    """What goes on when the call just made is answered."""
    prints: list[str] = field(default_factory=list[str])
    is_accepted: bool = False
    certified_data: bytes | None = None
    cycles_accepted: int = 0
    cycles_spent: int = 0
    trap: Trap | None = None
    """Set once, for good: whatever the code does afterwards, the message is undone."""
    instructions: int = 0
    """Approximated, once the message has ended; see ``metering``."""
    _printed_size: int = 0

    @property
    def balance(self) -> int:
        """Cycles of the canister at this moment."""
        return self.environment.cycles + self.cycles_accepted - self.cycles_spent

    @property
    def cycles_available(self) -> int:
        """Cycles that came with the call and were not accepted yet."""
        return self.environment.cycles_available - self.cycles_accepted

    def print(self, text: str) -> None:
        """Keep a printed line, as far as there is room."""
        room = _PRINTED_SIZE_MAX - self._printed_size
        if room > 0:
            self.prints.append(text if len(text) <= room else f"{text[:room]} [cut]")
        self._printed_size += len(text) + 1

    def answer(self, *, reply: bytes | None = None, reject: str | None = None) -> None:
        """Take the one answer of a call."""
        if self.call.method is None:
            self.violate("the message has nobody to answer")
        if self.call.is_answered:
            self.violate("the call is already replied")
        size_max = _REPLY_SIZE_MAX if self.mode in _REPLICATED else _QUERY_REPLY_SIZE_MAX
        size = len(reply or b"") if reject is None else len(reject.encode(errors="replace"))
        if size > size_max:
            self.violate(f"a reply of {size} bytes, at most {size_max} allowed")
        self.call.is_answered = True
        self.reply, self.reject = reply, None if reject is None else shorten(reject)

    def send(self, call: OutgoingCall) -> None:
        """Take a call that leaves when the message commits."""
        self.require("call_new", CALLING)
        size = len(call.method.encode()) + len(call.arg)
        if size > _CALL_SIZE_MAX:
            self.violate(f"a call of {size} bytes, at most {_CALL_SIZE_MAX} allowed")
        if call.cycles > self.balance:
            reason = f"cannot attach {call.cycles} cycles: the balance is {self.balance}"
            self.stop(Trap(reason, _OUT_OF_CYCLES))
        self.cycles_spent += call.cycles
        self.calls.append(call)

    def require(self, function: str, modes: frozenset[Mode]) -> None:
        """Trap unless this system call is allowed here."""
        if self.mode not in modes:
            self.violate(f'"ic0_{function}" cannot be executed in {self.mode.value} mode')

    def violate(self, reason: str) -> NoReturn:
        """Trap because the code broke the system's contract."""
        self.stop(Trap(f"Canister violated contract: {reason}", CONTRACT_VIOLATION))

    def stop(self, trap: Trap) -> NoReturn:
        """Trap; the first trap of a message is the one that counts."""
        self.trap = self.trap or trap
        raise CanisterTrap(self.trap)


def shorten(text: str) -> str:
    """Cut the middle out of a text of more than 8 KiB, as the network does."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= _TEXT_SIZE_MAX:
        return text
    room = _TEXT_SIZE_MAX - len(_ELLIPSIS)
    end = room // 4
    parts = encoded[: room - end], encoded[-end:]
    return _ELLIPSIS.join(part.decode(errors="ignore") for part in parts)
