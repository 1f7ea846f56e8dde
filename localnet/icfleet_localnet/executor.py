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
    instruction_limit: int = 40_000_000_000
    """Approximated instructions after which the message traps with IC0522. The core chooses it by
    kind of message; the default is mainnet's for an update with deterministic time slicing."""
    skips_pre_upgrade: bool = False
    """For upgrades only: the old code's ``pre_upgrade`` is not to be run."""


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
    """IC0503 explicit trap, IC0504 a system call not allowed here, IC0522 over the instruction
    limit, IC0502 any other failure."""
    traceback: str = ""
    """The canister's own Python traceback, for people; empty for an explicit trap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one message did; when ``trap`` is set, only ``prints`` and ``instructions`` are too."""

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
    instructions: int = 0
    """Approximated instructions this message took, also when it trapped; see
    ``kybra_host.metering``."""


class CanisterInstance(Protocol):
    """One installed canister: its heap, stable memory, timers and open generators."""

    @property
    def interface(self) -> HostInterface:
        """The methods, hooks and Candid types of the installed code."""
        ...

    @property
    def stable_bytes(self) -> int:
        """Bytes held in stable memory; a running count, so asking costs nothing."""
        ...

    @property
    def next_timer_ns(self) -> int | None:
        """Earliest timer deadline, or ``None`` when no timer is set."""
        ...

    @property
    def heap_objects(self) -> int:
        """Mutable objects on the heap when they were last counted."""
        ...

    @property
    def heap_bytes(self) -> int:
        """An estimate of the heap's size, from the number of its objects."""
        ...

    def execute(self, message: Message, environment: Environment) -> Outcome:
        """Run one message to its commit or its complete undoing."""
        ...

    def take_due_timers(self, now_ns: int) -> Sequence[int]:
        """Return timers whose deadline has passed; re-arm intervals from now.

        A one-shot that is not executed afterwards stays due, and is returned again.
        """
        ...

    def drop_continuation(self, continuation: int) -> None:
        """Forget one suspended composite query; an unknown one is no error."""
        ...

    def drop_continuations(self) -> None:
        """Forget every suspended generator (uninstall, reinstall)."""
        ...

    def hold(self) -> int:
        """Keep the committed state of this moment for ``execute_held``, and return its number.

        At most four are held. An upgrade ends those of the old code.
        """
        ...

    def execute_held(self, version: int, message: Query, environment: Environment) -> Outcome:
        """Run a query against a held state; a composite query that makes a call traps.

        Raises:
            KeyError: If no such state is held.
        """
        ...

    def release(self, version: int) -> None:
        """Forget a held state; an unknown number is no error."""
        ...

    def close(self) -> None:
        """End what runs for this instance, which executes nothing any more; idempotent."""
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

        Atomic: when any step traps, ``instance`` goes on as if nothing had happened. Else the new
        instance takes its place, and ``instance`` needs no ``close``.
        """
        ...

    def close(self) -> None:
        """Close all instances, and end what runs for them; idempotent."""
        ...
