"""The tables that people read."""

import io
import sys
from dataclasses import replace

import pytest

from icfleet.fleet_status import CanisterLine, FleetReport
from icfleet.printing import print_fleet

IDS = ("bkyz2-fmaaa-aaaaa-qaaaq-cai", "bd3sg-teaaa-aaaaa-qaaba-cai")
PEOPLE = (
    "xfvkj-lxz4l-6oe5k-y2fyy-ret6t-qlpkl-dyabh-2gzjw-vptn6-6kcgt-5ae",
    "o2ivq-5dsz3-nba5d-pwbk2-hdd3i-vybeq-qfz35-rqg27-lyesf-xghzc-3ae",
)
SETTINGS = {"pull_idle_s": 30, "log_pages_max": 40_000, "rate_limit": 100, "rate_window_s": 60}
MAIN = CanisterLine(
    name="main",
    id=IDS[0],
    role="main",
    phase="Serving",
    epoch=1,
    seq=123_456,
    lag=0,
    chain_hash="0123456789abcdef" * 4,
    is_verified=True,
    admins=PEOPLE[:1],
    controllers=PEOPLE,
    settings=SETTINGS,
    cycles=100_000_000_000_000,
)
REPLICA = replace(
    MAIN,
    name="replica_1",
    id=IDS[1],
    role="replica",
    phase="Rebuilding",
    lag=1_234,
    lag_s=12.4,
    upstream="main",
    is_verified=False,
    settings={**SETTINGS, "pull_idle_s": 5},
    error="replica_1 does not prove its head: " + "x" * 90,
)
SILENT = CanisterLine(name="replica_2", id=IDS[1], error="replica_2 does not answer")
REPORT = FleetReport(
    network="local",
    url="http://127.0.0.1:4943",
    canisters=(MAIN, REPLICA, SILENT),
    is_complete=False,
    main="main",
)


class Terminal(io.StringIO):
    """A terminal without colours."""

    def isatty(self) -> bool:
        return True


def printed(
    report: FleetReport, monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO] = io.StringIO
) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", stream())
    print_fleet(report)
    assert isinstance(sys.stdout, io.StringIO)
    return sys.stdout.getvalue().splitlines()


@pytest.mark.parametrize("stream", [io.StringIO, Terminal], ids=["pipe", "terminal"])
def test_nothing_is_cut_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]
) -> None:
    """Rows fit; an error has a line of its own, which the terminal may fold."""
    lines = printed(REPORT, monkeypatch, stream)

    assert [line.split() for line in lines[:6]] == [
        ["canister", "id", "role", "phase", "position", "lag"],
        ["main", IDS[0], "main", "Serving", "1.123456", "0"],
        ["replica_1", IDS[1], "replica", "Rebuilding", "1.123456", "1234"],
        str(REPLICA.error).split(),
        ["replica_2", IDS[1], *"----"],
        str(SILENT.error).split(),
    ]
    assert [line.split() for line in lines[7:10]] == [
        ["canister", "chain", "hash", "verified", "follows", "heard", "cycles"],
        ["main", "01234567", "yes", "-", "-", "100.00", "T"],
        ["replica_1", "01234567", "NO", "main", "12", "s", "ago", "100.00", "T"],
    ]
    for line in lines:
        assert len(line) <= 80 or str(REPLICA.error) in line
        assert line == line.rstrip()


def test_admins_stand_beside_controllers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can replace the code without being an admin stands out."""
    lines = printed(REPORT, monkeypatch)

    first = lines.index(PEOPLE[0])
    assert lines[first + 1] == "    admin of all; controls all"
    assert lines[first + 2 : first + 4] == [PEOPLE[1], "    admin of none; controls all"]


def test_equal_settings_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "pull_idle_s 5  log_pages_max 40000  rate_limit 100  rate_window_s 60"

    lines = printed(REPORT, monkeypatch)

    assert lines[-4:] == [
        "settings of main",
        "    pull_idle_s 30  log_pages_max 40000  rate_limit 100  rate_window_s 60",
        "settings of replica_1",
        f"    {shown}",
    ]


def test_a_fence_and_a_divergence_are_not_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    fenced = replace(MAIN, fenced="not opened", error="decides nothing: not opened")
    report = replace(REPORT, canisters=(fenced,), divergences=("at 1.7 there are 2 histories",))

    lines = printed(report, monkeypatch)

    assert lines[1].split()[3] == "fenced"
    assert lines[-1] == "DIVERGED: at 1.7 there are 2 histories"
