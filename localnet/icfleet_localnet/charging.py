"""Who pays when, and what: the balances of one subnet's canisters.

Executions and calls are paid for in advance, and what was not used comes back. Until then it counts
as consumed, so balances, cycles attached to calls under way and consumed cycles always add up to
the same.

Source: dfinity/ic ``rs/cycles_account_manager`` for when what is charged; ``fees.py`` for prices.
"""

from icfleet_localnet.canister import Canister, CyclesUse
from icfleet_localnet.fees import CallPrepayment, FeeSchedule, can_withdraw
from icfleet_localnet.rejects import SYS_TRANSIENT, Reject

__all__ = ["CHARGE_INTERVAL_NS", "Charging", "frozen_query"]

_S = 1_000_000_000

CHARGE_INTERVAL_NS = 10 * _S
"""How often memory and compute allocation are charged. Source:
``duration_between_allocation_charges``."""

_INSTRUCTIONS: CyclesUse = "instructions"
_TRANSMISSION: CyclesUse = "request_and_response_transmission"


class Charging:
    """Takes cycles from canisters by one subnet's prices."""

    def __init__(self, fees: FeeSchedule) -> None:
        self.fees = fees

    def freezing_limit(self, canister: Canister) -> int:
        """The balance that only responses, memory and compute may use."""
        if self.fees.is_free:
            return 0
        return self.fees.freezing_limit(
            freezing_threshold_s=canister.settings.freezing_threshold,
            memory_bytes=_memory_bytes(canister),
            compute_percent=canister.settings.compute_allocation,
        )

    def is_frozen(self, canister: Canister) -> bool:
        """Whether the balance is too low for anything but responses."""
        return self.missing(canister, 0) > 0

    def missing(self, canister: Canister, amount: int) -> int:
        """How many cycles a canister lacks to pay an amount without freezing; 0 if it can."""
        limit = self.freezing_limit(canister)
        if can_withdraw(balance=canister.cycles, amount=amount, freezing_limit=limit):
            return 0
        return amount + limit - canister.cycles

    def can_execute(self, canister: Canister, limit: int) -> bool:
        """Whether a canister can pay for an execution up to its limit of instructions."""
        return self.missing(canister, self.fees.execution(limit)) == 0

    def check_ingress(self, canister: Canister, size_bytes: int) -> Reject | None:
        """Why a canister cannot pay for a user's message, if it cannot."""
        missing = self.missing(canister, self.fees.ingress(size_bytes))
        return _out_of_cycles(canister, missing) if missing else None

    def take_ingress(self, canister: Canister, size_bytes: int) -> None:
        """Charge for a user's message that was let in."""
        canister.charge(self.fees.ingress(size_bytes), "ingress_induction")

    def prepay_execution(self, canister: Canister, limit: int) -> Reject | None:
        """Charge for an execution up to its limit of instructions, or say why that cannot be."""
        amount = self.fees.execution(limit)
        missing = self.missing(canister, amount)
        if missing:
            return _out_of_cycles(canister, missing)
        canister.charge(amount, _INSTRUCTIONS)
        return None

    def settle_execution(self, canister: Canister, *, limit: int, used: int) -> None:
        """Give back what an execution did not use."""
        back = self.fees.execution_refund(limit=limit, used=used)
        _give_back(canister, back, _INSTRUCTIONS)

    def prepay_call(
        self, canister: Canister, *, request_bytes: int, attached: int
    ) -> CallPrepayment | None:
        """Charge for a call and its answer, and take the cycles that go along with it.

        Returns:
            What was paid, or ``None`` when the canister cannot pay; then nothing is taken.
        """
        payment = self.fees.call(request_bytes)
        if self.missing(canister, payment.total + attached):
            return None
        canister.charge(payment.request + payment.response_transmission, _TRANSMISSION)
        canister.charge(payment.response_execution, _INSTRUCTIONS)
        canister.cycles -= attached
        return payment

    def settle_response(self, canister: Canister, response_bytes: int) -> None:
        """Give back what an answer's bytes did not use of its call's payment."""
        _give_back(canister, self.fees.response_refund(response_bytes), _TRANSMISSION)

    def settle_callback(self, canister: Canister, used: int) -> None:
        """Give back what an answer's callback did not use of its call's payment."""
        _give_back(canister, self.fees.callback_refund(used), _INSTRUCTIONS)

    def take_resources(self, canister: Canister, *, memory_bytes: int, duration_s: int) -> bool:
        """Charge for memory and compute allocation.

        Args:
            canister: Who pays.
            memory_bytes: What it uses, as ``canister.memory`` tells.
            duration_s: Seconds since it paid last.

        Returns:
            Whether the canister could pay.
        """
        if self.fees.is_free:
            return True
        kept_bytes = max(memory_bytes, canister.settings.memory_allocation)
        memory = self.fees.storage(kept_bytes, duration_s=duration_s)
        percent = canister.settings.compute_allocation
        compute = self.fees.compute_allocation(percent, duration_s=duration_s)
        can_pay = canister.cycles >= memory + compute
        canister.charge(memory, "memory")
        canister.charge(compute, "compute_allocation")
        return can_pay


def frozen_query(canister: Canister) -> Reject:
    """A query to a frozen canister."""
    reason = (
        f"Canister {canister.id} is unable to process query calls because it's frozen. "
        "Please top up the canister with cycles and try again."
    )
    return Reject(SYS_TRANSIENT, reason, "IC0207")


def _out_of_cycles(canister: Canister, missing: int) -> Reject:
    reason = (
        f"Canister {canister.id} is out of cycles: please top up the canister with at least "
        f"{missing} additional cycles"
    )
    return Reject(SYS_TRANSIENT, reason, "IC0207")


def _memory_bytes(canister: Canister) -> int:
    return max(canister.memory.total, canister.settings.memory_allocation)


def _give_back(canister: Canister, cycles: int, use: CyclesUse) -> None:
    canister.cycles += cycles
    canister.consumed[use] -= cycles
