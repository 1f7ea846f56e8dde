"""Every error the library raises on purpose.

    FleetError
    ├── ConfigurationError       a setting that can never work: the caller's code is wrong
    ├── EncodingError            bytes of a row, record or page that this version never wrote
    ├── UnknownPositionError     the log holds no record at that position
    └── BatchRefusedError        an upstream's records do not continue our log
        ├── GapError             ... there are records missing in between
        └── DivergedError        ... its history is not ours

The module is not called ``errors``: Kybra also copies each module flat by its file name, and a
canister's own ``errors.py`` would then meet ours.
"""

from __future__ import annotations

__all__ = [
    "BatchRefusedError",
    "ConfigurationError",
    "DivergedError",
    "EncodingError",
    "FleetError",
    "GapError",
    "UnknownPositionError",
]


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
    """Records of an upstream that were not applied, all of them."""


class GapError(BatchRefusedError):
    """The first new record is not the one after our head."""

    def __init__(self, expected_seq: int, seq: int) -> None:
        super().__init__(f"expected record {expected_seq}, upstream sent {seq}")
        self.expected_seq = expected_seq
        self.seq = seq


class DivergedError(BatchRefusedError):
    """The upstream's chain hash or epoch at ``seq`` is not ours."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(f"diverged at {seq}: {reason}")
        self.seq = seq
