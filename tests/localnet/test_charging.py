"""Cycles: what is charged when, what a canister without cycles may do, and that none get lost."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from localnet_client import START_NS, Built, Client, Deployed, RejectedError
from scripted_instance import A, B, C, World, calling_then, replying

from icfleet_localnet.canister import Canister, Settings
from icfleet_localnet.executor import Environment, Message, Outcome, OutgoingCall, Response, Trap
from icfleet_localnet.fees import APPLICATION_FEES
from icfleet_localnet.http_interface import HttpInterface
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.limits import UPDATE_INSTRUCTIONS_MAX
from icfleet_localnet.network import Network
from icfleet_localnet.topology import Topology
from icfleet_protocol.principal import Principal

T = 10**12
S = 1_000_000_000
PAYING = """
from kybra import (
    Async, CallResult, Principal, Service, ic, nat, nat64, query, service_update, text, update,
    void,
)

state = {"ticks": 0}


class Peer(Service):
    @service_update
    def accept(self, amount: nat64) -> nat64: ...


@update
def accept(amount: nat64) -> nat64:
    return ic.msg_cycles_accept(amount)


@update
def pay(peer: Principal, cycles: nat64, taken: nat64) -> Async[text]:
    result: CallResult[nat64] = yield Peer(peer).accept(taken).with_cycles(cycles)
    if result.Err is not None:
        return result.Err
    return str(result.Ok) + " " + str(ic.msg_cycles_refunded())


@update
def balance() -> nat64:
    return ic.canister_balance()


@update
def trap() -> void:
    ic.trap("no")


def tick() -> void:
    state["ticks"] = state["ticks"] + 1


@update
def start_ticking() -> void:
    ic.set_timer_interval(1, tick)


@query
def ticks() -> nat64:
    return state["ticks"]
"""


@pytest.fixture
def payer(deploy: Callable[[str], Deployed]) -> Deployed:
    return deploy(PAYING)


def entry(deployed: Deployed) -> Canister:
    return deployed.client.subnet.canisters[deployed.id]


def freeze(deployed: Deployed) -> None:
    """Leave a canister just below what its memory burns within a year."""
    canister = entry(deployed)
    canister.settings = replace(canister.settings, freezing_threshold=365 * 86_400)
    canister.cycles = 10**6


def test_an_update_is_charged_for_its_message_and_its_execution(payer: Deployed) -> None:
    canister = entry(payer)
    before, consumed = canister.cycles, canister.consumed_cycles
    payer.update("accept", 0)

    spent = before - canister.cycles
    assert spent == canister.consumed_cycles - consumed
    # Both fees have a part that does not depend on size: 1.2 M for the message, 5 M to execute.
    assert 6_200_000 < spent < UPDATE_INSTRUCTIONS_MAX


def test_a_trapped_message_is_charged_too(payer: Deployed) -> None:
    before = entry(payer).cycles
    with pytest.raises(RejectedError):
        payer.update("trap")

    assert before - entry(payer).cycles > 6_200_000


def test_a_query_is_free(payer: Deployed) -> None:
    before = entry(payer).cycles
    payer.query("ticks")

    assert entry(payer).cycles == before


def test_a_canister_sees_its_balance_less_what_the_message_may_use(payer: Deployed) -> None:
    """As on the Internet Computer: the limit of instructions is paid for before it starts."""
    before = entry(payer).cycles
    seen = payer.update("balance")

    assert before - seen > APPLICATION_FEES.execution(UPDATE_INSTRUCTIONS_MAX)
    assert entry(payer).cycles > seen


def test_attached_cycles_are_accepted_in_part_and_the_rest_comes_back(
    payer: Deployed, deploy: Callable[[str], Deployed]
) -> None:
    taker = deploy(PAYING)
    before = entry(taker).cycles, entry(payer).cycles

    assert payer.update("pay", taker.id, 5 * T, 2 * T) == f"{2 * T} {3 * T}"
    assert 2 * T - S < entry(taker).cycles - before[0] < 2 * T
    # An unspent callback of 40 G instructions came back too.
    assert 2 * T < before[1] - entry(payer).cycles < 2 * T + S


@pytest.mark.parametrize("method", ["accept", "install_code"])
def test_a_frozen_canister_gets_no_users_messages(payer: Deployed, method: str) -> None:
    """Management calls are paid for by the canister that they are about."""
    freeze(payer)
    client = payer.client
    do: dict[str, Callable[[], object]] = {
        "accept": lambda: payer.update("accept", 0),
        "install_code": lambda: client.install(payer.id, b"", mode="upgrade"),
    }
    with pytest.raises(RejectedError) as caught:
        do[method]()

    assert (caught.value.error_code, caught.value.certified) == ("IC0207", False)
    assert f"Canister {payer.id} is out of cycles: please top up" in str(caught.value)


def test_a_frozen_canister_answers_no_queries(payer: Deployed) -> None:
    freeze(payer)

    with pytest.raises(RejectedError, match="because it's frozen"):
        payer.query("ticks")


def test_a_call_to_a_frozen_canister_is_rejected_with_its_cycles(
    payer: Deployed, deploy: Callable[[str], Deployed]
) -> None:
    taker = deploy(PAYING)
    freeze(taker)
    before = entry(payer).cycles

    assert "Rejection code 2" in payer.update("pay", taker.id, T, T)
    assert before - entry(payer).cycles < S


def test_timers_of_a_frozen_canister_wait_for_cycles(payer: Deployed, client: Client) -> None:
    payer.update("start_ticking")
    client.advance(3 * S)
    assert payer.query("ticks") == 3
    freeze(payer)
    rounds = client.subnet.height
    client.advance(30 * S)
    # Not a round for each of the timers that could not run.
    assert client.subnet.height - rounds < 40

    entry(payer).cycles = 100 * T
    assert payer.query("ticks") == 3
    client.advance(12 * S)
    assert payer.query("ticks") > 3


def test_a_canister_without_cycles_loses_code_and_state(payer: Deployed, client: Client) -> None:
    entry(payer).cycles = 1
    client.advance(3600 * S)

    assert entry(payer).cycles == 0
    assert entry(payer).module is None
    with pytest.raises(RejectedError, match="IC0537"):
        payer.query("ticks")
    assert client.certified(payer.id, b"canister", payer.id.raw, b"module_hash") is None


def test_memory_and_compute_are_charged_for_the_time_that_passed(
    payer: Deployed, client: Client
) -> None:
    canister = entry(payer)
    canister.settings = replace(canister.settings, compute_allocation=10)
    client.advance(100 * S)
    before = canister.consumed.copy()
    client.advance(1_000 * S)

    burnt = canister.consumed - before
    memory = APPLICATION_FEES.storage(canister.memory.total, duration_s=1_000)
    assert burnt["compute_allocation"] == pytest.approx(10 * 10_000_000 * 1_000, rel=0.02)
    assert burnt["memory"] == pytest.approx(memory, rel=0.02)


def test_all_is_free_on_a_system_subnet(build_source: Callable[[str], Built]) -> None:
    network = Network(
        InProcessExecutor(), seed=b"test", now_ns=START_NS, topology=Topology(subnets=2)
    )
    client, built = Client(HttpInterface(network), network), build_source(PAYING)
    created = client.create(near=network.root.plan.first_canister)
    client.install(created, built.wasm)
    canister = network.root.canisters[created]
    before = canister.cycles
    Deployed(client, created, built.interface).update("accept", 0)
    client.advance(100 * S)

    assert canister.cycles == before
    assert canister.consumed_cycles == 0


def test_a_message_that_cannot_pay_its_limit_is_not_started() -> None:
    world = World(fees=APPLICATION_FEES)
    instance = world.add(A, replying(b""), cycles=UPDATE_INSTRUCTIONS_MAX)
    world.call(A)

    world.run()

    assert world.error_codes() == ["IC0207"]
    assert instance.seen == []
    assert world.canisters[A].cycles == UPDATE_INSTRUCTIONS_MAX


def test_a_call_that_cannot_be_paid_for_is_not_sent() -> None:
    world = World(fees=APPLICATION_FEES)
    price = APPLICATION_FEES.call(len("go")).total
    seen: list[Response] = []

    def note(message: Message, _environment: Environment) -> Outcome:
        assert isinstance(message, Response)
        seen.append(message)
        return Outcome(reply=b"")

    world.add(A, calling_then(note), cycles=price)
    world.canisters[A].settings = Settings(controllers=(), freezing_threshold=0)
    callee = world.add(B, replying(b""))
    world.call(A)

    world.run()

    assert [(each.reject_code, each.reject_message) for each in seen] == [
        (2, "Couldn't send message")
    ]
    assert callee.seen == []


def test_a_callback_runs_though_the_canister_is_frozen() -> None:
    """It was paid for when the call was made."""
    world = World(fees=APPLICATION_FEES, is_hosted=lambda _call: False)
    world.add(A, calling_then(lambda _m, _e: Outcome(reply=b"done", instructions=9)), cycles=T)
    world.call(A)
    world.run()
    world.canisters[A].cycles = 0

    world.answer_outgoing()
    world.run()

    assert world.error_codes() == [None]
    payment = APPLICATION_FEES.call(len("go"))
    back = payment.response_execution - 5_000_000 - 9 + payment.response_transmission
    assert world.canisters[A].cycles == back


@dataclass
class Program:
    """A canister that does something at random, the same for the same seed."""

    random: Random
    peers: tuple[Principal, ...]

    def __call__(self, message: Message, environment: Environment) -> Outcome:
        random = self.random
        used = random.randrange(UPDATE_INSTRUCTIONS_MAX)
        accepted = random.randint(0, environment.cycles_available)
        is_answer = isinstance(message, Response)
        ending = random.choice(("reply", "reply", "reject", "silence", "trap"))
        if ending == "trap":
            return Outcome(trap=Trap("stop", "IC0503"), instructions=used)
        calls = tuple(
            OutgoingCall(
                random.choice(self.peers),
                random.choice(("go", "go", "nope")),
                bytes(random.randrange(100)),
                random.randrange(T // 10),
                random.choice((None, random.randrange(1 << 40))),
            )
            for _ in range(0 if is_answer else random.randrange(3))
        )
        return Outcome(
            reply=b"r" * random.randrange(1000) if ending == "reply" and not is_answer else None,
            reject="no" if ending == "reject" and not is_answer else None,
            calls=calls,
            cycles_accepted=accepted,
            instructions=used,
        )


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32), rounds=st.integers(0, 50), balance=st.integers(0, 3 * T))
def test_no_cycles_appear_or_get_lost(seed: int, rounds: int, balance: int) -> None:
    """When no call is under way, balances and cycles consumed add up to what there was."""
    random = Random(seed)
    world = World(fees=APPLICATION_FEES, order=random)
    for canister in (A, B):
        world.add(canister, Program(random, (A, B, C)), cycles=balance)
    for _ in range(20):
        world.call(random.choice((A, B)))

    for _ in range(rounds):
        world.execution.run_round(0)
        if random.random() < 0.5:
            world.call(A)

    # Let what is under way come to its end, without making more.
    for record in world.canisters.values():
        record.status = "stopping"
    world.run()
    held = sum(each.cycles + each.consumed_cycles for each in world.canisters.values())
    assert held == 2 * balance
    assert world.calls_open() == 0
