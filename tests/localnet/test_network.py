"""Several subnets: delegations that clients verify, ranges in both layouts, calls across."""

from collections.abc import Callable
from typing import cast

import pytest
from localnet_client import START_NS, Built, Client, Deployed

from icfleet_localnet.certification import RangeLayout
from icfleet_localnet.errors import TopologyError
from icfleet_localnet.http_interface import HttpInterface
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.network import Network
from icfleet_localnet.topology import Topology, canister_id
from icfleet_protocol.cbor import decode_map
from icfleet_protocol.certificate import Freshness, verify_certificate
from icfleet_protocol.errors import CanisterRangeError
from icfleet_protocol.principal import Principal

SENDER = """
from kybra import Async, CallResult, Principal, Service, nat64, query, service_update, text, update

state = {"count": 0}


class Peer(Service):
    @service_update
    def increment(self, by: nat64) -> nat64: ...


@update
def increment(by: nat64) -> nat64:
    state["count"] = state["count"] + by
    return state["count"]


@update
def pass_on(peer: Principal, by: nat64) -> Async[text]:
    result: CallResult[nat64] = yield Peer(peer).increment(by)
    return str(result.Ok) if result.Err is None else result.Err


@query
def read() -> nat64:
    return state["count"]
"""


@pytest.fixture
def client() -> Client:
    network = Network(
        InProcessExecutor(), seed=b"test", now_ns=START_NS, topology=Topology(subnets=2)
    )
    return Client(HttpInterface(network), network)


def deploy_on(client: Client, built: Built, subnet: int) -> Deployed:
    created = client.create(near=client.network.applications[subnet].plan.first_canister)
    client.install(created, built.wasm)
    return Deployed(client, created, built.interface)


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_a_reply_is_certified_through_the_roots_delegation(
    client: Client, build_source: Callable[[str], Built], version: str
) -> None:
    """Each call version shows the ranges where its clients look, and nowhere else."""
    canister = deploy_on(client, build_source(SENDER), 1)
    arg = canister.interface.encode_args("increment", [5])
    request = client.sign(canister.id, "increment", arg)

    response = client.post(f"/api/{version}/canister/{canister.id}/call", request.body)

    raw = cast("bytes", decode_map(response.body, size_max=10**7)["certificate"])
    certificate = verify_certificate(
        raw,
        root_key_der=client.network.root_key_der,
        canister=canister.id,
        now_ns=client.now_ns,
        freshness=Freshness(),
    )
    assert certificate.value(b"request_status", request.request_id, b"status") == b"replied"


@pytest.mark.parametrize("layout", list(RangeLayout))
def test_a_delegation_does_not_speak_for_another_subnets_canisters(
    client: Client, layout: RangeLayout
) -> None:
    first, second = client.network.applications
    raw = client.network.certificate(first, [(b"time",)], layout)

    with pytest.raises(CanisterRangeError):
        verify_certificate(
            raw,
            root_key_der=client.network.root_key_der,
            canister=second.plan.first_canister,
            now_ns=client.now_ns,
            freshness=Freshness(),
        )


def test_a_call_reaches_a_canister_on_another_subnet_and_its_answer_returns(
    client: Client, build_source: Callable[[str], Built]
) -> None:
    built = build_source(SENDER)
    here, there = deploy_on(client, built, 0), deploy_on(client, built, 1)

    assert here.update("pass_on", there.id, 7) == "7"
    assert there.query("read") == 7
    assert here.query("read") == 0


def test_a_call_to_an_id_outside_every_range_is_rejected(
    client: Client, build_source: Callable[[str], Built]
) -> None:
    here = deploy_on(client, build_source(SENDER), 0)
    nowhere = canister_id((1 << 64) - 1)

    assert f"Canister {nowhere} not found" in here.update("pass_on", nowhere, 7)


def test_an_id_outside_every_range_is_refused_by_the_boundary(client: Client) -> None:
    nowhere = canister_id((1 << 64) - 1)
    request = client.sign(nowhere, "read", b"DIDL\x00\x00", kind="query")

    response = client.post(f"/api/v3/canister/{nowhere}/query", request.body)

    assert response.status == 400
    assert b"canister_not_found" in response.body


def test_each_id_belongs_to_at_most_one_subnet() -> None:
    plans = Topology(subnets=3).plans
    ids = [canister_id(0), canister_id(2), *(plan.first_canister for plan in plans)]

    hosts = [[index for index, plan in enumerate(plans) if plan.hosts(name)] for name in ids]

    assert hosts == [[1], [0], [0], [1], [2], [3]]


def test_ids_that_are_no_canisters_are_hosted_nowhere() -> None:
    (plan,) = Topology().plans

    assert not plan.hosts(Principal.self_authenticating(b"key"))
    assert not plan.hosts(Principal(b""))


@pytest.mark.parametrize(("subnets", "nodes"), [(0, 1), (65, 1), (1, 0), (1, 41)])
def test_impossible_networks_are_refused_by_name(subnets: int, nodes: int) -> None:
    with pytest.raises(TopologyError, match="choose 1 to"):
        Topology(subnets=subnets, nodes=nodes)
