"""Putting code into canisters, exchanging it, and taking it out.

Source: IC interface specification, "IC method install_code", "Code installation", "Code upgrade"
and "Code uninstallation".
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

from icfleet_localnet.bundle import Module, read_installable
from icfleet_localnet.canister import Canister
from icfleet_localnet.canister_history import Change
from icfleet_localnet.canister_log import LogLine
from icfleet_localnet.errors import BundleError
from icfleet_localnet.event_log import EventLog
from icfleet_localnet.execution import log_trap, record_log
from icfleet_localnet.executor import Environment, Installed, Outcome, Trap
from icfleet_localnet.fees import INSTALL_INSTRUCTIONS_MAX
from icfleet_localnet.management.subnet_access import (
    ManagementCall,
    Result,
    SubnetAccess,
    reply,
)
from icfleet_localnet.rejects import (
    Reject,
    canister_trapped,
    invalid_module,
    invalid_upgrade_option,
    no_wasm_module,
    not_empty,
    uninstalled,
)

__all__ = ["Code", "remove_code"]

_log = EventLog(__name__)

_HEAP_KEPT = "enhanced-orthogonal-persistence"
"""Private metadata of a module that can take over the Wasm memory of the code before it."""

_INERT_NOTE = (
    "This canister's code is compiled Wasm of another tool. The local network keeps it and shows "
    "it, and runs none of it: every call is rejected."
)

_Mode = Literal["install", "reinstall", "upgrade"]


class _Request(NamedTuple):
    """What is asked for."""

    mode: _Mode
    skips_pre_upgrade: bool
    persistence: str | None
    """``keep`` or ``replace``, if anything is said."""


class Code:
    """Changes the code of a subnet's canisters."""

    def __init__(self, subnet: SubnetAccess) -> None:
        self._subnet = subnet

    def install(self, call: ManagementCall, canister: Canister, wasm: bytes) -> Result:
        """``install_code``: all of it, or nothing."""
        request = _read_request(call.fields["mode"])
        module = _read_new_code(request, canister, wasm)
        if isinstance(module, Reject):
            return module
        charging = self._subnet.charging
        refusal = charging.prepay_execution(canister, INSTALL_INSTRUCTIONS_MAX)
        if refusal is not None:
            return refusal
        installed = self._run(call, canister, module, request)
        used = installed.outcome.instructions
        charging.settle_execution(canister, limit=INSTALL_INSTRUCTIONS_MAX, used=used)
        if installed.outcome.trap is not None:
            record_log(canister, installed.outcome, call.now_ns)
            log_trap(canister.id, request.mode, installed.outcome.trap)
            return canister_trapped(canister.id, installed.outcome.trap, with_traceback=True)
        _take_over(canister, module, installed, call, request.mode)
        _log.info(
            "canister code installed",
            canister=str(canister.id),
            mode=request.mode,
            module_hash=module.sha256.hex(),
        )
        return reply(call.method)

    def uninstall(self, call: ManagementCall, canister: Canister) -> Result:
        """``uninstall_code``: settings, cycles and status stay."""
        self._subnet.abandon(canister.id, uninstalled(canister.id))
        remove_code(canister)
        change = Change(call.now_ns, canister.version, call.change_origin, "code_uninstall")
        canister.history.add(change)
        _log.info("canister code uninstalled", canister=str(canister.id))
        return reply(call.method)

    def _run(
        self, call: ManagementCall, canister: Canister, module: Module, request: _Request
    ) -> Installed:
        """Start the code; should the host itself fail, this call fails and not the network."""
        if module.is_inert:
            return Installed(None)
        arg = cast("bytes", call.fields["arg"])
        environment = Environment(
            canister=canister.id,
            caller=call.caller,
            time_ns=call.now_ns,
            cycles=canister.cycles,
            instruction_limit=INSTALL_INSTRUCTIONS_MAX,
            skips_pre_upgrade=request.skips_pre_upgrade,
        )
        executor = self._subnet.executor
        try:
            if request.mode == "upgrade" and canister.instance is not None:
                return executor.upgrade(canister.instance, module, arg, environment)
            return executor.install(module, arg, environment)
        except Exception as error:  # noqa: BLE001 - its mistake must not end all canisters
            _log.exception("the canister host failed", canister=str(canister.id))
            return Installed(
                None, Outcome(trap=Trap(f"the local network failed: {error!r}", "IC0502"))
            )


def remove_code(canister: Canister) -> None:
    """Take out a canister's code, and all that belongs to it."""
    _close_instance(canister)
    canister.module = None
    canister.installed_ns = None
    canister.certified_data = b""
    canister.next_timer_ns = None
    canister.chunks.clear()
    canister.log.clear()
    canister.version += 1


def _read_request(mode: Mapping[str, Any]) -> _Request:
    ((name, content),) = mode.items()
    options = cast("Mapping[str, Any]", content or {})
    persistence = cast("Mapping[str, None] | None", options.get("wasm_memory_persistence"))
    return _Request(
        cast("_Mode", name),
        bool(options.get("skip_pre_upgrade")),
        None if persistence is None else next(iter(persistence)),
    )


def _read_new_code(request: _Request, canister: Canister, wasm: bytes) -> Module | Reject:
    """Read a module, if it can be installed here in the way that is asked for."""
    if request.mode == "install" and canister.module is not None:
        return not_empty(canister.id)
    if request.mode == "upgrade" and canister.module is None:
        return no_wasm_module(canister.id)
    try:
        module = read_installable(wasm)
    except BundleError as error:
        return invalid_module(canister.id, str(error))
    return _check_upgrade(request, canister, module) or module


def _check_upgrade(request: _Request, canister: Canister, module: Module) -> Reject | None:
    """Whether the new code can take over from the old one."""
    if request.mode != "upgrade":
        return None
    old = canister.module
    assert old is not None, "the caller has checked that there is code"
    if old.is_inert != module.is_inert:
        reason = (
            "A tool's compiled canister and a canister of Python sources have no memory in "
            "common: install with the mode 'reinstall' instead."
        )
        return invalid_upgrade_option(reason)
    if request.persistence == "keep" and not _keeps_heap(module):
        reason = (
            "Wasm memory can be kept only by a module with the private metadata "
            f"'{_HEAP_KEPT}', which Kybra's modules have not."
        )
        return invalid_upgrade_option(reason)
    if request.persistence is None and _keeps_heap(old):
        return invalid_upgrade_option(f"The installed module has '{_HEAP_KEPT}': say what to do.")
    return None


def _keeps_heap(module: Module) -> bool:
    found = module.metadata.get(_HEAP_KEPT)
    return found is not None and not found.is_public


def _take_over(
    canister: Canister, module: Module, installed: Installed, call: ManagementCall, mode: _Mode
) -> None:
    """Let new code run from the next message on."""
    if mode != "upgrade":
        _close_instance(canister)
        canister.certified_data = b""
        canister.log.clear()
    instance = installed.instance
    canister.instance = instance
    canister.module = module
    canister.installed_ns = call.now_ns
    canister.version += 1
    canister.next_timer_ns = None if instance is None else instance.next_timer_ns
    if installed.outcome.certified_data is not None:
        canister.certified_data = installed.outcome.certified_data
    record_log(canister, installed.outcome, call.now_ns)
    if module.is_inert:
        canister.log.append(LogLine(call.now_ns, _INERT_NOTE))
        _log.warning("compiled code is kept and not run", canister=str(canister.id))
    details = {"mode": {mode: None}, "module_hash": module.sha256}
    canister.history.add(
        Change(call.now_ns, canister.version, call.change_origin, "code_deployment", details)
    )


def _close_instance(canister: Canister) -> None:
    if canister.instance is not None:
        canister.instance.drop_continuations()
        canister.instance.close()
        canister.instance = None
