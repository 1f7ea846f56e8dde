"""A fleet without canisters: it answers what the test says, and tells the observer as ours does."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from icfleet_loadtests.records import OperationRecord
from icfleet_protocol.principal import ANONYMOUS, Principal
from icfleet_router import (
    CallEvent,
    CanisterReport,
    OperationStamp,
    Position,
    Receipt,
    Role,
    StatusReply,
)

STAMP = OperationStamp(b"\x07" * 16, 1_800_000_000_000_000_000)
RECEIPT = Receipt(STAMP, Position(1, 5))


def wire_call(
    canister: str, *, role: Role = Role.REPLICA, error: Exception | None = None
) -> CallEvent:
    return CallEvent(canister, role, "board", "query", 0.01, error=error)


def status_of(name: str, role: Role, *, says: Role | None = None) -> CanisterReport:
    said = says or role
    return CanisterReport(
        name=name,
        canister=ANONYMOUS,
        role=role,
        status=StatusReply(
            role="main" if said is Role.MAIN else "replica",
            as_of=Position(1, 1),
            chain_hash=b"",
            main=None,
            pull_error=None,
            record={},
        ),
        error=None,
        is_down=False,
        in_flight_count=0,
    )


@dataclass
class FakeFleet:
    """Answers from scripts; an exception in a script is raised."""

    answer: object = "an answer"
    receipt: Receipt | Exception = RECEIPT
    wire_calls: tuple[CallEvent, ...] = (wire_call("replica_1"),)
    reports: Mapping[str, CanisterReport] = field(
        default_factory=lambda: {"main": status_of("main", Role.MAIN)}
    )
    observer: Callable[[CallEvent], None] | None = None
    is_closed: bool = False

    def session(self) -> "FakeSession":
        return FakeSession(self)

    async def status(self) -> Mapping[str, CanisterReport]:
        return self.reports

    def tell(self, event: CallEvent) -> None:
        """Tell the observer one turn of the loop later, as the router does."""
        assert self.observer is not None
        asyncio.get_running_loop().call_soon(self.observer, event)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator["FakeFleet"]:
        yield self
        self.is_closed = True


@dataclass
class FakeSession:
    fleet: FakeFleet

    async def query(self, method: str, *args: object) -> Any:
        await asyncio.sleep(0.001)
        for event in self.fleet.wire_calls:
            self.fleet.tell(event)
        if isinstance(self.fleet.answer, Exception):
            raise self.fleet.answer
        return (method, *args, self.fleet.answer)

    async def submit(self, operation: Mapping[str, object], *, subject: Principal) -> Receipt:
        assert operation, subject
        self.fleet.tell(CallEvent("main", Role.MAIN, "submit", "update", 0.02, 1))
        await asyncio.sleep(0.001)
        if isinstance(self.fleet.receipt, Exception):
            raise self.fleet.receipt
        return self.fleet.receipt


@dataclass
class FakeRecorder:
    records: list[OperationRecord] = field(default_factory=list[OperationRecord])

    def append(self, record: OperationRecord) -> None:
        self.records.append(record)
