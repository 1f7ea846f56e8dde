"""What makes a write exactly-once: the id and time that a canister remembers it by."""

from dataclasses import dataclass

__all__ = ["OPERATION_ID_SIZE_MAX", "OPERATION_ID_SIZE_MIN", "OperationStamp"]

OPERATION_ID_SIZE_MIN = 16
"""Bytes: 128 random bits cannot be guessed, so nobody can take another player's id first."""

OPERATION_ID_SIZE_MAX = 32
"""Bytes: room for a SHA-256. Source: canisters/icfleet.did."""


@dataclass(frozen=True, slots=True)
class OperationStamp:
    """Given to an operation before its first send; submit it again with the same one.

    Attributes:
        operation_id: 16 to 32 bytes, unique per subject.
        created_at_ns: Nanoseconds since 1970.
    """

    operation_id: bytes
    created_at_ns: int
