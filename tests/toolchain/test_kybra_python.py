"""Finding a Python for Kybra, and the venv made from it."""

import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from icfleet.errors import KybraError
from icfleet.kybra_python import (
    KYBRA_VERSION,
    check_kybra_python,
    ensure_kybra_venv,
    find_kybra_python,
)
from icfleet.progress import QuietProgress


def write_python(path: Path, version: str) -> Path:
    """An executable that answers the probe as an interpreter of ``version``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


def write_broken_python(path: Path) -> Path:
    """An executable that fails, as a pyenv shim of an inactive version does."""
    write_python(path, "")
    path.write_text("#!/bin/sh\nexit 127\n")
    return path


OTHER = Path("/no/such/python")
"""A toolkit that itself runs on a Python that Kybra cannot use."""


def test_3_10_is_preferred(tmp_path: Path) -> None:
    """Kybra is developed with 3.10; 3.11 is taken when there is no other."""
    newer = write_python(tmp_path / "a" / "python3.11", "3.11")
    environ = {"PATH": os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")])}

    assert find_kybra_python(environ, home=tmp_path, own=OTHER) == newer
    older = write_python(tmp_path / "b" / "python3.10", "3.10")
    assert find_kybra_python(environ, home=tmp_path, own=OTHER) == older


def test_a_name_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    """A shim on PATH is no interpreter; pyenv's own folder has the real one."""
    write_broken_python(tmp_path / "shims" / "python3.10")
    real = write_python(tmp_path / ".pyenv/versions/3.10.13/bin/python3.10", "3.10")

    found = find_kybra_python({"PATH": str(tmp_path / "shims")}, home=tmp_path, own=OTHER)

    assert found == real


def test_interpreters_of_uv_are_found(tmp_path: Path) -> None:
    """``uv python install 3.10`` puts nothing on PATH by default."""
    folder = tmp_path / ".local/share/uv/python/cpython-3.10.19-linux-x86_64-gnu"
    real = write_python(folder / "bin" / "python3.10", "3.10")

    assert find_kybra_python({}, home=tmp_path, own=OTHER) == real


def test_without_any_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    """No fitting Python is an error that ends in a command."""
    write_python(tmp_path / "python3.10", "3.12")

    with pytest.raises(KybraError, match=r"uv python install 3\.10"):
        find_kybra_python({"PATH": str(tmp_path)}, home=tmp_path, own=OTHER)


def test_the_running_python_serves_when_it_fits(tmp_path: Path) -> None:
    """A toolkit that itself runs on 3.10 or 3.11 needs no other Python."""
    own = write_python(tmp_path / "own" / "python", "3.11")

    assert find_kybra_python({}, home=tmp_path, own=own) == own


def test_a_named_python_is_checked(tmp_path: Path) -> None:
    """``--python`` is believed only after it was run."""
    good = write_python(tmp_path / "good", "3.10")

    assert check_kybra_python(good) == good
    with pytest.raises(KybraError, match=r"is Python 3\.13"):
        check_kybra_python(write_python(tmp_path / "new", "3.13"))
    with pytest.raises(KybraError, match="cannot be run"):
        check_kybra_python(tmp_path / "none")


def never() -> Path:
    """Finds no Python: for venvs that need none."""
    pytest.fail("a finished venv needs no interpreter")


def test_a_finished_venv_is_used_again(kybra_venv: Path) -> None:
    """Nothing is searched for and nothing installed the second time."""
    inside = ensure_kybra_venv(kybra_venv, never, QuietProgress(sys.stderr))

    assert inside == kybra_venv / "bin" / "python"


def test_a_named_python_is_checked_although_the_venv_is_finished(
    kybra_venv: Path, tmp_path: Path
) -> None:
    """A typo in ``--python`` is told, not passed over."""
    newer = write_python(tmp_path / "python", "3.13")

    with pytest.raises(KybraError, match=r"is Python 3\.13"):
        ensure_kybra_venv(kybra_venv, never, QuietProgress(sys.stderr), chosen=newer)


def test_the_venvs_own_python_needs_no_new_venv(kybra_venv: Path) -> None:
    """A venv's interpreter is a link to the one that was named."""
    stamp = kybra_venv / "kybra-version"
    before = stamp.stat().st_mtime_ns

    ensure_kybra_venv(
        kybra_venv, never, QuietProgress(sys.stderr), chosen=kybra_venv / "bin" / "python"
    )

    assert stamp.stat().st_mtime_ns == before


def test_another_python_makes_the_venv_anew(tmp_path: Path) -> None:
    """Otherwise ``--python`` would change nothing after the first build."""
    other = write_python(tmp_path / "python", "3.10")
    other.write_text(
        '#!/bin/sh\necho 3.10\n[ "$2" = venv ] || exit 0\nmkdir -p "$3/bin"\n'
        'printf \'#!/bin/sh\\n\' > "$3/bin/python"\nchmod +x "$3/bin/python"\n'
    )
    venv = tmp_path / "venv"
    write_python(venv / "bin" / "python", "3.11")
    (venv / "kybra-version").write_text(KYBRA_VERSION)

    ensure_kybra_venv(venv, never, QuietProgress(sys.stderr), chosen=other)

    assert (venv / "bin" / "python").read_text() == "#!/bin/sh\n"
    assert (venv / "kybra-version").read_text() == KYBRA_VERSION


def test_a_failed_installation_shows_pip(tmp_path: Path) -> None:
    """What pip said is shown below the error, and the venv is not taken for finished."""
    fake = write_python(tmp_path / "python", "3.10")
    fake.write_text('#!/bin/sh\nmkdir -p "$3/bin"\ncp "$0.pip" "$3/bin/python"\n')
    write_broken_python(tmp_path / "python.pip").write_text(
        "#!/bin/sh\necho 'no matching distribution' >&2\nexit 1\n"
    )

    with pytest.raises(KybraError, match=f"cannot install kybra {KYBRA_VERSION}") as caught:
        ensure_kybra_venv(tmp_path / "venv", lambda: fake, QuietProgress(sys.stderr))

    assert caught.value.detail == "no matching distribution"
    assert not (tmp_path / "venv" / "kybra-version").exists()


def test_the_venv_is_made_by_the_real_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_kybra_wheel: Callable[[Path], None]
) -> None:
    """A real venv gets exactly the pinned version, through pip."""
    write_kybra_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))

    inside = ensure_kybra_venv(
        tmp_path / "venv", lambda: Path(sys.executable), QuietProgress(sys.stderr)
    )

    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    assert (site / f"kybra-{KYBRA_VERSION}.dist-info").is_dir()
    assert inside.is_file()


@pytest.fixture
def write_kybra_wheel() -> Callable[[Path], None]:
    """Writes the smallest wheel that pip takes for the pinned Kybra."""

    def write(folder: Path) -> None:
        folder.mkdir()
        info = f"kybra-{KYBRA_VERSION}.dist-info"
        name = f"Metadata-Version: 2.1\nName: kybra\nVersion: {KYBRA_VERSION}\n"
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        with zipfile.ZipFile(folder / f"kybra-{KYBRA_VERSION}-py3-none-any.whl", "w") as wheel:
            wheel.writestr("kybra/__init__.py", "")
            wheel.writestr(f"{info}/METADATA", name)
            wheel.writestr(f"{info}/WHEEL", tags)
            wheel.writestr(
                f"{info}/RECORD",
                f"kybra/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
            )

    return write


def test_an_unfinished_venv_is_made_again(tmp_path: Path) -> None:
    """Left-overs of an interrupted run are removed first."""
    folder = tmp_path / "venv"
    folder.mkdir()
    (folder / "left-over").write_text("")
    fake = write_python(tmp_path / "python", "3.10")
    fake.write_text('#!/bin/sh\nmkdir -p "$3/bin"\nprintf "#!/bin/sh\\n" > "$3/bin/python"\n')
    shutil.copymode(fake, tmp_path / "python")

    with pytest.raises(KybraError, match="Permission denied"):
        ensure_kybra_venv(folder, lambda: fake, QuietProgress(sys.stderr))

    assert not (folder / "left-over").exists()
