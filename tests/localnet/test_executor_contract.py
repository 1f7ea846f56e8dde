"""What every executor promises: each test runs against both of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from contract_canister import BANK
from native_canister import (
    NO_ARGS,
    OTHER,
    NativeCanister,
    RefusedError,
    bundle,
    install,
)

from icfleet_localnet.executor import Executor, Outcome, Query, Update
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.process_host.executor import ProcessExecutor
from icfleet_protocol.candid import encode
from icfleet_protocol.candid.types import nat64, text

FRESH = "5 0 False [1] ['a'] 0 0"
"""What the canister reports after its installation; then after ``change``."""
CHANGED = "6 1 True [1, 2] ['a', 'b'] 1 1"

RAW = """
from kybra import blob, ic, query, update, void


@update
def write(content: blob) -> void:
    if ic.stable_size() == 0:
        ic.stable_grow(2)
    ic.stable_write(65530, content)


@update
def write_and_trap(content: blob) -> void:
    ic.stable_grow(1)
    ic.stable_write(65530, content)
    ic.trap("no")


@query
def read() -> blob:
    return ic.stable_read(65530, 12)
"""

ECHO = """
from kybra import blob, query


@query
def echo(content: blob) -> blob:
    return content
"""


@pytest.fixture(scope="module", params=[InProcessExecutor, ProcessExecutor])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    executor: Executor = request.param()
    yield executor
    executor.close()


@pytest.fixture
def canister(executor: Executor) -> Iterator[NativeCanister]:
    canister = NativeCanister.install(BANK, (text, ""), executor=executor)
    yield canister
    canister.instance.close()


def start(canister: NativeCanister, method: str, *args: object) -> Outcome:
    return canister.execute(canister.update_message(method, *args))


def ask(canister: NativeCanister, how: str = "") -> Outcome:
    return canister.execute(Query("composite", canister.encode("composite", how)))


def test_an_install_runs_init_and_keeps_what_it_did(canister: NativeCanister) -> None:
    """The instance is ready: interface, state, prints."""
    assert canister.query("look") == FRESH
    assert canister.installed.prints == ("starting",)
    assert canister.instance.interface.methods["look"].kind == "query"


@pytest.mark.parametrize(
    ("source", "how", "message"),
    [
        (BANK, "trap", "cannot start"),
        (BANK, "raise", "ValueError: cannot start"),
        ("import kybra\nraise OSError('no')", "", "OSError: no"),
        ("import socket", "", "ModuleNotFoundError: No module named 'socket'"),
        ("def broken(:", "", "main.py:1"),
    ],
    ids=["trap", "exception", "top-level", "import", "syntax"],
)
def test_an_install_that_fails_leaves_no_instance(
    executor: Executor, source: str, how: str, message: str
) -> None:
    """Whatever goes wrong, the reason is told."""
    installed = install(executor, bundle(source), (text, how))

    assert installed.instance is None
    assert installed.outcome.trap is not None
    assert message in installed.outcome.trap.message


def test_an_update_stays(canister: NativeCanister) -> None:
    """Heap, stable memory, timers and certified data are there for the next message."""
    outcome = start(canister, "change")

    assert canister.value("change", outcome) == CHANGED
    assert outcome.certified_data == b"certified"
    assert canister.instance.next_timer_ns == canister.now_ns + 60 * 10**9
    assert [canister.query("look") for _ in range(3)] == [CHANGED] * 3


@pytest.mark.parametrize("how", ["trap", "raise", "hide", "notify"])
def test_a_trap_undoes_the_message(canister: NativeCanister, how: str) -> None:
    """Nothing stays of it, also when the code catches everything around the trap."""
    canister.update("change")
    drawn, hidden = canister.query("draw"), canister.query("hidden")
    timer = canister.instance.next_timer_ns
    canister.now_ns += 10**9

    outcome = start(canister, "change_and", how)

    assert outcome.trap is not None
    assert outcome.trap.error_code == "IC0503"
    assert replace(outcome, trap=None, prints=(), instructions=0) == Outcome()
    assert outcome.prints == ("changed",)
    assert canister.query("look") == CHANGED
    assert (canister.query("draw"), canister.query("hidden")) == (drawn, hidden)
    assert canister.instance.next_timer_ns == timer
    assert canister.update("change").startswith("7 2")


def test_traps_in_a_row_are_each_undone(canister: NativeCanister) -> None:
    """And what commits between them stays."""
    for number in range(3):
        canister.trap_of("change_and", "trap")
        assert canister.update("change").startswith(f"{6 + number} {1 + number}")


def test_raw_stable_memory_is_undone(executor: Executor) -> None:
    """Pages written over their border, and their number."""
    canister = NativeCanister.install(RAW, executor=executor)
    canister.update("write", b"twelve bytes")
    size = canister.instance.stable_bytes

    canister.trap_of("write_and_trap", b"overwritten!")

    assert canister.query("read") == b"twelve bytes"
    assert (size, canister.instance.stable_bytes) == (2 * 65536, size)
    canister.instance.close()


def test_what_is_printed_before_a_trap_is_kept(canister: NativeCanister) -> None:
    """In order."""
    outcome = start(canister, "print_and_trap")
    assert outcome.prints == ("one", "two")
    assert outcome.trap is not None
    assert outcome.trap.message == "three"


def test_queries_drop_their_changes(canister: NativeCanister) -> None:
    """Each starts from the committed state, whatever the ones before did."""
    answers = {canister.query("look_and_change") for _ in range(4)}

    assert answers == {"6 1 False [1] ['a', 'q'] 1 0"}
    assert {canister.query("hidden") for _ in range(4)} == {1}
    assert len({canister.query("draw") for _ in range(4)}) == 1
    assert canister.query("look") == FRESH


def test_a_query_in_replicated_mode_drops_its_changes(canister: NativeCanister) -> None:
    """It is an update to the network, but not to the state."""
    assert canister.update("look_and_change") == "6 1 False [1] ['a', 'q'] 1 0"
    assert canister.query("look") == FRESH


def test_methods_are_called_only_as_what_they_are(canister: NativeCanister) -> None:
    """The error codes are the IC's."""
    traps = [
        canister.execute(message).trap
        for message in (
            *(Update("nothing", NO_ARGS), Query("nothing", NO_ARGS), Query("change", NO_ARGS)),
            Update("composite", encode([text], [""])),
        )
    ]
    codes = [None if trap is None else trap.error_code for trap in traps]
    assert codes == ["IC0536", "IC0536", "IC0536", "IC0527"]
    assert canister.query("look") == FRESH


def test_a_malformed_argument_traps(canister: NativeCanister) -> None:
    """In updates and in queries."""
    for message in (Update("change_and", b"junk"), Query("work_in_query", b"junk")):
        trap = canister.execute(message).trap
        assert trap is not None
        assert "failed to decode call arguments" in trap.message
    assert canister.query("look") == FRESH


def test_a_guard_s_changes_stay_also_when_it_refuses(canister: NativeCanister) -> None:
    """As on chain: a refusal is an answer."""
    canister.update("allowed")
    with pytest.raises(RefusedError, match="not today"):
        canister.update("refused")

    assert canister.query("look").startswith("7 1 ")


def test_inspect_message_decides_and_leaves_nothing(canister: NativeCanister) -> None:
    """Its changes are dropped."""
    assert canister.inspect("change").is_accepted
    assert not canister.inspect("refused").is_accepted
    assert canister.query("look") == FRESH


def test_heartbeats_stay_or_trap(canister: NativeCanister) -> None:
    """Like an update."""
    assert canister.beat().trap is None
    canister.update("fail_in", "beat")
    trap = canister.beat().trap

    assert trap is not None
    assert trap.message == "ValueError: no pulse"
    assert canister.query("look").startswith("6 ")


def test_a_timer_fires_once(canister: NativeCanister) -> None:
    """At its time, and no more."""
    canister.update("arm", "plain", 10)
    assert canister.pass_time(9) == []

    (fired,) = canister.pass_time(1)

    assert fired.trap is None
    assert canister.query("look").startswith("105 ")
    assert canister.instance.next_timer_ns is None
    assert canister.pass_time(100) == []


def test_a_timer_that_traps_is_gone_and_undone(canister: NativeCanister) -> None:
    """A one-shot is used up; what its callback did is not kept."""
    canister.update("arm", "failing", 10)

    (fired,) = canister.pass_time(10)

    assert fired.trap is not None
    assert canister.query("look") == FRESH
    assert canister.instance.next_timer_ns is None
    assert canister.pass_time(100) == []


def test_an_interval_that_traps_goes_on(canister: NativeCanister) -> None:
    """It is armed again from the time it fired at."""
    canister.update("repeat", 10)

    traps = [outcome.trap for _ in range(3) for outcome in canister.pass_time(15)]

    assert len(traps) == 3
    assert None not in traps
    assert canister.instance.next_timer_ns == canister.now_ns + 10 * 10**9
    assert canister.query("look") == FRESH


def test_an_exception_in_a_timer_s_generator_keeps_its_changes(canister: NativeCanister) -> None:
    """Kybra drops the task's result; no ``finally`` of the dropped generator ever counts."""
    canister.update("arm", "generator", 10)

    (fired,) = canister.pass_time(10)

    assert fired.trap is None
    assert canister.query("look") == FRESH.replace("5 0", "1105 0")
    assert canister.update("change").startswith("1106 1 ")


def test_a_generator_commits_when_it_waits(canister: NativeCanister) -> None:
    """Each part between two calls is a message of its own."""
    outcome = start(canister, "ask", "")
    assert outcome.is_suspended
    assert [(call.callee, call.method) for call in outcome.calls] == [(OTHER, "ask")]
    assert canister.query("look").startswith("6 0 ")

    answered = canister.answer(outcome, (text, "yes"))

    assert canister.value("ask", answered) == "ok yes"
    assert canister.query("look").startswith("16 1 ")


def test_a_trap_after_an_answer_undoes_that_part_only(canister: NativeCanister) -> None:
    """The generator is dropped, and no ``finally`` of it counts."""
    outcome = start(canister, "ask", "trap")
    canister.update("change")

    trapped = canister.answer(outcome, (text, "yes"))

    assert trapped.trap is not None
    assert canister.query("look").startswith("7 1 ")
    again = canister.answer(outcome, (text, "yes"))
    assert again.trap is not None
    assert again.trap.message == "no call waits for this response"
    assert canister.update("change").startswith("8 2 ")


def test_a_waiting_call_survives_another_s_trap(canister: NativeCanister) -> None:
    """Undoing a message leaves all suspended generators as they were."""
    outcomes = [start(canister, "ask", "") for _ in range(2)]
    canister.trap_of("change_and", "trap")
    first, second = (canister.answer(outcome, (text, "yes")) for outcome in reversed(outcomes))

    assert [canister.value("ask", one) for one in (first, second)] == ["ok yes", "ok yes"]
    assert canister.query("look").startswith("27 2 ")


def test_a_rejected_call_is_a_value(canister: NativeCanister) -> None:
    """With its code and text."""
    outcome = start(canister, "ask", "")
    refused = canister.refuse(outcome, 4, "no")
    assert canister.value("ask", refused) == "err Rejection code 4, no"


def test_a_composite_query_sees_its_changes_and_leaves_none(canister: NativeCanister) -> None:
    """Across its calls, while updates go on beside it."""
    first, second = ask(canister), ask(canister)
    canister.update("change")

    answers = [
        canister.value("composite", canister.answer(one, (text, "x"))) for one in (second, first)
    ]

    assert answers == ["16 0 False [1] ['a'] 1 0 ok x"] * 2
    assert canister.query("look") == CHANGED
    assert canister.value("composite", ask(canister, "short")).startswith("7 1 ")


def test_a_composite_query_that_traps_is_over(canister: NativeCanister) -> None:
    """Its continuation is used up."""
    outcome = ask(canister, "trap")
    assert canister.answer(outcome, (text, "x")).trap is not None
    assert canister.answer(outcome, (text, "x")).trap is not None
    assert canister.query("look") == FRESH


def test_an_upgrade_keeps_stable_memory_only(canister: NativeCanister) -> None:
    """``pre_upgrade`` runs in the old code, ``post_upgrade`` in the new; heap and timers go."""
    canister.update("change")
    waiting = start(canister, "ask", "")

    outcome = canister.upgrade(BANK, (text, ""))

    assert (outcome.trap, outcome.prints) == (None, ("saving",))
    assert canister.query("all_rows") == ["6 row", "1000 saved 7", "1001 restored"]
    assert canister.query("look").startswith("7000 0 False ")
    assert canister.instance.next_timer_ns is None
    assert canister.answer(waiting, (text, "x")).trap is not None
    canister.trap_of("change_and", "trap")
    assert canister.update("change").startswith("7001 1 ")


@pytest.mark.parametrize("where", ["pre_upgrade", "post_upgrade", "import", "syntax"])
def test_an_upgrade_that_traps_changes_nothing(canister: NativeCanister, where: str) -> None:
    """The old code goes on with its heap, timers and open calls."""
    canister.update("change")
    canister.update("fail_in", where)
    waiting = start(canister, "ask", "")
    before, timer = canister.query("look"), canister.instance.next_timer_ns
    old = canister.instance
    source = {"import": "rows = 1\nimport nothing_here", "syntax": "def broken(:"}.get(where, BANK)

    outcome = canister.upgrade(source, (text, "trap"))

    assert outcome.trap is not None
    assert canister.instance is old
    assert canister.query("all_rows") == ["6 row"]
    assert (canister.query("look"), canister.instance.next_timer_ns) == (before, timer)
    assert canister.value("ask", canister.answer(waiting, (text, "x"))) == "ok x"
    assert canister.update("change").startswith("18 3 ")


def test_canisters_with_the_same_modules_are_apart(executor: Executor) -> None:
    """Each has its own ``main`` and its own random numbers."""
    first = NativeCanister.install(BANK, (text, ""), executor=executor)
    second = NativeCanister.install(BANK, (text, ""), executor=executor, canister=OTHER)

    first.update("change")
    second.trap_of("change_and", "trap")

    assert (first.query("look"), second.query("look")) == (CHANGED, FRESH)
    assert first.query("draw") != second.query("draw")
    first.instance.close()
    assert second.update("change") == CHANGED
    second.instance.close()


def test_dropped_continuations_are_never_resumed(canister: NativeCanister) -> None:
    """Those of updates, and those of composite queries."""
    outcomes = [start(canister, "ask", ""), ask(canister)]

    canister.instance.drop_continuations()

    for outcome in outcomes:
        trap = canister.answer(outcome, (text, "x")).trap
        assert trap is not None
        assert trap.message == "no call waits for this response"


def test_a_held_state_answers_as_it_did(canister: NativeCanister) -> None:
    """Updates, traps and queries on the newer state go on beside it."""
    canister.update("change")
    version = canister.instance.hold()
    canister.update("change")
    later = canister.instance.hold()
    canister.update("change")
    canister.trap_of("change_and", "trap")

    for _ in range(3):
        assert held(canister, version, "look") == CHANGED
        assert held(canister, later, "look").startswith("7 2 ")
        assert held(canister, version, "look_and_change").startswith("7 2 ")
        assert canister.query("look").startswith("8 3 ")
    canister.instance.release(version)
    assert held(canister, later, "all_rows") == ["6 row", "7 row"]
    assert canister.update("change").startswith("9 4 ")
    assert held(canister, later, "hidden") == 3
    canister.instance.release(later)
    canister.instance.release(later)
    with pytest.raises(KeyError):
        held(canister, version, "look")


def test_an_upgrade_ends_held_states(canister: NativeCanister) -> None:
    """But only when it succeeds."""
    version, old = canister.instance.hold(), canister.instance
    canister.upgrade(BANK, (text, "trap"))
    assert held(canister, version, "look") == FRESH

    canister.upgrade(BANK, (text, ""))

    with pytest.raises(KeyError):
        old.execute_held(version, Query("look", NO_ARGS), canister.environment())
    assert held(canister, canister.instance.hold(), "look").startswith("7000 0 ")


def test_held_states_share_what_lies_between_them(canister: NativeCanister) -> None:
    """Released in any order, four at once."""
    versions = [(canister.instance.hold(), canister.update("change")) for _ in range(4)]

    for number in (1, 3, 0):
        canister.instance.release(versions.pop(min(number, len(versions) - 1))[0])
        canister.update("change")

    ((version, _),) = versions
    assert held(canister, version, "look").startswith("7 2 True ")
    assert held(canister, version, "all_rows") == ["6 row", "7 row"]


def test_a_trap_on_a_held_state_hurts_nobody(canister: NativeCanister) -> None:
    """A composite query may not call there either."""
    version = canister.instance.hold()
    canister.update("change")
    environment = canister.environment()

    for query in (Query("look", b"junk"), Query("composite", encode([text], [""]))):
        assert canister.instance.execute_held(version, query, environment).trap is not None

    assert held(canister, version, "look") == FRESH
    assert canister.value(
        "composite",
        canister.instance.execute_held(
            version, Query("composite", encode([text], ["short"])), environment
        ),
    ).startswith("6 0 ")
    assert canister.query("look") == CHANGED


def held(canister: NativeCanister, version: int, method: str) -> Any:
    outcome = canister.instance.execute_held(
        version, Query(method, NO_ARGS), canister.environment()
    )
    return canister.value(method, outcome)


@pytest.mark.parametrize("method", ["work", "work_in_query"])
def test_instructions_are_counted_and_limited(canister: NativeCanister, method: str) -> None:
    """More work takes more; over the limit the message traps and is undone."""
    arg = canister.encode(method, 20_000)
    message = Update(method, arg) if method == "work" else Query(method, arg)

    little = canister.execute(replace(message, arg=canister.encode(method, 10)))
    much = canister.execute(message)
    stopped = canister.execute(message, instruction_limit=much.instructions // 2)

    assert 0 < little.instructions < much.instructions
    assert stopped.trap is not None
    assert stopped.trap.error_code == "IC0522"
    assert stopped.instructions > 0
    assert canister.execute(message).trap is None


def test_sizes_are_known(canister: NativeCanister) -> None:
    """Stable memory exactly, the heap about."""
    before = canister.instance.stable_bytes

    canister.update("change")
    canister.query("look")

    key, value = encode([nat64], [6]), encode([text], ["row"])
    assert (before, canister.instance.stable_bytes) == (0, len(key) + len(value))
    assert canister.instance.heap_objects > 0
    assert canister.instance.heap_bytes > 0


def test_amounts_of_cycles_may_exceed_64_bits(canister: NativeCanister) -> None:
    """They have 128."""
    outcome = canister.execute(Query("look", NO_ARGS), cycles=2**127, cycles_available=2**100)
    assert canister.value("look", outcome) == FRESH


def test_a_large_argument_and_reply_pass(executor: Executor) -> None:
    """Larger than any buffer on the way."""
    canister = NativeCanister.install(ECHO, executor=executor)
    content = bytes(range(256)) * 4096
    assert all(canister.query("echo", content) == content for _ in range(3))
    canister.instance.close()


def test_installs_repeat(executor: Executor) -> None:
    """The same seed gives the same random numbers, in a new executor."""
    answers: list[object] = []
    for _ in range(2):
        fresh = type(executor)()
        canister = NativeCanister.install(BANK, (text, ""), executor=fresh)
        answers.append(canister.query("draw"))
        fresh.close()
    assert answers[0] == answers[1]


def test_closing_twice_is_closing_once(executor: Executor) -> None:
    """Of instances and of executors; an executor that was closed can be used again."""
    fresh = type(executor)()
    canister = NativeCanister.install(BANK, (text, ""), executor=fresh)
    canister.instance.close()
    canister.instance.close()
    fresh.close()
    fresh.close()
    again = NativeCanister.install(BANK, (text, ""), executor=fresh)
    assert again.query("look") == FRESH
    fresh.close()
