"""The management canister: making canisters and putting code into them.

Source: IC interface specification, "The IC management canister", and its ``ic.did``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, cast

from icfleet_agent.adaptors import PrincipalLike, as_principal
from icfleet_agent.agent import EMPTY_ARGS, Agent
from icfleet_agent.errors import MalformedReplyError
from icfleet_protocol.candid import ServiceInterface, parse_did
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

__all__ = ["CanisterRunState", "CanisterStatus", "InstallMode", "ManagementCanister"]

InstallMode = Literal["install", "reinstall", "upgrade"]
CanisterRunState = Literal["running", "stopping", "stopped"]

FIRST_CANISTER = Principal.from_text("rwlgt-iiaaa-aaaaa-aaaaa-cai")
"""Where creation is sent when nothing else is said: local networks host it. Source: dfx."""

_DID = """
type Target = record { canister_id : principal };
type Settings = record { controllers : opt vec principal };
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
  start_canister : (Target) -> ();
  stop_canister : (Target) -> ();
  canister_status : (Target) -> (record {
    status : variant { running; stopping; stopped };
    settings : record { controllers : vec principal };
    module_hash : opt blob;
    memory_size : nat;
    cycles : nat;
  });
}
"""
_INTERFACE: ServiceInterface = parse_did(_DID)


class _Target(TypedDict):
    canister_id: Principal


class _Settings(TypedDict):
    controllers: list[Principal]


class _Status(TypedDict):
    status: dict[CanisterRunState, None]
    settings: _Settings
    module_hash: bytes | None
    memory_size: int
    cycles: int


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

    async def start(self, canister: PrincipalLike) -> None:
        """Let a stopped canister take calls again."""
        await self._call_about("start_canister", canister)

    async def stop(self, canister: PrincipalLike) -> None:
        """Let a canister finish what it has begun and take no further calls."""
        await self._call_about("stop_canister", canister)

    async def status(self, canister: PrincipalLike) -> CanisterStatus:
        """Ask how a canister is, certified."""
        status = cast("_Status", await self._call_about("canister_status", canister))
        return CanisterStatus(
            run_state=next(iter(status["status"])),
            controllers=tuple(status["settings"]["controllers"]),
            module_hash=status["module_hash"],
            memory_size=status["memory_size"],
            cycles=status["cycles"],
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
        try:
            results = _INTERFACE.decode_results(method, answer.reply)
        except CandidError as error:
            reason = f"unexpected reply to {method}: {error}"
            raise MalformedReplyError(reason) from error
        return results[0] if results else None
