"""A canister's modules: loaded from its bundle, apart from the process's and other canisters'.

Each canister has its own modules, its own copy of the ``kybra`` package, its own clock and random
numbers (see ``private_modules``) and its own builtins. Among those is ``_kybra_ic``, which is
where Kybra's compiled runtime puts its host object too. While one of its messages runs, its
modules stand in ``sys.modules``; the others never see them. A recursion limit that the code sets
is taken back when its message ends, and so are filters of ``warnings`` and what it does to the root
logger. Other modules of the standard library are shared: a name that is replaced in one, as in
``json.loads = mine``, is replaced for the process.

Each canister has its own ``contextvars``, which is where ``decimal`` keeps its precision.

The order in which a set of text is walked depends on ``PYTHONHASHSEED``, as in any Python process:
whoever wants it to repeat from run to run must set that, as the command line does.

What can be imported is what a compiled canister could import: the bundle, ``kybra``, and those
parts of the standard library that are built into it. A name of the standard library wins over a
bundled module of the same name, as it does there.
"""

import builtins
import importlib
import importlib.util
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import Context
from dataclasses import dataclass
from functools import lru_cache
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn, cast

from icfleet_localnet.kybra_host.failures import chain_cut
from icfleet_localnet.kybra_host.instrumentation import compile_counted
from icfleet_localnet.kybra_host.metering import Meter
from icfleet_localnet.kybra_host.private_modules import VIEWED, PrivateModules

__all__ = ["HostSide", "LoadedModules", "ModuleSpace", "locate_sources"]

LoadedModules = tuple[Mapping[str, ModuleType], Mapping[str, ModuleType], Context]
"""Modules by name, and views of the standard library's, as far as they were imported; and the
context variables."""

_KYBRA = "kybra"

_ABSENT_MODULES = frozenset(
    {
        *(
            "_ctypes",
            "_multiprocessing",
            "_signal",
            "_socket",
            "_sqlite3",
            "_ssl",
            "asyncio",
            "bz2",
        ),
        *(
            "concurrent.futures",
            "ctypes",
            "curses",
            "http.client",
            "lzma",
            "mmap",
            "multiprocessing",
            "select",
        ),
        *("selectors", "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess"),
        *("unittest", "urllib.request"),
    }
)
"""Parts of the standard library that a compiled canister lacks. Source: RustPython for WASI.

``concurrent.futures`` is there, but cannot start a thread.
"""

_COMPILED_FILES_MAX = 4_096
"""Code objects kept, so that a fleet of equal canisters compiles each file once."""

_FRAMES_MAX = 200
"""Innermost frames of a traceback that are kept."""

_root = logging.getLogger()
_log = logging.getLogger(__name__)

_FORGET: Any = iter
"""For ``sys.unraisablehook``: an exception in a canister's ``__del__`` has nowhere to be told.

The hook must be C, and take no frame, or Python tells of it in its own way when the exception is
a ``RecursionError``, and code that recurses in ``__del__`` fills the log.
"""

_KeyboardInterrupt = type("KeyboardInterrupt", (BaseException,), {"__module__": "builtins"})
"""What a canister raises by this name: the true one says that the developer pressed Ctrl-C."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSide:
    """What a canister's code has around it."""

    api: object
    """What it sees as ``_kybra_ic``."""
    meter: Meter
    """Counts what it does."""
    clock: Callable[[], int]
    """Gives the time of the message, in nanoseconds."""
    halt: Callable[[str], NoReturn]
    """Traps the message, with a reason."""


class ModuleSpace:
    """The modules of one installed canister.

    Args:
        files: Sources by path, ``pkg/__init__.py``.
        label: Tells this code from other code in the process's caches of source lines.
        host: What surrounds the code.
        random_seed: Seeds the canister's ``random`` module.
        located: Where files lie on disk, for debuggers.
    """

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        label: str,
        host: HostSide,
        random_seed: bytes,
        located: Mapping[str, Path] | None = None,
    ) -> None:
        self._sources = {_module_name(path): path for path in files}
        self._files = files
        self._located = located or {}
        self._prefix = f"{label}/"
        self._views: Mapping[str, ModuleType] = {}
        self._modules: Mapping[str, ModuleType] = {}
        self._context = Context()
        self._is_active = False
        self._has_imported = False
        self._hidden: Mapping[str, ModuleType] = {}
        self._shared = _SharedState()
        self._activation = _Activation(self)
        self._own_roots = frozenset(name.partition(".")[0] for name in self._sources) - {_KYBRA}
        self._names = frozenset(self._sources) | _kybra_names()
        self._finder = _Finder(self)
        own_builtins = ModuleType("builtins")
        self.builtins: dict[str, Any] = vars(own_builtins)
        self.builtins.update(
            vars(builtins),
            __import__=self._import,
            _kybra_ic=host.api,
            print=_print_nowhere,
            input=_read_nothing,
            exit=_leave,
            quit=_leave,
            KeyboardInterrupt=_KeyboardInterrupt,
        )
        self._private = PrivateModules(
            random_seed=random_seed,
            clock=host.clock,
            halt=host.halt,
            builtins=own_builtins,
        )
        self.scope: dict[str, Any] = {"__builtins__": self.builtins}
        self.meter = host.meter
        self.meter.serve(self.builtins)
        """The namespace in which the host looks functions up: the entry's star-import."""

    @property
    def roots(self) -> list[object]:
        """Namespaces from which everything the canister's code holds can be reached."""
        own = [vars(module) for name, module in self._loaded_now().items() if self.is_own(name)]
        variables = [*self._context.values()]
        return [*own, self.scope, *variables, *self._private.state_of(self._views)]

    @property
    def foreign(self) -> list[object]:
        """Objects that the code's namespaces lead to, but that are the host's."""
        return [self.builtins, self.builtins["_kybra_ic"], *self.meter.objects]

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
        return self._loaded_now(), self._views, self._context

    @loaded.setter
    def loaded(self, kept: LoadedModules) -> None:
        modules, self._views, self._context = kept
        if self._is_active and (self._has_imported or modules is not self._modules):
            self._take_out()
            sys.modules.update(modules)
            self._has_imported = False
        self._modules = modules

    def run_apart(self, body: Callable[[], None]) -> None:
        """Run code in a copy of the canister's context, which is its context from now on."""
        self._context = self._context.copy()
        self._context.run(body)

    def run_aside(self, body: Callable[[], None]) -> None:
        """Run code in a copy of the canister's context that nobody keeps."""
        self._context.copy().run(body)

    def active(self) -> AbstractContextManager[None]:
        """Let the canister's modules stand in ``sys.modules``; may be nested."""
        return self._activation

    def activate(self) -> None:
        """Begin what ``active`` promises."""
        self._shared.remember()
        self._hidden = self._take_out()
        sys.modules.update(self._modules)
        sys.meta_path.insert(0, self._finder)
        self._is_active, self._has_imported = True, False

    def deactivate(self) -> None:
        """End it, and put back what the process had."""
        self._modules = self._loaded_now()
        self._is_active = False
        sys.meta_path.remove(self._finder)
        for name in self._modules:
            sys.modules.pop(name, None)
        sys.modules.update(self._hidden)
        self._shared.put_back()

    def format_traceback(self, error: BaseException) -> str:
        """Return the traceback with the canister's frames only, and its own file names."""
        try:
            with chain_cut(error):
                told = traceback.TracebackException.from_exception(error, limit=-_FRAMES_MAX)
            self._keep_own_frames(told)
            return "".join(told.format()).replace(self._prefix, "")
        except Exception as failure:  # noqa: BLE001  # The exception is the canister's own work.
            return f"(its traceback cannot be told: {type(failure).__name__})"

    def find(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Find a module of the bundle, or of ``kybra``."""
        self._has_imported = True
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

    def _loaded_now(self) -> Mapping[str, ModuleType]:
        """Return the modules by name, in a mapping that is never changed."""
        if not self._is_active or not self._has_imported:
            return self._modules
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
            self._check_importable(name)
            root = name.partition(".")[0]
            if root in VIEWED and (root == name or not fromlist):
                views = dict(self._views)
                found = self._private.make(root, views)
                self._views = views
                return found
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


class _SharedState:
    """What code can change in the process by what the standard library is for."""

    def remember(self) -> None:
        """Note everything; some 0.5 us."""
        self._recursion_limit = sys.getrecursionlimit()
        self._unraisable_hook = sys.unraisablehook
        sys.unraisablehook = _FORGET
        self._filters, self._filters_held = warnings.filters, [*warnings.filters]
        self._handlers = [*_root.handlers]
        self._levels = _root.level, _root.manager.disable

    def put_back(self) -> None:
        """Put back what is different now."""
        sys.unraisablehook = self._unraisable_hook
        if sys.getrecursionlimit() != self._recursion_limit:
            sys.setrecursionlimit(self._recursion_limit)
        if warnings.filters is not self._filters or self._filters != self._filters_held:
            warnings.resetwarnings()  # Also lets go of what was decided by the filters.
            warnings.filters = self._filters
            cast("list[Any]", self._filters)[:] = self._filters_held
        if _root.handlers != self._handlers:
            _root.handlers[:] = self._handlers
        if (_root.level, _root.manager.disable) != self._levels:
            _root.manager.disable = self._levels[1]
            _root.setLevel(self._levels[0])


class _Activation(AbstractContextManager[None]):
    """Activates a space, unless it is active already; cheaper than a generator's manager."""

    def __init__(self, space: ModuleSpace) -> None:
        self._space = space
        self._depth = 0

    def __enter__(self) -> None:
        _one_at_a_time.acquire()
        try:
            if not self._depth:
                self._space.activate()
            self._depth += 1
        except BaseException:
            _one_at_a_time.release()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._depth -= 1
            if not self._depth:
                self._space.deactivate()
        finally:
            _one_at_a_time.release()


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
        self._meter = space.meter
        self._source = source
        self._filename = filename
        self._code = code

    def get_source(self, fullname: str) -> str:
        """Return the text, which tracebacks quote."""
        del fullname
        return importlib.util.decode_source(self._source)

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        if self._code is not None:
            return self._code
        code, sources = _compile(self._source, self._filename)
        self._meter.provide(sources)
        return code

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._builtins
        exec(self.get_code(module.__name__), vars(module))  # noqa: S102  # A loader's work.


_compile = lru_cache(maxsize=_COMPILED_FILES_MAX)(compile_counted)


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


def _read_nothing(prompt: object = "") -> NoReturn:
    """Stand for ``input``, which meets the end of its file at once."""
    del prompt
    raise EOFError


def _leave(code: object = None) -> NoReturn:
    """Stand for ``exit``, which must not close the process's standard input."""
    raise SystemExit(code)
