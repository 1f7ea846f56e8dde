"""``icfleet build`` as a command: a path in, a report out."""

from dataclasses import dataclass
from pathlib import Path

from icfleet.build import build
from icfleet.errors import SourceError
from icfleet.search_path import search_path_of

__all__ = ["BuildReport", "build_entry"]

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
