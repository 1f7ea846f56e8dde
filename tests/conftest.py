"""What all tests share: one fleet for those that only need some running fleet."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from running_fleet import RunningFleet, copy_project, start_fleet

# Examples are drawn from a fixed seed in CI; run with HYPOTHESIS_PROFILE=default for new ones.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def running_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """A fleet that tests share: they must not stop it, nor count on its being fresh."""
    with start_fleet(copy_project(tmp_path_factory.mktemp("fleet"))) as fleet:
        yield fleet
