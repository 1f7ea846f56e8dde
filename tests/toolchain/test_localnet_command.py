"""``icfleet localnet`` as a process of its own: start, signals, mistakes, and a crash."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from live_network import ADA, CONFIG, DIARY, build_once

from icfleet_agent import Agent, AgentError, Canister, ManagementCanister
from icfleet_protocol.cbor import decode_map
from icfleet_protocol.principal import Principal

MODULE = [sys.executable, "-m", "icfleet"]
SCRIPT = [str(Path(sys.executable).parent / "icfleet")]
START_S = 40


@dataclass(frozen=True)
class Running:
    """A process that answers."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    log: Path

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    def stop(self, number: signal.Signals = signal.SIGINT) -> str:
        """End it, and return what it printed."""
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=20)
        return said


@contextmanager
def running(folder: Path, *options: str, command: Sequence[str] = MODULE) -> Generator[Running]:
    """A local network in a folder of its own, ended with the block."""
    ready, log = folder / "ready.json", folder / "stderr.txt"
    ready.unlink(missing_ok=True)
    arguments = ["localnet", "--port", "0", "--admin-port", "0", "--ready-file", str(ready)]
    environment = {**os.environ, "NO_COLOR": "1"}
    environment.pop("PYTHONHASHSEED", None)
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, *arguments, *options],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
    try:
        deadline_s = time.monotonic() + START_S
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.02)
        yield Running(process, json.loads(ready.read_text()), log)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [*MODULE, "localnet", *options],
        capture_output=True,
        check=False,
        text=True,
        timeout=50,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONHASHSEED": "0"},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_a_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    """Lines for people, a file for scripts; then code 0, and the port is free."""
    with running(tmp_path, "--subnets", "2") as network:
        status = decode_map(httpx.get(f"{network.url}/api/v2/status").content, size_max=10**4)
        page = httpx.get(network.ready["admin_url"])
        said = network.stop(number)

    assert network.process.returncode == 0
    assert status["root_key"].hex() == network.ready["root_key"]
    assert network.ready["pid"] == network.process.pid
    assert page.status_code == 200
    assert f"Local network  {network.url}" in said
    assert f"Status page    {network.ready['admin_url']}" in said
    assert all(subnet in said for subnet in network.ready["subnets"])
    assert len(network.ready["subnets"]) == 2
    assert "Model, not the Internet Computer: profile fast" in said
    assert said.endswith("The local network is stopped; what it held is gone.\n")
    assert not (tmp_path / "ready.json").exists()
    port = httpx.URL(network.url).port
    assert port is not None
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))


def test_its_log_is_json_where_programs_read_it(tmp_path: Path) -> None:
    """One object a line, and the seed in none of them."""
    options = ("--log-format", "json", "--log-level", "debug", "--seed", "canary-0815")
    with running(tmp_path, *options) as network:
        httpx.get(f"{network.url}/api/v2/status")
        said = network.stop()

    lines = [json.loads(line) for line in network.log.read_text().splitlines()]
    ours = [line for line in lines if line["event"].startswith("the local network")]
    assert [line["event"] for line in ours] == [
        "the local network started",
        "the local network stopped",
    ]
    assert (ours[0]["level"], ours[0]["url"]) == ("info", network.url)
    assert "canary" not in said + network.log.read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--subnets", "0"), "0 subnets: choose 1 to 64"),
        (("--subnets", "65"), "65 subnets: choose 1 to 64"),
        (("--ready-file", "/nowhere/x.json"), "there is no folder /nowhere"),
        (("--port", "5001", "--admin-port", "5001"), "are both 5001: choose two"),
        (("--profile", "x"), "no profile 'x': choose one of fast, mainnet"),
        (("--profile", "mainnet", "--scale", "0"), "scale '0' is not a number above 0"),
        (("--scale", "1/2"), "profile fast limits nothing"),
        (("--state-dir", "/dev/null"), "/dev/null cannot be used for --state-dir"),
        (("--state-dir", "/tmp", "--seed", "x"), "--state-dir keeps a seed of its own"),
    ],
)
def test_an_option_that_makes_no_sense_is_told_in_a_line(
    options: tuple[str, ...], told: str
) -> None:
    """With code 1, before anything is started."""
    done = run("--port", "0", *options)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("icfleet: ")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "options", [("--executor", "x"), ("--port", "70000"), ("--port", "x"), ("--log-level", "x")]
)
def test_a_word_that_is_no_option_is_wrong_usage(options: tuple[str, ...]) -> None:
    """Code 2, and the option's name."""
    done = run(*options)

    assert (done.returncode, done.stdout) == (2, "")
    assert options[0] in done.stderr


def test_a_taken_port_is_named() -> None:
    """And how to get around it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = run("--port", port)
        admin = run("--port", "0", "--admin-port", port)

    for each in (done, admin):
        assert (each.returncode, each.stderr.count("\n")) == (1, 1)
        assert f"127.0.0.1:{port} is in use: stop the other program" in each.stderr


@pytest.mark.parametrize("command", [MODULE, SCRIPT], ids=["module", "script"])
def test_its_state_outlives_a_crash(tmp_path: Path, command: list[str]) -> None:
    """Every update that was acknowledged before SIGKILL is there afterwards."""
    options = ("--state-dir", str(tmp_path / "state"))
    with running(tmp_path, *options, command=command) as network:
        canister, acknowledged = asyncio.run(update_until_killed(network))
    assert network.process.returncode == -signal.SIGKILL
    assert acknowledged > 20

    with running(tmp_path, *options, command=command) as network:
        kept = asyncio.run(notes(network.url, canister))
        environment = Path(f"/proc/{network.process.pid}/environ").read_bytes()
        said = network.stop(signal.SIGTERM)

    assert len(kept) >= acknowledged
    assert b"PYTHONHASHSEED=0" in environment.split(b"\0")
    assert "Restored" in said
    assert said.endswith(f"what it held is kept in {tmp_path / 'state'}.\n")


def test_a_folder_in_use_is_named(tmp_path: Path) -> None:
    """A second network does not start."""
    with running(tmp_path, "--state-dir", str(tmp_path / "state")):
        done = run("--port", "0", "--state-dir", str(tmp_path / "state"))

    assert done.returncode == 1
    assert "is in use by another local network" in done.stderr


async def update_until_killed(network: Running) -> tuple[Principal, int]:
    """Load from several clients; how many updates were acknowledged before the process died."""
    acknowledged = 0

    async def load(canister: Canister) -> None:
        nonlocal acknowledged
        try:
            while True:
                await canister.update("increment", 1)
                acknowledged += 1
        except AgentError:
            return

    async with Agent(network.url, identity=ADA, config=CONFIG) as agent:
        management = ManagementCanister(agent)
        canister_id = await management.create()
        await management.install(canister_id, build_once(DIARY))
        canister = await Canister.from_metadata(agent, canister_id)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(load(canister))
            await asyncio.sleep(1.5)
            network.process.kill()
    return canister_id, acknowledged


async def notes(url: str, canister_id: Principal) -> list[str]:
    async with Agent(url, identity=ADA, config=CONFIG) as agent:
        canister = await Canister.from_metadata(agent, canister_id)
        found = cast("list[str]", await canister.query("kept"))
        assert await canister.query("read") == len(found)
        return found


WAITING = """
from icfleet.event_loop import run_served, stopped_by_signals
import asyncio


async def main():
    with stopped_by_signals(lambda: print("asked", flush=True)):
        print("here", flush=True)
        while True:
            pass


run_served(main())
"""


def test_what_holds_the_event_loop_up_ends_at_the_second_signal() -> None:
    """The first one waits for a turn that never comes."""
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "stopped at once" in said
