"""Planted faults: each must be found, by the check that is about it, and an honest fleet passes.

The fleet's side is encoded by the canister's own library, so that these tests also hold the
audit's formats against the real ones.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from audit_checks import Check, Statement, audit
from audit_formats import Acknowledged, AuditError, LogRecord, Position, Status, record_bytes
from icfleet_canister import ByteWriter
from icfleet_canister.application import content_of
from icfleet_canister.log_record import (
    APPLIED,
    ChangeRecord,
    RowChange,
    chain,
    encode_epoch,
    encode_record,
    encode_refusal,
    first_hash,
    operation_digest,
)

EPOCH = 1
NOW_NS = 1_800_000_000_000_000_000
ADA, BOB = "ada-principal", "bob-principal"

ONCE = "every acknowledged operation exactly once in main's log"
TOLD = "each at the position and with the result its player was told"
CONTENT = "each with the content that was sent"
CHAIN = "the log's chain hash, recomputed, is main's"
POSITIONS = "replicas at main's position with the same chain hash"
REPLICA_LOGS = "replicas hold main's log, record by record"
MOVEMENTS = "each record moves the money its operation says"
SUM = "all accounts together hold Credits minus Debits"
BALANCES = "balances recomputed from the log are main's"
REPLICA_ACCOUNTS = "replicas' accounts are main's"

Rows = Mapping[int, bytes]


def _book(credited: int, debited: int = 0) -> bytes:
    return ByteWriter().number(1, 1).number(16, 1).numbers((credited, debited, 2, 1)).finish()


def _system(name: str, balance: int) -> bytes:
    return ByteWriter().number(1, 1).number(17, 1).text(name).number(balance, 8).finish()


def _player(owner: str, balance: int) -> bytes:
    writer = ByteWriter().number(1, 1).number(18, 1).text(owner).text("a name").text("gateway")
    for value in (balance, 0, 0, 1):
        writer.number(value, 8)
    return writer.number(0, 1).number(0, 1).number(0, 1).finish()


def _price(symbol: str, price: int) -> bytes:
    writer = ByteWriter().number(1, 1).number(19, 1).text(symbol)
    return writer.number(price, 8).number(NOW_NS, 8).finish()


def _content(name: str, fields: Mapping[str, Any]) -> bytes:
    operation = namedtuple(name, list(fields))  # type: ignore[misc]  # noqa: PYI024
    return content_of(operation(*fields.values()))


class World:
    """An honest fleet of main and two replicas, and the players' record of it."""

    def __init__(self) -> None:
        self.log: list[LogRecord] = []
        self.acknowledged: list[Acknowledged] = []
        self.accounts = {"bank": 50, "market": 850, ADA: 60, BOB: 40}
        self.log.append(
            LogRecord(1, ADA, b"icfleet:", bytes(32), NOW_NS, encode_epoch(EPOCH), [(1, _book(0))])
        )
        self.operate(
            "Credit",
            {"account": "market", "amount": 800},
            {1: _book(800), 3: _system("market", 800)},
        )
        self.operate("CreatePlayer", {"name": "Ada"}, {4: _player(ADA, 0)})
        self.operate("CreatePlayer", {"name": "Bob"}, {5: _player(BOB, 0)}, subject=BOB)
        self.operate(
            "Credit", {"account": ADA, "amount": 200}, {1: _book(1000), 4: _player(ADA, 200)}
        )
        self.operate("SetPrice", {"symbol": "TEA", "price": 25}, {6: _price("TEA", 25)})
        self.operate(
            "Transfer", {"target": BOB, "amount": 40}, {4: _player(ADA, 160), 5: _player(BOB, 40)}
        )
        self.operate(
            "Buy",
            {"symbol": "TEA", "quantity": 3},
            {3: _system("market", 875), 4: _player(ADA, 85)},
        )
        self.operate(
            "Sell",
            {"symbol": "TEA", "quantity": 1},
            {3: _system("market", 850), 4: _player(ADA, 110)},
        )
        self.operate(
            "OpenDeposit",
            {"amount": 50, "term_s": 9},
            {2: _system("bank", 50), 4: _player(ADA, 60)},
        )
        self.operate("RecordScore", {"score": 7}, {5: _player(BOB, 40)}, subject=BOB)
        self.operate("Transfer", {"target": ADA, "amount": 999}, {}, subject=BOB, refusal="TooPoor")

    def operate(
        self,
        name: str,
        fields: Mapping[str, Any],
        rows: Rows,
        *,
        subject: str = ADA,
        refusal: str | None = None,
    ) -> None:
        seq = len(self.log) + 1
        operation_id = bytes([seq]) * 16
        digest = operation_digest(NOW_NS, _content(name, fields))
        result = APPLIED if refusal is None else encode_refusal(refusal, "because")
        self.log.append(
            LogRecord(seq, subject, operation_id, digest, NOW_NS, result, list(rows.items()))
        )
        self.acknowledged.append(
            Acknowledged(
                operation_id,
                subject,
                NOW_NS,
                name,
                fields,
                refusal or "Applied",
                Position(EPOCH, seq),
            )
        )

    def statement(self, role: str, log: Sequence[LogRecord] | None = None) -> Statement:
        records = self.log if log is None else log
        head = first_hash()
        for record in records:
            head = chain(head, _real_bytes(record))
        position = Position(EPOCH, records[-1].seq)
        return Statement(Status(role, position, head), list(records), dict(self.accounts))

    def fleet(self) -> dict[str, Statement]:
        return {
            "main": self.statement("Main"),
            "replica_1": self.statement("Replica"),
            "replica_2": self.statement("Replica"),
        }

    def audit(self) -> list[str]:
        return _failed(audit(self.fleet(), self.acknowledged))


def _real_bytes(record: LogRecord) -> bytes:
    rows = tuple(RowChange(slot, value) for slot, value in record.rows)
    return encode_record(ChangeRecord(*record[:-1], rows))


def _failed(checks: Sequence[Check]) -> list[str]:
    return [check.name for check in checks if not check.is_kept]


def test_an_honest_fleet_keeps_every_promise() -> None:
    world = World()

    checks = audit(world.fleet(), world.acknowledged)

    assert _failed(checks) == []
    assert len(checks) == 10
    assert all(check.figures for check in checks)


def test_the_audit_encodes_records_as_the_canister_does() -> None:
    """The audit's own reading of the format agrees with the canister's, removed rows included."""
    record = LogRecord(7, ADA, b"i" * 16, b"d" * 32, NOW_NS, APPLIED, [(4, b"row"), (5, None)])

    assert record_bytes(record) == _real_bytes(record)


def _lose_an_operation(world: World) -> None:
    """Acknowledged, and never written: everything after it is one position earlier."""
    del world.log[6]
    world.log[6:] = [record._replace(seq=record.seq - 1) for record in world.log[6:]]


def _apply_an_operation_twice(world: World) -> None:
    again = world.log[6]._replace(seq=13, rows=[(4, _player(ADA, 20)), (5, _player(BOB, 80))])
    world.log.append(again)
    world.accounts |= {ADA: 20, BOB: 80}


def _change_an_amount(world: World) -> None:
    """Bob gets 41 where Ada sent 40; the books still balance."""
    world.log[6] = world.log[6]._replace(rows=[(4, _player(ADA, 159)), (5, _player(BOB, 41))])
    world.log[7] = world.log[7]._replace(rows=[(3, _system("market", 875)), (4, _player(ADA, 84))])
    world.log[8] = world.log[8]._replace(rows=[(3, _system("market", 850)), (4, _player(ADA, 109))])
    world.log[9] = world.log[9]._replace(rows=[(2, _system("bank", 50)), (4, _player(ADA, 59))])
    world.log[10] = world.log[10]._replace(rows=[(5, _player(BOB, 41))])
    world.accounts |= {ADA: 59, BOB: 41}


def _change_a_content(world: World) -> None:
    world.acknowledged[9] = world.acknowledged[9]._replace(fields={"score": 8})


def _tell_another_result(world: World) -> None:
    world.acknowledged[10] = world.acknowledged[10]._replace(outcome="Applied")


def _tell_another_position(world: World) -> None:
    world.acknowledged[3] = world.acknowledged[3]._replace(position=Position(EPOCH, 9))


def _create_money(world: World) -> None:
    """Bob's score comes with a coin from nowhere."""
    world.log[10] = world.log[10]._replace(rows=[(5, _player(BOB, 41))])
    world.accounts[BOB] = 41


def _hide_a_balance(world: World) -> None:
    world.accounts[BOB] = 39


def _acknowledge_nothing(world: World) -> None:
    world.acknowledged = []


def _price_wrongly(world: World) -> None:
    """Three shares at 25 for 74."""
    world.log[7] = world.log[7]._replace(rows=[(3, _system("market", 874)), (4, _player(ADA, 86))])
    world.log[8] = world.log[8]._replace(rows=[(3, _system("market", 849)), (4, _player(ADA, 111))])
    world.log[9] = world.log[9]._replace(rows=[(2, _system("bank", 50)), (4, _player(ADA, 61))])
    world.accounts |= {"market": 849, ADA: 61}


FAULTS: list[Any] = [
    pytest.param(_lose_an_operation, {ONCE, TOLD, MOVEMENTS}, id="lost-operation"),
    pytest.param(_apply_an_operation_twice, {ONCE}, id="operation-applied-twice"),
    pytest.param(_change_an_amount, {MOVEMENTS}, id="changed-amount"),
    pytest.param(_change_a_content, {CONTENT}, id="changed-content"),
    pytest.param(_tell_another_result, {TOLD}, id="another-result"),
    pytest.param(_tell_another_position, {TOLD}, id="another-position"),
    pytest.param(_create_money, {MOVEMENTS, SUM}, id="created-money"),
    pytest.param(_hide_a_balance, {SUM, BALANCES}, id="wrong-balance"),
    pytest.param(_price_wrongly, {MOVEMENTS}, id="wrong-price"),
    pytest.param(_acknowledge_nothing, {ONCE}, id="nothing-acknowledged"),
]


@pytest.mark.parametrize(("plant", "expected"), FAULTS)
def test_a_fault_of_main_is_found(plant: Callable[[World], None], expected: set[str]) -> None:
    """Replicas copy the fault faithfully, so only what the players know speaks against it."""
    world = World()
    plant(world)

    assert set(world.audit()) >= expected


def test_a_chain_hash_that_is_not_the_logs_is_found() -> None:
    world = World()
    fleet = world.fleet()
    main = fleet["main"]
    fleet["main"] = replace(main, status=main.status._replace(chain_hash=b"x" * 32))

    assert set(_failed(audit(fleet, world.acknowledged))) == {CHAIN, POSITIONS}


def test_a_log_that_is_shorter_than_its_position_is_found() -> None:
    world = World()
    fleet = world.fleet()
    fleet["main"] = replace(fleet["main"], log=fleet["main"].log[:-1])

    assert CHAIN in _failed(audit(fleet, world.acknowledged))


def test_a_diverged_replica_is_found() -> None:
    """Equal position, another history."""
    world = World()
    fleet = world.fleet()
    other = [*world.log[:-1], world.log[-1]._replace(created_at=NOW_NS + 1)]
    fleet["replica_2"] = world.statement("Replica", other)

    checks = audit(fleet, world.acknowledged)

    assert set(_failed(checks)) == {POSITIONS, REPLICA_LOGS}
    assert all("replica_2" in fault for check in checks for fault in check.faults)


def test_a_record_missing_on_a_replica_is_found() -> None:
    """Even where the replica claims main's position and hash."""
    world = World()
    fleet = world.fleet()
    honest = fleet["replica_1"]
    fleet["replica_1"] = replace(honest, log=[r for r in honest.log if r.seq != 5])

    checks = audit(fleet, world.acknowledged)

    assert _failed(checks) == [REPLICA_LOGS]
    assert [c.faults for c in checks if c.faults] == [
        ["replica_1 differs in 1 records, the first is 5"]
    ]


def test_a_replica_that_is_behind_is_found() -> None:
    world = World()
    fleet = world.fleet()
    fleet["replica_1"] = world.statement("Replica", world.log[:-2])

    assert set(_failed(audit(fleet, world.acknowledged))) == {POSITIONS, REPLICA_LOGS}


def test_a_replica_with_other_balances_is_found() -> None:
    world = World()
    fleet = world.fleet()
    fleet["replica_2"] = replace(fleet["replica_2"], accounts={**world.accounts, ADA: 0})

    assert _failed(audit(fleet, world.acknowledged)) == [REPLICA_ACCOUNTS]


def test_money_moved_by_an_operation_nobody_recorded_must_balance_too() -> None:
    """Operations whose answer was lost are in the log, and are held to the same books."""
    world = World()
    world.operate("Transfer", {"target": BOB, "amount": 10}, {5: _player(BOB, 50)})
    world.acknowledged.pop()
    world.accounts[BOB] = 50

    assert set(world.audit()) == {MOVEMENTS, SUM}


@pytest.mark.parametrize("roles", [["Replica", "Replica"], ["Main", "Main"]], ids=["none", "two"])
def test_a_fleet_has_one_main(roles: list[str]) -> None:
    world = World()
    fleet = {f"canister_{n}": world.statement(role) for n, role in enumerate(roles)}

    with pytest.raises(AuditError, match="one canister must be main"):
        audit(fleet, world.acknowledged)


def test_a_row_of_another_version_stops_the_audit() -> None:
    """Better no verdict than one on bytes that were misread."""
    world = World()
    world.operate("RecordScore", {"score": 1}, {5: b"\x02\x12"})

    with pytest.raises(AuditError, match="version 2"):
        world.audit()


def test_a_row_that_ends_early_stops_the_audit() -> None:
    world = World()
    world.operate("RecordScore", {"score": 1}, {5: _player(BOB, 40)[:-40]})

    with pytest.raises(AuditError, match="ends early"):
        world.audit()
