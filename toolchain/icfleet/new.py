"""``icfleet new``: a project with a canister that joins a fleet, from templates.

The canister is ``examples/counter``; all it needs besides is generated from it.
"""

import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

from icfleet.errors import NewProjectError
from icfleet.generate import generate_canister
from icfleet.new_names import check_name

__all__ = ["NewProject", "make_project"]

_FILES = {
    "canisters/{name}/{name}.py": "counter.py.txt",
    "dfx.json": "dfx.json.txt",
    "icp.yaml": "icp.yaml.txt",
    "pyproject.toml": "pyproject.toml.txt",
    "tests/test_{name}.py": "test_canister.py.txt",
    "locustfile.py": "locustfile.py.txt",
    "README.md": "README.md.txt",
    ".gitignore": "gitignore.txt",
}
"""What is written, and from which template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProject:
    """A project that was made."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    """Below the folder, sorted."""

    def next_steps(self, here: Path) -> list[str]:
        """Say what was made, and what to do with it."""
        shown = self.folder.relative_to(here) if self.folder.is_relative_to(here) else self.folder
        enter = [] if self.folder == here else [f"  cd {shown}"]
        return [
            f"Made {shown}: {len(self.files)} files. Yours to change is",
            f"  canisters/{self.name}/{self.name}.py",
            "",
            "Next:",
            *enter,
            "  icfleet up                              # then, in another terminal:",
            "  icfleet status",
            "  pytest",
            "  locust -f locustfile.py --host http://127.0.0.1:4943",
            "",
            f"After each change:  icfleet generate canisters/{self.name}",
        ]


def make_project(name: str, folder: Path) -> NewProject:
    """Make a project in a new or empty folder.

    Args:
        name: The canister's.
        folder: Where; its parents are made as needed.

    Raises:
        NewProjectError: If the name cannot be used, or the folder is in use or cannot be written.
        GenerateError, LocalnetError: If the interface cannot be generated, as without ``kybra``.
    """
    check_name(name)
    folder = folder.absolute()
    _check_folder(folder)
    # Made elsewhere, so that a failure leaves nothing behind that would be in the way next time.
    with TemporaryDirectory(prefix="icfleet-new-") as scratch:
        draft = Path(scratch) / "project"
        for path, template in _FILES.items():
            target = draft / path.format(name=name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(render(template, name), encoding="utf-8")
        generate_canister(draft, draft / "canisters" / name)
        files = tuple(sorted(one.relative_to(draft) for one in draft.rglob("*") if one.is_file()))
        try:
            shutil.copytree(draft, folder, dirs_exist_ok=True)
        except OSError as error:
            message = f"cannot write {folder}: {error.strerror or error}"
            raise NewProjectError(message) from error
    return NewProject(name=name, folder=folder, files=files)


def render(template: str, name: str) -> str:
    """Return a file of a new project."""
    source = resources.files("icfleet") / "templates" / "project" / template
    text = source.read_text(encoding="utf-8")
    # A Python file is as it stands: nothing in it depends on the canister's name.
    return text if template.endswith(".py.txt") else Template(text).substitute(name=name)


def _check_folder(folder: Path) -> None:
    try:
        is_used = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        message = f"cannot read {folder}: {error.strerror}"
        raise NewProjectError(message) from error
    if is_used:
        message = f"{folder} is there already, and not empty: choose another with --dir"
        raise NewProjectError(message)
