"""The whole of it, small: stock Locust plays on a running fleet, ic-py audits what was promised."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from running_fleet import RunningFleet

from audit import read_records
from audit_formats import AuditError, Position
from icfleet_loadtests.records import OperationRecord, RecordFile, find_record_files
from icfleet_protocol.principal import ANONYMOUS
from icfleet_router import Fleet
from icfleet_router import Position as RouterPosition

LEVEL_TIMEOUT_S = 45
"""A replica that has seen no change for a minute pulls every 30 s."""


def _run(command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program as a user does: with Locust's patches on."""
    environment = {k: v for k, v in os.environ.items() if k != "LOCUST_SKIP_MONKEY_PATCH"}
    return subprocess.run(
        command,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _audit(
    fleet: RunningFleet, *records: Path, identity: str = "admin"
) -> tuple[int, Mapping[str, Any]]:
    finished = _run(
        [
            *(sys.executable, str(fleet.project / "loadtests" / "audit.py"), "--json"),
            *("--url", fleet.url),
            *("--canister-ids", str(fleet.project / ".dfx" / "local" / "canister_ids.json")),
            *("--identity", str(fleet.project / ".icfleet" / "identities" / f"{identity}.pem")),
            *(str(path) for path in records),
        ]
    )
    assert finished.stdout, finished.stderr
    return finished.returncode, json.loads(finished.stdout)


def _failed(report: Mapping[str, Any]) -> list[str]:
    return [check["name"] for check in report["checks"] if not check["passed"]]


async def _await_level(fleet: RunningFleet) -> None:
    deadline_s = time.monotonic() + LEVEL_TIMEOUT_S
    async with Fleet.from_dfx(fleet.project / "dfx.json", host=fleet.url) as client:
        while True:
            reports = (await client.status()).values()
            if len({one.status.as_of for one in reports if one.status is not None}) == 1:
                return
            assert time.monotonic() < deadline_s, reports
            await asyncio.sleep(0.2)


@pytest.fixture(scope="module")
def played(
    running_fleet: RunningFleet, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunningFleet, Path, str]:
    """A fleet on which 8 players have played for 5 s, their record, and what Locust printed."""
    folder = tmp_path_factory.mktemp("load")
    locust = str(Path(sys.executable).with_name("locust"))
    scenario = str(running_fleet.project / "loadtests" / "locustfile.py")
    finished = _run(
        [
            *(locust, "-f", scenario, "--host", running_fleet.url),
            *("-u", "8", "-r", "8", "-t", "5s", "--headless"),
            *("--html", str(folder / "report.html"), "--only-summary"),
        ],
        ICFLEET_RECORD=str(folder / "records.jsonl"),
    )
    assert finished.returncode == 0, finished.stderr + finished.stdout
    asyncio.run(_await_level(running_fleet))
    (record,) = find_record_files(folder / "records.jsonl")
    assert (folder / "report.html").is_file()
    return running_fleet, record, finished.stdout + finished.stderr


@pytest.mark.timeout(240)
def test_what_locust_played_passes_the_audit(played: tuple[RunningFleet, Path, str]) -> None:
    fleet, record, printed = played

    code, report = _audit(fleet, record)

    assert (code, _failed(report)) == (0, [])
    assert len(report["checks"]) == 10
    assert "ic-py" in report["witness"]
    assert len(record.read_text().splitlines()) >= 16, "each player is created and paid"
    assert "CreatePlayer [main]" in printed
    assert re.search(r"query +leaderboard \[\w+\]", printed), printed


@pytest.mark.timeout(240)
def test_the_audit_names_what_a_false_record_contradicts(
    played: tuple[RunningFleet, Path, str], tmp_path: Path
) -> None:
    """One player claims an operation that never was, and another amount than it sent."""
    fleet, record, _ = played
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    credit = next(line for line in lines if "Credit" in line["operation"])
    credit["operation"]["Credit"]["amount"] += 1
    false = tmp_path / "false.jsonl"
    false.write_text(
        "".join(json.dumps(line) + "\n" for line in [*lines, {**lines[0], "id": "ff" * 16}])
    )

    code, report = _audit(fleet, false)

    assert code == 1
    assert set(_failed(report)) == {
        "every acknowledged operation exactly once in main's log",
        "each with the content that was sent",
        "each record moves the money its operation says",
    }


@pytest.mark.timeout(240)
def test_whoever_may_not_read_the_log_cannot_audit(
    played: tuple[RunningFleet, Path, str],
) -> None:
    fleet, record, _ = played

    code, report = _audit(fleet, record, identity="gateway")

    assert (code, _failed(report)) == (1, ["the audit can be made"])
    assert "NotAttached" in report["checks"][0]["faults"][0]


def test_a_network_that_does_not_answer_is_told(tmp_path: Path) -> None:
    ids = tmp_path / "canister_ids.json"
    ids.write_text(json.dumps({"main": {"local": "bkyz2-fmaaa-aaaaa-qaaaq-cai"}}))
    key = tmp_path / "key.pem"
    key.write_text(
        "-----BEGIN PRIVATE KEY-----\n"
        "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
        "-----END PRIVATE KEY-----\n"
    )
    record = tmp_path / "records.jsonl"
    record.touch()
    script = Path(__file__).parents[2] / "loadtests" / "audit.py"

    finished = _run(
        [
            *(sys.executable, str(script), "--url", "http://127.0.0.1:1"),
            *("--canister-ids", str(ids), "--identity", str(key), str(record)),
        ]
    )

    assert finished.returncode == 1
    assert "FAIL  the audit can be made" in finished.stdout
    assert "status of main: ConnectError" in finished.stdout


def test_the_audit_reads_what_the_load_test_records(tmp_path: Path) -> None:
    """Two sides of one file format, which share no code."""
    path = tmp_path / "records.jsonl"
    with RecordFile(path) as file:
        file.append(
            OperationRecord(
                operation_id=b"\x02" * 16,
                subject=ANONYMOUS,
                created_at_ns=5,
                operation={"Transfer": {"target": ANONYMOUS, "amount": 7}},
                outcome="InsufficientFunds",
                position=RouterPosition(1, 8),
            )
        )

    (sent,) = read_records([path])

    assert sent.operation_id == b"\x02" * 16
    assert (sent.subject, sent.created_at) == ("2vxsx-fae", 5)
    assert (sent.name, sent.fields) == ("Transfer", {"target": "2vxsx-fae", "amount": 7})
    assert (sent.outcome, sent.position) == ("InsufficientFunds", Position(1, 8))


@pytest.mark.parametrize(
    "line", ["not JSON", "[]", "{}", '{"operation": {"A": {}}, "id": "zz"}'], ids=range(4)
)
def test_a_malformed_record_stops_the_audit(tmp_path: Path, line: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(line + "\n")

    with pytest.raises(AuditError, match=r"records\.jsonl"):
        read_records([path])


def test_a_missing_record_stops_the_audit(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="No such file"):
        read_records([tmp_path / "records.jsonl"])
