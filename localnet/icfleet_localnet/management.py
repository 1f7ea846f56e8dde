"""The management canister: ``aaaaa-aa``, by which canisters are made, filled, stopped and shown.

Source: IC interface specification, "The IC management canister", and its ``ic.did``. Only the
methods below are served; every other one is rejected by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from icfleet_localnet.bundle import read_module
from icfleet_localnet.call_context import Answer, Origin, QueuedCall
from icfleet_localnet.canister import Canister, Settings
from icfleet_localnet.errors import BundleError
from icfleet_localnet.execution import record_log
from icfleet_localnet.executor import Environment, Executor, Installed
from icfleet_localnet.ingress import Replied
from icfleet_localnet.rejects import (
    CANISTER_REJECT,
    Reject,
    canister_trapped,
    invalid_module,
    invalid_payload,
    no_such_canister,
    no_such_management_method,
    no_wasm_module,
    not_controller,
    not_empty,
    only_canisters,
)
from icfleet_protocol.candid import parse_did
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import Principal

__all__ = ["MANAGEMENT_INTERFACE", "Management", "effective_canister"]

_DID = """
type canister_settings = record {
  controllers : opt vec principal;
  compute_allocation : opt nat;
  memory_allocation : opt nat;
  freezing_threshold : opt nat;
};
type visibility = variant { controllers; public; allowed_viewers : vec principal };
type definite_settings = record {
  controllers : vec principal;
  compute_allocation : nat;
  memory_allocation : nat;
  freezing_threshold : nat;
  reserved_cycles_limit : nat;
  minimum_incoming_canister_call_cycles : nat;
  log_visibility : visibility;
  log_memory_limit : nat;
  snapshot_visibility : visibility;
  status_visibility : visibility;
  wasm_memory_limit : nat;
  wasm_memory_threshold : nat;
  environment_variables : vec record { name : text; value : text };
};
type canister_status_result = record {
  status : variant { running; stopping; stopped };
  ready_for_migration : bool;
  version : nat64;
  settings : definite_settings;
  module_hash : opt blob;
  memory_size : nat;
  memory_metrics : record {
    wasm_memory_size : nat;
    stable_memory_size : nat;
    global_memory_size : nat;
    wasm_binary_size : nat;
    custom_sections_size : nat;
    canister_history_size : nat;
    wasm_chunk_store_size : nat;
    snapshots_size : nat;
    log_memory_store_size : nat;
  };
  cycles : nat;
  reserved_cycles : nat;
  idle_cycles_burned_per_day : nat;
  query_stats : record {
    num_calls_total : nat;
    num_instructions_total : nat;
    request_payload_bytes_total : nat;
    response_payload_bytes_total : nat;
  };
};
type upgrade_options = record {
  skip_pre_upgrade : opt bool;
  wasm_memory_persistence : opt variant { keep; replace };
};
service : {
  provisional_create_canister_with_cycles : (record {
    amount : opt nat;
    settings : opt canister_settings;
    specified_id : opt principal;
    sender_canister_version : opt nat64;
  }) -> (record { canister_id : principal });
  install_code : (record {
    mode : variant { install; reinstall; upgrade : opt upgrade_options };
    canister_id : principal;
    wasm_module : blob;
    arg : blob;
    sender_canister_version : opt nat64;
  }) -> ();
  start_canister : (record { canister_id : principal }) -> ();
  stop_canister : (record { canister_id : principal }) -> ();
  canister_status : (record { canister_id : principal }) -> (canister_status_result);
}
"""
MANAGEMENT_INTERFACE = parse_did(_DID)

_CREATE = "provisional_create_canister_with_cycles"
_CYCLES_DEFAULT = 100_000_000_000_000
"""Cycles of a new canister when the caller names no amount. Source: dfinity/ic, 100 T."""

_CONTROLLERS_MAX = 10
_ONLY_CANISTERS = frozenset({"create_canister", "raw_rand", "deposit_cycles", "canister_info"})


def effective_canister(method: str, arg: bytes) -> Principal | Reject | None:
    """Which canister a management call is about.

    Returns:
        Its id; ``None`` when the call makes a new one; a reject when the call cannot be served.
    """
    if method in _ONLY_CANISTERS:
        return only_canisters(method)
    if method not in MANAGEMENT_INTERFACE.methods:
        return no_such_management_method(method)
    try:
        fields = _decode(method, arg)
    except CandidError as error:
        return invalid_payload(method, str(error))
    return None if method == _CREATE else cast("Principal", fields["canister_id"])


class Management:
    """Executes management calls against one subnet's canisters."""

    def __init__(
        self,
        canisters: dict[Principal, Canister],
        executor: Executor,
        *,
        allocate: Callable[[Principal | None], Principal | Reject],
        answer: Callable[[Origin, Answer], None],
        on_change: Callable[[Principal], None],
    ) -> None:
        self._canisters = canisters
        self._executor = executor
        self._allocate = allocate
        self._answer = answer
        self._on_change = on_change
        self._stopping: dict[Principal, list[Origin]] = {}

    def check(self, caller: Principal, method: str, arg: bytes) -> Reject | None:
        """Why a call would be refused before it is executed, if it would."""
        target = effective_canister(method, arg)
        if isinstance(target, Reject):
            return target
        if target is None:
            return None
        canister = self._canisters.get(target)
        if canister is None:
            return no_such_canister(target)
        return None if canister.is_controlled_by(caller) else not_controller(target, method)

    def execute(self, call: QueuedCall, now_ns: int) -> Answer | None:
        """Execute a call; ``None`` when the answer waits for a canister to stop."""
        refusal = self.check(call.caller, call.method, call.arg)
        if refusal is not None:
            return refusal
        fields = _decode(call.method, call.arg)
        if call.method == _CREATE:
            return self._create(call.caller, fields)
        canister = self._canisters[cast("Principal", fields["canister_id"])]
        match call.method:
            case "install_code":
                answer = self._install(canister, call.caller, fields, now_ns)
            case "start_canister":
                answer = self._start(canister)
            case "stop_canister":
                return self._stop(canister, call.origin)
            case _:
                return _reply("canister_status", _status(canister))
        self._on_change(canister.id)
        return answer

    def settle_stops(self) -> None:
        """Finish the stops whose canisters have nothing open any more."""
        for canister_id in [*self._stopping]:
            canister = self._canisters[canister_id]
            if canister.open_contexts == 0:
                canister.status = "stopped"
                canister.version += 1
                for origin in self._stopping.pop(canister_id):
                    self._answer(origin, _reply("stop_canister"))

    def _create(self, caller: Principal, fields: Mapping[str, Any]) -> Answer:
        settings = _settings(fields["settings"] or {}, Settings(controllers=(caller,)))
        if isinstance(settings, Reject):
            return settings
        canister_id = self._allocate(fields["specified_id"])
        if isinstance(canister_id, Reject):
            return canister_id
        amount = fields["amount"]
        cycles = _CYCLES_DEFAULT if amount is None else cast("int", amount)
        self._canisters[canister_id] = Canister(canister_id, settings, cycles)
        self._on_change(canister_id)
        return _reply(_CREATE, {"canister_id": canister_id})

    def _install(
        self, canister: Canister, caller: Principal, fields: Mapping[str, Any], now_ns: int
    ) -> Answer:
        mode = next(iter(cast("Mapping[str, object]", fields["mode"])))
        if mode == "install" and canister.instance is not None:
            return not_empty(canister.id)
        if mode == "upgrade" and canister.instance is None:
            return no_wasm_module(canister.id)
        try:
            module = read_module(cast("bytes", fields["wasm_module"]))
        except BundleError as error:
            return invalid_module(canister.id, str(error))
        environment = Environment(
            canister=canister.id, caller=caller, time_ns=now_ns, cycles=canister.cycles
        )
        arg = cast("bytes", fields["arg"])
        if mode == "upgrade" and canister.instance is not None:
            installed = self._executor.upgrade(canister.instance, module, arg, environment)
        else:
            installed = self._executor.install(module, arg, environment)
        record_log(canister, installed.outcome, now_ns)
        if installed.outcome.trap is not None:
            return canister_trapped(canister.id, installed.outcome.trap, with_traceback=True)
        assert installed.instance is not None
        if mode != "upgrade":
            canister.certified_data = b""
            if canister.instance is not None:
                canister.instance.drop_continuations()
        canister.module = module
        _take_over(canister, installed)
        return _reply("install_code")

    def _start(self, canister: Canister) -> Answer:
        canister.status = "running"
        canister.version += 1
        cancelled = Reject(
            CANISTER_REJECT, f"Canister {canister.id}'s stop was cancelled", "IC0511"
        )
        for origin in self._stopping.pop(canister.id, []):
            self._answer(origin, cancelled)
        return _reply("start_canister")

    def _stop(self, canister: Canister, origin: Origin) -> Answer | None:
        if canister.status == "stopped":
            return _reply("stop_canister")
        canister.status = "stopping"
        self._stopping.setdefault(canister.id, []).append(origin)
        return None


def _take_over(canister: Canister, installed: Installed) -> None:
    """Let new code run from the next message on."""
    canister.instance = installed.instance
    canister.version += 1
    canister.next_timer_ns = (
        None if installed.instance is None else installed.instance.next_timer_ns
    )
    if installed.outcome.certified_data is not None:
        canister.certified_data = installed.outcome.certified_data


def _settings(fields: Mapping[str, Any], current: Settings) -> Settings | Reject:
    given = {name: value for name, value in fields.items() if value is not None}
    controllers = cast("list[Principal] | None", given.pop("controllers", None))
    settings = replace(current, **given)
    if controllers is None:
        return settings
    if len(controllers) > _CONTROLLERS_MAX:
        detail = f"{len(controllers)} controllers, at most {_CONTROLLERS_MAX} allowed"
        return invalid_payload(_CREATE, detail)
    return replace(settings, controllers=tuple(controllers))


def _status(canister: Canister) -> dict[str, object]:
    module_size = 0 if canister.module is None else canister.module.size
    stable_size = 0 if canister.instance is None else canister.instance.stable_bytes
    no_view = {"controllers": None}
    return {
        "status": {canister.status: None},
        "ready_for_migration": False,
        "version": canister.version,
        "settings": {
            "controllers": list(canister.settings.controllers),
            "compute_allocation": canister.settings.compute_allocation,
            "memory_allocation": canister.settings.memory_allocation,
            "freezing_threshold": canister.settings.freezing_threshold,
            "reserved_cycles_limit": 5_000_000_000_000,
            "minimum_incoming_canister_call_cycles": 0,
            "log_visibility": no_view,
            "log_memory_limit": 4096,
            "snapshot_visibility": no_view,
            "status_visibility": no_view,
            "wasm_memory_limit": 0,
            "wasm_memory_threshold": 0,
            "environment_variables": [],
        },
        "module_hash": None if canister.module is None else canister.module.sha256,
        "memory_size": module_size + stable_size,
        "memory_metrics": {
            "wasm_memory_size": 0,
            "stable_memory_size": stable_size,
            "global_memory_size": 0,
            "wasm_binary_size": module_size,
            "custom_sections_size": module_size,
            "canister_history_size": 0,
            "wasm_chunk_store_size": 0,
            "snapshots_size": 0,
            "log_memory_store_size": 0,
        },
        "cycles": canister.cycles,
        "reserved_cycles": 0,
        "idle_cycles_burned_per_day": 0,
        "query_stats": {
            "num_calls_total": 0,
            "num_instructions_total": 0,
            "request_payload_bytes_total": 0,
            "response_payload_bytes_total": 0,
        },
    }


def _decode(method: str, arg: bytes) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", MANAGEMENT_INTERFACE.decode_args(method, arg)[0])


def _reply(method: str, *values: object) -> Replied:
    return Replied(MANAGEMENT_INTERFACE.encode_results(method, values))
