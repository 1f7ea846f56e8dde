"""The Python that runs Kybra: found among those on the machine, kept in a venv of its own.

Kybra 0.7.1 needs Python 3.10 or 3.11: its module finder imports ``imp``, which 3.12 removed.
A venv apart also keeps this toolkit's packages out of what Kybra may bundle.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from icfleet.errors import KybraError
from icfleet.progress import Progress

__all__ = [
    "KYBRA_RUST_VERSION",
    "KYBRA_VERSION",
    "check_kybra_python",
    "ensure_kybra_venv",
    "find_kybra_python",
]

KYBRA_VERSION = "0.7.1"
"""The last release; 0.5.3 and older no longer build at all (kybra issues #458, #461)."""

KYBRA_RUST_VERSION = "1.87.0"
"""The Rust that Kybra downloads for itself. Source: ``kybra`` 0.7.1, ``kybra/__init__.py``."""

KYBRA_PYTHON_VERSIONS = ("3.10", "3.11")
"""In order of preference: Kybra is developed with 3.10, and 3.11 bundles the same."""

_PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
_PROBE_INSTALLATION = "import sys; print('%d.%d' % sys.version_info[:2], sys.base_prefix)"
_PROBE_TIMEOUT_S = 20
_INSTALL_TIMEOUT_S = 600
_OUTPUT_LINES_MAX = 15
_HOW_TO_GET_ONE = (
    "install one, for example with 'uv python install 3.10', 'pyenv install 3.10' or "
    "'apt install python3.11-venv', or name one with --python"
)


def find_kybra_python(environ: Mapping[str, str], *, home: Path, own: Path) -> Path:
    """Find a Python that Kybra runs on, with ``venv`` and ``ensurepip``.

    A name on PATH proves nothing (pyenv's shims exist for versions that are not active), so every
    candidate is run.

    Args:
        environ: The environment; only ``PATH`` is read.
        home: The user's home folder, where pyenv and uv keep interpreters.
        own: The Python this toolkit runs on, taken when it fits and no other is found.

    Raises:
        KybraError: If there is none; the message says how to get one.
    """
    for version in KYBRA_PYTHON_VERSIONS:
        for candidate in [*_candidates(version, environ, home), own]:
            if _probe(candidate) == version:
                return candidate
    wanted = " or ".join(KYBRA_PYTHON_VERSIONS)
    message = (
        f"Kybra needs Python {wanted} with venv and pip, and none was found: {_HOW_TO_GET_ONE}"
    )
    raise KybraError(message)


def check_kybra_python(python: Path) -> Path:
    """Check an interpreter that the user named.

    Raises:
        KybraError: If it does not run, or is another version.
    """
    version = _probe(python)
    if version in KYBRA_PYTHON_VERSIONS:
        return python
    found = "cannot be run, or lacks venv and pip" if version is None else f"is Python {version}"
    wanted = " or ".join(KYBRA_PYTHON_VERSIONS)
    message = f"{python} {found}, and Kybra needs Python {wanted}: {_HOW_TO_GET_ONE}"
    raise KybraError(message)


def ensure_kybra_venv(
    folder: Path, find: Callable[[], Path], progress: Progress, *, chosen: Path | None = None
) -> Path:
    """Return the Python of a venv that has Kybra, making it on first use.

    A stamp is written last, so that a venv whose making was interrupted is made again.

    Args:
        folder: Where the venv is kept.
        find: Finds the interpreter to make it from; called only when the venv is not there and
            none was chosen.
        progress: Told about each step.
        chosen: The interpreter that the user named; a venv of another one is made anew.

    Raises:
        KybraError: If the chosen interpreter does not fit, the venv cannot be made, or Kybra cannot
            be installed into it.
    """
    if chosen is not None:
        check_kybra_python(chosen)
    inside = folder / "bin" / "python"
    stamp = folder / "kybra-version"
    is_finished = stamp.is_file() and stamp.read_text(encoding="ascii") == KYBRA_VERSION
    if is_finished and (chosen is None or _is_same_installation(inside, chosen)):
        return inside
    python = find() if chosen is None else chosen
    shutil.rmtree(folder, ignore_errors=True)
    with progress.step(f"Making {folder} with {python}"):
        _run([str(python), "-m", "venv", str(folder)], "cannot make a venv")
    with progress.step(f"Installing kybra {KYBRA_VERSION} (once)"):
        pip = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, f"kybra=={KYBRA_VERSION}"], f"cannot install kybra {KYBRA_VERSION}")
    stamp.write_text(KYBRA_VERSION, encoding="ascii")
    return inside


def _candidates(version: str, environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    name = f"python{version}"
    for folder in environ.get("PATH", "").split(os.pathsep):
        if folder and (Path(folder) / name).is_file():
            yield Path(folder) / name
    yield from _newest_first(home.glob(f".pyenv/versions/{version}.*/bin/{name}"))
    yield from _newest_first(home.glob(f".local/share/uv/python/cpython-{version}.*/bin/{name}"))


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, reverse=True)


def _is_same_installation(inside: Path, chosen: Path) -> bool:
    """Whether a venv's Python is ``chosen``'s, which may itself be a link, a shim or in a venv."""
    installation = _probe(chosen, _PROBE_INSTALLATION)
    return installation is not None and installation == _probe(inside, _PROBE_INSTALLATION)


def _probe(python: Path, code: str = _PROBE) -> str | None:
    """The version that ``python`` says it is, or ``None`` if it cannot make venvs or run at all."""
    try:
        done = subprocess.run(  # noqa: S603 - interpreters found on this machine or named by the user
            [str(python), "-c", code],
            capture_output=True,
            check=False,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _run(command: list[str], failure: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own command line, no shell
            command, capture_output=True, check=False, text=True, timeout=_INSTALL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"{failure}: {error}"
        raise KybraError(message) from error
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        message = f"{failure}: '{' '.join(command)}' ended with code {done.returncode}"
        raise KybraError(message, detail="\n".join(lines[-_OUTPUT_LINES_MAX:]))
