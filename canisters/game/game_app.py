"""The game as one canister of a fleet: all that is its own, named in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from game_derived import GameDerived
from game_journal import Journal, open_books
from game_operations import OPERATIONS
from game_rows import BOOK_SLOT, KINDS, BookRow, PlayerRow, player_key
from game_views import build_views, derived_of

from icfleet_canister.application import Application
from icfleet_canister.authority import ANY, FLEET_ROLES, OWN, SCOPE

__all__ = ["AUTHORITY", "CREATE_WEIGHT", "READS", "ROLES", "app"]

#: ``treasury`` brings money in and takes it out; ``oracle`` sets prices.
ROLES = ("treasury", "oracle")

#: A player is a row that stays for good, so making one costs more than using it.
CREATE_WEIGHT = 10

_PLAYERS: Mapping[str, str] = {"owner": OWN, "gateway": SCOPE}
_ALL: Mapping[str, str] = dict.fromkeys((*FLEET_ROLES, *ROLES), ANY)
_OWNERS: Mapping[str, str] = {"stranger": OWN, "owner": OWN, "gateway": SCOPE, "admin": ANY}

AUTHORITY: Mapping[str, Mapping[str, str]] = {
    "CreatePlayer": {"stranger": OWN, "owner": OWN, "gateway": SCOPE},
    "Credit": {"treasury": ANY},
    "Debit": {"treasury": ANY},
    "Transfer": _PLAYERS,
    "OpenDeposit": _PLAYERS,
    "CloseDeposit": _PLAYERS,
    "SetPrice": {"oracle": ANY},
    "Buy": _PLAYERS,
    "Sell": _PLAYERS,
    # A score that its own player could set would be worth nothing.
    "RecordScore": {"gateway": SCOPE},
}

READS: Mapping[str, Mapping[str, str]] = {
    "player": _OWNERS,
    "portfolio": _OWNERS,
    "history": _OWNERS,
    "leaderboard": _ALL,
    "market": _ALL,
    "accounts": {"treasury": ANY, "admin": ANY},
}


def created_by(row: PlayerRow) -> str:
    """Return who made a player."""
    return row.created_by


def figures(application: Application) -> Iterable[tuple[str, int]]:
    """Return the game's figures for ``status``, money in paise.

    ``accounts_total`` is the sum over all accounts and must equal ``credits - debits``; while
    ``rebuilding`` is 1 it covers only the rows that were looked at since the upgrade.
    """
    row = application.table.row(BOOK_SLOT)
    book = row if isinstance(row, BookRow) else BookRow(0, 0, 0, 0)
    return (
        ("accounts_total", derived_of(application).accounts_total),
        ("credits", book.credits),
        ("debits", book.debits),
        ("players", book.players),
        ("symbols", book.symbols),
    )


app = Application(
    operations=OPERATIONS,
    kinds=KINDS,
    authority=AUTHORITY,
    reads=READS,
    views=build_views,
    derived=GameDerived,
    roles=ROLES,
    weights={"CreatePlayer": CREATE_WEIGHT},
    owner_key=player_key(""),
    created_by=created_by,
    open=open_books,
    journal=Journal,
    figures=figures,
)
