"""One fleet per process, shared by all its players."""

import time
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

from icfleet_loadtests.bridge import AsyncBridge
from icfleet_loadtests.calls import CallReport, FleetCalls, FleetOpener, SessionPort
from icfleet_loadtests.errors import FleetUnavailableError, LoadError
from icfleet_loadtests.records import RecordFile
from icfleet_protocol.errors import ProtocolError
from icfleet_protocol.principal import Principal
from icfleet_router import CanisterReport, RouterError

__all__ = ["FleetConnection"]

_DRAIN_S = 30.0
"""For calls on their way when the players have left: an operation is given 30 s."""

_REMEDY = "if it is local, start it with `icfleet up`"


class FleetConnection:
    """The greenlets' way to a fleet that lives in a loop of its own.

    Args:
        open_fleet: Called in the loop's thread.
        record_path: Where to record acknowledged operations; ``None`` for nowhere.
    """

    def __init__(self, open_fleet: FleetOpener, record_path: Path | None) -> None:
        self._open_fleet = open_fleet
        self._record_path = record_path
        self._bridge = AsyncBridge(self._open)
        self._calls: FleetCalls | None = None

    def open(self) -> None:
        """Open the fleet while the greenlet waits.

        Raises:
            FleetUnavailableError: If it cannot be opened.
        """
        try:
            self._calls = self._bridge.start()
        except FleetUnavailableError:
            raise
        except (RouterError, ProtocolError, OSError, LoadError) as error:
            raise FleetUnavailableError(str(error)) from error

    def session(self) -> SessionPort:
        """Begin a session for one player."""
        assert self._calls is not None, "open comes first"
        return self._bridge.call(self._calls.session)

    def query(self, session: SessionPort, method: str, *args: object) -> CallReport:
        """Read, for the player of this greenlet.

        Raises:
            BridgeError: If the call did not reach the fleet.
        """
        assert self._calls is not None, "open comes first"
        return self._bridge.call(self._calls.query, session, method, *args)

    def submit(
        self,
        session: SessionPort,
        operation: Mapping[str, object],
        subject: Principal,
        refusals_expected: Collection[str],
    ) -> CallReport:
        """Write, for the player of this greenlet.

        Raises:
            BridgeError: If the call did not reach the fleet.
        """
        assert self._calls is not None, "open comes first"
        return self._bridge.call(self._calls.submit, session, operation, subject, refusals_expected)

    def close(self) -> None:
        """Let calls on their way end, close the fleet, and write out the record."""
        self._bridge.close(_DRAIN_S)

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[FleetCalls]:
        path = self._record_path
        with nullcontext() if path is None else RecordFile(path) as recorder:
            async with self._open_fleet() as fleet:
                _require_answers(await fleet.status())
                yield FleetCalls(fleet, recorder, time.perf_counter)


def _require_answers(reports: Mapping[str, CanisterReport]) -> None:
    """Refuse a fleet that cannot be tested, before players fail one by one."""
    for name, report in reports.items():
        if report.status is None:
            why = report.error or "no status"
            reason = f"{name} ({report.canister}) does not answer: {why}; {_REMEDY}"
            raise FleetUnavailableError(reason)
        if not report.is_role_confirmed:
            reason = f"{name} says it is {report.status.role}, and dfx.json {report.role.value}"
            raise FleetUnavailableError(reason)
