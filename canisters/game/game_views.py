"""The game's views: what everybody reads, computed where the last write was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from game_derived import BoardEntry, GameDerived
from game_rows import PriceRow

from icfleet_canister import View
from icfleet_canister.application import Application

__all__ = ["LEADERBOARD", "MARKET", "GameView", "build_views", "derived_of"]

LEADERBOARD = "leaderboard"
MARKET = "market"


class GameView(NamedTuple):
    """The content of a view: its values, and the same as JSON for ``cached_query``."""

    blob: bytes
    board: Sequence[BoardEntry] = ()
    prices: Sequence[PriceRow] = ()


def derived_of(app: Application) -> GameDerived:
    """Return the game's derived values."""
    assert isinstance(app.derived, GameDerived), app.derived
    return app.derived


def build_views(app: Application) -> Sequence[View[GameView]]:
    """Return the game's views, none of them computed yet."""

    def compute_leaderboard() -> GameView:
        board = derived_of(app).board.entries
        lines = [
            {"rank": index + 1, "player": entry.player, "name": entry.name, "score": entry.score}
            for index, entry in enumerate(board)
        ]
        return GameView(_as_json({"entries": lines}), board=board)

    def compute_market() -> GameView:
        prices = sorted(derived_of(app).prices.values())
        lines = [
            {"symbol": row.symbol, "price": row.price, "updated_at": row.updated_at_ns}
            for row in prices
        ]
        return GameView(_as_json({"prices": lines}), prices=prices)

    return [
        View(LEADERBOARD, compute_leaderboard, tags=["scores"]),
        View(MARKET, compute_market, tags=["prices"], priority=1),
    ]


def _as_json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
