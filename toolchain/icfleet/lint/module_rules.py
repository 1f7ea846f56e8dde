"""What the bundle would lack, overwrite, or hold in vain.

Source: ``kybra`` 0.7.1, ``__main__.py`` (``bundle_python_code``), and the list of what the
canister's standard library lacks, read from RustPython's.
"""

import sys
from collections.abc import Iterator

from icfleet.lint.project import Project
from icfleet.lint.rules import (
    ABSENT_STDLIB,
    BROKEN_SOURCE,
    EXTENSION_MODULE,
    FLAT_CLASH,
    NAMESPACE_PACKAGE,
    RELATIVE_IMPORT,
    SHADOWED_BY_STDLIB,
    TWO_NAMES,
)
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.rules import MISSING_MODULE
from icfleet_localnet.kybra_host.source_graph import ImportedModule, SourceGraph, SourceModule
from icfleet_localnet.kybra_host.syntax import parse_source

__all__ = ["find_bundle_surprises"]

_REMOVED_STDLIB = frozenset(
    {
        *("aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt"),
        *("distutils", "imghdr", "imp", "lib2to3", "mailcap", "msilib", "nis", "nntplib"),
        *("ossaudiodev", "pipes", "smtpd", "sndhdr", "spwd", "sunau", "telnetlib", "uu"),
        "xdrlib",
    }
)
"""Gone from CPython 3.12 or 3.13, but not from the standard library frozen into canisters."""

_STDLIB = sys.stdlib_module_names | _REMOVED_STDLIB

_ABSENT_STDLIB = frozenset(
    {
        *("asyncio", "bz2", "ctypes", "curses", "ftplib", "http.client", "http.server", "imaplib"),
        *("lzma", "mmap", "multiprocessing", "nntplib", "poplib"),
        *("select", "selectors", "signal", "smtplib", "socket", "socketserver", "sqlite3", "ssl"),
        *("subprocess", "telnetlib", "unittest", "urllib.request", "xmlrpc"),
    }
)
"""Modules of CPython that a canister cannot import."""


def find_bundle_surprises(project: Project) -> Iterator[Finding]:
    """Give what is wrong with the set of modules, as far as only running it would show."""
    graph = project.analysis.graph
    yield from _find_unresolved(graph)
    for one in graph.relative:
        if not one.statement.is_optional:
            dots = "." * one.statement.level
            message = f"`from {dots}{one.name} import` has no package to start from."
            yield RELATIVE_IMPORT.found(one.place, message)
    for one in graph.namespaces:
        message = f"the folder {one.name} has no `__init__.py`, so the canister lacks the package."
        yield from _unless_optional(graph, one, NAMESPACE_PACKAGE.found(one.place, message))
    for one in graph.extensions:
        message = f"{one.name} is compiled code, which cannot be bundled."
        yield from _unless_optional(graph, one, EXTENSION_MODULE.found(one.place, message))
    for first, second in graph.twins:
        message = f"this file is imported as {first.name} and as {second.name}, so it counts twice."
        if second.name == first.name:
            message = f"the entry {first.name} is imported by another module, so it counts twice."
        yield TWO_NAMES.found(Place(second.file), message)
    yield from _find_shadowed(graph)
    yield from _find_clashes(graph)
    yield from _find_broken_files(graph)


def _unless_optional(
    graph: SourceGraph, imported: ImportedModule, finding: Finding
) -> Iterator[Finding]:
    if not _is_excused(graph, imported):
        yield finding


def _is_excused(graph: SourceGraph, imported: ImportedModule) -> bool:
    """Whether the source goes on without the module, or needs it only where another is missing."""
    statement = imported.statement
    if statement.is_optional:
        return True
    tried = statement.fallback_for
    return bool(tried) and all(graph.has(name) or _is_present_stdlib(name) for name in tried)


def _is_present_stdlib(name: str) -> bool:
    return name.partition(".")[0] in _STDLIB and not _is_absent(name)


def _is_absent(name: str) -> bool:
    return name in _ABSENT_STDLIB or name.partition(".")[0] in _ABSENT_STDLIB


def _find_unresolved(graph: SourceGraph) -> Iterator[Finding]:
    for one in graph.unresolved:
        if one.importer.is_kybra or _is_excused(graph, one):
            continue
        names = {one.name, *(f"{one.name}.{name}" for name in one.statement.names)}
        absent = sorted(name for name in names if _is_absent(name))
        if absent:
            message = f"a canister's standard library has no {absent[0]}."
            yield ABSENT_STDLIB.found(one.place, message)
        elif one.name.partition(".")[0] not in _STDLIB:
            message = f"there is no module {one.name} to bundle."
            yield MISSING_MODULE.found(one.place, message)


def _find_shadowed(graph: SourceGraph) -> Iterator[Finding]:
    for module in graph.modules.values():
        if "." not in module.name and module.name in _STDLIB:
            message = f"in a canister, `import {module.name}` gives the standard library's module."
            yield SHADOWED_BY_STDLIB.found(Place(module.file), message)


def _find_clashes(graph: SourceGraph) -> Iterator[Finding]:
    """Give the modules that Kybra's flat copies would overwrite.

    Each plain module is copied to the bundle's root by its file's name, also one of a package.
    That harms only what is itself imported from the root.
    """
    packages = {one.name for one in graph.modules.values() if one.is_package}
    top_level = {name for name in graph.modules if "." not in name}
    for module in graph.modules.values():
        flat = module.name.rpartition(".")[2]
        if module.is_package or module.name == flat:
            continue
        if flat in top_level:
            other = graph.modules[flat]
            what = "package" if flat in packages else "module"
            message = (
                f"Kybra also copies {module.name} to `{flat}.py`, over the {what} {flat} "
                f"({other.file})."
            )
            yield FLAT_CLASH.found(_own_place(module, other), message)


def _own_place(first: SourceModule, second: SourceModule) -> Place:
    return Place(first.file if first.is_own or not second.is_own else second.file)


def _find_broken_files(graph: SourceGraph) -> Iterator[Finding]:
    """Give the files that come along with a package and do not parse: all are compiled."""
    read = {module.file for module in graph.modules.values()}
    for path, source in graph.files.items():
        file = graph.file_names[path]
        if file not in read:
            tree = parse_source(source, file, BROKEN_SOURCE)
            if isinstance(tree, Finding):
                yield tree
