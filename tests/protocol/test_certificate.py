"""Certificates: mainnet's own verify, and whatever proves nothing is refused with our error."""

from pathlib import Path
from typing import Any, cast

import cbor2
import pytest
from certified_state import (
    State,
    build_tree,
    certify,
    delegate,
    hide,
    join,
    label_tree,
    ranges_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from icfleet_protocol.bls import BlsSecretKey
from icfleet_protocol.cbor import SELF_DESCRIBE_TAG, decode_map, encode_tagged
from icfleet_protocol.certificate import (
    CERTIFICATE_SIZE_MAX,
    Certificate,
    Freshness,
    parse_canister_ranges,
    verify_certificate,
)
from icfleet_protocol.errors import (
    CanisterRangeError,
    CertificateError,
    DecodeError,
    HashTreeError,
    InvalidSignatureError,
    ProtocolError,
    StaleCertificateError,
)
from icfleet_protocol.hash_tree import Absent, Found, Unknown
from icfleet_protocol.leb128 import encode_uleb128
from icfleet_protocol.principal import Principal

# Source: https://github.com/dfinity/agent-rs, ic-agent/src/agent/agent_test, certificates of 2022
# and 2025; the key is the one that every client of mainnet carries.
VECTORS = Path(__file__).parents[1] / "vectors" / "certificates"
MAINNET_KEY = bytes.fromhex(
    "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100814c0e6ec71fab583b08bd"
    "81373c255c3c371b2e84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b4392e467db96d6"
    "5b9bb4cb717112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae"
)
IVG37 = Principal.from_text("ivg37-qiaaa-aaaab-aaaga-cai")
RWLGT = Principal.from_text("rwlgt-iiaaa-aaaaa-aaaaa-cai")

NOW_NS = 1_750_000_000_000_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DAY_NS = 24 * 60 * MINUTE_NS

ROOT = BlsSecretKey(b"root")
SUBNET = BlsSecretKey(b"subnet")
STRANGER = BlsSecretKey(b"stranger")
STATE: dict[bytes, State] = {b"time": encode_uleb128(NOW_NS), b"canister": {b"x": b"value"}}


def read_vector(name: str) -> bytes:
    return cast(
        "bytes", decode_map((VECTORS / f"{name}.bin").read_bytes(), size_max=1 << 20)["certificate"]
    )


def verify_vector(raw: bytes, *, now_ns: int, canister: Principal | None = None) -> Certificate:
    return verify_certificate(
        raw,
        root_key_der=MAINNET_KEY,
        canister=canister,
        now_ns=now_ns,
        freshness=Freshness(),
    )


def verify(raw: bytes, *, now_ns: int = NOW_NS, canister: Principal | None = IVG37) -> Certificate:
    return verify_certificate(
        raw,
        root_key_der=ROOT.public_key_der,
        canister=canister,
        now_ns=now_ns,
        freshness=Freshness(),
    )


# The time that each vector tells of itself, and the subnet that signed it.
MAINNET = [
    pytest.param("ivg37_delegated_v2", 1645601880652705378, "qxesv", id="flat-ranges"),
    pytest.param("ivg37_time", 1763796896688941908, "qxesv", id="sharded-ranges"),
    pytest.param("o3ow2_subnet_key", 1763597289536590252, "o3ow2", id="subnet-key"),
    pytest.param("uzr34_node_keys", 1763597425871913552, "uzr34", id="node-keys"),
]


@pytest.mark.parametrize(("name", "time_ns", "subnet"), MAINNET)
def test_mainnets_certificates_verify(name: str, time_ns: int, subnet: str) -> None:
    certificate = verify_vector(read_vector(name), now_ns=time_ns)

    assert certificate.time_ns == time_ns
    assert str(certificate.subnet).startswith(subnet)


@pytest.mark.parametrize(("name", "time_ns", "_subnet"), MAINNET[:2])
def test_mainnets_ranges_bind_a_certificate_to_its_canisters(
    name: str, time_ns: int, _subnet: str
) -> None:
    raw = read_vector(name)

    verify_vector(raw, now_ns=time_ns, canister=IVG37)
    with pytest.raises(CanisterRangeError, match="does not host canister rwlgt"):
        verify_vector(raw, now_ns=time_ns, canister=RWLGT)


def test_a_mainnet_rejection_reads_as_it_was() -> None:
    certificate = verify_vector(read_vector("ivg37_delegated_v2"), now_ns=1645601880652705378)
    request = bytes.fromhex("edad510eaaa08ed2acd4781324e6446269da6753ec17760f206bbe81c465ff52")

    assert certificate.value(b"request_status", request, b"status") == b"rejected"
    assert certificate.value(b"request_status", request, b"reject_code") == b"\x03"
    assert certificate.value(b"request_status", request, b"reply") is None


@pytest.mark.parametrize("mask", [0x01, 0x80])
@pytest.mark.parametrize("start", range(16))
def test_no_changed_byte_of_a_mainnet_certificate_passes(start: int, mask: int) -> None:
    """One flipped bit anywhere: tree, signature, delegation, ranges."""
    raw = read_vector("ivg37_time")
    for index in range(start, len(raw), 16):
        tampered = bytearray(raw)
        tampered[index] ^= mask
        with pytest.raises(ProtocolError):
            verify_vector(bytes(tampered), now_ns=1763796896688941908, canister=IVG37)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(MAINNET).map(lambda param: param.values[:2]),
    st.integers(0),
    st.integers(1, 255),
)
def test_no_tampered_certificate_passes(vector: tuple[str, int], position: int, mask: int) -> None:
    name, time_ns = vector
    tampered = bytearray(read_vector(name))
    tampered[position % len(tampered)] ^= mask

    with pytest.raises(ProtocolError):
        verify_vector(bytes(tampered), now_ns=time_ns)


@given(st.binary(max_size=80))
def test_bad_bytes_raise_only_our_errors(data: bytes) -> None:
    for raw in (data, b"\xa2\x64tree" + data):
        with pytest.raises(ProtocolError):
            verify(raw)


@pytest.mark.parametrize("is_sharded", [True, False], ids=["sharded", "flat"])
def test_a_delegated_certificate_verifies_with_both_forms_of_ranges(is_sharded: bool) -> None:
    delegation = delegate(ROOT, SUBNET.public_key_der, time_ns=NOW_NS, is_sharded=is_sharded)

    certificate = verify(certify(STATE, SUBNET, delegation=delegation))

    assert certificate.subnet == Principal.self_authenticating(SUBNET.public_key_der)
    assert certificate.value(b"canister", b"x") == b"value"


def test_the_root_subnet_needs_no_delegation() -> None:
    certificate = verify(certify(STATE, ROOT))

    assert certificate.subnet == Principal.self_authenticating(ROOT.public_key_der)


def test_a_delegation_of_null_is_none() -> None:
    fields = dict(decode_map(certify(STATE, ROOT), size_max=1 << 20)) | {"delegation": None}

    assert verify(encode_tagged(fields)).time_ns == NOW_NS


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(certify(STATE, STRANGER), id="no-delegation"),
        pytest.param(
            certify(
                STATE,
                STRANGER,
                delegation=delegate(ROOT, SUBNET.public_key_der, time_ns=NOW_NS),
            ),
            id="somebody-elses-delegation",
        ),
        pytest.param(
            certify(
                STATE,
                STRANGER,
                delegation=delegate(STRANGER, STRANGER.public_key_der, time_ns=NOW_NS),
            ),
            id="its-own-delegation",
        ),
    ],
)
def test_a_strangers_certificate_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidSignatureError):
        verify(raw)


def test_a_delegations_certificate_may_not_be_delegated() -> None:
    inner = delegate(ROOT, SUBNET.public_key_der, time_ns=NOW_NS)
    outer = delegate(SUBNET, STRANGER.public_key_der, time_ns=NOW_NS)
    parent = dict(decode_map(cast("bytes", outer["certificate"]), size_max=1 << 20))
    outer["certificate"] = encode_tagged(parent | {"delegation": inner})

    with pytest.raises(CertificateError, match="itself delegated"):
        verify(certify(STATE, STRANGER, delegation=outer))


def test_a_delegation_for_another_subnet_is_refused() -> None:
    delegation = delegate(ROOT, SUBNET.public_key_der, time_ns=NOW_NS)
    delegation["subnet_id"] = RWLGT.raw

    with pytest.raises(CertificateError, match="knows no subnet"):
        verify(certify(STATE, SUBNET, delegation=delegation))


LOW, HIGH = bytes.fromhex("00000000000000100101"), bytes.fromhex("000000000000001f0101")
LOW_2, HIGH_2 = bytes.fromhex("00000000000000300101"), bytes.fromhex("000000000000003f0101")


@pytest.mark.parametrize("is_sharded", [True, False], ids=["sharded", "flat"])
@pytest.mark.parametrize(
    ("canister", "is_hosted"),
    [
        pytest.param("000000000000000f0101", False, id="below-all"),
        pytest.param("00000000000000100101", True, id="first"),
        pytest.param("000000000000001f0101", True, id="last"),
        pytest.param("00000000000000200101", False, id="between"),
        pytest.param("00000000000000350101", True, id="in-the-second"),
        pytest.param("00000000000000400101", False, id="above-all"),
    ],
)
def test_ranges_are_closed_intervals(canister: str, is_hosted: bool, is_sharded: bool) -> None:
    delegation = delegate(
        ROOT,
        SUBNET.public_key_der,
        time_ns=NOW_NS,
        ranges=[(LOW, HIGH), (LOW_2, HIGH_2)],
        is_sharded=is_sharded,
    )
    raw = certify(STATE, SUBNET, delegation=delegation)
    principal = Principal(bytes.fromhex(canister))

    if is_hosted:
        verify(raw, canister=principal)
    else:
        with pytest.raises(CanisterRangeError):
            verify(raw, canister=principal)


def test_hidden_ranges_prove_nothing() -> None:
    """Neither shards that are pruned, nor ranges that are not there."""
    subnet = Principal.self_authenticating(SUBNET.public_key_der).raw
    about: State = {subnet: {b"public_key": SUBNET.public_key_der}}
    shards = build_tree({subnet: {LOW: ranges_of((LOW, HIGH))}})
    for ranges in ([], [label_tree(b"canister_ranges", hide(shards))]):
        tree = join(
            [
                *ranges,
                *(
                    label_tree(n, build_tree(s))
                    for n, s in ((b"subnet", about), (b"time", encode_uleb128(NOW_NS)))
                ),
            ]
        )
        delegation = {"subnet_id": subnet, "certificate": certify(tree, ROOT)}

        with pytest.raises(CanisterRangeError):
            verify(certify(STATE, SUBNET, delegation=delegation), canister=Principal(LOW))


@pytest.mark.parametrize(
    ("now_ns", "is_fresh"),
    [
        pytest.param(NOW_NS + 5 * MINUTE_NS, True, id="just-fresh"),
        pytest.param(NOW_NS + 5 * MINUTE_NS + 1, False, id="just-stale"),
        pytest.param(NOW_NS - 5 * MINUTE_NS, True, id="a-little-ahead"),
        pytest.param(NOW_NS - 5 * MINUTE_NS - 1, False, id="too-far-ahead"),
    ],
)
def test_a_certificate_is_believed_for_five_minutes(now_ns: int, is_fresh: bool) -> None:
    raw = certify(STATE, ROOT)

    if is_fresh:
        verify(raw, now_ns=now_ns)
    else:
        with pytest.raises(StaleCertificateError, match="clock"):
            verify(raw, now_ns=now_ns)


@pytest.mark.parametrize(("days", "is_fresh"), [(29, True), (31, False)])
def test_a_delegation_is_believed_for_thirty_days(days: int, is_fresh: bool) -> None:
    delegation = delegate(ROOT, SUBNET.public_key_der, time_ns=NOW_NS - days * DAY_NS)
    raw = certify(STATE, SUBNET, delegation=delegation)

    if is_fresh:
        verify(raw)
    else:
        with pytest.raises(StaleCertificateError):
            verify(raw)


def test_an_absurd_time_is_stale_and_nothing_worse() -> None:
    raw = certify({b"time": encode_uleb128(1 << 5000)}, ROOT)

    with pytest.raises(StaleCertificateError):
        verify(raw)


def test_a_certificate_without_time_is_refused() -> None:
    with pytest.raises(HashTreeError, match="time"):
        verify(certify({b"canister": b""}, ROOT))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"tree": None}, id="no-tree"),
        pytest.param({"signature": None}, id="no-signature"),
        pytest.param({"signature": "text"}, id="signature-as-text"),
        pytest.param({"delegation": []}, id="delegation-as-array"),
        pytest.param({"delegation": {}}, id="empty-delegation"),
        pytest.param(
            {"delegation": {"subnet_id": bytes(30), "certificate": b""}}, id="subnet-too-long"
        ),
        pytest.param(
            {"delegation": {"subnet_id": b"", "certificate": b""}}, id="empty-certificate"
        ),
    ],
)
def test_a_malformed_certificate_is_refused(changes: dict[str, object]) -> None:
    fields = dict(decode_map(certify(STATE, ROOT), size_max=1 << 20)) | changes

    with pytest.raises(DecodeError):
        verify(encode_tagged(fields))


def test_a_certificate_over_the_limit_is_refused() -> None:
    with pytest.raises(DecodeError, match="at most"):
        verify(bytes(CERTIFICATE_SIZE_MAX + 1))


def test_values_tell_absent_from_not_shown() -> None:
    """A missing field and a field that was not asked for are different answers."""
    entries = [label_tree(name, build_tree(STATE[name])) for name in sorted(STATE)]
    certificate = verify(
        certify(join([label_tree(b"canister", hide(entries[0])), entries[1]]), ROOT)
    )

    assert certificate.lookup(b"time") == Found(encode_uleb128(NOW_NS))
    assert certificate.lookup(b"subnet") == Absent()
    assert certificate.value(b"subnet") is None
    assert certificate.lookup(b"canister", b"x") == Unknown()
    with pytest.raises(HashTreeError, match="does not show /canister/x"):
        certificate.value(b"canister", b"x")


def encode_array(value: object) -> bytes:
    return SELF_DESCRIBE_TAG + cbor2.dumps(value)


def test_ranges_read_as_pairs() -> None:
    assert parse_canister_ranges(ranges_of((LOW, HIGH), (LOW_2, HIGH_2))) == [
        (LOW, HIGH),
        (LOW_2, HIGH_2),
    ]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(encode_array({}), id="map"),
        pytest.param(encode_array(b"ab"), id="bytes"),
        pytest.param(encode_array([b"ab"]), id="bytes-for-a-pair"),
        pytest.param(encode_array([[LOW]]), id="half-a-pair"),
        pytest.param(encode_array([[LOW, 1]]), id="number-for-an-id"),
        pytest.param(encode_array([[LOW, HIGH]]) + b"\x00", id="trailing-byte"),
    ],
)
def test_malformed_ranges_are_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_canister_ranges(raw)


@given(st.recursive(st.binary(max_size=4) | st.integers(0, 9), st.lists, max_leaves=8))
def test_bad_ranges_raise_only_decode_error(value: Any) -> None:
    try:
        parse_canister_ranges(encode_array(value))
    except DecodeError:
        return
