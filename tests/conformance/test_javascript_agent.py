"""``@dfinity/agent``, as npm has it, calls the game on a running local network."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from running_fleet import RunningFleet

JS = Path(__file__).parent / "js"


@pytest.fixture(scope="module")
def report(running_fleet: RunningFleet) -> dict[str, Any]:
    """What the JavaScript client saw: it verifies certificates and node signatures itself."""
    done = subprocess.run(
        ["node", "client.mjs", running_fleet.url, str(running_fleet.ids["main"])],
        cwd=JS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


@pytest.mark.timeout(120)
def test_it_submits_as_the_player_it_is(report: dict[str, Any]) -> None:
    created, transferred = report["submitted"]["Done"]["results"]

    assert "Applied" in created
    assert transferred["Refused"]["code"] == "SelfTransfer"


def test_it_reads_at_a_position_no_earlier_than_the_main_had(report: dict[str, Any]) -> None:
    assert report["as_of"]["seq"] >= report["submitted"]["Done"]["as_of"]["seq"]


def test_it_understands_a_certified_rejection(report: dict[str, Any]) -> None:
    assert "IC0503" in report["undecodable"]


def test_it_understands_the_refusal_of_one_node(report: dict[str, Any]) -> None:
    assert "IC0406" in report["not_admitted"]


def test_it_understands_a_rejected_query(report: dict[str, Any]) -> None:
    assert "no query method 'no_such_query'" in report["query_rejection"]
