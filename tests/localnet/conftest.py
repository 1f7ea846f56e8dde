"""A subnet in virtual time, and canisters built from source for it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from localnet_client import COUNTER, START_NS, Built, Client, Deployed

from icfleet.build import build
from icfleet_localnet.http_interface import HttpInterface
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.network import Network
from icfleet_protocol.candid import parse_did


@pytest.fixture
def build_source(tmp_path: Path) -> Callable[[str], Built]:
    """Build one-file canister sources as ``icfleet build`` does."""
    number = 0

    def build_one(source: str) -> Built:
        nonlocal number
        number += 1
        folder = tmp_path / f"canister_{number}"
        folder.mkdir()
        entry = folder / "main.py"
        entry.write_text(source)
        result = build(entry, search_path=(folder,), out=None)
        return Built(result.wasm, parse_did(result.did))

    return build_one


@pytest.fixture
def client() -> Client:
    network = Network(InProcessExecutor(), seed=b"test", now_ns=START_NS)
    return Client(HttpInterface(network), network)


@pytest.fixture
def counter(build_source: Callable[[str], Built]) -> Built:
    return build_source(COUNTER)


@pytest.fixture
def deploy(client: Client, build_source: Callable[[str], Built]) -> Callable[[str], Deployed]:
    """Create a canister and install a source into it."""

    def deploy_one(source: str) -> Deployed:
        built = build_source(source)
        canister = client.create()
        client.install(canister, built.wasm)
        return Deployed(client, canister, built.interface)

    return deploy_one
