"""The management canister: ``aaaaa-aa``, by which canisters are made, filled, stopped and shown.

It has no state of its own: it changes the canisters of one subnet, and asks the subnet for the
rest. Checks that one node makes before a message is accepted are made again when it is executed,
because much may have changed between.

Source: IC interface specification, "The IC management canister", and its ``ic.did``.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from icfleet_localnet.call_context import (
    Answer,
    FromCanister,
    FromUser,
    ManagementAnswer,
    QueuedCall,
)
from icfleet_localnet.canister import Canister
from icfleet_localnet.charging import Charging
from icfleet_localnet.executor import Executor
from icfleet_localnet.management.chunks import ChunkStores
from icfleet_localnet.management.code import Code
from icfleet_localnet.management.creation import Creation
from icfleet_localnet.management.lifecycle import Lifecycle
from icfleet_localnet.management.methods import (
    METHODS,
    QUERIES,
    check_access,
    read_fields,
    refuse_method,
)
from icfleet_localnet.management.subnet_access import (
    AnswerSink,
    ManagementCall,
    Result,
    SubnetAccess,
    reply,
)
from icfleet_localnet.management.views import (
    show_info,
    show_logs,
    show_metadata,
    show_metrics,
    show_status,
)
from icfleet_localnet.rejects import (
    Reject,
    no_such_canister,
    no_such_query,
    wrong_sender_version,
)
from icfleet_protocol.principal import Principal

__all__ = ["Management"]

_Handler = Callable[[ManagementCall, Canister], Result]


class Management:
    """Executes management calls against one subnet's canisters.

    Args:
        canisters: The subnet's canisters; they are added to and taken from it.
        executor: Runs their code.
        charging: Takes what an execution costs.
        allocate: Chooses the id of a new canister, or checks the one that is wanted.
        answer: Sends an answer that comes later.
        abandon: Rejects what a canister has not answered, and drops what it waits for.
        has_messages: Whether something waits to be executed by a canister.
        draw_random: Gives 32 bytes that nobody could have foreseen.
        on_change: Hears of canisters whose certified state is new, or which are gone.
    """

    def __init__(  # noqa: PLR0913 - the ports to the subnet, all by name
        self,
        canisters: dict[Principal, Canister],
        executor: Executor,
        *,
        charging: Charging,
        allocate: Callable[[Principal | None], Principal | Reject],
        answer: AnswerSink,
        abandon: Callable[[Principal, Reject], None],
        has_messages: Callable[[Principal], bool],
        draw_random: Callable[[], bytes],
        on_change: Callable[[Principal], None],
    ) -> None:
        self._subnet = SubnetAccess(
            canisters=canisters,
            executor=executor,
            charging=charging,
            allocate=allocate,
            answer=answer,
            abandon=abandon,
            has_messages=has_messages,
            draw_random=draw_random,
            on_change=on_change,
        )
        self._creation = Creation(self._subnet)
        self._code = Code(self._subnet)
        self._chunks = ChunkStores(self._subnet)
        self._lifecycle = Lifecycle(self._subnet)
        self._changes = self._changing_handlers()
        self._reads = self._reading_handlers()

    @property
    def next_deadline_ns(self) -> int | None:
        """When the next call to stop a canister times out."""
        return self._lifecycle.next_deadline_ns

    def check(self, caller: Principal, method: str, arg: bytes) -> Reject | None:
        """Why one node would refuse a user's call before it is accepted, if it would."""
        refusal = refuse_method(method, is_user=True)
        if refusal is not None:
            return refusal
        fields = read_fields(method, arg)
        if isinstance(fields, Reject):
            return fields
        target = METHODS[method].target
        found = None if target is None else self._find(caller, method, fields[target])
        return found if isinstance(found, Reject) else None

    def execute(self, call: QueuedCall, now_ns: int) -> ManagementAnswer | None:
        """Execute a call; ``None`` when the answer comes later."""
        result = self._execute(call, now_ns)
        if result is None or isinstance(result, ManagementAnswer):
            return result
        return ManagementAnswer(result)

    def query(self, caller: Principal, method: str, arg: bytes) -> Answer:
        """Answer a query, from the state as it is."""
        if method not in QUERIES:
            return no_such_query(method)
        fields = read_fields(method, arg)
        if isinstance(fields, Reject):
            return fields
        canister = self._find(caller, method, fields["canister_id"])
        if isinstance(canister, Reject):
            return canister
        if method == "canister_status":
            return reply(method, show_status(canister, self._subnet.charging.fees))
        if method == "canister_metrics":
            return reply(method, show_metrics(canister))
        shown = show_logs(canister, caller, fields)
        return shown if isinstance(shown, Reject) else reply(method, shown)

    def settle_stops(self, now_ns: int) -> None:
        """Finish the stops whose canisters have nothing open, and let others time out."""
        self._lifecycle.settle_stops(now_ns)

    def _execute(self, queued: QueuedCall, now_ns: int) -> Result:
        fields = self._read(queued)
        if isinstance(fields, Reject):
            return fields
        method = queued.method
        call = ManagementCall(
            method=method,
            caller=queued.caller,
            origin=queued.origin,
            cycles=queued.cycles,
            fields=fields,
            now_ns=now_ns,
        )
        target = METHODS[method].target
        if target is None:
            return self._execute_anywhere(call)
        canister = self._find(queued.caller, method, fields[target])
        if isinstance(canister, Reject):
            return canister
        if method in self._reads:
            return self._reads[method](call, canister)
        result = self._changes[method](call, canister)
        self._subnet.on_change(canister.id)
        return result

    def _read(self, queued: QueuedCall) -> Mapping[str, Any] | Reject:
        """Read a call's argument, if the caller may call the method at all."""
        refusal = refuse_method(queued.method, is_user=isinstance(queued.origin, FromUser))
        if refusal is not None:
            return refusal
        fields = read_fields(queued.method, queued.arg)
        if isinstance(fields, Reject):
            return fields
        return self._check_sender_version(queued, fields) or fields

    def _execute_anywhere(self, call: ManagementCall) -> Result:
        match call.method:
            case "provisional_create_canister_with_cycles":
                return self._creation.create_provisionally(call)
            case "create_canister":
                return self._creation.create(call)
            case _:
                assert call.method == "raw_rand", call.method
                return reply("raw_rand", self._subnet.draw_random())

    def _find(self, caller: Principal, method: str, canister_id: Principal) -> Canister | Reject:
        """The canister that a call is about, if the caller may make the call."""
        canister = self._subnet.canisters.get(canister_id)
        if canister is None:
            return no_such_canister(canister_id)
        return check_access(method, caller, canister) or canister

    def _check_sender_version(self, queued: QueuedCall, fields: Mapping[str, Any]) -> Reject | None:
        """Refuse a version that the calling canister has never had.

        The mainnet compares when the call is made, and takes that version only. Since then the
        caller's version has gone on by the message that made the call, if not by more.
        """
        version = cast("int | None", fields.get("sender_canister_version"))
        if version is None or not isinstance(queued.origin, FromCanister):
            return None
        sender = self._subnet.canisters.get(queued.caller)
        if sender is None or version < sender.version:
            return None
        return wrong_sender_version(version)

    def _changing_handlers(self) -> Mapping[str, _Handler]:
        creation, lifecycle, chunks = self._creation, self._lifecycle, self._chunks
        return {
            "provisional_top_up_canister": creation.top_up_provisionally,
            "deposit_cycles": creation.deposit,
            "update_settings": creation.update_settings,
            "install_code": self._install,
            "install_chunked_code": self._install_chunked,
            "uninstall_code": self._code.uninstall,
            "upload_chunk": chunks.upload,
            "clear_chunk_store": chunks.clear,
            "start_canister": lifecycle.start,
            "stop_canister": lifecycle.stop,
            "delete_canister": lifecycle.delete,
        }

    def _reading_handlers(self) -> Mapping[str, _Handler]:
        return {
            "canister_status": self._status,
            "canister_metrics": lambda call, one: reply(call.method, show_metrics(one)),
            "canister_info": lambda call, one: reply(call.method, show_info(one, call.fields)),
            "canister_metadata": _metadata,
            "stored_chunks": self._chunks.stored,
        }

    def _status(self, call: ManagementCall, canister: Canister) -> Result:
        return reply(call.method, show_status(canister, self._subnet.charging.fees))

    def _install(self, call: ManagementCall, canister: Canister) -> Result:
        return self._code.install(call, canister, cast("bytes", call.fields["wasm_module"]))

    def _install_chunked(self, call: ManagementCall, canister: Canister) -> Result:
        module = self._chunks.assemble(call, canister)
        return module if isinstance(module, Reject) else self._code.install(call, canister, module)


def _metadata(call: ManagementCall, canister: Canister) -> Result:
    shown = show_metadata(canister, call.caller, call.fields)
    return shown if isinstance(shown, Reject) else reply(call.method, shown)
