"""What main answers to a batch, as values.

Source: canisters/icfleet.did, types ``SubmitResult`` and ``OperationResult``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from icfleet_protocol.principal import Principal
from icfleet_router.errors import Rejection
from icfleet_router.position import Position

__all__ = [
    "Applied",
    "Deferred",
    "Done",
    "Forbidden",
    "NotMain",
    "OperationResult",
    "Postponed",
    "Refused",
    "Rejected",
    "SubmitReply",
    "TooLarge",
    "parse_submit_reply",
]

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Applied:
    """The operation took effect, now or when it was first submitted."""

    position: Position


@dataclass(frozen=True, slots=True)
class Refused:
    """The game's rules said no; remembered, and in the log."""

    position: Position
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Forbidden:
    """The signer may not act for this subject, or not in this way; not remembered."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The operation is not acceptable; not remembered.

    Attributes:
        rejection: Why, in the canister's word.
        reason: For people.
        code: What is ``Invalid`` of it, in one stable word; empty for the other rejections.
    """

    rejection: Rejection
    reason: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Postponed:
    """Not applied, and not final: ask again after a pause.

    Attributes:
        delay_s: Seconds.
        is_rate_limit: Whether a limiter said so; else the window of remembered ids is full.
    """

    delay_s: float
    is_rate_limit: bool


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not applied, and not final: an earlier one of the subject was not, or the batch was long."""


OperationResult = Applied | Refused | Forbidden | Rejected | Postponed | Deferred


@dataclass(frozen=True, slots=True)
class Done:
    """Main took the batch and says so of each operation, in order."""

    as_of: Position
    results: tuple[OperationResult, ...]


@dataclass(frozen=True, slots=True)
class NotMain:
    """This canister takes no writes, and may know who does; nothing was applied."""

    main: Principal | None


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The batch is more than the canister takes; nothing was applied."""

    reason: str


SubmitReply = Done | NotMain | TooLarge


def parse_submit_reply(results: Sequence[Any], *, operations_count: int) -> SubmitReply | None:
    """Read the decoded results of ``submit``.

    ``None`` means they are not what icfleet.did says, or do not have one result per operation.
    """
    match results:
        case [{"Done": {"as_of": as_of, "results": [*operations]}}]:
            return _parse_done(as_of, operations, operations_count)
        case [{"NotMain": main}] if main is None or isinstance(main, Principal):
            return NotMain(main)
        case [{"TooLarge": str(reason)}]:
            return TooLarge(reason)
        case _:
            return None


def _parse_done(as_of: object, operations: Sequence[Any], count: int) -> Done | None:
    position = Position.from_candid(as_of)
    results = tuple(_parse_operation(operation) for operation in operations)
    known = tuple(result for result in results if result is not None)
    if position is None or not len(known) == len(results) == count:
        return None
    return Done(position, known)


def _parse_operation(value: Any) -> OperationResult | None:
    match value:
        case {"Applied": content}:
            position = Position.from_candid(content)
            return None if position is None else Applied(position)
        case {"Refused": {"position": where, "code": str(code), "reason": str(reason)}}:
            position = Position.from_candid(where)
            return None if position is None else Refused(position, code, reason)
        case _:
            return _parse_not_remembered(value)


def _parse_not_remembered(value: Any) -> OperationResult | None:
    match value:
        case {"RateLimited": int(pause_ns)}:
            return Postponed(pause_ns / _NS_PER_S, is_rate_limit=True)
        case {"Busy": int(pause_ns)}:
            return Postponed(pause_ns / _NS_PER_S, is_rate_limit=False)
        case {"Deferred": None}:
            return Deferred()
        case {"Forbidden": str(reason)}:
            return Forbidden(reason)
        case _:
            return _parse_rejection(value)


def _parse_rejection(value: Any) -> Rejected | None:
    match value:
        case {"Invalid": {"code": str(code), "reason": str(reason)}}:
            return Rejected("Invalid", reason, code)
        case {"Expired": None}:
            return Rejected("Expired", "created_at is too old for main to know if it was seen")
        case {"InFuture": None}:
            return Rejected("InFuture", "created_at is ahead of main's time: is the clock right?")
        case {"IdReused": None}:
            return Rejected("IdReused", "the id stands for another operation already")
        case _:
            return None
