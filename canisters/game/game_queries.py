"""The game's own query methods: who may, what there is, and the Candid records of it."""

from collections.abc import Sequence
from typing import Any

from fleet_types import Position
from game_app import app
from game_derived import BoardEntry
from game_reads import accounts_page, find_player, history_of, holdings_of
from game_rows import PlayerRow, PriceRow
from game_types import (
    AccountsReply,
    HistoryReply,
    LeaderboardReply,
    MarketReply,
    PlayerReply,
    PortfolioReply,
)
from game_views import LEADERBOARD, MARKET
from kybra import GuardResult, Principal, ic, nat32, nat64, query

from icfleet_canister import LogHead


def rows_are_whole() -> GuardResult:
    """Let nobody read rows while those of another canister are being taken over."""
    return app.rows_readable()


def views_are_whole() -> GuardResult:
    """Let nobody read views before the heap is whole."""
    return app.readable()


def auditors_only() -> GuardResult:
    """Let only those read all accounts whom the authority table names."""
    reason = app.forbids(ic.caller().to_str(), "accounts")
    return app.rows_readable() if reason is None else {"Err": reason}


@query(guard=rows_are_whole)
def player(principal: Principal) -> PlayerReply:
    """Return a player, to those who may see it."""
    case, row = find_player(app, ic.caller().to_str(), "player", principal.to_str())
    found = None if row is None else _player(row)
    return {"as_of": _position(app.as_of()), "player": {case: found}}


@query(guard=rows_are_whole)
def portfolio(principal: Principal) -> PortfolioReply:
    """Return what a player owns, at present prices, to those who may see the player."""
    case, row = find_player(app, ic.caller().to_str(), "portfolio", principal.to_str())
    found = None if row is None else _portfolio(row)
    return {"as_of": _position(app.as_of()), "portfolio": {case: found}}


@query(guard=rows_are_whole)
def history(principal: Principal) -> HistoryReply:
    """Return a player's last operations, newest first, to those who may see the player."""
    case, row = find_player(app, ic.caller().to_str(), "history", principal.to_str())
    found = None if row is None else _history(row)
    return {"as_of": _position(app.as_of()), "history": {case: found}}


@query(guard=views_are_whole)
def leaderboard(count: nat32) -> LeaderboardReply:
    """Return the best players, at most ``count`` and at most 100."""
    view, shown = app.service.view(LEADERBOARD)
    value = None if view is None else view.value
    entries: Sequence[BoardEntry] = () if value is None else value.content.board[:count]
    return {
        "as_of": _position(shown),
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


@query(guard=views_are_whole)
def market() -> MarketReply:
    """Return all prices, by symbol."""
    view, shown = app.service.view(MARKET)
    value = None if view is None else view.value
    prices: Sequence[PriceRow] = () if value is None else value.content.prices
    return {
        "as_of": _position(shown),
        "prices": [
            {"symbol": row.symbol, "price": row.price, "updated_at": row.updated_at_ns}
            for row in prices
        ],
    }


@query(guard=auditors_only)
def accounts(cursor: nat64) -> AccountsReply:
    """Return one page of all accounts; begin at 0, go on at ``next``."""
    found, next_cursor = accounts_page(app, cursor)
    return {
        "as_of": _position(app.as_of()),
        "next": next_cursor,
        "accounts": [{"owner": one.owner, "balance": one.balance} for one in found],
    }


def _position(head: LogHead) -> Position:
    return {"epoch": head.epoch, "seq": head.seq}


def _player(row: PlayerRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "balance": row.balance,
        "score": row.score,
        "deposits": _deposits(row),
        "holdings": [
            {"symbol": holding.symbol, "quantity": holding.quantity}
            for holding in holdings_of(app, row)
        ],
    }


def _portfolio(row: PlayerRow) -> dict[str, Any]:
    holdings = holdings_of(app, row)
    lent = sum(deposit.amount for deposit in row.deposits)
    return {
        "balance": row.balance,
        "deposits": _deposits(row),
        "holdings": [
            {
                "symbol": holding.symbol,
                "quantity": holding.quantity,
                "price": holding.price,
                "value": holding.value,
            }
            for holding in holdings
        ],
        "total": row.balance + lent + sum(holding.value for holding in holdings),
    }


def _history(row: PlayerRow) -> list[dict[str, Any]]:
    return [
        {
            "position": {"epoch": entry.epoch, "seq": entry.seq},
            "kind": entry.kind,
            "id": entry.operation_id,
            "created_at": entry.created_at_ns,
            "balance": entry.balance,
        }
        for entry in history_of(app, row)
    ]


def _deposits(row: PlayerRow) -> list[dict[str, Any]]:
    return [
        {
            "id": deposit.number,
            "amount": deposit.amount,
            "interest": deposit.interest,
            "due_at": deposit.due_ns,
        }
        for deposit in row.deposits
    ]
