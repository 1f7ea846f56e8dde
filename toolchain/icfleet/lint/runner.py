"""Running all rules over canisters."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from icfleet.lint.behaviour_rules import find_behaviour_surprises
from icfleet.lint.export_rules import find_dropped_exports
from icfleet.lint.map_rules import find_map_surprises
from icfleet.lint.module_rules import find_bundle_surprises
from icfleet_localnet.errors import CanisterSourceError
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.frontend import Analysis, analyze
from icfleet_localnet.kybra_host.rules import MISSING_MODULE
from icfleet_localnet.kybra_host.source_graph import collect_sources

__all__ = ["lint_analysis", "lint_paths"]

_CHECKS = (
    find_behaviour_surprises,
    find_bundle_surprises,
    find_dropped_exports,
    find_map_surprises,
)

_ENTRY = "main.py"
"""What a canister's entry is called when a folder is given."""


def lint_paths(paths: Sequence[Path], *, search_path: Sequence[Path] = ()) -> list[Finding]:
    """Check canisters and every file they bundle.

    Args:
        paths: Entry files; a folder stands for its ``main.py``, or for every one below it.
        search_path: The project's folders that modules are imported from.

    Returns:
        All findings, each once, in the order of files and lines.

    Raises:
        KybraMissingError: If the ``kybra`` package is not installed.
    """
    findings: set[Finding] = set()
    for path in paths:
        entries = sorted(_iterate_entries(path))
        if not entries:
            message = f"there is no {_ENTRY} in or below this folder."
            fix = "Name the canister's entry file."
            findings.add(MISSING_MODULE.found(Place(str(path)), message, fix=fix))
        for entry in entries:
            findings.update(_lint_entry(entry, search_path))
    return sorted(findings)


def lint_analysis(analysis: Analysis) -> list[Finding]:
    """Check one canister that has been read: the compiler's rules and all others."""
    found = chain.from_iterable(check(analysis) for check in _CHECKS)
    return sorted({*analysis.findings, *found})


def _lint_entry(entry: Path, search_path: Sequence[Path]) -> Sequence[Finding]:
    try:
        graph = collect_sources(entry, search_path)
    except CanisterSourceError as error:
        return error.findings
    return lint_analysis(analyze(graph))


def _iterate_entries(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
    elif (path / _ENTRY).is_file():
        yield path / _ENTRY
    else:
        for entry in path.rglob(_ENTRY):
            if not any(part.startswith(".") for part in entry.relative_to(path).parts):
                yield entry
