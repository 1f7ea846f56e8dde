"""What is measured of the local network, each figure on a server of its own or a fresh canister."""

import asyncio
import http.client
import statistics
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from itertools import count, islice
from pathlib import Path
from random import Random

from server_process import ServerProcess, start_server
from signed_load import Kind, Target, count_answers, verify_sample
from wire_load import Load, run_load

from icfleet.build import BuildResult, build
from icfleet_agent import Agent
from icfleet_agent.management import ManagementCanister
from icfleet_protocol.candid import encode, parse_did
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal

__all__ = [
    "Plan",
    "RateFigure",
    "ValueFigure",
    "heap_cost",
    "memory",
    "own_ceiling",
    "record_cost",
    "start_up",
    "throughput",
]

ROOT = Path(__file__).parent.parent
_IDENTITY = Ed25519Identity.from_seed(b"\x01" * 32)
_RECORD = bytes(100)
_RECORDS_AT_FIRST = 1_000
_SLICE = 10_000
"""Records that one update fills in: below the instruction limit by far."""
_CEILING_REQUESTS = 5_000
_REQUESTS_MIN = 20
_REQUESTS_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how far to measure."""

    seconds: float
    """Per repetition, about."""
    repetitions: int
    connections: tuple[int, ...]
    starts: int
    """How often a network is started to time that, and to weigh its canisters."""
    records: tuple[int, ...]
    containers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateFigure:
    """Requests answered per second, over repetitions."""

    what: str
    executor: str
    connections: int
    rate: float
    """Median."""
    rate_min: float
    rate_max: float
    p50_ms: float
    p99_ms: float
    server_us: float
    """CPU time of the server per request, all processes; ``client_us`` is the generator's."""
    client_us: float
    answers: dict[str, int]

    def as_json(self) -> dict[str, object]:
        """For machines, in as many digits as mean something."""
        fields = asdict(self)
        return {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in fields.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueFigure:
    """Something measured a few times."""

    what: str
    executor: str
    unit: str
    value: float
    """Median."""
    value_min: float
    value_max: float

    def as_json(self) -> dict[str, object]:
        """For machines, in as many digits as mean something."""
        return {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def own_ceiling(plan: Plan) -> Iterator[RateFigure]:
    """What the generator does against a server that does nothing."""
    with start_server("trivial_server.py") as server:
        interface = parse_did("service : { get : () -> () query }")
        target = Target(server, Principal(b""), interface, _IDENTITY)
        signed = target.sign("query", "get", [()] * _CEILING_REQUESTS)
        for connections in plan.connections:
            repetitions: list[_Repetition] = []
            for _ in range(plan.repetitions):
                before_s = server.cpu_s()
                load = run_load(server.address, signed.requests, connections)
                answers = Counter(f"HTTP {one[0]}" if one else "broken" for one in load.answers)
                repetitions.append(_Repetition(load, server.cpu_s() - before_s, answers))
            yield _rate("generator's ceiling", "none", connections, repetitions)


def throughput(executor: str, plan: Plan) -> Iterator[RateFigure]:
    """Queries and updates per second by number of connections."""
    with _store(executor) as target:
        for connections in plan.connections:
            yield _measure("queries", executor, connections, plan, _queries(target))
        for connections in plan.connections:
            yield _measure("updates", executor, connections, plan, _updates(target))


def record_cost(executor: str, plan: Plan) -> Iterator[RateFigure]:
    """Queries at 32 connections by number of records in stable memory."""
    filled = 0
    with _store(executor, filled=0) as target:
        for records in plan.records:
            _fill(target, filled, records)
            filled = records
            what = f"queries, {records} records"
            yield _measure(what, executor, 32, plan, _queries(target, records))


def heap_cost(executor: str, plan: Plan) -> Iterator[RateFigure]:
    """Updates one at a time, by number of containers in the heap."""
    with _store(executor) as target:
        for containers in plan.containers:
            _call(target, "grow_heap", containers)
            what = f"updates, {containers} heap containers"
            yield _measure(what, executor, 1, plan, _updates(target))


def start_up(executor: str, plan: Plan) -> Iterator[ValueFigure]:
    """From the process's start until it is healthy, and until three game canisters run."""
    healthy: list[float] = []
    cpu_s: list[float] = []
    deployed: list[float] = []
    modules = [_game(role) for role in ("Main", "Replica", "Replica")]
    for _ in range(plan.starts):
        with start_server("localnet_server.py", executor) as server:
            _await_healthy(server)
            healthy.append(time.perf_counter() - server.started_s)
            cpu_s.append(server.cpu_s())
            asyncio.run(_deploy(server, modules))
            deployed.append(time.perf_counter() - server.started_s)
    yield _value("network healthy after", executor, "s", healthy)
    yield _value("CPU time of the network until then", executor, "s", cpu_s)
    yield _value("three game canisters deployed after", executor, "s", deployed)


def memory(executor: str, plan: Plan) -> Iterator[ValueFigure]:
    """What the server's memory grows by for each further canister."""
    store = _build("benchmarks/canisters/records.py").wasm, encode((), ())
    for name, module in (("one-file", store), ("game", _game("Main"))):
        grown: list[float] = []
        for _ in range(plan.starts):
            with start_server("localnet_server.py", executor) as server:
                asyncio.run(_deploy(server, [module]))
                before_mb = server.memory_mb()
                asyncio.run(_deploy(server, [module] * 8))
                grown.append((server.memory_mb() - before_mb) / 8)
        yield _value(f"memory of a further {name} canister", executor, "MB", grown)


@dataclass(frozen=True, slots=True)
class _Stream:
    """Requests of one kind without end, signed as many at a time as are sent next."""

    target: Target
    kind: Kind
    method: str
    arguments: Iterator[Sequence[object]]

    def send(self, number: int, connections: int) -> "_Repetition":
        """Sign requests, send them, and only then judge the answers."""
        target = self.target
        signed = target.sign(self.kind, self.method, islice(self.arguments, number))
        before_s = target.server.cpu_s()
        load = run_load(target.server.address, signed.requests, connections)
        cpu_s = target.server.cpu_s() - before_s
        if self.kind == "call":
            verify_sample(target, load.answers, signed.names)
        return _Repetition(load, cpu_s, count_answers(self.kind, load.answers, signed.names))


@dataclass(frozen=True, slots=True)
class _Repetition:
    load: Load
    server_cpu_s: float
    answers: Counter[str]


def _queries(target: Target, records: int = _RECORDS_AT_FIRST) -> _Stream:
    random = Random(0)
    return _Stream(target, "query", "get", ((random.randrange(records),) for _ in count()))


def _updates(target: Target) -> _Stream:
    arguments = ((number % _RECORDS_AT_FIRST, _RECORD) for number in count())
    return _Stream(target, "call", "put", arguments)


def _measure(what: str, executor: str, connections: int, plan: Plan, stream: _Stream) -> RateFigure:
    warm_up = stream.send(max(_REQUESTS_MIN, 2 * connections), connections)
    wanted = int(warm_up.load.rate * plan.seconds)
    number = min(_REQUESTS_MAX, max(_REQUESTS_MIN, 2 * connections, wanted))
    repetitions = [stream.send(number, connections) for _ in range(plan.repetitions)]
    return _rate(what, executor, connections, repetitions)


def _rate(
    what: str, executor: str, connections: int, repetitions: Sequence[_Repetition]
) -> RateFigure:
    loads = [one.load for one in repetitions]
    rates = [load.rate for load in loads]
    number = len(loads[0].answers)
    return RateFigure(
        what=what,
        executor=executor,
        connections=connections,
        rate=statistics.median(rates),
        rate_min=min(rates),
        rate_max=max(rates),
        p50_ms=statistics.median(load.latency_ms(0.5) for load in loads),
        p99_ms=statistics.median(load.latency_ms(0.99) for load in loads),
        server_us=statistics.median(one.server_cpu_s for one in repetitions) / number * 1e6,
        client_us=statistics.median(load.cpu_s for load in loads) / number * 1e6,
        answers=dict(sum((one.answers for one in repetitions), Counter[str]())),
    )


def _value(what: str, executor: str, unit: str, values: Sequence[float]) -> ValueFigure:
    return ValueFigure(
        what=what,
        executor=executor,
        unit=unit,
        value=statistics.median(values),
        value_min=min(values),
        value_max=max(values),
    )


@contextmanager
def _store(executor: str, *, filled: int = _RECORDS_AT_FIRST) -> Generator[Target]:
    """A network with the store of records on it."""
    built = _build("benchmarks/canisters/records.py")
    with start_server("localnet_server.py", executor) as server:
        (canister,) = asyncio.run(_deploy(server, [(built.wasm, encode((), ()))]))
        target = Target(server, canister, parse_did(built.did), _IDENTITY)
        _fill(target, 0, filled)
        yield target


def _fill(target: Target, first: int, last: int) -> None:
    for start in range(first, last, _SLICE):
        _call(target, "fill", start, min(_SLICE, last - start))


def _call(target: Target, method: str, *arguments: object) -> None:
    """Make one update, and insist that it was done."""
    repetition = _Stream(target, "call", method, iter([arguments])).send(1, 1)
    assert repetition.answers == {"ok": 1}, (method, arguments, repetition.answers)


async def _deploy(server: ServerProcess, modules: Sequence[tuple[bytes, bytes]]) -> list[Principal]:
    """Create and install canisters of these modules and init arguments."""
    canisters: list[Principal] = []
    async with Agent(server.url, identity=_IDENTITY) as agent:
        management = ManagementCanister(agent)
        for wasm, arg in modules:
            canister = await management.create()
            await management.install(canister, wasm, arg)
            canisters.append(canister)
    return canisters


@cache
def _build(entry: str) -> BuildResult:
    path = ROOT / entry
    return build(path, search_path=(path.parent.parent, ROOT))


def _game(role: str) -> tuple[bytes, bytes]:
    """The largest canister of this repository, and its ``init`` argument."""
    built = _build("canisters/game/main.py")
    interface = parse_did(built.did)
    arg = encode(interface.init_args, [{role: None}], environment=interface.environment)
    return built.wasm, arg


def _await_healthy(server: ServerProcess) -> None:
    while True:
        connection = http.client.HTTPConnection(*server.address)
        try:
            connection.request("GET", "/api/v2/status")
            if b"healthy" in connection.getresponse().read():
                return
        finally:
            connection.close()
