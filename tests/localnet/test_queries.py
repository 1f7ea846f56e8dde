"""Queries: composite ones call others, see the committed state, and leave nothing behind."""

from collections.abc import Callable
from typing import Any

import pytest
from localnet_client import START_NS, Built, Client, Deployed, RejectedError
from process_watch import group_members, wait_until
from scripted_instance import NOW_NS, A, B, C, ScriptedInstance, World, replying

from icfleet_localnet.call_context import Answer
from icfleet_localnet.executor import Environment, Message, Outcome, OutgoingCall, Response, Trap
from icfleet_localnet.fees import APPLICATION_FEES
from icfleet_localnet.http_interface import HttpInterface
from icfleet_localnet.ingress import Replied
from icfleet_localnet.limits import (
    QUERY_CALL_OVERHEAD_INSTRUCTIONS,
    QUERY_DEPTH_MAX,
    QUERY_INSTRUCTIONS_MAX,
)
from icfleet_localnet.network import Network
from icfleet_localnet.process_host.executor import ProcessExecutor
from icfleet_localnet.queries import QueryCall, answer_query
from icfleet_localnet.rejects import Reject
from icfleet_localnet.topology import canister_id
from icfleet_protocol.principal import ANONYMOUS, Principal

ASKING = """
from kybra import (
    Async, CallResult, Principal, Service, Vec, ic, nat64, query, service_query,
    service_update, text, update,
)

state = {"count": 0, "seen": 0}


class Peer(Service):
    @service_query
    def read(self) -> nat64: ...

    @service_query
    def caller(self) -> text: ...

    @service_query
    def has_certificate(self) -> bool: ...

    @service_query
    def fail(self) -> nat64: ...

    @service_update
    def increment(self) -> nat64: ...

    @service_query
    def relay(self, chain: Vec[Principal]) -> text: ...


@update
def increment() -> nat64:
    state["count"] = state["count"] + 1
    return state["count"]


@query
def read() -> nat64:
    state["count"] = state["count"] + 100
    return state["count"]


@query
def seen() -> nat64:
    return state["seen"]


@query
def caller() -> text:
    return ic.caller().to_str()


@query
def has_certificate() -> bool:
    return ic.data_certificate() is not None


@query
def fail() -> nat64:
    ic.trap("no answer")
"""
COMPOSITE = (
    ASKING
    + """

@query
def ask(peer: Principal) -> Async[text]:
    state["seen"] = state["seen"] + 1
    first: CallResult[nat64] = yield Peer(peer).read()
    state["seen"] = state["seen"] + 1
    second: CallResult[nat64] = yield Peer(peer).read()
    return str(first.Ok) + " " + str(second.Ok) + " " + str(state["seen"])


@query
def ask_caller(peer: Principal) -> Async[text]:
    result: CallResult[text] = yield Peer(peer).caller()
    return result.Ok


@query
def ask_certificate(peer: Principal) -> Async[text]:
    own = ic.data_certificate() is not None
    result: CallResult[bool] = yield Peer(peer).has_certificate()
    return str(own) + " " + str(result.Ok)


@query
def ask_failing(peer: Principal) -> Async[text]:
    result: CallResult[nat64] = yield Peer(peer).fail()
    return result.Err


@query
def ask_update(peer: Principal) -> Async[text]:
    result: CallResult[nat64] = yield Peer(peer).increment()  # icfleet: ignore[KY723]
    return result.Err


@query
def relay(chain: Vec[Principal]) -> Async[text]:
    if len(chain) == 0:
        return "end"
    result: CallResult[text] = yield Peer(chain[0]).relay(chain[1:])
    return result.Ok if result.Err is None else result.Err
"""
)


@pytest.fixture
def pair(deploy: Callable[[str], Deployed]) -> tuple[Deployed, Deployed]:
    return deploy(COMPOSITE), deploy(COMPOSITE)


def test_a_composite_query_keeps_its_own_changes_and_each_callee_starts_afresh(
    pair: tuple[Deployed, Deployed],
) -> None:
    asking, asked = pair
    asked.update("increment")

    assert asking.query("ask", asked.id) == "101 101 2"
    assert asking.query("seen") == 0
    assert asked.query("read") == 101


def test_the_caller_of_a_sub_query_is_the_canister(pair: tuple[Deployed, Deployed]) -> None:
    asking, asked = pair

    assert asking.query("ask_caller", asked.id) == str(asking.id)


def test_only_the_queried_canister_has_a_data_certificate(pair: tuple[Deployed, Deployed]) -> None:
    asking, asked = pair

    assert asking.query("ask_certificate", asked.id) == "True False"


def test_a_trapped_callee_is_a_reject_to_the_caller(pair: tuple[Deployed, Deployed]) -> None:
    asking, asked = pair

    assert "Rejection code 5" in asking.query("ask_failing", asked.id)
    assert "no answer" in asking.query("ask_failing", asked.id)


def test_an_update_method_cannot_be_called_by_a_query(pair: tuple[Deployed, Deployed]) -> None:
    asking, asked = pair

    assert "has no query method 'increment'" in asking.query("ask_update", asked.id)
    assert asked.query("read") == 100


def test_a_canister_of_another_subnet_cannot_be_queried(pair: tuple[Deployed, Deployed]) -> None:
    """To the subnet that answers it does not exist."""
    nowhere = canister_id(77)

    assert f"Canister {nowhere} not found" in pair[0].query("ask_failing", nowhere)


def test_a_composite_query_cannot_be_called_as_an_update(pair: tuple[Deployed, Deployed]) -> None:
    with pytest.raises(RejectedError) as caught:
        pair[0].update("ask", pair[1].id)

    assert (caught.value.error_code, caught.value.certified) == ("IC0527", True)


def test_queries_may_be_nested_six_deep(deploy: Callable[[str], Deployed]) -> None:
    chain = [deploy(COMPOSITE) for _ in range(QUERY_DEPTH_MAX + 2)]
    ids = [each.id for each in chain[1:]]

    assert chain[0].query("relay", ids[:QUERY_DEPTH_MAX]) == "end"
    with pytest.raises(RejectedError, match="IC0525"):
        chain[0].query("relay", ids)


def test_a_query_cannot_come_back_to_a_canister_that_waits(
    pair: tuple[Deployed, Deployed],
) -> None:
    first, second = pair

    with pytest.raises(RejectedError, match="IC0517"):
        first.query("relay", [second.id, first.id])
    assert first.query("relay", [second.id]) == "end"


def test_nothing_is_left_of_a_query_that_failed_half_way(
    pair: tuple[Deployed, Deployed], client: Client
) -> None:
    """Suspended generators would grow with each such query and be part of every checkpoint."""
    first, second = pair
    instance: Any = client.subnet.canisters[first.id].instance
    first.update("increment")
    first.query("read")
    objects = instance.heap_objects
    for _ in range(5):
        with pytest.raises(RejectedError, match="IC0517"):
            first.query("relay", [second.id, first.id])

    first.update("increment")
    assert first.query("read") == 102
    assert instance.heap_objects == objects


def test_a_query_that_failed_half_way_leaves_no_process(
    build_source: Callable[[str], Built],
) -> None:
    """With a process for each canister, a composite query runs in one of its own."""
    executor = ProcessExecutor()
    try:
        network = Network(executor, seed=b"test", now_ns=START_NS)
        client, built = Client(HttpInterface(network), network), build_source(COMPOSITE)
        first, second = (_deploy(client, built) for _ in range(2))
        assert first.query("ask", second.id) == "100 100 2"
        assert executor.process_group is not None
        group = executor.process_group
        before = len(group_members(group))
        for _ in range(3):
            with pytest.raises(RejectedError, match="IC0517"):
                first.query("relay", [second.id, first.id])

        assert first.query("relay", [second.id]) == "end"
        wait_until(lambda: len(group_members(group)) <= before)
    finally:
        executor.close()


def _deploy(client: Client, built: Built) -> Deployed:
    created = client.create()
    client.install(created, built.wasm)
    return Deployed(client, created, built.interface)


def test_queries_are_counted_for_the_canister_that_answered(
    pair: tuple[Deployed, Deployed], client: Client
) -> None:
    """The statistics come out when canisters are charged, every ten seconds."""
    asking, asked = pair
    asking.query("ask", asked.id)
    stats = client.subnet.canisters[asked.id].query_stats
    assert stats.num_calls_total == 0

    client.advance(10 * 10**9)

    assert stats.num_calls_total == 2
    assert stats.response_payload_bytes_total > 0
    assert client.subnet.canisters[asking.id].query_stats.num_calls_total == 1


def ask(world: World, canister: Principal = A, method: str = "go") -> Answer:
    result = answer_query(
        world.canisters,
        world.charging,
        QueryCall(ANONYMOUS, canister, method, b""),
        time_ns=NOW_NS,
        data_certificate=None,
    )
    return result.answer


def add_query(world: World, canister: Principal, outcome: Outcome) -> ScriptedInstance:
    return world.add(canister, lambda _m, _e: outcome, kind="composite_query")


def call(callee: Principal, continuation: int = 7) -> OutgoingCall:
    return OutgoingCall(callee, "go", b"", 0, continuation)


def test_a_query_that_gives_no_answer_is_rejected() -> None:
    world = World()
    add_query(world, A, Outcome())

    assert ask(world) == Reject(5, f"Canister {A} did not produce a response", "IC0506")


def test_all_calls_of_a_message_are_made_in_turn() -> None:
    world = World()
    answers: list[Message] = []

    def gather(message: Message, _environment: Environment) -> Outcome:
        if not isinstance(message, Response):
            return Outcome(calls=(call(B, 1), call(C, 2)))
        answers.append(message)
        return Outcome(reply=b"both") if len(answers) == 2 else Outcome()

    world.add(A, gather, kind="composite_query")
    world.add(B, replying(b"b"), kind="query")
    world.add(C, replying(b"c"), kind="query")

    assert ask(world) == Replied(b"both")
    assert answers == [Response(1, b"b"), Response(2, b"c")]


def test_an_early_answer_ends_a_query_and_its_calls_are_not_made() -> None:
    world = World()
    instance = add_query(world, A, Outcome(reply=b"early", calls=(call(B),)))
    callee = world.add(B, replying(b""), kind="query")

    assert ask(world) == Replied(b"early")
    assert callee.seen == []
    assert instance.dropped == [7]


@pytest.mark.parametrize("used", [QUERY_INSTRUCTIONS_MAX, QUERY_INSTRUCTIONS_MAX // 2])
def test_the_whole_tree_shares_one_limit_of_instructions(used: int) -> None:
    """What is left when a callee starts is its own limit; when all is gone the query fails."""
    world = World()
    limits: list[int] = []

    def use(_message: Message, environment: Environment) -> Outcome:
        limits.append(environment.instruction_limit)
        return Outcome(trap=Trap("limit", "IC0522"), instructions=environment.instruction_limit)

    instance = add_query(world, A, Outcome(calls=(call(B),), instructions=used))
    world.add(B, use, kind="query")

    answer = ask(world)

    assert isinstance(answer, Reject)
    assert answer.error_code == "IC0526"
    left = QUERY_INSTRUCTIONS_MAX - used
    assert limits == ([left] if left else [])
    assert instance.dropped == [7]


def test_each_call_takes_something_of_the_common_limit() -> None:
    world = World()
    count = QUERY_INSTRUCTIONS_MAX // QUERY_CALL_OVERHEAD_INSTRUCTIONS
    add_query(world, A, Outcome(calls=tuple(call(B, index) for index in range(count + 1))))
    callee = world.add(B, replying(b""), kind="query")

    answer = ask(world)

    assert isinstance(answer, Reject)
    assert answer.error_code == "IC0526"
    assert len(callee.seen) == count


def test_a_frozen_canister_answers_no_queries() -> None:
    world = World(fees=APPLICATION_FEES)
    world.add(A, replying(b""), cycles=0, kind="query").heap_bytes = 1024**3

    answer = ask(world)

    assert isinstance(answer, Reject)
    assert answer.error_code == "IC0207"
    assert "is unable to process query calls because it's frozen" in answer.message


def test_a_callee_that_is_frozen_is_a_reject_to_its_caller() -> None:
    world = World(fees=APPLICATION_FEES)
    codes: list[int] = []

    def note(message: Message, _environment: Environment) -> Outcome:
        if isinstance(message, Response):
            codes.append(message.reject_code)
            return Outcome(reply=b"")
        return Outcome(calls=(call(B),))

    world.add(A, note, cycles=10**12, kind="composite_query")
    world.add(B, replying(b""), cycles=0, kind="query").heap_bytes = 1024**3

    assert ask(world) == Replied(b"")
    assert codes == [2]
