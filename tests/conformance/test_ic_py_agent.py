"""ic-py 1.0.1, as PyPI has it, calls a probe canister on a running local network.

It uses the v2 endpoints, polls for every update, sends no tag and no nonce, and verifies nothing.
"""

import asyncio
import time
from typing import Any

import cbor2
import pytest
from background_network import Network
from ic import system_state
from ic.agent import Agent
from ic.candid import Types, encode
from ic.canister import Canister
from ic.certificate import lookup
from ic.client import Client
from ic.identity import DelegateIdentity, Identity
from ic.principal import Principal as IcPrincipal
from signing_keys import browser_session, ed25519
from wire_client import Deployed, Wire

from icfleet_protocol.principal import Principal

# ic-py 1.0.1 passes its bodies to httpx in the way of requests.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

POLL_S = 0.05
ABSENT = Principal(bytes.fromhex("000000000001fffd0101"))


def _text(value: str) -> bytes:
    arg: bytes = encode([{"type": Types.Text, "value": value}])
    return arg


def _identity(kind: str) -> Any:
    if kind == "anonymous":
        return Identity(anonymous=True)
    if kind == "delegated":
        return DelegateIdentity.from_json(*browser_session(ed25519(70), b"\x47" * 32))
    return Identity(type=kind)


def _agent(network: Network, kind: str = "ed25519") -> Any:
    return Agent(_identity(kind), Client(network.url))


def _update(agent: Any, canister: Principal, method: str, arg: bytes = b"DIDL\0\0") -> Any:
    return agent.update_raw(str(canister), method, arg, delay=POLL_S, timeout=10)


def test_it_reads_the_status(network: Network) -> None:
    status = cbor2.loads(Client(network.url).status())

    assert status.value["root_key"] if isinstance(status, cbor2.CBORTag) else status["root_key"]


@pytest.mark.parametrize("kind", ["anonymous", "ed25519", "secp256k1", "delegated"])
def test_it_is_known_by_its_key(network: Network, probe: Deployed, kind: str) -> None:
    agent = _agent(network, kind)
    self = agent.get_principal().to_str()

    queried = agent.query_raw(str(probe.id), "whoami", b"DIDL\0\0")
    updated = _update(agent, probe.id, "whoami_certified")

    assert [queried[0]["value"].to_str(), updated[0]["value"].to_str()] == [self, self]


def test_it_updates_and_queries_by_the_candid_it_is_given(
    network: Network, probe: Deployed
) -> None:
    did = "service : { increment : () -> (nat64); greet : (text) -> (text) query }"
    canister = Canister(agent=_agent(network), canister_id=str(probe.id), candid=did)

    assert canister.increment() == [1]
    assert canister.greet("ic-py") == ["Hello, ic-py!"]


def test_its_asynchronous_side_works_too(network: Network, probe: Deployed) -> None:
    agent = _agent(network)
    arg = _text("later")

    greeted = asyncio.run(agent.query_raw_async(str(probe.id), "greet", arg))

    assert greeted[0]["value"] == "Hello, later!"


def test_its_updates_without_a_nonce_are_one_request_if_they_are_equal(
    network: Network, probe: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its expiry has seconds only: what is asked twice within one is asked once."""
    agent = _agent(network)
    expiry = int(time.time() + 240) * 10**9
    monkeypatch.setattr(agent, "get_expiry_date", lambda: expiry)

    counts = [_update(agent, probe.id, "increment")[0]["value"] for _ in range(3)]

    assert counts == [1, 1, 1]


@pytest.mark.parametrize(
    ("method", "words"),
    [("refuse", "Rejected: no way"), ("fail", "with message: 'no way'"), ("nowhere", "no update")],
)
def test_it_is_told_why_an_update_failed(
    network: Network, probe: Deployed, method: str, words: str
) -> None:
    with pytest.raises(Exception, match=words):
        _update(_agent(network), probe.id, method, _text("no way"))


@pytest.mark.parametrize(
    ("method", "words"),
    [("refuse_query", "no way"), ("fail_query", "no way"), ("nowhere", "no query method")],
)
def test_it_is_told_why_a_query_failed(
    network: Network, probe: Deployed, method: str, words: str
) -> None:
    """It gives the rejection's message as if it were the answer."""
    answer = _agent(network).query_raw(str(probe.id), method, _text("no way"))

    assert words in answer


def test_it_is_told_that_there_is_no_such_canister(network: Network) -> None:
    answer = _agent(network).query_raw(str(ABSENT), "greet", _text("nobody"))

    assert f"Canister {ABSENT} not found" in answer


def test_it_sends_any_bytes(network: Network, probe: Deployed) -> None:
    arg = _text("any") + b""

    queried = _agent(network).query_raw(str(probe.id), "echo", arg)
    updated = _update(_agent(network), probe.id, "echo_certified", arg)

    assert bytes(queried[0]["value"]) == bytes(updated[0]["value"]) == arg


def test_it_reads_the_canisters_state(network: Network, wire: Wire, probe: Deployed) -> None:
    agent, canister = _agent(network), str(probe.id)
    path = [b"canister", probe.id.raw, b"metadata", b"candid:service"]

    metadata = lookup(path, agent.read_state_raw(canister, [path]))
    controllers = system_state.canister_controllers(agent, canister)

    assert b"increment : () -> (nat64)" in metadata
    assert [one.to_str() for one in controllers] == [str(wire.signer.sender)]
    assert len(bytes.fromhex(system_state.canister_module_hash(agent, canister))) == 32
    assert abs(system_state.time(agent, canister) - time.time_ns()) < 60 * 10**9


def test_it_reads_the_root_subnets_state(network: Network, probe: Deployed) -> None:
    agent = _agent(network)
    subnet = str(Principal.self_authenticating(network.root_key_der))

    key = system_state.subnet_public_key(agent, str(probe.id), subnet)
    ranges = system_state.subnet_canister_ranges(agent, str(probe.id), subnet)

    assert bytes.fromhex(key) == network.root_key_der
    assert all(isinstance(end, IcPrincipal) for low_high in ranges for end in low_high)


def test_it_is_told_of_a_path_that_there_is_not(network: Network, probe: Deployed) -> None:
    with pytest.raises(ValueError, match="Invalid path requested!"):
        _agent(network).read_state_raw(str(probe.id), [[b"nowhere"]])
