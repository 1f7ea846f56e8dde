"""Records of the game's own methods, as Kybra passes them: dicts, bytes and its ``Principal``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fleet_candid import position_record
from game_ledger import BoardEntry, Ledger
from game_operations import Operation, content_of, parse_operation
from game_rows import PlayerRow, PriceRow
from game_service import Game, PlayerOutcome
from game_views import LEADERBOARD, MARKET
from kybra import Principal

from icfleet_canister import PendingOperation

__all__ = [
    "accounts_record",
    "cached_view_opt",
    "leaderboard_record",
    "market_record",
    "pending_operation",
    "player_record",
]


def pending_operation(envelope: Mapping[str, Any]) -> PendingOperation[Operation]:
    """Read one of ``submit``'s operations."""
    operation = parse_operation(envelope["body"])
    return PendingOperation(
        operation_id=envelope["id"],
        subject=envelope["subject"].to_str(),
        created_at_ns=envelope["created_at"],
        body=operation,
        content=content_of(operation),
    )


def player_record(game: Game, outcome: PlayerOutcome) -> dict[str, Any]:
    """Return a ``PlayerReply``."""
    head = game.member.head
    found = None if outcome.player is None else _player(game.ledger, outcome.player)
    return {
        "as_of": position_record(head.epoch, head.seq),
        "player": {outcome.case: found},
    }


def leaderboard_record(game: Game, count: int) -> dict[str, Any]:
    """Return a ``LeaderboardReply``; ``computed_at`` is 0 while there is no leaderboard yet."""
    view, shown = game.view(LEADERBOARD)
    value = None if view is None else view.value
    entries: Sequence[BoardEntry] = () if value is None else value.content.board[:count]
    return {
        "as_of": position_record(shown.epoch, shown.seq),
        "computed_at": 0 if value is None else value.computed_at_ns,
        "entries": [
            {
                "rank": index + 1,
                "player": Principal.from_str(entry.player),
                "name": entry.name,
                "score": entry.score,
            }
            for index, entry in enumerate(entries)
        ],
    }


def market_record(game: Game) -> dict[str, Any]:
    """Return a ``MarketReply``, by symbol."""
    view, shown = game.view(MARKET)
    value = None if view is None else view.value
    prices: Sequence[PriceRow] = () if value is None else value.content.prices
    return {
        "as_of": position_record(shown.epoch, shown.seq),
        "prices": [
            {"symbol": row.symbol, "price": row.price, "updated_at": row.updated_at_ns}
            for row in prices
        ],
    }


def cached_view_opt(game: Game, name: str) -> dict[str, Any] | None:
    """Return an ``opt CachedView``."""
    view, shown = game.view(name)
    if view is None or view.value is None:
        return None
    return {
        "value": view.value.content.blob,
        "computed_at": view.value.computed_at_ns,
        "expires_at": view.value.expires_at_ns,
        "as_of": position_record(shown.epoch, shown.seq),
        "dirty": view.is_dirty,
    }


def accounts_record(game: Game, cursor: int) -> dict[str, Any]:
    """Return an ``AccountsReply``: one page."""
    head = game.member.head
    accounts, next_cursor = game.accounts(cursor)
    return {
        "as_of": position_record(head.epoch, head.seq),
        "next": next_cursor,
        "accounts": [{"owner": account.owner, "balance": account.balance} for account in accounts],
    }


def _player(ledger: Ledger, row: PlayerRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "balance": row.balance,
        "score": row.score,
        "deposits": [
            {
                "id": deposit.number,
                "amount": deposit.amount,
                "interest": deposit.interest,
                "due_at": deposit.due_ns,
            }
            for deposit in row.deposits
        ],
        "holdings": [
            {"symbol": _symbol(ledger, holding.price_slot), "quantity": holding.quantity}
            for holding in row.holdings
        ],
    }


def _symbol(ledger: Ledger, price_slot: int) -> str:
    row = ledger.row(price_slot)
    assert isinstance(row, PriceRow), row
    return row.symbol
