"""What only an old main has is kept, record by record."""

import io
import json
from pathlib import Path

import pytest
from modelled_fleet import ModelledFleet

from icfleet.errors import AttachError, SwitchOverError
from icfleet.progress import QuietProgress
from icfleet.tail_export import TailReport, export_tail
from icfleet_canister.log_record import encode_refusal


async def export(fleet: ModelledFleet, out: Path, name: str = "main") -> TailReport:
    return await export_tail(fleet, fleet, name, out, QuietProgress(io.StringIO()))


def written_to(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_result_of_a_later_version_is_kept_as_it_is(tmp_path: Path) -> None:
    """Rather not understood than lost."""
    fleet = forked(tail=0)
    fleet["main"].append(b"\x01")

    await export(fleet, tmp_path / "tail.json")

    (record,) = json.loads((tmp_path / "tail.json").read_text())["records"]
    assert record["result"] == {"other": "01"}


def forked(*, tail: int = 7) -> ModelledFleet:
    """A fleet whose main went on after a replica was promoted by force."""
    fleet = ModelledFleet.joined(writes=40)
    fleet["replica_1"].is_main = True
    fleet["replica_1"].begin(2)
    fleet["replica_1"].write(5)
    fleet["main"].write(tail)
    return fleet


async def test_the_tail_is_what_follows_the_last_common_record(tmp_path: Path) -> None:
    """With ids, subjects and rows, so that people can decide about each."""
    fleet = forked()
    fleet["main"].append(encode_refusal("Poor", "5 short"))

    report = await export(fleet, tmp_path / "tail.json")

    assert (report.fork_epoch, report.fork_seq, report.count) == (1, 41, 8)
    written = json.loads((tmp_path / "tail.json").read_text())
    assert written["fork"] == {"epoch": 1, "seq": 41}
    assert written["count"] == len(written["records"]) == 8
    assert [record["seq"] for record in written["records"]] == list(range(42, 50))
    first, *_, last = written["records"]
    assert first["id"] == fleet["main"].records[41].operation_id.hex()
    assert first["result"] == {"applied": True}
    assert first["rows"] == [{"slot": 42, "value": "01"}]
    assert last["result"] == {"refused": {"code": "Poor", "reason": "5 short"}}


async def test_a_main_that_still_decides_is_stopped_first(tmp_path: Path) -> None:
    """Else the tail would grow behind the reader's back."""
    fleet = forked()

    await export(fleet, tmp_path / "tail.json")

    assert fleet.methods == [("main", "demote")]
    assert fleet.deciding == ["replica_1"]


async def test_the_fork_is_found_by_hashes_where_epochs_do_not_tell(tmp_path: Path) -> None:
    """A main that was rolled back and went on has the same epochs as its replicas."""
    fleet = ModelledFleet.joined(writes=60)
    fleet["main"].roll_back(20)
    for number in range(30):
        fleet["main"].append(b"\x00", subject="2vxsx-fae")
        assert number < 30
    fleet["main"].is_main = False
    fleet["replica_1"].is_main = True
    fleet["replica_1"].begin(2)

    report = await export(fleet, tmp_path / "tail.json")

    assert (report.fork_seq, report.count) == (41, 30)


async def test_a_replica_without_a_tail_has_none(tmp_path: Path) -> None:
    fleet = ModelledFleet.joined()

    report = await export(fleet, tmp_path / "tail.json", "replica_1")

    assert report.count == 0
    assert json.loads((tmp_path / "tail.json").read_text())["records"] == []


async def test_logs_that_do_not_reach_back_are_told(tmp_path: Path) -> None:
    """And no half file is left."""
    fleet = forked()
    fleet["replica_1"].trimmed = 44

    with pytest.raises(AttachError, match="do not reach back to 41"):
        await export(fleet, tmp_path / "tail.json")

    assert written_to(tmp_path) == []


async def test_records_that_do_not_lead_to_the_canisters_own_hash_are_refused(
    tmp_path: Path,
) -> None:
    """Whoever answers for it cannot put others in their place."""
    fleet = forked()
    last = fleet["main"].records[-1]
    fleet["main"].records[-1] = last._replace(digest=b"e" * 32)

    with pytest.raises(AttachError, match="do not lead to its own chain hash"):
        await export(fleet, tmp_path / "tail.json")

    assert written_to(tmp_path) == []


async def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    """After a reseed it is the only copy; nobody is asked anything."""
    fleet = forked()
    (tmp_path / "tail.json").write_text("kept")

    with pytest.raises(SwitchOverError, match=r"tail\.json is there already: choose another name"):
        await export(fleet, tmp_path / "tail.json")

    assert (tmp_path / "tail.json").read_text() == "kept"
    assert fleet.asked == []


async def test_a_main_that_a_silent_one_has_replaced_is_nothing_to_compare_with(
    tmp_path: Path,
) -> None:
    fleet = forked()
    fleet["replica_2"].upstream_head = fleet["replica_1"].position
    fleet["replica_2"].is_frozen = True
    fleet.silent = {"replica_1"}

    with pytest.raises(SwitchOverError, match=r"main is at 1\.48 and epoch 2 has begun"):
        await export(fleet, tmp_path / "tail.json", "replica_2")


async def test_the_main_itself_has_no_tail(tmp_path: Path) -> None:
    with pytest.raises(SwitchOverError, match="main is the main"):
        await export(ModelledFleet.joined(), tmp_path / "tail.json")


async def test_without_a_main_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    fleet = ModelledFleet.joined()
    fleet["main"].is_main = False

    with pytest.raises(SwitchOverError, match="nobody is main"):
        await export(fleet, tmp_path / "tail.json")


async def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(AttachError, match=r"cannot write .*tail\.json"):
        await export(forked(), tmp_path / "missing" / "tail.json")
