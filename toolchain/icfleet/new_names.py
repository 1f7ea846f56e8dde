"""What a new canister may be called: its name is a folder, a module and a crate at once."""

import keyword
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from icfleet.errors import NewProjectError
from icfleet.generate_sources import GLUE_MODULES
from icfleet_localnet.kybra_host.type_checks import RUST_KEYWORDS

__all__ = ["NAME_LENGTH_MAX", "check_name"]

NAME_LENGTH_MAX = 40

_WANTED = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)

_KYBRA_NAMES = frozenset(
    {
        *("kybra", "main", "candid", "ic", "ic_cdk"),
        # Modules that ``kybra.canisters`` brings, flat.
        *("basic", "bitcoin", "http", "ledger", "management", "tecdsa"),
    }
)
"""Source: ``kybra`` 0.7.1, which bundles modules flat by file name."""

_PACKAGES = frozenset({"icfleet", "icfleet_canister", "locustfile"})
"""What a project imports by these names."""


def check_name(name: str) -> None:
    """Refuse a name that Python, Rust, Kybra or the fleet's library would stumble over.

    Raises:
        NewProjectError: With the reason.
    """
    reason = _problem(name)
    if reason is not None:
        message = f"{name!r} is no name for a canister: {reason}"
        raise NewProjectError(message)


def _problem(name: str) -> str | None:
    if not _WANTED.fullmatch(name):
        return "it takes letters, digits and underscores, with a letter first"
    if len(name) > NAME_LENGTH_MAX:
        return f"it has {len(name)} characters, at most {NAME_LENGTH_MAX} allowed"
    return next((reason for names, reason in _taken_names() if name.lower() in names), None)


def _taken_names() -> Iterator[tuple[frozenset[str], str]]:
    """Give names in small letters, as a file system that ignores case has one folder for both."""
    python = frozenset(map(str.lower, (*keyword.kwlist, *keyword.softkwlist)))
    yield python, "it is a word of Python's own"
    stdlib = frozenset(map(str.lower, sys.stdlib_module_names))
    yield stdlib, "a module of the standard library is called so, and would be imported instead"
    rust = frozenset(map(str.lower, RUST_KEYWORDS))
    yield rust, "it is a word of Rust's, which Kybra makes of it"
    ours = _KYBRA_NAMES | frozenset(GLUE_MODULES) | _PACKAGES
    yield ours, "Kybra or icfleet use that name themselves"
    yield (
        _library_modules(),
        "icfleet_canister has a module of that name, and Kybra keeps one of each",
    )


def _library_modules() -> frozenset[str]:
    # Looked up and not imported: the library is for canisters.
    spec = find_spec("icfleet_canister")
    folders = [] if spec is None else spec.submodule_search_locations or []
    return frozenset(path.stem for folder in folders for path in Path(folder).glob("*.py"))
