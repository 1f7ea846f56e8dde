"""What the management canister may see and do of the subnet it works for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from icfleet_localnet.call_context import Answer, FromCanister, ManagementAnswer, Origin
from icfleet_localnet.canister import Canister
from icfleet_localnet.canister_history import ChangeOrigin
from icfleet_localnet.charging import Charging
from icfleet_localnet.executor import Executor
from icfleet_localnet.ingress import Replied
from icfleet_localnet.management.interface import MANAGEMENT_INTERFACE
from icfleet_localnet.rejects import Reject
from icfleet_protocol.principal import Principal

__all__ = ["AnswerSink", "ManagementCall", "Result", "SubnetAccess", "reply"]

Result = ManagementAnswer | Answer | None
"""What a method comes to: ``None`` when the answer comes later."""


class AnswerSink(Protocol):
    """Sends a late answer to wherever its call came from."""

    def __call__(self, origin: Origin, answer: Answer, *, refund: int = 0) -> None:
        """Answer a call, and give back ``refund`` of its cycles."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetAccess:
    """The subnet as its management canister sees it."""

    canisters: dict[Principal, Canister]
    executor: Executor
    charging: Charging
    allocate: Callable[[Principal | None], Principal | Reject]
    """Choose the id of a new canister, or check the one that is wanted."""
    answer: AnswerSink
    abandon: Callable[[Principal, Reject], None]
    """Reject whatever a canister has not answered, and drop what it waits for."""
    has_messages: Callable[[Principal], bool]
    """Whether something waits to be executed by a canister."""
    draw_random: Callable[[], bytes]
    """32 bytes that nobody could have foreseen."""
    on_change: Callable[[Principal], None]
    """Something of a canister's certified state is new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementCall:
    """A call whose argument was read, and whose caller may make it."""

    method: str
    caller: Principal
    origin: Origin
    cycles: int
    fields: Mapping[str, Any]
    now_ns: int

    @property
    def change_origin(self) -> ChangeOrigin:
        """Who brings a change about, for the history."""
        is_canister = isinstance(self.origin, FromCanister)
        version = self.fields.get("sender_canister_version")
        return ChangeOrigin(self.caller, is_canister, version if is_canister else None)


def reply(method: str, *values: object) -> Replied:
    """Encode a method's results."""
    return Replied(MANAGEMENT_INTERFACE.encode_results(method, values))
