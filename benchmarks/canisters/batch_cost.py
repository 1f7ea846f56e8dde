"""What an operation costs in cycles when 1, 20, 100 or 200 share a message: a stated model.

Fees are those of a 13-node subnet: 1.2 M for an ingress message, 2,000 for each byte of it, 5 M for
its execution, 1 for each instruction. Instructions nobody has counted for this canister on chain;
they are modelled as

    bytecodes that CPython runs for the message  x  instructions for each
    + calls of stable maps                       x  instructions for each kind

- For each bytecode 500, 1,700 and 3,900. CPython in Wasm takes 29.6 M instructions for fib(20),
  which is 22,000 calls of some 20 bytecodes; RustPython takes seven to ten times as many, so 500 to
  700 for calls and arithmetic. Published counts of RustPython for append and sort, and for dict
  inserts and look-ups, give 1,700 and 3,900 at most (icp-scaling.md B.3).
- For each call: canister-profiling counts 2.9 M for 50 gets, 5.3 M for 50 inserts and 8.9 M for 50
  removes of Rust's stable B-tree, so 58 k, 106 k and 178 k each. Keys and values of larger maps
  cost more, and Kybra's conversions come on top: so the other end of the range takes fifty times as
  much. The bytecodes of the maps that stand in for them here are not counted.

Two canisters are priced. ``applier`` is the library's ``BatchApplier`` over an application of two
lines, a counter for each subject, with one row of state written in each message. ``game`` is the
game's ``submit`` of transfers among 1,000 players, by the code that the canister runs, rights and
records included; without what Kybra does in Rust: decoding Candid and calling Python. Both sides
are the same code; the peer sends one operation in each message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from bytecodes import count_bytecodes
from game_operations import CreatePlayer, Credit
from game_rows import ROW_SIZE_MAX
from game_world import ADMIN, MAIN, NOW_NS, Node, operation_id, principal, submitted
from kybra import Principal

from icfleet_canister import (
    BatchApplier,
    ChangeLog,
    Charge,
    Effects,
    FleetRecords,
    IdWindow,
    LogExtent,
    LogHead,
    MemoryMap,
    PendingOperation,
    RateLimiter,
    RowChange,
)
from icfleet_canister.fleet_service import FleetStores
from icfleet_canister.stable_map import RowOverlay
from icfleet_protocol.candid import parse_did
from icfleet_protocol.principal import Principal as WirePrincipal

__all__ = ["report"]

SIZES = (1, 20, 100, 200)
PLAYERS = 1_000
MESSAGES = 5

INGRESS_FEE = 1_200_000
BYTE_FEE = 2_000
EXECUTION_FEE = 5_000_000

INSTRUCTIONS_OF_BYTECODE = (500, 1_700, 3_900)
GATEWAY = principal(10**6)

Key = TypeVar("Key")
Value = TypeVar("Value")


class MapPrices(NamedTuple):
    """Instructions of one call of a stable map."""

    get: int
    insert: int
    remove: int


MAP_PRICES = {
    "a fiftieth of 50 calls": MapPrices(58_000, 106_000, 178_000),
    "fifty times as much": MapPrices(2_900_000, 5_300_000, 8_900_000),
}


class Calls:
    """How often stable maps were called."""

    def __init__(self) -> None:
        self.gets = 0
        self.inserts = 0
        self.removes = 0


class CountingMap(MemoryMap[Key, Value], Generic[Key, Value]):
    """A map that counts how it is called."""

    def __init__(self, calls: Calls, value_size_max: int | None = None) -> None:
        super().__init__(value_size_max)
        self._calls = calls

    def get(self, key: Key) -> Value | None:
        """Return the value, or ``None``."""
        self._calls.gets += 1
        return super().get(key)

    def insert(self, key: Key, value: Value) -> Value | None:
        """Set the value and return the one it replaced."""
        self._calls.inserts += 1
        return super().insert(key, value)

    def remove(self, key: Key) -> Value | None:
        """Drop the value and return it."""
        self._calls.removes += 1
        return super().remove(key)


@dataclass(frozen=True, slots=True)
class Message:
    """What one message of so many operations takes, the mean of some."""

    operations: int
    size: int
    """Bytes of its argument."""
    bytecodes: float
    gets: float
    inserts: float
    removes: float

    @property
    def fees_each(self) -> float:
        """Cycles of an operation without its instructions and bytes."""
        return (INGRESS_FEE + EXECUTION_FEE) / self.operations

    def cycles_each(self, per_bytecode: int, prices: MapPrices) -> float:
        """Cycles of an operation by the model."""
        calls = self.gets * prices.get + self.inserts * prices.insert
        calls += self.removes * prices.remove
        instructions = self.bytecodes * per_bytecode + calls
        return self.fees_each + (self.size * BYTE_FEE + instructions) / self.operations


def report() -> dict[str, object]:
    """Count, price, print, and return the figures."""
    return {
        name: _report_of(name, [_measure(world(), operations) for operations in SIZES])
        for name, world in (("applier", _Tally), ("game", _Game))
    }


def _report_of(name: str, messages: Sequence[Message]) -> dict[str, object]:
    print(f"{name}: what a message takes\n")
    print("| operations | bytes | bytecodes | gets | inserts | removes | fixed fees each |")
    print("|---|---|---|---|---|---|---|")
    for message in messages:
        print(
            f"| {message.operations} | {message.size:,.0f} | {message.bytecodes:,.0f} "
            f"| {message.gets:.0f} | {message.inserts:.0f} | {message.removes:.0f} "
            f"| {message.fees_each:,.0f} |"
        )
    print(f"\n{name}: M cycles for each operation, and how many times less than alone:\n")
    print("| instructions | map calls | " + " | ".join(map(str, SIZES)) + " |")
    print("|---|---|" + "---|" * len(SIZES))
    rows: list[dict[str, object]] = []
    for per_bytecode in INSTRUCTIONS_OF_BYTECODE:
        for price_name, prices in MAP_PRICES.items():
            costs = [message.cycles_each(per_bytecode, prices) for message in messages]
            cells = [f"{cost / 1e6:.2f} (**{costs[0] / cost:.1f}**)" for cost in costs]
            print(f"| {per_bytecode:,} a bytecode | {price_name} | " + " | ".join(cells) + " |")
            rows.append(
                {
                    "instructions_per_bytecode": per_bytecode,
                    "map_prices": prices._asdict(),
                    "cycles_each": dict(zip(map(str, SIZES), costs, strict=True)),
                }
            )
    print()
    return {"messages": [_as_json(message) for message in messages], "rows": rows}


def _as_json(message: Message) -> dict[str, object]:
    return {
        "operations": message.operations,
        "bytes": message.size,
        "bytecodes": message.bytecodes,
        "gets": message.gets,
        "inserts": message.inserts,
        "removes": message.removes,
        "fixed_fees_each": message.fees_each,
    }


class World(Protocol):
    """A canister that takes batches."""

    calls: Calls

    def size(self, count: int) -> int:
        """Bytes of a batch's argument."""
        ...

    def batch(self, count: int) -> Any:
        """Make a batch that was not sent before."""
        ...

    def submit(self, batch: Any) -> int:
        """Send it; return how many operations were applied."""
        ...


class _Tally:
    """The library's parts, with a counter for each subject."""

    def __init__(self) -> None:
        self.calls = Calls()
        self._rows = RowOverlay(CountingMap[int, bytes](self.calls))
        self._state = CountingMap[str, bytes](self.calls)
        first = LogHead.empty()._replace(epoch=1)
        log = ChangeLog(CountingMap[int, bytes](self.calls), LogExtent(first, first))
        self._applier = BatchApplier(self, log, IdWindow(), RateLimiter(), row_size_max=100)
        self._number = 0

    def forbids(self, caller: str, operation: PendingOperation[int]) -> str | None:
        """Everybody may count."""
        del caller, operation
        return None

    def charges(self, caller: str, operation: PendingOperation[int]) -> Sequence[Charge]:
        """Each pays for itself."""
        del caller
        return [Charge(operation.subject)]

    def evaluate(
        self, caller: str, operation: PendingOperation[int], now_ns: int, seq: int
    ) -> Effects:
        """Count."""
        del caller, now_ns, seq
        count = int.from_bytes(self._rows.get(operation.body) or b"", "big") + 1
        return Effects([RowChange(operation.body, count.to_bytes(8, "big"))])

    def apply(self, changes: Sequence[RowChange]) -> None:
        """Put the rows where ``flush`` finds them."""
        for slot, value in changes:
            self._rows.put(slot, value)

    def size(self, count: int) -> int:
        """As of the game's operations, which are longer."""
        return 200 + 60 * count

    def batch(self, count: int) -> list[PendingOperation[int]]:
        """Counts, each by another subject."""
        first = self._number
        self._number += count
        return [
            PendingOperation(
                operation_id(number), principal(number % PLAYERS), NOW_NS, number % PLAYERS, b"+"
            )
            for number in range(first, first + count)
        ]

    def submit(self, batch: list[PendingOperation[int]]) -> int:
        """Do what a canister does around the applier, and no more."""
        verdicts = self._applier.apply(GATEWAY, batch, now_ns=NOW_NS, is_exhausted=lambda: False)
        self._rows.flush()
        self._state.insert("member", b"head")
        return sum(verdict.case == "Applied" for verdict in verdicts)


class _Game:
    """A main with players, a gateway that sends for all of them, and counted maps."""

    def __init__(self) -> None:
        self.calls = Calls()
        stores = FleetStores(
            rows=CountingMap[int, bytes](self.calls, ROW_SIZE_MAX),
            slots=CountingMap[str, int](self.calls),
            state=CountingMap[str, bytes](self.calls),
            pages=CountingMap[int, bytes](self.calls),
        )
        self.node = Node(MAIN, stores)
        service = self.node.service
        service.start(is_main=True, installer=ADMIN, canister=MAIN, now_ns=NOW_NS)
        service.promote(ADMIN, 0, 1, NOW_NS)
        service.grant_role(ADMIN, ADMIN, "treasury", NOW_NS)
        service.grant_gateway(ADMIN, GATEWAY, ["Transfer"], all_players=True, now_ns=NOW_NS)
        self.number = 0
        for player in range(PLAYERS):
            name = principal(player)
            self._do(name, name, CreatePlayer(f"player {player}"))
            self._do(ADMIN, ADMIN, Credit(name, 10_000))
        self.records = FleetRecords(Principal)
        game_did = Path(__file__).parents[2] / "canisters" / "game" / "game.did"
        self.interface = parse_did(game_did.read_text(encoding="utf-8"))

    def _do(self, caller: str, subject: str, body: Any) -> None:
        self.number += 1
        verdict = self.node.submit(caller, submitted(self.number, subject, body))[0]
        assert verdict.case == "Applied", verdict

    def batch(
        self, count: int, of_text: Callable[[str], object] = Principal.from_str
    ) -> list[dict[str, Any]]:
        """Transfers, each by another player."""
        first = self.number
        self.number += count
        return [
            {
                "id": operation_id(number),
                "subject": of_text(principal(number % PLAYERS)),
                "created_at": NOW_NS,
                "body": {
                    "Transfer": {
                        "target": of_text(principal((number + 7) % PLAYERS)),
                        "amount": 1,
                    }
                },
            }
            for number in range(first, first + count)
        ]

    def size(self, count: int) -> int:
        """Bytes of their Candid."""
        argument = {"ops": self.batch(count, WirePrincipal.from_text)}
        return len(self.interface.encode_args("submit", [argument]))

    def submit(self, batch: list[dict[str, Any]]) -> int:
        """Do what the generated ``submit`` does."""
        service = self.node.service
        service.touch(NOW_NS)
        operations = [self.records.pending_operation(service.app, each) for each in batch]
        outcome = service.submit(GATEWAY, operations, now_ns=NOW_NS, is_exhausted=lambda: False)
        result = self.records.submit_result(service, outcome)
        return sum("Applied" in each for each in result["Done"]["results"])


def _measure(world: World, operations: int) -> Message:
    size = world.size(operations)
    world.submit(world.batch(operations))
    batches = [world.batch(operations) for _ in range(MESSAGES)]
    before = (world.calls.gets, world.calls.inserts, world.calls.removes)
    applied: list[int] = []
    bytecodes = count_bytecodes(lambda: applied.extend(map(world.submit, batches)))
    assert applied == [operations] * MESSAGES, applied
    after = (world.calls.gets, world.calls.inserts, world.calls.removes)
    gets, inserts, removes = (after[place] - before[place] for place in range(3))
    bytecodes -= _bytecodes_of_maps(gets, inserts, removes)
    return Message(
        operations,
        size,
        bytecodes / MESSAGES,
        gets / MESSAGES,
        inserts / MESSAGES,
        removes / MESSAGES,
    )


def _bytecodes_of_maps(gets: int, inserts: int, removes: int) -> int:
    """Return what so many calls of the maps take that stand in for stable ones."""
    rows = CountingMap[int, bytes](Calls(), ROW_SIZE_MAX)
    return sum(
        count * (count_bytecodes(call) - count_bytecodes(lambda: None))
        for count, call in (
            (gets, lambda: rows.get(1)),
            (inserts, lambda: rows.insert(1, b"")),
            (removes, lambda: rows.remove(1)),
        )
    )
