"""icp-py-core 2.3.1, as PyPI has it, calls a probe canister on a running local network.

It uses the v4 and v3 endpoints. Its verification of certificates stays off: it needs a module that
is not on PyPI, and takes no root key but the mainnet's. That of query replies is on where it works.
"""

import os
import time
from typing import Any

import cbor2
import httpx
import pytest
from background_network import Network
from icp_core import (
    Agent,
    Canister,
    Client,
    DelegateIdentity,
    Identity,
    ReplicaReject,
    Types,
    encode,
)
from signing_keys import browser_session, ed25519
from wire_client import NO_ARGS, Deployed, Wire

from icfleet_protocol.cbor import SELF_DESCRIBE_TAG
from icfleet_protocol.principal import Principal

ABSENT = Principal(bytes.fromhex("000000000001fffc0101"))


class ClientOfTheOldEndpoint(Client):
    """Makes its calls by v2."""

    def call(self, canister_id: str, data: bytes, **_options: object) -> httpx.Response:
        headers = {"content-type": "application/cbor"}
        path = f"{self.url}/api/v2/canister/{canister_id}/call"
        return httpx.post(path, content=data, headers=headers)


def _text(value: str) -> bytes:
    arg: bytes = encode([{"type": Types.Text, "value": value}])
    return arg


def _identity(kind: str) -> Any:
    if kind == "anonymous":
        return Identity(anonymous=True)
    if kind == "delegated":
        return DelegateIdentity.from_json(*browser_session(ed25519(70), b"\x48" * 32))
    return Identity(type=kind)


def _agent(network: Network, kind: str = "ed25519", *, nonces: bool = True) -> Any:
    return Agent(
        _identity(kind),
        Client(network.url),
        nonce_factory=(lambda: os.urandom(16)) if nonces else None,
        root_key=network.root_key_der,
    )


def _update(agent: Any, canister: Principal, method: str, arg: bytes = NO_ARGS) -> Any:
    return agent.update_raw(str(canister), method, arg, verify_certificate=False)


def test_it_reads_the_status(network: Network) -> None:
    raw = Client(network.url).status()

    status = cbor2.loads(raw.removeprefix(SELF_DESCRIBE_TAG))

    assert status["root_key"] == network.root_key_der


@pytest.mark.parametrize("kind", ["anonymous", "ed25519", "secp256k1", "delegated"])
def test_it_is_known_by_its_key(network: Network, probe: Deployed, kind: str) -> None:
    agent = _agent(network, kind)
    self = agent.get_principal().to_str()

    queried = agent.query_raw(str(probe.id), "whoami", NO_ARGS)
    updated = _update(agent, probe.id, "whoami_certified")

    assert [queried[0]["value"].to_str(), updated[0]["value"].to_str()] == [self, self]


def test_it_updates_and_queries(network: Network, probe: Deployed) -> None:
    agent = _agent(network)

    counts = [_update(agent, probe.id, "increment")[0]["value"] for _ in range(2)]
    greeted = agent.query(str(probe.id), "greet", [{"type": Types.Text, "value": "core"}])

    assert counts == [1, 2]
    assert greeted[0]["value"] == "Hello, core!"


def test_it_verifies_a_replys_node_signature(network: Network, probe: Deployed) -> None:
    agent = _agent(network)

    greeted = agent.query_raw(str(probe.id), "greet", _text("node"), verify_query_signatures=True)

    assert greeted[0]["value"] == "Hello, node!"


def test_it_fetches_the_interface_from_the_canister(network: Network, probe: Deployed) -> None:
    canister = Canister(_agent(network), str(probe.id), auto_fetch_candid=True)

    assert canister.greet("did") == [{"type": "text", "value": "Hello, did!"}]


REJECTIONS = {
    "refuse": (4, "IC0406", "no way"),
    "fail": (5, "IC0503", "with message: 'no way'"),
    "nowhere": (5, "IC0536", "has no update method 'nowhere'"),
}


@pytest.mark.parametrize(("method", "expected"), REJECTIONS.items(), ids=REJECTIONS)
def test_it_is_told_why_an_update_failed(
    network: Network, probe: Deployed, method: str, expected: tuple[int, str, str]
) -> None:
    with pytest.raises(ReplicaReject) as caught:
        _update(_agent(network), probe.id, method, _text("no way"))

    rejection = caught.value
    assert (rejection.reject_code, rejection.error_code) == expected[:2]
    assert expected[2] in rejection.reject_message


@pytest.mark.parametrize(
    ("method", "error_code"),
    [("refuse_query", "IC0406"), ("fail_query", "IC0503"), ("nowhere", "IC0536")],
)
def test_it_is_told_why_a_query_failed(
    network: Network, probe: Deployed, method: str, error_code: str
) -> None:
    with pytest.raises(ReplicaReject) as caught:
        _agent(network).query_raw(str(probe.id), method, _text("no way"))

    assert caught.value.error_code == error_code


def test_it_is_told_that_there_is_no_such_canister(network: Network) -> None:
    agent = _agent(network)

    with pytest.raises(ReplicaReject, match="not found"):
        _update(agent, ABSENT, "increment")
    with pytest.raises(ReplicaReject, match="not found"):
        agent.query_raw(str(ABSENT), "greet", _text("nobody"))


def test_it_sends_any_bytes(network: Network, probe: Deployed) -> None:
    arg = _text("any")

    queried = _agent(network).query_raw(str(probe.id), "echo", arg)
    updated = _update(_agent(network), probe.id, "echo_certified", arg)

    assert bytes(queried[0]["value"]) == bytes(updated[0]["value"]) == arg


def test_it_polls_when_the_call_was_only_accepted(network: Network, probe: Deployed) -> None:
    """The v2 endpoint answers 202 at once, as the v4 one does when the canister takes its time."""
    agent = Agent(_identity("ed25519"), ClientOfTheOldEndpoint(network.url))

    assert _update(agent, probe.id, "increment")[0]["value"] == 1
    with pytest.raises(ReplicaReject, match="no way"):
        _update(agent, probe.id, "fail", _text("no way"))


def test_it_reads_the_canisters_state(network: Network, wire: Wire, probe: Deployed) -> None:
    path = [b"canister", probe.id.raw, b"controllers"]

    certificate = _agent(network).read_state_raw(
        str(probe.id), [[b"time"], path], verify_certificate=False
    )

    controllers = cbor2.loads(bytes(certificate.lookup(path)).removeprefix(SELF_DESCRIBE_TAG))
    assert controllers == [wire.signer.sender.raw]
    assert certificate.lookup([b"time"])


def test_it_reads_the_subnets_state(network: Network) -> None:
    subnet = Principal.self_authenticating(network.root_key_der)
    path = [b"subnet", subnet.raw, b"public_key"]

    certificate = _agent(network).read_state_subnet_raw(
        str(subnet), [path], verify_certificate=False
    )

    assert bytes(certificate.lookup(path)) == network.root_key_der


def test_it_is_told_of_a_wrong_expiry(network: Network, probe: Deployed) -> None:
    agent = _agent(network)
    agent.get_expiry_date = lambda: time.time_ns() - 60 * 10**9

    with pytest.raises(Exception, match="400 Bad Request"):
        _update(agent, probe.id, "increment")
