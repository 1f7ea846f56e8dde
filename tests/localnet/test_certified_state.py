"""The certified state of a subnet: what it tells of canisters, and what it proves absent."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, cast

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from localnet_client import COUNTER, Client, Deployed

from icfleet_localnet import state_tree
from icfleet_localnet.canister import Canister, Settings
from icfleet_localnet.certification import SubnetMetrics
from icfleet_localnet.certified_canisters import CertifiedCanisters
from icfleet_localnet.ingress import IngressHistory, Replied
from icfleet_localnet.state_tree import EMPTY_FOREST, Forest, forest_of, witness_cbor
from icfleet_localnet.topology import canister_id
from icfleet_protocol.cbor import SELF_DESCRIBE_TAG
from icfleet_protocol.hash_tree import (
    Absent,
    Found,
    Unknown,
    find_subtree,
    lookup,
    parse_hash_tree,
)
from icfleet_protocol.leb128 import decode_uleb128
from icfleet_protocol.principal import ANONYMOUS
from icfleet_protocol.request_id import RequestId

Nested = dict[bytes, Any]
LABELS = st.binary(max_size=2)
STATES = st.recursive(
    st.binary(max_size=3),
    lambda inner: st.dictionaries(LABELS, inner, max_size=6),
    max_leaves=25,
).filter(lambda state: isinstance(state, dict))
PATHS = st.lists(st.lists(LABELS, max_size=4).map(tuple), max_size=6)
S = 1_000_000_000


def build(state: Nested) -> Forest:
    return forest_of(
        {
            label: build(cast("Nested", child)) if isinstance(child, dict) else child
            for label, child in state.items()
        }
    )


def look_up(state: Nested | bytes, path: Sequence[bytes]) -> Nested | bytes | None:
    """What is at a path, by the plain mapping that the tree stands for."""
    for label in path:
        if isinstance(state, bytes) or label not in state:
            return None
        state = state[label]
    return state


@given(state=STATES, paths=PATHS)
def test_a_witness_of_any_paths_says_of_each_what_the_state_says(
    state: Nested, paths: list[tuple[bytes, ...]]
) -> None:
    """It hashes to the root, finds what is there, and proves absent what is not."""
    forest = build(state)

    tree = parse_hash_tree(cbor2.loads(witness_cbor(forest, paths)))

    assert tree.digest == forest.digest
    for path in paths:
        expected = look_up(state, path)
        if isinstance(expected, bytes):
            assert lookup(tree, path) == Found(expected)
        elif expected is None:
            assert lookup(tree, path) == Absent()
        else:
            subtree = find_subtree(tree, path)
            assert not isinstance(subtree, Absent | Unknown)
            assert subtree.digest == build(expected).digest


@given(state=STATES, paths=PATHS, other=STATES)
def test_a_witness_says_nothing_wrong_of_paths_that_were_not_asked_for(
    state: Nested, paths: list[tuple[bytes, ...]], other: Nested
) -> None:
    tree = parse_hash_tree(cbor2.loads(witness_cbor(build(state), paths)))

    for path in _all_paths(state) + _all_paths(other):
        found, expected = lookup(tree, path), look_up(state, path)
        if isinstance(found, Found):
            assert found.value == expected
        if isinstance(found, Absent):
            assert expected is None or expected == {}


def _all_paths(state: Nested, above: tuple[bytes, ...] = ()) -> list[tuple[bytes, ...]]:
    paths: list[tuple[bytes, ...]] = []
    for label, child in state.items():
        paths.append((*above, label))
        if isinstance(child, dict):
            paths += _all_paths(cast("Nested", child), (*above, label))
    return paths


def metrics(client: Client) -> dict[str, Any]:
    subnet = client.subnet
    path = (b"subnet", subnet.id.raw, b"metrics")
    raw = client.verify(client.network.certificate(subnet, [path])).value(*path)
    assert raw is not None
    assert raw.startswith(SELF_DESCRIBE_TAG)
    return cast("dict[str, Any]", cbor2.loads(raw.removeprefix(SELF_DESCRIBE_TAG)))


def test_a_subnets_metrics_are_those_of_its_canisters(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister = deploy(COUNTER)
    record = client.subnet.canisters[canister.id]
    before = metrics(client)
    for _ in range(3):
        canister.update("increment", 1)
    after = metrics(client)

    assert set(after) == {
        "num_canisters",
        "canister_state_bytes",
        "consumed_cycles_total",
        "update_transactions_total",
    }
    assert after["num_canisters"] == 1
    assert after["canister_state_bytes"] == record.memory.total
    assert after["consumed_cycles_total"] == {0: record.consumed_cycles}
    assert after["update_transactions_total"] - before["update_transactions_total"] == 3


def test_cycles_above_64_bits_have_a_high_part() -> None:
    raw = SubnetMetrics(cycles_consumed=(5 << 64) + 7).as_cbor()

    fields = cbor2.loads(raw.removeprefix(SELF_DESCRIBE_TAG))

    assert fields["consumed_cycles_total"] == {0: 7, 1: 5}


def test_a_canister_shows_when_it_was_made_and_when_its_code_was_installed(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister = deploy(COUNTER)
    created = timestamp(client, canister, b"canister_creation_timestamp")
    installed = timestamp(client, canister, b"last_install_timestamp")
    client.advance(60 * S)
    built_again = deploy(COUNTER)
    module = client.subnet.canisters[built_again.id].module
    assert module is not None

    assert created <= installed < timestamp(client, built_again, b"last_install_timestamp")
    assert timestamp(client, canister, b"canister_creation_timestamp") == created


def timestamp(client: Client, canister: Deployed, name: bytes) -> int:
    raw = client.certified(canister.id, b"canister", canister.id.raw, name)
    assert raw is not None
    return decode_uleb128(raw)[0]


def test_the_candid_interface_is_public_metadata_and_the_sources_are_not(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister = deploy(COUNTER)
    path = (b"canister", canister.id.raw, b"metadata")

    did = client.certified(canister.id, *path, b"candid:service")
    assert did is not None
    assert b"increment" in did
    assert client.certified(canister.id, *path, b"icfleet:bundle") is None


def test_a_deleted_canister_is_gone_from_the_state(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister, _other = deploy(COUNTER), deploy(COUNTER)
    for method in ("stop_canister", "delete_canister"):
        client.manage(method, {"canister_id": canister.id})

    assert client.certified(canister.id, b"canister", canister.id.raw, b"module_hash") is None
    assert metrics(client)["num_canisters"] == 1
    assert client.network.next_event_ns is None


def test_what_a_deleted_canister_consumed_stays_consumed_when_its_id_is_used_again(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister = deploy(COUNTER)
    canister.update("increment", 1)
    seen = [_consumed(client)]
    for method in ("stop_canister", "delete_canister"):
        client.manage(method, {"canister_id": canister.id})
        seen.append(_consumed(client))
    fields = {"amount": None, "settings": None, "sender_canister_version": None}
    create = "provisional_create_canister_with_cycles"
    client.manage(create, {**fields, "specified_id": canister.id})
    seen.append(_consumed(client))
    client.manage("stop_canister", {"canister_id": canister.id})
    seen.append(_consumed(client))

    assert seen == sorted(seen)
    assert 0 < seen[-2] < seen[-1]
    assert metrics(client)["num_canisters"] == 1


def _consumed(client: Client) -> int:
    return int(metrics(client)["consumed_cycles_total"][0])


def _request(name: int) -> bytes:
    return name.to_bytes(32, "big")


ABSENT = [
    pytest.param((b"request_status", _request(0)), id="request before all others"),
    pytest.param((b"request_status", _request((1 << 256) - 1)), id="request after all others"),
    pytest.param((b"request_status", _request(1 << 255), b"reply"), id="below an absent request"),
    pytest.param((b"canister", b"%s", b"controllers"), id="canister that does not exist"),
    pytest.param((b"subnet", b"\x00"), id="subnet that does not exist"),
    pytest.param((b"subnet", b"\x01" * 29, b"type"), id="below an absent subnet"),
    pytest.param((b"time", b"below"), id="below a leaf"),
    pytest.param((b"canister_ranges", b"\xff"), id="ranges of no subnet"),
    pytest.param((b"api_boundary_nodes", b"x"), id="section that is absent"),
]


@pytest.mark.parametrize("is_empty", [True, False])
@pytest.mark.parametrize("path", ABSENT)
def test_what_does_not_exist_is_proven_absent(
    deploy: Callable[[str], Deployed],
    client: Client,
    path: tuple[bytes, ...],
    *,
    is_empty: bool,
) -> None:
    """Agents take a certificate that might hide a path for an error."""
    if not is_empty:
        deploy(COUNTER)
    nowhere = canister_id(5)
    shown = tuple(nowhere.raw if label == b"%s" else label for label in path)

    raw = client.network.certificate(client.subnet, [shown])

    assert client.verify(raw).lookup(*shown) == Absent()


class HashCounter:
    """Counts hashes of the state tree."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("fork_digest", "labeled_digest", "leaf_digest"):
            patch.setattr(state_tree, name, self._counting(getattr(state_tree, name)))

    def _counting(self, digest: Callable[..., bytes]) -> Callable[..., bytes]:
        def counted(*args: bytes) -> bytes:
            self.count += 1
            return digest(*args)

        return counted


def test_a_change_costs_hashes_by_the_logarithm_of_the_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of ten thousand canisters and a hundred thousand requests, a round hashes what changed."""
    canisters = CertifiedCanisters()
    records = [
        Canister(canister_id(number), Settings(controllers=(ANONYMOUS,)), 0)
        for number in range(2_000)
    ]
    for record in records:
        canisters.show(record)
    history = IngressHistory()
    random = Random(1)
    names = [RequestId(random.randbytes(32)) for _ in range(10_000)]
    for name in names:
        history.add(name, ANONYMOUS, records[0].id, expiry_ns=S)
    before = history.forest.digest
    counter = HashCounter(monkeypatch)

    canisters.show(records[77])
    assert 0 < counter.count < 40
    counter.count = 0
    history.update(names[77], Replied(b"done"))
    assert history.forest.digest != before
    assert 0 < counter.count < 40


def test_forgetting_old_requests_restores_the_empty_forest() -> None:
    history = IngressHistory()
    for number in range(50):
        history.add(RequestId(_request(number)), ANONYMOUS, ANONYMOUS, expiry_ns=S)
        history.update(RequestId(_request(number)), Replied(b""))
    assert history.forest.digest != EMPTY_FOREST.digest

    for minutes in (0, 10):
        history.forget_expired(minutes * 60 * S)

    assert len(history) == 0
    assert history.forest.digest == EMPTY_FOREST.digest


def test_an_uninstalled_canister_shows_its_controllers_alone(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister = deploy(COUNTER)
    client.manage("uninstall_code", {"canister_id": canister.id, "sender_canister_version": None})
    path = (b"canister", canister.id.raw)

    assert client.certified(canister.id, *path, b"module_hash") is None
    assert client.certified(canister.id, *path, b"metadata", b"candid:service") is None
    assert client.certified(canister.id, *path, b"controllers") is not None
