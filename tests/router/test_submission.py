"""Making an operation ready."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.candid import parse_did
from icfleet_protocol.principal import Principal
from icfleet_router import ArgumentsError, OperationRejectedError, OperationStamp
from icfleet_router.submission import Submission, find_principals, make_submission
from icfleet_router.testing.simulated_fleet import SIMULATED_DID

INTERFACE = parse_did(SIMULATED_DID)
ADA, BOB = Principal(b"\x01\x01"), Principal(b"\x02\x01")
STAMP = OperationStamp(b"i" * 16, 1_750_000_000_000_000_000)


def _make(
    operation: Mapping[str, object], *, stamp: OperationStamp = STAMP, size_max: int = 1_000_000
) -> Submission:
    return make_submission(
        INTERFACE, operation, number=1, subject=ADA, stamp=stamp, size_max=size_max
    )


def test_both_ends_of_a_transfer_are_touched() -> None:
    """What names a principal touches that principal's order."""
    assert _make({"Give": {"target": BOB, "amount": 1}}).touched == {ADA, BOB}


def test_the_size_bounds_what_the_operation_adds() -> None:
    """The sum of sizes is never below the size of the batch."""
    one = _make({"Add": {"amount": 1}})
    batch = INTERFACE.encode_args("submit", ({"ops": [one.as_candid()] * 10},))

    assert len(batch) <= 10 * one.size


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ({"Steal": {"amount": 1}}, "Steal"),
        ({"Add": {"amount": -1}}, "amount"),
        ({"Add": {}}, "amount"),
        ({"Give": {"target": "bob", "amount": 1}}, "target"),
        ({}, "variant"),
    ],
    ids=["unknown", "negative", "missing", "not-a-principal", "empty"],
)
def test_what_does_not_fit_the_did_is_refused_before_it_can_spoil_a_batch(
    operation: Mapping[str, object], reason: str
) -> None:
    """The error carries the stamp and says where in the value."""
    with pytest.raises(OperationRejectedError, match=reason) as caught:
        _make(operation)

    assert (caught.value.rejection, caught.value.stamp) == ("Invalid", STAMP)


@pytest.mark.parametrize("size", [0, 15, 33])
def test_an_id_has_16_to_32_bytes(size: int) -> None:
    """Shorter ones can be guessed, longer ones are not stored."""
    with pytest.raises(OperationRejectedError, match=f"{size} bytes"):
        _make({"Add": {"amount": 1}}, stamp=OperationStamp(b"i" * size, 0))


def test_a_time_that_is_no_nat64_is_refused() -> None:
    """``created_at`` is checked like the rest."""
    with pytest.raises(OperationRejectedError, match="created_at"):
        _make({"Add": {"amount": 1}}, stamp=OperationStamp(b"i" * 16, -1))


def test_an_operation_larger_than_a_batch_is_refused() -> None:
    """It could never be sent."""
    with pytest.raises(OperationRejectedError, match="at most 10"):
        _make({"Add": {"amount": 1}}, size_max=10)


def test_a_canister_without_submit_takes_no_operations() -> None:
    """Such canisters are only read from."""
    interface = parse_did("service : { get : () -> (nat) query }")

    with pytest.raises(ArgumentsError, match="submit"):
        make_submission(interface, {}, number=1, subject=ADA, stamp=STAMP, size_max=1000)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param({"a": [{"b": (ADA, 5)}, BOB]}, {ADA, BOB}, id="nested"),
        pytest.param({"account": str(ADA)}, {ADA}, id="written-as-text"),
        pytest.param({"account": "bank", "note": "a-b"}, set[Principal](), id="other-texts"),
        pytest.param({"data": ADA.raw}, set[Principal](), id="bytes-are-data"),
        pytest.param(None, set[Principal](), id="nothing"),
    ],
)
def test_principals_are_found_wherever_they_are(value: object, found: set[Principal]) -> None:
    """The router does not know the game's types."""
    assert find_principals(value) == found


@given(
    st.recursive(
        st.builds(Principal, st.binary(max_size=29)) | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    )
)
def test_every_principal_in_a_value_is_found(value: object) -> None:
    """Whatever the shape: what prints as a principal is one."""
    found = find_principals(value)

    assert all(repr(principal) in repr(value) for principal in found)
    assert repr(value).count("Principal(") == 0 or found
