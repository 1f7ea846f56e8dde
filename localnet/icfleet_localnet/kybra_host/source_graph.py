"""Every module a canister reaches, found as Kybra finds it: from syntax, running nothing.

Kybra looks for imports anywhere in a source (also in functions, ``try`` and ``if TYPE_CHECKING``)
along the project's folders, the entry's own folder and site-packages, never in the standard
library. It bundles each module, and each package whole; its compiler then reads the modules that
are reached, ``kybra``'s own among them.

Source: ``kybra`` 0.7.1, ``__main__.py`` (``bundle_python_code``), and modulegraph 0.19.3.
"""

import ast
import importlib.util
import site
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from icfleet_localnet.bundle import BUNDLE_FILES_MAX, MODULE_SIZE_MAX
from icfleet_localnet.errors import CanisterSourceError, KybraMissingError
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.imports import (
    ImportStatement,
    find_imports,
    iterate_bound_names,
)
from icfleet_localnet.kybra_host.module_roots import (
    BundleRoot,
    DirectoryRoot,
    FoundModule,
    ModuleRoot,
    find_module,
)
from icfleet_localnet.kybra_host.rules import ENTRY_NAME, MISSING_MODULE, TOO_LARGE
from icfleet_localnet.kybra_host.syntax import parse_source

__all__ = [
    "ImportedModule",
    "SourceGraph",
    "SourceModule",
    "absolute_name",
    "collect_sources",
    "read_bundle",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceModule:
    """A module the compiler reads."""

    name: str
    """Dotted; the entry's is the stem of its file."""
    file: str
    """Path for people."""
    source: bytes
    tree: ast.Module
    """Empty when the source does not parse."""
    found: FoundModule
    imports: tuple[ImportStatement, ...]
    is_entry: bool = False
    is_kybra: bool = False

    @property
    def is_package(self) -> bool:
        """Whether this is a package's ``__init__.py``."""
        return self.found.kind == "package"

    @property
    def is_own(self) -> bool:
        """Whether it belongs to the project and not to an installed package."""
        return not (self.is_kybra or self.found.root.is_third_party)

    @property
    def package(self) -> str:
        """The package that relative imports start from; empty when there is none."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class ImportedModule:
    """A name that an import of ``importer`` needs and that is not among the bundled modules."""

    name: str
    importer: SourceModule
    statement: ImportStatement

    @property
    def place(self) -> Place:
        """Where it is imported."""
        return Place(self.importer.file, self.statement.line, self.statement.column)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceGraph:
    """A canister's sources."""

    entry: SourceModule
    modules: Mapping[str, SourceModule]
    """What the compiler reads, by dotted name: the entry first, then as they were reached."""
    files: Mapping[str, bytes]
    """What the bundle holds, by path below its root; ``kybra`` itself is the host's."""
    file_names: Mapping[str, str]
    """The path for people of each bundled file."""
    unresolved: tuple[ImportedModule, ...]
    """Imports that no root has: standard library modules, and modules that are missing."""
    namespaces: tuple[ImportedModule, ...]
    """Imported folders without ``__init__.py``."""
    extensions: tuple[ImportedModule, ...]
    """Imported modules that are compiled code."""
    relative: tuple[ImportedModule, ...]
    """Relative imports with no package to start from."""
    unreadable: tuple[Finding, ...]
    """Sources the compiler reads, and Python cannot parse."""
    twins: tuple[tuple[SourceModule, SourceModule], ...]
    """Pairs of modules that are one file under two names; the compiler reads it twice."""

    def has(self, name: str) -> bool:
        """Whether ``name`` is a module the compiler reads."""
        return name in self.modules


def collect_sources(
    entry: Path, search_path: Sequence[Path], *, third_party: Sequence[Path] | None = None
) -> SourceGraph:
    """Read a canister's sources from disk.

    Args:
        entry: The file named as ``main`` in ``dfx.json``.
        search_path: The project's folders, searched before the entry's own.
        third_party: Folders of installed packages; by default this interpreter's, with those that
            are installed for editing.

    Raises:
        CanisterSourceError: If the entry cannot be read or named, or the sources pass a limit.
        KybraMissingError: If the ``kybra`` package is not installed.
    """
    roots: list[ModuleRoot] = [DirectoryRoot(folder) for folder in (*search_path, entry.parent)]
    if third_party is None:
        roots.extend(_installed_roots())
    else:
        roots.extend(DirectoryRoot(folder, is_third_party=True) for folder in third_party)
    if not entry.stem.isidentifier() or entry.suffix != ".py":
        message = f"{entry.name!r} cannot be imported, and Kybra imports the entry by its name."
        raise CanisterSourceError([ENTRY_NAME.found(Place(str(entry)), message)])
    if not entry.is_file():
        message = "there is no such file."
        fix = "Check the path of the canister's entry."
        raise CanisterSourceError([MISSING_MODULE.found(Place(str(entry)), message, fix=fix)])
    found = FoundModule(DirectoryRoot(entry.parent), entry.name, "module")
    try:
        return _Walk(roots).run(found, entry.stem)
    except OSError as error:
        message = f"{error.filename} cannot be read: {(error.strerror or str(error)).lower()}."
        fix = "Make it a file that you may read, or remove it."
        unreadable = MISSING_MODULE.found(Place(str(entry)), message, fix=fix)
        raise CanisterSourceError([unreadable]) from error


def _installed_roots() -> Iterator[DirectoryRoot]:
    """Give site-packages, and the folders that its ``.pth`` files add."""
    for folder in map(Path, site.getsitepackages()):
        yield DirectoryRoot(folder, is_third_party=True)
        for link in sorted(folder.glob("*.pth")):
            lines = link.read_text(encoding="utf-8", errors="replace").splitlines()
            # A line that imports is code for Python's start, as some editable installs have it.
            added = (folder / one for one in lines if one and not one.startswith(("#", "import")))
            for one in added:
                if one.is_dir():
                    yield DirectoryRoot(one, is_third_party=True, has_namespaces=False)


def read_bundle(files: Mapping[str, bytes], entry: str) -> SourceGraph:
    """Read a canister's sources from a bundle, as the network does at install.

    Raises:
        KybraMissingError: If the ``kybra`` package is not installed.
    """
    root = BundleRoot(files)
    return _Walk([root]).run(FoundModule(root, f"{entry}.py", "module"), entry)


def _kybra_root() -> ModuleRoot:
    spec = importlib.util.find_spec("kybra")
    if spec is None or spec.origin is None:
        raise KybraMissingError
    return DirectoryRoot(Path(spec.origin).parent.parent, is_third_party=True)


@dataclass(slots=True)
class _Walk:
    """The state of one breadth-first walk along imports."""

    roots: Sequence[ModuleRoot]
    kybra: ModuleRoot = field(default_factory=_kybra_root)
    modules: dict[str, SourceModule] = field(default_factory=dict[str, SourceModule])
    found: dict[str, FoundModule | None] = field(default_factory=dict[str, FoundModule | None])
    bound: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    waiting: deque[SourceModule] = field(default_factory=deque[SourceModule])
    unresolved: list[ImportedModule] = field(default_factory=list[ImportedModule])
    namespaces: list[ImportedModule] = field(default_factory=list[ImportedModule])
    extensions: list[ImportedModule] = field(default_factory=list[ImportedModule])
    relative: list[ImportedModule] = field(default_factory=list[ImportedModule])
    unreadable: list[Finding] = field(default_factory=list[Finding])

    def run(self, entry: FoundModule, name: str) -> SourceGraph:
        first = self._read(entry, name, is_entry=True)
        self.waiting.append(first)
        while self.waiting:
            module = self.waiting.popleft()
            for statement in module.imports:
                self._follow(module, statement)
        files, file_names = self._bundle(first)
        twins = tuple(_find_twins([first, *self.modules.values()]))
        others = {name: module for name, module in self.modules.items() if name != first.name}
        return SourceGraph(
            entry=first,
            modules={first.name: first} | others,
            files=files,
            file_names=file_names,
            unresolved=tuple(self.unresolved),
            namespaces=tuple(self.namespaces),
            extensions=tuple(self.extensions),
            relative=tuple(self.relative),
            unreadable=tuple(self.unreadable),
            twins=twins,
        )

    def _follow(self, importer: SourceModule, statement: ImportStatement) -> None:
        target = absolute_name(importer, statement.module, statement.level)
        if target is None:
            self.relative.append(ImportedModule(statement.module, importer, statement))
            return
        if not self._reach(target, importer, statement):
            return
        module = self.modules.get(target)
        if module is not None and not module.is_package:
            return
        for name in statement.names:
            # A submodule is taken along also where the package binds the name, as it mostly does
            # by importing that submodule itself.
            submodule = f"{target}.{name}"
            found = self._find(submodule)
            is_file = found is not None and found.kind != "namespace"
            if is_file or module is None or not self._may_bind(module, name):
                self._reach(submodule, importer, statement)

    def _reach(self, name: str, importer: SourceModule, statement: ImportStatement) -> bool:
        """Read a module and the packages above it; note what stands in the way."""
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            prefix = ".".join(parts[:end])
            found = self._find(prefix)
            imported = ImportedModule(prefix, importer, statement)
            if found is None:
                self.unresolved.append(ImportedModule(name, importer, statement))
                return False
            if found.kind == "extension":
                self.extensions.append(imported)
                return False
            if found.kind == "namespace":
                self.namespaces.append(imported)
            elif prefix not in self.modules:
                self._add(self._read(found, prefix))
        return True

    def _find(self, name: str) -> FoundModule | None:
        if name in self.found:
            return self.found[name]
        parent, _, last = name.rpartition(".")
        found: FoundModule | None = None
        if not parent:
            found = find_module(last, [self.kybra] if last == "kybra" else self.roots)
        else:
            above = self._find(parent)
            if above is not None and above.kind in {"package", "namespace"}:
                found = find_module(last, [above.root], above.path)
        self.found[name] = found
        return found

    def _read(self, found: FoundModule, name: str, *, is_entry: bool = False) -> SourceModule:
        file = found.root.describe(found.source_path)
        source = found.root.read(found.source_path)
        tree = parse_source(source, file)
        if isinstance(tree, Finding):
            self.unreadable.append(tree)
            tree = ast.Module([], [])
        return SourceModule(
            name=name,
            file=file,
            source=source,
            tree=tree,
            found=found,
            imports=find_imports(tree),
            is_entry=is_entry,
            is_kybra=found.root is self.kybra,
        )

    def _add(self, module: SourceModule) -> None:
        self.modules[module.name] = module
        self.waiting.append(module)

    def _may_bind(self, package: SourceModule, name: str) -> bool:
        """Whether the package has the name, or names that its syntax does not show."""
        if package.name not in self.bound:
            self.bound[package.name] = frozenset(iterate_bound_names(package.tree))
        return not self.bound[package.name].isdisjoint({name, "*", "__getattr__"})

    def _bundle(self, entry: SourceModule) -> tuple[dict[str, bytes], dict[str, str]]:
        """Gather the files: every module reached, and every package whole."""
        files = {f"{entry.name}.py": entry.source}
        file_names = {f"{entry.name}.py": entry.file}
        size = len(entry.source)
        for path, root, source_path in self._iterate_bundled():
            if path in files:
                continue
            files[path] = root.read(source_path)
            file_names[path] = root.describe(source_path)
            size += len(files[path])
            if len(files) > BUNDLE_FILES_MAX or size > MODULE_SIZE_MAX:
                message = (
                    f"the canister needs more than {BUNDLE_FILES_MAX} files or "
                    f"{MODULE_SIZE_MAX} bytes of sources; the last is {file_names[path]}."
                )
                raise CanisterSourceError([TOO_LARGE.found(Place(entry.file), message)])
        return files, file_names

    def _iterate_bundled(self) -> Iterator[tuple[str, ModuleRoot, str]]:
        """Give each file's path in the bundle, its root, and its path below that root."""
        for name, found in sorted(self.found.items()):
            if found is None or found.root is self.kybra or found.kind == "extension":
                continue
            if found.kind == "module":
                yield f"{name.replace('.', '/')}.py", found.root, found.path
            elif found.kind == "package" and "." not in name:
                for path in found.root.iterate_sources(found.path):
                    yield path, found.root, path


def _find_twins(
    modules: Sequence[SourceModule],
) -> Iterator[tuple[SourceModule, SourceModule]]:
    """Give pairs that share a file; the entry's name is its path, so it can have a twin, too."""
    first: dict[str, SourceModule] = {}
    for module in modules:
        other = first.setdefault(module.found.root.identify(module.found.source_path), module)
        if other is not module:
            yield other, module


def absolute_name(importer: SourceModule, module: str, level: int) -> str | None:
    """Return an imported module's full name; ``None`` when the leading dots lead nowhere."""
    if level == 0:
        return module
    parts = importer.package.split(".") if importer.package else []
    kept = len(parts) - (level - 1)
    if kept < 1:
        return None
    return ".".join([*parts[:kept], *([module] if module else [])])
