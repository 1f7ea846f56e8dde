"""The error tree tells a caller's next step: try again, and was anything done."""

import pytest

from icfleet_agent import errors
from icfleet_agent.errors import (
    AbandonedError,
    AgentError,
    CertifiedRejectError,
    ClockSkewError,
    ClosedError,
    HttpStatusError,
    MalformedReplyError,
    NotExecutedError,
    NotSentError,
    QueueFullError,
    RejectedError,
    ReplyTooLargeError,
    SettingsError,
    TransportError,
    TransportTimeoutError,
    UncertifiedRejectError,
    UnknownOutcomeError,
    UnverifiedReplyError,
)

UNKNOWN = UnknownOutcomeError("no word", request_id=b"\x01" * 32, ingress_expiry_ns=7)

#       error                                        retryable  without effect
TABLE = [
    (SettingsError("x"), False, True),
    (ClosedError("x"), False, True),
    (TransportError("x"), True, False),
    (NotSentError("x"), True, True),
    (TransportTimeoutError("x"), True, False),
    (ReplyTooLargeError("x"), False, False),
    (HttpStatusError(400, "x"), False, True),
    (HttpStatusError(404, "x"), False, True),
    (HttpStatusError(413, "x"), False, True),
    (HttpStatusError(429, "x"), True, True),
    (HttpStatusError(500, "x"), False, False),
    (HttpStatusError(501, "x"), False, False),
    (HttpStatusError(502, "x"), True, False),
    (HttpStatusError(503, "x"), True, False),
    (HttpStatusError(504, "x"), True, False),
    (HttpStatusError(302, "x"), False, False),
    (ClockSkewError(400, "x"), False, True),
    (MalformedReplyError("x"), False, False),
    (UnverifiedReplyError("x"), False, False),
    (CertifiedRejectError(5, "x", "IC0503"), False, False),
    (CertifiedRejectError(2, "x", "IC0202"), True, False),
    (UncertifiedRejectError(3, "x", None), False, True),
    (UncertifiedRejectError(2, "x", "IC0207"), True, True),
    (NotExecutedError("x"), True, True),
    (UNKNOWN, False, False),
    (QueueFullError("x"), True, True),
    (AbandonedError("x"), False, False),
]


@pytest.mark.parametrize(
    ("error", "is_retryable", "is_without_effect"), TABLE, ids=[repr(row[0])[:40] for row in TABLE]
)
def test_each_error_tells_the_next_step(
    error: AgentError, is_retryable: bool, is_without_effect: bool
) -> None:
    assert error.is_retryable is is_retryable
    assert error.is_without_effect is is_without_effect


def test_every_error_is_in_the_table_and_in_the_drawing() -> None:
    """Nobody adds an error without deciding what it means."""
    leaves = {type(error).__name__ for error, _, _ in TABLE} | {"AgentError", "RejectedError"}

    assert set(errors.__all__) == leaves
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in errors.__all__)


def test_a_rejection_tells_code_and_words() -> None:
    error = CertifiedRejectError(5, "it trapped", "IC0503")

    assert str(error) == "rejected (5 CANISTER_ERROR, IC0503): it trapped"
    assert (error.reject_code, error.reject_message, error.error_code) == (
        5,
        "it trapped",
        "IC0503",
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UncertifiedRejectError(3, "no", None), "rejected (3 DESTINATION_INVALID): no"),
        (UncertifiedRejectError(99, "no", None), "rejected (99 unknown code): no"),
    ],
    ids=["no-error-code", "unknown-code"],
)
def test_a_rejection_is_told_even_if_incomplete(error: RejectedError, text: str) -> None:
    assert str(error) == text


def test_a_rejection_knows_whether_it_is_proven() -> None:
    assert CertifiedRejectError(5, "x", None).is_certified
    assert not UncertifiedRejectError(5, "x", None).is_certified


def test_an_unknown_outcome_names_its_call() -> None:
    assert UNKNOWN.request_id == b"\x01" * 32
    assert UNKNOWN.ingress_expiry_ns == 7
    assert str(UNKNOWN) == "the call's outcome is unknown: no word"
