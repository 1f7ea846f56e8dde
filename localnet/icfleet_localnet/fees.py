"""What things cost: the fee table of a subnet, in whole cycles.

A fee is given for 13 nodes and scaled to the subnet's size as replicas do: multiply by the number
of nodes, divide by 13, round down. What is multiplied before and what after the rounding follows
the replica, so that a 34-node subnet agrees to the cycle.

Source: dfinity/developer-docs ``docs/references/cycle-costs.md`` of 2026-06-18 for the prices;
dfinity/ic ``rs/config/src/subnet_config.rs`` and ``rs/cycles_account_manager`` for the arithmetic.
"""

from dataclasses import dataclass

__all__ = [
    "APPLICATION_FEES",
    "INSTALL_INSTRUCTIONS_MAX",
    "REFERENCE_NODE_COUNT",
    "RESPONSE_INSTRUCTIONS_MAX",
    "RESPONSE_SIZE_MAX",
    "SYSTEM_FEES",
    "CallPrepayment",
    "FeeSchedule",
    "can_withdraw",
]

REFERENCE_NODE_COUNT = 13
"""The subnet size that the prices are for. Source: ``DEFAULT_REFERENCE_SUBNET_SIZE``."""

RESPONSE_SIZE_MAX = 2 * 1024 * 1024
"""Bytes of a response that a call pays for in advance. Source:
``MAX_INTER_CANISTER_PAYLOAD_IN_BYTES``."""

RESPONSE_INSTRUCTIONS_MAX = 40_000_000_000
"""Instructions of a response's callback that a call pays for in advance, and the limit of one
update, timer or callback. Source: ``MAX_INSTRUCTIONS_PER_MESSAGE``."""

INSTALL_INSTRUCTIONS_MAX = 300_000_000_000
"""Instructions of an install, reinstall or upgrade, paid for in advance. Source:
``MAX_INSTRUCTIONS_PER_INSTALL_CODE``."""

_CANISTER_CREATION = 500_000_000_000
"""Cycles. Source: cycle-costs.md; it was 100 G before 2025."""
_INGRESS_MESSAGE = 1_200_000
"""Cycles, paid by the receiving canister. Source: cycle-costs.md."""
_INGRESS_BYTE = 2_000
"""Cycles per byte of the signed envelope. Source: cycle-costs.md."""
_EXECUTION = 5_000_000
"""Cycles per update, callback, timer, heartbeat or install. Source: cycle-costs.md."""
_INSTRUCTION = 1
"""Cycles, for 32-bit Wasm, which Kybra compiles to. Source: cycle-costs.md; it was 0.4."""
_CALL = 260_000
"""Cycles per request and its response, paid by the caller. Source: cycle-costs.md."""
_CALL_BYTE = 1_000
"""Cycles per byte of a request or response. Source: cycle-costs.md."""
_GIB_SECOND = 127_000
"""Cycles for a GiB during a second. Source: cycle-costs.md, 4 SDR per GiB and year."""
_PERCENT_SECOND = 10_000_000
"""Cycles for one per cent of compute allocation during a second. Source: cycle-costs.md."""

_GIB = 1024**3
_DAY_S = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class CallPrepayment:
    """What a canister pays in cycles when it calls another; part of it comes back."""

    request: int
    """For the call and its request's bytes: spent."""
    response_transmission: int
    """For the longest response: what the response does not use comes back."""
    response_execution: int
    """For the longest callback: what the callback does not use comes back."""

    @property
    def total(self) -> int:
        """What must be above the freezing limit for the call to leave."""
        return self.request + self.response_transmission + self.response_execution


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeSchedule:
    """The prices of one subnet. Every method takes and returns whole, non-negative numbers."""

    node_count: int = REFERENCE_NODE_COUNT
    is_free: bool = False
    """Whether nothing costs anything, as on system subnets."""

    def __post_init__(self) -> None:
        assert self.node_count > 0, "a subnet has nodes"

    def canister_creation(self) -> int:
        """Cycles to create a canister, paid from those that it is created with."""
        return self._scale(_CANISTER_CREATION)

    def ingress(self, size_bytes: int) -> int:
        """Cycles for a user's message.

        Args:
            size_bytes: Size of the whole signed envelope, not only of its argument.
        """
        # Each of the two is rounded before the bytes are counted, as the replica does.
        return self._scale(_INGRESS_MESSAGE) + self._scale(_INGRESS_BYTE) * size_bytes

    def execution(self, instructions: int) -> int:
        """Cycles for one execution of so many instructions.

        An execution is paid for in advance at its limit, and ``execution_refund`` comes back.
        """
        return self._scale(_EXECUTION + _INSTRUCTION * instructions)

    def execution_refund(self, *, limit: int, used: int) -> int:
        """Cycles that come back of ``execution(limit)``; the fee per message does not."""
        return self._scale(_INSTRUCTION * max(0, limit - used))

    def call(self, request_bytes: int) -> CallPrepayment:
        """What calling another canister takes, before the cycles that go along with the call.

        Args:
            request_bytes: Size of the method's name and the argument.
        """
        return CallPrepayment(
            request=self._scale(_CALL) + self._scale(_CALL_BYTE * request_bytes),
            response_transmission=self._scale(_CALL_BYTE * RESPONSE_SIZE_MAX),
            response_execution=self.execution(RESPONSE_INSTRUCTIONS_MAX),
        )

    def response_refund(self, response_bytes: int) -> int:
        """Cycles of ``CallPrepayment.response_transmission`` that come back with a response."""
        prepaid = self._scale(_CALL_BYTE * RESPONSE_SIZE_MAX)
        return prepaid - min(prepaid, self._scale(_CALL_BYTE * response_bytes))

    def callback_refund(self, instructions: int) -> int:
        """Cycles of ``CallPrepayment.response_execution`` that come back after the callback.

        Args:
            instructions: What the callback used; zero when it could not run, which still costs
                the fee per message.
        """
        return self.execution_refund(limit=RESPONSE_INSTRUCTIONS_MAX, used=instructions)

    def storage(self, memory_bytes: int, *, duration_s: int) -> int:
        """Cycles for memory.

        Args:
            memory_bytes: The larger of what is used and what is allocated.
            duration_s: Whole seconds; replicas charge every ten.
        """
        return self._scale(memory_bytes * _GIB_SECOND * duration_s // _GIB)

    def compute_allocation(self, percent: int, *, duration_s: int) -> int:
        """Cycles for a reserved share of one thread during whole seconds."""
        return self._scale(_PERCENT_SECOND * duration_s * percent)

    def idle_burn_per_day(self, *, memory_bytes: int, compute_percent: int = 0) -> int:
        """Cycles that a canister uses in a day of doing nothing."""
        return self.storage(memory_bytes, duration_s=_DAY_S) + self.compute_allocation(
            compute_percent, duration_s=_DAY_S
        )

    def freezing_limit(
        self,
        *,
        freezing_threshold_s: int,
        memory_bytes: int,
        compute_percent: int = 0,
        reserved_cycles: int = 0,
    ) -> int:
        """The balance below which a canister is frozen: its idle burn during the threshold."""
        per_day = self.idle_burn_per_day(memory_bytes=memory_bytes, compute_percent=compute_percent)
        # The replica keeps no burn per second: it multiplies the day's and rounds once.
        return max(0, per_day * freezing_threshold_s // _DAY_S - reserved_cycles)

    def _scale(self, cycles: int) -> int:
        if self.is_free:
            return 0
        return cycles * self.node_count // REFERENCE_NODE_COUNT


APPLICATION_FEES = FeeSchedule()
"""A 13-node application subnet, the default of this network."""

SYSTEM_FEES = FeeSchedule(is_free=True)
"""A system subnet."""


def can_withdraw(*, balance: int, amount: int, freezing_limit: int) -> bool:
    """Whether a canister can pay without freezing; an amount of zero asks whether it is frozen."""
    return balance >= amount + freezing_limit
