"""The demo's judgement, and its runs of other programs; the whole of it is ``make demo``."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console
from running_fleet import copy_project

from icfleet.demo import level_check, main, tell_verdict
from icfleet.demo_load import LoadRun, RateMeter, play, running
from icfleet.demo_report import (
    DemoCheck,
    calls_table,
    live_line,
    live_view,
    load_checks,
    reads_line,
)
from icfleet.errors import ToolchainError
from icfleet.fleet_status import CanisterLine, FleetReport
from icfleet_loadtests.calls import NOBODY
from icfleet_loadtests.statistics import CallKind, CallStatistics, LoadSnapshot


def _call(
    method: str, canister: str, count: int, *, kind: CallKind = "query", failures: int = 0
) -> CallStatistics:
    return CallStatistics(
        kind=kind,
        method=method,
        canister=canister,
        requests_count=count,
        failures_count=failures,
        histogram={20: count - 1, 400: 1},
    )


def _snapshot(
    *calls: CallStatistics, errors: dict[str, int] | None = None, elapsed_s: float = 10.0
) -> LoadSnapshot:
    return LoadSnapshot(elapsed_s=elapsed_s, users_count=5, calls=calls, errors=errors or {})


GOOD = _snapshot(
    _call("board", "main", 25),
    _call("board", "replica_1", 75),
    _call("Pay", "main", 20, kind="update"),
)


def _failed(checks: list[DemoCheck]) -> list[str]:
    return [check.name for check in checks if not check.is_kept]


def test_a_good_run_passes() -> None:
    checks = load_checks(GOOD, ["replica_1", "replica_2"], 0)

    assert _failed(checks) == []
    assert [check.figures for check in checks] == ["0 of 120 failed", "75% of 100 reads"]


@pytest.mark.parametrize(
    ("snapshot", "exit_code", "failed"),
    [
        pytest.param(
            _snapshot(*GOOD.calls, errors={"query board [main]: ReadError": 2}),
            1,
            "no call failed",
            id="failed-calls",
        ),
        pytest.param(GOOD, 2, "no call failed", id="locust-failed"),
        pytest.param(
            _snapshot(_call("board", "main", 51), _call("board", "replica_1", 49)),
            0,
            "replicas answered most reads",
            id="main-read-most",
        ),
        pytest.param(_snapshot(), 0, "replicas answered most reads", id="no-reads"),
    ],
)
def test_what_failed_is_named(snapshot: LoadSnapshot, exit_code: int, failed: str) -> None:
    assert _failed(load_checks(snapshot, ["replica_1"], exit_code)) == [failed]


def _report(*lags: int | None, error: str | None = None) -> FleetReport:
    lines = [CanisterLine(name="main", id="aaaaa-aa", epoch=1, seq=9, lag=0)]
    lines += [
        CanisterLine(name=f"replica_{number}", id="aaaaa-aa", epoch=1, seq=9, lag=lag, error=error)
        for number, lag in enumerate(lags, 1)
    ]
    return FleetReport(network="local", url="", canisters=tuple(lines), is_complete=True)


def test_replicas_at_mains_position_have_caught_up() -> None:
    check = level_check(_report(0, 0))

    assert (check.is_kept, check.figures) == (True, "main and 2 replicas at 1.9")


@pytest.mark.parametrize(
    ("report", "fault"),
    [
        (_report(0, 3), "replica_2 is 3 operations behind"),
        (_report(None), "replica_1 is in another epoch than main"),
        (_report(0, error="does not answer"), "replica_1: does not answer"),
    ],
    ids=["behind", "other-epoch", "silent"],
)
def test_a_replica_that_has_not_caught_up_is_named(report: FleetReport, fault: str) -> None:
    check = level_check(report)

    assert check.name == "replicas caught up within 30 s"
    assert fault in check.faults


def test_a_failed_check_gives_exit_code_1_and_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    checks = [DemoCheck("this holds", "3"), DemoCheck("that holds", "4", ("it does not",))]

    code = tell_verdict(checks, Console(file=io.StringIO()), elapsed_s=50)

    assert code == 1
    assert capsys.readouterr().err == "icfleet demo: failed: that holds\n"


def test_checks_that_all_hold_give_exit_code_0() -> None:
    told = io.StringIO()

    code = tell_verdict([DemoCheck("this holds", "3")], Console(file=told), elapsed_s=50)

    assert (code, told.getvalue()) == (
        0,
        "All 1 checks passed, in 50 s.\nNext: icfleet up, then see README.md\n",
    )


def test_a_check_says_its_verdict_and_some_examples() -> None:
    check = DemoCheck("that holds", "4", tuple(str(number) for number in range(9)))

    lines = check.lines()

    assert lines[0] == "FAIL  that holds: 4"
    assert lines[1:] == [f"      {number}" for number in range(5)]


def test_a_project_that_is_missing_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["--dfx", str(tmp_path / "dfx.json")])

    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "dfx.json: no such file" in line


def _render(snapshot: LoadSnapshot, *, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as captured:
        console.print(calls_table(snapshot))
    return captured.get()


def test_the_table_has_a_line_for_each_method_and_says_who_answered() -> None:
    lines = [" ".join(line.split()) for line in _render(GOOD).splitlines()]

    assert lines == [
        "call main replica_1 calls calls/s p50 ms p95 p99",
        "query board 25% 75% 100 10.0 20 20 400",
        "update Pay 100% 20 2.0 20 20 400",
    ]


def _big_call(method: str, canister: str, *, kind: CallKind) -> CallStatistics:
    """Five digits wherever there are figures."""
    return CallStatistics(
        kind=kind,
        method=method,
        canister=canister,
        requests_count=33_333,
        failures_count=0,
        histogram={20_000: 30_000, 30_000: 3_333},
    )


def test_80_columns_have_room_for_main_two_replicas_and_large_figures() -> None:
    names = ["main", "replica_1", "replica_2"]
    snapshot = _snapshot(
        *(_big_call("cached_query", name, kind="query") for name in names),
        _big_call("CreatePlayer", "main", kind="update"),
    )

    told = _render(snapshot)

    lines = [line.split() for line in told.splitlines()]
    assert lines == [
        ["call", *names, "calls", "calls/s", "p50", "ms", "p95", "p99"],
        ["query", "cached_query", *["33%"] * 3, "99,999", "9999.9", "20000", "30000", "30000"],
        ["update", "CreatePlayer", "100%", "33,333", "3333.3", "20000", "30000", "30000"],
    ]


def test_many_replicas_share_a_column() -> None:
    names = ["main", *(f"replica_{number}" for number in range(1, 10)), NOBODY]
    snapshot = _snapshot(*(_call("cached_query", name, 10) for name in names))

    heading, line = (line.split() for line in _render(snapshot).splitlines())

    assert heading[:4] == ["call", "main", "replicas", "calls"]
    assert line[:5] == ["query", "cached_query", "9%", "82%", "110"]


def test_a_long_name_goes_on_in_a_second_line_and_figures_stay_whole() -> None:
    method = "leaderboard_of_the_month_by_region_and_age"
    told = _render(_snapshot(_call(method, "main", 1_000), _call(method, "replica_1", 3_000)))

    assert "…" not in told
    assert "".join(re.findall("[a-z_]{4,}", told.partition("query")[2])) == method
    assert told.splitlines()[1].split()[2:] == ["25%", "75%", "4,000", "400.0", "20", "20", "20"]


def test_lines_of_the_table_do_not_end_in_blanks() -> None:
    lines = _render(GOOD, width=160).splitlines()

    assert lines == [line.rstrip() for line in lines]


def _shown(snapshot: LoadSnapshot) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as captured:
        console.print(live_view(snapshot, {}))
    return captured.get().splitlines()


def test_before_the_first_call_there_is_no_table() -> None:
    assert len(_shown(_snapshot())) == 1
    assert len(_shown(GOOD)) == 1 + 3


def test_a_line_sums_up_where_there_is_no_terminal() -> None:
    line = live_line(GOOD)

    assert line == "  10 s  5 players  120 calls  12/s  p50 20 ms  p95 20 ms  0 failed"
    assert reads_line(GOOD) == "main 25 (25%), replica_1 75 (75%)"
    assert reads_line(_snapshot()) == "none"


def test_rates_are_those_of_the_last_interval() -> None:
    meter = RateMeter()
    meter.update(_snapshot(_call("board", "main", 10), elapsed_s=1))

    later = _snapshot(_call("board", "main", 10), _call("board", "replica_1", 30), elapsed_s=3)

    assert meter.update(later) == {("query", "board"): 15.0}
    assert meter.update(later) == {("query", "board"): 15.0}


def test_a_process_does_not_outlive_its_block() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]

    with running(command, subprocess.DEVNULL) as process:
        assert process.poll() is None

    assert process.poll() is not None


def test_a_process_that_ignores_the_request_is_killed() -> None:
    program = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )

    with running([sys.executable, "-c", program], subprocess.PIPE, stop_timeout_s=0.2) as process:
        assert process.stdout is not None
        process.stdout.readline()
        started_s = time.monotonic()
        process.stdout.close()

    assert process.poll() == -9
    assert time.monotonic() - started_s < 10


LOCUSTFILE = """
from locust import User, constant, events, task
from icfleet_loadtests import register

register(events)

class Player(User):
    wait_time = constant(0.1)

    @task
    def look(self):
        self.environment.events.request.fire(
            request_type="query", name="board [replica_1]", response_time=3, response_length=0,
            exception={exception}, context={{}},
        )
"""


def _load_run(folder: Path, locustfile: str) -> LoadRun:
    path = folder / "locustfile.py"
    path.write_text(locustfile)
    return LoadRun(
        locustfile=path,
        url="http://127.0.0.1:1",
        network="local",
        users_count=2,
        spawn_rate=2,
        seconds=2,
        records=folder / "records.jsonl",
        html=folder / "report.html",
        folder=folder,
    )


@pytest.mark.parametrize(("exception", "exit_code"), [("None", 0), ("RuntimeError()", 1)])
def test_stock_locust_is_run_and_its_figures_come_back(
    tmp_path: Path, exception: str, exit_code: int
) -> None:
    run = _load_run(tmp_path, LOCUSTFILE.format(exception=exception))

    snapshot, code = play(run, Console(file=io.StringIO()))

    assert code == exit_code
    assert (snapshot.failures_count > 0) is (exit_code == 1)
    assert [call.canister for call in snapshot.calls] == ["replica_1"]
    assert 1 < snapshot.elapsed_s < 20
    assert run.html.is_file()


def test_a_locustfile_that_cannot_be_loaded_is_told_with_locusts_words(tmp_path: Path) -> None:
    run = _load_run(tmp_path, "raise SystemError('no such scenario')")

    with pytest.raises(ToolchainError, match="no figures") as caught:
        play(run, Console(file=io.StringIO()))

    assert "no such scenario" in caught.value.detail


def _start_demo(project: Path, *options: str) -> "subprocess.Popen[str]":
    environment = {k: v for k, v in os.environ.items() if k != "LOCUST_SKIP_MONKEY_PATCH"}
    return subprocess.Popen(
        [sys.executable, "-m", "icfleet.demo", "--port", "0", *options],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _read_to(process: "subprocess.Popen[str]", word: str) -> Sequence[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if word in line:
            return lines
    raise AssertionError(lines)


@pytest.mark.timeout(240)
def test_a_fleet_that_fails_its_players_fails_the_demo_by_name(tmp_path: Path) -> None:
    """Here the gateway has no rights, so that no player can be created."""
    project = copy_project(tmp_path)
    (project / "pyproject.toml").unlink()

    with _start_demo(project, "--users", "2", "--rate", "2", "--seconds", "3") as demo:
        told, complaints = demo.communicate(timeout=200)

    assert demo.returncode == 1
    assert "FAIL  no call failed" in told
    assert "OperationForbiddenError" in told
    assert "FAIL  every acknowledged operation exactly once in main's log" in told
    assert "icfleet demo: failed: no call failed" in complaints
    assert "All" not in told
    assert told.splitlines() == [line.rstrip() for line in told.splitlines()]


@pytest.mark.timeout(240)
def test_an_interrupted_demo_stops_what_it_started(tmp_path: Path) -> None:
    project = copy_project(tmp_path)

    with _start_demo(project, "--users", "2", "--seconds", "60") as demo:
        before = "".join(_read_to(demo, "Playing"))
        _read_to(demo, "players  ")
        demo.send_signal(signal.SIGINT)
        _, complaints = demo.communicate(timeout=100)

    port = int(re.findall(r"http://127\.0\.0\.1:(\d+)", before)[0])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert demo.returncode == 130
    assert complaints.endswith("icfleet demo: interrupted; everything is stopped\n")
