"""The two ways in which a canister's message ends early, and neither can be caught for good.

``CanisterTrap`` is no ``Exception``, so that ``except Exception`` lets it pass; and the host
remembers it, so that a bare ``except`` or a ``finally`` cannot bring the message back to life.
"""

from icfleet_localnet.executor import Trap

__all__ = [
    "CONTRACT_VIOLATION",
    "EXPLICIT_TRAP",
    "INSTRUCTION_LIMIT",
    "OTHER_TRAP",
    "CanisterTrap",
    "Panic",
]

EXPLICIT_TRAP = "IC0503"
"""``ic0.trap`` was called; Kybra calls it also for an uncaught Python exception, and Rust's
panic handler for a panic."""

OTHER_TRAP = "IC0502"
"""The host cannot go on."""

CONTRACT_VIOLATION = "IC0504"
"""A system call that is not allowed here, or with these arguments."""


INSTRUCTION_LIMIT = "IC0522"
"""The message took more instructions than it may."""


class CanisterTrap(BaseException):
    """The message is over and will be undone."""

    def __init__(self, trap: Trap) -> None:
        super().__init__(trap.message)
        self.trap = trap


class Panic(Exception):  # noqa: N818  # Rust's word for it.
    """The compiled canister's Rust code would panic here, which traps."""
