"""The public surface is one sorted list, and every name in it is there."""

import importlib
import subprocess
import sys

import icfleet_agent


def test_public_names_exist_once() -> None:
    assert len(set(icfleet_agent.__all__)) == len(icfleet_agent.__all__)
    assert all(hasattr(icfleet_agent, name) for name in icfleet_agent.__all__)


def test_public_names_are_sorted() -> None:
    """Constants first, then classes, then functions, as the linter wants them."""
    constants = [name for name in icfleet_agent.__all__ if name.isupper()]
    classes = [name for name in icfleet_agent.__all__ if not name.isupper() and name[0].isupper()]
    functions = [name for name in icfleet_agent.__all__ if name[0].islower()]

    assert icfleet_agent.__all__ == [*sorted(constants), *sorted(classes), *sorted(functions)]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(icfleet_agent, "Nothing")


def test_httpx_is_imported_only_for_those_who_want_it() -> None:
    """It takes as long to import as all the rest."""
    program = (
        "import sys, icfleet_agent; assert 'httpx' not in sys.modules; "
        "icfleet_agent.HttpxTransport; assert 'httpx' in sys.modules"
    )

    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_every_module_tells_its_public_names() -> None:
    for module in ("agent", "call", "course", "query", "read_state", "retries", "update", "wire"):
        assert importlib.import_module(f"icfleet_agent.{module}").__all__
