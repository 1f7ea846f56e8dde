"""An operation made ready to be sent: stamped, checked against the .did, its principals found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from icfleet_protocol.candid import ServiceInterface
from icfleet_protocol.errors import CandidError, PrincipalError
from icfleet_protocol.principal import Principal
from icfleet_router.errors import ArgumentsError, OperationRejectedError
from icfleet_router.stamp import OPERATION_ID_SIZE_MAX, OPERATION_ID_SIZE_MIN, OperationStamp

__all__ = ["SUBMIT", "Submission", "find_principals", "make_submission"]

SUBMIT = "submit"
"""The method that takes batches of operations. Source: canisters/icfleet.did."""


@dataclass(slots=True, eq=False)
class Submission:
    """One operation on its way through the fleet.

    Attributes:
        number: Counts the fleet's operations; the lower came first.
        subject: Whose operation it is.
        stamp: Its id and time.
        body: The value of the canister's own ``Operation`` variant.
        touched: The subject, and every principal that the body names.
        size: Bytes that it adds to a batch.
        is_suspect: Whether a try ended unknown: the operation may have been applied.
        is_in_batch: Whether it belongs to a batch that has left and is not done.
        is_on_wire: Whether that batch is being sent just now.
        is_abandoned: Whether nobody waits for it any more.
    """

    number: int
    subject: Principal
    stamp: OperationStamp
    body: Mapping[str, object]
    touched: frozenset[Principal] = field(init=False)
    size: int = 0
    is_suspect: bool = False
    is_in_batch: bool = False
    is_on_wire: bool = False
    is_abandoned: bool = False

    def __post_init__(self) -> None:
        self.touched = frozenset((self.subject,))

    def as_candid(self) -> Mapping[str, object]:
        """Give the value of one element of ``ops``."""
        return {
            "id": self.stamp.operation_id,
            "subject": self.subject,
            "created_at": self.stamp.created_at_ns,
            "body": self.body,
        }


def make_submission(
    interface: ServiceInterface,
    operation: Mapping[str, object],
    *,
    number: int,
    subject: Principal,
    stamp: OperationStamp,
    size_max: int,
) -> Submission:
    """Check an operation and make it ready, so that it cannot spoil a batch.

    Args:
        interface: The canister's .did.
        operation: A value of its ``Operation`` variant, such as ``{"Add": {"amount": 5}}``.
        number: The operation's place in the order.
        subject: Whose operation it is.
        stamp: Its id and time.
        size_max: Bytes that a batch may have.

    Raises:
        ArgumentsError: If the .did has no ``submit``.
        OperationRejectedError: ``Invalid``, if the operation does not fit the .did, or is too
            large, or if its stamp is not what a canister takes.
    """
    if SUBMIT not in interface.methods:
        reason = "the .did has no such method, so this canister takes no operations"
        raise ArgumentsError(SUBMIT, reason)
    id_size = len(stamp.operation_id)
    if not OPERATION_ID_SIZE_MIN <= id_size <= OPERATION_ID_SIZE_MAX:
        limits = f"{OPERATION_ID_SIZE_MIN} to {OPERATION_ID_SIZE_MAX}"
        reason = f"the operation id has {id_size} bytes, and must have {limits}"
        raise OperationRejectedError(reason, stamp, rejection="Invalid")
    submission = Submission(number, subject, stamp, operation)
    try:
        alone = interface.encode_args(SUBMIT, ({"ops": [submission.as_candid()]},))
    except CandidError as error:
        raise OperationRejectedError(str(error), stamp, rejection="Invalid") from error
    if len(alone) > size_max:
        reason = f"an operation of {len(alone)} bytes, at most {size_max} go out at once"
        raise OperationRejectedError(reason, stamp, rejection="Invalid")
    submission.touched |= find_principals(operation)
    # With the message's own head, which a batch has only once: a little too much is safe.
    submission.size = len(alone)
    return submission


def find_principals(value: object) -> frozenset[Principal]:
    """Find every principal in a value, wherever it is, also where it is written as a text.

    One too many only keeps two operations apart that could have gone out together; one too few
    would let them overtake each other.
    """
    found: set[Principal] = set()
    unseen: list[object] = [value]
    while unseen:
        part = unseen.pop()
        if isinstance(part, Principal):
            found.add(part)
        elif isinstance(part, str):
            found |= _principal_of_text(part)
        elif isinstance(part, Mapping):
            unseen += cast("Mapping[object, object]", part).values()
        elif isinstance(part, (list, tuple)):
            unseen += cast("Sequence[object]", part)
    return frozenset(found)


def _principal_of_text(text: str) -> frozenset[Principal]:
    try:
        return frozenset((Principal.from_text(text),))
    except PrincipalError:
        return frozenset()
