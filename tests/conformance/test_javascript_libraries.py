"""``@dfinity/agent`` 3.4.3 and ``@icp-sdk/core`` 6.1.0, as npm has them, on a local network.

Both verify every certificate and every node's signature themselves, against the root key that the
network tells; ``js/probe.mjs`` has the cases.
"""

import functools
import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from background_network import Network
from probe_canisters import PROBE
from wire_client import Deployed, Wire

from icfleet_protocol.principal import Principal

JS = Path(__file__).parent / "js"
ABSENT = Principal(bytes.fromhex("000000000001ffff0101"))
RUN_S = 60

LIBRARIES = ["dfinity", "icp-sdk"]
Report = Mapping[str, Mapping[str, Any]]

pytestmark = [pytest.mark.node, pytest.mark.timeout(2 * RUN_S)]


def _run(*command: str) -> Report:
    done = subprocess.run(
        ["node", *command], cwd=JS, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    report: Report = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def called(deploy: Callable[[str], Deployed]) -> Deployed:
    """A canister for each module's libraries."""
    return deploy(PROBE)


@pytest.fixture(scope="module", params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def report_of(network: Network, deploy: Callable[[str], Deployed]) -> Callable[[str], Report]:
    """What a library saw of a canister of its own, found out once."""

    @functools.cache
    def run_probe(name: str) -> Report:
        return _run("probe.mjs", name, network.url, str(deploy(PROBE).id), str(ABSENT))

    return run_probe


@pytest.fixture(scope="module")
def report(report_of: Callable[[str], Report], library: str) -> Report:
    return report_of(library)


def test_it_fetches_the_root_key_and_the_status(report: Report, network: Network) -> None:
    assert report["rootKey"] == {"value": network.root_key_der.hex()}
    assert report["status"] == {"value": "healthy"}


def test_it_queries_and_updates(report: Report) -> None:
    assert report["query"] == {"value": "Hello, JavaScript!"}
    assert report["update"] == {"value": [1, 2, 2]}


def test_it_sends_any_bytes(report: Report) -> None:
    echo = report["rawBytes"]["value"]

    assert echo["got"] == echo["sent"]


REJECTIONS = {
    "refused": (4, "IC0406", "not like this"),
    "refusedQuery": (4, "IC0406", "not like this"),
    "trapped": (5, "IC0503", "no way"),
    "trappedQuery": (5, "IC0503", "no way"),
    "unknownMethod": (5, "IC0536", "has no update method 'nowhere'"),
    "unknownQueryMethod": (5, "IC0536", "has no query method 'nowhere_query'"),
    "unknownCanister": (3, "IC0301", f"Canister {ABSENT} not found"),
    "unknownCanisterQuery": (3, "IC0301", f"Canister {ABSENT} not found"),
    "polledTrap": (5, "IC0503", "no way"),
}


@pytest.mark.parametrize(("case", "expected"), REJECTIONS.items(), ids=REJECTIONS)
def test_it_understands_a_rejection(
    report: Report, case: str, expected: tuple[int, str, str]
) -> None:
    code, error_code, words = expected

    message = report[case]["error"]

    assert f"Reject code: {code}\n" in message
    assert f"Error code: {error_code}\n" in message
    assert words in message


def test_it_polls_for_the_answer_to_an_update(report: Report) -> None:
    assert report["polled"] == {"value": {"status": 202, "count": 3}}


@pytest.mark.parametrize("case", ["anotherRootKey", "anotherRootKeyQuery"])
def test_it_does_verify(report: Report, case: str) -> None:
    """With the mainnet's root key it believes nothing that this network says."""
    assert "Certificate verification error" in report[case]["error"]


def test_it_reads_the_canisters_certified_state(report: Report, wire: Wire) -> None:
    status = report["canisterStatus"]["value"]

    assert abs(status["time"] - time.time() * 1000) < 2 * RUN_S * 1000
    assert status["controllers"] == [str(wire.signer.sender)]
    assert len(bytes.fromhex(status["moduleHash"])) == 32
    assert "increment : () -> (nat64);" in status["candid"]
    assert Principal.from_text(status["subnet"]).raw.endswith(b"\x02")
    assert status["nodes"] >= 1


@pytest.mark.parametrize("kind", ["anonymous", "ed25519", "secp256k1", "p256"])
def test_it_is_known_by_its_key(report: Report, kind: str) -> None:
    assert report[f"identity-{kind}"] == {"value": [True, True]}


@pytest.mark.parametrize(
    "case", ["delegation", "delegationForTheCanister", "delegationsOfEachKind"]
)
def test_it_acts_by_delegation(report: Report, case: str) -> None:
    assert report[case] == {"value": [True, True]}


def test_it_does_not_act_beyond_its_delegation(report: Report) -> None:
    assert "Status: 4" in report["delegationForAnother"]["error"]


@pytest.mark.parametrize("ahead_s", [3600, -3600], ids=["ahead", "behind"])
def test_it_learns_the_networks_time(
    network: Network, called: Deployed, library: str, ahead_s: int
) -> None:
    seen = _run("clock.mjs", library, network.url, str(called.id), str(ahead_s))

    assert seen["update"]["value"] > 0
    assert abs(seen["difference"]["value"] + ahead_s * 1000) < 60_000
    assert seen["query"] == {"value": "Hello, late!"}


def test_the_sdk_reads_its_subnets_certified_state(report_of: Callable[[str], Report]) -> None:
    """``@dfinity/agent`` has no such request."""
    status = report_of("icp-sdk")["subnetStatus"]["value"]

    key = bytes.fromhex(status["publicKey"])
    assert str(Principal.self_authenticating(key)) == status["subnet"]
    assert abs(status["time"] - time.time() * 1000) < 2 * RUN_S * 1000
    assert status["ranges"] >= 1
    assert status["nodes"] >= 1
