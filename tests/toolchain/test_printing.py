"""The tables that people read."""

import io
import sys

import pytest

from icfleet.fleet_status import CanisterLine, FleetReport
from icfleet.printing import print_fleet

IDS = ("bkyz2-fmaaa-aaaaa-qaaaq-cai", "bd3sg-teaaa-aaaaa-qaaba-cai")
REPORT = FleetReport(
    network="local",
    url="http://127.0.0.1:4943",
    canisters=(
        CanisterLine(
            name="main",
            id=IDS[0],
            role="main",
            epoch=1,
            seq=123_456,
            lag=0,
            chain_hash="0123456789abcdef" * 4,
            cycles=100_000_000_000_000,
        ),
        CanisterLine(name="replica_1", id=IDS[1], error=f"{IDS[1]} does not answer: " + "x" * 90),
    ),
    is_complete=False,
)


class Terminal(io.StringIO):
    """A terminal without colours."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal], ids=["pipe", "terminal"])
def test_nothing_is_cut_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]
) -> None:
    """Rows fit; an error has a line of its own, which the terminal may fold."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", stream())

    print_fleet(REPORT)

    assert isinstance(sys.stdout, io.StringIO)
    heading, main, replica, error = sys.stdout.getvalue().splitlines()
    assert heading.split() == [
        "canister",
        "id",
        "role",
        "position",
        "lag",
        "chain",
        "hash",
        "cycles",
    ]
    assert main.split() == ["main", IDS[0], "main", "1.123456", "0", "01234567", "100.00", "T"]
    assert replica.split() == ["replica_1", IDS[1], *"-----"]
    assert error == f"    {REPORT.canisters[1].error}"
    for line in (heading, main, replica):
        assert len(line) <= 80
        assert line == line.rstrip()
