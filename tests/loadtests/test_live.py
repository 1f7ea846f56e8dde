"""Locust's figures, copied to a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import locust
import msgspec
import pytest
from locust import argument_parser
from locust.env import Environment

from icfleet_loadtests.live import snapshot_of, watch
from icfleet_loadtests.options import LoadOptions, options_of, register
from icfleet_loadtests.statistics import LoadSnapshot, reads_by_canister

Parse = Callable[..., Any]


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Parse:
    """Makes an environment as Locust's command line does, with this package's options."""

    def parse(*arguments: str) -> Any:
        environment: Any = Environment()
        register(environment.events)
        register(environment.events)
        # Locust's parser asks the events of the process for options.
        monkeypatch.setattr(locust, "events", environment.events)
        parser: Any = argument_parser
        environment.parsed_options = parser.get_parser().parse_args(list(arguments))
        environment.create_local_runner()
        return environment

    return parse


def _play(environment: Any) -> None:
    for kind, name, duration_ms, error in (
        ("query", "board [replica_1]", 10, None),
        ("query", "board [replica_1]", 20, None),
        ("query", "board [main]", 5, RuntimeError("no")),
        ("update", "Pay [main]", 7, None),
        ("GET", "/elsewhere", 1, None),
    ):
        environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=duration_ms,
            response_length=0,
            exception=error,
            context={},
        )


def test_a_snapshot_has_locusts_figures(parse: Parse) -> None:
    environment = parse()
    _play(environment)

    snapshot = snapshot_of(environment)

    assert (snapshot.requests_count, snapshot.failures_count) == (4, 1)
    assert reads_by_canister(snapshot.calls) == {"main": 0, "replica_1": 2}
    assert [call.histogram for call in snapshot.calls] == [{10: 1, 20: 1}, {5: 1}, {7: 1}]
    assert snapshot.errors == {"query board [main]: RuntimeError('no')": 1}
    assert 0 <= snapshot.elapsed_s < 60


def test_before_the_first_call_there_are_no_figures(parse: Parse) -> None:
    snapshot = snapshot_of(parse())

    assert snapshot == LoadSnapshot(elapsed_s=0.0, users_count=0, calls=(), errors={})


def test_the_file_is_whole_whenever_it_is_read_and_last_written_at_the_end(
    parse: Parse, tmp_path: Path
) -> None:
    environment = parse()
    path = tmp_path / "live.json"
    watch(environment, path)
    gevent.sleep(0.05)
    first = msgspec.json.decode(path.read_bytes(), type=LoadSnapshot)

    _play(environment)
    environment.events.quit.fire(exit_code=0)

    last = msgspec.json.decode(path.read_bytes(), type=LoadSnapshot)
    assert (first.requests_count, last.requests_count) == (0, 4)


def test_workers_leave_the_figures_to_their_master(parse: Parse, tmp_path: Path) -> None:
    environment = parse("--worker")
    path = tmp_path / "live.json"

    watch(environment, path)
    environment.events.quit.fire(exit_code=0)

    assert not path.exists()


def test_options_come_from_the_command_line(parse: Parse) -> None:
    environment = parse(
        *("--icfleet-network", "ic", "--icfleet-record", "r.jsonl", "--icfleet-live", "l.json")
    )

    options = options_of(environment)

    assert options == LoadOptions(
        network="ic", record_path=Path("r.jsonl"), live_path=Path("l.json")
    )


def test_options_have_defaults(parse: Parse) -> None:
    assert options_of(parse()) == LoadOptions()
    assert LoadOptions() == LoadOptions(network="local", record_path=None, live_path=None)
