"""``icfleet lint`` as a command: paths and choices in, a report out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from icfleet.lint import Finding
from icfleet.lint.dfx_canisters import DFX_FILE, DfxCanisters, read_dfx_canisters
from icfleet.lint.rule_index import select_findings, unknown_codes
from icfleet.lint.runner import run_lint
from icfleet.search_path import search_path_of

__all__ = ["LintReport", "LintRequest", "lint_project", "lint_search_path", "split_codes"]

_ENTRY = "main.py"
"""What a canister's entry is called when a folder is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LintRequest:
    """What the user asked for."""

    root: Path
    """The project's folder."""
    paths: tuple[Path, ...] = ()
    """Entry files or folders; empty for the canisters of dfx.json."""
    select: tuple[str, ...] = ()
    """Codes, or their beginnings, to report; empty for all."""
    ignore: tuple[str, ...] = ()
    is_strict: bool = False
    """Whether a warning fails, too."""

    @property
    def problem(self) -> str | None:
        """What is wrong with the request itself, if anything is."""
        unknown = unknown_codes((*self.select, *self.ignore))
        if unknown:
            return f"there is no rule {unknown[0]!r}; docs/linting.md lists them all"
        if not self.paths and not (self.root / DFX_FILE).is_file():
            return f"there is no {DFX_FILE} here: name a canister's entry file or folder"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LintReport:
    """What was checked, and what was found."""

    findings: tuple[Finding, ...]
    entries: int
    files: int
    """Source files that the entries bundle; one that several share counts once."""
    is_strict: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether a canister would not build or not run, or only clean code passes."""
        return any(self.is_strict or one.severity == "error" for one in self.findings)

    def summary(self) -> str:
        """For people: ``2 entries, 28 files: no errors``."""
        warnings = len(self.findings)
        checked = f"{_counted(self.entries, 'entry', 'entries')}, {_counted(self.files, 'file')}"
        return f"{checked}: no errors" + (f", {_counted(warnings, 'warning')}" if warnings else "")


def lint_project(request: LintRequest) -> LintReport:
    """Check canisters; a folder stands for its ``main.py``, or for every one below it.

    Raises:
        ProjectError: If a path is not below the project's folder, or dfx.json is malformed.
        KybraMissingError: If the ``kybra`` package is not installed.
    """
    assert request.problem is None, request
    canisters = DfxCanisters(request.paths, ())
    if not request.paths:
        canisters = read_dfx_canisters(request.root)
    paths, found = canisters.entries, canisters.findings
    run = run_lint(paths, search_path=lint_search_path(request.root, paths))
    findings = select_findings([*found, *run.findings], request.select, request.ignore)
    report = LintReport(findings=tuple(findings), entries=run.entries, files=run.files)
    return replace(report, is_strict=request.is_strict)


def split_codes(given: Sequence[str]) -> tuple[str, ...]:
    """Return the codes of options such as ``--ignore ky701,KY2 --ignore KY703``."""
    return tuple(code.strip().upper() for one in given for code in one.split(","))


def lint_search_path(root: Path, paths: Sequence[Path]) -> tuple[Path, ...]:
    """Where the imports of several canisters are looked up.

    Raises:
        ProjectError: If a path is not below ``root``.
    """
    folders: list[Path] = []
    for path in paths:
        # A folder stands for the canister in it, or for all canisters below it.
        is_many = path.is_dir() and not (path / _ENTRY).is_file()
        entry = path / "canister" / _ENTRY if is_many else path
        folders += search_path_of(root, entry / _ENTRY if entry.is_dir() else entry)
    return tuple(dict.fromkeys(folders))


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
