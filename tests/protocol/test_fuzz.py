"""Whatever is changed in a message on its way, our error comes out, or what was in it before."""

from typing import Any

from certified_state import certify, delegate
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import changed_bytes, changed_items, changed_messages

from icfleet_protocol.bls import BlsSecretKey
from icfleet_protocol.cbor import SELF_DESCRIBE_TAG, decode_map, encode_tagged
from icfleet_protocol.certificate import Freshness, parse_canister_ranges, verify_certificate
from icfleet_protocol.delegation import (
    DelegatedIdentity,
    DelegationChain,
    create_delegation,
)
from icfleet_protocol.ecdsa_identity import P256Identity, Secp256k1Identity
from icfleet_protocol.envelope import (
    CallContent,
    Content,
    ReadStateContent,
    authenticate,
    decode_envelope,
    sign_request,
)
from icfleet_protocol.errors import (
    AuthenticationError,
    DecodeError,
    HashTreeError,
    IdentityError,
    InvalidSignatureError,
    PrincipalError,
    ProtocolError,
)
from icfleet_protocol.hash_tree import Found, find_subtree, lookup, parse_hash_tree
from icfleet_protocol.identity import AnonymousIdentity, Ed25519Identity, Identity
from icfleet_protocol.leb128 import encode_uleb128
from icfleet_protocol.pem import identity_from_pem
from icfleet_protocol.principal import Principal
from icfleet_protocol.signatures import verify_signature

NOW_NS = 1_750_000_000_000_000_000
CANISTER = Principal.from_text("ryjl3-tyaaa-aaaaa-aaaba-cai")

ED25519 = Ed25519Identity.from_seed(b"e" * 32)
P256 = P256Identity.from_seed(b"p" * 32)
SECP256K1 = Secp256k1Identity.from_seed(b"s" * 32)
SESSION = DelegatedIdentity(
    ED25519,
    DelegationChain(
        P256.public_key_der,
        (create_delegation(P256, ED25519.public_key_der, NOW_NS, [CANISTER], "all"),),
    ),
)


def request_of(identity: Identity, *, is_read: bool = False) -> tuple[Content, bytes]:
    content: Content
    if is_read:
        paths = ((b"time",), (b"request_status", bytes(32)))
        content = ReadStateContent(sender=identity.sender, ingress_expiry_ns=NOW_NS, paths=paths)
    else:
        content = CallContent(
            request_type="call",
            sender=identity.sender,
            ingress_expiry_ns=NOW_NS,
            canister=CANISTER,
            method="transfer",
            arg=b"DIDL\x00\x00",
            nonce=bytes(16),
        )
    return content, sign_request(content, identity).body


REQUESTS = [
    request_of(ED25519),
    request_of(SECP256K1),
    request_of(SESSION),
    request_of(SESSION, is_read=True),
    request_of(AnonymousIdentity()),
]

ROOT = BlsSecretKey(b"root")
SUBNET = BlsSecretKey(b"subnet")
STATE: dict[bytes, Any] = {
    b"time": encode_uleb128(NOW_NS),
    b"canister": {CANISTER.raw: {b"certified_data": bytes(32), b"module_hash": b"\x01" * 32}},
    b"request_status": {bytes(32): {b"status": b"replied", b"reply": b"DIDL\x00\x00"}},
}
DELEGATION = delegate(ROOT, SUBNET.public_key_der, time_ns=NOW_NS)
CERTIFICATE = certify(STATE, SUBNET, delegation=DELEGATION)
TREE = decode_map(CERTIFICATE, size_max=1 << 20)["tree"]
RANGES = [[bytes(10), b"\xff" * 10]]


def verify(raw: bytes) -> bytes:
    certificate = verify_certificate(
        raw,
        root_key_der=ROOT.public_key_der,
        canister=CANISTER,
        now_ns=NOW_NS,
        freshness=Freshness(),
    )
    return certificate.tree.digest


@settings(max_examples=500)
@given(st.sampled_from(REQUESTS), st.data())
def test_a_changed_request_is_refused_or_says_the_same(
    request: tuple[Content, bytes], data: st.DataObject
) -> None:
    """Only a request that nobody signed may come to say something else."""
    content, body = request
    changed = data.draw(changed_messages(body))

    try:
        envelope = decode_envelope(changed)
        authenticate(envelope, now_ns=NOW_NS)
    except (DecodeError, AuthenticationError):
        return
    assert envelope.content == content or envelope.content.sender.is_anonymous


@settings(max_examples=300)
@given(changed_messages(CERTIFICATE))
def test_a_changed_certificate_is_refused_or_certifies_the_same(changed: bytes) -> None:
    try:
        digest = verify(changed)
    except ProtocolError:
        return
    assert digest == verify(CERTIFICATE)


@settings(max_examples=150)
@given(st.data())
def test_a_changed_delegation_certificate_is_refused_or_delegates_the_same(
    data: st.DataObject,
) -> None:
    inner = DELEGATION["certificate"]
    assert isinstance(inner, bytes)
    changed = data.draw(changed_messages(inner))

    try:
        digest = verify(certify(STATE, SUBNET, delegation={**DELEGATION, "certificate": changed}))
    except ProtocolError:
        return
    assert digest == verify(CERTIFICATE)


@settings(max_examples=400)
@given(changed_items(encode_tagged({"tree": TREE})), st.lists(st.binary(max_size=4), max_size=3))
def test_a_changed_tree_is_refused_or_can_be_searched(message: bytes, path: list[bytes]) -> None:
    """A tree of the old digest shows nothing else than the old tree."""
    try:
        tree = parse_hash_tree(decode_map(message, size_max=1 << 20).get("tree"))
    except (DecodeError, HashTreeError):
        return
    find_subtree(tree, path)
    for known in ((b"time",), (b"canister", CANISTER.raw, b"certified_data")):
        found = lookup(tree, known)
        if tree.digest == parse_hash_tree(TREE).digest and isinstance(found, Found):
            assert found == lookup(parse_hash_tree(TREE), known)


@settings(max_examples=200)
@given(changed_items(encode_tagged({"r": RANGES})), changed_bytes(encode_tagged(RANGES)))
def test_changed_canister_ranges_are_refused_or_pairs(message: bytes, changed: bytes) -> None:
    for raw in (changed, message.removeprefix(SELF_DESCRIBE_TAG).removeprefix(b"\xa1\x61r")):
        try:
            pairs = parse_canister_ranges(raw)
        except DecodeError:
            continue
        assert all(isinstance(bound, bytes) for pair in pairs for bound in pair)


@settings(max_examples=300)
@given(st.binary(max_size=29), st.data())
def test_a_changed_principals_text_is_refused_or_another_principal(
    raw: bytes, data: st.DataObject
) -> None:
    text = str(Principal(raw))
    index = data.draw(st.integers(0, len(text)))
    replacement = data.draw(st.text(max_size=2))
    changed = text[:index] + replacement + text[index + data.draw(st.integers(0, 2)) :]

    try:
        principal = Principal.from_text(changed)
    except PrincipalError:
        return
    assert str(principal) == changed


@settings(max_examples=300)
@given(st.sampled_from([ED25519, P256, SECP256K1]), st.data())
def test_no_changed_key_or_signature_verifies(
    signer: Ed25519Identity | P256Identity | Secp256k1Identity, data: st.DataObject
) -> None:
    key, signature = signer.public_key_der, signer.sign(b"message")
    changed_key = data.draw(st.just(key) | changed_bytes(key))
    changed_signature = data.draw(st.just(signature) | changed_bytes(signature))

    try:
        verify_signature(changed_key, changed_signature, b"message")
    except InvalidSignatureError:
        return
    assert (changed_key, changed_signature) == (key, signature)


@settings(max_examples=150)
@given(st.sampled_from([ED25519, P256, SECP256K1]), st.data())
def test_a_changed_pem_is_refused_or_a_key(
    identity: Ed25519Identity | P256Identity | Secp256k1Identity, data: st.DataObject
) -> None:
    changed = data.draw(changed_bytes(identity.to_pem().encode())).decode("latin-1")

    try:
        loaded = identity_from_pem(changed)
    except IdentityError:
        return
    verify_signature(loaded.public_key_der, loaded.sign(b"message"), b"message")
