"""For tests of what is built on a fleet: a simulated fleet with faults, and time that jumps."""

from icfleet_router.testing.simulated_fleet import Faults, LogEntry, SimulatedFleet
from icfleet_router.testing.virtual_time import VirtualClock, VirtualTimeLoop, run_in_virtual_time

__all__ = [
    "Faults",
    "LogEntry",
    "SimulatedFleet",
    "VirtualClock",
    "VirtualTimeLoop",
    "run_in_virtual_time",
]
