"""The object canister code knows as ``_kybra_ic``: every system call of Kybra 0.7.1.

Names and arguments are those of ``kybra/__init__.py``. A wrong Python type raises inside Python,
where the canister may catch it; what the system itself refuses traps, and no ``except`` or
``finally`` brings such a message back to life.

Source: ``kybra`` 0.7.1, ``kybra_generate/src/ic_object``; IC interface specification, "System
API", for what is allowed where.
"""

from collections.abc import Callable
from typing import Any, NoReturn

from icfleet_localnet.executor import OutgoingCall, Trap
from icfleet_localnet.kybra_host.candid_text import decode_to_text, encode_text
from icfleet_localnet.kybra_host.leaf_values import (
    as_bytes,
    as_principal,
    as_text,
    as_u32,
    as_u64,
    as_u128,
)
from icfleet_localnet.kybra_host.message import (
    ANSWERING,
    CALLBACKS,
    CHANGING,
    INSPECTING,
    REFUNDED,
    REJECTED,
    TAKING_CYCLES,
    WITH_ARGUMENT,
    MessageState,
)
from icfleet_localnet.kybra_host.metering import PRICES
from icfleet_localnet.kybra_host.service_calls import CallRequest
from icfleet_localnet.kybra_host.stable_api import StableApi
from icfleet_localnet.kybra_host.timers import NS_PER_S, Timer
from icfleet_localnet.kybra_host.traps import EXPLICIT_TRAP, OTHER_TRAP, Panic
from icfleet_protocol.candid.types import null
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import Principal

__all__ = ["SystemApi"]

_U64_END = 1 << 64

_CERTIFIED_DATA_SIZE_MAX = 32
"""Bytes. Source: IC interface specification, "Certified data"."""

_REJECTION_CODES = (
    *("NoError", "SysFatal", "SysTransient", "DestinationInvalid", "CanisterReject"),
    *("CanisterError", "Unknown"),
)
"""Names by code. Source: ``ic-cdk`` 0.13.5, ``RejectionCode``."""

_NULL = (null,)

_NOTIFY = "notify_"
_WITH_PAYMENT = "with_payment128_"
_WRAPPER = "_wrapper"


class SystemApi(StableApi):
    """Every function that ``kybra`` looks up on ``_kybra_ic``."""

    def accept_message(self) -> None:
        """Let an ingress message pass; in ``inspect_message`` only, and once."""
        message = self._state.current()
        message.require("accept_message", INSPECTING)
        if message.is_accepted:
            message.violate("ic0.accept_message: the message is already accepted")
        message.is_accepted = True

    def arg_data_raw(self) -> bytes:
        """Return the call's argument; after a ``yield``, the reply."""
        message = self._state.current()
        message.require("msg_arg_data_copy", WITH_ARGUMENT)
        return message.argument

    def arg_data_raw_size(self) -> int:
        """Return the size of ``arg_data_raw``."""
        return len(self.arg_data_raw())

    def caller(self) -> Any:
        """Return the caller of the whole call, also after a ``yield``."""
        return self._give_principal(self._state.current().environment.caller)

    def candid_decode(self, candid_encoded: object) -> str:
        """Write a message as text; ``CandidError`` if it is malformed."""
        self._state.current()
        try:
            return decode_to_text(self._state.charge_candid(as_bytes(candid_encoded)))
        except CandidError as error:
            raise self._state.classes.candid_error(str(error)) from error

    def candid_encode(self, candid_string: object) -> bytes:
        """Encode values written as text; ``CandidError`` if they are malformed."""
        self._state.current()
        try:
            return self._state.charge_candid(encode_text(as_text(candid_string)))
        except CandidError as error:
            raise self._state.classes.candid_error(str(error)) from error

    def canister_balance(self) -> int:
        """Return the canister's cycles; traps from 2^64 on."""
        return self._as_64_bits(self._state.current(), self.canister_balance128())

    def canister_balance128(self) -> int:
        """Return the canister's cycles."""
        return self._state.current().balance

    def clear_timer(self, id: object) -> None:  # noqa: A002  # Kybra's name.
        """Remove a timer; an unknown one is no error."""
        self._state.current()
        self._state.timers.clear(as_u64(id))

    def data_certificate(self) -> bytes | None:
        """Return the certificate of the certified data; in non-replicated queries only."""
        return self._state.current().environment.data_certificate

    def id(self) -> Any:
        """Return the canister's own principal."""
        return self._give_principal(self._state.current().environment.canister)

    def method_name(self) -> str:
        """Return the method an ingress message is for; in ``inspect_message`` only."""
        message = self._state.current()
        message.require("msg_method_name_copy", INSPECTING)
        return message.inspected_method

    def msg_cycles_accept(self, max_amount: object) -> int:
        """Take cycles that came with the call, and return how many."""
        return self._accept(as_u64(max_amount))

    def msg_cycles_accept128(self, max_amount: object) -> int:
        """Take cycles that came with the call, and return how many."""
        return self._accept(as_u128(max_amount))

    def msg_cycles_available(self) -> int:
        """Return the cycles that can still be taken; traps from 2^64 on."""
        return self._as_64_bits(self._state.current(), self.msg_cycles_available128())

    def msg_cycles_available128(self) -> int:
        """Return the cycles that can still be taken."""
        message = self._state.current()
        message.require("msg_cycles_available128", TAKING_CYCLES)
        return message.cycles_available

    def msg_cycles_refunded(self) -> int:
        """Return the cycles that came back with a reply; traps from 2^64 on."""
        return self._as_64_bits(self._state.current(), self.msg_cycles_refunded128())

    def msg_cycles_refunded128(self) -> int:
        """Return the cycles that came back with a reply."""
        message = self._state.current()
        message.require("msg_cycles_refunded128", REFUNDED)
        return message.environment.cycles_refunded

    def notify_raw(
        self, canister_id: object, method: object, args_raw: object, payment: object
    ) -> dict[str, None]:
        """Make a one-way call."""
        self._state.current()
        callee, name = as_principal(canister_id), as_text(method)
        request = CallRequest(callee, name, as_bytes(args_raw), as_u128(payment), bytes)
        return self._notify(request)

    def performance_counter(self, counter_type: object) -> int:
        """Return the instructions used: 0 by this message, 1 by the whole call.

        They are approximated, and repeat exactly; see ``metering``.
        """
        message, kind = self._state.current(), as_u32(counter_type)
        if kind > 1:
            message.violate(f"ic0.performance_counter: no counter of type {kind}")
        self._state.meter.check()
        return self._state.meter.used + message.call.instructions * kind

    def print(self, text: object) -> None:
        """Write a line to the canister's log; kept also when the message traps."""
        message, line = self._state.current(), as_text(text)
        self._state.meter.charge(len(line) * PRICES.printed_byte)
        # A line outlives a trap, so that whether it came before the limit must be exact.
        self._state.meter.check()
        message.print(line)

    def reject(self, x: object) -> None:
        """Answer the call with a refusal."""
        message, text = self._state.current(), as_text(x)
        message.require("msg_reject", ANSWERING)
        message.answer(reject=text)

    def reject_code(self) -> dict[str, None]:
        """Return why a call was refused; after a ``yield`` only."""
        message = self._state.current()
        message.require("msg_reject_code", CALLBACKS)
        return {_REJECTION_CODES[min(message.reject_code, len(_REJECTION_CODES) - 1)]: None}

    def reject_message(self) -> str:
        """Return what a call was refused with; after a refused call only."""
        message = self._state.current()
        message.require("msg_reject_msg_copy", REJECTED)
        return message.reject_message

    def reply(self, name: object, value: object) -> None:
        """Answer the call with a value of the method's type; in ``Manual`` methods only.

        ``name`` is that of the outermost Python frame. Compiled, that is the method; here it is
        a frame of the host's process, so the running method counts.
        """
        message = self._state.current()
        method = message.call.method
        if method is None or not method.is_manual:
            written = as_text(name) if method is None else method.name
            reason = (
                f'attempted to reply from "{written}", but it does not appear to be '
                "a canister method"
            )
            raise SystemError(reason)
        # Kybra replies with a tuple of one, which for ``Manual[void]`` holds a ``null``.
        border = self._state.border(method.results or _NULL)
        encoded = self._state.charge_candid(border.write([value]))
        message.require("msg_reply", ANSWERING)
        message.answer(reply=encoded)

    def reply_raw(self, x: object) -> None:
        """Answer the call with bytes."""
        message, content = self._state.current(), as_bytes(x)
        message.require("msg_reply", ANSWERING)
        message.answer(reply=content)

    def set_certified_data(self, data: object) -> None:
        """Set the data that the next state certifies, at most 32 bytes."""
        message, content = self._state.current(), as_bytes(data)
        message.require("certified_data_set", CHANGING)
        if len(content) > _CERTIFIED_DATA_SIZE_MAX:
            message.violate(f"ic0.certified_data_set: {len(content)} bytes, at most 32 allowed")
        message.certified_data = content

    def set_timer(self, delay: object, func: Callable[[], Any]) -> int:
        """Call ``func`` once after whole seconds, and return the timer's id."""
        return self._set_timer(as_u64(delay), func, is_interval=False)

    def set_timer_interval(self, interval: object, func: Callable[[], Any]) -> int:
        """Call ``func`` again and again after whole seconds, and return the timer's id."""
        return self._set_timer(as_u64(interval), func, is_interval=True)

    def time(self) -> int:
        """Return the time in nanoseconds; it stands still during a message."""
        return self._state.current().environment.time_ns

    def trap(self, message: object) -> NoReturn:
        """Undo the message, and answer with this text."""
        self._state.current().stop(Trap(as_text(message), EXPLICIT_TRAP))

    def __getattr__(self, name: str) -> Callable[[list[Any]], dict[str, None]]:
        """Find ``notify_<Class>_<method>_wrapper``, which ``kybra`` makes up from names."""
        if name.startswith(_NOTIFY) and name.endswith(_WRAPPER):
            joined = name.removeprefix(_NOTIFY).removesuffix(_WRAPPER)
            if self._state.calls.has_method(joined):
                return lambda arguments: self._notify_typed(arguments, has_payment=False)
            if self._state.calls.has_method(joined.removeprefix(_WITH_PAYMENT)):
                return lambda arguments: self._notify_typed(arguments, has_payment=True)
        reason = f"'Ic' object has no attribute '{name}'"
        raise AttributeError(reason, name=name, obj=self)

    def _notify_typed(self, arguments: list[Any], *, has_payment: bool) -> dict[str, None]:
        message = self._state.current()
        try:
            request = self._state.calls.notification(arguments, has_payment=has_payment)
        except Panic as panic:
            message.stop(Trap(str(panic), EXPLICIT_TRAP))
        return self._notify(request)

    def _notify(self, request: CallRequest) -> dict[str, None]:
        self._state.current().send(
            OutgoingCall(request.callee, request.method, request.argument, request.cycles, None)
        )
        return {"Ok": None}

    def _give_principal(self, principal: Principal) -> Any:
        return self._state.classes.principal(principal.raw)

    def _as_64_bits(self, message: MessageState, amount: int) -> int:
        if amount >= _U64_END:
            message.stop(Trap("amount of cycles does not fit 64 bits", OTHER_TRAP))
        return amount

    def _accept(self, amount_max: int) -> int:
        message = self._state.current()
        message.require("msg_cycles_accept128", TAKING_CYCLES)
        accepted = min(amount_max, message.cycles_available)
        message.cycles_accepted += accepted
        return accepted

    def _set_timer(self, delay_s: int, callback: Callable[[], Any], *, is_interval: bool) -> int:
        message = self._state.current()
        message.require("global_timer_set", CHANGING)
        deadline_ns = message.environment.time_ns + delay_s * NS_PER_S
        if deadline_ns >= _U64_END:
            reason = "Panicked at 'delay out of bounds (must be within `u64::MAX - time()`)'"
            message.stop(Trap(reason, EXPLICIT_TRAP))
        interval_ns = delay_s * NS_PER_S if is_interval else None
        return self._state.timers.set(Timer(deadline_ns, callback, interval_ns))
