"""Projects and interpreters for the toolchain's tests."""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from icfleet.kybra_python import KYBRA_VERSION

FAKE_KYBRA = Path(__file__).parent / "fake_kybra" / "__main__.py"


@pytest.fixture
def anyio_backend() -> str:
    """The agent and the local network run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def kybra_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished venv in which ``python -m kybra`` is the stand-in."""
    folder = tmp_path_factory.mktemp("kybra") / "venv"
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    install_fake_kybra(site)
    (folder / "kybra-version").write_text(KYBRA_VERSION)
    return folder


def install_fake_kybra(site: Path) -> None:
    """Put the stand-in where ``import kybra`` finds it."""
    (site / "kybra").mkdir()
    (site / "kybra" / "__init__.py").write_text("")
    shutil.copy(FAKE_KYBRA, site / "kybra")


@pytest.fixture
def source_project(tmp_path: Path) -> Path:
    """A project with one canister that imports a shared package."""
    root = tmp_path / "project"
    (root / "canisters" / "counter").mkdir(parents=True)
    (root / "canisters" / "counter" / "main.py").write_text("from shared.rules import LIMIT\n")
    (root / "canisters" / "shared").mkdir()
    (root / "canisters" / "shared" / "__init__.py").write_text("")
    (root / "canisters" / "shared" / "rules.py").write_text("LIMIT = 3\n")
    return root


RunIcfleet = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def icfleet(tmp_path: Path) -> RunIcfleet:
    """Run the real command in a process of its own; answers its code and both streams."""

    def run(
        *arguments: str, cwd: Path = tmp_path, **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "icfleet", *arguments],
            capture_output=True,
            check=False,
            cwd=cwd,
            env={**os.environ, **environ},
            text=True,
            timeout=50,
        )

    return run
