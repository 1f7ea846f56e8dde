"""What the host keeps for one canister beside its heap; the system interface works on it."""

from dataclasses import dataclass, field
from typing import Any, NoReturn

from icfleet_localnet.executor import Trap
from icfleet_localnet.kybra_host.border import Border
from icfleet_localnet.kybra_host.conversion import PythonSide
from icfleet_localnet.kybra_host.interface import HostInterface
from icfleet_localnet.kybra_host.message import MessageState
from icfleet_localnet.kybra_host.metering import PRICES, Meter
from icfleet_localnet.kybra_host.service_calls import ServiceCalls
from icfleet_localnet.kybra_host.stable_map import StableMap, open_maps
from icfleet_localnet.kybra_host.stable_memory import StableMemory
from icfleet_localnet.kybra_host.timers import TimerTable
from icfleet_localnet.kybra_host.traps import INSTRUCTION_LIMIT, OTHER_TRAP, CanisterTrap
from icfleet_protocol.candid import CandidType

__all__ = ["HostState", "KybraClasses"]


class KybraClasses:
    """The classes of a canister's own ``kybra`` package, and its services."""

    def __init__(self, kybra: Any, scope: dict[str, Any]) -> None:
        self.principal: type[Any] = kybra.Principal
        self.call_result: type[Any] = kybra.CallResult
        self.candid_error: type[Exception] = kybra.CandidError
        self._scope = scope

    def service(self, name: str) -> Any:
        """Return a ``Service`` class of the canister's scope; ``NameError`` if there is none."""
        if name not in self._scope:
            reason = f"name '{name}' is not defined"
            raise NameError(reason)
        return self._scope[name]


@dataclass(slots=True)
class HostState:
    """Memory, timers and the running message of one canister."""

    interface: HostInterface
    memory: StableMemory
    timers: TimerTable = field(default_factory=TimerTable)
    maps: dict[int, StableMap] = field(default_factory=dict[int, StableMap])
    message: MessageState | None = None
    """The message that is being executed."""
    meter: Meter = field(init=False)
    _code: tuple[KybraClasses, PythonSide, ServiceCalls] | None = None
    _borders: dict[int, Border] = field(default_factory=dict[int, Border])

    def __post_init__(self) -> None:
        self.meter = Meter(self._exceed)

    def load(self, classes: KybraClasses) -> None:
        """Take the classes that values are made of, once ``kybra`` is imported."""
        environment = self.interface.service.environment
        python = PythonSide(environment, classes)
        calls = ServiceCalls(self.interface.services, environment, python)
        self._code = classes, python, calls
        declared, charge = self.interface.stable_maps, self.meter.charge
        self.maps.update(open_maps(declared, self.memory, environment, python, charge))

    @property
    def classes(self) -> KybraClasses:
        """The canister's classes."""
        return self._loaded()[0]

    @property
    def calls(self) -> ServiceCalls:
        """How to call other canisters."""
        return self._loaded()[2]

    def border(self, types: tuple[CandidType, ...]) -> Border:
        """Return the border for types of the interface; made once for each tuple.

        By identity: types that differ in the order of their fields are equal, but canister code
        sees the order.
        """
        found = self._borders.get(id(types))
        if found is None:
            environment = self.interface.service.environment
            found = self._borders[id(types)] = Border(types, environment, self._loaded()[1])
        assert found.types is types, "only tuples that the interface keeps alive may be asked for"
        return found

    def current(self) -> MessageState:
        """Return the running message for one call to the host, and count it.

        Raises:
            CanisterTrap: If the message has trapped already, or there is none, as when Python
                runs a ``finally`` block of a generator that was dropped.
        """
        if self.message is None:
            raise CanisterTrap(Trap("no message is being executed", OTHER_TRAP))
        if self.message.trap is not None:
            raise CanisterTrap(self.message.trap)
        self.meter.charge(PRICES.host_call)
        return self.message

    def charge_candid(self, message: bytes) -> bytes:
        """Count the work of reading or writing a Candid message, and return it."""
        self.meter.charge(len(message) * PRICES.candid_byte)
        return message

    def clock(self) -> int:
        """Return the time of the running message in nanoseconds; 0 when there is none."""
        return 0 if self.message is None else self.message.environment.time_ns

    def halt(self, reason: str) -> NoReturn:
        """Trap, because the canister's code did what it cannot do on chain."""
        self.current().stop(Trap(reason, OTHER_TRAP))

    def _exceed(self, limit: int) -> NoReturn:
        reason = f"Canister exceeded the limit of {limit} instructions for single message execution"
        trap = Trap(reason, INSTRUCTION_LIMIT)
        if self.message is None:
            raise CanisterTrap(trap)
        self.message.stop(trap)

    def _loaded(self) -> tuple[KybraClasses, PythonSide, ServiceCalls]:
        assert self._code is not None, "the canister's kybra package is not imported yet"
        return self._code
