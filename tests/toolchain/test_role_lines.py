"""Roles in pyproject.toml, changed line by line."""

import tomllib
from pathlib import Path

import pytest

from icfleet.errors import ToolchainError
from icfleet.role_lines import role_lines, with_roles, write_roles
from icfleet_router.project import parse_roles
from icfleet_router.roles import Role

SWITCHED = {"main": Role.REPLICA, "replica_1": Role.MAIN}


def roles_of(text: str) -> dict[str, str]:
    return dict(parse_roles(tomllib.loads(text), path=Path("pyproject.toml")))


def test_the_lines_are_what_the_project_reads() -> None:
    assert roles_of("\n".join(role_lines(SWITCHED))) == {"main": "replica", "replica_1": "main"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "", '[tool.icfleet.roles]\nmain = "replica"\nreplica_1 = "main"\n', id="no-file"
        ),
        pytest.param(
            '[project]\nname = "x"  # mine\n',
            '[project]\nname = "x"  # mine\n\n[tool.icfleet.roles]\nmain = "replica"\n'
            'replica_1 = "main"\n',
            id="no-table",
        ),
        pytest.param(
            '[tool.icfleet.roles] # who\nassets = "none"\nmain="main"\n\n[tool.x]\nmain = 1\n',
            '[tool.icfleet.roles] # who\nreplica_1 = "main"\nassets = "none"\nmain = "replica"\n\n'
            "[tool.x]\nmain = 1\n",
            id="a-table",
        ),
        pytest.param(
            '[tool.icfleet.roles]\n"main" = "main"\nreplica_1 = "replica"',
            '[tool.icfleet.roles]\nmain = "replica"\nreplica_1 = "main"\n',
            id="quoted",
        ),
    ],
)
def test_only_the_roles_are_changed(before: str, after: str) -> None:
    """Comments, order and other tables stay as they are."""
    assert with_roles(before, SWITCHED) == after


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('[tool]\nicfleet = { roles = { main = "main" } }\n', id="inline"),
        pytest.param('tool.icfleet.roles.main = "main"\n', id="dotted"),
        pytest.param("[tool\n", id="no-toml"),
        pytest.param('x = """\n[tool.icfleet.roles]\n"""\n', id="in-a-text"),
    ],
)
def test_a_file_that_is_written_otherwise_is_left_alone(tmp_path: Path, text: str) -> None:
    """The error has the lines, for whoever puts them there."""
    path = tmp_path / "pyproject.toml"
    path.write_text(text)

    with pytest.raises(ToolchainError, match="roles not written") as caught:
        write_roles(path, SWITCHED)

    assert path.read_text() == text
    assert caught.value.detail.splitlines() == list(role_lines(SWITCHED))
    assert [one.name for one in tmp_path.iterdir()] == ["pyproject.toml"]


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    write_roles(tmp_path / "pyproject.toml", SWITCHED)

    assert roles_of((tmp_path / "pyproject.toml").read_text()) == {
        "main": "replica",
        "replica_1": "main",
    }
