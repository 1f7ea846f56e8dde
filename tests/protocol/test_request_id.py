"""Request ids: the specification's vector, and what must and must not change an id."""

import hashlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.request_id import HashableValue, hash_of_map, hash_of_value, request_id

# Source: IC interface specification, "Request ids".
SPEC_CONTENT: dict[str, HashableValue] = {
    "request_type": "call",
    "sender": b"\x04",
    "ingress_expiry": 1685570400000000000,
    "canister_id": bytes.fromhex("00000000000004D2"),
    "method_name": "hello",
    "arg": b"DIDL\x00\xfd*",
}
SPEC_ID = "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101"

SCALARS = st.binary(max_size=8) | st.text(max_size=8) | st.integers(0, 2**64)
VALUES: st.SearchStrategy[HashableValue] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
MAPS = st.dictionaries(st.text(max_size=6), VALUES, max_size=5)


def test_the_specifications_request_has_its_id() -> None:
    assert request_id(SPEC_CONTENT).hex() == SPEC_ID


@given(st.permutations(list(SPEC_CONTENT)))
def test_order_of_fields_does_not_count(names: list[str]) -> None:
    assert request_id({name: SPEC_CONTENT[name] for name in names}).hex() == SPEC_ID


@pytest.mark.parametrize("name", sorted(SPEC_CONTENT))
def test_each_field_counts(name: str) -> None:
    """An id names one content and no other."""
    without = {key: value for key, value in SPEC_CONTENT.items() if key != name}
    renamed = without | {f"{name}s": SPEC_CONTENT[name]}

    assert len({request_id(content) for content in (SPEC_CONTENT, without, renamed)}) == 3


@given(MAPS, MAPS)
def test_different_maps_have_different_hashes(
    first: dict[str, HashableValue], second: dict[str, HashableValue]
) -> None:
    """Up to the specification's own equalities: a text is hashed as its bytes, a number as LEB."""
    if _as_hashed(first) != _as_hashed(second):
        assert hash_of_map(first) != hash_of_map(second)
    else:
        assert hash_of_map(first) == hash_of_map(second)


@pytest.mark.parametrize(
    ("value", "hashed"),
    [
        pytest.param(b"ab", b"ab", id="bytes"),
        pytest.param("ab", b"ab", id="text"),
        pytest.param(624485, b"\xe5\x8e\x26", id="number-as-leb128"),
        pytest.param(["a"], hashlib.sha256(b"a").digest(), id="array-of-hashes"),
    ],
)
def test_each_kind_of_value_hashes_as_specified(value: HashableValue, hashed: bytes) -> None:
    assert hash_of_value(value) == hashlib.sha256(hashed).digest()


def test_a_map_inside_is_not_hashed_twice() -> None:
    """Source: "map: hash_of_map recursively"."""
    inner: HashableValue = {"arg": b"x"}

    assert hash_of_value(inner) == hash_of_map({"arg": b"x"})


def _as_hashed(value: HashableValue) -> object:
    """What the hash sees of a value."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, int):
        groups = [(value >> shift) & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
        return bytes([group | 0x80 for group in groups[:-1]] + [groups[-1]])
    # Nothing hashes to the same whatever it is nothing of.
    if isinstance(value, bytes) or not value:
        return bytes(value) if isinstance(value, bytes) else b""
    if isinstance(value, Mapping):
        return {key.encode(): _as_hashed(inner) for key, inner in value.items()}
    return [_as_hashed(inner) for inner in value]
