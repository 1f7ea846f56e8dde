"""Main's answer to a batch."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.principal import Principal
from icfleet_router import Position
from icfleet_router.submit_reply import (
    Applied,
    Deferred,
    Done,
    Forbidden,
    NotMain,
    OperationResult,
    Postponed,
    Refused,
    Rejected,
    TooLarge,
    parse_submit_reply,
)

WHERE = {"epoch": 1, "seq": 7}
AT = Position(1, 7)


def _done(*results: object) -> tuple[object, ...]:
    return ({"Done": {"as_of": WHERE, "results": list(results)}},)


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ({"Applied": WHERE}, Applied(AT)),
        (
            {"Refused": {"position": WHERE, "code": "Poor", "reason": "5 short"}},
            Refused(AT, "Poor", "5 short"),
        ),
        ({"Forbidden": "not yours"}, Forbidden("not yours")),
        ({"Invalid": {"code": "Zero", "reason": "0"}}, Rejected("Invalid", "0", "Zero")),
        ({"RateLimited": 1_500_000_000}, Postponed(1.5, is_rate_limit=True)),
        ({"Busy": 2_000_000_000}, Postponed(2.0, is_rate_limit=False)),
        ({"Deferred": None}, Deferred()),
    ],
    ids=["applied", "refused", "forbidden", "invalid", "rate-limited", "busy", "deferred"],
)
def test_each_result_is_read(value: object, result: OperationResult) -> None:
    """One value for one case of the variant."""
    assert parse_submit_reply(_done(value), operations_count=1) == Done(AT, (result,))


@pytest.mark.parametrize("rejection", ["Expired", "InFuture", "IdReused"])
def test_rejections_without_words_get_some(rejection: str) -> None:
    """People read the error."""
    reply = parse_submit_reply(_done({rejection: None}), operations_count=1)

    assert isinstance(reply, Done)
    (result,) = reply.results
    assert isinstance(result, Rejected)
    assert (result.rejection, len(result.reason) > 10) == (rejection, True)


def test_the_batch_as_a_whole_can_be_turned_away() -> None:
    """Not main, with and without a name, or too large."""
    main = Principal(b"\x01")

    assert parse_submit_reply(({"NotMain": main},), operations_count=1) == NotMain(main)
    assert parse_submit_reply(({"NotMain": None},), operations_count=1) == NotMain(None)
    assert parse_submit_reply(({"TooLarge": "600"},), operations_count=1) == TooLarge("600")


@pytest.mark.parametrize(
    "results",
    [
        (),
        (5,),
        ({"Done": {"as_of": WHERE}},),
        ({"Done": {"as_of": None, "results": []}},),
        ({"NotMain": "somebody"},),
        _done(),
        _done({"Applied": WHERE}, {"Applied": WHERE}),
        _done({"Applied": None}),
        _done({"Refused": {"position": WHERE, "code": 5, "reason": ""}}),
        _done({"Refused": {"position": None, "code": "", "reason": ""}}),
        _done({"RateLimited": "soon"}),
        _done({"Exploded": None}),
        _done(None),
    ],
)
def test_what_is_not_the_interface_is_none(results: Any) -> None:
    """Also one result too few or too many: then nobody knows whose is whose."""
    assert parse_submit_reply(results, operations_count=1) is None


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Done", "as_of", "results", "Applied", "epoch", "seq", "NotMain"]),
            inner,
            max_size=3,
        )
    ),
)


@given(st.lists(VALUES, max_size=2))
def test_any_value_is_read_or_none(results: list[Any]) -> None:
    """A foreign canister's reply never raises."""
    parse_submit_reply(results, operations_count=1)
