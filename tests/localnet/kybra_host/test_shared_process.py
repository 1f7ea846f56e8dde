"""What canisters in one process could do to it, and to each other, by its standard library."""

import gc
import logging
import sys
import threading
import warnings

import pytest
from native_canister import NativeCanister

from icfleet_localnet.executor import Query

DECIMALS = """
import decimal

from kybra import Async, ic, nat64, query, text, update, void


@update
def set_precision(digits: nat64) -> text:
    decimal.getcontext().prec = digits
    return third()


@update
def fail_with(digits: nat64) -> void:
    decimal.getcontext().prec = digits
    raise ValueError(digits)


@query
def try_precision(digits: nat64) -> text:
    decimal.getcontext().prec = digits
    return third()


@query
def divide() -> text:
    return third()


@query
def waits(digits: nat64) -> Async[text]:
    decimal.getcontext().prec = digits
    yield ic.call_raw(ic.id(), "divide", b"DIDL\\0\\0", 0)
    return third()


def third():
    return str(decimal.Decimal(1) / 3)
"""

SETTINGS = """
import atexit
import builtins
import gc
import logging
import os
import sys
import threading
import _thread
import warnings

from kybra import nat64, query, text, update, void


@update
def change(what: text) -> text:
    try:
        exec(what)
    except OSError as error:
        return str(error)
    return "done"


@update
def interrupt() -> void:
    raise KeyboardInterrupt("mine")


@update
def chained(length: nat64) -> void:
    error = None
    for number in range(length):
        made = ValueError(number)
        made.__cause__ = error
        error = made
    raise error


@query
def count() -> nat64:
    return len([1, 2, 3])
"""

THIRD = "0.3333333333333333333333333333"


def test_precision_is_each_canister_s_own() -> None:
    first, second = (NativeCanister.install(DECIMALS) for _ in range(2))

    assert first.update("set_precision", 4) == "0.3333"
    assert second.query("divide") == second.update("set_precision", 28) == THIRD
    assert first.query("divide") == "0.3333"


@pytest.mark.parametrize("is_used", [False, True])
def test_precision_is_undone_with_the_message(*, is_used: bool) -> None:
    """Whether the canister had a context of its own before, or not."""
    canister = NativeCanister.install(DECIMALS)
    before = canister.update("set_precision", 5) if is_used else canister.query("divide")

    assert canister.query("try_precision", 2) == "0.33"
    assert canister.trap_of("fail_with", 3).message == "ValueError: 3"
    assert canister.query("divide") == before
    assert canister.update("set_precision", 6) == "0.333333"


def test_a_composite_query_keeps_its_precision_while_it_waits() -> None:
    canister = NativeCanister.install(DECIMALS)
    waiting = canister.execute(Query("waits", canister.encode("waits", 3)))

    assert canister.query("divide") == THIRD
    assert canister.value("waits", canister.answer(waiting)) == "0.333"
    assert canister.query("divide") == THIRD


CHANGES = (
    "gc.disable(); gc.set_threshold(1, 1, 1); gc.freeze()",
    "warnings.simplefilter('error')",
    "warnings.filters = []",
    "builtins.len = lambda one: 42",
    "sys.setrecursionlimit(150)",
    "sys.setswitchinterval(5); sys.set_int_max_str_digits(0)",
    "sys.settrace(print); sys.setprofile(print)",
    "sys.path.clear(); sys.meta_path.clear(); sys.stdout = None",
    "sys.unraisablehook = sys.excepthook = print",
    "logging.disable(50); logging.getLogger().handlers.clear()",
    "logging.basicConfig(level=10, force=True)",
    "os.chdir('/'); os.umask(0o777)",
    "atexit.register(print)",
    "_thread.interrupt_main()",
)


def process_state() -> list[object]:
    root = logging.getLogger()
    return [
        *(gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), [*warnings.filters]),
        *(sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits()),
        *(sys.gettrace(), sys.getprofile(), [*sys.path], [*sys.meta_path], sys.stdout),
        *(sys.unraisablehook, sys.excepthook, root.level, root.manager.disable),
        *([*root.handlers], threading.active_count()),
    ]


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_process_is_set_to_stays(change: str) -> None:
    """And canisters go on, the one that tried and another."""
    canisters = [NativeCanister.install(SETTINGS) for _ in range(2)]
    before = process_state()

    canisters[0].update("change", change)

    assert process_state() == before
    assert canisters[1].query("count") == 3


def test_a_builtin_that_is_replaced_is_replaced_for_that_canister() -> None:
    canister = NativeCanister.install(SETTINGS)

    canister.update("change", "builtins.len = lambda one: 42")

    assert canister.query("count") == 42


def test_a_canister_s_own_keyboard_interrupt_is_a_trap() -> None:
    """Only the developer's ends the network."""
    canister = NativeCanister.install(SETTINGS)

    assert canister.trap_of("interrupt").message == "KeyboardInterrupt: mine"
    assert canister.query("count") == 3


@pytest.mark.parametrize("length", [30, 5_000])
def test_long_chains_of_exceptions_are_told_in_part(length: int) -> None:
    trap = NativeCanister.install(SETTINGS).trap_of("chained", length)

    assert trap.message == f"ValueError: {length - 1}"
    assert f"ValueError: {length - 20}" in trap.traceback
    assert len(trap.traceback) < 10_000


def test_views_of_the_process_are_no_part_of_the_heap() -> None:
    canister = NativeCanister.install(SETTINGS)
    canister.query("count")

    assert canister.instance.heap_objects < 50
