"""Simulations build their logs of small pages, so that a short run fills and trims many."""

from collections.abc import Iterator

import pytest
from simulated_run import small_pages


@pytest.fixture(autouse=True)
def _small_pages() -> Iterator[None]:
    with small_pages():
        yield
