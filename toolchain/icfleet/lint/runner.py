"""Running all rules over canisters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from icfleet.lint.behaviour_rules import find_behaviour_surprises
from icfleet.lint.call_rules import find_call_surprises
from icfleet.lint.export_rules import find_dropped_exports
from icfleet.lint.map_rules import find_map_surprises
from icfleet.lint.method_rules import find_method_surprises
from icfleet.lint.module_rules import find_bundle_surprises
from icfleet.lint.project import Project
from icfleet.lint.rules import BROKEN_SOURCE
from icfleet.lint.suppressions import (
    Suppression,
    apply_suppressions,
    find_suppressions,
    find_unused,
)
from icfleet.lint.system_rules import find_system_surprises
from icfleet.lint.value_rules import find_unfit_values
from icfleet_localnet.errors import CanisterSourceError
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.frontend import Analysis, analyze
from icfleet_localnet.kybra_host.rules import MISSING_MODULE
from icfleet_localnet.kybra_host.source_graph import collect_sources

__all__ = ["LintRun", "find_entries", "lint_analysis", "lint_paths", "run_lint"]

_CHECKS = (
    find_behaviour_surprises,
    find_bundle_surprises,
    find_call_surprises,
    find_dropped_exports,
    find_map_surprises,
    find_method_surprises,
    find_system_surprises,
    find_unfit_values,
)

_ENTRY = "main.py"
"""What a canister's entry is called when a folder is given."""

_PACKAGE_FOLDERS = frozenset({"node_modules", "site-packages"})


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one entry gave."""

    findings: Sequence[Finding]
    suppressions: frozenset[Suppression] = frozenset()
    used: frozenset[Suppression] = frozenset()
    files: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LintRun:
    """What was checked, and what was found."""

    findings: tuple[Finding, ...]
    """Each once, in the order of files and lines."""
    entries: int
    files: int
    """Source files that the entries bundle; one that several share counts once."""


def lint_paths(paths: Sequence[Path], *, search_path: Sequence[Path] = ()) -> list[Finding]:
    """Check canisters and every file they bundle.

    Args:
        paths: Entry files; a folder stands for its ``main.py``, or for every one below it.
        search_path: The project's folders that modules are imported from.

    Returns:
        All findings, each once, in the order of files and lines. A comment that held a finding
        back in none of the canisters is one itself.

    Raises:
        KybraMissingError: If the ``kybra`` package is not installed.
    """
    return list(run_lint(paths, search_path=search_path).findings)


def run_lint(paths: Sequence[Path], *, search_path: Sequence[Path] = ()) -> LintRun:
    """Check canisters as ``lint_paths`` does, and count what was read.

    Raises:
        KybraMissingError: If the ``kybra`` package is not installed.
    """
    findings: set[Finding] = set()
    entries: dict[Path, None] = {}
    for path in paths:
        found = find_entries(path)
        entries.update(dict.fromkeys(found))
        if not found:
            message = f"there is no {_ENTRY} in or below this folder."
            fix = "Name the canister's entry file."
            findings.add(MISSING_MODULE.found(Place(str(path)), message, fix=fix))
    outcomes = [_lint_entry(entry, search_path) for entry in entries]
    findings.update(*(one.findings for one in outcomes))
    used = frozenset[Suppression]().union(*(one.used for one in outcomes))
    suppressions = frozenset[Suppression]().union(*(one.suppressions for one in outcomes))
    findings.update(find_unused(suppressions - used))
    files = frozenset[str]().union(*(one.files for one in outcomes))
    return LintRun(tuple(sorted(findings)), len(entries), len(files))


def lint_analysis(analysis: Analysis) -> list[Finding]:
    """Check one canister that has been read: the compiler's rules and all others."""
    return sorted(_check(analysis).findings)


def find_entries(path: Path) -> list[Path]:
    """Return the entry files that a path stands for, sorted."""
    if not path.is_dir():
        return [path]
    if (path / _ENTRY).is_file():
        return [path / _ENTRY]
    return sorted(_iterate_below(path))


def _check(analysis: Analysis) -> _Outcome:
    project = Project(analysis)
    found = set(chain.from_iterable(check(project) for check in _CHECKS))
    suppressions = find_suppressions(project)
    kept, used = apply_suppressions(found, suppressions)
    files = frozenset(analysis.graph.file_names.values())
    return _Outcome([*{*analysis.findings, *kept}], suppressions, used, files)


def _lint_entry(entry: Path, search_path: Sequence[Path]) -> _Outcome:
    try:
        return _check(analyze(collect_sources(entry, search_path)))
    except CanisterSourceError as error:
        return _Outcome(error.findings)
    except RecursionError:
        message = "this file, or one that it imports, is nested deeper than can be read."
        fix = "Split its longest expression or chain of elif."
        return _Outcome([BROKEN_SOURCE.found(Place(str(entry)), message, fix=fix)])


def _iterate_below(folder: Path) -> Iterator[Path]:
    for entry in folder.rglob(_ENTRY):
        below = entry.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in below.parts)
        if entry.is_file() and not is_hidden and not _is_installed(folder, below):
            yield entry


def _is_installed(folder: Path, below: Path) -> bool:
    """Whether a file is a package's or a virtual environment's, not the project's."""
    is_package = not _PACKAGE_FOLDERS.isdisjoint(below.parts)
    return is_package or any((folder / one / "pyvenv.cfg").is_file() for one in below.parents[:-1])
