"""What a failed call means: may it be tried again, and where; whose fault was it; what did it do.

Judged by the agent's error type and the IC's error code, never by text or HTTP method; but for the
two words with which a canister of a fleet begins its rejection of reads that it cannot answer yet.

Sources: IC interface specification, "Reject codes"; the error codes of dfinity/ic's
``rs/types/error_types``; docs/canister-api.md, "Reads".
"""

from dataclasses import dataclass
from enum import Enum

from icfleet_agent import (
    AgentError,
    CertifiedRejectError,
    HttpStatusError,
    MalformedReplyError,
    RejectedError,
    ReplyTooLargeError,
    TransportError,
    TransportTimeoutError,
    UnknownOutcomeError,
    UnverifiedReplyError,
)
from icfleet_protocol.errors import CandidError

__all__ = ["BatchFate", "ReadVerdict", "is_canisters_fault", "judge_batch", "judge_read"]

_REJECT_SYS_FATAL, _REJECT_SYS_TRANSIENT, _REJECT_DESTINATION_INVALID = 1, 2, 3
_REJECT_CANISTER_REJECT, _REJECT_SYS_UNKNOWN = 4, 6

_UNAVAILABLE_CODES = frozenset({"IC0508", "IC0509", "IC0537"})
"""Stopped, stopping, no code installed: as during an upgrade; another canister can answer."""

_BROKEN_CODES = frozenset({"IC0507", "IC0521", "IC0539"})
"""Out of memory, engine fault, memory limit: this canister's state, so another may do better."""

_NOT_WHOLE_PREFIXES = ("Seeding: ", "Rebuilding: ")
"""The canister takes over another one's rows, or restores its heap; others can answer meanwhile."""

_ROLLED_BACK_CODES = frozenset({"IC0502", "IC0503", "IC0504", "IC0522", "IC0524", *_BROKEN_CODES})
"""The message trapped or ran out of instructions: all it had done is undone."""

_NEVER_RAN_CODES = frozenset({"IC0536"})
"""No such method."""

_STATUS_SERVER_ERROR_FIRST = 500


@dataclass(frozen=True, slots=True)
class ReadVerdict:
    """What to do after a read failed.

    Attributes:
        is_retryable: Whether another canister, or main, may answer.
        is_charged: Whether the failure counts against the canister's health.
        retry_after_s: How long the server wants to be left alone, in seconds.
    """

    is_retryable: bool
    is_charged: bool
    retry_after_s: float = 0.0


class BatchFate(Enum):
    """What became of a batch that got no result for each operation."""

    UNKNOWN = "it may have been applied, or may still be"
    NOT_APPLIED_RETRY = "nothing was applied, and main may take it soon"
    NOT_APPLIED_SPLIT = "nothing was applied, and perhaps one operation spoils the others"
    FORBIDDEN = "the canister refused the message as a whole, because of who signed it"
    NOT_APPLIED_FINAL = "nothing was applied, and the same batch would end the same way"


def judge_read(error: AgentError | CandidError) -> ReadVerdict:
    """Judge a failed query."""
    is_charged = is_canisters_fault(error)
    match error:
        case RejectedError() | ReplyTooLargeError():
            # A rejection that is not the canister's fault is its answer: others would repeat it.
            return ReadVerdict(is_retryable=is_charged, is_charged=is_charged)
        case HttpStatusError(retry_after_s=retry_after_s, is_retryable=is_retryable):
            return ReadVerdict(is_retryable, is_charged, retry_after_s or 0.0)
        case TransportError() | MalformedReplyError() | UnverifiedReplyError() | CandidError():
            return ReadVerdict(is_retryable=True, is_charged=is_charged)
        case _:
            return ReadVerdict(error.is_retryable, is_charged)


def is_canisters_fault(error: AgentError | CandidError) -> bool:
    """Tell whether a failure was the canister's or its subnet's.

    A refused connection or a 429 is the host's word: all canisters are behind the same one. A
    time-out may be either; it is charged, and when the host was to blame all are down alike, which
    routes as if none were.
    """
    match error:
        case RejectedError(reject_code=reject_code, error_code=error_code):
            return (
                reject_code in {_REJECT_SYS_FATAL, _REJECT_SYS_TRANSIENT, _REJECT_SYS_UNKNOWN}
                or reject_code == _REJECT_DESTINATION_INVALID
                or error_code in _UNAVAILABLE_CODES | _BROKEN_CODES
                or _is_not_whole(error)
            )
        case UnknownOutcomeError(__cause__=AgentError() as cause):
            return is_canisters_fault(cause)
        case HttpStatusError(status=status):
            return status >= _STATUS_SERVER_ERROR_FIRST
        case _:
            answers = (TransportTimeoutError, MalformedReplyError, UnverifiedReplyError)
            return isinstance(error, (*answers, CandidError))


def _is_not_whole(error: RejectedError) -> bool:
    """Tell whether a canister's own "no" means "not yet, and not from me"."""
    is_own = error.reject_code == _REJECT_CANISTER_REJECT
    return is_own and error.reject_message.startswith(_NOT_WHOLE_PREFIXES)


def judge_batch(error: AgentError) -> BatchFate:
    """Judge a failed ``submit``."""
    match error:
        case RejectedError():
            return _judge_rejected_batch(error)
        case _ if not error.is_without_effect:
            return BatchFate.UNKNOWN
        case _ if error.is_retryable:
            return BatchFate.NOT_APPLIED_RETRY
        case _:
            return BatchFate.NOT_APPLIED_FINAL


def _judge_rejected_batch(error: RejectedError) -> BatchFate:
    if error.reject_code == _REJECT_SYS_TRANSIENT or error.error_code in _UNAVAILABLE_CODES:
        return BatchFate.NOT_APPLIED_RETRY
    if error.error_code in _ROLLED_BACK_CODES:
        return BatchFate.NOT_APPLIED_SPLIT
    if error.reject_code == _REJECT_CANISTER_REJECT:
        # The canister's own "no", in inspect_message or later. By the interface's contract it
        # says so only of a batch of which it applied nothing.
        return BatchFate.FORBIDDEN
    if not isinstance(error, CertifiedRejectError) or error.error_code in _NEVER_RAN_CODES:
        return BatchFate.NOT_APPLIED_FINAL
    if error.reject_code <= _REJECT_DESTINATION_INVALID:
        return BatchFate.NOT_APPLIED_FINAL
    # Such as IC0506, "did not reply": what the message had done by then stays done.
    return BatchFate.UNKNOWN
