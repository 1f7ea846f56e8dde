"""The management canister: making canisters and putting code into them.

Source: IC interface specification, "The IC management canister", and its ``ic.did``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, cast

from icfleet_agent.adaptors import PrincipalLike, as_principal
from icfleet_agent.agent import EMPTY_ARGS, Agent
from icfleet_agent.errors import MalformedReplyError
from icfleet_protocol.candid import ServiceInterface, parse_did
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

__all__ = [
    "CanisterRunState",
    "CanisterSettings",
    "CanisterStatus",
    "InstallMode",
    "LogVisibility",
    "ManagementCanister",
]

InstallMode = Literal["install", "reinstall", "upgrade"]
CanisterRunState = Literal["running", "stopping", "stopped"]
LogVisibility = Literal["controllers", "public"] | tuple[Principal, ...]
"""Who may read a canister's log: all, or its controllers and perhaps these principals."""

FIRST_CANISTER = Principal.from_text("rwlgt-iiaaa-aaaaa-aaaaa-cai")
"""Where creation is sent when nothing else is said: local networks host it. Source: dfx."""

_DID = """
type Target = record { canister_id : principal };
type Settings = record { controllers : opt vec principal };
type LogVisibility = variant { controllers; public; allowed_viewers : vec principal };
type Resources = record {
  compute_allocation : opt nat;
  memory_allocation : opt nat;
  freezing_threshold : opt nat;
  reserved_cycles_limit : opt nat;
  wasm_memory_limit : opt nat;
  wasm_memory_threshold : opt nat;
  log_visibility : opt LogVisibility;
};
service : {
  provisional_create_canister_with_cycles : (record {
    amount : opt nat;
    settings : opt Settings;
    specified_id : opt principal;
    sender_canister_version : opt nat64;
  }) -> (Target);
  install_code : (record {
    mode : variant {
      install;
      reinstall;
      upgrade : opt record {
        skip_pre_upgrade : opt bool;
        wasm_memory_persistence : opt variant { keep; replace };
      };
    };
    canister_id : principal;
    wasm_module : blob;
    arg : blob;
    sender_canister_version : opt nat64;
  }) -> ();
  update_settings : (record {
    canister_id : principal;
    settings : Resources;
    sender_canister_version : opt nat64;
  }) -> ();
  start_canister : (Target) -> ();
  stop_canister : (Target) -> ();
  canister_status : (Target) -> (record {
    status : variant { running; stopping; stopped };
    settings : record {
      controllers : vec principal;
      compute_allocation : opt nat;
      memory_allocation : opt nat;
      freezing_threshold : opt nat;
      reserved_cycles_limit : opt nat;
      wasm_memory_limit : opt nat;
      wasm_memory_threshold : opt nat;
      log_visibility : opt LogVisibility;
    };
    module_hash : opt blob;
    memory_size : nat;
    cycles : nat;
    reserved_cycles : opt nat;
  });
}
"""
# Fields of a status that not every network tells are read as opt: anything fits an opt.
_INTERFACE: ServiceInterface = parse_did(_DID)


class _Target(TypedDict):
    canister_id: Principal


class _Settings(TypedDict):
    controllers: list[Principal]
    compute_allocation: int | None
    memory_allocation: int | None
    freezing_threshold: int | None
    reserved_cycles_limit: int | None
    wasm_memory_limit: int | None
    wasm_memory_threshold: int | None
    log_visibility: Mapping[str, list[Principal] | None] | None


class _Status(TypedDict):
    status: dict[CanisterRunState, None]
    settings: _Settings
    module_hash: bytes | None
    memory_size: int
    cycles: int
    reserved_cycles: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CanisterSettings:
    """What a canister is guaranteed and limited to.

    ``None`` in what a network tells: it does not tell. ``None`` in a change: that stays as it is.
    """

    compute_allocation: int | None = None
    """Per cent of one thread that are kept for it."""
    memory_allocation: int | None = None
    """Bytes that are kept for it, and paid for whether used or not."""
    freezing_threshold: int | None = None
    """Seconds: a balance that would not last so long without work freezes it."""
    reserved_cycles_limit: int | None = None
    """Cycles that a subnet which fills up may set aside for its memory."""
    wasm_memory_limit: int | None = None
    """Bytes; 0 is no limit."""
    wasm_memory_threshold: int | None = None
    """Bytes left of the limit at which its hook for low memory runs."""
    log_visibility: LogVisibility | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CanisterStatus:
    """A canister as its controllers see it."""

    run_state: CanisterRunState
    controllers: tuple[Principal, ...]
    module_hash: bytes | None
    """SHA-256 of the module as it was uploaded; ``None`` for an empty canister."""
    memory_size: int
    """Bytes."""
    cycles: int
    reserved_cycles: int
    """Cycles beside the balance that are set aside for memory."""
    settings: CanisterSettings


class ManagementCanister:
    """Typed calls to ``aaaaa-aa`` by an agent whose identity controls the canisters concerned.

    Every method raises ``AgentError`` as ``Agent.update`` does, and ``CandidError`` for arguments
    that do not fit.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def create(
        self,
        *,
        cycles: int | None = None,
        controllers: Sequence[PrincipalLike] | None = None,
        specified_id: PrincipalLike | None = None,
        effective_canister: PrincipalLike = FIRST_CANISTER,
    ) -> Principal:
        """Make an empty canister on a development network.

        Args:
            cycles: Its balance; the network's default if not given.
            controllers: Who may manage it; the caller if not given.
            specified_id: The id it is to have; the next free one if not given.
            effective_canister: Any id of the subnet that is to host it.
        """
        owners = None if controllers is None else [as_principal(one) for one in controllers]
        argument = {
            "amount": cycles,
            "settings": None if owners is None else {"controllers": owners},
            "specified_id": None if specified_id is None else as_principal(specified_id),
            "sender_canister_version": None,
        }
        created = cast(
            "_Target",
            await self._call(
                "provisional_create_canister_with_cycles",
                argument,
                as_principal(effective_canister),
            ),
        )
        return created["canister_id"]

    async def install(
        self,
        canister: PrincipalLike,
        wasm_module: bytes,
        arg: bytes = EMPTY_ARGS,
        *,
        mode: InstallMode = "install",
    ) -> None:
        """Put code into a canister.

        Args:
            canister: Which one.
            wasm_module: The module, plain or gzipped; with its argument at most some 2 MB.
            arg: Candid for ``init`` or ``post_upgrade``.
            mode: ``install`` into an empty canister, ``reinstall`` wiping what it holds, or
                ``upgrade`` keeping stable memory.
        """
        target = as_principal(canister)
        argument = {
            "mode": {mode: None},
            "canister_id": target,
            "wasm_module": wasm_module,
            "arg": arg,
            "sender_canister_version": None,
        }
        await self._call("install_code", argument, target)

    async def update_settings(self, canister: PrincipalLike, settings: CanisterSettings) -> None:
        """Change all settings that are not ``None``, or none of them."""
        target = as_principal(canister)
        changes = {
            "compute_allocation": settings.compute_allocation,
            "memory_allocation": settings.memory_allocation,
            "freezing_threshold": settings.freezing_threshold,
            "reserved_cycles_limit": settings.reserved_cycles_limit,
            "wasm_memory_limit": settings.wasm_memory_limit,
            "wasm_memory_threshold": settings.wasm_memory_threshold,
            "log_visibility": _encode_visibility(settings.log_visibility),
        }
        argument = {"canister_id": target, "settings": changes, "sender_canister_version": None}
        await self._call("update_settings", argument, target)

    async def start(self, canister: PrincipalLike) -> None:
        """Let a stopped canister take calls again."""
        await self._call_about("start_canister", canister)

    async def stop(self, canister: PrincipalLike) -> None:
        """Let a canister finish what it has begun and take no further calls."""
        await self._call_about("stop_canister", canister)

    async def status(self, canister: PrincipalLike, *, is_certified: bool = True) -> CanisterStatus:
        """Ask how a canister is.

        Args:
            canister: Which one; it pays for being asked with certainty.
            is_certified: Whether the subnet is to answer, or one of its nodes, signed and for free:
                a frozen canister can be asked in no other way.
        """
        target = as_principal(canister)
        call = self._call if is_certified else self._query
        status = cast("_Status", await call("canister_status", {"canister_id": target}, target))
        return CanisterStatus(
            run_state=next(iter(status["status"])),
            controllers=tuple(status["settings"]["controllers"]),
            module_hash=status["module_hash"],
            memory_size=status["memory_size"],
            cycles=status["cycles"],
            reserved_cycles=status["reserved_cycles"] or 0,
            settings=_read_settings(status["settings"]),
        )

    async def _call_about(self, method: str, canister: PrincipalLike) -> object:
        target = as_principal(canister)
        return await self._call(method, {"canister_id": target}, target)

    async def _call(self, method: str, argument: object, effective: Principal) -> object:
        answer = await self._agent.update(
            MANAGEMENT_CANISTER,
            method,
            _INTERFACE.encode_args(method, (argument,)),
            effective_canister=effective,
        )
        return _decode(method, answer.reply)

    async def _query(self, method: str, argument: object, effective: Principal) -> object:
        reply = await self._agent.query(
            MANAGEMENT_CANISTER,
            method,
            _INTERFACE.encode_args(method, (argument,)),
            effective_canister=effective,
        )
        return _decode(method, reply)


def _decode(method: str, reply: bytes) -> object:
    try:
        results = _INTERFACE.decode_results(method, reply)
    except CandidError as error:
        reason = f"unexpected reply to {method}: {error}"
        raise MalformedReplyError(reason) from error
    return results[0] if results else None


def _read_settings(found: _Settings) -> CanisterSettings:
    return CanisterSettings(
        compute_allocation=found["compute_allocation"],
        memory_allocation=found["memory_allocation"],
        freezing_threshold=found["freezing_threshold"],
        reserved_cycles_limit=found["reserved_cycles_limit"],
        wasm_memory_limit=found["wasm_memory_limit"],
        wasm_memory_threshold=found["wasm_memory_threshold"],
        log_visibility=_read_visibility(found["log_visibility"]),
    )


def _read_visibility(
    found: Mapping[str, list[Principal] | None] | None,
) -> LogVisibility | None:
    match found:
        case {"controllers": _}:
            return "controllers"
        case {"public": _}:
            return "public"
        case {"allowed_viewers": viewers}:
            return tuple(viewers or ())
        case _:
            return None


def _encode_visibility(visibility: LogVisibility | None) -> dict[str, object] | None:
    if visibility is None:
        return None
    if isinstance(visibility, tuple):
        return {"allowed_viewers": list(visibility)}
    return {visibility: None}
