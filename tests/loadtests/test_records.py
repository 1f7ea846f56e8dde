import json
from pathlib import Path

import pytest

from icfleet_loadtests.errors import RecordError
from icfleet_loadtests.records import (
    APPLIED,
    OperationRecord,
    RecordFile,
    find_record_files,
    record_file_of,
)
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER
from icfleet_router.position import Position


def _record(**operation: object) -> OperationRecord:
    return OperationRecord(
        operation_id=b"\x01" * 16,
        subject=ANONYMOUS,
        created_at_ns=1_800_000_000_000_000_001,
        operation=operation,
        outcome=APPLIED,
        position=Position(2, 9),
    )


def test_a_line_says_everything_an_audit_needs() -> None:
    record = _record(Pay={"target": MANAGEMENT_CANISTER, "note": b"\xff", "amount": 2**63})

    assert json.loads(record.to_json()) == {
        "id": "01" * 16,
        "subject": "2vxsx-fae",
        "created_at": 1_800_000_000_000_000_001,
        "operation": {"Pay": {"target": "aaaaa-aa", "note": "ff", "amount": 2**63}},
        "outcome": "Applied",
        "epoch": 2,
        "seq": 9,
    }


def test_what_candid_cannot_hold_is_not_recorded() -> None:
    with pytest.raises(TypeError, match="object"):
        _record(Pay=object()).to_json()


def test_each_line_is_on_disk_before_the_next_call(tmp_path: Path) -> None:
    """A load test that is killed leaves a record of everything that was acknowledged."""
    path = tmp_path / "new folder" / "records.jsonl"

    with RecordFile(path) as file:
        file.append(_record(Score=1))
        written = path.read_text()

    assert written == _record(Score=1).to_json() + "\n"


def test_records_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    for number in (1, 2):
        with RecordFile(path) as file:
            file.append(_record(Score=number))

    assert len(path.read_text().splitlines()) == 2


def test_processes_write_to_files_of_their_own(tmp_path: Path) -> None:
    base = tmp_path / "records.jsonl"
    names = [record_file_of(base, number) for number in (30, 4)]
    for name in names:
        name.touch()
    (tmp_path / "other.jsonl").touch()

    assert [path.name for path in names] == ["records.30.jsonl", "records.4.jsonl"]
    assert find_record_files(base) == names


def test_a_folder_gets_a_file_for_each_process(tmp_path: Path) -> None:
    folder = tmp_path / "played"
    path = record_file_of(folder, 4711)

    with RecordFile(path) as file:
        file.append(_record(Score=1))

    assert path == folder / "records.4711.jsonl"
    assert find_record_files(folder) == [path]


def test_a_record_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(RecordError, match="file"):
        RecordFile(tmp_path / "file" / "records.jsonl")


def test_a_closed_record_takes_nothing_more(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    file.close()

    with pytest.raises(RecordError, match="closed"):
        file.append(_record(Score=1))
