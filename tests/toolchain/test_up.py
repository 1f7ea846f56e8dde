"""``icfleet up`` from start to stop."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from running_fleet import RunningFleet, copy_project, start_fleet

from icfleet.admin_calls import Member
from icfleet.errors import NetworkError
from icfleet.fleet_up import fleet_process, grant_gateway
from icfleet.settings import UpSettings
from icfleet_protocol.candid import ServiceInterface
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER


def test_it_says_where_everything_is(running_fleet: RunningFleet) -> None:
    """Address, ids and keys, then commands that work as they are printed."""
    said = (running_fleet.project / "up.log").read_text()

    assert running_fleet.url in said
    assert all(str(canister) in said for canister in running_fleet.ids.values())
    assert f"icfleet status --host {running_fleet.url}" in said
    assert f"locust -f loadtests/locustfile.py --host {running_fleet.url}" in said
    assert ".icfleet/identities/gateway.pem" in said


def test_the_ready_file_has_what_scripts_need(running_fleet: RunningFleet) -> None:
    """It appears when everything is ready, and is whole at once."""
    ready = json.loads((running_fleet.project / "ready.json").read_text())

    assert sorted(ready) == ["admin", "canisters", "gateway", "network", "pid", "url"]
    assert ready["pid"] == running_fleet.process.pid
    assert Path(ready["admin"]).stat().st_mode & 0o777 == 0o600
    assert Path(ready["gateway"]).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_gracefully(tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 0, a word on it, and no ready file left; ids of an older network do not matter."""
    project = copy_project(tmp_path)
    ids = project / ".dfx" / "local" / "canister_ids.json"
    ids.parent.mkdir(parents=True)
    # Canisters of the new network get these ids, in another order.
    ids.write_text('{"replica_1": {"local": "bkyz2-fmaaa-aaaaa-qaaaq-cai"}}')

    with start_fleet(project) as fleet:
        assert len(set(fleet.ids.values())) == 3
        fleet.process.send_signal(number)
        assert fleet.process.wait(20) == 0

    assert "is stopped" in (project / "up.log").read_text()
    assert not (project / "ready.json").exists()


def test_a_project_that_cannot_be_built_starts_no_network(tmp_path: Path) -> None:
    """The error is one line, and the port is free again."""
    (tmp_path / "dfx.json").write_text('{"canisters": {"main": {"main": "main.py"}}}')
    command = [sys.executable, "-m", "icfleet", "up", "--port", "0"]

    done = subprocess.run(
        command, capture_output=True, check=False, cwd=tmp_path, text=True, timeout=50
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "main.py, which is not there" in done.stderr


def test_a_process_that_fails_to_start_is_told(tmp_path: Path) -> None:
    """Whoever embeds it gets an error, not a wait."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        dfx = copy_project(tmp_path) / "dfx.json"

        with (
            pytest.raises(NetworkError, match="ended with code 1"),
            fleet_process(dfx, port=port, timeout_s=30),
        ):
            pytest.fail("the port is taken")


def test_a_process_that_is_too_slow_is_stopped(tmp_path: Path) -> None:
    """The time-out is the caller's."""
    dfx = copy_project(tmp_path) / "dfx.json"

    with (
        pytest.raises(NetworkError, match=r"not ready within 0\.05 s"),
        fleet_process(dfx, port=0, timeout_s=0.05),
    ):
        pytest.fail("nothing starts that fast")


class RecordingCaller:
    """Answers every admin call with success."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[object, ...]]] = []

    async def call(self, member: Member, method: str, *args: object) -> object:
        """Remember the call."""
        assert member.name == "main"
        self.asked.append((method, args))
        return {"Done": {"epoch": 1, "seq": len(self.asked)}}

    async def query(self, member: Member, method: str, *args: object) -> object:
        """Nothing is asked."""
        raise AssertionError(member, method, args)


MAIN = Member(name="main", id=MANAGEMENT_CANISTER, interface=ServiceInterface())


async def test_the_gateway_gets_what_the_settings_name() -> None:
    """A scope for its operations, and each role."""
    caller = RecordingCaller()
    settings = UpSettings(gateway_operations=("Move",), gateway_roles=("treasury", "oracle"))

    await grant_gateway(caller, MAIN, ANONYMOUS, settings)

    assert caller.asked == [
        ("grant_gateway", (ANONYMOUS, {"operations": ["Move"], "all_players": False})),
        ("grant_role", (ANONYMOUS, "treasury")),
        ("grant_role", (ANONYMOUS, "oracle")),
    ]


async def test_without_settings_the_gateway_gets_nothing() -> None:
    """Rights are never implied."""
    caller = RecordingCaller()

    await grant_gateway(caller, MAIN, ANONYMOUS, UpSettings())

    assert caller.asked == []
