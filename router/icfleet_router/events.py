"""What the fleet tells an observer of every call it puts on the wire."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from icfleet_router.roles import Role

__all__ = ["CallEvent", "CallKind", "Observer"]

CallKind = Literal["query", "update"]


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One call on the wire, attempts that were retried included.

    Attributes:
        canister: The name in dfx.json.
        role: The canister's role when the call was sent.
        method: The canister's method.
        kind: How it was called.
        duration_s: From send to reply, in seconds.
        operations_count: How many operations an update carried; 0 for a query.
        error: Why the attempt failed, if it did; the call as a whole may have succeeded later.
    """

    canister: str
    role: Role
    method: str
    kind: CallKind
    duration_s: float
    operations_count: int = 0
    error: Exception | None = None


Observer = Callable[[CallEvent], None]
