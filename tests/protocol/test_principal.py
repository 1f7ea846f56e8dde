"""Principals: known ids, round trips, and refusal of every other spelling."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.errors import PrincipalError
from icfleet_protocol.principal import (
    ANONYMOUS,
    MANAGEMENT_CANISTER,
    PRINCIPAL_SIZE_MAX,
    Principal,
)

VECTORS = [
    # Source: IC interface specification, "Special forms of Principals", and mainnet's own ids.
    pytest.param("aaaaa-aa", "", id="management-canister"),
    pytest.param("2vxsx-fae", "04", id="anonymous"),
    pytest.param("ryjl3-tyaaa-aaaaa-aaaba-cai", "00000000000000020101", id="icp-ledger"),
    pytest.param("rwlgt-iiaaa-aaaaa-aaaaa-cai", "00000000000000000101", id="first-canister"),
    pytest.param("um5iw-rqaaa-aaaaq-qaaba-cai", "00000000021000020101", id="cycles-ledger"),
]


@pytest.mark.parametrize(("text", "raw"), VECTORS)
def test_known_principals_read_and_print(text: str, raw: str) -> None:
    principal = Principal.from_text(text)

    assert principal.raw.hex() == raw
    assert str(principal) == text


def test_constants_are_the_special_principals() -> None:
    assert str(ANONYMOUS) == "2vxsx-fae"
    assert ANONYMOUS.is_anonymous
    assert str(MANAGEMENT_CANISTER) == "aaaaa-aa"
    assert not MANAGEMENT_CANISTER.is_anonymous


@given(st.binary(max_size=PRINCIPAL_SIZE_MAX))
def test_every_principal_comes_back(raw: bytes) -> None:
    principal = Principal(raw)

    assert Principal.from_text(str(principal)) == principal


@given(st.text(max_size=70))
def test_bad_text_raises_only_principal_error(text: str) -> None:
    """Whatever the text, parsing answers or raises the documented error."""
    try:
        principal = Principal.from_text(text)
    except PrincipalError:
        return
    assert str(principal) == text


@given(
    st.binary(max_size=PRINCIPAL_SIZE_MAX),
    st.integers(min_value=0),
    st.sampled_from("abcdefghijklmnopqrstuvwxyz234567-"),
)
def test_one_wrong_character_is_refused(raw: bytes, position: int, character: str) -> None:
    """A typing error never names somebody else."""
    text = str(Principal(raw))
    index = position % len(text)
    if text[index] == character:
        return

    with pytest.raises(PrincipalError):
        Principal.from_text(text[:index] + character + text[index + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("RYJL3-TYAAA-AAAAA-AAABA-CAI", id="upper-case"),
        pytest.param("ryjl3tyaaaaaaaaaaabacai", id="without-dashes"),
        pytest.param("ryjl3-tyaaa-aaaaa-aaaba-cai-", id="dash-at-the-end"),
        pytest.param("ryjl3-tyaaa-aaaaa-aaaba-cai=", id="padding"),
        pytest.param(" ryjl3-tyaaa-aaaaa-aaaba-cai", id="space"),
        pytest.param("", id="empty"),
        pytest.param("aaaaa", id="checksum-cut-off"),
        pytest.param("a" * 1_000_000, id="huge"),
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    """There is one text for each principal."""
    with pytest.raises(PrincipalError):
        Principal.from_text(text)


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(PrincipalError, match="30 bytes"):
        Principal(bytes(30))


def test_self_authenticating_is_the_hash_of_the_key() -> None:
    principal = Principal.self_authenticating(b"key")

    assert principal.raw == hashlib.sha224(b"key").digest() + b"\x02"


@given(st.lists(st.binary(max_size=PRINCIPAL_SIZE_MAX)))
def test_order_is_the_order_of_the_bytes(raws: list[bytes]) -> None:
    """Canister ranges are compared so."""
    assert [p.raw for p in sorted(map(Principal, raws))] == sorted(raws)
