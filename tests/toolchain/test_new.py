"""``icfleet new``: a project that works as it stands."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from running_fleet import start_fleet

from icfleet.errors import NewProjectError
from icfleet.new import make_project, render
from icfleet.new_names import NAME_LENGTH_MAX, check_name
from icfleet_router.project_files import find_candid, find_entry, read_project

ROOT = Path(__file__).parents[2]
RunIcfleet = Callable[..., "subprocess.CompletedProcess[str]"]

NAMES = [
    pytest.param("", "letters, digits and underscores", id="empty"),
    pytest.param("my-game", "letters, digits and underscores", id="hyphen"),
    pytest.param("2048", "a letter first", id="digit-first"),
    pytest.param("_game", "a letter first", id="underscore-first"),
    pytest.param("jeu_é", "letters, digits and underscores", id="not-ascii"),
    pytest.param("../game", "letters, digits and underscores", id="path"),
    pytest.param("game\n", "letters, digits and underscores", id="newline"),
    pytest.param("g" * (NAME_LENGTH_MAX + 1), "41 characters, at most 40 allowed", id="long"),
    pytest.param("import", "Python's own", id="keyword"),
    pytest.param("match", "Python's own", id="soft-keyword"),
    pytest.param("random", "standard library", id="stdlib"),
    pytest.param("Random", "standard library", id="stdlib-in-capitals"),
    pytest.param("crate", "Rust's", id="rust"),
    pytest.param("main", "Kybra or icfleet", id="entry"),
    pytest.param("fleet_types", "Kybra or icfleet", id="glue"),
    pytest.param("kybra", "Kybra or icfleet", id="kybra"),
    pytest.param("bitcoin", "Kybra or icfleet", id="kybra-module"),
    pytest.param("icfleet_canister", "Kybra or icfleet", id="library"),
    pytest.param("sweeper", "icfleet_canister has a module", id="library-module"),
]


@pytest.mark.parametrize(("name", "reason"), NAMES)
def test_names_that_would_not_build_are_refused(name: str, reason: str) -> None:
    """Before anything is written, with the reason."""
    with pytest.raises(NewProjectError, match=re.escape(reason)):
        check_name(name)


@pytest.mark.parametrize("name", ["game", "MyGame", "chess_2", "g", "g" * NAME_LENGTH_MAX])
def test_other_names_are_fine(name: str) -> None:
    check_name(name)


def test_the_canister_is_the_example() -> None:
    """One source, so that the two cannot drift apart."""
    example = (ROOT / "examples" / "counter" / "counter.py").read_text()

    assert render("counter.py.txt", "anything") == example


def test_the_example_is_short() -> None:
    """Under 80 lines of its own, blank ones aside."""
    example = (ROOT / "examples" / "counter" / "counter.py").read_text()

    assert len([line for line in example.splitlines() if line.strip()]) < 80


@pytest.mark.parametrize("file", ["dfx.json", "icp.yaml"])
def test_the_project_files_are_those_of_this_repository(file: str) -> None:
    """Ours with another name, so that what is tested here is what everybody gets."""
    assert render(f"{file}.txt", "game") == (ROOT / file).read_text()


def test_the_generated_glue_is_that_of_the_example(tmp_path: Path) -> None:
    """The name is all that differs."""
    folder = make_project("tally", tmp_path / "tally").folder / "canisters" / "tally"
    example = ROOT / "examples" / "counter"

    for ours, theirs in (("main.py", "main.py"), ("tally.did", "counter.did")):
        wanted = re.sub(r"\bcounter\b", "tally", (example / theirs).read_text())
        # Imports are sorted by module.
        assert sorted((folder / ours).read_text().splitlines()) == sorted(wanted.splitlines())


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    """Also when only a hidden file is in it, or when it is a file."""
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / ".keep").touch()
    (tmp_path / "file").touch()

    for name in ("used", "file"):
        with pytest.raises(NewProjectError, match="is there already, and not empty"):
            make_project("tally", tmp_path / name)
    assert [path.name for path in (tmp_path / "used").iterdir()] == [".keep"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """In one line, with the path."""
    (tmp_path / "file").touch()

    with pytest.raises(NewProjectError, match=r"cannot write .*/file/tally: Not a directory"):
        make_project("tally", tmp_path / "file" / "tally")


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    """As after ``mkdir``, or ``git clone`` of nothing."""
    made = make_project("tally", tmp_path)

    assert sorted(map(str, made.files)) == [
        ".gitignore",
        "README.md",
        "canisters/tally/fleet_types.py",
        "canisters/tally/main.py",
        "canisters/tally/tally.did",
        "canisters/tally/tally.py",
        "dfx.json",
        "icp.yaml",
        "locustfile.py",
        "pyproject.toml",
        "tests/test_tally.py",
    ]
    assert all((tmp_path / path).is_file() for path in made.files)


def test_every_file_a_project_names_is_there(tmp_path: Path) -> None:
    """Entry and interface of each canister, as the router reads the project."""
    project = read_project(make_project("tally", tmp_path).folder / "dfx.json")

    assert [one.name for one in project.fleet] == ["main", "replica_1", "replica_2"]
    for canister in project.fleet:
        assert find_entry(project, canister) == tmp_path / "canisters" / "tally" / "main.py"
        assert "submit" in find_candid(project, canister)


def test_the_command_says_what_comes_next(tmp_path: Path, icfleet: RunIcfleet) -> None:
    """And refuses to do it twice, in one line."""
    first = icfleet("new", "tally")
    again = icfleet("new", "tally")
    bad = icfleet("new", "my-game")

    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[0] == "Made tally: 11 files. Yours to change is"
    assert "  cd tally\n" in first.stdout
    assert (again.returncode, bad.returncode) == (1, 1)
    assert again.stderr.count("\n") == bad.stderr.count("\n") == 1
    assert not (tmp_path / "my-game").exists()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, as its maker finds it."""
    return make_project("tally", tmp_path_factory.mktemp("new") / "tally").folder


def run(project: Path, *command: str, timeout: float = 50) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_a_new_project_is_clean(project: Path) -> None:
    """By the linter, and by the generator."""
    lint = run(project, "icfleet", "lint", "canisters/tally")
    check = run(project, "icfleet", "generate", "--check", "canisters/tally")

    assert lint.stdout + check.stdout == ""


@pytest.mark.timeout(120)
def test_the_tests_of_a_new_project_pass(project: Path) -> None:
    """Each runs the whole fleet on a network of its own."""
    done = run(project, "pytest", "-q", timeout=110)

    assert "2 passed" in done.stdout


@pytest.mark.timeout(120)
def test_a_new_fleet_comes_up_and_bears_load(project: Path) -> None:
    """``icfleet up``, ``status``, ``call``, and the project's own locustfile."""
    with start_fleet(project) as fleet:
        host = ("--host", fleet.url)
        status = json.loads(run(project, "icfleet", "status", "--json", *host).stdout)
        report = project / "load"
        load = ["-f", "locustfile.py", "--headless", "-u", "4", "-r", "4", "-t", "5s"]
        run(project, "locust", *load, "--only-summary", "--csv", str(report), *host)
        total = run(project, "icfleet", "call", "main", "cached_query", '("total")', *host)

    assert status["is_complete"] is True
    assert [one["name"] for one in status["canisters"]] == ["main", "replica_1", "replica_2"]
    assert "computed_at" in total.stdout
    rows = (project / "load_stats.csv").read_text().splitlines()
    assert any(",Add" in row or "Add" in row for row in rows), rows
