"""What each failure means."""

import pytest

from icfleet_agent import (
    AgentError,
    CertifiedRejectError,
    ClockSkewError,
    HttpStatusError,
    MalformedReplyError,
    NotExecutedError,
    NotSentError,
    ReplyTooLargeError,
    TransportError,
    TransportTimeoutError,
    UncertifiedRejectError,
    UnknownOutcomeError,
    UnverifiedReplyError,
)
from icfleet_protocol.errors import CandidError
from icfleet_router.retry_policy import BatchFate, is_canisters_fault, judge_batch, judge_read


def _unknown(cause: AgentError | None = None) -> UnknownOutcomeError:
    error = UnknownOutcomeError("no word", request_id=b"", ingress_expiry_ns=0)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "is_retryable", "is_charged"),
    [
        pytest.param(NotSentError("refused"), True, False, id="host-refuses"),
        pytest.param(TransportError("reset"), True, False, id="connection-broke"),
        pytest.param(TransportTimeoutError("slow"), True, True, id="timeout"),
        pytest.param(ReplyTooLargeError("6 MB"), False, False, id="too-large-everywhere"),
        pytest.param(HttpStatusError(429, ""), True, False, id="429-is-the-hosts"),
        pytest.param(HttpStatusError(503, ""), True, True, id="503-is-the-subnets"),
        pytest.param(HttpStatusError(400, ""), False, False, id="400-is-ours"),
        pytest.param(ClockSkewError(400, "expiry"), False, False, id="clock-is-ours"),
        pytest.param(MalformedReplyError("cbor"), True, True, id="malformed"),
        pytest.param(UnverifiedReplyError("signature"), True, True, id="unverified"),
        pytest.param(CandidError("nat"), True, True, id="candid-of-another-version"),
        pytest.param(UncertifiedRejectError(2, "", "IC0207"), True, True, id="out-of-cycles"),
        pytest.param(UncertifiedRejectError(1, "", None), True, True, id="system-fatal"),
        pytest.param(UncertifiedRejectError(3, "", "IC0301"), True, True, id="not-there"),
        pytest.param(UncertifiedRejectError(5, "", "IC0508"), True, True, id="stopped"),
        pytest.param(UncertifiedRejectError(5, "", "IC0537"), True, True, id="no-code"),
        pytest.param(UncertifiedRejectError(5, "", "IC0503"), False, False, id="trap-by-argument"),
        pytest.param(UncertifiedRejectError(5, "", "IC0536"), False, False, id="no-such-method"),
        pytest.param(UncertifiedRejectError(4, "", "IC0406"), False, False, id="canisters-own-no"),
        pytest.param(
            UncertifiedRejectError(4, "Seeding: the rows", "IC0406"), True, True, id="seeding"
        ),
        pytest.param(
            UncertifiedRejectError(4, "Rebuilding: the heap", "IC0406"), True, True, id="rebuilding"
        ),
        pytest.param(
            UncertifiedRejectError(4, "no Seeding: here", "IC0406"), False, False, id="own-words"
        ),
        pytest.param(
            UncertifiedRejectError(5, "Seeding: trap", "IC0503"), False, False, id="trap-so-named"
        ),
    ],
)
def test_reads_are_judged_by_type_and_code(
    error: AgentError | CandidError, is_retryable: bool, is_charged: bool
) -> None:
    """Elsewhere if another may answer; charged if the canister or its subnet failed."""
    verdict = judge_read(error)

    assert (verdict.is_retryable, verdict.is_charged) == (is_retryable, is_charged)


def test_the_servers_pause_is_passed_on() -> None:
    """429 and 503 may say when to come back."""
    assert judge_read(HttpStatusError(429, "", retry_after_s=7.0)).retry_after_s == 7.0


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        pytest.param(NotSentError("refused"), BatchFate.NOT_APPLIED_RETRY, id="host-refuses"),
        pytest.param(HttpStatusError(429, ""), BatchFate.NOT_APPLIED_RETRY, id="429"),
        pytest.param(NotExecutedError("expired"), BatchFate.NOT_APPLIED_RETRY, id="expired"),
        pytest.param(HttpStatusError(503, ""), BatchFate.UNKNOWN, id="503-may-have-passed-it-on"),
        pytest.param(HttpStatusError(400, ""), BatchFate.NOT_APPLIED_FINAL, id="400"),
        pytest.param(_unknown(), BatchFate.UNKNOWN, id="unknown-outcome"),
        pytest.param(TransportError("reset"), BatchFate.UNKNOWN, id="connection-broke"),
        pytest.param(UnverifiedReplyError("forged"), BatchFate.UNKNOWN, id="unverified"),
        pytest.param(
            CertifiedRejectError(2, "", "IC0207"), BatchFate.NOT_APPLIED_RETRY, id="out-of-cycles"
        ),
        pytest.param(
            UncertifiedRejectError(5, "", "IC0508"), BatchFate.NOT_APPLIED_RETRY, id="stopped"
        ),
        pytest.param(
            CertifiedRejectError(5, "", "IC0503"), BatchFate.NOT_APPLIED_SPLIT, id="trapped"
        ),
        pytest.param(
            CertifiedRejectError(5, "", "IC0522"), BatchFate.NOT_APPLIED_SPLIT, id="instructions"
        ),
        pytest.param(
            UncertifiedRejectError(4, "", "IC0406"), BatchFate.FORBIDDEN, id="inspect-message"
        ),
        pytest.param(
            CertifiedRejectError(5, "", "IC0536"), BatchFate.NOT_APPLIED_FINAL, id="no-method"
        ),
        pytest.param(
            CertifiedRejectError(3, "", "IC0301"), BatchFate.NOT_APPLIED_FINAL, id="no-canister"
        ),
        pytest.param(
            CertifiedRejectError(5, "", "IC0506"), BatchFate.UNKNOWN, id="did-not-reply-keeps-state"
        ),
        pytest.param(CertifiedRejectError(6, "", None), BatchFate.UNKNOWN, id="system-unknown"),
    ],
)
def test_batches_are_judged_by_what_may_have_been_done(error: AgentError, fate: BatchFate) -> None:
    """Unknown unless it is certain that nothing was applied."""
    assert judge_batch(error) is fate


@pytest.mark.parametrize(
    ("cause", "is_charged"),
    [(TransportTimeoutError("slow"), True), (TransportError("reset"), False), (None, False)],
    ids=["timeout", "reset", "no-cause"],
)
def test_an_unknown_outcome_is_charged_as_its_cause(
    cause: AgentError | None, is_charged: bool
) -> None:
    """A connection that broke was the host's."""
    assert is_canisters_fault(_unknown(cause)) is is_charged
