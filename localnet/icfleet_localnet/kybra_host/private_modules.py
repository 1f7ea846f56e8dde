"""A canister's own view of modules that lead to the machine: clocks, randomness, processes.

A view is a copy of the module's namespace with some names replaced, so that the process and other
canisters keep theirs. Only the canister's own imports meet views: what the standard library does
inside, as ``logging`` stamping a record, goes on with the machine's clock, and so does code that
asks ``sys.modules`` or ``importlib`` for a module.

- ``time``, ``datetime``: the time of the message, which stands still; the time zone is UTC.
  ``time.sleep`` traps. Classes of ``datetime`` make plain objects of the standard library, of
  which ``isinstance`` says what it should; but ``type(x) is datetime`` is false, and a naive
  object's own ``timestamp()`` and ``astimezone()`` take the machine's time zone.
- ``os.urandom``, ``secrets``, ``random.SystemRandom``, ``uuid``: one generator, the same at each
  install of each canister, since the compiled runtime starts it from a constant.
- ``random``: seeded by the host at each install. The compiled runtime does that too, but in a
  timer right after the install, so that until then its numbers repeat.
- ``os``: no environment, nothing that starts or ends processes; ``os._exit`` and ``os.abort``
  trap. Files are the machine's, where a compiled canister has an empty file system of its own.
- ``builtins``: the canister's own; what it replaces there is replaced for its code.
- ``sys``: hooks and settings of the process have no effect; ``sys.path`` is a copy.
- ``gc``, ``atexit``: nothing is switched, and nothing is run at the end, as compiled.
- ``threading``: threads cannot be started, as in the compiled runtime.

Source: ``ic-wasi-polyfill``, whose clocks all give ``ic0.time``, whose random numbers come from a
seeded generator, and which fails on ``poll_oneoff``, by which Rust sleeps; ``kybra`` 0.7.1.
"""

import _thread
import atexit
import datetime as dt
import errno
import gc
import hashlib
import os
import random
import secrets
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, NoReturn

__all__ = ["VIEWED", "PrivateModules"]

VIEWED = frozenset(
    {
        *("_thread", "atexit", "builtins", "datetime", "gc", "os", "random", "secrets", "sys"),
        *("threading", "time", "uuid"),
    }
)
"""Modules of which canisters get a view."""

_CONSTANT_SEED = b"kybra"

_S = 1_000_000_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")

_PROCESS_NAMES = frozenset(
    {
        *("fork", "forkpty", "kill", "killpg", "nice", "popen", "startfile", "system"),
        *("wait", "wait3", "wait4", "waitid", "waitpid"),
    }
)
_PROCESS_PREFIXES = ("exec", "spawn", "posix_spawn", "set", "sched_", "pidfd_")
"""Functions of ``os`` that WebAssembly lacks, apart from those that merely fail there."""

_OS_SETTINGS = frozenset({"chdir", "chroot", "fchdir", "umask"})
"""Functions of ``os`` that change the process."""

_GC_SWITCHES = ("disable", "enable", "freeze", "unfreeze", "set_debug", "set_threshold")

_SYS_LISTS = ("argv", "meta_path", "path", "path_hooks")

_SYS_SETTINGS = frozenset(
    {
        *("activate_stack_trampoline", "addaudithook", "set_asyncgen_hooks"),
        *("set_coroutine_origin_tracking_depth", "set_int_max_str_digits", "setdlopenflags"),
        *("setprofile", "setswitchinterval", "settrace"),
    }
)


class PrivateModules:
    """Makes views for one canister; they keep no state between each other but the generator.

    Args:
        random_seed: Seeds the canister's ``random``.
        clock: Gives the time of the message, in nanoseconds.
        halt: Traps the message, with a reason.
        builtins: The canister's own, which functions of views see too.
    """

    def __init__(
        self,
        *,
        random_seed: bytes,
        clock: Callable[[], int],
        halt: Callable[[str], NoReturn],
        builtins: ModuleType,
    ) -> None:
        self._random_seed = random_seed
        self._clock = clock
        self._halt = halt
        self._builtins = builtins

    def make(self, name: str, views: dict[str, ModuleType]) -> ModuleType:
        """Return the view of a module, made first and put into ``views`` if it is not there."""
        found = views.get(name)
        if found is None:
            makers: dict[str, Callable[[dict[str, ModuleType]], ModuleType]] = {
                "_thread": self._thread,
                "atexit": self._atexit,
                "builtins": self._own_builtins,
                "datetime": self._datetime,
                "gc": self._gc,
                "os": self._os,
                "random": self._random,
                "secrets": self._secrets,
                "sys": self._sys,
                "threading": self._threading,
                "time": self._time,
                "uuid": self._uuid,
            }
            found = views[name] = makers[name](views)
        return found

    def state_of(self, views: Mapping[str, ModuleType]) -> list[object]:
        """Return what views hold that messages change and rollbacks must put back."""
        held: list[object] = []
        if "random" in views:
            held.append(vars(views["random"])["_inst"])
        if "os" in views:
            names = vars(views["os"])
            held += [names["environ"], names["urandom"].__self__.state]
        if "sys" in views:
            # Not its hooks for imports, which lead to the host.
            names = vars(views["sys"])
            held += [names["argv"], names["path"]]
        return held

    def _atexit(self, views: dict[str, ModuleType]) -> ModuleType:
        del views
        view = _copy(atexit)
        vars(view).update(register=_first, unregister=_nothing, _clear=_nothing)
        vars(view).update(_run_exitfuncs=_nothing)
        return view

    def _own_builtins(self, views: dict[str, ModuleType]) -> ModuleType:
        del views
        return self._builtins

    def _gc(self, views: dict[str, ModuleType]) -> ModuleType:
        del views
        view = _copy(gc)
        vars(view).update(dict.fromkeys(_GC_SWITCHES, _nothing), callbacks=[])
        # As one that finds nothing; it would search the memory of all canisters.
        vars(view)["collect"] = _collect_none
        return view

    def _sys(self, views: dict[str, ModuleType]) -> ModuleType:
        del views
        view = _copy(sys)
        names = vars(view)
        names.update((name, [*names[name]]) for name in _SYS_LISTS)
        names.update(dict.fromkeys(_SYS_SETTINGS & names.keys(), _nothing))
        return view

    def _random(self, views: dict[str, ModuleType]) -> ModuleType:
        shared = getattr(random, "_inst")  # noqa: B009  # Private: found by name, not by type.
        generator = random.Random(self._random_seed)  # noqa: S311  # No secret on chain either.
        view = _copy(random)
        for name, value in vars(random).items():
            if getattr(value, "__self__", None) is shared:
                vars(view)[name] = getattr(generator, value.__name__)
        urandom = vars(self.make("os", views))["urandom"]
        vars(view).update(_inst=generator, SystemRandom=_system_random(urandom))
        return view

    def _os(self, views: dict[str, ModuleType]) -> ModuleType:
        del views
        view = _copy(os)
        names = vars(view)
        for name in list(names):
            if name in _PROCESS_NAMES or name.startswith(_PROCESS_PREFIXES):
                del names[name]
        environ: dict[str, str] = {}
        entropy = _Entropy(_CONSTANT_SEED)
        names.update(
            environ=environ,
            getenv=environ.get,
            urandom=entropy.read,
            getrandom=entropy.read_flagged,
            abort=self._abort,
            _exit=self._exit,
            **dict.fromkeys(_OS_SETTINGS & names.keys(), _refuse_setting),
        )
        return view

    def _secrets(self, views: dict[str, ModuleType]) -> ModuleType:
        view = self._rehome(secrets)
        system_random = vars(self.make("random", views))["SystemRandom"]
        source = system_random()
        vars(view).update(
            SystemRandom=system_random,
            _sysrand=source,
            randbits=source.getrandbits,
            choice=source.choice,
        )
        return view

    def _uuid(self, views: dict[str, ModuleType]) -> ModuleType:
        view = self._rehome(uuid)
        names = vars(view)
        names.update(os=self.make("os", views), _generate_time_safe=None, _UuidCreate=None)
        names["getnode"] = names["_random_getnode"]
        return view

    def _time(self, views: dict[str, ModuleType]) -> ModuleType:
        del views
        view = _copy(time)
        names = vars(view)
        clock = self._clock
        for name in _CLOCKS:
            names[name] = lambda: clock() / _S
            names[f"{name}_ns"] = clock
        names.update(vars(_clocked_functions(clock)), sleep=self._sleep)
        names.update(timezone=0, altzone=0, daylight=0, tzname=("UTC", "UTC"))
        return view

    def _datetime(self, views: dict[str, ModuleType]) -> ModuleType:
        del views
        view = _copy(dt)
        clock = self._clock

        def now() -> dt.datetime:
            return _EPOCH + dt.timedelta(microseconds=clock() // 1_000)

        vars(view).update(date=_clocked_date(now), datetime=_clocked_datetime(now))
        return view

    def _thread(self, views: dict[str, ModuleType]) -> ModuleType:
        del views
        view = _copy(_thread)
        vars(view).update(start_new_thread=_refuse_thread, start_new=_refuse_thread)
        vars(view).update(interrupt_main=_nothing)
        return view

    def _threading(self, views: dict[str, ModuleType]) -> ModuleType:
        del views
        view = _copy(threading)
        for name in ("Thread", "Timer"):
            kind: type[Any] = getattr(threading, name)
            vars(view)[name] = type(name, (kind,), {"start": _refuse_thread})
        return view

    def _abort(self) -> NoReturn:
        self._halt("the canister's code called os.abort()")

    def _exit(self, status: int) -> NoReturn:
        self._halt(f"the canister's code called os._exit({status})")

    def _sleep(self, seconds: float) -> NoReturn:
        self._halt(f"time.sleep({seconds}): a canister cannot wait, use ic.set_timer()")

    def _rehome(self, module: ModuleType) -> ModuleType:
        """Copy a module, so that its functions see the copy's names."""
        view = _copy(module)
        names = vars(view)
        names["__builtins__"] = vars(self._builtins)
        for name, value in list(names.items()):
            if isinstance(value, FunctionType) and value.__globals__ is vars(module):
                made = FunctionType(
                    value.__code__, names, name, value.__defaults__, value.__closure__
                )
                made.__kwdefaults__ = value.__kwdefaults__
                names[name] = made
        return view


class _Entropy:
    """Random bytes from a seed; its state is small, since each message compares it."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self.state = {"reads": 0}
        """What a rollback puts back."""

    def read(self, size: int) -> bytes:
        """Return random bytes."""
        if size < 0:
            reason = "negative argument not allowed"
            raise ValueError(reason)
        self.state["reads"] += 1
        number = self.state["reads"].to_bytes(8, "big")
        return hashlib.shake_256(self._seed + number).digest(size)

    def read_flagged(self, size: int, flags: int = 0) -> bytes:
        """Return random bytes, as ``os.getrandom`` does."""
        del flags
        return self.read(size)


def _copy(module: ModuleType) -> ModuleType:
    view = ModuleType(module.__name__, module.__doc__)
    vars(view).update(vars(module))
    return view


def _clocked_functions(clock: Callable[[], int]) -> SimpleNamespace:
    """Return functions of ``time`` that tell the time of the message where they are given none."""

    def gmtime(seconds: float | None = None, /) -> time.struct_time:
        return time.gmtime(clock() // _S if seconds is None else seconds)

    def asctime(at: time.struct_time | None = None, /) -> str:
        return time.asctime(at or gmtime())

    def ctime(seconds: float | None = None, /) -> str:
        return time.asctime(gmtime(seconds))

    def strftime(form: str, at: time.struct_time | None = None, /) -> str:
        return time.strftime(form, at or gmtime())

    return SimpleNamespace(
        gmtime=gmtime, localtime=gmtime, asctime=asctime, ctime=ctime, strftime=strftime
    )


def _nothing(*_: object, **__: object) -> None:
    """Stand for what switches something of the process."""


def _collect_none(generation: int = 2) -> int:
    del generation
    return 0


def _first(function: Callable[..., object], *_: object, **__: object) -> Callable[..., object]:
    return function


def _refuse_setting(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _refuse_thread(*_: object, **__: object) -> NoReturn:
    reason = "can't start new thread"
    raise RuntimeError(reason)


def _system_random(urandom: Callable[[int], bytes]) -> type[random.SystemRandom]:
    class SystemRandom(random.SystemRandom):
        """Draws from the canister's ``os.urandom``."""

        def random(self) -> float:
            return (int.from_bytes(urandom(7), "big") >> 3) * 2**-53

        def getrandbits(self, k: int) -> int:
            if k < 0:
                reason = "number of bits must be non-negative"
                raise ValueError(reason)
            size = (k + 7) // 8
            return int.from_bytes(urandom(size), "big") >> (size * 8 - k)

        def randbytes(self, n: int) -> bytes:
            return urandom(n)

    return SystemRandom


class _Facade(type):
    """A class that stands for its base: what it makes are objects of the base."""

    def __instancecheck__(cls, instance: object) -> bool:
        return type.__instancecheck__(_real(cls), instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return type.__subclasscheck__(_real(cls), subclass)


def _real(cls: type) -> type:
    """Return what a facade stands for; a class that the canister derived from it is itself."""
    return cls.__mro__[1] if _is_facade(cls) else cls


def _is_facade(cls: type) -> bool:
    return "_is_facade" in vars(cls)


def _clocked_date(now: Callable[[], dt.datetime]) -> type[dt.date]:
    class Date(dt.date, metaclass=_Facade):
        _is_facade = True

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            real: Any = _real(cls)
            return dt.date.__new__(real, *args, **kwargs)

        @classmethod
        def today(cls) -> Any:
            return cls(*now().timetuple()[:3])

        @classmethod
        def fromtimestamp(cls, timestamp: float, /) -> Any:
            at = dt.datetime.fromtimestamp(timestamp, dt.UTC)
            return cls(at.year, at.month, at.day)

    return _named(Date, "date")


def _clocked_datetime(now: Callable[[], dt.datetime]) -> type[dt.datetime]:
    class DateTime(dt.datetime, metaclass=_Facade):
        _is_facade = True

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            real: Any = _real(cls)
            return dt.datetime.__new__(real, *args, **kwargs)

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            at = now().replace(tzinfo=None) if tz is None else now().astimezone(tz)
            return cls.combine(at.date(), at.timetz())

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now()

        @classmethod
        def today(cls) -> Any:
            return cls.now()

        @classmethod
        def fromtimestamp(cls, timestamp: float, tz: dt.tzinfo | None = None) -> Any:
            made: Any = super().fromtimestamp(timestamp, tz or dt.UTC)
            return made if tz is not None else made.replace(tzinfo=None)

    return _named(DateTime, "datetime")


def _named(kind: type[Any], name: str) -> type[Any]:
    kind.__module__, kind.__name__, kind.__qualname__ = "datetime", name, name
    return kind
