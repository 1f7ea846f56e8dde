"""Call contexts and the messages that move between them.

Source: IC interface specification, "Call contexts" and "Messages".
"""

from dataclasses import dataclass

from icfleet_localnet.executor import CanisterInstance
from icfleet_localnet.fees import CallPrepayment
from icfleet_localnet.ingress import Replied
from icfleet_localnet.rejects import Reject
from icfleet_protocol.principal import Principal
from icfleet_protocol.request_id import RequestId

__all__ = [
    "Answer",
    "CallContext",
    "FromCanister",
    "FromSystem",
    "FromUser",
    "ManagementAnswer",
    "Origin",
    "QueuedCall",
    "QueuedHeartbeat",
    "QueuedMessage",
    "QueuedResponse",
    "QueuedTimer",
]

Answer = Replied | Reject


@dataclass(frozen=True, slots=True)
class ManagementAnswer:
    """What the management canister answers, and what it keeps of the call's cycles."""

    answer: Answer
    accepted_cycles: int = 0


@dataclass(frozen=True, slots=True)
class FromUser:
    """An ingress message: the answer goes to the ingress history."""

    request: RequestId
    expiry_ns: int | None = None
    """When it may not be started any more."""


@dataclass(frozen=True, slots=True)
class FromCanister:
    """A canister's call: the answer goes back to the context that made it."""

    canister: Principal
    """Gets the unused cycles back, even when nobody waits for the answer any more."""
    context: int
    continuation: int | None
    """``None``: a one-way call, whose answer nobody reads."""
    callee: Principal
    payment: CallPrepayment | None
    """What the caller paid in advance; ``None`` when the call could not be sent."""


@dataclass(frozen=True, slots=True)
class FromSystem:
    """A timer or heartbeat: there is nobody to answer."""


Origin = FromUser | FromCanister | FromSystem


@dataclass(slots=True)
class CallContext:
    """One call being worked on, over as many messages as it takes."""

    id: int
    canister: Principal
    caller: Principal
    origin: Origin
    instance: CanisterInstance
    """The code that started it; a response for other code cannot be delivered."""
    cycles_available: int = 0
    open_calls: int = 0
    is_answered: bool = False
    is_query: bool = False
    """A query method in replicated mode, whose changes are dropped."""

    @property
    def is_done(self) -> bool:
        """Whether nothing can happen in it any more."""
        return self.is_answered and self.open_calls == 0


@dataclass(frozen=True, slots=True)
class QueuedCall:
    """A call on its way to ``callee``."""

    origin: Origin
    caller: Principal
    callee: Principal
    method: str
    arg: bytes
    cycles: int = 0

    @property
    def size(self) -> int:
        """Bytes that are paid for, and limited."""
        return len(self.method.encode()) + len(self.arg)


@dataclass(frozen=True, slots=True)
class QueuedResponse:
    """An answer on its way back to a context."""

    to: FromCanister
    answer: Answer
    refund: int


@dataclass(frozen=True, slots=True)
class QueuedTimer:
    """A canister's global timer: which of its timers are due is seen when this is executed."""

    canister: Principal


@dataclass(frozen=True, slots=True)
class QueuedHeartbeat:
    """A canister's heartbeat."""

    canister: Principal


QueuedMessage = QueuedCall | QueuedResponse | QueuedTimer | QueuedHeartbeat
