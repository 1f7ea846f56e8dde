"""The record of acknowledged operations: what an audit holds the canisters to.

One JSON object per line::

    {"id": hex, "subject": text, "created_at": nanoseconds, "operation": {case: fields},
     "outcome": "Applied" or the code of the rule that refused, "epoch": n, "seq": n}

Principals are their text, bytes are hex. A file belongs to one process, so its name has the
process id in it: ``played.jsonl`` becomes ``played.4711.jsonl``, and a folder ``played`` gets a
file ``records.4711.jsonl``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from icfleet_loadtests.errors import RecordError
from icfleet_protocol.principal import Principal
from icfleet_router.position import Position

__all__ = ["APPLIED", "OperationRecord", "RecordFile", "find_record_files", "record_file_of"]

APPLIED = "Applied"
"""Outcome of an operation that took effect."""


@dataclass(frozen=True, slots=True)
class OperationRecord:
    """An operation with a final outcome, as its player knows it.

    Attributes:
        operation_id: 16 to 32 bytes.
        subject: Whose operation it is.
        created_at_ns: Nanoseconds since 1970.
        operation: The value of the canister's ``Operation`` variant.
        outcome: ``Applied``, or the code of the rule that refused.
        position: Where in the log.
    """

    operation_id: bytes
    subject: Principal
    created_at_ns: int
    operation: Mapping[str, object]
    outcome: str
    position: Position

    def to_json(self) -> str:
        """Write one line, without its end.

        Raises:
            TypeError: If the operation holds a value that Candid has no type for.
        """
        fields = {
            "id": self.operation_id.hex(),
            "subject": str(self.subject),
            "created_at": self.created_at_ns,
            "operation": self.operation,
            "outcome": self.outcome,
            "epoch": self.position.epoch,
            "seq": self.position.seq,
        }
        return json.dumps(fields, default=_plain, separators=(",", ":"))


def _plain(value: object) -> str:
    if isinstance(value, Principal):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    message = f"a record cannot hold {type(value).__name__}"
    raise TypeError(message)


class RecordFile:
    """Appends records; each line is with the system before the next one is written.

    Args:
        path: Created when it is not there, with its folder.

    Raises:
        RecordError: If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: TextIO = path.open("a", buffering=1, encoding="utf-8")
        except OSError as error:
            raise RecordError(path, error.strerror or str(error)) from error

    def append(self, record: OperationRecord) -> None:
        """Write one line.

        Raises:
            RecordError: If the disk refuses, or the file is closed.
        """
        try:
            self._file.write(record.to_json() + "\n")
        except (OSError, ValueError) as error:
            raise RecordError(self._path, str(error)) from error

    def close(self) -> None:
        """Write out what is buffered, and close."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def record_file_of(path: Path, process_id: int) -> Path:
    """Return the name of one process's file.

    Args:
        path: A file, or without a suffix a folder.
        process_id: The process's.
    """
    base = _base_of(path)
    return base.with_name(f"{base.stem}.{process_id}{base.suffix}")


def find_record_files(path: Path) -> list[Path]:
    """Find the files of all processes that recorded to ``path``."""
    base = _base_of(path)
    return sorted(base.parent.glob(f"{base.stem}.*{base.suffix}"))


def _base_of(path: Path) -> Path:
    return path if path.suffix else path / "records.jsonl"
