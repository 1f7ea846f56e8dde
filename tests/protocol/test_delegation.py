"""Delegations: what is given is what is signed, and identities hold only chains that can work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.delegation import (
    DELEGATIONS_MAX,
    DelegatedIdentity,
    Delegation,
    DelegationChain,
    SignedDelegation,
    create_delegation,
    parse_signed_delegation,
)
from icfleet_protocol.errors import DecodeError, IdentityError
from icfleet_protocol.identity import AnonymousIdentity, Ed25519Identity
from icfleet_protocol.principal import Principal
from icfleet_protocol.signatures import verify_signature

ADA = Ed25519Identity.from_seed(b"a" * 32)
BOB = Ed25519Identity.from_seed(b"b" * 32)
EVE = Ed25519Identity.from_seed(b"e" * 32)
LEDGER = Principal.from_text("ryjl3-tyaaa-aaaaa-aaaba-cai")

DELEGATIONS = st.builds(
    Delegation,
    pubkey=st.binary(max_size=50),
    expiration_ns=st.integers(0, 2**64 - 1),
    targets=st.none() | st.lists(st.binary(max_size=29).map(Principal), max_size=3).map(tuple),
    permissions=st.none() | st.text(max_size=8),
)


@given(DELEGATIONS, st.binary(max_size=64))
def test_a_signed_delegation_comes_back(delegation: Delegation, signature: bytes) -> None:
    signed = SignedDelegation(delegation, signature)

    assert parse_signed_delegation(signed.as_map()) == signed


def test_the_signed_bytes_are_the_separator_and_the_hash() -> None:
    """Source: IC interface specification, "Authentication": 27 bytes and 32."""
    delegation = Delegation(pubkey=b"key", expiration_ns=1)

    assert delegation.signed_message.startswith(b"\x1aic-request-auth-delegation")
    assert len(delegation.signed_message) == 27 + 32


@given(DELEGATIONS, DELEGATIONS)
def test_different_delegations_sign_different_bytes(one: Delegation, other: Delegation) -> None:
    assert (one == other) == (one.signed_message == other.signed_message)


def test_a_delegation_is_signed_by_who_gives_it() -> None:
    signed = create_delegation(ADA, BOB.public_key_der, 7, [LEDGER], "queries")

    assert signed.delegation == Delegation(
        pubkey=BOB.public_key_der, expiration_ns=7, targets=(LEDGER,), permissions="queries"
    )
    verify_signature(ADA.public_key_der, signed.signature, signed.delegation.signed_message)


def test_a_session_passes_its_rights_on_by_its_own_key() -> None:
    first = create_delegation(ADA, BOB.public_key_der, 7)
    session = DelegatedIdentity(BOB, DelegationChain(ADA.public_key_der, (first,)))

    second = create_delegation(session, EVE.public_key_der, 5)

    verify_signature(BOB.public_key_der, second.signature, second.delegation.signed_message)
    longer = DelegationChain(ADA.public_key_der, (first, second))
    assert longer.session_key_der == EVE.public_key_der
    assert longer.expiration_ns == 5
    assert DelegatedIdentity(EVE, longer).sender == ADA.sender


def test_the_anonymous_identity_cannot_delegate() -> None:
    with pytest.raises(IdentityError, match="no key that could delegate"):
        create_delegation(AnonymousIdentity(), BOB.public_key_der, 7)


def test_no_delegation_is_made_with_more_targets_than_replicas_take() -> None:
    create_delegation(ADA, BOB.public_key_der, 7, [LEDGER] * 1000)
    with pytest.raises(IdentityError, match="1001 targets"):
        create_delegation(ADA, BOB.public_key_der, 7, [LEDGER] * 1001)


def test_an_identity_signs_only_with_the_key_at_the_chains_end() -> None:
    chain = DelegationChain(ADA.public_key_der, (create_delegation(ADA, BOB.public_key_der, 7),))

    with pytest.raises(IdentityError, match="ends at another key"):
        DelegatedIdentity(EVE, chain)


@pytest.mark.parametrize("length", [0, DELEGATIONS_MAX + 1])
def test_a_chain_has_a_length_that_replicas_take(length: int) -> None:
    signed = create_delegation(ADA, BOB.public_key_der, 7)

    with pytest.raises(IdentityError, match=f"this one {length}"):
        DelegationChain(ADA.public_key_der, (signed,) * length)


def test_a_delegated_identity_never_prints_keys_or_signatures() -> None:
    signed = create_delegation(ADA, BOB.public_key_der, 7)
    session = DelegatedIdentity(BOB, DelegationChain(ADA.public_key_der, (signed,)))

    shown = repr(session)

    assert str(BOB.sender) in shown
    for secret in (b"b" * 32, signed.signature):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"pubkey": None}, "pubkey", id="no-key"),
        pytest.param({"pubkey": "key"}, "pubkey", id="key-as-text"),
        pytest.param({"expiration": None}, "expiration", id="no-end"),
        pytest.param({"expiration": -1}, "no time", id="end-before-zero"),
        pytest.param({"expiration": 1.5}, "expiration", id="end-as-float"),
        pytest.param({"targets": b"x"}, "targets is not an array", id="targets-as-bytes"),
        pytest.param({"targets": ["x"]}, "not a byte string", id="target-as-text"),
        pytest.param({"targets": [bytes(30)]}, "principal of 30 bytes", id="target-of-30-bytes"),
        pytest.param({"targets": [b""] * 10_001}, "10001 elements", id="far-too-many-targets"),
        pytest.param({"permissions": 1}, "permissions", id="permissions-as-number"),
    ],
)
def test_a_malformed_delegation_is_refused(changes: dict[str, object], reason: str) -> None:
    fields = {"pubkey": b"key", "expiration": 1} | changes

    with pytest.raises(DecodeError, match=reason):
        parse_signed_delegation({"delegation": fields, "signature": b""})


def test_null_means_that_there_are_no_bounds() -> None:
    fields = {"pubkey": b"key", "expiration": 1, "targets": None, "permissions": None}

    signed = parse_signed_delegation({"delegation": fields, "signature": b""})

    assert signed.delegation == Delegation(pubkey=b"key", expiration_ns=1)
