"""A network with a state directory, on a clock that stands still: histories to be repeated."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from localnet_client import NO_ARGS, START_NS, Built, Client, Deployed

from icfleet.build import build
from icfleet_localnet.clock import NetworkClock
from icfleet_localnet.commands import obey
from icfleet_localnet.executor import Executor
from icfleet_localnet.fault_rules import (
    ClockJump,
    Command,
    DrainCycles,
    HaltSubnet,
    ResumeSubnet,
)
from icfleet_localnet.http_interface import HttpInterface
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.management.interface import MANAGEMENT_INTERFACE
from icfleet_localnet.network import Network
from icfleet_localnet.process_host.executor import ProcessExecutor
from icfleet_localnet.profiles import FAST, Profile
from icfleet_localnet.recorder import Recorder
from icfleet_localnet.round_driver import RoundDriver
from icfleet_localnet.state_directory import StateDirectory
from icfleet_localnet.topology import Topology
from icfleet_protocol.candid import parse_did
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

S = 1_000_000_000
_CANISTERS_MAX = 5

BUSY = """
import random
from kybra import (
    Async, CallResult, Principal, Service, StableBTreeMap, ic, init, inspect_message, nat64, query,
    service_update, text, update, void,
)

state = {"answers": 0, "seen": [], "rows": []}
kept = StableBTreeMap[nat64, text](memory_id=0, max_key_size=16, max_value_size=100)


class Peer(Service):
    @service_update
    def ping(self, amount: nat64) -> nat64: ...


def tick() -> void:
    state["answers"] = state["answers"] + 1
    kept.insert(state["answers"], str(ic.time()))


@inspect_message
def inspect() -> void:
    state["seen"].append(random.random())
    if ic.method_name() != "forbidden":
        ic.accept_message()


@update
def forbidden() -> void:
    pass


@update
def arm(seconds: nat64) -> void:
    ic.set_timer_interval(seconds, tick)


@update
def grow(rows: nat64) -> nat64:
    for index in range(rows):
        state["rows"].append([index])
    return len(state["rows"])


@update
def fail(rows: nat64) -> void:
    state["rows"] = [[index] for index in range(rows)]
    ic.trap("no " + str(ic.canister_balance()))


@update
def ping(amount: nat64) -> nat64:
    state["seen"].append([amount, random.random(), ic.time()])
    return ic.msg_cycles_accept(amount)


@update
def ask(peer: Principal, amount: nat64) -> Async[nat64]:
    result: CallResult[nat64] = yield Peer(peer).ping(amount).with_cycles(amount * 2)
    state["answers"] = state["answers"] + 1
    ic.print(str(result.Ok) + " " + str(ic.time()) + " " + str(ic.canister_balance()))
    return state["answers"]


@query
def look(rows: nat64) -> nat64:
    state["rows"] = state["rows"] + [[index] for index in range(rows)]
    random.random()
    return len(state["rows"])
"""


@cache
def busy() -> Built:
    """A canister that does a bit of everything."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "main.py").write_text(BUSY)
        made = build(folder / "main.py", search_path=(folder,), out=None)
    return Built(made.wasm, parse_did(made.did))


class StandingClock(NetworkClock):
    """Moves when it is told to."""

    def __init__(self, now_ns: int) -> None:
        super().__init__()
        self.real_ns = now_ns

    def now_ns(self) -> int:
        return self.real_ns + self.offset_ns


@dataclass
class RecordedClient(Client):
    """A client whose rounds are made by the driver, so that they are recorded."""

    step: Callable[[int], None] = field(default=lambda _by_ns: None)

    def run_rounds(self) -> None:
        for _ in range(30):
            self.step(1_000_000)
            if not self.network.has_work:
                return


class Session:
    """One run of the network, from its start to a clean stop."""

    def __init__(self, network: Network, recorder: Recorder, clock: StandingClock) -> None:
        self.network = network
        self.clock = clock
        self._recorder = recorder
        self._driver = RoundDriver(network, clock, recorder)
        self.client = RecordedClient(
            HttpInterface(network, recorder), network, now_ns=clock.now_ns(), step=self.step
        )

    def step(self, by_ns: int) -> None:
        """Let time pass, then make a round."""
        self.clock.real_ns += by_ns
        self._driver.run_round()
        self.client.now_ns = self.clock.now_ns()

    def idle(self, seconds: int) -> None:
        """Let time pass as when nothing happens: a round each second."""
        for _ in range(seconds):
            self.step(S)

    def command(self, command: Command) -> None:
        """Give an order as the server does."""
        self._recorder.commanded(command)
        obey(self.network, self.clock, command)

    def jump(self, seconds: int) -> None:
        """Let time pass in an instant."""
        self._recorder.commanded(ClockJump(float(seconds)))
        asyncio.run(self._driver.advance(seconds * S))
        self.client.now_ns = self.clock.now_ns()

    def deploy(self, built: Built, *, near: Principal | None = None) -> Deployed:
        first = self.network.applications[0].plan.first_canister
        created = self.client.create(near=first if near is None else near)
        self.client.install(created, built.wasm)
        return Deployed(self.client, created, built.interface)

    def send(self, canister: Principal, method: str, *args: object) -> None:
        """Send an update, whatever becomes of it."""
        arg = busy().interface.encode_args(method, args)
        self.client.submit(canister, method, arg)

    def manage(self, method: str, canister: Principal, **fields: object) -> None:
        """Send a management call, whatever becomes of it."""
        arg = MANAGEMENT_INTERFACE.encode_args(method, [{"canister_id": canister, **fields}])
        body = self.client.sign(MANAGEMENT_CANISTER, method, arg).body
        path = f"/api/v4/canister/{canister}/call"
        self.client.interface.post(path, body, now_ns=self.client.now_ns)

    def query(self, canister: Principal, method: str, *args: object) -> None:
        """Send a query, whatever comes back."""
        arg = busy().interface.encode_args(method, args)
        body = self.client.sign(canister, method, arg, kind="query").body
        path = f"/api/v3/canister/{canister}/query"
        self.client.interface.post(path, body, now_ns=self.client.now_ns)


@contextmanager
def recorded(
    folder: Path,
    *,
    now_ns: int = START_NS,
    subnets: int = 1,
    executor: str = "inprocess",
    profile: Profile = FAST,
) -> Generator[Session]:
    """Start a network where the last one in this folder stopped, and stop it cleanly."""
    clock = StandingClock(now_ns)
    opened = StateDirectory.open(
        folder, subnets=subnets, profile=profile.name, executor=executor, now_ns=now_ns
    )
    runs: Executor = ProcessExecutor() if executor == "process" else InProcessExecutor()
    with opened as state:
        try:
            network = Network(
                runs,
                seed=state.seed,
                now_ns=state.origin.started_ns,
                topology=Topology(subnets=subnets, nodes=profile.node_count),
                profile=profile,
            )
            recorder = Recorder(network, state)
            recorder.replay(clock, lambda _share: None)
            yield Session(network, recorder, clock)
            recorder.check()
        finally:
            runs.close()


def play_at_random(
    folder: Path, random: Random, *, executor: str = "inprocess", profile: Profile = FAST
) -> None:
    """Put a random history into a network of two subnets, over some restarts.

    Raises:
        StateDirectoryError: If one of the restarts came to another state.
    """
    now_ns, canisters = START_NS, list[Principal]()
    for _ in range(4):
        with recorded(
            folder, now_ns=now_ns, subnets=2, executor=executor, profile=profile
        ) as session:
            for subnet in session.network.subnets:
                if subnet.is_halted and random.random() < 0.8:
                    session.command(ResumeSubnet(str(subnet.id)))
            if random.random() < 0.5:
                session.idle(random.randrange(40))
            for _ in range(30):
                _do_something(session, random, canisters)
            now_ns = session.clock.real_ns + random.choice([0, S, 100 * S])


def _do_something(session: Session, random: Random, canisters: list[Principal]) -> None:
    # Requests of different sessions must not be the same.
    session.client.nonce = random.getrandbits(60)
    subnet = random.choice(session.network.applications)
    if not canisters or (len(canisters) < _CANISTERS_MAX and random.random() < 0.1):
        if not subnet.is_halted:
            canisters.append(session.deploy(busy(), near=subnet.plan.first_canister).id)
        return
    canister = random.choice(canisters)
    match random.randrange(14):
        case 0 | 1 | 2 | 3:
            _send_something(session, random, canister, random.choice(canisters))
        case 4 | 5:
            session.query(canister, "look", random.randrange(500))
        case 6 | 7:
            _manage_something(session, random, canister)
        case 8:
            command = ResumeSubnet if subnet.is_halted else HaltSubnet
            session.command(command(str(subnet.id)))
        case 9:
            session.jump(random.choice([5, 30]))
        case 10:
            session.idle(random.randrange(15))
        case _:
            session.step(random.choice([0, 1, 10**6, S, 11 * S]))


def _send_something(
    session: Session, random: Random, canister: Principal, other: Principal
) -> None:
    match random.randrange(8):
        case 0:
            session.send(canister, "grow", random.choice([10, 1_000, 10_000, 30_000]))
        case 1 | 2 | 3:
            session.send(canister, "ask", other, random.randrange(1_000))
        case 4:
            session.send(canister, "arm", random.randrange(1, 20))
        case 5:
            session.send(canister, "forbidden")
        case _:
            session.send(canister, random.choice(["fail", "ping"]), random.randrange(100))


def _manage_something(session: Session, random: Random, canister: Principal) -> None:
    subnet = session.network.subnet_of(canister)
    assert subnet is not None
    match random.randrange(12):
        case 0:
            if canister in subnet.canisters:
                session.command(DrainCycles(str(canister), random.choice([10**6, 10**11])))
        case 1:
            session.manage(
                "install_code",
                canister,
                mode={random.choice(["reinstall", "upgrade"]): None},
                wasm_module=busy().wasm,
                arg=NO_ARGS,
                sender_canister_version=None,
            )
        case 2:
            if random.random() < 0.5:
                session.manage("uninstall_code", canister, sender_canister_version=None)
            else:
                session.manage("delete_canister", canister)
        case 3:
            session.manage("provisional_top_up_canister", canister, amount=10**12)
        case 4 | 5:
            session.manage(random.choice(["stop_canister", "start_canister"]), canister)
        case _:
            session.manage("canister_status", canister)
