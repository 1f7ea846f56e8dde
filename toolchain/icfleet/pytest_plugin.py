"""Fixtures for tests of canisters and game servers: ``localnet``, ``clock``, ``fleet``.

Installed with icfleet, so any project's tests have them:

    def test_a_counter_counts(localnet):
        counter = localnet.install(Path("canisters/counter"))
        assert counter.update("increment", 5) == 5

    @pytest.mark.localnet(subnets=2, executor="process")
    async def test_reads_come_from_replicas(fleet):
        async with fleet.open() as game:
            ...
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    # Loaded by the fixtures: a test run that uses none of them pays nothing.
    from icfleet.testing import Localnet, LocalnetClock
    from icfleet.testing_fleet import RunningFleet

__all__ = ["clock", "fleet", "localnet", "pytest_addoption", "pytest_configure"]

_MARK = "localnet"
_CHOICES = frozenset({"executor", "profile", "scale", "subnets"})
_DFX = "icfleet_dfx"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a project say where its dfx.json is."""
    parser.addini(_DFX, "dfx.json of the fleet that the fixture 'fleet' runs", default="dfx.json")


def pytest_configure(config: pytest.Config) -> None:
    """Describe the mark."""
    config.addinivalue_line(
        "markers",
        f"{_MARK}(subnets=1, profile='fast', scale=None, executor='inprocess'): what kind of local "
        "network the fixtures 'localnet' and 'fleet' run",
    )


@pytest.fixture
def localnet(request: pytest.FixtureRequest) -> "Iterator[Localnet]":
    """A local network of the test's own; ``@pytest.mark.localnet(...)`` chooses its kind."""
    from icfleet.localnet_command import NetworkChoice  # noqa: PLC0415 - see above
    from icfleet.testing import Localnet  # noqa: PLC0415 - see above

    node = cast("pytest.Item", request.node)
    mark = node.get_closest_marker(_MARK)
    chosen: dict[str, Any] = {} if mark is None else dict(mark.kwargs)
    unknown = sorted(set(chosen) - _CHOICES)
    if unknown:
        reason = f"@pytest.mark.{_MARK}: no {unknown[0]!r}; there are {', '.join(sorted(_CHOICES))}"
        raise pytest.UsageError(reason)
    choice = NetworkChoice(port=0, admin_port=0, **chosen)
    with Localnet(choice, seed=node.nodeid.encode()) as running:
        yield running


@pytest.fixture
def clock(localnet: "Localnet") -> "LocalnetClock":
    """The local network's time: ``clock.advance(seconds)`` lets it pass in an instant."""
    return localnet.clock


@pytest.fixture
def fleet(localnet: "Localnet", pytestconfig: pytest.Config) -> "Iterator[RunningFleet]":
    """The project's fleet, deployed on the local network and joined."""
    from icfleet.testing_fleet import running_fleet  # noqa: PLC0415 - see above

    dfx = pytestconfig.rootpath / Path(str(pytestconfig.getini(_DFX)))
    with running_fleet(localnet, dfx) as running:
        yield running
