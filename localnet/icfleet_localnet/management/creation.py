"""Making canisters, giving them cycles, and changing their settings.

Source: IC interface specification, "IC method create_canister", "IC method update_settings",
"IC Provisional API".
"""

from collections.abc import Mapping
from typing import Any, cast

from icfleet_localnet.call_context import ManagementAnswer
from icfleet_localnet.canister import Canister
from icfleet_localnet.canister_history import Change
from icfleet_localnet.canister_log import CanisterLog
from icfleet_localnet.canister_settings import Settings
from icfleet_localnet.event_log import EventLog
from icfleet_localnet.management.settings import CYCLES_MAX, SettingsFields, read_settings
from icfleet_localnet.management.subnet_access import (
    ManagementCall,
    Result,
    SubnetAccess,
    reply,
)
from icfleet_localnet.rejects import (
    Reject,
    canister_exists,
    insufficient_cycles_for_allocation,
    insufficient_cycles_to_create,
    invalid_payload,
)
from icfleet_protocol.principal import Principal
from icfleet_protocol.request_id import hash_of_map

__all__ = ["Creation"]

_PROVISIONAL_CYCLES = 100_000_000_000_000
"""Cycles of a new canister when the caller names no amount. Source: dfinity/ic, 100 T."""

_log = EventLog(__name__)


class Creation:
    """Makes canisters and changes what is set about them."""

    def __init__(self, subnet: SubnetAccess) -> None:
        self._subnet = subnet

    def create_provisionally(self, call: ManagementCall) -> Result:
        """``provisional_create_canister_with_cycles``: cycles out of nothing, and no fee."""
        amount = cast("int | None", call.fields["amount"])
        cycles = _PROVISIONAL_CYCLES if amount is None else amount
        if cycles > CYCLES_MAX:
            return invalid_payload(call.method, f"{cycles} cycles do not fit 128 bits")
        made = self._make(call, call.fields["specified_id"], cycles)
        return made if isinstance(made, Reject) else reply(call.method, {"canister_id": made.id})

    def create(self, call: ManagementCall) -> Result:
        """``create_canister``: the call's cycles, less the fee, are the new canister's."""
        fee = self._subnet.charging.fees.canister_creation()
        if call.cycles < fee:
            return insufficient_cycles_to_create(sent=call.cycles, required=fee)
        made = self._make(call, None, call.cycles)
        if isinstance(made, Reject):
            return made
        made.charge(fee, "canister_creation")
        return ManagementAnswer(reply(call.method, {"canister_id": made.id}), call.cycles)

    def top_up_provisionally(self, call: ManagementCall, canister: Canister) -> Result:
        """``provisional_top_up_canister``."""
        amount = cast("int", call.fields["amount"])
        if canister.cycles + amount > CYCLES_MAX:
            detail = f"{amount} more cycles do not fit the balance's 128 bits"
            return invalid_payload(call.method, detail)
        canister.cycles += amount
        return reply(call.method)

    def deposit(self, call: ManagementCall, canister: Canister) -> Result:
        """``deposit_cycles``: the call's cycles are the canister's from now on."""
        canister.cycles += call.cycles
        return ManagementAnswer(reply(call.method), call.cycles)

    def update_settings(self, call: ManagementCall, canister: Canister) -> Result:
        """``update_settings``: all that is given, or nothing."""
        fields = cast("SettingsFields", call.fields["settings"])
        settings = read_settings(call.method, fields, canister.settings)
        if isinstance(settings, Reject):
            return settings
        refusal = self._check_allocations(canister, settings)
        if refusal is not None:
            return refusal
        canister.settings = settings
        canister.log.resize(settings.log_memory_limit)
        canister.version += 1
        if fields["controllers"] is not None:
            controllers = list(settings.controllers)
            self._record(call, canister, "controllers_change", {"controllers": controllers})
        return reply(call.method)

    def _make(
        self, call: ManagementCall, specified: Principal | None, cycles: int
    ) -> Canister | Reject:
        fields = cast("SettingsFields | None", call.fields["settings"])
        settings = read_settings(call.method, fields, Settings(controllers=(call.caller,)))
        if isinstance(settings, Reject):
            return settings
        if specified is not None and specified in self._subnet.canisters:
            return canister_exists(specified)
        canister_id = self._subnet.allocate(specified)
        if isinstance(canister_id, Reject):
            return canister_id
        log = CanisterLog(settings.log_memory_limit)
        canister = Canister(canister_id, settings, cycles, log=log, created_ns=call.now_ns)
        _log.info("canister created", canister=str(canister_id))
        details = {
            "controllers": list(settings.controllers),
            "environment_variables_hash": _hash_variables(fields, settings),
        }
        self._record(call, canister, "creation", details)
        self._subnet.canisters[canister_id] = canister
        self._subnet.on_change(canister_id)
        return canister

    def _check_allocations(self, canister: Canister, settings: Settings) -> Reject | None:
        """Whether the balance bears a larger allocation without freezing."""
        before = canister.settings
        for name in ("compute_allocation", "memory_allocation"):
            if getattr(settings, name) <= getattr(before, name):
                continue
            canister.settings = settings
            missing = self._subnet.charging.missing(canister, 0)
            canister.settings = before
            if missing:
                return insufficient_cycles_for_allocation(name, missing)
        return None

    def _record(
        self, call: ManagementCall, canister: Canister, kind: str, content: Mapping[str, Any]
    ) -> None:
        canister.history.add(
            Change(
                call.now_ns,
                canister.version,
                call.change_origin,
                kind,
                content,
                controllers=len(canister.settings.controllers),
            )
        )


def _hash_variables(fields: SettingsFields | None, settings: Settings) -> bytes | None:
    if fields is None or fields["environment_variables"] is None:
        return None
    return hash_of_map(dict(settings.environment_variables))
