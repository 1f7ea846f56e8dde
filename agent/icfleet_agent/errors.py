"""Every error the agent raises on purpose.

    AgentError
    ├── SettingsError             a URL, key, setting or argument that cannot be used
    ├── ClosedError               the agent was closed
    ├── TransportError            no answer: connection broken, reply cut short
    │   ├── NotSentError              ... no connection, or no time for one: nothing was sent
    │   ├── TransportTimeoutError     ... not in time
    │   └── ReplyTooLargeError        ... more bytes than accepted
    ├── HttpStatusError           an answer in plain text: envelope, routing, size or load
    │   └── ClockSkewError            ... because this computer's clock is off
    ├── MalformedReplyError       bytes that are not what the specification says
    ├── UnverifiedReplyError      well-formed, but not proven to come from the network
    ├── RejectedError             the network answered, and the answer is no
    │   ├── CertifiedRejectError      ... after consensus, with a certificate
    │   └── UncertifiedRejectError    ... one node's word: queries, and refusals before consensus
    ├── NotExecutedError          the call expired; certified never to have run
    ├── UnknownOutcomeError       the call may have run, or may still run
    ├── QueueFullError            too much work is waiting already
    └── AbandonedError            work on its way was given up because its owner was closed

Arguments that are no principals or do not fit their Candid type raise the protocol's own errors.
"""

from typing import ClassVar

__all__ = [
    "AbandonedError",
    "AgentError",
    "CertifiedRejectError",
    "ClockSkewError",
    "ClosedError",
    "HttpStatusError",
    "MalformedReplyError",
    "NotExecutedError",
    "NotSentError",
    "QueueFullError",
    "RejectedError",
    "ReplyTooLargeError",
    "SettingsError",
    "TransportError",
    "TransportTimeoutError",
    "UncertifiedRejectError",
    "UnknownOutcomeError",
    "UnverifiedReplyError",
]

_STATUS_TOO_MANY_REQUESTS = 429
_STATUSES_RETRYABLE = frozenset({_STATUS_TOO_MANY_REQUESTS, 502, 503, 504})
_REJECT_CODE_TRANSIENT = 2

REJECT_CODE_NAMES = {
    1: "SYS_FATAL",
    2: "SYS_TRANSIENT",
    3: "DESTINATION_INVALID",
    4: "CANISTER_REJECT",
    5: "CANISTER_ERROR",
    6: "SYS_UNKNOWN",
}
"""Source: IC interface specification, "Reject codes"."""


class AgentError(Exception):
    """Root of the package's errors."""

    @property
    def is_retryable(self) -> bool:
        """Whether the same request may well succeed a little later."""
        return False

    @property
    def is_without_effect(self) -> bool:
        """Whether the request that raised this certainly changed nothing."""
        return False


class SettingsError(AgentError, ValueError):
    """A URL, key, setting or argument that cannot be used."""

    @property
    def is_without_effect(self) -> bool:
        """Nothing was sent."""
        return True


class ClosedError(AgentError):
    """The agent, or the part of it that was asked, has been closed."""

    @property
    def is_without_effect(self) -> bool:
        """Nothing was sent."""
        return True


class TransportError(AgentError):
    """No answer. What was sent may have arrived."""

    @property
    def is_retryable(self) -> bool:
        """Connections break and come back."""
        return True


class NotSentError(TransportError):
    """No connection, or no time left for one: nothing was sent."""

    @property
    def is_without_effect(self) -> bool:
        """Nothing was sent."""
        return True


class TransportTimeoutError(TransportError):
    """No complete answer in time."""


class ReplyTooLargeError(TransportError):
    """The answer is longer than accepted; reading stopped there."""

    @property
    def is_retryable(self) -> bool:
        """It would be as long the next time."""
        return False


class HttpStatusError(AgentError):
    """An HTTP status other than 200 and 202; replicas explain them in plain text.

    Attributes:
        status: The HTTP status.
        text: What the server said, shortened and made printable.
        retry_after_s: When the server asks to come back, in seconds from now.
    """

    def __init__(self, status: int, text: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"HTTP status {status}: {text or 'no explanation'}")
        self.status = status
        self.text = text
        self.retry_after_s = retry_after_s

    @property
    def is_retryable(self) -> bool:
        """Overload and broken gateways pass; anything else would be refused again."""
        return self.status in _STATUSES_RETRYABLE

    @property
    def is_without_effect(self) -> bool:
        """Refused at the door, where a 5xx may come from a gateway that had passed it on."""
        return 400 <= self.status < 500  # noqa: PLR2004 - the client errors of RFC 9110


class ClockSkewError(HttpStatusError):
    """The replica finds the request's expiry too early or too late."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, f"this computer's clock seems to be off. The replica says: {text}")


class MalformedReplyError(AgentError):
    """The peer sent bytes that are not what the specification says."""


class UnverifiedReplyError(AgentError):
    """The answer is not proven to come from the network; its content was not looked at."""


class RejectedError(AgentError):
    """The network said no.

    Attributes:
        is_certified: Whether the rejection is proven, or one node's word.
        reject_code: 1 to 6, see ``REJECT_CODE_NAMES``.
        reject_message: The explanation.
        error_code: The finer code, such as ``IC0503``, when there is one.
    """

    is_certified: ClassVar[bool] = False

    def __init__(self, reject_code: int, reject_message: str, error_code: str | None) -> None:
        name = REJECT_CODE_NAMES.get(reject_code, "unknown code")
        finer = "" if error_code is None else f", {error_code}"
        super().__init__(f"rejected ({reject_code} {name}{finer}): {reject_message}")
        self.reject_code = reject_code
        self.reject_message = reject_message
        self.error_code = error_code

    @property
    def is_retryable(self) -> bool:
        """Only what the network itself calls transient; as a new call, for an update."""
        return self.reject_code == _REJECT_CODE_TRANSIENT


class CertifiedRejectError(RejectedError):
    """The call was executed, or failed to be, and the network certifies how it ended."""

    is_certified = True


class UncertifiedRejectError(RejectedError):
    """A query's rejection, or an update's before consensus: the node says it changed nothing."""

    @property
    def is_without_effect(self) -> bool:
        """By the node's word."""
        return True


class NotExecutedError(AgentError):
    """The call expired before the network took it; a certificate shows that it never ran."""

    @property
    def is_retryable(self) -> bool:
        """As a new call."""
        return True

    @property
    def is_without_effect(self) -> bool:
        """Certified."""
        return True


class UnknownOutcomeError(AgentError):
    """The call may have run, or may still run until its ingress expiry has passed.

    Attributes:
        request_id: Names the call; its fate stays readable for about five minutes.
        ingress_expiry_ns: From then on it cannot start to run, in ns since 1970.
    """

    def __init__(self, reason: str, *, request_id: bytes, ingress_expiry_ns: int) -> None:
        super().__init__(f"the call's outcome is unknown: {reason}")
        self.request_id = request_id
        self.ingress_expiry_ns = ingress_expiry_ns


class QueueFullError(AgentError):
    """Too much work is waiting already; nothing was done about this piece."""

    @property
    def is_retryable(self) -> bool:
        """When the queue has drained."""
        return True

    @property
    def is_without_effect(self) -> bool:
        """Nothing was sent."""
        return True


class AbandonedError(AgentError):
    """Work on its way was given up because its owner was closed; it may have had an effect."""
