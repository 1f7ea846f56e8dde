"""The Kybra canisters that a dfx.json names, and what would stop their builds."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from icfleet.lint.rules import CANISTER_NAME, KYBRA_ARGUMENTS, NO_CANDID_PATH
from icfleet_localnet.kybra_host.findings import Finding, Place

__all__ = ["DFX_FILE", "DfxCanisters", "read_dfx_canisters"]

DFX_FILE = "dfx.json"

_SIZE_MAX = 4 * 1024 * 1024
"""Bytes: far above any real dfx.json."""

_NAME = re.compile(r"[A-Za-z0-9_]+")
_KYBRA_ARGUMENTS = 2
"""NAME and ENTRY: Kybra 0.7.1 refuses the path of the .did that it took before."""

_SHELL_ENDS = frozenset({"&&", ";", "|", "||"})


@dataclass(frozen=True, slots=True)
class DfxCanisters:
    """What a dfx.json says about Kybra canisters."""

    entries: tuple[Path, ...]
    """Each once: a main and its replicas are often one source."""
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Command:
    """``python -m kybra NAME ENTRY`` or ``icfleet wasm NAME ENTRY``."""

    is_kybra: bool
    positional: tuple[str, ...]


def read_dfx_canisters(root: Path) -> DfxCanisters:
    """Read the project's dfx.json.

    Raises:
        ProjectError: If it is missing, too large or malformed.
    """
    path = root / DFX_FILE
    text = _read(path)
    entries: list[Path] = []
    findings: list[Finding] = []
    for name, canister in _canisters(path, text).items():
        place = Place(DFX_FILE, _line_of(text, name))
        if canister.get("type") == "kybra":
            findings += _find_bad_name(place, name)
            entries += [Path(one) for one in [canister.get("main")] if isinstance(one, str)]
            continue
        for command in _commands(canister.get("build")):
            if command.is_kybra:
                findings += _find_bad_build(place, name, canister, command)
            if len(command.positional) >= _KYBRA_ARGUMENTS:
                entries.append(Path(command.positional[1]))
    return DfxCanisters(tuple(dict.fromkeys(entries)), tuple(findings))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_SIZE_MAX + 1)
    except OSError as error:
        raise _project_error(path, error.strerror or str(error)) from error
    if len(content) > _SIZE_MAX:
        raise _project_error(path, f"larger than {_SIZE_MAX} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise _project_error(path, f"not UTF-8: {error}") from error


def _canisters(path: Path, text: str) -> Mapping[str, Mapping[str, Any]]:
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _project_error(path, f"not JSON: {error}") from error
    canisters = _mapping(_mapping(content).get("canisters"))
    if not canisters:
        raise _project_error(path, "it has no canisters")
    return {name: _mapping(one) for name, one in canisters.items()}


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _project_error(path: Path, reason: str) -> Exception:
    # Loaded for this error only: the router brings the agent, which linting does without.
    from icfleet_router.errors import ProjectError  # noqa: PLC0415

    return ProjectError(path, reason)


def _line_of(text: str, name: str) -> int:
    """Return the line where the canister begins, as well as can be told without a parser."""
    found = re.search(rf"{re.escape(json.dumps(name))}\s*:\s*\{{", text)
    return 1 if found is None else text.count("\n", 0, found.start()) + 1


def _commands(build: object) -> Iterator[_Command]:
    lines = cast("list[object]", build) if isinstance(build, list) else [build]
    for line in lines:
        if not isinstance(line, str):
            continue
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        for index, word in enumerate(words):
            if words[index : index + 2] == ["-m", "kybra"]:
                yield _Command(is_kybra=True, positional=_positional(words[index + 2 :]))
            elif word.endswith("icfleet") and words[index + 1 : index + 2] == ["wasm"]:
                yield _Command(is_kybra=False, positional=_positional(words[index + 2 :]))


def _positional(words: list[str]) -> tuple[str, ...]:
    end = next((index for index, word in enumerate(words) if word in _SHELL_ENDS), len(words))
    return tuple(word for word in words[:end] if not word.startswith("-"))


def _find_bad_name(place: Place, name: str) -> Iterator[Finding]:
    if not _NAME.fullmatch(name):
        message = f"cargo renames {name}, so the copy of the finished module fails."
        yield CANISTER_NAME.found(place, message)


def _find_bad_build(
    place: Place, name: str, canister: Mapping[str, Any], command: _Command
) -> Iterator[Finding]:
    if len(command.positional) != _KYBRA_ARGUMENTS:
        count = len(command.positional)
        message = f"{name} gives Kybra {count} arguments: 'wrong number of arguments'."
        yield KYBRA_ARGUMENTS.found(place, message)
    yield from _find_bad_name(place, (*command.positional, name)[0])
    if "candid" not in canister:
        message = f"{name} has no candid, so the build ends with 'CANISTER_CANDID_PATH'."
        yield NO_CANDID_PATH.found(place, message)
