"""Starting, stopping and deleting canisters.

Source: IC interface specification, "Stopping a canister", "Starting a canister" and "Canister
deletion"; dfinity/ic for the time-out and the error codes.
"""

from dataclasses import dataclass

from icfleet_localnet.call_context import Origin
from icfleet_localnet.canister import Canister
from icfleet_localnet.event_log import EventLog
from icfleet_localnet.management.subnet_access import (
    ManagementCall,
    Result,
    SubnetAccess,
    reply,
)
from icfleet_localnet.rejects import (
    cannot_delete_itself,
    not_stopped,
    queue_not_empty,
    stop_cancelled,
    stop_timed_out,
)
from icfleet_protocol.principal import Principal

__all__ = ["STOP_TIMEOUT_NS", "Lifecycle"]

STOP_TIMEOUT_NS = 5 * 60 * 1_000_000_000
"""How long a ``stop_canister`` call waits. Source: ``STOP_CANISTER_TIMEOUT_DURATION``."""

_log = EventLog(__name__)


@dataclass(frozen=True, slots=True)
class _PendingStop:
    origin: Origin
    cycles: int
    deadline_ns: int


class Lifecycle:
    """Changes the status of a subnet's canisters."""

    def __init__(self, subnet: SubnetAccess) -> None:
        self._subnet = subnet
        # Canisters that are stopping. One stays here when all who asked have been told to wait
        # no longer.
        self._stopping: dict[Principal, list[_PendingStop]] = {}

    @property
    def next_deadline_ns(self) -> int | None:
        """When the next call to stop a canister times out."""
        stops = (stop for pending in self._stopping.values() for stop in pending)
        return min((stop.deadline_ns for stop in stops), default=None)

    def start(self, call: ManagementCall, canister: Canister) -> Result:
        """``start_canister``: also takes back what was asked to stop."""
        canister.status = "running"
        canister.version += 1
        _log.info("canister started", canister=str(canister.id))
        for stop in self._stopping.pop(canister.id, []):
            self._subnet.answer(stop.origin, stop_cancelled(canister.id), refund=stop.cycles)
        return reply(call.method)

    def stop(self, call: ManagementCall, canister: Canister) -> Result:
        """``stop_canister``: no new calls from now on; the answer comes when none is open."""
        canister.version += 1
        if canister.status == "stopped":
            return reply(call.method)
        canister.status = "stopping"
        deadline_ns = call.now_ns + STOP_TIMEOUT_NS
        stop = _PendingStop(call.origin, call.cycles, deadline_ns)
        self._stopping.setdefault(canister.id, []).append(stop)
        return None

    def delete(self, call: ManagementCall, canister: Canister) -> Result:
        """``delete_canister``: what cycles are left are gone."""
        if call.caller == canister.id:
            return cannot_delete_itself(canister.id)
        if canister.status != "stopped":
            return not_stopped(canister.id)
        if self._subnet.has_messages(canister.id):
            return queue_not_empty(canister.id)
        if canister.instance is not None:
            canister.instance.drop_continuations()
            canister.instance.close()
        del self._subnet.canisters[canister.id]
        _log.info("canister deleted", canister=str(canister.id))
        return reply(call.method)

    def settle_stops(self, now_ns: int) -> None:
        """Finish the stops whose canisters have nothing open, and let others time out."""
        for canister_id in [*self._stopping]:
            canister = self._subnet.canisters[canister_id]
            if canister.open_contexts == 0:
                canister.status = "stopped"
                canister.version += 1
                _log.info("canister stopped", canister=str(canister_id))
                for stop in self._stopping.pop(canister_id):
                    self._subnet.answer(stop.origin, reply("stop_canister"), refund=stop.cycles)
                continue
            pending = self._stopping[canister_id]
            overdue = [stop for stop in pending if stop.deadline_ns <= now_ns]
            self._stopping[canister_id] = [stop for stop in pending if stop not in overdue]
            for stop in overdue:
                self._subnet.answer(stop.origin, stop_timed_out(canister_id), refund=stop.cycles)
