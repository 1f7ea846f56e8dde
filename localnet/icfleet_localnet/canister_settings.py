"""What a canister's controllers may set.

Source: IC interface specification, "IC method create_canister", for names, meanings and defaults.
"""

from dataclasses import dataclass
from typing import Literal

from icfleet_localnet.canister_log import LOG_MEMORY_LIMIT_DEFAULT
from icfleet_protocol.principal import Principal

__all__ = ["CONTROLLERS_ONLY", "Settings", "Visibility"]


@dataclass(frozen=True, slots=True)
class Visibility:
    """Who may see something of a canister, beside its controllers."""

    kind: Literal["controllers", "public", "allowed_viewers"]
    viewers: tuple[Principal, ...] = ()
    """With ``allowed_viewers`` only."""

    def includes(self, caller: Principal) -> bool:
        """Whether a caller who is no controller may see it."""
        return self.kind == "public" or caller in self.viewers


CONTROLLERS_ONLY = Visibility("controllers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A canister's settings.

    The freezing threshold, the minimum of incoming cycles, the log's limit and the visibilities
    of status and log are enforced. Allocations are paid for, but guarantee nothing. All else is
    kept and shown.
    """

    controllers: tuple[Principal, ...]
    compute_allocation: int = 0
    """Per cent of one thread."""
    memory_allocation: int = 0
    """Bytes."""
    freezing_threshold: int = 2_592_000
    """Seconds of idle burn below which the balance freezes the canister: 30 days."""
    reserved_cycles_limit: int = 5_000_000_000_000
    minimum_incoming_canister_call_cycles: int = 0
    log_visibility: Visibility = CONTROLLERS_ONLY
    log_memory_limit: int = LOG_MEMORY_LIMIT_DEFAULT
    """Bytes."""
    snapshot_visibility: Visibility = CONTROLLERS_ONLY
    status_visibility: Visibility = CONTROLLERS_ONLY
    wasm_memory_limit: int = 0
    """Bytes; 0 is no limit."""
    wasm_memory_threshold: int = 0
    """Bytes."""
    environment_variables: tuple[tuple[str, str], ...] = ()
    """Names and values, in the order of the names."""
