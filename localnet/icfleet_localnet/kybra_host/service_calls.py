"""Calls to other canisters: what canister code yields, made into bytes, and replies made back.

``kybra`` describes a call as a name and a list: ``call``, ``call_with_payment``,
``call_with_payment128`` with ``[principal, "Class.method", *arguments, cycles?]``, and
``call_raw``, ``call_raw128`` with ``[principal, method, bytes, cycles]``.

Source: ``kybra`` 0.7.1, ``kybra_generate/src/body/async_result_handler.rs``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from icfleet_localnet.kybra_host.border import Border
from icfleet_localnet.kybra_host.conversion import PythonSide
from icfleet_localnet.kybra_host.interface import HostService
from icfleet_localnet.kybra_host.leaf_values import (
    as_bytes,
    as_principal,
    as_text,
    as_u64,
    as_u128,
)
from icfleet_localnet.kybra_host.traps import Panic
from icfleet_protocol.candid import TypeEnvironment
from icfleet_protocol.principal import Principal

__all__ = ["CallRequest", "ServiceCalls"]


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call, ready to be sent."""

    callee: Principal
    method: str
    argument: bytes
    cycles: int
    read_reply: Callable[[bytes], Any]
    """Gives the reply as canister code gets it; raises ``CandidError`` when it does not decode."""


@dataclass(frozen=True, slots=True)
class _Method:
    name: str
    args: Border
    results: Border

    def read_reply(self, reply: bytes) -> Any:
        values = self.results.read(reply)
        return values[0] if values else None


class ServiceCalls:
    """The ``Service`` classes of one canister, by which typed calls are encoded."""

    def __init__(
        self,
        services: Mapping[str, HostService],
        environment: TypeEnvironment,
        python: PythonSide,
    ) -> None:
        # The compiled code joins class and method by an underscore, and so knows no nesting.
        self._methods = {
            f"{service.name}_{method.name}": _Method(
                method.name,
                Border(method.args, environment, python),
                Border(method.results, environment, python),
            )
            for service in services.values()
            for method in service.methods.values()
        }

    def has_method(self, joined_name: str) -> bool:
        """Whether some class has this method; the name is ``Class_method``."""
        return joined_name in self._methods

    def request(self, name: str, arguments: list[Any]) -> CallRequest:
        """Build the call that canister code described.

        Raises:
            Exception: As the compiled code would raise inside Python: ``SystemError`` for an
                unknown name, ``AttributeError`` for an unknown method, ``TypeError`` or
                ``OverflowError`` for arguments that do not fit.
            Panic: If arguments are missing.
        """
        match name:
            case "call":
                return self._typed(arguments, None)
            case "call_with_payment":
                return self._typed(arguments, as_u64)
            case "call_with_payment128":
                return self._typed(arguments, as_u128)
            case "call_raw":
                return _raw(arguments, as_u64)
            case "call_raw128":
                return _raw(arguments, as_u128)
            case _:
                reason = f"async operation '{name}' not supported"
                raise SystemError(reason)

    def notification(self, arguments: list[Any], *, has_payment: bool) -> CallRequest:
        """Build a one-way call; its cycles, if any, are the last item."""
        request = self._typed(arguments, None)
        if not has_payment:
            return request
        return replace(request, cycles=as_u128(arguments[-1]))

    def _typed(self, arguments: list[Any], as_cycles: Callable[[Any], int] | None) -> CallRequest:
        callee = as_principal(_item(arguments, 0))
        qualified = as_text(_item(arguments, 1))
        method = self._methods.get(qualified.replace(".", "_"))
        if method is None:
            reason = f"canister '{callee}' has no attribute '{qualified}'"
            raise AttributeError(reason)
        end = 2 + len(method.args.types)
        values = [_item(arguments, index) for index in range(2, end)]
        taken = method.args.take(values)
        cycles = 0 if as_cycles is None else as_cycles(_item(arguments, end))
        argument = method.args.encode(taken)
        return CallRequest(callee, method.name, argument, cycles, method.read_reply)


def _raw(arguments: list[Any], as_cycles: Callable[[Any], int]) -> CallRequest:
    return CallRequest(
        callee=as_principal(_item(arguments, 0)),
        method=as_text(_item(arguments, 1)),
        argument=as_bytes(_item(arguments, 2)),
        cycles=as_cycles(_item(arguments, 3)),
        read_reply=bytes,
    )


def _item(arguments: list[Any], index: int) -> Any:
    if index >= len(arguments):
        reason = (
            f"Panicked at 'index out of bounds: the len is {len(arguments)} "
            f"but the index is {index}'"
        )
        raise Panic(reason)
    return arguments[index]
