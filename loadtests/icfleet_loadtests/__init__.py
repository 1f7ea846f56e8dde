"""Locust users that play through a fleet.

Names are loaded on first use: ``FleetUser`` brings Locust with it, and Locust replaces the
standard library's sockets and threads, which whoever only reads figures and records must not get.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icfleet_loadtests.options import register
    from icfleet_loadtests.statistics import LoadSnapshot
    from icfleet_loadtests.users import FleetUser

__all__ = ["FleetUser", "LoadSnapshot", "register"]

_HOMES = {
    "FleetUser": "icfleet_loadtests.users",
    "LoadSnapshot": "icfleet_loadtests.statistics",
    "register": "icfleet_loadtests.options",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        message = f"module 'icfleet_loadtests' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(_HOMES[name]), name)
