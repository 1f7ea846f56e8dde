"""Principals as text, the short way."""

from hypothesis import given
from hypothesis import strategies as st
from kybra import Principal

from icfleet_canister.principal_text import KNOWN_MAX, principal_text


@given(st.binary(max_size=29))
def test_it_is_what_kybra_says(data: bytes) -> None:
    """At first, and when it is remembered."""
    expected = str(Principal(data))

    assert principal_text(Principal(data)) == expected
    assert principal_text(Principal(data)) == expected


def test_it_stays_right_when_more_come_than_are_remembered() -> None:
    """The heap is bounded; nothing else changes."""
    principals = [Principal(number.to_bytes(8, "big")) for number in range(KNOWN_MAX + 2)]

    texts = [principal_text(principal) for principal in principals]

    assert principal_text(principals[0]) == texts[0] == str(principals[0])
    assert texts[-1] == str(principals[-1])


def test_whatever_has_a_text_is_a_principal() -> None:
    """As for Kybra: what stands for a principal needs no bytes."""

    class Standing:
        def to_str(self) -> str:
            return "aaaaa-aa"

    assert principal_text(Standing()) == principal_text(Principal()) == "aaaaa-aa"
