"""A Kybra canister makes, fills, stops and deletes others by ``management_canister``."""

from collections.abc import Callable

import pytest
from localnet_client import COUNTER, START_NS, Built, Client, Deployed
from management_calls import argument, set_settings

from icfleet_localnet.http_interface import HttpInterface
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.network import Network
from icfleet_localnet.rejects import Reject
from icfleet_localnet.topology import Topology
from icfleet_protocol.envelope import CallContent
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

Build = Callable[[str], Built]
T = 10**12
CREATION_FEE = 500 * 10**9

FACTORY = """
from kybra import (
    Async, CallResult, Opt, Principal, Record, Service, Variant, Vec, blob, ic, match, nat, nat64,
    service_update, text, update, void,
)
from kybra.canisters.management import (
    CanisterStatusResult, CreateCanisterResult, management_canister,
)


class InfoArgs(Record):
    canister_id: Principal
    num_requested_changes: Opt[nat64]


class FromUser(Record):
    user_id: Principal


class FromCanister(Record):
    canister_id: Principal
    canister_version: Opt[nat64]


class ChangeOrigin(Variant, total=False):
    from_user: FromUser
    from_canister: FromCanister


class Change(Record):
    timestamp_nanos: nat64
    canister_version: nat64
    origin: ChangeOrigin


class Info(Record):
    total_num_changes: nat64
    recent_changes: Vec[Change]
    module_hash: Opt[blob]
    controllers: Vec[Principal]


class MetadataArgs(Record):
    canister_id: Principal
    name: text


class Metadata(Record):
    value: blob


class VersionedArgs(Record):
    canister_id: Principal
    sender_canister_version: Opt[nat64]


class Management(Service):
    @service_update
    def canister_info(self, args: InfoArgs) -> Info: ...

    @service_update
    def canister_metadata(self, args: MetadataArgs) -> Metadata: ...

    @service_update
    def uninstall_code(self, args: VersionedArgs) -> void: ...

    @service_update
    def take_canister_snapshot(self, args: VersionedArgs) -> void: ...


management = Management(Principal.from_str("aaaaa-aa"))


def told(result: CallResult[text]) -> text:
    return match(result, {"Ok": lambda value: "ok", "Err": lambda error: error})


@update
def create(cycles: nat64) -> Async[text]:
    result: CallResult[CreateCanisterResult] = yield management_canister.create_canister(
        {"settings": None}
    ).with_cycles(cycles)
    return match(
        result, {"Ok": lambda made: made["canister_id"].to_str(), "Err": lambda error: error}
    )


@update
def create_greedily(controllers: Vec[Principal]) -> Async[text]:
    result: CallResult[CreateCanisterResult] = yield management_canister.create_canister(
        {
            "settings": {
                "controllers": controllers,
                "compute_allocation": None,
                "memory_allocation": None,
                "freezing_threshold": None,
            }
        }
    ).with_cycles(2_000_000_000_000)
    return match(
        result,
        {
            "Ok": lambda made: made["canister_id"].to_str(),
            "Err": lambda error: f"{ic.msg_cycles_refunded()} back: {error}",
        },
    )


@update
def install(canister: Principal, wasm: blob) -> Async[text]:
    result: CallResult[void] = yield management_canister.install_code(
        {"mode": {"install": None}, "canister_id": canister, "wasm_module": wasm, "arg": bytes()}
    )
    return told(result)


@update
def stop(canister: Principal) -> Async[text]:
    result: CallResult[void] = yield management_canister.stop_canister({"canister_id": canister})
    return told(result)


@update
def delete(canister: Principal) -> Async[text]:
    result: CallResult[void] = yield management_canister.delete_canister({"canister_id": canister})
    return told(result)


@update
def status(canister: Principal) -> Async[text]:
    result: CallResult[CanisterStatusResult] = yield management_canister.canister_status(
        {"canister_id": canister}
    )
    return match(
        result,
        {
            "Ok": lambda status: f"{list(status['status'])[0]} {status['cycles']}",
            "Err": lambda error: error,
        },
    )


@update
def deposit(canister: Principal, cycles: nat64) -> Async[text]:
    result: CallResult[void] = yield management_canister.deposit_cycles(
        {"canister_id": canister}
    ).with_cycles(cycles)
    return told(result) + f" {ic.msg_cycles_refunded()}"


@update
def randomness() -> Async[blob]:
    result: CallResult[blob] = yield management_canister.raw_rand()
    return match(result, {"Ok": lambda drawn: drawn, "Err": lambda error: error.encode()})


@update
def info(canister: Principal, count: Opt[nat64]) -> Async[text]:
    result: CallResult[Info] = yield management.canister_info(
        {"canister_id": canister, "num_requested_changes": count}
    )
    return match(
        result,
        {
            "Ok": lambda info: str(info["total_num_changes"])
            + "".join(
                f" {change['canister_version']} {list(change['origin'])[0]}"
                for change in info["recent_changes"]
            ),
            "Err": lambda error: error,
        },
    )


@update
def metadata(canister: Principal, name: text) -> Async[text]:
    result: CallResult[Metadata] = yield management.canister_metadata(
        {"canister_id": canister, "name": name}
    )
    return match(
        result, {"Ok": lambda found: found["value"].decode(), "Err": lambda error: error}
    )


@update
def uninstall_as(canister: Principal, version: nat64) -> Async[text]:
    result: CallResult[void] = yield management.uninstall_code(
        {"canister_id": canister, "sender_canister_version": version}
    )
    return told(result)


@update
def snapshot(canister: Principal) -> Async[text]:
    result: CallResult[void] = yield management.take_canister_snapshot(
        {"canister_id": canister, "sender_canister_version": None}
    )
    return told(result)
"""


@pytest.fixture
def factory(deploy: Callable[[str], Deployed]) -> Deployed:
    return deploy(FACTORY)


def _create(factory: Deployed, cycles: int = 2 * T) -> Principal:
    return Principal.from_text(factory.update("create", cycles))


def _cycles(client: Client, canister: Principal) -> int:
    return client.subnet.canisters[canister].cycles


def test_a_canister_makes_fills_stops_and_deletes_another(
    client: Client, factory: Deployed, build_source: Build
) -> None:
    """The whole life of a canister, from Python on both sides."""
    counter = build_source(COUNTER)

    made = _create(factory)
    installed = factory.update("install", made, counter.wasm)
    counted = Deployed(client, made, counter.interface).update("increment", 3)
    running = factory.update("status", made)
    stopped = factory.update("stop", made), factory.update("status", made)
    deleted = factory.update("delete", made)

    assert (installed, counted) == ("ok", 3)
    assert running.startswith("running ")
    assert stopped[0] == "ok"
    assert stopped[1].startswith("stopped ")
    assert deleted == "ok"
    assert made not in client.subnet.canisters
    assert "not found" in factory.update("status", made)


def test_a_made_canister_belongs_to_its_maker_and_has_its_cycles(
    client: Client, factory: Deployed
) -> None:
    """Less the creation fee, which is gone."""
    before = _cycles(client, factory.id)

    made = client.subnet.canisters[_create(factory)]

    assert made.settings.controllers == (factory.id,)
    assert made.cycles == 2 * T - CREATION_FEE
    assert made.consumed["canister_creation"] == CREATION_FEE
    assert 2 * T <= before - _cycles(client, factory.id) < 2 * T + 10**11


def test_a_canister_cannot_be_made_for_less_than_the_fee(client: Client, factory: Deployed) -> None:
    """What was sent comes back."""
    before = _cycles(client, factory.id)

    answer = factory.update("create", CREATION_FEE - 1)

    assert answer.startswith("Rejection code 4")
    assert str(CREATION_FEE) in answer
    assert before - _cycles(client, factory.id) < 10**11
    assert len(client.subnet.canisters) == 1


def test_a_canister_with_impossible_settings_is_not_made(client: Client, factory: Deployed) -> None:
    """And all cycles come back."""
    controllers = [Principal(bytes([number])) for number in range(11)]

    answer = factory.update("create_greedily", controllers)

    assert answer.startswith(f"{2 * T} back: Rejection code 4")
    assert len(client.subnet.canisters) == 1


def test_deposited_cycles_arrive_and_are_not_refunded(client: Client, factory: Deployed) -> None:
    """Anybody may give; what is for nobody comes back."""
    target = client.create()
    before = _cycles(client, target)

    given = factory.update("deposit", target, 7 * T)
    lost = factory.update("deposit", Principal(b"\0" * 7 + b"\x77\x01\x01"), 3 * T)

    assert given == "ok 0"
    assert _cycles(client, target) - before == 7 * T
    assert lost.endswith(f" {3 * T}")
    assert lost.startswith("Rejection code 3")


def test_random_bytes_are_new_each_time(factory: Deployed) -> None:
    """32 of them."""
    drawn = [factory.update("randomness") for _ in range(3)]

    assert [len(one) for one in drawn] == [32] * 3
    assert len(set(drawn)) == 3


def test_the_same_seed_draws_the_same_random_bytes(build_source: Build) -> None:
    """So that a run can be repeated."""
    built = build_source(FACTORY)
    drawn: list[bytes] = []
    for seed in (b"one", b"one", b"two"):
        network = Network(InProcessExecutor(), seed=seed, now_ns=START_NS)
        client = Client(HttpInterface(network), network)
        canister = client.create()
        client.install(canister, built.wasm)
        drawn.append(Deployed(client, canister, built.interface).update("randomness"))

    assert drawn[0] == drawn[1] != drawn[2]


def test_a_stranger_canister_manages_nothing(client: Client, factory: Deployed) -> None:
    """It hears so in a rejection it can handle."""
    canister = client.create()

    answers = [factory.update(method, canister) for method in ("stop", "delete", "status")]

    assert all("Only controllers" in answer for answer in answers)
    assert client.subnet.canisters[canister].status == "running"


def test_a_canister_may_see_its_own_status_and_not_delete_itself(
    client: Client, factory: Deployed
) -> None:
    """The first needs no control, the second is refused even with it."""
    own = factory.update("status", factory.id)
    set_settings(client, factory.id, controllers=[client.identity.sender, factory.id])

    deleted = factory.update("delete", factory.id)

    assert own.startswith("running ")
    assert "cannot delete itself" in deleted


def test_a_canisters_history_tells_who_changed_what(factory: Deployed, build_source: Build) -> None:
    """As many changes as are asked for; without a number, none but the total."""
    made = _create(factory)
    factory.update("install", made, build_source(COUNTER).wasm)

    assert factory.update("info", made, None) == "2"
    assert factory.update("info", made, 1) == "2 1 from_canister"
    assert factory.update("info", made, 99) == "2 0 from_canister 1 from_canister"
    assert factory.update("info", factory.id, 99).startswith("2 0 from_user 1 from_user")


def test_a_history_keeps_the_last_twenty_changes(client: Client, factory: Deployed) -> None:
    """And still counts them all."""
    canister = client.create()
    for _ in range(30):
        set_settings(client, canister, controllers=[client.identity.sender])

    told = factory.update("info", canister, 1_000).split()

    assert told[0] == "31"
    assert told[1::2] == [str(version) for version in range(11, 31)]


def test_metadata_is_told_to_canisters(factory: Deployed) -> None:
    """What is there; what is not, is a rejection."""
    interface = factory.update("metadata", factory.id, "candid:service")
    missing = factory.update("metadata", factory.id, "nothing")

    assert "create" in interface
    assert missing.startswith("Rejection code 4")


def test_a_version_the_caller_never_had_is_refused(client: Client, factory: Deployed) -> None:
    """Canisters say which version of them asks; one from the future is a mistake."""
    made = _create(factory)

    refused = factory.update("uninstall_as", made, 10**6)
    done = factory.update("uninstall_as", made, client.subnet.canisters[factory.id].version)

    assert "10" in refused
    assert refused.startswith("Rejection code 5")
    assert done == "ok"


def test_what_this_network_lacks_is_refused_to_canisters_by_name(
    client: Client, factory: Deployed
) -> None:
    """They learn that it is the network, not their mistake."""
    answer = factory.update("snapshot", client.create())

    assert "take_canister_snapshot" in answer
    assert "not served by the local network (yet)" in answer


def test_a_canister_of_another_subnet_is_managed_there(build_source: Build) -> None:
    """The call goes to where the canister lives, and the answer comes back."""
    network = Network(
        InProcessExecutor(), seed=b"two", now_ns=START_NS, topology=Topology(subnets=2)
    )
    client = Client(HttpInterface(network), network)
    built, counter = build_source(FACTORY), build_source(COUNTER)
    factory_id = client.create()
    client.install(factory_id, built.wasm)
    factory = Deployed(client, factory_id, built.interface)
    abroad = client.create(near=network.applications[1].plan.first_canister)
    set_settings(client, abroad, controllers=[client.identity.sender, factory_id])

    answers = [
        factory.update("install", abroad, counter.wasm),
        factory.update("deposit", abroad, T),
        factory.update("stop", abroad),
        factory.update("status", abroad).split()[0],
        factory.update("delete", abroad),
    ]

    assert answers == ["ok", "ok 0", "ok", "stopped", "ok"]
    assert abroad not in network.applications[1].canisters


def test_what_only_canisters_may_call_is_refused_again_when_it_is_executed(
    client: Client,
) -> None:
    """Whoever got past the first check is told in a certificate."""
    canister = client.create()
    request = client.sign(
        MANAGEMENT_CANISTER, "canister_info", argument("canister_info", canister_id=canister)
    )
    assert isinstance(request.content, CallContent)

    client.subnet.submit(request.content, request.request_id)
    client.run_rounds()

    status = client.subnet.history.status(request.request_id)
    assert isinstance(status, Reject)
    assert (status.error_code, "Only canisters" in status.message) == ("IC0406", True)
