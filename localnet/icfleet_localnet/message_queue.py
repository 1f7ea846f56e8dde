"""What waits to be executed on a subnet: one line per canister, served in turn.

Each line keeps the order in which messages were sent, so that calls from one canister to another
start in order. Canisters are served one message at a time, first come first served, so that a busy
one does not keep the others waiting; with ``order``, any of those that have messages is next.

Source: IC interface specification, "Ordering guarantees"; dfinity/ic's scheduler, which serves
canisters in turn and tasks of the system before messages.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from icfleet_localnet.call_context import (
    FromUser,
    QueuedCall,
    QueuedHeartbeat,
    QueuedMessage,
    QueuedResponse,
    QueuedTimer,
)
from icfleet_protocol.principal import Principal

__all__ = ["MessageQueue"]


@dataclass(slots=True)
class _Line:
    tasks: deque[QueuedTimer | QueuedHeartbeat] = field(
        default_factory=deque[QueuedTimer | QueuedHeartbeat]
    )
    messages: deque[QueuedCall | QueuedResponse] = field(
        default_factory=deque[QueuedCall | QueuedResponse]
    )
    ingress_count: int = 0

    def __bool__(self) -> bool:
        return bool(self.tasks or self.messages)


class MessageQueue:
    """All messages that wait for the canisters of one subnet.

    Args:
        order: Draws whose turn is next; ``None`` serves canisters in the order in which they
            became ready.
    """

    def __init__(self, order: Random | None = None) -> None:
        self._order = order
        self._lines: dict[Principal, _Line] = {}
        self._ready: deque[Principal] = deque()
        self._resting: list[Principal] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def ready(self) -> Iterable[Principal]:
        """The canisters that have messages and do not rest, in the order of their turns."""
        return iter(self._ready)

    def next_canister(self) -> Principal | None:
        """Whose turn is next."""
        if not self._ready:
            return None
        index = 0 if self._order is None else self._order.randrange(len(self._ready))
        return self._ready[index]

    def has_messages(self, canister: Principal) -> bool:
        """Whether something waits for a canister."""
        return bool(self._lines.get(canister))

    def ingress_count(self, canister: Principal) -> int:
        """Users' messages that wait for a canister."""
        line = self._lines.get(canister)
        return 0 if line is None else line.ingress_count

    def push(self, message: QueuedMessage) -> None:
        """Put a message at the end of its line; a task goes before messages, and is there once."""
        canister = destination(message)
        line = self._lines.get(canister)
        if line is None:
            line = self._lines[canister] = _Line()
            self._ready.append(canister)
        if isinstance(message, QueuedTimer | QueuedHeartbeat):
            if message in line.tasks:
                return
            line.tasks.append(message)
        else:
            line.messages.append(message)
            line.ingress_count += _is_ingress(message)
        self._length += 1

    def pop(self, canister: Principal) -> QueuedMessage:
        """Take a ready canister's next message; its next turn comes after the others'."""
        self._ready.remove(canister)
        line = self._lines[canister]
        self._length -= 1
        message: QueuedMessage
        if line.tasks:
            message = line.tasks.popleft()
        else:
            message = line.messages.popleft()
            line.ingress_count -= _is_ingress(message)
        if line:
            self._ready.append(canister)
        else:
            del self._lines[canister]
        return message

    def rest(self, canister: Principal) -> None:
        """Give a canister no turn until ``wake``."""
        if canister in self._lines:
            self._ready.remove(canister)
        else:
            # So that what arrives for it meanwhile waits too.
            self._lines[canister] = _Line()
        self._resting.append(canister)

    def wake(self) -> None:
        """Let those that rested go on, before all others."""
        for canister in reversed(self._resting):
            if self._lines[canister]:
                self._ready.appendleft(canister)
            else:
                del self._lines[canister]
        self._resting.clear()

    def drop(self, canister: Principal) -> list[QueuedCall | QueuedResponse]:
        """Empty a canister's line; its tasks are forgotten."""
        line = self._lines.get(canister)
        if line is None:
            return []
        self._length -= len(line.tasks) + len(line.messages)
        if canister in self._resting:
            self._lines[canister] = _Line()
        else:
            del self._lines[canister]
            self._ready.remove(canister)
        return list(line.messages)


def destination(message: QueuedMessage) -> Principal:
    """Whose line a message stands in."""
    match message:
        case QueuedCall():
            return message.callee
        case QueuedResponse():
            return message.to.canister
        case QueuedTimer(canister) | QueuedHeartbeat(canister):
            return canister


def _is_ingress(message: QueuedCall | QueuedResponse) -> bool:
    return isinstance(message, QueuedCall) and isinstance(message.origin, FromUser)
