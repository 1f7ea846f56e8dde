"""Shared by the router's tests."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The router runs on asyncio, as its agent does."""
    return "asyncio"
