"""The management canister's calls carry what its interface says, about the right canister."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import pytest
from tiny_replica import ECHO, Exchange, TinyReplica

from icfleet_agent import Agent, CanisterSettings, ManagementCanister
from icfleet_agent.errors import MalformedReplyError
from icfleet_agent.management import FIRST_CANISTER, InstallMode
from icfleet_protocol.candid import parse_did
from icfleet_protocol.envelope import CallContent
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER
from icfleet_protocol.request_id import RequestId

# Source: IC interface specification, ``ic.did``, as far as it concerns these methods.
DID = """
type settings = record {
  controllers : opt vec principal; compute_allocation : opt nat; memory_allocation : opt nat;
  freezing_threshold : opt nat; reserved_cycles_limit : opt nat; wasm_memory_limit : opt nat;
  wasm_memory_threshold : opt nat; log_visibility : opt log_visibility;
};
type log_visibility = variant { controllers; public; allowed_viewers : vec principal };
service : {
  provisional_create_canister_with_cycles : (record {
    amount : opt nat; settings : opt settings; specified_id : opt principal;
    sender_canister_version : opt nat64 }) -> (record { canister_id : principal });
  install_code : (record {
    mode : variant { install; reinstall; upgrade : opt record {
      skip_pre_upgrade : opt bool;
      wasm_memory_persistence : opt variant { keep; replace } } };
    canister_id : principal; wasm_module : blob; arg : blob;
    sender_canister_version : opt nat64 }) -> ();
  update_settings : (record {
    canister_id : principal; settings : settings; sender_canister_version : opt nat64 }) -> ();
  start_canister : (record { canister_id : principal }) -> ();
  stop_canister : (record { canister_id : principal }) -> ();
  canister_status : (record { canister_id : principal }) -> (record {
    status : variant { running; stopping; stopped };
    settings : record { controllers : vec principal; freezing_threshold : nat;
                        log_visibility : log_visibility };
    module_hash : opt blob; memory_size : nat; cycles : nat; reserved_cycles : nat;
    idle_cycles_burned_per_day : nat });
}
"""
INTERFACE = parse_did(DID)
STATUS = {
    "status": {"stopped": None},
    "settings": {
        "controllers": [ANONYMOUS],
        "freezing_threshold": 2_592_000,
        "log_visibility": {"controllers": None},
    },
    "module_hash": b"h" * 32,
    "memory_size": 1234,
    "cycles": 10**14,
    "reserved_cycles": 0,
    "idle_cycles_burned_per_day": 5,
}
RESULTS: dict[str, tuple[object, ...]] = {
    "provisional_create_canister_with_cycles": ({"canister_id": ECHO},),
    "canister_status": (STATUS,),
}


class Subnet:
    """A tiny replica whose management canister answers from a table."""

    def __init__(self, replica: TinyReplica) -> None:
        self.calls: list[tuple[str, Mapping[str, Any], str]] = []
        self.results = dict(RESULTS)
        self._replica = replica
        replica.plan("call", *[self._answer] * 20)

    def _answer(self, replica: TinyReplica, exchange: Exchange) -> Any:
        content = exchange.envelope.content
        assert isinstance(content, CallContent)
        assert content.canister == MANAGEMENT_CANISTER
        (argument,) = INTERFACE.decode_args(content.method, content.arg)
        self.calls.append((content.method, cast("Mapping[str, Any]", argument), exchange.canister))
        results = self.results.get(content.method, ())
        reply = INTERFACE.encode_results(content.method, results)
        request = RequestId(exchange.request_id)
        replica.outcomes[request] = {b"status": b"replied", b"reply": reply}
        return replica.answer_honestly(exchange)


@pytest.fixture
def subnet(replica: TinyReplica) -> Subnet:
    return Subnet(replica)


@pytest.fixture
async def management(subnet: Subnet, url: str) -> AsyncIterator[ManagementCanister]:
    assert subnet.calls == []
    async with Agent(url) as agent:
        yield ManagementCanister(agent)


async def test_a_canister_is_created(management: ManagementCanister, subnet: Subnet) -> None:
    assert await management.create() == ECHO

    method, argument, effective = subnet.calls[0]
    assert method == "provisional_create_canister_with_cycles"
    assert effective == str(FIRST_CANISTER)
    assert argument == {
        "amount": None,
        "settings": None,
        "specified_id": None,
        "sender_canister_version": None,
    }


async def test_a_canister_is_created_as_wished(
    management: ManagementCanister, subnet: Subnet
) -> None:
    await management.create(
        cycles=5, controllers=["2vxsx-fae"], specified_id=str(ECHO), effective_canister=ECHO
    )

    _, argument, effective = subnet.calls[0]
    assert (argument["amount"], argument["specified_id"]) == (5, ECHO)
    assert argument["settings"]["controllers"] == [ANONYMOUS]
    assert argument["settings"]["compute_allocation"] is None
    assert effective == str(ECHO)


@pytest.mark.parametrize("mode", ["install", "reinstall", "upgrade"])
async def test_code_is_installed(
    management: ManagementCanister, subnet: Subnet, mode: InstallMode
) -> None:
    await management.install(str(ECHO), b"\x00asm", b"DIDL\x00\x00", mode=mode)

    method, argument, effective = subnet.calls[0]
    assert (method, effective) == ("install_code", str(ECHO))
    assert argument["mode"] == {mode: None}
    assert (argument["canister_id"], argument["wasm_module"]) == (ECHO, b"\x00asm")


async def test_only_the_settings_that_are_given_are_changed(
    management: ManagementCanister, subnet: Subnet
) -> None:
    changes = CanisterSettings(compute_allocation=0, log_visibility=(ANONYMOUS,))

    await management.update_settings(str(ECHO), changes)

    method, argument, effective = subnet.calls[0]
    assert (method, effective) == ("update_settings", str(ECHO))
    assert argument["settings"] == {
        "controllers": None,
        "compute_allocation": 0,
        "memory_allocation": None,
        "freezing_threshold": None,
        "reserved_cycles_limit": None,
        "wasm_memory_limit": None,
        "wasm_memory_threshold": None,
        "log_visibility": {"allowed_viewers": [ANONYMOUS]},
    }


START_AND_STOP: list[tuple[str, Callable[[ManagementCanister], Any]]] = [
    ("start_canister", lambda management: management.start(ECHO)),
    ("stop_canister", lambda management: management.stop(ECHO)),
]


@pytest.mark.parametrize(("method", "call"), START_AND_STOP)
async def test_a_canister_is_started_and_stopped(
    management: ManagementCanister,
    subnet: Subnet,
    method: str,
    call: Callable[[ManagementCanister], Any],
) -> None:
    await call(management)

    assert subnet.calls == [(method, {"canister_id": ECHO}, str(ECHO))]


async def test_status_tells_how_a_canister_is(management: ManagementCanister) -> None:
    """Whatever else the network tells, now or later."""
    status = await management.status(ECHO)

    assert status.run_state == "stopped"
    assert status.controllers == (ANONYMOUS,)
    assert status.module_hash == b"h" * 32
    assert (status.memory_size, status.cycles, status.reserved_cycles) == (1234, 10**14, 0)
    # This network tells no more of them.
    assert status.settings == CanisterSettings(
        freezing_threshold=2_592_000, log_visibility="controllers"
    )


async def test_an_empty_canister_has_no_module(
    management: ManagementCanister, subnet: Subnet
) -> None:
    subnet.results["canister_status"] = ({**STATUS, "module_hash": None},)

    assert (await management.status(ECHO)).module_hash is None


async def test_a_reply_that_does_not_fit_is_malformed(
    management: ManagementCanister, replica: TinyReplica
) -> None:
    replica.script["call"].clear()

    with pytest.raises(MalformedReplyError, match="canister_status"):
        await management.status(ECHO)
