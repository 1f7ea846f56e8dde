"""A bank as small as can be: what a simulated fleet keeps, with money that must add up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from icfleet_canister import (
    ANY,
    OWN,
    SCOPE,
    Application,
    ByteReader,
    ByteWriter,
    RowJournal,
    RowKind,
    View,
    refuse,
)

__all__ = ["OPERATIONS", "Credit", "Debit", "Open", "Pay", "bank_application"]


class BookRow(NamedTuple):
    """All that came in, and all that went out."""

    credits: int
    debits: int


class AccountRow(NamedTuple):
    """Whose account, and what is in it."""

    owner: str
    balance: int


def _write_book(writer: ByteWriter, row: Any) -> None:
    writer.numbers(row)


def _read_book(reader: ByteReader) -> BookRow:
    return BookRow(*reader.numbers(2))


def _write_account(writer: ByteWriter, row: Any) -> None:
    writer.text(row.owner).number(row.balance, 8)


def _read_account(reader: ByteReader) -> AccountRow:
    return AccountRow(reader.text(), reader.number(8))


def _account_key(row: Any) -> str:
    return f"a:{row.owner}"


def _account(journal: RowJournal, owner: str) -> tuple[int, AccountRow]:
    slot = journal.slot_of(f"a:{owner}")
    if slot is None:
        refuse("Unknown", "no such account")
    row = journal.row(slot)
    assert isinstance(row, AccountRow)
    return slot, row


def _book(journal: RowJournal, credit: int, debit: int) -> None:
    slot = journal.slot_of("book")
    assert slot is not None
    row = journal.row(slot)
    assert isinstance(row, BookRow)
    journal.put(slot, BookRow(row.credits + credit, row.debits + debit))


def _add(journal: RowJournal, owner: str, amount: int) -> None:
    slot, row = _account(journal, owner)
    if row.balance + amount < 0:
        refuse("TooLittle", f"balance is {row.balance}")
    journal.put(slot, row._replace(balance=row.balance + amount))


class Open(NamedTuple):
    """The subject gets an account."""

    def evaluate(self, journal: RowJournal) -> None:
        """Refuse a second one."""
        if journal.slot_of(f"a:{journal.subject}") is not None:
            refuse("Exists", "there is an account")
        journal.add(AccountRow(journal.subject, 0))


class Credit(NamedTuple):
    """Money comes in."""

    amount: int

    def evaluate(self, journal: RowJournal) -> None:
        """Book it."""
        _add(journal, journal.subject, self.amount)
        _book(journal, self.amount, 0)


class Debit(NamedTuple):
    """Money goes out."""

    amount: int

    def evaluate(self, journal: RowJournal) -> None:
        """Book it, if it is there."""
        _add(journal, journal.subject, -self.amount)
        _book(journal, 0, self.amount)


class Pay(NamedTuple):
    """The subject pays another account."""

    target: str
    amount: int

    def evaluate(self, journal: RowJournal) -> None:
        """Move it, if it is there."""
        if self.target == journal.subject:
            refuse("Self", "source and target are one")
        _account(journal, self.target)
        _add(journal, journal.subject, -self.amount)
        _add(journal, self.target, self.amount)


OPERATIONS = (Open, Credit, Debit, Pay)


class Total:
    """The sum of all accounts, folded in the heap."""

    def __init__(self) -> None:
        self.total = 0

    def reset(self) -> None:
        """Begin at nothing."""
        self.total = 0

    def fold(self, slot: int, before: Any, after: Any) -> Iterable[str]:
        """Take one row's change in."""
        del slot
        change = _balance(after) - _balance(before)
        self.total += change
        return ("total",) if change else ()

    def dump(self) -> bytes:
        """For the upgrade."""
        return self.total.to_bytes(16, "big")

    def load(self, data: bytes, table: Any) -> None:
        """After the upgrade."""
        del table
        self.total = int.from_bytes(data, "big")


def _balance(row: Any) -> int:
    return row.balance if isinstance(row, AccountRow) else 0


def _views(app: Application) -> list[View[Any]]:
    return [View("total", lambda: str(getattr(app.derived, "total", 0)).encode(), tags=["total"])]


def _figures(app: Application) -> Iterable[tuple[str, int]]:
    book = app.table.row_by_key("book")
    credited, debited = (book.credits, book.debits) if isinstance(book, BookRow) else (0, 0)
    yield "total", getattr(app.derived, "total", 0)
    yield "credits", credited
    yield "debits", debited


def _open(journal: RowJournal, canister: str) -> None:
    del canister
    journal.add(BookRow(0, 0))


def bank_application() -> Application:
    """Return the bank, for one canister."""
    for_all = {"stranger": OWN, "owner": OWN, "gateway": SCOPE, "admin": ANY}
    return Application(
        operations=OPERATIONS,
        kinds=[
            RowKind(16, BookRow, _write_book, {1: _read_book}, key=lambda _: "book"),
            RowKind(17, AccountRow, _write_account, {1: _read_account}, key=_account_key),
        ],
        authority={kind.__name__: for_all for kind in OPERATIONS},
        views=_views,
        derived=Total,
        owner_key="a:",
        open=_open,
        figures=_figures,
    )
