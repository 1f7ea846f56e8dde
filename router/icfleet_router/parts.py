"""What all paths of one fleet share."""

from dataclasses import dataclass

from icfleet_agent import Clock
from icfleet_protocol.candid import ServiceInterface
from icfleet_router.config import FleetConfig
from icfleet_router.pool import Pool
from icfleet_router.wire import Wire

__all__ = ["FleetParts"]


@dataclass(frozen=True, slots=True)
class FleetParts:
    """Made once per fleet.

    Attributes:
        pool: The canisters.
        wire: The way to them.
        interface: Their .did.
        config: Settings.
        clock: Time.
    """

    pool: Pool
    wire: Wire
    interface: ServiceInterface
    config: FleetConfig
    clock: Clock
