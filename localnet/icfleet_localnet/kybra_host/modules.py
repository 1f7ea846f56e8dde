"""A canister's modules: loaded from its bundle, apart from the process's and other canisters'.

Each canister has its own modules, its own copy of the ``kybra`` package, its own random numbers
and its own builtins, among them ``_kybra_ic``, which is where Kybra's compiled runtime puts its
host object too. While one of its messages runs, its modules stand in ``sys.modules``; the others
never see them.

What can be imported is what a compiled canister could import: the bundle, ``kybra``, and those
parts of the standard library that are built into it. A name of the standard library wins over a
bundled module of the same name, as it does there.
"""

import builtins
import importlib
import importlib.util
import logging
import random
import sys
import threading
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, cast

__all__ = ["LoadedModules", "ModuleSpace", "locate_sources"]

LoadedModules = tuple[Mapping[str, ModuleType], ModuleType | None]
"""Modules by name, and the canister's ``random`` once it was imported."""

_KYBRA = "kybra"

_ABSENT_MODULES = frozenset(
    {
        *("_ctypes", "_multiprocessing", "_socket", "_sqlite3", "_ssl", "asyncio", "bz2"),
        *("ctypes", "curses", "http.client", "lzma", "mmap", "multiprocessing", "select"),
        *("selectors", "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess"),
        *("unittest", "urllib.request"),
    }
)
"""Parts of the standard library that a compiled canister lacks. Source: RustPython for WASI."""

_COMPILED_FILES_MAX = 4_096
"""Code objects kept, so that a fleet of equal canisters compiles each file once."""

_log = logging.getLogger(__name__)

_one_at_a_time = threading.RLock()
"""``sys.modules`` belongs to the process, so only one canister can run in it at a time."""


def locate_sources(files: Mapping[str, bytes], roots: Sequence[Path]) -> Mapping[str, Path]:
    """Find the bundle's files on disk, where debuggers look for them.

    A file counts only when its content is the bundle's, so that lines agree.
    """
    found: dict[str, Path] = {}
    for path, source in files.items():
        for root in roots:
            candidate = root / path
            if candidate.is_file() and candidate.read_bytes() == source:
                found[path] = candidate.resolve()
                break
    return found


class ModuleSpace:
    """The modules of one installed canister.

    Args:
        files: Sources by path, ``pkg/__init__.py``.
        label: Tells this code from other code in the process's caches of source lines.
        host: What the code sees as ``_kybra_ic``.
        random_seed: Seeds the canister's ``random`` module.
        located: Where files lie on disk, for debuggers.
    """

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        label: str,
        host: object,
        random_seed: bytes,
        located: Mapping[str, Path] | None = None,
    ) -> None:
        self._sources = {_module_name(path): path for path in files}
        self._files = files
        self._located = located or {}
        self._prefix = f"{label}/"
        self._random_seed = random_seed
        self._random: ModuleType | None = None
        self._modules: dict[str, ModuleType] = {}
        self._own_roots = frozenset(name.partition(".")[0] for name in self._sources) - {_KYBRA}
        self._names = frozenset(self._sources) | _kybra_names()
        self._finder = _Finder(self)
        self.builtins: dict[str, Any] = {
            **vars(builtins),
            "__import__": self._import,
            "_kybra_ic": host,
            "print": _print_nowhere,
        }
        self.scope: dict[str, Any] = {"__builtins__": self.builtins}
        """The namespace in which the host looks functions up: the entry's star-import."""

    @property
    def roots(self) -> list[object]:
        """Namespaces from which everything the canister's code holds can be reached."""
        own = [vars(module) for name, module in self._loaded_now().items() if self.is_own(name)]
        drawn_from = [] if self._random is None else [vars(self._random)]
        return [*own, self.scope, *drawn_from]

    @property
    def foreign(self) -> list[object]:
        """Objects that the code's namespaces lead to, but that are the host's."""
        return [self.builtins, self.builtins["_kybra_ic"]]

    def is_own(self, module_name: str) -> bool:
        """Whether a module of this name comes from the bundle."""
        return module_name.partition(".")[0] in self._own_roots

    def import_entry(self, entry: str) -> None:
        """Run the entry module and fill ``scope``; whatever the code raises comes through."""
        with self.active():
            exec(f"from {entry} import *", self.scope)  # noqa: S102  # This is what Kybra runs.

    def import_kybra(self) -> Any:
        """Return this canister's own ``kybra`` package."""
        with self.active():
            return importlib.import_module(_KYBRA)

    @property
    def loaded(self) -> LoadedModules:
        """What has been imported so far; set it back to forget what was imported since."""
        return self._loaded_now(), self._random

    @loaded.setter
    def loaded(self, kept: LoadedModules) -> None:
        modules, self._random = kept
        self._modules = dict(modules)
        if self._is_active:
            self._take_out()
            sys.modules.update(self._modules)

    @contextmanager
    def active(self) -> Generator[None]:
        """Let the canister's modules stand in ``sys.modules``."""
        with _one_at_a_time:
            if self._is_active:
                yield
                return
            hidden = self._take_out()
            sys.modules.update(self._modules)
            sys.meta_path.insert(0, self._finder)
            try:
                yield
            finally:
                sys.meta_path.remove(self._finder)
                self._modules = self._take_out()
                sys.modules.update(hidden)

    def format_traceback(self, error: BaseException) -> str:
        """Return the traceback with the canister's frames only, and its own file names."""
        told = traceback.TracebackException.from_exception(error)
        self._keep_own_frames(told)
        return "".join(told.format()).replace(self._prefix, "")

    def find(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Find a module of the bundle, or of ``kybra``."""
        root = name.partition(".")[0]
        if root in sys.stdlib_module_names:
            return None
        if name in self._sources:
            return self._bundle_spec(name)
        return self._kybra_spec(name, path) if root == _KYBRA else None

    def _bundle_spec(self, name: str) -> ModuleSpec:
        path = self._sources[name]
        is_package = path.endswith("/__init__.py")
        filename = str(self._located.get(path, self._prefix + path))
        loader = _Loader(self, source=self._files[path], filename=filename)
        return ModuleSpec(name, loader, origin=filename, is_package=is_package)

    def _kybra_spec(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.origin is None:
            return None
        code_of = cast("InspectLoader", spec.loader).get_code
        spec.loader = _Loader(self, code=cast("CodeType", code_of(name)))
        return spec

    @property
    def _is_active(self) -> bool:
        return self._finder in sys.meta_path

    def _loaded_now(self) -> dict[str, ModuleType]:
        if not self._is_active:
            return dict(self._modules)
        return {name: sys.modules[name] for name in self._names & sys.modules.keys()}

    def _take_out(self) -> dict[str, ModuleType]:
        """Remove all modules that could be this canister's from ``sys.modules``."""
        return {name: sys.modules.pop(name) for name in self._names & sys.modules.keys()}

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0:
            if name == "random":
                self._random = self._random or _private_random(self._random_seed)
                return self._random
            self._check_importable(name)
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    def _check_importable(self, name: str) -> None:
        root = name.partition(".")[0]
        is_absent = name in _ABSENT_MODULES or root in _ABSENT_MODULES
        is_known = root in sys.stdlib_module_names or root in self._own_roots or root == _KYBRA
        if is_absent or not is_known:
            missing = name if is_absent else root
            reason = f"No module named {missing!r}"
            raise ModuleNotFoundError(reason, name=missing)

    def _keep_own_frames(self, told: traceback.TracebackException) -> None:
        located = {str(path) for path in self._located.values()}
        told.stack[:] = [
            frame
            for frame in told.stack
            if frame.filename in located or frame.filename.startswith(self._prefix)
        ]
        for other in (told.__cause__, told.__context__):
            if other is not None:
                self._keep_own_frames(other)


class _Finder(MetaPathFinder):
    def __init__(self, space: ModuleSpace) -> None:
        self._space = space

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del target
        return self._space.find(fullname, path)


class _Loader(InspectLoader):
    """Runs a module with the canister's own builtins."""

    def __init__(
        self,
        space: ModuleSpace,
        *,
        source: bytes = b"",
        filename: str = "",
        code: CodeType | None = None,
    ) -> None:
        self._builtins = space.builtins
        self._source = source
        self._filename = filename
        self._code = code

    def get_source(self, fullname: str) -> str:
        """Return the text, which tracebacks quote."""
        del fullname
        return importlib.util.decode_source(self._source)

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return self._code or _compile(self._source, self._filename)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._builtins
        exec(self.get_code(module.__name__), vars(module))  # noqa: S102  # A loader's work.


@lru_cache(maxsize=_COMPILED_FILES_MAX)
def _compile(source: bytes, filename: str) -> CodeType:
    # Level 0 keeps asserts, which a compiled canister keeps too.
    return compile(source, filename, "exec", dont_inherit=True, optimize=0)


@lru_cache(maxsize=1)
def _kybra_names() -> frozenset[str]:
    """Names of all modules of the installed ``kybra`` package; empty when it is missing."""
    spec = PathFinder.find_spec(_KYBRA)
    if spec is None or spec.origin is None:
        return frozenset()
    folder = Path(spec.origin).parent
    paths = (path.relative_to(folder.parent).as_posix() for path in folder.rglob("*.py"))
    names = {_module_name(path) for path in paths}
    # A folder without ``__init__`` is a package to the import system as well.
    return frozenset(names | {name.rpartition(".")[0] for name in names if "." in name})


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _print_nowhere(*values: object, **options: object) -> None:
    """Stand for ``print``, which has nowhere to print to in a canister."""
    del options
    _log.warning("print() writes nowhere in a canister, use ic.print(): %s", values)


def _private_random(seed: bytes) -> ModuleType:
    """Return a ``random`` module with a generator of its own, so that draws can be undone."""
    shared = getattr(random, "_inst")  # noqa: B009  # Private: found by name, not by type.
    generator = random.Random(seed)  # noqa: S311  # A canister's ``random`` is no secret either.
    module = ModuleType("random", random.__doc__)
    for name, value in vars(random).items():
        if getattr(value, "__self__", None) is shared:
            vars(module)[name] = getattr(generator, value.__name__)
        else:
            vars(module)[name] = value
    vars(module)["_inst"] = generator
    return module
