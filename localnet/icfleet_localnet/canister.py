"""What a subnet keeps about one canister, beside its memory."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from icfleet_localnet.bundle import Module
from icfleet_localnet.executor import CanisterInstance
from icfleet_protocol.principal import Principal

__all__ = ["Canister", "CanisterStatus", "LogLine", "Settings"]

CanisterStatus = Literal["running", "stopping", "stopped"]

_LOG_LINES_MAX = 1000
"""Lines kept per canister; the oldest go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What controllers may set. Allocations are kept and shown, not enforced."""

    controllers: tuple[Principal, ...]
    compute_allocation: int = 0
    memory_allocation: int = 0
    freezing_threshold: int = 2_592_000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One ``ic.print`` or trap."""

    time_ns: int
    text: str


@dataclass(slots=True)
class Canister:
    """One canister of a subnet; only the subnet changes it."""

    id: Principal
    settings: Settings
    cycles: int
    status: CanisterStatus = "running"
    version: int = 0
    """Counts changes of code, settings, status and state, as ``canister_version`` does."""
    module: Module | None = None
    instance: CanisterInstance | None = None
    certified_data: bytes = b""
    next_timer_ns: int | None = None
    open_contexts: int = 0
    """Call contexts that still have to be answered."""
    log: deque[LogLine] = field(default_factory=lambda: deque[LogLine](maxlen=_LOG_LINES_MAX))

    def is_controlled_by(self, caller: Principal) -> bool:
        """Whether the caller may manage this canister."""
        return caller in self.settings.controllers
