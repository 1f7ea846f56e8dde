"""Calls of the management canister in a subnet in virtual time, with absent fields filled in."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from localnet_client import ANY_CANISTER, Built, Client, Deployed, RejectedError
from probe_canisters import HOLD

from icfleet_localnet.http_interface import Wait
from icfleet_localnet.management import MANAGEMENT_INTERFACE
from icfleet_protocol.cbor import decode_map
from icfleet_protocol.identity import Identity
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_protocol.request_id import RequestId

CREATE = "provisional_create_canister_with_cycles"
START, STOP, DELETE = "start_canister", "stop_canister", "delete_canister"

_SETTINGS = (
    *("controllers", "compute_allocation", "memory_allocation", "freezing_threshold"),
    *("reserved_cycles_limit", "minimum_incoming_canister_call_cycles", "log_visibility"),
    *("log_memory_limit", "snapshot_visibility", "status_visibility", "wasm_memory_limit"),
    *("wasm_memory_threshold", "environment_variables"),
)

_OPTIONAL: dict[str, tuple[str, ...]] = {
    CREATE: ("amount", "settings", "specified_id", "sender_canister_version"),
    "update_settings": ("sender_canister_version",),
    "install_code": ("sender_canister_version",),
    "install_chunked_code": ("store_canister", "sender_canister_version"),
    "uninstall_code": ("sender_canister_version",),
    "fetch_canister_logs": ("filter",),
    "canister_info": ("num_requested_changes",),
}

WAITER = """
from kybra import Async, CallResult, Principal, Service, ic, match, nat64, query, service_update
from kybra import text, update

state = {"count": 0}


class Holder(Service):
    @service_update
    def hold(self) -> text: ...


@update
def wait(target: Principal) -> Async[text]:
    result: CallResult[text] = yield Holder(target).hold()
    state["count"] = state["count"] + 1
    return match(result, {"Ok": lambda text: "ok " + text, "Err": lambda error: error})


@update
def increment() -> nat64:
    state["count"] = state["count"] + 1
    ic.print(f"now {state['count']}")
    return state["count"]


@query
def count() -> nat64:
    return state["count"]
"""


def settings(**given: object) -> dict[str, object]:
    """A ``canister_settings`` record that changes what is given."""
    assert set(given) <= set(_SETTINGS), given
    return {**dict.fromkeys(_SETTINGS), **given}


def argument(method: str, **fields: object) -> bytes:
    """A method's argument."""
    absent = dict.fromkeys(_OPTIONAL.get(method, ()))
    return MANAGEMENT_INTERFACE.encode_args(method, [{**absent, **fields}])


def _target(fields: dict[str, object]) -> Principal:
    named = fields.get("canister_id", fields.get("target_canister", ANY_CANISTER))
    return cast("Principal", named)


def _results(method: str, reply: bytes) -> Any:
    results = MANAGEMENT_INTERFACE.decode_results(method, reply)
    return results[0] if results else None


def manage(client: Client, method: str, **fields: object) -> Any:
    """Call a method by an update, and return its result."""
    arg = argument(method, **fields)
    reply = client.update(MANAGEMENT_CANISTER, method, arg, effective=_target(fields))
    return _results(method, reply)


def ask(client: Client, method: str, **fields: object) -> Any:
    """Call a method by a query, and return its result."""
    request = client.sign(MANAGEMENT_CANISTER, method, argument(method, **fields), kind="query")
    response = client.post(f"/api/v3/canister/{_target(fields)}/query", request.body)
    assert response.status == 200, response.body
    answer = decode_map(response.body, size_max=10**7)
    if answer["status"] == "rejected":
        code, message = answer["reject_code"], answer["reject_message"]
        raise RejectedError(code, message, answer["error_code"], certified=False)
    return _results(method, answer["reply"]["arg"])


def set_settings(client: Client, canister: Principal, **given: object) -> None:
    """Change some settings of a canister."""
    manage(client, "update_settings", canister_id=canister, settings=settings(**given))


def status(client: Client, canister: Principal) -> Any:
    """A canister's status."""
    return manage(client, "canister_status", canister_id=canister)


def run_state(client: Client, canister: Principal) -> str:
    """``running``, ``stopping`` or ``stopped``."""
    return str(next(iter(status(client, canister)["status"])))


def install(client: Client, canister: Principal, wasm: bytes, mode: str = "install") -> None:
    """Put code into a canister."""
    client.install(canister, wasm, mode=mode)


def error_code(call: Callable[[], object]) -> str:
    """Why a call is rejected; empty when it is not."""
    try:
        call()
    except RejectedError as error:
        return error.error_code
    return ""


@dataclass
class Pending:
    """A call that may go on for long."""

    client: Client
    canister: Principal
    request: RequestId
    caller: Identity
    """Only who made a call may ask for it."""

    @property
    def status(self) -> str:
        """``processing``, ``replied`` or ``rejected``."""
        return self._read(b"status").decode()

    @property
    def error_code(self) -> str:
        """Why it was rejected."""
        return self._read(b"error_code").decode()

    @property
    def reply(self) -> bytes:
        """What was answered."""
        return self._read(b"reply")

    def _read(self, label: bytes) -> bytes:
        client = replace(self.client, identity=self.caller)
        return client.certified(self.canister, b"request_status", self.request, label) or b""


def submit(client: Client, canister: Principal, method: str, arg: bytes) -> Pending:
    """Call a canister's method, and let rounds pass until nothing moves any more."""
    request = client.sign(canister, method, arg)
    path = f"/api/v4/canister/{canister}/call"
    answer = client.interface.post(path, request.body, now_ns=client.now_ns)
    assert isinstance(answer, Wait), answer
    client.run_rounds()
    return Pending(client, canister, request.request_id, client.identity)


def submit_management(client: Client, method: str, canister: Principal) -> Pending:
    """Call a management method that may have to wait."""
    request = client.sign(MANAGEMENT_CANISTER, method, argument(method, canister_id=canister))
    path = f"/api/v4/canister/{canister}/call"
    answer = client.interface.post(path, request.body, now_ns=client.now_ns)
    assert isinstance(answer, Wait), answer
    client.run_rounds()
    return Pending(client, canister, request.request_id, client.identity)


def deploy_hold(client: Client, built: Built) -> Principal:
    """A canister whose ``hold`` answers once the canister is started again."""
    canister = client.create()
    client.install(canister, built.wasm)
    set_settings(client, canister, controllers=[client.identity.sender, canister])
    return canister


def open_call(
    client: Client, waiter: Deployed, build_source: Callable[[str], Built]
) -> tuple[Pending, Principal]:
    """A call of the waiter that stays open until the canister that is returned is started."""
    hold = deploy_hold(client, build_source(HOLD))
    arg = waiter.interface.encode_args("wait", [hold])
    return submit(client, waiter.id, "wait", arg), hold
