"""What the network core and a canister host say to each other: messages in, outcomes out.

The core owns queues, call contexts, cycles and time; a host owns one canister's heap and stable
memory. One ``execute`` is one message of the IC: it ends in a commit, or leaves no trace.

Source: IC interface specification, "Abstract behavior", and ``kybra`` 0.7.1 for how generators
are cut into messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from icfleet_localnet.bundle import Module
from icfleet_localnet.kybra_host.interface import HostInterface
from icfleet_protocol.principal import Principal

__all__ = [
    "CanisterInstance",
    "Environment",
    "Executor",
    "Heartbeat",
    "Inspect",
    "Installed",
    "Message",
    "Outcome",
    "OutgoingCall",
    "Query",
    "Response",
    "TimerFired",
    "Trap",
    "Update",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the system interface answers during one message."""

    canister: Principal
    caller: Principal
    time_ns: int
    cycles: int
    """Balance at the start of the message."""
    cycles_available: int = 0
    """Cycles the caller attached and this call context has not accepted yet."""
    cycles_refunded: int = 0
    """Cycles that came back with the response now being handled."""
    data_certificate: bytes | None = None
    """Set in non-replicated queries only."""


@dataclass(frozen=True, slots=True)
class Update:
    """An update method, or a query method called in replicated mode (its changes are dropped)."""

    method: str
    arg: bytes


@dataclass(frozen=True, slots=True)
class Query:
    """A non-replicated query: every change is dropped, also on success."""

    method: str
    arg: bytes


@dataclass(frozen=True, slots=True)
class Inspect:
    """``canister_inspect_message`` for an ingress update; every change is dropped."""

    method: str
    arg: bytes


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """``canister_heartbeat``."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """One due timer's callback, in a message of its own."""

    timer: int


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a call made earlier: resumes the generator that waits for it."""

    continuation: int
    reply: bytes | None
    reject_code: int = 0
    """0 when ``reply`` is set, else 1..6 as the specification numbers them."""
    reject_message: str = ""


Message = Update | Query | Inspect | Heartbeat | TimerFired | Response


@dataclass(frozen=True, slots=True)
class OutgoingCall:
    """A call to enqueue when the message that made it has committed."""

    callee: Principal
    method: str
    arg: bytes
    cycles: int
    continuation: int | None
    """Handle for the ``Response``; ``None`` for a one-way ``notify``."""


@dataclass(frozen=True, slots=True)
class Trap:
    """Why a message was undone."""

    message: str
    error_code: str
    """IC0503 explicit trap, IC0502 any other failure, IC0504 a system call not allowed here."""
    traceback: str = ""
    """The canister's own Python traceback, for people; empty for an explicit trap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one message did. When ``trap`` is set, every other effect but ``prints`` is empty."""

    reply: bytes | None = None
    reject: str | None = None
    trap: Trap | None = None
    calls: tuple[OutgoingCall, ...] = ()
    prints: tuple[str, ...] = ()
    is_accepted: bool = False
    """``ic.accept_message`` was called (inspect_message only)."""
    certified_data: bytes | None = None
    """The new value, or ``None`` when the message did not set it."""
    is_suspended: bool = False
    """The message's generator waits for a ``Response``."""
    cycles_accepted: int = 0


class CanisterInstance(Protocol):
    """One installed canister: its heap, stable memory, timers and open generators."""

    @property
    def interface(self) -> HostInterface:
        """The methods, hooks and Candid types of the installed code."""
        ...

    @property
    def stable_bytes(self) -> int:
        """Bytes held in stable memory."""
        ...

    @property
    def next_timer_ns(self) -> int | None:
        """Earliest timer deadline, or ``None`` when no timer is set."""
        ...

    @property
    def heap_objects(self) -> int:
        """Mutable objects seen by the last checkpoint."""
        ...

    def execute(self, message: Message, environment: Environment) -> Outcome:
        """Run one message to its commit or its complete undoing."""
        ...

    def take_due_timers(self, now_ns: int) -> Sequence[int]:
        """Return timers whose deadline has passed; drop one-shots, re-arm intervals from now."""
        ...

    def drop_continuations(self) -> None:
        """Forget every suspended generator (uninstall, reinstall)."""
        ...


@dataclass(frozen=True, slots=True)
class Installed:
    """The result of installing or upgrading code: an instance, or the trap that prevented it."""

    instance: CanisterInstance | None
    outcome: Outcome = field(default_factory=Outcome)


class Executor(Protocol):
    """Makes instances from modules."""

    def install(self, module: Module, arg: bytes, environment: Environment) -> Installed:
        """Start from empty memory and run ``init``."""
        ...

    def upgrade(
        self, instance: CanisterInstance, module: Module, arg: bytes, environment: Environment
    ) -> Installed:
        """Run ``pre_upgrade``, load fresh code over the stable memory, run ``post_upgrade``.

        Atomic: when any step traps, ``instance`` goes on as if nothing had happened.
        """
        ...
