"""What importing the package costs, and what it must not pull in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import icfleet


def imported_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=50
    )
    modules: list[str] = json.loads(done.stdout)
    return {name.partition(".")[0] for name in modules}


def test_importing_the_package_loads_nothing_else() -> None:
    """``import icfleet`` is as cheap as an import can be."""
    loaded = imported_by("import icfleet")

    assert not loaded & {"aiohttp", "icfleet_agent", "icfleet_router", "kybra", "locust", "rich"}


def test_a_game_server_pulls_neither_locust_nor_kybra() -> None:
    """The fleet needs no extra, and no tool."""
    loaded = imported_by("from icfleet import Agent, Ed25519Identity, Fleet, Session")

    assert not loaded & {
        "gevent",
        "icfleet_localnet",
        "kybra",
        "locust",
        "rich",
        "typer",
        "uvicorn",
    }


def test_the_command_line_needs_no_extra_to_start() -> None:
    """Commands that do not run canisters work without the local network's packages."""
    loaded = imported_by("import icfleet.cli")

    assert not loaded & {"gevent", "httptools", "kybra", "locust", "uvicorn"}


@pytest.mark.parametrize("arguments", [["--help"], ["lint", "."], ["build", "."]])
def test_a_command_that_calls_nobody_loads_no_agent(arguments: list[str], tmp_path: Path) -> None:
    """The HTTP client takes most of a second to load, which ``--help`` must not cost."""
    (tmp_path / "main.py").write_text("from kybra import query\n")
    statement = f"""
import contextlib, io, os
from icfleet.cli import main
os.chdir({str(tmp_path)!r})
with contextlib.redirect_stdout(io.StringIO()):
    assert main({arguments!r}) == 0
"""

    assert not imported_by(statement) & {"aiohttp", "icfleet_agent", "icfleet_router"}


def test_every_promised_name_is_there() -> None:
    """Names are found, listed, and an unknown one is an AttributeError as anywhere."""
    assert all(getattr(icfleet, name) is not None for name in icfleet.__all__)
    assert set(icfleet.__all__) <= set(dir(icfleet))
    assert not hasattr(icfleet, "Flet")
