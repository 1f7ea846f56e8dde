"""What the game's queries find, before it becomes Candid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from game_journal import KIND_NAMES
from game_rows import PlayerRow, PriceRow, SystemRow, player_key

from icfleet_canister import UnknownPositionError
from icfleet_canister.application import Application
from icfleet_canister.log_record import ChangeRecord

__all__ = [
    "ACCOUNTS_PAGE_SLOTS",
    "Account",
    "HistoryEntry",
    "PlayerOutcome",
    "PricedHolding",
    "accounts_page",
    "find_player",
    "history_of",
    "holdings_of",
]

#: Slots in one page of ``accounts``: 50 kB of reply.
ACCOUNTS_PAGE_SLOTS = 500


class PlayerOutcome(NamedTuple):
    """What a caller may see of a player."""

    case: Literal["Found", "NotFound", "Forbidden"]
    row: PlayerRow | None = None


class PricedHolding(NamedTuple):
    """Shares of a symbol, and what one of them costs now."""

    symbol: str
    quantity: int
    price: int

    @property
    def value(self) -> int:
        """What they would bring, if the market can pay it: more than a nat64 may hold."""
        return self.quantity * self.price


class HistoryEntry(NamedTuple):
    """One of the operations that changed a player last."""

    epoch: int
    seq: int
    kind: str
    operation_id: bytes | None
    """Only where the player is the subject; other subjects' ids are theirs."""
    created_at_ns: int
    balance: int
    """The player's, afterwards."""


class Account(NamedTuple):
    """An account's owner (``bank``, ``market`` or a principal) and its balance in paise."""

    owner: str
    balance: int


def find_player(app: Application, caller: str, method: str, principal: str) -> PlayerOutcome:
    """Return a player to whoever may see it by this method: its owner, gateways, admins."""
    if app.forbids(caller, method, principal) is not None:
        return PlayerOutcome("Forbidden")
    row = app.table.row_by_key(player_key(principal))
    return PlayerOutcome("Found", row) if isinstance(row, PlayerRow) else PlayerOutcome("NotFound")


def holdings_of(app: Application, player: PlayerRow) -> Sequence[PricedHolding]:
    """Return a player's shares at present prices."""
    holdings: list[PricedHolding] = []
    for holding in player.holdings:
        row = app.table.row(holding.price_slot)
        assert isinstance(row, PriceRow), row
        holdings.append(PricedHolding(row.symbol, holding.quantity, row.price))
    return holdings


def history_of(app: Application, player: PlayerRow) -> Sequence[HistoryEntry]:
    """Return a player's last operations, newest first, as far as the log still has them."""
    log = app.service.member.log
    slot = app.table.slot_of(player_key(player.owner))
    entries: list[HistoryEntry] = []
    for seq, kind in reversed(player.recent):
        try:
            record = log.record(seq)
        except UnknownPositionError:
            break
        balance = _balance_in(app, record, slot)
        epoch = log.epoch_at(seq)
        if balance is None or epoch is None:
            continue
        is_own = record.subject == player.owner
        operation_id = record.operation_id if is_own else None
        name = KIND_NAMES[kind]
        entries.append(HistoryEntry(epoch, seq, name, operation_id, record.created_at_ns, balance))
    return entries


def accounts_page(app: Application, cursor: int) -> tuple[Sequence[Account], int | None]:
    """Return the accounts of one page of slots, and the next cursor, ``None`` at the end."""
    stop = cursor + ACCOUNTS_PAGE_SLOTS
    accounts: list[Account] = []
    for _, row in app.table.rows(cursor, stop):
        if isinstance(row, PlayerRow):
            accounts.append(Account(row.owner, row.balance))
        elif isinstance(row, SystemRow):
            accounts.append(Account(row.name, row.balance))
    return accounts, stop if stop < app.table.end_slot else None


def _balance_in(app: Application, record: ChangeRecord, slot: int | None) -> int | None:
    """Return a player's balance as a record left it, or ``None`` if it has nothing of it."""
    for change in record.rows:
        if change.slot == slot and change.value is not None:
            row = app.table.kinds.decode(change.value)
            return row.balance if isinstance(row, PlayerRow) else None
    return None
