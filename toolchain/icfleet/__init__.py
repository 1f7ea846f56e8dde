"""Scale canister back ends on the Internet Computer: what a game server imports.

Names are loaded on first use, so ``import icfleet`` stays fast and needs no extra.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icfleet_agent import Agent, Canister
    from icfleet_protocol.identity import AnonymousIdentity, Ed25519Identity, Identity
    from icfleet_protocol.principal import Principal
    from icfleet_router import Fleet, Session

__all__ = [
    "Agent",
    "AnonymousIdentity",
    "Canister",
    "Ed25519Identity",
    "Fleet",
    "Identity",
    "Principal",
    "Session",
]

_HOMES = {
    "Agent": "icfleet_agent",
    "AnonymousIdentity": "icfleet_protocol.identity",
    "Canister": "icfleet_agent",
    "Ed25519Identity": "icfleet_protocol.identity",
    "Fleet": "icfleet_router",
    "Identity": "icfleet_protocol.identity",
    "Principal": "icfleet_protocol.principal",
    "Session": "icfleet_router",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        message = f"module 'icfleet' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
