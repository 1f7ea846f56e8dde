"""``icfleet build`` and ``lint`` as commands: paths in, a report out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from icfleet.build import build
from icfleet.errors import SourceError
from icfleet.lint import Finding, lint_paths
from icfleet.search_path import search_path_of
from icfleet_localnet.kybra_host.source_graph import collect_sources

__all__ = ["BuildReport", "LintReport", "build_entry", "lint_entries", "lint_search_path"]

_ENTRY = "main.py"
"""What a canister's entry is called when a folder is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """A bundle that was written."""

    wasm: str
    did: str
    sha256: str
    size: int
    """Bytes of the module."""
    files: tuple[str, ...]
    """What it holds."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LintReport:
    """What was checked, and what was found."""

    findings: tuple[Finding, ...]
    entries: int
    files: int
    """Source files that the entries bundle; one that several share counts once."""

    @property
    def has_errors(self) -> bool:
        """Whether a canister would not build or not run."""
        return any(finding.severity == "error" for finding in self.findings)

    def summary(self) -> str:
        """For people: ``2 entries, 28 files: no errors``."""
        warnings = sum(finding.severity != "error" for finding in self.findings)
        checked = f"{_counted(self.entries, 'entry', 'entries')}, {_counted(self.files, 'file')}"
        return f"{checked}: no errors" + (f", {_counted(warnings, 'warning')}" if warnings else "")


def lint_entries(root: Path, paths: Sequence[Path]) -> LintReport:
    """Check canisters; a folder stands for its ``main.py``, or for every one below it.

    The files are counted only when there is no error: sources with one may not be readable.

    Raises:
        ProjectError: If a path is not below ``root``.
        KybraMissingError: If the ``kybra`` package is not installed.
    """
    search_path = lint_search_path(root, paths)
    findings = tuple(lint_paths(paths, search_path=search_path))
    report = LintReport(findings=findings, entries=0, files=0)
    if report.has_errors:
        return report
    entries = list(dict.fromkeys(entry for path in paths for entry in _entries(path)))
    graphs = [collect_sources(entry, search_path) for entry in entries]
    files = {name for graph in graphs for name in graph.file_names.values()}
    return LintReport(findings=findings, entries=len(entries), files=len(files))


def build_entry(root: Path, entry: Path, out: Path | None) -> BuildReport:
    """Build a canister, by default into ``.icfleet/build/<folder>/<folder>.wasm``.

    Args:
        root: The project's folder.
        entry: The canister's entry file, or the folder with its ``main.py``.
        out: Where to write the module instead.

    Raises:
        ProjectError: If the entry is not below ``root``.
        CanisterSourceError: If the sources would not compile.
        SourceError: If the module cannot be written.
    """
    if entry.is_dir():
        entry /= _ENTRY
    folder = entry.absolute().parent.name
    wasm = out or root / ".icfleet" / "build" / folder / f"{folder}.wasm"
    try:
        built = build(entry, search_path_of(root, entry), wasm)
    except OSError as error:
        message = f"cannot write {wasm}: {error.strerror}"
        raise SourceError(message) from error
    return BuildReport(
        wasm=str(wasm),
        did=str(wasm.with_suffix(".did")),
        sha256=built.sha256.hex(),
        size=len(built.wasm),
        files=tuple(sorted(built.files)),
        warnings=tuple(str(finding) for finding in built.warnings),
    )


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


def _entries(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
    elif (path / _ENTRY).is_file():
        yield path / _ENTRY
    else:
        for entry in sorted(path.rglob(_ENTRY)):
            if not any(part.startswith(".") for part in entry.relative_to(path).parts):
                yield entry


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
