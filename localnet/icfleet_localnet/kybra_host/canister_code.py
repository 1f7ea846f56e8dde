"""Calling a canister's functions as Kybra's compiled runtime calls them: guards, hooks, methods.

Everything here runs inside a message, and knows nothing of how one is kept or undone.

Source: ``kybra`` 0.7.1, ``kybra_generate/src/canister_method``, ``guard_function``, ``body``.
"""

import logging
from collections.abc import Callable
from itertools import count
from typing import Any

from icfleet_localnet.executor import OutgoingCall, Response, Trap
from icfleet_localnet.kybra_host.failures import describe, release_frames
from icfleet_localnet.kybra_host.generators import Drive, Waiting, is_generator
from icfleet_localnet.kybra_host.host_state import HostState, KybraClasses
from icfleet_localnet.kybra_host.interface import HostHook, HostMethod
from icfleet_localnet.kybra_host.leaf_values import as_list, as_null, as_text
from icfleet_localnet.kybra_host.message import CallState, Continuation, MessageState
from icfleet_localnet.kybra_host.metering import PRICES
from icfleet_localnet.kybra_host.modules import ModuleSpace
from icfleet_localnet.kybra_host.traps import EXPLICIT_TRAP, Panic
from icfleet_protocol.candid import CandidType
from icfleet_protocol.errors import CandidError

__all__ = ["CanisterCode"]

_UNDECODABLE_REPLY = 5
"""The rejection code that ``ic-cdk`` 0.13.5 gives a reply it cannot decode."""

_log = logging.getLogger(__name__)


class CanisterCode:
    """The functions of one canister; whatever they raise comes through, unless said otherwise."""

    def __init__(self, entry: str, space: ModuleSpace, state: HostState) -> None:
        self._entry = entry
        self._space = space
        self._state = state
        self._ids = count(1)

    def function(self, name: str) -> Callable[..., Any]:
        """Look a function up as the compiled canister does; ``KeyError`` if it is not there."""
        found: Callable[..., Any] = self._space.scope[name]
        return found

    def load_and_call(self, message: MessageState, hook: HostHook | None) -> None:
        """Import ``kybra`` and the entry module, then call ``init`` or ``post_upgrade``."""
        self._state.load(KybraClasses(self._space.import_kybra(), self._space.scope))
        self._space.import_entry(self._entry)
        self.call_hook(message, hook)

    def call_hook(self, message: MessageState, hook: HostHook | None) -> None:
        """Call a hook, which must return ``None``; nothing if the canister has none."""
        if hook is None:
            return
        # Without parameters, the argument is not even decoded.
        args = self._decode(message, hook.args) if hook.args else []
        as_null(self.function(hook.name)(*args))

    def call_method(self, message: MessageState, method: HostMethod) -> None:
        """Ask the guard, then decode the argument, then call; in this order, as on chain."""
        refusal = None if method.guard is None else self._ask_guard(method.guard)
        if refusal is not None:
            message.answer(reject=refusal)
            return
        args = self._decode(message, method.args)
        self.proceed(message, self.function(method.name)(*args))

    def _decode(self, message: MessageState, types: tuple[CandidType, ...]) -> list[Any]:
        try:
            return self._state.border(types).read(self._state.charge_candid(message.argument))
        except CandidError as error:
            reason = f"failed to decode call arguments: {error}"
            message.stop(Trap(reason, EXPLICIT_TRAP))

    def _ask_guard(self, name: str) -> str | None:
        """Return why the guard refuses, or ``None``. What it changed stays in either case."""
        try:
            return _guard_refusal(self.function(name)())
        except Exception as error:  # noqa: BLE001  # The compiled guard rejects with any.
            refusal = describe(error)
            release_frames(error)
            return refusal

    def proceed(self, message: MessageState, result: Any) -> None:
        """Take what a function returned: a value, or a generator to be driven."""
        if is_generator(result):
            message.call.drive = Drive(result)
            self._advance(message, None)
        else:
            self._conclude(message, result)

    def resume(self, message: MessageState, continuation: Continuation, response: Response) -> None:
        """Go on with the answer to a call; a refused call is a value like any other."""
        try:
            result = self._call_result(continuation, response)
        except Exception as error:  # noqa: BLE001  # A timer's may be of any kind.
            self._swallow(message.call, error)
            return
        self._advance(message, result)

    def _advance(self, message: MessageState, value: Any) -> None:
        drive = message.call.drive
        assert drive is not None, "only a generator can be resumed"
        try:
            step = drive.advance(value)
            if isinstance(step, Waiting):
                self._call_out(message, step)
            else:
                self._conclude(message, step.value)
        except Exception as error:  # noqa: BLE001  # A timer's may be of any kind.
            self._swallow(message.call, error)

    def _swallow(self, call: CallState, error: Exception) -> None:
        """Pass over an exception of a timer's generator, as its state is kept on chain."""
        if not call.is_detached or isinstance(error, Panic):
            raise error
        _log.warning(
            "an exception in a timer's generator is passed over, and its changes are kept:\n%s",
            self._space.format_traceback(error),
        )
        release_frames(error)

    def _call_out(self, message: MessageState, step: Waiting) -> None:
        request = self._state.calls.request(as_text(step.name), as_list(step.arguments))
        self._state.meter.charge(PRICES.host_call)
        self._state.charge_candid(request.argument)
        number = next(self._ids)
        message.send(
            OutgoingCall(request.callee, request.method, request.argument, request.cycles, number)
        )
        message.waiting = Continuation(number, message.call, request)

    def _call_result(self, continuation: Continuation, response: Response) -> Any:
        make = self._state.classes.call_result
        if response.reply is None:
            code, text = response.reject_code, response.reject_message
            return make(None, f"Rejection code {code}, {text}")
        try:
            reply = self._state.charge_candid(response.reply)
            return make(continuation.request.read_reply(reply), None)
        except CandidError as error:
            text = f"failed to decode canister response as {continuation.request.method}: {error}"
            return make(None, f"Rejection code {_UNDECODABLE_REPLY}, {text}")

    def _conclude(self, message: MessageState, value: Any) -> None:
        """Take the value at the end: reply with it where that is for the host to do."""
        call = message.call
        if call.method is None:
            if not call.is_detached:
                as_null(value)
        elif not call.method.is_manual:
            results = call.method.results
            if not results:
                as_null(value)
            encoded = self._state.border(results).write([value] if results else [])
            message.answer(reply=self._state.charge_candid(encoded))


def _guard_refusal(result: Any) -> str | None:
    """Read a guard's result as the compiled canister does: ``Err`` before ``Ok``."""
    for key, read in (("Err", as_text), ("Ok", as_null)):
        try:
            content = result[key]
        except Exception:  # noqa: BLE001, S112  # Whatever a look-up may raise.
            continue
        return read(content)
    reason = f"expected Result but received {type(result).__name__}"
    raise TypeError(reason)
