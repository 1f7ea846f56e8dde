"""Players' calls, as the event loop performs them: timed, named after who answered, recorded."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from icfleet_loadtests.errors import CallFailedError
from icfleet_loadtests.records import APPLIED, OperationRecord
from icfleet_loadtests.statistics import CallKind, call_name
from icfleet_protocol.principal import Principal
from icfleet_router import (
    CallEvent,
    CanisterReport,
    OperationRefusedError,
    OperationStamp,
    Position,
    RouterError,
)

__all__ = ["CallReport", "FleetCalls", "FleetPort", "ReceiptPort", "Recorder", "SessionPort"]

NOBODY = "none"
"""Stands for the canister's name where no canister was called."""


class ReceiptPort(Protocol):
    """What a session answers to an operation that was applied."""

    @property
    def stamp(self) -> OperationStamp:
        """The operation's id and time."""
        ...

    @property
    def position(self) -> Position:
        """Where in the log it stands."""
        ...


class SessionPort(Protocol):
    """What players need of ``icfleet_router.Session``."""

    async def submit(self, operation: Mapping[str, object], *, subject: Principal) -> ReceiptPort:
        """Write."""
        ...

    async def query(self, method: str, *args: object) -> Any:
        """Read."""
        ...


class FleetPort(Protocol):
    """What players need of ``icfleet_router.Fleet``."""

    @property
    def observer(self) -> Callable[[CallEvent], None] | None:
        """Told of every call on the wire, soon after it."""
        ...

    @observer.setter
    def observer(self, observer: Callable[[CallEvent], None] | None) -> None: ...

    def session(self) -> SessionPort:
        """Begin a session."""
        ...

    async def status(self) -> Mapping[str, CanisterReport]:
        """Ask every canister."""
        ...


FleetOpener = Callable[[], AbstractAsyncContextManager[FleetPort]]


class Recorder(Protocol):
    """Where acknowledged operations go."""

    def append(self, record: OperationRecord) -> None:
        """Keep one."""
        ...


@dataclass(frozen=True, slots=True)
class CallReport:
    """What became of one call of a player.

    Attributes:
        kind: As statistics have it.
        name: The method or operation, and the canister that answered.
        duration_s: From the call to its answer, all retries included, in seconds.
        value: The answer, or the receipt; ``None`` for an operation that the rules refused.
        error: Why there is no answer.
    """

    kind: CallKind
    name: str
    duration_s: float
    value: Any = None
    error: CallFailedError | None = None


_events_of_call: ContextVar[list[CallEvent] | None] = ContextVar("events_of_call", default=None)


class FleetCalls:
    """Performs calls for all players of a process.

    Args:
        fleet: Open; its observer is set.
        recorder: Told of each operation with a final outcome; ``None`` to keep no record.
        now_s: A clock in seconds, for durations.
    """

    def __init__(
        self, fleet: FleetPort, recorder: Recorder | None, now_s: Callable[[], float]
    ) -> None:
        self._fleet = fleet
        self._recorder = recorder
        self._now_s = now_s
        self._writer = NOBODY
        fleet.observer = self._observe

    def _observe(self, event: CallEvent) -> None:
        """Run by the router after each call on the wire, in the context of whoever made it."""
        if event.kind == "update":
            self._writer = _canister_label(event)
        events = _events_of_call.get()
        if events is not None:
            events.append(event)

    async def session(self) -> SessionPort:
        """Begin a player's session."""
        return self._fleet.session()

    async def query(self, session: SessionPort, method: str, *args: object) -> CallReport:
        """Read, and tell which canister's answer it was."""
        events: list[CallEvent] = []
        token = _events_of_call.set(events)
        started_s = self._now_s()
        value, error = None, None
        try:
            value = await session.query(method, *args)
        except RouterError as failure:
            error = CallFailedError(failure)
        finally:
            _events_of_call.reset(token)
        duration_s = self._now_s() - started_s
        # The router tells its observer one turn of the loop after the answer.
        await asyncio.sleep(0)
        canister = _canister_label(events[-1]) if events else NOBODY
        return CallReport("query", call_name(method, canister), duration_s, value, error)

    async def submit(
        self,
        session: SessionPort,
        operation: Mapping[str, object],
        subject: Principal,
        refusals_expected: Collection[str],
    ) -> CallReport:
        """Write, and record the outcome if it is final.

        Args:
            session: The player's.
            operation: One case of the canister's ``Operation`` variant.
            subject: Whose operation it is.
            refusals_expected: Codes of rules whose no is an answer and not a failure.
        """
        started_s = self._now_s()
        receipt, error = None, None
        try:
            receipt = await session.submit(operation, subject=subject)
        except OperationRefusedError as refusal:
            self._record(operation, subject, refusal.stamp, refusal.code, refusal.position)
            if refusal.code not in refusals_expected:
                error = CallFailedError(refusal)
        except RouterError as failure:
            error = CallFailedError(failure)
        else:
            self._record(operation, subject, receipt.stamp, APPLIED, receipt.position)
        duration_s = self._now_s() - started_s
        name = call_name(next(iter(operation), "?"), self._writer)
        return CallReport("update", name, duration_s, receipt, error)

    def _record(
        self,
        operation: Mapping[str, object],
        subject: Principal,
        stamp: OperationStamp,
        outcome: str,
        position: Position,
    ) -> None:
        if self._recorder is not None:
            self._recorder.append(
                OperationRecord(
                    operation_id=stamp.operation_id,
                    subject=subject,
                    created_at_ns=stamp.created_at_ns,
                    operation=operation,
                    outcome=outcome,
                    position=position,
                )
            )


def _canister_label(event: CallEvent) -> str:
    """Name a canister so that its role shows, whatever it is called."""
    role = event.role.value
    return event.canister if event.canister.startswith(role) else f"{role} {event.canister}"
