"""The ``icp`` command 1.5.0, as npm has it, on a running local network (``mode: connected``).

It is the Rust agent's own client: it verifies certificates and node signatures.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from background_network import Network
from probe_canisters import PROBE
from signing_keys import USER
from wire_client import Built, Deployed, Wire

from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import ANONYMOUS, Principal

BINARY = Path(__file__).parent / "js/node_modules/@icp-sdk/icp-cli-linux-x64/bin/icp"
RUN_S = 30

pytestmark = [pytest.mark.node, pytest.mark.timeout(2 * RUN_S)]


class CommandError(Exception):
    """A command that ended with an error, by what it wrote of it."""


@dataclass(frozen=True)
class Icp:
    """The command in a home and an empty folder of its own, pointed at a network."""

    home: Path
    url: str
    identity: str = "ada"

    def run(self, *command: str) -> str:
        """Run a command to its end.

        Raises:
            CommandError: If it ends with an error.
        """
        program = str(BINARY) if BINARY.exists() else shutil.which("icp")
        assert program is not None, "npm has icp for Linux on x64; elsewhere put it on PATH"
        environment = {
            **os.environ,
            "ICP_HOME": str(self.home),
            "DO_NOT_TRACK": "1",
            "RUST_BACKTRACE": "0",
        }
        done = subprocess.run(
            [program, *command],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        if done.returncode != 0:
            raise CommandError(done.stderr)
        return done.stdout

    def canister(self, command: str, *arguments: str) -> str:
        """Run ``icp canister``."""
        where = ["--network", self.url, "--root-key", "fetch", "--identity", self.identity]
        return self.run("canister", *command.split(), *arguments, *where)

    def call(self, canister: Deployed, method: str, arguments: str, *options: str) -> Any:
        """Call and read the answer, as Candid text."""
        output = self.canister("call", str(canister.id), method, arguments, "--json", *options)
        return json.loads(output)["response_candid"]

    def principal(self) -> Principal:
        """Who it calls as."""
        text = self.run("identity", "principal", "--identity", self.identity)
        return Principal.from_text(text.strip())


@pytest.fixture(scope="module")
def icp(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Icp:
    command = Icp(tmp_path_factory.mktemp("icp"), network.url)
    command.run("identity", "new", command.identity, "--storage", "plaintext")
    return command


@pytest.fixture
def own(icp: Icp, deploy: Callable[..., Deployed]) -> Deployed:
    """A probe that the command's identity controls."""
    return deploy(PROBE, settings={"controllers": [USER.sender, icp.principal()]})


def _status(icp: Icp, canister: Deployed) -> Any:
    return json.loads(icp.canister("status", str(canister.id), "--json"))


def test_it_pings(icp: Icp, network: Network) -> None:
    status = json.loads(icp.run("network", "ping", network.url, "--wait-healthy"))

    assert status["replica_health_status"] == "healthy"
    assert bytes(status["root_key"]) == network.root_key_der


def test_it_queries_and_updates(icp: Icp, own: Deployed) -> None:
    assert icp.call(own, "greet", '("icp")', "--query") == '("Hello, icp!")'
    assert icp.call(own, "increment", "()") == "(1 : nat64)"
    assert icp.call(own, "count", "()") == "(1 : nat64)"


@pytest.mark.parametrize(
    ("method", "arguments", "words"),
    [
        ("refuse", '("not like this")', ["CanisterReject", "not like this", "IC0406"]),
        ("fail", '("no way")', ["CanisterError", "no way", "IC0503"]),
    ],
    ids=["reject", "trap"],
)
def test_it_tells_why_a_call_failed(
    icp: Icp, own: Deployed, method: str, arguments: str, words: list[str]
) -> None:
    with pytest.raises(CommandError) as caught:
        icp.call(own, method, arguments)

    assert [word for word in words if word not in str(caught.value)] == []


def test_it_tells_that_there_is_no_such_canister(icp: Icp) -> None:
    absent = Principal(bytes.fromhex("000000000001fffe0101"))

    with pytest.raises(CommandError, match="IC0301"):
        icp.canister("call", str(absent), "greet", '("nobody")')


def test_its_identities_are_known(icp: Icp, own: Deployed) -> None:
    ed25519 = Ed25519Identity.from_seed(b"\x07" * 32)
    (icp.home / "ed25519.pem").write_text(ed25519.to_pem())
    icp.run("identity", "import", "eddy", "--from-pem", "ed25519.pem", "--storage", "plaintext")
    expected = {"ada": icp.principal(), "eddy": ed25519.sender, "anonymous": ANONYMOUS}

    for name, principal in expected.items():
        seen = replace(icp, identity=name)
        assert seen.call(own, "whoami", "()", "--query") == f'(principal "{principal}")'
        assert seen.call(own, "whoami_certified", "()") == f'(principal "{principal}")'


def test_it_reads_metadata(icp: Icp, own: Deployed) -> None:
    assert "increment : () -> (nat64);" in icp.canister("metadata", str(own.id), "candid:service")
    with pytest.raises(CommandError, match="not found"):
        icp.canister("metadata", str(own.id), "nothing")


def test_it_shows_a_controller_the_status(icp: Icp, own: Deployed) -> None:
    status = _status(icp, own)

    assert status["status"] == "Running"
    assert set(status["settings"]["controllers"]) == {str(USER.sender), str(icp.principal())}
    assert len(status["module_hash"]) == len("0x") + 64


def test_it_shows_others_what_is_public(icp: Icp, own: Deployed) -> None:
    status = _status(replace(icp, identity="anonymous"), own)

    assert set(status["controllers"]) == {str(USER.sender), str(icp.principal())}
    assert "settings" not in status


def test_it_stops_and_starts(icp: Icp, own: Deployed) -> None:
    icp.canister("stop", str(own.id))
    assert _status(icp, own)["status"] == "Stopped"
    with pytest.raises(CommandError, match="IC0508"):
        icp.call(own, "increment", "()")

    icp.canister("start", str(own.id))

    assert _status(icp, own)["status"] == "Running"
    assert icp.call(own, "increment", "()") == "(1 : nat64)"


def test_it_does_not_stop_what_it_does_not_control(icp: Icp, probe: Deployed) -> None:
    with pytest.raises(CommandError, match="IC0512"):
        icp.canister("stop", str(probe.id))


def test_it_installs_and_upgrades(
    icp: Icp, wire: Wire, build_source: Callable[[str], Built], tmp_path: Path
) -> None:
    built = build_source(PROBE)
    canister = wire.create(settings={"controllers": [USER.sender, icp.principal()]})
    deployed = Deployed(wire, canister, built.interface)
    path = tmp_path / "probe.wasm"
    path.write_bytes(built.wasm)

    icp.canister("install", str(canister), "--mode", "install", "--wasm", str(path))
    assert icp.call(deployed, "increment", "()") == "(1 : nat64)"
    icp.canister("install", str(canister), "--mode", "upgrade", "--wasm", str(path), "--yes")

    assert icp.call(deployed, "count", "()") == "(0 : nat64)"


def test_it_updates_settings(icp: Icp, own: Deployed) -> None:
    changes = ["--freezing-threshold", "5d", "--log-visibility", "public", "--add-controller"]
    icp.canister("settings update", str(own.id), *changes, "aaaaa-aa", "--force")

    settings = _status(icp, own)["settings"]

    assert str(settings["freezing_threshold"]).replace("_", "") == str(5 * 24 * 3600)
    assert "aaaaa-aa" in settings["controllers"]
    assert "ublic" in str(settings["log_visibility"])


def test_it_shows_logs(icp: Icp, own: Deployed) -> None:
    icp.call(own, "increment", "()")
    icp.call(own, "increment", "()")

    logs = icp.canister("logs", str(own.id))

    assert logs.index("now 1") < logs.index("now 2")


def test_it_deletes(icp: Icp, own: Deployed) -> None:
    icp.canister("stop", str(own.id))

    icp.canister("delete", str(own.id), "--no-recover-cycles")

    with pytest.raises(CommandError, match="IC0301"):
        icp.call(own, "increment", "()")
