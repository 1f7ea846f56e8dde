"""Positions in the log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_router import Position
from icfleet_router.position import START

POSITIONS = st.builds(Position, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))


def test_a_higher_epoch_is_later_whatever_the_seq() -> None:
    """After a promotion everything of the new main is later."""
    assert Position(2, 0) > Position(1, 10**9)


@given(POSITIONS)
def test_candid_and_back(position: Position) -> None:
    """A position survives its record."""
    assert Position.from_candid(position.as_candid()) == position


@pytest.mark.parametrize(
    "value",
    [None, 5, "1.2", {}, {"epoch": 1}, {"epoch": 1, "seq": "2"}, {"epoch": None, "seq": 1}, [1, 2]],
)
def test_what_is_no_position_is_none(value: object) -> None:
    """Any canister's reply may hold an ``as_of`` that means something else."""
    assert Position.from_candid(value) is None


@given(POSITIONS)
def test_nothing_is_before_the_start(position: Position) -> None:
    """Whoever has seen nothing is satisfied with any answer."""
    assert position >= START


def test_prints_short() -> None:
    """Positions are in messages for people."""
    assert str(Position(2, 17)) == "2.17"
