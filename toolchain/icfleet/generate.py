"""``icfleet generate``: the glue of a fleet's canister, written from its own modules.

A canister's folder holds what its studio writes, and three files that follow from it: ``main.py``
(stable maps, the fleet's methods, timers), ``fleet_types.py`` (their Candid types) and the
interface. The same sources give the same bytes, so that ``--check`` can compare them.
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from icfleet.errors import GenerateError
from icfleet.generate_glue import render_fleet_types, render_main
from icfleet.generate_sources import GENERATED_MARK, read_own_sources
from icfleet.search_path import search_path_of
from icfleet_localnet.errors import CanisterSourceError
from icfleet_localnet.kybra_host.frontend import analyze, public_service
from icfleet_localnet.kybra_host.source_graph import collect_sources
from icfleet_protocol.candid import format_did

__all__ = [
    "GeneratedFile",
    "check_canister",
    "check_folders",
    "generate_canister",
    "generate_folders",
]

_ENTRY = "main.py"
_TYPES = "fleet_types.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedFile:
    """A file as it is and as it should be."""

    path: Path
    before: str | None
    """``None`` if it is not there."""
    after: str

    @property
    def is_changed(self) -> bool:
        """Whether the two differ."""
        return self.before != self.after

    def diff(self) -> Iterator[str]:
        """Give the lines of a unified diff."""
        before = (self.before or "").splitlines()
        name = str(self.path)
        yield from difflib.unified_diff(
            before, self.after.splitlines(), name, f"{name} (generated)", lineterm=""
        )


def generate_canister(
    root: Path, folder: Path, *, is_forced: bool = False
) -> tuple[GeneratedFile, ...]:
    """Write a canister's glue and interface; files that are right already are left alone.

    Args:
        root: The project's folder, below which imports are looked up.
        folder: The canister's.
        is_forced: Write over files that say nothing of having been generated.

    Raises:
        GenerateError: If the own modules do not make a fleet's canister, or a file is not ours.
        CanisterSourceError: If Kybra would not compile it; the glue is there then, the interface
            is as it was.
        ProjectError: If the folder is not below ``root``.
    """
    glue = _glue(folder)
    if not is_forced:
        for one in glue:
            _check_is_ours(one)
    for one in glue:
        _write(one)
    interface = _interface(root, folder)
    _write(interface)
    return (*glue, interface)


def check_canister(root: Path, folder: Path) -> tuple[GeneratedFile, ...]:
    """Say what ``generate_canister`` would write; the interface only once the glue is right.

    Raises:
        GenerateError: If the own modules do not make a fleet's canister.
        CanisterSourceError: If Kybra would not compile it.
        ProjectError: If the folder is not below ``root``.
    """
    glue = _glue(folder)
    if any(one.is_changed for one in glue):
        return glue
    return (*glue, _interface(root, folder))


def generate_folders(root: Path, paths: Sequence[Path], *, is_forced: bool) -> Iterator[str]:
    """Generate several canisters; give the path of each file that was written.

    Raises:
        GenerateError, CanisterSourceError, ProjectError: See ``generate_canister``.
    """
    for folder in _folders(paths):
        for one in generate_canister(root, folder, is_forced=is_forced):
            if one.is_changed:
                yield str(one.path)


def check_folders(root: Path, paths: Sequence[Path]) -> Iterator[str]:
    """Give the differences to what would be generated, line by line.

    Raises:
        GenerateError: At the end if there are any; otherwise as ``check_canister``.
        CanisterSourceError, ProjectError: See ``check_canister``.
    """
    stale: list[Path] = []
    for folder in _folders(paths):
        changed = [one for one in check_canister(root, folder) if one.is_changed]
        for one in changed:
            yield from one.diff()
        stale += [folder] if changed else []
    if stale:
        what = "its glue is" if len(stale) == 1 else "their glue is"
        message = f"{what} out of date: run icfleet generate {' '.join(map(str, stale))}"
        raise GenerateError(message)


def _glue(folder: Path) -> tuple[GeneratedFile, ...]:
    sources = read_own_sources(folder)
    return (
        _file(folder / _ENTRY, render_main(sources)),
        _file(folder / _TYPES, render_fleet_types()),
    )


def _interface(root: Path, folder: Path) -> GeneratedFile:
    entry = folder.absolute() / _ENTRY
    try:
        analysis = analyze(collect_sources(entry, search_path_of(root, entry)))
    except RecursionError as error:
        message = f"{folder}: a module is nested deeper than can be read"
        raise GenerateError(message, detail="Split its longest expression.") from error
    if analysis.findings:
        raise CanisterSourceError(analysis.findings)
    header = f"// {GENERATED_MARK} from the sources beside it; change those instead.\n"
    name = entry.parent.name
    did = f"{header}{format_did(public_service(analysis.interface))}"
    return _file(folder / f"{name}.did", did)


def _file(path: Path, after: str) -> GeneratedFile:
    before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
    return GeneratedFile(path=path, before=before, after=after)


def _check_is_ours(one: GeneratedFile) -> None:
    if one.before is not None and GENERATED_MARK not in one.before:
        message = (
            f"{one.path} was not generated: rename it if it is a module of your own, "
            "or pass --force to write over it"
        )
        raise GenerateError(message)


def _write(one: GeneratedFile) -> None:
    if not one.is_changed:
        return
    try:
        partial = one.path.with_name(f".{one.path.name}.partial")
        partial.write_text(one.after, encoding="utf-8")
        partial.replace(one.path)
    except OSError as error:
        message = f"cannot write {one.path}: {error.strerror}"
        raise GenerateError(message) from error


def _folders(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the folders that paths stand for; a ``main.py`` stands for its own."""
    folders = [path.parent if path.name == _ENTRY else path for path in paths]
    for folder in folders:
        if not folder.is_dir():
            message = f"{folder} is no folder of a canister"
            raise GenerateError(message)
    return tuple(dict.fromkeys(folders))
