"""Every error the library raises on purpose.

    FleetError
    ├── ConfigurationError       a setting that can never work: the caller's code is wrong
    ├── EncodingError            bytes of a row, record or page that this version never wrote
    ├── UnknownPositionError     the log holds no record at that position
    └── BatchRefusedError        an upstream's records do not continue our log
        ├── GapError             ... there are records missing in between
        ├── DivergedError        ... its history is not ours
        ├── CycleError           ... they have come by way of us
        ├── BehindError          ... it has not come as far as we have
        └── UnusableError        ... no honest upstream writes them

A ``Problem`` is not an error: it tells an admin why a call was refused, with nothing changed.

The module is not called ``errors``: Kybra also copies each module flat by its file name, and a
canister's own ``errors.py`` would then meet ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = [
    "PROBLEM_CODES",
    "BatchRefusedError",
    "BehindError",
    "ConfigurationError",
    "CycleError",
    "DivergedError",
    "EncodingError",
    "FleetError",
    "GapError",
    "Problem",
    "UnknownPositionError",
    "UnusableError",
]

#: Every ``Problem.code`` of this library; programs may rely on them.
PROBLEM_CODES = (
    "AlreadyMain",
    "BadScope",
    "BadSetting",
    "Encoding",
    "LastAdmin",
    "NoPrincipal",
    "NoRoom",
    "NotDeciding",
    "NotHeld",
    "NotMain",
    "NotReplica",
    "NotServing",
    "RecordTooLarge",
    "RowTooLarge",
    "ToItself",
    "UnknownRole",
    "Waking",
    "WrongEpoch",
)


class Problem(NamedTuple):
    """Why an admin's call was refused."""

    code: str
    """One of ``PROBLEM_CODES``, or the application's own."""
    reason: str


class FleetError(Exception):
    """Root of all errors of ``icfleet_canister``."""


class ConfigurationError(FleetError):
    """A setting that can never work."""


class EncodingError(FleetError):
    """Bytes that no encoder of this library wrote, or a value that no encoding has room for."""


class UnknownPositionError(FleetError):
    """The log has no record ``seq``; it ends at ``head_seq``."""

    def __init__(self, seq: int, head_seq: int) -> None:
        super().__init__(f"no record {seq} in a log that ends at {head_seq}")
        self.seq = seq
        self.head_seq = head_seq


class BatchRefusedError(FleetError):
    """Records or rows of an upstream that were not applied, all of them.

    Its text begins with ``kind`` and is what ``status`` shows as the pull's error.
    """

    kind = "Refused"

    def __init__(self, reason: str) -> None:
        super().__init__(f"{self.kind}: {reason}")


class GapError(BatchRefusedError):
    """The first new record is not the one after our head."""

    kind = "Gap"

    def __init__(self, expected_seq: int, seq: int) -> None:
        super().__init__(f"expected record {expected_seq}, upstream sent {seq}")
        self.expected_seq = expected_seq
        self.seq = seq


class DivergedError(BatchRefusedError):
    """The upstream's chain hash or epoch at ``seq`` is not ours."""

    kind = "Diverged"

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(f"at {seq}: {reason}")
        self.seq = seq


class CycleError(BatchRefusedError):
    """The records have come by way of us, or by too many canisters."""

    kind = "Cycle"

    def __init__(self, path: Sequence[str]) -> None:
        super().__init__(f"records come by {', '.join(path)}")


class BehindError(BatchRefusedError):
    """The upstream has not come as far as we have."""

    kind = "Behind"


class UnusableError(BatchRefusedError):
    """No honest upstream of this version writes such an answer."""

    kind = "Unusable"
