"""The game's views: what everybody reads, computed where the last write was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from game_ledger import BoardEntry, Ledger
from game_rows import PriceRow

from icfleet_canister import View, ViewCache

__all__ = ["LEADERBOARD", "MARKET", "GameView", "build_views"]

LEADERBOARD = "leaderboard"
MARKET = "market"


class GameView(NamedTuple):
    """The content of a view: its values, and the same as JSON for ``cached_query``."""

    blob: bytes
    board: Sequence[BoardEntry] = ()
    prices: Sequence[PriceRow] = ()


def build_views(ledger: Ledger) -> ViewCache[GameView]:
    """Return the game's views over a ledger, none of them computed yet."""
    views: ViewCache[GameView] = ViewCache()

    def compute_leaderboard() -> GameView:
        board = ledger.board.entries
        lines = [
            {"rank": index + 1, "player": entry.player, "name": entry.name, "score": entry.score}
            for index, entry in enumerate(board)
        ]
        return GameView(_as_json({"entries": lines}), board=board)

    def compute_market() -> GameView:
        prices = sorted(ledger.prices.values())
        lines = [
            {"symbol": row.symbol, "price": row.price, "updated_at": row.updated_at_ns}
            for row in prices
        ]
        return GameView(_as_json({"prices": lines}), prices=prices)

    views.register(View(LEADERBOARD, compute_leaderboard, tags=["scores"]))
    views.register(View(MARKET, compute_market, tags=["prices"], priority=1))
    return views


def _as_json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
