"""Users in Locust's own environment, with a fleet that answers from scripts."""

import json
import os
import socket
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import gevent
import pytest
from fake_fleet import FakeFleet, status_of
from locust import argument_parser
from locust.env import Environment

from icfleet_loadtests import FleetUser
from icfleet_loadtests.calls import FleetPort
from icfleet_loadtests.locust_port import HooksPort
from icfleet_loadtests.records import find_record_files
from icfleet_protocol.principal import ANONYMOUS
from icfleet_router import NoHealthyCanisterError, OperationRefusedError, Position, Role
from icfleet_router.stamp import OperationStamp

PAY = {"Pay": {"amount": 5}}
DOWN = NoHealthyCanisterError("down", method="board", canister="main", attempts_count=2)
REFUSED = OperationRefusedError(
    "poor", OperationStamp(b"i" * 16, 1), code="TooPoor", position=Position(1, 6)
)


class World:
    """One Locust process: its environment, the fleet, and what its users had counted."""

    def __init__(self, folder: Path) -> None:
        self.fleet = FakeFleet()
        self.opened_count = 0
        self.requests: list[tuple[Any, ...]] = []
        self.records = folder / "records.jsonl"
        world = self

        class Player(FleetUser):
            def open_fleet(self) -> Any:
                world.opened_count += 1
                opened = world.fleet.opened()
                return cast("AbstractAsyncContextManager[FleetPort]", opened)

        options = Namespace(icfleet_record=str(self.records))
        environment = Environment(user_classes=[Player], parsed_options=options)
        environment.create_local_runner()
        self.environment: Any = environment
        hooks = cast("HooksPort", environment.events)
        hooks.request.add_listener(self._count)
        self.user_class = Player

    def player(self) -> FleetUser:
        player = self.user_class(self.environment)
        player.on_start()
        return player

    def leave(self) -> None:
        self.environment.events.test_stop.fire(environment=self.environment)

    def _count(
        self, *, request_type: str, name: str, exception: Exception | None, **_: object
    ) -> None:
        self.requests.append((request_type, name, exception and repr(exception)))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.leave()


def test_calls_are_counted_by_kind_name_and_canister(world: World) -> None:
    player = world.player()

    board = player.query("board", 10)
    receipt = player.submit(PAY, subject=ANONYMOUS)

    assert board == ("board", 10, "an answer")
    assert receipt is not None
    assert receipt.position == Position(1, 5)
    assert world.requests == [
        ("query", "board [replica_1]", None),
        ("update", "Pay [main]", None),
    ]


def test_durations_reach_locusts_own_statistics(world: World) -> None:
    world.player().query("board")

    entry = world.environment.stats.get("board [replica_1]", "query")
    assert (entry.num_requests, entry.num_failures) == (1, 0)
    assert 1 <= entry.max_response_time < 1000


def test_a_failed_call_counts_as_a_failure_and_answers_nothing(world: World) -> None:
    player = world.player()
    world.fleet.answer = DOWN

    assert player.query("board") is None
    assert world.requests == [("query", "board [replica_1]", "NoHealthyCanisterError")]


def test_an_answer_that_cannot_be_right_counts_as_a_failure(world: World) -> None:
    player = world.player()

    answer = player.query("board", complaint=lambda answer: f"{answer[0]} is empty")

    assert answer is None
    assert world.requests == [
        ("query", "board [replica_1]", "WrongAnswerError"),
    ]


def test_an_expected_refusal_counts_as_an_answer(world: World) -> None:
    player = world.player()
    world.fleet.receipt = REFUSED

    assert player.submit(PAY, subject=ANONYMOUS, refusals_expected={"TooPoor"}) is None
    assert player.submit(PAY, subject=ANONYMOUS) is None
    assert world.requests == [
        ("update", "Pay [main]", None),
        ("update", "Pay [main]", "OperationRefusedError"),
    ]


def test_all_players_of_a_process_share_one_fleet(world: World) -> None:
    """Also those that start while it is being opened."""
    greenlets = [gevent.spawn(world.player) for _ in range(5)]
    gevent.joinall(greenlets, timeout=10)

    assert all(isinstance(greenlet.value, FleetUser) for greenlet in greenlets)
    assert world.opened_count == 1


def test_the_fleet_is_closed_when_the_players_have_left(world: World) -> None:
    world.player()

    world.leave()

    assert world.fleet.is_closed


def test_a_test_that_is_started_again_opens_the_fleet_again(world: World) -> None:
    world.player()
    world.leave()

    assert world.player().query("board") is not None
    assert world.opened_count == 2


def test_acknowledged_operations_are_on_disk_at_once(world: World) -> None:
    world.player().submit(PAY, subject=ANONYMOUS)

    (path,) = find_record_files(world.records)
    assert [json.loads(line)["operation"] for line in path.read_text().splitlines()] == [PAY]


def test_a_fleet_that_does_not_answer_ends_the_test_with_an_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Players do not fail one by one for half a minute each."""
    world.fleet.reports = {"main": status_of("main", Role.MAIN, says=Role.REPLICA)}

    for _ in range(2):
        with pytest.raises(gevent.GreenletExit):
            world.player()

    assert world.environment.process_exit_code == 1
    assert caplog.messages == ["no fleet to play with: main says it is replica, and dfx.json main"]


def test_a_missing_key_is_told_with_what_makes_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Player(FleetUser):
        identity_pem = tmp_path / "gateway.pem"

    environment = Environment(user_classes=[Player])

    with pytest.raises(gevent.GreenletExit):
        Player(environment).on_start()

    assert "no such key file; 'icfleet up' makes it" in caplog.text


def test_defining_a_user_adds_the_options_to_locust() -> None:
    """A locustfile needs no line for them."""

    class Player(FleetUser):
        pass

    parser: Any = argument_parser
    options = parser.get_parser().parse_args(["--icfleet-record", "played"])

    assert options.icfleet_record == "played"
    assert not Player.abstract


def test_a_missing_project_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Player(FleetUser):
        dfx_json = tmp_path / "dfx.json"

    environment = Environment(user_classes=[Player])

    with pytest.raises(gevent.GreenletExit):
        Player(environment).on_start()

    assert "dfx.json: no such file" in caplog.text


LOCUSTFILE = """
from pathlib import Path
from icfleet_loadtests import FleetUser

class Player(FleetUser):
    dfx_json = Path(__file__).with_name("dfx.json")
"""


def _project_without_a_network(folder: Path) -> Path:
    did = Path(__file__).parents[2] / "canisters" / "icfleet.did"
    (folder / "icfleet.did").write_text(did.read_text())
    canister = {"type": "custom", "candid": "icfleet.did", "wasm": "main.wasm"}
    (folder / "dfx.json").write_text(json.dumps({"canisters": {"main": canister}}))
    ids = folder / ".dfx" / "local" / "canister_ids.json"
    ids.parent.mkdir(parents=True)
    ids.write_text(json.dumps({"main": {"local": "bkyz2-fmaaa-aaaaa-qaaaq-cai"}}))
    locustfile = folder / "locustfile.py"
    locustfile.write_text(LOCUSTFILE)
    return locustfile


def test_stock_locust_without_a_network_says_in_one_line_what_to_start(tmp_path: Path) -> None:
    """However many players wait for it; no traceback is shown."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{unused.getsockname()[1]}"
        locust = subprocess.run(
            [
                *(sys.executable, "-m", "locust", "-f", _project_without_a_network(tmp_path)),
                *("--host", host, "-u", "10", "-r", "10", "-t", "20s"),
                *("--headless", "--only-summary"),
            ],
            env={k: v for k, v in os.environ.items() if k != "LOCUST_SKIP_MONKEY_PATCH"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    told = locust.stdout + locust.stderr
    (error,) = (line for line in told.splitlines() if "ERROR" in line)
    assert "main (bkyz2-fmaaa-aaaaa-qaaaq-cai) does not answer" in error
    assert error.endswith("start it with `icfleet up`")
    assert "Traceback" not in told
    assert locust.returncode == 1
