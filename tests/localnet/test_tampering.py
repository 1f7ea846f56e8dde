"""A tampered answer is always refused by a client that verifies."""

from collections.abc import Callable
from random import Random
from typing import get_args

import pytest
from certified_state import State, certify, delegate
from hypothesis import given, settings
from hypothesis import strategies as st

from icfleet_localnet.fault_rules import TamperedPart
from icfleet_localnet.tampering import tamper
from icfleet_protocol.bls import BlsSecretKey
from icfleet_protocol.cbor import decode_map, encode_tagged
from icfleet_protocol.certificate import Freshness, verify_certificate
from icfleet_protocol.errors import ProtocolError
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.leb128 import encode_uleb128
from icfleet_protocol.principal import Principal
from icfleet_protocol.query_signature import query_response_message, verify_query_signature
from icfleet_protocol.request_id import HashableValue, RequestId

NOW_NS = 1_700_000_000_000_000_000
REQUEST = RequestId(b"\x11" * 32)
CANISTER = Principal.from_text("bkyz2-fmaaa-aaaaa-qaaaq-cai")
ROOT, SUBNET = BlsSecretKey(b"root"), BlsSecretKey(b"subnet")
NODE = Ed25519Identity.from_seed(b"node".ljust(32))
PARTS: tuple[TamperedPart, ...] = get_args(TamperedPart)
CERTIFICATE_PARTS: tuple[TamperedPart, ...] = ("reply", "certificate", "signature", "time")

seeds = st.integers(0, 2**64 - 1)


class UnknownNodeError(Exception):
    """An answer signed by a node that the subnet does not have."""


def _state(status: State) -> State:
    return {
        b"time": encode_uleb128(NOW_NS),
        b"request_status": {bytes(REQUEST): status},
        b"canister": {CANISTER.raw: {b"certified_data": b""}},
    }


REPLIED: State = {b"status": b"replied", b"reply": b"DIDL\x00\x00"}
REJECTED: State = {b"status": b"rejected", b"reject_code": b"\x04", b"reject_message": b""}
PLAIN = encode_tagged({"status": "replied", "certificate": certify(_state(REPLIED), ROOT)})
REJECTING = encode_tagged({"certificate": certify(_state(REJECTED), ROOT)})
DELEGATED = encode_tagged(
    {
        "certificate": certify(
            _state(REPLIED),
            SUBNET,
            delegation=delegate(ROOT, SUBNET.public_key_der, time_ns=NOW_NS),
        )
    }
)


def _query(**fields: HashableValue) -> bytes:
    message = query_response_message(fields, timestamp_ns=NOW_NS, request=REQUEST)
    signed = {"timestamp": NOW_NS, "signature": NODE.sign(message), "identity": NODE.sender.raw}
    return encode_tagged({**fields, "signatures": [signed]})


QUERIES = [
    _query(status="replied", reply={"arg": b"DIDL\x00\x00"}),
    _query(status="replied", reply={"arg": b""}),
    _query(status="rejected", reject_code=5, reject_message="trápped", error_code="IC0503"),
    _query(status="rejected", reject_code=4, reject_message="", error_code="IC0406"),
]


def _verify_certified(body: bytes) -> None:
    verify_certificate(
        decode_map(body, size_max=10**6)["certificate"],
        root_key_der=ROOT.public_key_der,
        canister=CANISTER,
        now_ns=NOW_NS,
        freshness=Freshness(),
    )


def _verify_query(body: bytes) -> None:
    response = decode_map(body, size_max=10**6)
    signed = response["signatures"][0]
    if signed["identity"] != NODE.sender.raw:
        raise UnknownNodeError
    verify_query_signature(
        response,
        timestamp_ns=signed["timestamp"],
        request=REQUEST,
        node_key_der=NODE.public_key_der,
        signature=signed["signature"],
    )


def _assert_noticed(body: bytes, changed: bytes, verify: Callable[[bytes], None]) -> None:
    assert changed != body
    verify(body)
    with pytest.raises((ProtocolError, UnknownNodeError)):
        verify(changed)


@pytest.mark.parametrize("part", CERTIFICATE_PARTS)
@pytest.mark.parametrize("body", [PLAIN, REJECTING, DELEGATED], ids=["root", "reject", "subnet"])
@given(seed=seeds)
@settings(max_examples=60)
def test_a_tampered_certificate_is_refused(body: bytes, part: TamperedPart, seed: int) -> None:
    """Wherever the bit is: in a value, a label, a hash, the time or the signature."""
    _assert_noticed(body, tamper(body, part, Random(seed)), _verify_certified)


@given(seed=seeds)
def test_a_tampered_delegation_is_refused(seed: int) -> None:
    """In the root subnet's certificate, its signature, or the name of the subnet."""
    _assert_noticed(DELEGATED, tamper(DELEGATED, "delegation", Random(seed)), _verify_certified)


@pytest.mark.parametrize("part", ["reply", "signature", "time", "node"])
@pytest.mark.parametrize("body", QUERIES, ids=["reply", "empty", "reject", "empty reject"])
@given(seed=seeds)
def test_a_tampered_query_is_refused(body: bytes, part: TamperedPart, seed: int) -> None:
    """Whatever of it was changed, and whether it is a reply or a rejection."""
    _assert_noticed(body, tamper(body, part, Random(seed)), _verify_query)


@pytest.mark.parametrize("part", CERTIFICATE_PARTS)
def test_tampering_repeats_with_its_seed(part: TamperedPart) -> None:
    """And takes another place with another seed."""
    changed = [tamper(DELEGATED, part, Random(seed)) for seed in range(50)]

    assert [tamper(DELEGATED, part, Random(seed)) for seed in range(50)] == changed
    assert len(set(changed)) > 5


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="accepted"),
        pytest.param(b"Invalid path requested.", id="text"),
        pytest.param(
            encode_tagged({"status": "non_replicated_rejection", "reject_code": 5}), id="reject"
        ),
        pytest.param(encode_tagged({"signatures": []}), id="unsigned"),
    ],
)
def test_an_answer_that_proves_nothing_is_left_alone(body: bytes, part: TamperedPart) -> None:
    """There is nothing in it that a client could notice."""
    assert tamper(body, part, Random(1)) is body


@pytest.mark.parametrize(
    ("body", "part"), [(PLAIN, "delegation"), (PLAIN, "node"), (QUERIES[0], "certificate")]
)
def test_an_answer_without_the_part_is_left_alone(body: bytes, part: TamperedPart) -> None:
    """The root subnet's certificate has no delegation, a query no certificate."""
    assert tamper(body, part, Random(1)) is body


def test_a_certificate_without_a_reply_has_none_to_tamper_with() -> None:
    """While a call is still being processed."""
    body = encode_tagged({"certificate": certify(_state({b"status": b"processing"}), ROOT)})

    assert tamper(body, "reply", Random(1)) is body


@given(st.binary(max_size=100), st.sampled_from(PARTS), seeds)
def test_any_bytes_can_be_tampered_with(body: bytes, part: TamperedPart, seed: int) -> None:
    """What is no answer stays as it is."""
    assert isinstance(tamper(body, part, Random(seed)), bytes)
