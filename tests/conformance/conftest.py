"""A running network for clients that nobody here wrote, and canisters for them to call."""

from collections.abc import Callable, Iterator, Mapping

import httpx
import pytest
from background_network import Network, run_network
from probe_canisters import HOLD, PROBE, SCRIPTED, script
from wire_client import NO_ARGS, Built, Deployed, Wire, full_settings

from icfleet.build import build
from icfleet_protocol.candid import parse_did

BuildSource = Callable[[str], Built]
Deploy = Callable[..., Deployed]


@pytest.fixture(
    scope="session", params=[pytest.param(1, id="one-subnet"), pytest.param(2, id="two-subnets")]
)
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    """With one subnet the root key signs everything; with two it delegates to them."""
    with run_network(subnets=request.param) as running:
        yield running


@pytest.fixture(scope="session")
def wire(network: Network) -> Iterator[Wire]:
    with httpx.Client(base_url=network.url, timeout=30, trust_env=False) as http:
        yield Wire(http, network.root_key_der)


@pytest.fixture(scope="session")
def build_source(tmp_path_factory: pytest.TempPathFactory) -> BuildSource:
    """Build a one-file canister, each source once."""
    built: dict[str, Built] = {}

    def build_one(source: str) -> Built:
        if source not in built:
            folder = tmp_path_factory.mktemp("canister")
            (folder / "main.py").write_text(source)
            result = build(folder / "main.py", search_path=(folder,), out=None)
            built[source] = Built(result.wasm, parse_did(result.did))
        return built[source]

    return build_one


@pytest.fixture(scope="session")
def deploy(wire: Wire, build_source: BuildSource) -> Deploy:
    """Create a canister and install a source into it."""

    def deploy_one(
        source: str, arg: bytes = NO_ARGS, settings: Mapping[str, object] | None = None
    ) -> Deployed:
        built = build_source(source)
        canister = wire.create(settings=settings)
        wire.install(canister, built.wasm, arg=arg)
        return Deployed(wire, canister, built.interface)

    return deploy_one


@pytest.fixture
def probe(deploy: Deploy) -> Deployed:
    """A canister for clients to call."""
    return deploy(PROBE)


@pytest.fixture
def scripted(deploy: Deploy) -> Callable[..., Deployed]:
    """Canisters that do what they are told, step by step."""

    def deploy_scripted(steps: str = "") -> Deployed:
        return deploy(SCRIPTED, script(steps))

    return deploy_scripted


@pytest.fixture
def hold(wire: Wire, deploy: Deploy) -> Deployed:
    """A canister whose ``hold`` answers once the canister is started again."""
    deployed = deploy(HOLD)
    controllers = [wire.signer.sender, deployed.id]
    settings = full_settings({"controllers": controllers})
    wire.manage("update_settings", deployed.id, settings=settings)
    return deployed
