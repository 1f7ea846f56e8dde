"""What looks like a method in a canister's own module, and what Kybra would leave out in silence.

Kybra knows its decorators by their bare names, on plain functions at module level; the generated
``main.py`` imports what the modules beside it have.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from icfleet_localnet.kybra_host.declarations import HOOK_DECORATORS, METHOD_DECORATORS

__all__ = ["find_unseen", "find_unseen_in_subfolders"]

_HOOKS = frozenset(HOOK_DECORATORS) - {"heartbeat"}
_BARE_NAMES = {name: name for name in (*METHOD_DECORATORS, *HOOK_DECORATORS)}
_ENTRY = "main.py"


@dataclass(frozen=True, slots=True)
class _Decorated:
    """A function that has one of Kybra's decorators when the canister runs."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    kind: str
    """What Kybra calls the decorator."""
    written: str
    """What the module calls it."""


def find_unseen(path: Path, tree: ast.Module) -> Iterator[str]:
    """Give a line for each method and each import that would not reach ``main.py``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            names = ", ".join(one.name for one in node.names)
            wanted = f"from {node.module} import {names}" if node.module else f"import {names}"
            reason = "Kybra bundles modules flat, without packages"
            yield f"{path}:{node.lineno}: {reason}; write `{wanted}`"
    top_level = {id(node) for node in tree.body}
    for one in _iterate_decorated(tree, _BARE_NAMES):
        place = f"{path}:{one.node.lineno}"
        name = one.node.name
        if one.kind in _HOOKS:
            if id(one.node) not in top_level or one.written != one.kind:
                reason = f"main.py has the canister's @{one.kind}"
                yield f"{place}: {reason}; pass what {one.kind} needs to Application(...)"
        elif isinstance(one.node, ast.AsyncFunctionDef):
            reason = f"Kybra does not export `async def {name}`"
            yield f"{place}: {reason}; write `def`, return `Async[...]`, and `yield` the calls"
        elif id(one.node) not in top_level:
            reason = f"{name} is not at module level, so Kybra does not export it"
            yield f"{place}: {reason}; move it there"
        elif one.written != one.kind:
            reason = f"Kybra does not know `@{one.written}`, so it does not export {name}"
            yield f"{place}: {reason}; write `from kybra import {one.kind}` and `@{one.kind}`"


def find_unseen_in_subfolders(folder: Path) -> Iterator[str]:
    """Give a line for each method in a module below the folder, which ``main.py`` cannot import.

    Other canisters and installed packages below it are left alone, and so is what does not parse:
    if it is imported, Kybra's own reading tells.
    """
    for path in sorted(folder.glob("*/**/*.py")):
        if _is_foreign(folder, path):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for one in _iterate_decorated(tree, {}):
            reason = f"{one.node.name} is in a subfolder, so main.py does not export it"
            yield f"{path}:{one.node.lineno}: {reason}; move it to a module in {folder}"


def _is_foreign(folder: Path, path: Path) -> bool:
    inner = path.relative_to(folder).parts[:-1]
    between = [folder.joinpath(*inner[: depth + 1]) for depth in range(len(inner))]
    return any(
        one.name.startswith(".")
        or one.name in {"node_modules", "site-packages"}
        or (one / "pyvenv.cfg").is_file()
        or (one / _ENTRY).is_file()
        for one in between
    )


def _iterate_decorated(tree: ast.Module, bare: Mapping[str, str]) -> Iterator[_Decorated]:
    """Give the functions that have a decorator of Kybra's; ``bare`` holds what needs no import."""
    names, modules = _kybra_names(tree, bare)
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in node.decorator_list:
            match decorator.func if isinstance(decorator, ast.Call) else decorator:
                case ast.Name(id=name) if name in names:
                    yield _Decorated(node, names[name], name)
                case ast.Attribute(value=ast.Name(id=module), attr=name) if (
                    module in modules and name in _BARE_NAMES
                ):
                    yield _Decorated(node, name, f"{module}.{name}")
                case _:
                    pass


def _kybra_names(tree: ast.Module, bare: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """Return what the module calls Kybra's decorators, and what it calls ``kybra`` itself."""
    names = dict(bare)
    modules = {"kybra"}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=imported):
                modules.update(one.asname or one.name for one in imported if one.name == "kybra")
            case ast.ImportFrom(module="kybra", level=0, names=[ast.alias(name="*")]):
                names.update(_BARE_NAMES)
            case ast.ImportFrom(module="kybra", level=0, names=imported):
                known = [one for one in imported if one.name in _BARE_NAMES]
                names.update({one.asname or one.name: one.name for one in known})
            case _:
                pass
    return names, modules
