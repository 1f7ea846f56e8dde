"""Every error the router raises on purpose.

    RouterError
    ├── ConfigError                  a setting that cannot be used
    ├── ProjectError                 dfx.json or what it names is missing or malformed
    ├── HeadError                    a canister does not prove how far it is
    ├── FleetClosedError             used before it was opened, or after it was closed
    ├── ArgumentsError               a call that does not fit the .did; nothing was sent
    ├── ReadError                    a read without a usable answer
    │   ├── CanisterRejectedError    a canister answered, and the answer is no
    │   ├── NoHealthyCanisterError   no canister gave an answer, whichever was tried
    │   └── BehindSessionError       answers came, all older than what the session has seen
    └── OperationError               about one operation: carries its id and time
        ├── OperationRefusedError    the game's rules said no, and that is in the log
        ├── OperationForbiddenError  who signed, or the subject, may not do this
        ├── OperationRejectedError   expired, from the future, id used twice, or invalid
        ├── OperationNotAppliedError surely not applied; submit it again if it is still wanted
        │   ├── RateLimitedError     ... after a pause
        │   └── OverloadedError      ... when the fleet has less to do; nothing was sent
        └── OperationPendingError    fate unknown: submit it again with the same stamp to learn it

What the agent or the codec said is the ``__cause__``.
"""

from pathlib import Path
from typing import Literal

from icfleet_router.position import Position
from icfleet_router.stamp import OperationStamp

__all__ = [
    "ArgumentsError",
    "BehindSessionError",
    "CanisterRejectedError",
    "ConfigError",
    "FleetClosedError",
    "HeadError",
    "NoHealthyCanisterError",
    "OperationError",
    "OperationForbiddenError",
    "OperationNotAppliedError",
    "OperationPendingError",
    "OperationRefusedError",
    "OperationRejectedError",
    "OverloadedError",
    "ProjectError",
    "RateLimitedError",
    "ReadError",
    "Rejection",
    "RouterError",
]

Rejection = Literal["Expired", "InFuture", "IdReused", "Invalid"]
"""The canister's words for an operation that it neither applied nor remembered."""


class RouterError(Exception):
    """Root of the package's errors.

    Attributes:
        is_retryable: Whether the same call may succeed later, unchanged.
    """

    is_retryable: bool = False


class ConfigError(RouterError, ValueError):
    """A setting is out of its range, or names what the fleet does not have."""


class ProjectError(RouterError):
    """A project file is missing or malformed, or names what is not there.

    Attributes:
        path: The file.
        reason: What is wrong with it, and often what to do.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class HeadError(RouterError):
    """A canister's ``head`` is not proven by a certificate of its subnet."""


class FleetClosedError(RouterError):
    """The fleet is not open; use it within ``async with``."""

    def __init__(self) -> None:
        super().__init__("the fleet is not open: use it within 'async with Fleet...'")


class ArgumentsError(RouterError):
    """The call does not fit the canister's .did, so it was not sent.

    Attributes:
        method: The method that was asked for.
        reason: What does not fit, with the path to the value where there is one.
    """

    def __init__(self, method: str, reason: str) -> None:
        super().__init__(f"{method}: {reason}")
        self.method = method
        self.reason = reason


class ReadError(RouterError):
    """A read that has no usable answer.

    Attributes:
        method: The method that was asked for.
        canister: The name of the canister that was tried last.
        attempts_count: How many calls went out on the wire.
    """

    def __init__(self, reason: str, *, method: str, canister: str, attempts_count: int) -> None:
        super().__init__(f"{method}: {reason} (last tried {canister}, {attempts_count} calls)")
        self.method = method
        self.canister = canister
        self.attempts_count = attempts_count


class CanisterRejectedError(ReadError):
    """The canister answered with a rejection that another canister would repeat.

    The agent's error, with reject code and error code, is the ``__cause__``.
    """


class NoHealthyCanisterError(ReadError):
    """No canister answered: all of them are down, or the network is."""

    is_retryable = True


class BehindSessionError(ReadError):
    """Every answer was older than what the session has already seen.

    Attributes:
        session: Where the session stands.
        as_of: Where the last answer stood.
    """

    is_retryable = True

    def __init__(
        self, *, method: str, canister: str, attempts_count: int, session: Position, as_of: Position
    ) -> None:
        reason = f"the newest answer is of {as_of}, the session has seen {session}"
        super().__init__(reason, method=method, canister=canister, attempts_count=attempts_count)
        self.session = session
        self.as_of = as_of


class OperationError(RouterError):
    """An operation did not end in ``Applied``.

    Attributes:
        stamp: Submit the operation again with this id and time; it is applied at most once.
        reason: Why, for people.
    """

    def __init__(self, reason: str, stamp: OperationStamp) -> None:
        super().__init__(f"operation {stamp.operation_id.hex()}: {reason}")
        self.reason = reason
        self.stamp = stamp

    @property
    def operation_id(self) -> bytes:
        """The operation's id."""
        return self.stamp.operation_id

    @property
    def created_at_ns(self) -> int:
        """The operation's time, in nanoseconds since 1970."""
        return self.stamp.created_at_ns


class OperationRefusedError(OperationError):
    """The game's rules said no. Final: the refusal is remembered and in the log.

    Attributes:
        code: The rule in one word, such as ``TooLate``.
        position: Where in the log the refusal stands.
    """

    def __init__(
        self, reason: str, stamp: OperationStamp, *, code: str, position: Position
    ) -> None:
        super().__init__(f"refused, {code}: {reason}", stamp)
        self.code = code
        self.position = position


class OperationForbiddenError(OperationError):
    """The signer may not act for this subject, or not in this way.

    Raised only while no try of this submission ended unknown. Of an operation that an earlier
    submission left pending it says no more than ``Expired`` does.
    """


class OperationRejectedError(OperationError):
    """The canister did not accept the operation; the same one gets the same answer.

    Attributes:
        rejection: ``Expired`` and ``InFuture`` speak of ``created_at``, ``IdReused`` of an id
            that stands for another content, ``Invalid`` of the content. ``Expired`` of an
            operation that an earlier submission left pending does not tell its fate; the log does.
        code: What is ``Invalid``, in the canister's stable word, such as ``RowTooLarge``; empty
            for the other rejections, and for what was not even sent.
    """

    def __init__(
        self, reason: str, stamp: OperationStamp, *, rejection: Rejection, code: str = ""
    ) -> None:
        super().__init__(f"{rejection}: {reason}", stamp)
        self.rejection = rejection
        self.code = code


class OperationNotAppliedError(OperationError):
    """No canister took the operation; it was surely not applied.

    Attributes:
        is_retryable: False if main would refuse the same again, as when it traps.
    """

    def __init__(self, reason: str, stamp: OperationStamp, *, is_retryable: bool = True) -> None:
        super().__init__(reason, stamp)
        self.is_retryable = is_retryable


class RateLimitedError(OperationNotAppliedError):
    """The canister's limiter still said no when the deadline came.

    Attributes:
        retry_after_s: When to try again, in seconds from now.
    """

    def __init__(self, stamp: OperationStamp, *, retry_after_s: float) -> None:
        super().__init__(f"rate limited, try again in {retry_after_s:.1f} s", stamp)
        self.retry_after_s = retry_after_s


class OverloadedError(OperationNotAppliedError):
    """Too many operations are waiting already; this one was turned away at once."""


class OperationPendingError(OperationError):
    """The operation may have been applied, or may still be.

    Until its fate is certain, the fleet asks on and lets no later operation of the same players
    overtake it. The result is remembered until 20 minutes after ``created_at_ns``; later only the
    log is sure to tell.
    """

    is_retryable = True
