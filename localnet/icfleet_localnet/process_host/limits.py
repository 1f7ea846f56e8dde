"""What one canister's process may take before the system ends it."""

import resource
import signal
import sys
from dataclasses import dataclass

from icfleet_localnet.executor import Trap
from icfleet_localnet.kybra_host.traps import OTHER_TRAP

__all__ = [
    "ProcessLimits",
    "closed",
    "ended",
    "limit_memory",
    "limit_time",
    "lost",
    "unlimit_time",
]

_OUT_OF_INSTRUCTIONS = "IC0522"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """Bounds of a canister's process; beyond them it is killed, whatever its code is doing."""

    cpu_s: float = 10.0
    """CPU seconds for one message. The IC's limit of instructions takes a few seconds."""
    wall_s: float = 60.0
    """Seconds for one message on the clock, for code that sleeps."""
    memory_bytes: int = 4 * 1024**3
    """Address space, which is somewhat more than memory. A canister's heap has 4 GiB on chain."""


def limit_memory(limits: ProcessLimits) -> None:
    """Bound this process's memory for good; beyond it, allocations fail."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    ceiling = limits.memory_bytes
    if hard != resource.RLIM_INFINITY:
        ceiling = min(ceiling, hard)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, hard))
    except (OSError, ValueError):
        # Some systems (macOS) know this limit only by name.
        if sys.platform == "linux":
            raise


def limit_time(limits: ProcessLimits) -> None:
    """Let the system kill this process unless ``unlimit_time`` comes in time.

    Both signals have no handler here: a handler in Python would wait for the end of a long
    operation in C, as ``10**10**9`` is.
    """
    signal.setitimer(signal.ITIMER_PROF, limits.cpu_s)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_s)


def unlimit_time() -> None:
    """Call the deadlines off."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


def ended(elapsed_s: float, limits: ProcessLimits) -> Trap:
    """Say why a message ended with its process.

    Args:
        elapsed_s: Seconds on the clock since the message began; less than the CPU limit means
            that no deadline can have killed it.
        limits: What bounded the process.
    """
    if elapsed_s < limits.cpu_s:
        return Trap("the canister's process ended", OTHER_TRAP)
    reason = (
        f"the message ran for more than {limits.cpu_s:g} s of CPU or {limits.wall_s:g} s in all: "
        "split the work over several messages"
    )
    return Trap(reason, _OUT_OF_INSTRUCTIONS)


def closed() -> Trap:
    """Say that this instance was closed, or its code replaced."""
    return Trap("this instance of the canister was closed", OTHER_TRAP)


def lost() -> Trap:
    """Say that every process which had the canister's state is gone."""
    return Trap(
        "the canister's processes were killed and its state is lost: reinstall it",
        OTHER_TRAP,
    )
