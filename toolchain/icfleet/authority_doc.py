"""The document of who may do what on a canister, made from its table of authority.

    python -m icfleet.authority_doc canisters/game docs/authority.md

writes it; a test holds the two equal.
"""

import importlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from icfleet.generate_sources import read_own_sources
from icfleet_canister.authority import Authority

__all__ = ["authority_document", "authority_of"]

_INTRODUCTION = """\
# Who may do what

Made from the canister's table of authority, which is also what decides: at the door
(`inspect_message`), in each method, and for each operation of a batch. A cell says how far a role
reaches; an empty one means no. What is in no table is forbidden. A caller that has several roles
may do what any of them may.

| reach | whom a call may be about |
|---|---|
| `own` | the caller itself |
| `scope` | whom the gateway created, or everybody if its scope says so |
| `any` | everybody |

A gateway may send the operations that its scope names and no others. By one that strangers may
send too, it also reaches whoever owns nothing here yet: that is how it creates.

| role | who that is |
|---|---|
"""

_ROLES = {
    "anonymous": "whoever has no key",
    "stranger": "whoever has a key and owns nothing here; all strangers share one rate",
    "owner": "whoever has a row of its own",
    "gateway": "given a scope by `grant_gateway`: a game server that acts for its players",
    "admin": (
        "given by `grant_role`; the first is the installer, who counts as one also on a replica "
        "and on a fenced main. Not the same as a controller"
    ),
    "replica": "a canister that was attached by `attach`",
}
_OWN_ROLE = "given by `grant_role`"


def authority_document(authority: Authority) -> str:
    """Return the document, in Markdown."""
    table = authority.table
    operations = [(method, name) for method, name in table if method == "submit"]
    fleet = list(Authority({}, {}, ()).table)
    reads = [row for row in table if row not in operations and row not in fleet]
    lines = [f"| {role} | {_ROLES.get(role, _OWN_ROLE)} |" for role in authority.roles]
    parts = [_INTRODUCTION + "\n".join(lines) + "\n"]
    parts += _section("Operations of `submit`", authority, operations)
    parts += _section("The canister's own queries", authority, reads)
    parts += _section("The fleet's methods", authority, fleet)
    return "\n".join(parts)


def authority_of(folder: Path) -> Authority:
    """Return the table of the canister in a folder, by importing its application.

    Raises:
        GenerateError: If the folder holds no canister of a fleet.
    """
    imports = read_own_sources(folder).imports
    name = next(module for module, names in imports.items() if "app" in names)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    app = importlib.import_module(name).app
    return Authority(app.authority, app.reads, app.roles)


def _section(title: str, authority: Authority, rows: Sequence[tuple[str, str]]) -> Iterable[str]:
    if not rows:
        return []
    lines = [
        f"## {title}\n",
        _line(["", *authority.roles]),
        _line(["---"] * (len(authority.roles) + 1)),
    ]
    for method, operation in rows:
        cells = authority.table[method, operation]
        name = operation if method == "submit" else f"{method} {operation}".rstrip()
        lines.append(_line([f"`{name}`", *(cells.get(role, "") for role in authority.roles)]))
    return ["\n".join(lines) + "\n"]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(
        authority_document(authority_of(Path(sys.argv[1]))), encoding="utf-8"
    )
