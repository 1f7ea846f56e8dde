"""The text of the generated modules: templates, and the imports of a canister's own names."""

import ast
from collections.abc import Iterable
from importlib.resources import files
from string import Template

from icfleet.errors import GenerateError
from icfleet.generate_sources import OwnName, OwnSources

__all__ = ["render_fleet_types", "render_main"]

LINE_LENGTH = 100

ENCODING_ROOM = 100
"""Bytes that the Candid encoding of a row may take beside the row; it takes about 11."""

FLEET_TYPES = (
    "AdminResult",
    "CachedView",
    "Cursor",
    "Head",
    "LogReply",
    "Position",
    "Role",
    "Scope",
    "Settings",
    "StateReply",
    "Status",
    "SubmitResult",
)
"""Where the template for ``main`` uses them."""

KYBRA_NAMES = (
    "GuardResult",
    "Opt",
    "Principal",
    "Record",
    "Service",
    "StableBTreeMap",
    "Vec",
    "blob",
    "ic",
    "init",
    "inspect_message",
    "nat32",
    "nat64",
    "post_upgrade",
    "pre_upgrade",
    "query",
    "service_query",
    "service_update",
    "text",
    "update",
    "void",
)


def render_fleet_types() -> str:
    """Return the text of ``fleet_types.py``, the same for every canister."""
    return _template("fleet_types.py.txt").template


def render_main(sources: OwnSources) -> str:
    """Return the text of ``main.py``.

    Raises:
        GenerateError: If an own name is one that the glue has already.
    """
    _check_names(sources)
    return _render(sources)


def _render(sources: OwnSources) -> str:
    imports = {"fleet_types": FLEET_TYPES, "kybra": KYBRA_NAMES, **sources.imports}
    return _template("main.py.txt").substitute(
        imports="\n".join(_import(module, names) for module, names in sorted(imports.items())),
        name=sources.name,
        row_size_max=f"{sources.row_size_max:_}",
        value_size_max=f"{sources.row_size_max + ENCODING_ROOM:_}",
    )


def _check_names(sources: OwnSources) -> None:
    """Refuse own names that would hide a name of the glue, or be hidden by it."""
    bare = OwnSources(name=sources.name, imports={"_own": ["Operation", "app"]})
    main, types = _bound_names(_render(bare)), _bound_names(render_fleet_types())
    problems = [
        f"{own.place}: {own.name} is a name of the fleet's own {what}; take another"
        for owned, taken, what in (
            (sources.visible, main, "main.py"),
            (sources.types, main | types, "types"),
        )
        for own in owned
        if own.name in taken
    ]
    problems += _twice([*sources.visible, *sources.types])
    if problems:
        message = f"{sources.name}: names clash with the fleet's"
        raise GenerateError(message, detail="\n".join(problems))


def _twice(names: Iterable[OwnName]) -> list[str]:
    first: dict[str, OwnName] = {}
    return [
        f"{one.place}: {one.name} is also in {first[one.name].place}"
        for one in names
        if first.setdefault(one.name, one) is not one
    ]


def _bound_names(source: str) -> set[str]:
    """Return what a module's top level binds; ``_own`` stands for the canister's own modules."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
            case ast.ImportFrom(names=aliases):
                names.update(one.asname or one.name for one in aliases)
            case _:
                pass
    return names


def _import(module: str, names: Iterable[str]) -> str:
    ordered = sorted(set(names), key=_import_order)
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= LINE_LENGTH:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in ordered), ")"])


def _import_order(name: str) -> tuple[int, str, str]:
    """Order as formatters do: constants, classes, everything else."""
    is_constant = len(name) > 1 and name.isupper()
    return (0 if is_constant else 1 if name[0].isupper() else 2), name.lower(), name


def _template(name: str) -> Template:
    folder = files("icfleet") / "templates" / "glue"
    return Template((folder / name).read_text(encoding="utf-8"))
