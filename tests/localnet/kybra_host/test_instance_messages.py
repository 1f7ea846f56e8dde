"""One message: decoded, guarded, executed, answered, and kept or undone as a whole."""

import logging
from typing import Any

import pytest
from native_canister import (
    ADA,
    NO_ARGS,
    NativeCanister,
    RefusedError,
    TrappedError,
    bundle,
    install,
)

from icfleet_localnet.executor import Query, Update
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_protocol.candid import encode
from icfleet_protocol.candid.types import nat64, text

COUNTER = """
from kybra import (
    GuardResult, Manual, Opt, Principal, Record, StableBTreeMap, Tuple, Vec, blob, float64, ic,
    init, inspect_message, nat64, query, text, update, void,
)


class Row(Record):
    name: text
    owner: Opt[Principal]


rows = StableBTreeMap[nat64, Row](memory_id=0, max_key_size=15, max_value_size=200)
state = {"count": 0, "guarded": 0}


@init
def start(count: nat64) -> void:
    state["count"] = count


@query
def count() -> nat64:
    return state["count"]


@update
def add(number: nat64) -> nat64:
    state["count"] += number
    rows.insert(state["count"], {"name": "row", "owner": ic.caller()})
    return state["count"]


@query
def all_rows() -> Vec[Tuple[nat64, Row]]:
    return rows.items()


@update
def add_then(how: text) -> nat64:
    state["count"] += 1000
    state["new"] = []
    rows.insert(1000, {"name": "lost", "owner": None})
    ic.set_timer(1, lambda: None)
    ic.set_certified_data(b"x")
    ic.print("before", how)
    if how == "raise":
        return {}["missing"]
    if how == "trap":
        ic.trap("no")
    if how == "caught":
        try:
            ic.trap("first")
        except BaseException:
            ic.print("not printed")
    if how == "finally":
        try:
            ic.trap("first")
        finally:
            return 1
    if how == "quietly":
        try:
            ic.trap("first")
        except BaseException:
            pass
        state["count"] = 5
        return 5
    if how == "unfit":
        return -1
    if how == "exit":
        raise SystemExit("bye")
    return 1


@query
def bump_in_query() -> nat64:
    state["count"] += 1
    rows.insert(7, {"name": "lost", "owner": None})
    return state["count"]


@query
def half(number: float64) -> float64:
    return number / 2


@query
def wrong_float() -> float64:
    return 1


@update
def nothing() -> void:
    pass


@update
def not_nothing() -> void:
    return 1


def allow() -> GuardResult:
    state["guarded"] += 1
    return {"Ok": None}


def refuse() -> GuardResult:
    state["guarded"] += 1
    return {"Ok": None, "Err": "not you"}


def broken() -> GuardResult:
    state["guarded"] += 1
    raise ValueError("broken guard")


def odd() -> GuardResult:
    return 5


def trapping() -> GuardResult:
    state["guarded"] += 1
    ic.trap("guard trapped")


@update(guard=allow)
def allowed(number: nat64) -> nat64:
    return number


@update(guard=refuse)
def refused(number: nat64) -> nat64:
    return number


@update(guard=broken)
def with_broken_guard() -> void:
    pass


@update(guard=odd)
def with_odd_guard() -> void:
    pass


@update(guard=trapping)
def with_trapping_guard() -> void:
    pass


@query
def guarded() -> nat64:
    return state["guarded"]


@update
def by_hand(how: text) -> Manual[nat64]:
    state["count"] += 1
    if how == "reply":
        ic.reply(7)
    elif how == "raw":
        ic.reply_raw(ic.candid_encode("(9 : nat64)"))
    elif how == "reject":
        ic.reject("by hand")
    elif how == "twice":
        ic.reply(1)
        ic.reply(2)
    elif how == "unfit":
        ic.reply("x")


@update
def automatic() -> nat64:
    try:
        ic.reply(5)
    except SystemError as error:
        ic.print(str(error))
    return 1


@update
def rejects_and_returns() -> nat64:
    ic.reject("no")
    return 1


@query
def deep(number: nat64) -> nat64:
    return deep(number + 1)


@inspect_message
def inspect() -> void:
    state["count"] += 1
    if ic.method_name() == "raises":
        raise ValueError("no")
    if ic.method_name() != "hidden":
        ic.accept_message()
"""


@pytest.fixture
def canister() -> NativeCanister:
    return NativeCanister.install(COUNTER, (nat64, 5))


def test_updates_stay_and_queries_see_them(canister: NativeCanister) -> None:
    assert canister.query("count") == 5

    assert canister.update("add", 2) == 7

    assert canister.query("count") == 7
    assert canister.query("all_rows") == [(7, {"name": "row", "owner": ADA})]


def test_a_query_leaves_nothing_behind(canister: NativeCanister) -> None:
    """Each query starts from the committed state, whatever the ones before did."""
    answers = [canister.query("bump_in_query") for _ in range(3)]

    assert answers == [6, 6, 6]
    assert canister.query("count") == 5
    assert canister.query("all_rows") == []


def test_a_query_called_as_an_update_leaves_nothing_either(canister: NativeCanister) -> None:
    """Replicated mode makes the answer certified, not the changes lasting."""
    assert canister.update("bump_in_query") == 6
    assert canister.query("count") == 5


TRAPS = [
    pytest.param("raise", "KeyError: 'missing'", id="uncaught-exception"),
    pytest.param("trap", "no", id="explicit"),
    pytest.param("caught", "first", id="caught-by-bare-except"),
    pytest.param("finally", "first", id="overridden-by-finally"),
    pytest.param("quietly", "first", id="nothing-raised-any-more"),
    pytest.param("unfit", "OverflowError: Python int too large", id="result-does-not-fit"),
    pytest.param("exit", "SystemExit: bye", id="system-exit"),
]


@pytest.mark.parametrize(("how", "message"), TRAPS)
def test_a_trap_undoes_the_whole_message(canister: NativeCanister, how: str, message: str) -> None:
    """Heap, stable map, timers and certified data are as before; only what it printed stays."""
    outcome = canister.execute(canister.update_message("add_then", how))

    assert outcome.trap is not None
    assert outcome.trap.message.startswith(message)
    assert outcome.trap.error_code == "IC0503"
    assert outcome.prints == (f"before {how}",)
    assert (outcome.reply, outcome.certified_data) == (None, None)
    assert canister.query("count") == 5
    assert canister.query("all_rows") == []
    assert canister.instance.next_timer_ns is None


def test_the_traceback_shows_the_canister_s_own_lines(canister: NativeCanister) -> None:
    """A developer sees file, line and source, and no frame of the host."""
    trap = canister.trap_of("add_then", "raise")

    assert 'File "main.py"' in trap.traceback
    assert 'return {}["missing"]' in trap.traceback
    assert "icfleet_localnet" not in trap.traceback
    assert trap.traceback.rstrip().endswith("KeyError: 'missing'")


def test_an_explicit_trap_has_no_traceback(canister: NativeCanister) -> None:
    assert canister.trap_of("add_then", "trap").traceback == ""


def test_endless_recursion_traps(canister: NativeCanister) -> None:
    with pytest.raises(TrappedError, match="RecursionError"):
        canister.query("deep", 0)


def test_unknown_methods_and_wrong_kinds_are_not_found(canister: NativeCanister) -> None:
    """An update cannot be queried; a query can be called as an update."""
    missing = [
        canister.execute(Update("missing", NO_ARGS)).trap,
        canister.execute(Query("missing", NO_ARGS)).trap,
        canister.execute(Query("add", encode([nat64], [1]))).trap,
    ]

    assert [trap and trap.error_code for trap in missing] == ["IC0536"] * 3
    assert "has no query method 'add'" in str(missing[2])


def test_an_argument_that_does_not_decode_traps(canister: NativeCanister) -> None:
    trap = canister.execute(Update("add", encode([text], ["x"]))).trap

    assert trap is not None
    assert trap.message.startswith("failed to decode call arguments")


def test_the_result_is_checked_after_the_whole_body_ran(canister: NativeCanister) -> None:
    """An int is no float64, on chain and here."""
    with pytest.raises(TrappedError, match="Expected type 'float' but 'int' found"):
        canister.query("wrong_float")
    assert canister.query("half", 5.0) == 2.5


def test_void_replies_nothing_and_takes_none_only(canister: NativeCanister) -> None:
    outcome = canister.execute(Update("nothing", NO_ARGS))

    assert outcome.reply == NO_ARGS
    assert (
        canister.trap_of("not_nothing").message == "TypeError: expected NoneType but received int"
    )


def test_a_guard_that_allows_lets_pass(canister: NativeCanister) -> None:
    assert canister.update("allowed", 3) == 3
    assert canister.query("guarded") == 1


def test_a_guard_refuses_before_the_argument_is_decoded_and_keeps_its_state(
    canister: NativeCanister,
) -> None:
    """``Err`` is looked at before ``Ok``."""
    outcome = canister.execute(Update("refused", b"no candid at all"))

    assert (outcome.reject, outcome.trap) == ("not you", None)
    assert canister.query("guarded") == 1


def test_an_exception_in_a_guard_rejects_and_keeps_its_state(canister: NativeCanister) -> None:
    with pytest.raises(RefusedError, match="ValueError: broken guard"):
        canister.update("with_broken_guard")
    assert canister.query("guarded") == 1


def test_a_guard_that_returns_something_else_rejects(canister: NativeCanister) -> None:
    with pytest.raises(RefusedError, match="TypeError: expected Result but received int"):
        canister.update("with_odd_guard")


def test_a_trap_in_a_guard_traps(canister: NativeCanister) -> None:
    assert canister.trap_of("with_trapping_guard").message == "guard trapped"
    assert canister.query("guarded") == 0


@pytest.mark.parametrize(("how", "value"), [("reply", 7), ("raw", 9)])
def test_manual_methods_answer_by_hand(canister: NativeCanister, how: str, value: int) -> None:
    assert canister.update("by_hand", how) == value


def test_a_reject_by_hand_keeps_the_state(canister: NativeCanister) -> None:
    with pytest.raises(RefusedError, match="by hand"):
        canister.update("by_hand", "reject")
    assert canister.query("count") == 6


def test_a_manual_method_may_give_no_answer(canister: NativeCanister) -> None:
    """What becomes of such a call is the network's decision, and the state stays."""
    outcome = canister.execute(canister.update_message("by_hand", "silent"))

    assert (outcome.reply, outcome.reject, outcome.trap) == (None, None, None)
    assert not outcome.is_suspended
    assert canister.query("count") == 6


def test_a_second_answer_traps(canister: NativeCanister) -> None:
    trap = canister.trap_of("by_hand", "twice")

    assert trap.error_code == "IC0504"
    assert "already replied" in trap.message
    assert canister.trap_of("rejects_and_returns").error_code == "IC0504"


def test_a_reply_that_does_not_fit_is_an_exception(canister: NativeCanister) -> None:
    trap = canister.trap_of("by_hand", "unfit")

    assert trap.message == "TypeError: Expected type 'int' but 'str' found"


def test_reply_in_an_automatic_method_is_a_system_error(canister: NativeCanister) -> None:
    """It can be caught, and the automatic reply then goes out."""
    assert canister.update("automatic") == 1
    assert canister.prints == [
        'attempted to reply from "automatic", but it does not appear to be a canister method'
    ]


@pytest.mark.parametrize(("method", "is_accepted"), [("add", True), ("hidden", False)])
def test_inspect_message_decides_and_changes_nothing(
    canister: NativeCanister, method: str, is_accepted: bool
) -> None:
    outcome = canister.inspect(method)

    assert (outcome.is_accepted, outcome.trap) == (is_accepted, None)
    assert canister.query("count") == 5


def test_an_exception_in_inspect_message_traps(canister: NativeCanister) -> None:
    outcome = canister.inspect("raises")

    assert outcome.trap is not None
    assert not outcome.is_accepted


INSTALL_FAILURES = [
    pytest.param("raise ValueError('top')", "ValueError: top", id="module-top-level"),
    pytest.param(
        "from kybra import init, void\n@init\ndef go() -> void:\n    raise KeyError('x')",
        "KeyError: 'x'",
        id="init",
    ),
    pytest.param(
        "from kybra import init, void\n@init\ndef go() -> void:\n    yield 1",
        "TypeError: expected NoneType but received generator",
        id="generator-as-init",
    ),
    pytest.param("import socket", "ModuleNotFoundError: No module named 'socket'", id="no-socket"),
]


@pytest.mark.parametrize(("source", "message"), INSTALL_FAILURES)
def test_an_install_that_fails_says_why_and_where(source: str, message: str) -> None:
    installed = install(InProcessExecutor(), bundle(source))

    assert installed.instance is None
    assert installed.outcome.trap is not None
    assert installed.outcome.trap.message == message
    assert 'File "main.py"' in installed.outcome.trap.traceback or "generator" in message


def test_sources_kybra_refuses_do_not_install() -> None:
    installed = install(InProcessExecutor(), bundle("a, b = 1, 2\n"))

    assert installed.instance is None
    assert installed.outcome.trap is not None
    assert installed.outcome.trap.error_code == "IC0505"
    assert "main.py" in installed.outcome.trap.message


def test_a_large_heap_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Above 10,000 objects every update pays for it, so the developer is told where data goes."""
    source = """
    from kybra import nat64, query, update, void

    rows = {number: [number] for number in range(10_001)}

    @query
    def size() -> nat64:
        return len(rows)

    @update
    def touch() -> void:
        rows[0].append(1)
    """
    canister = NativeCanister.install(source)

    with caplog.at_level(logging.WARNING):
        canister.query("size")
        canister.update("touch")
        canister.query("size")

    assert [one.getMessage() for one in caplog.records if "StableBTreeMap" in one.getMessage()] == [
        caplog.records[0].getMessage()
    ]
    assert canister.instance.heap_objects > 10_000


def test_a_generator_in_a_dead_frame_does_not_spoil_the_rollback() -> None:
    """Python would run its ``finally`` when the exception is collected, after the rollback."""
    source = """
    from kybra import ic, nat64, query, update, void

    state = {"count": 0}


    def spoil():
        try:
            yield 1
        finally:
            state["count"] += 1


    @update
    def fail() -> void:
        held = spoil()
        next(held)
        raise ValueError("x")


    @query
    def count() -> nat64:
        return state["count"]
    """
    canister = NativeCanister.install(source)

    canister.trap_of("fail")

    assert canister.query("count") == 0


def test_stopping_the_process_undoes_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a canister's loop reaches the developer, and leaves a canister that works."""
    canister = NativeCanister.install(COUNTER, (nat64, 5))
    space: Any = vars(canister.instance)["_space"]

    def interrupted(number: int) -> int:
        space.scope["state"]["count"] += number
        raise KeyboardInterrupt

    monkeypatch.setitem(space.scope, "add", interrupted)

    with pytest.raises(KeyboardInterrupt):
        canister.update("add", 1)
    assert canister.query("count") == 5
