"""The formats that the audit recomputes, written anew from their documentation.

Sources: ``canisters/icfleet_canister/log_record.py`` for records, digests and the chain hash,
``canisters/game/game_rows.py`` for rows, ``canisters/icfleet_canister/application.py`` for the
canonical bytes of operations, whose fields are in ``canisters/game/game_operations.py``. Nothing of
the toolkit is imported, so that a mistake there is not repeated.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = [
    "Acknowledged",
    "AuditError",
    "Ledger",
    "LogRecord",
    "Position",
    "Status",
    "chain",
    "chain_hashes",
    "epoch_after",
    "movement_of",
    "operation_digest",
    "outcome_of",
    "positions",
    "record_bytes",
]

# Kinds of rows that matter for money, by their second byte. Source: game_rows.py.
ROW_VERSION = 1
BOOK, SYSTEM, PLAYER, PRICE = 16, 17, 18, 19

# Kinds of results, by their first byte; then follow nothing, a code and a reason, an epoch.
APPLIED, REFUSED, PROMOTED = 0, 1, 2

# Tags of an operation's fields.
TEXT, NUMBER = b"\x01", b"\x02"


class AuditError(Exception):
    """The audit cannot be made: something did not answer, or not in the documented form."""


class Position(NamedTuple):
    """A place in the fleet's one order of writes."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}"


class Acknowledged(NamedTuple):
    """What a player sent, and what it was told had become of it."""

    operation_id: bytes
    subject: str
    created_at: int
    name: str
    fields: Mapping[str, Any]
    outcome: str
    """``Applied``, or the code of the rule that refused."""
    position: Position


class LogRecord(NamedTuple):
    """One record of a canister's log."""

    seq: int
    subject: str
    operation_id: bytes
    digest: bytes
    created_at: int
    result: bytes
    rows: Sequence[tuple[int, bytes | None]]


class Status(NamedTuple):
    """Where a canister says it stands."""

    role: str
    position: Position
    chain_hash: bytes


def _blob(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def record_bytes(record: LogRecord) -> bytes:
    """Encode a record as the chain hash takes it."""
    parts = [
        _u64(record.seq),
        _blob(record.subject.encode()),
        _blob(record.operation_id),
        _blob(record.digest),
        _u64(record.created_at),
        _blob(record.result),
        len(record.rows).to_bytes(2, "big"),
    ]
    for slot, value in record.rows:
        parts.append(_u64(slot) + (b"\x00" if value is None else b"\x01" + _blob(value)))
    return b"".join(parts)


def chain(previous: bytes, record: LogRecord) -> bytes:
    """Recompute one link of the chain."""
    return hashlib.sha256(previous + hashlib.sha256(record_bytes(record)).digest()).digest()


def chain_hashes(log: Sequence[LogRecord]) -> list[bytes]:
    """Recompute the chain: one hash before the first record and one after each."""
    hashes = [hashlib.sha256(b"icfleet-log").digest()]
    for record in log:
        hashes.append(chain(hashes[-1], record))
    return hashes


def epoch_after(epoch: int, record: LogRecord) -> int:
    """Say in which epoch a log is after a record: most leave it as it was."""
    is_promotion = record.result[:1] == bytes([PROMOTED])
    return int.from_bytes(record.result[1:], "big") if is_promotion else epoch


def positions(log: Sequence[LogRecord]) -> list[Position]:
    """Return each record's position."""
    found: list[Position] = []
    epoch = 0
    for record in log:
        epoch = epoch_after(epoch, record)
        found.append(Position(epoch, record.seq))
    return found


FIELDS = {
    "CreatePlayer": ("name",),
    "Credit": ("account", "amount"),
    "Debit": ("account", "amount"),
    "Transfer": ("target", "amount"),
    "OpenDeposit": ("amount", "term_s"),
    "CloseDeposit": ("deposit",),
    "SetPrice": ("symbol", "price"),
    "Buy": ("symbol", "quantity"),
    "Sell": ("symbol", "quantity"),
    "RecordScore": ("score",),
}


def operation_digest(sent: Acknowledged) -> bytes:
    """Recompute what the log holds about an operation's content."""
    content = _blob(sent.name.encode())
    for name in FIELDS[sent.name]:
        value = sent.fields[name]
        if isinstance(value, int):
            content += NUMBER + _u64(value)
        else:
            text = str(value).encode()
            content += TEXT + len(text).to_bytes(4, "big") + text
    return hashlib.sha256(_u64(sent.created_at) + content).digest()


class _Reader:
    """Reads the documented encoding of rows and results."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def number(self, size: int) -> int:
        return int.from_bytes(self._raw(size), "big")

    def text(self) -> str:
        return self._raw(self.number(2)).decode()

    def _raw(self, size: int) -> bytes:
        end = self._offset + size
        if end > len(self._data):
            reason = f"a value of the log ends early: {self._data.hex()}"
            raise AuditError(reason)
        self._offset, start = end, self._offset
        return self._data[start:end]


def outcome_of(result: bytes) -> str:
    """Read a record's result: ``Applied``, ``Promoted``, or the code of the refusal."""
    reader = _Reader(result)
    kind = reader.number(1)
    if kind == REFUSED:
        return reader.text()
    if kind not in {APPLIED, PROMOTED}:
        reason = f"a result of kind {kind}, which this audit does not know"
        raise AuditError(reason)
    return "Promoted" if kind == PROMOTED else "Applied"


@dataclass
class Ledger:
    """Balances as the log's rows give them, followed record by record."""

    balances: dict[str, int] = field(default_factory=dict[str, int])
    credits: int = 0
    debits: int = 0
    prices: dict[str, int] = field(default_factory=dict[str, int])

    def apply(self, record: LogRecord) -> dict[str, int]:
        """Take over a record's rows and return by how much each account changed.

        Money that entered the game counts as taken from ``""``, money that left as given to it, so
        that changes always add up to zero.
        """
        changes: Counter[str] = Counter()
        for _, value in record.rows:
            if value is not None:
                self._take_over(value, changes)
        return {account: change for account, change in changes.items() if change}

    def _take_over(self, value: bytes, changes: Counter[str]) -> None:
        reader = _Reader(value)
        version, kind = reader.number(1), reader.number(1)
        if version != ROW_VERSION:
            reason = f"a row of version {version}, and this audit knows only {ROW_VERSION}"
            raise AuditError(reason)
        if kind == BOOK:
            credited, debited = reader.number(8), reader.number(8)
            changes[""] -= (credited - self.credits) - (debited - self.debits)
            self.credits, self.debits = credited, debited
        elif kind in {SYSTEM, PLAYER}:
            account = reader.text()
            if kind == PLAYER:
                _name, _creator = reader.text(), reader.text()
            balance = reader.number(8)
            changes[account] += balance - self.balances.get(account, 0)
            self.balances[account] = balance
        elif kind == PRICE:
            symbol = reader.text()
            self.prices[symbol] = reader.number(8)


def movement_of(sent: Acknowledged, prices: Mapping[str, int]) -> Mapping[str, int] | None:
    """Say what an applied operation must have moved; ``None`` where the amount is not its own."""
    if sent.name == "CloseDeposit":
        return None
    body = sent.fields
    amount = body.get("amount", 0)
    cost = body.get("quantity", 0) * prices.get(body.get("symbol", ""), 0)
    moves = {
        "Credit": ("", body.get("account"), amount),
        "Debit": (body.get("account"), "", amount),
        "Transfer": (sent.subject, body.get("target"), amount),
        "OpenDeposit": (sent.subject, "bank", amount),
        "Buy": (sent.subject, "market", cost),
        "Sell": ("market", sent.subject, cost),
    }
    if sent.name not in moves:
        return {}
    source, target, moved = moves[sent.name]
    return {str(source): -moved, str(target): moved}
