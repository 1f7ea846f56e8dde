"""Telling a project's files who is main now: ``[tool.icfleet.roles]`` of pyproject.toml.

Roles come from names. After a switch-over the table says what differs; it is written only when
somebody asks for it, line by line, so that the rest of the file stays as it is.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icfleet.errors import ToolchainError
from icfleet_router.roles import Role

__all__ = ["role_lines", "with_roles", "write_roles"]

_HEADING = "[tool.icfleet.roles]"


def role_lines(roles: Mapping[str, Role]) -> tuple[str, ...]:
    """The table, ready to be put into pyproject.toml."""
    return (_HEADING, *(_line(name, role) for name, role in roles.items()))


def write_roles(path: Path, roles: Mapping[str, Role]) -> None:
    """Put roles into a pyproject.toml, which is made if there is none.

    Raises:
        ToolchainError: If the file is no TOML, has the table in a form that is not understood, or
            cannot be written; the lines to put there are in ``detail``.
    """
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = with_roles(before, roles)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(after, encoding="utf-8")
        draft.replace(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"{path}: roles not written: {reason}; put these lines there"
        raise ToolchainError(message, detail="\n".join(role_lines(roles))) from error


def with_roles(text: str, roles: Mapping[str, Role]) -> str:
    """Return the text of a pyproject.toml with roles changed, and nothing else.

    Raises:
        ValueError: If it is no TOML, or its roles are written in a form that is not understood.
    """
    wanted = _read(text)
    wanted.setdefault("tool", {}).setdefault("icfleet", {}).setdefault("roles", {}).update(
        {name: role.value for name, role in roles.items()}
    )
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if line.split("#")[0].strip() == _HEADING]
    if heads:
        _change(lines, heads[0] + 1, roles)
    else:
        lines += [*([""] if lines else []), *role_lines(roles)]
    changed = "\n".join(lines) + "\n"
    if _read(changed) != wanted:
        reason = "the table is written in a way that this command does not change"
        raise ValueError(reason)
    return changed


def _change(lines: list[str], first: int, roles: Mapping[str, Role]) -> None:
    """Replace lines of the table that begins there, or add to it."""
    end = first
    while end < len(lines) and not lines[end].lstrip().startswith("["):
        end += 1
    for name, role in roles.items():
        key = re.compile(rf"\s*(?:{re.escape(name)}|\"{re.escape(name)}\")\s*=")
        found = [number for number in range(first, end) if key.match(lines[number])]
        if found:
            lines[found[0]] = _line(name, role)
        else:
            lines.insert(first, _line(name, role))
            end += 1


def _read(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = f"not TOML: {error}"
        raise ValueError(reason) from error


def _line(name: str, role: Role) -> str:
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'
    return f'{key} = "{role.value}"'
