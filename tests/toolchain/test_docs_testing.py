"""Every example of ``docs/testing.md`` runs, as the file that it says it is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from running_fleet import copy_project

DOCUMENT = Path(__file__).parents[2] / "docs/testing.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def _examples() -> dict[str, str]:
    """Content by file name."""
    found: dict[str, str] = {}
    for block in BLOCK.findall(DOCUMENT.read_text()):
        first, _, rest = block.partition("\n")
        name = re.fullmatch(r"# (\S+\.py)", first)
        assert name is not None, f"a block names no file: {first}"
        assert name[1] not in found, name[1]
        found[name[1]] = rest
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The reference game with the page's files in it."""
    root = copy_project(tmp_path)
    (root / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n")
    for name, content in _examples().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def _run(project: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


@pytest.mark.timeout(180)
def test_pytests_examples_pass(project: Path) -> None:
    """All of them, and none is passed over."""
    count = sum(
        content.count("def test_") for name, content in _examples().items() if _is_test(name)
    )

    done = _run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} passed" in done.stdout


def test_the_example_without_pytest_passes(project: Path) -> None:
    done = _run(project, "tests/plain_counter.py")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 1 test" in done.stderr


def _is_test(name: str) -> bool:
    return Path(name).name.startswith("test_")
