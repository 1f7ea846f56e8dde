"""Instrumented code does what it did, at the lines where it did it."""

import builtins
import inspect
import linecache
import sys
import textwrap
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest
from native_canister import NativeCanister

from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.kybra_host.instrumentation import compile_counted
from icfleet_localnet.kybra_host.metering import Meter

LIMIT = 10**15


def never(limit: int) -> NoReturn:
    raise AssertionError(limit)


def run(source: str, *, is_instrumented: bool) -> dict[str, Any]:
    """Run a module, instrumented or not, and return its names."""
    names: dict[str, Any] = {"__name__": "module", "__builtins__": dict(vars(builtins))}
    code = compile(source, "module.py", "exec", dont_inherit=True)
    if is_instrumented:
        code, sources = compile_counted(source.encode(), "module.py")
        meter = Meter(never)
        meter.serve(names["__builtins__"])
        meter.provide(sources)
        meter.begin(LIMIT)
    exec(code, names)
    return names


CONTROL_FLOW = '''
"""Everything that jumps."""
from __future__ import annotations

log = []


def loops(numbers):
    """Loop in every way."""
    for number in numbers:
        if number == 2:
            continue
        if number == 5:
            break
        log.append(number)
    else:
        log.append("not broken")
    count = 0
    while count < 3:
        count += 1
        if count == 2:
            continue
        log.append(("while", count))
    else:
        log.append("else")
    while True:
        count += 1
        if count > 6:
            break
    outer = 3
    while outer:
        outer -= 1
        while (inner := outer) and inner > 1:
            break
        for _ in range(outer):
            if _:
                break
        else:
            log.append(("inner", outer))
    return count


def generator(limit):
    try:
        while limit:
            received = yield limit
            log.append(received)
            limit -= 1
        for _ in (yield "last"):
            yield from range(_)
    finally:
        log.append("closed")
    return "result"


def drives():
    running = generator(2)
    values = [next(running), running.send("a"), running.send("b"), running.send([1, 2])]
    values.extend(running)
    other = generator(5)
    next(other)
    other.close()
    return values


def handles(value):
    try:
        if value is None:
            raise KeyError("none")
        with Manager() as managed:
            return 10 / value
    except ZeroDivisionError as error:
        log.append(str(error))
        return "zero"
    except (KeyError, TypeError) as error:
        return type(error).__name__
    else:
        return "else"
    finally:
        log.append("finally")


class Manager:
    """A context."""

    entered: int = 0

    def __enter__(self):
        Manager.entered += 1
        return self

    def __exit__(self, *details):
        return False


def matches(value):
    match value:
        case 0:
            return "zero"
        case [first, *rest] if rest:
            return (first, rest)
        case {"key": found}:
            return found
        case _:
            return None


def comprehends(rows):
    pairs = [(a, b) for a in rows if a for b in range(a) if b % 2]
    table = {a: {b for b in range(a)} for a in rows}
    lazy = (a * b for a in rows for b in rows)
    nested = [[x for x in range(y)] for y in rows]
    return pairs, table, list(lazy), nested, [f(2) for f in [lambda x: x + 1, lambda x: x * 5]]


def only_docstring():
    """Nothing else."""


def annotated(x: int, *, y: list[str] = ["a"]) -> "never evaluated":
    z: Undefined = x
    return z, y


def decorate(function):
    def inner(*args):
        log.append(function.__name__)
        return function(*args)
    return inner


@decorate
def decorated(x, y=[n for n in range(3)]):
    nonlocal_count = 0

    def count():
        nonlocal nonlocal_count
        nonlocal_count += 1
        return nonlocal_count
    return [count() for _ in y], x


def variables():
    first = 1
    for second in [2]:
        third = [first for _ in [1]]
    while first:
        first -= 1
    return sorted(locals())


async def coroutine():
    async with thing:
        async for one in two:
            pass
    return [x async for x in y]


results = [
    loops(range(4)), loops(range(9)), drives(), handles(0), handles(None), handles(4), handles("a"),
    matches(0), matches([1, 2]), matches({"key": 3}), matches(None), comprehends([1, 2, 3]),
    annotated(1), decorated(2), variables(), only_docstring(), Manager.entered,
    __doc__, loops.__doc__, only_docstring.__doc__, Manager.__doc__,
    [type(n).__name__ for n in [coroutine, generator(1)]],
    loops.__code__.co_varnames, annotated.__annotations__, [x for x in range(3) if x][-1:],
]
'''


def test_instrumented_code_does_what_it_did() -> None:
    plain, counted = (run(CONTROL_FLOW, is_instrumented=flag) for flag in (False, True))

    assert counted["results"] == plain["results"]
    assert counted["log"] == plain["log"]
    assert len(plain["log"]) > 20


def lines_of(source: str, *, is_instrumented: bool) -> list[int]:
    """Return the lines that a debugger sees in the functions of a module, in order."""
    lines: list[int] = []

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        del argument
        if frame.f_code.co_filename == "module.py":
            if event == "line":
                lines.append(frame.f_lineno)
            return trace
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run(source, is_instrumented=is_instrumented)
    finally:
        sys.settrace(before)
    return lines


def test_a_debugger_sees_the_same_lines() -> None:
    """Each in its turn: so breakpoints and steps are where they were.

    A ``while`` line may be seen twice in a row, where its test now stands in the loop.
    """
    plain, counted = (lines_of(CONTROL_FLOW, is_instrumented=flag) for flag in (False, True))

    assert _without_repeats(counted) == _without_repeats(plain)
    assert len(counted) < len(plain) * 1.05


def _without_repeats(lines: list[int]) -> list[int]:
    return [line for line, before in zip(lines, [0, *lines], strict=False) if line != before]


FAILING = [
    ("for a in 5: pass", "'int' object is not iterable"),
    ("[a for a in None]", "'NoneType' object is not iterable"),
    ("for a, b in [(1, 2), (3,)]:\n    pass", "not enough values"),
    ("d = {1: 1}\nfor k in d:\n    d[k + 1] = 1", "changed size during iteration"),
    ("x = 3\nwhile x:\n    x -= 1\n    1 / (x - 1)", "division by zero"),
    ("def f():\n    return (\n        1 +\n        None\n    )\nf()", "unsupported operand"),
    ("(lambda: undefined)()", "name 'undefined' is not defined"),
    ("while undefined:\n    pass", "name 'undefined' is not defined"),
    ("class A:\n    '''doc'''\n    1 / 0", "division by zero"),
]


@pytest.mark.parametrize(("source", "message"), FAILING)
def test_tracebacks_are_the_same(source: str, message: str) -> None:
    """Line by line; only the marks under them may be more exact."""
    told: list[list[str]] = []
    lines = source.splitlines(keepends=True)
    linecache.cache["module.py"] = (len(source), None, lines, "module.py")
    for flag in (False, True):
        with pytest.raises(Exception, match=message) as caught:
            run(source, is_instrumented=flag)
        formatted = "".join(traceback.format_exception(caught.value))
        own = formatted[formatted.index('File "module.py"') :].splitlines()
        told.append([line for line in own if line.strip(" ^~")])
    del linecache.cache["module.py"]

    assert told[0] == told[1]


def test_iterators_are_let_go_of_as_before() -> None:
    """A generator left by ``break`` ends at once, and its ``finally`` runs."""
    source = """
log = []

def numbers():
    try:
        yield 1
        yield 2
    finally:
        log.append("closed")

for number in numbers():
    log.append(number)
    break
log.append("after")
"""
    assert run(source, is_instrumented=True)["log"] == [1, "closed", "after"]


@pytest.mark.parametrize("source", ["", '"""Only this."""', "from __future__ import annotations"])
def test_files_of_next_to_nothing_are_instrumented(source: str) -> None:
    assert "results" not in run(source, is_instrumented=True)


@pytest.mark.parametrize("source", ["return 1", "def f(:", "x = 1\nbreak", "nonlocal x", "1 +"])
def test_a_syntax_error_is_told_as_python_does(source: str) -> None:
    """Also one that is only found when the tree is compiled."""
    told: list[str] = []
    for compiled in (lambda: compile(source, "a.py", "exec"), lambda: run_counted(source)):
        with pytest.raises(SyntaxError) as caught:
            compiled()
        told.append("".join(traceback.format_exception_only(caught.value)))

    assert told[0] == told[1]


def run_counted(source: str) -> None:
    compile_counted(source.encode(), "a.py")


def test_code_nested_too_deep_is_refused() -> None:
    """And does not take the process with it."""
    source = "total = " + " + ".join(["1"] * 10_000)

    with pytest.raises(RecursionError):
        compile_counted(source.encode(), "a.py")


def test_long_expressions_are_instrumented() -> None:
    """As long as Python itself takes them."""
    terms = 600
    source = "total = " + " + ".join(["1"] * terms) + "\nnested = " + "[" * 60 + "]" * 60

    assert run(source, is_instrumented=True)["total"] == terms


STANDARD = ["textwrap", "heapq", "statistics", "fractions", "difflib", "csv", "ast", "dataclasses"]


@pytest.mark.parametrize("name", STANDARD)
def test_whole_libraries_can_be_instrumented(name: str) -> None:
    """Much code of many hands still compiles, and has the same names."""
    source = inspect.getsource(__import__(name))

    code, sources = compile_counted(source.encode(), name)

    assert sources
    names = compile(source, name, "exec", dont_inherit=True).co_names
    assert tuple(one for one in code.co_names if not one.startswith(".")) == names


def test_an_instrumented_library_computes_the_same() -> None:
    names = run(inspect.getsource(textwrap), is_instrumented=True)
    text = inspect.getdoc(textwrap.TextWrapper) or ""

    assert names["fill"](text, 40) == textwrap.fill(text, 40)
    assert names["dedent"](CONTROL_FLOW) == textwrap.dedent(CONTROL_FLOW)


@pytest.fixture
def located(tmp_path: Path) -> tuple[NativeCanister, Path]:
    """A canister whose file lies on disk, where a debugger looks for it."""
    source = textwrap.dedent("""
        from kybra import nat64, query

        @query
        def add(passes: nat64) -> nat64:
            total = 0
            while passes:
                passes -= 1
                total += passes
            return total
    """).lstrip("\n")
    path = tmp_path / "main.py"
    path.write_text(source)
    executor = InProcessExecutor(source_roots=[tmp_path])
    return NativeCanister.install(source, executor=executor), path


def test_breakpoints_stop_in_the_canisters_own_file(
    located: tuple[NativeCanister, Path],
) -> None:
    """At each pass of a loop, with the variables of that moment and no others."""
    canister, path = located
    seen: list[dict[str, Any]] = []

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        del argument
        if frame.f_code.co_filename != str(path):
            return None
        if event == "line" and frame.f_lineno == 8:
            seen.append(dict(frame.f_locals))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        assert canister.query("add", 3) == 3
    finally:
        sys.settrace(before)

    assert seen == [{"passes": 2, "total": 0}, {"passes": 1, "total": 2}, {"passes": 0, "total": 3}]
