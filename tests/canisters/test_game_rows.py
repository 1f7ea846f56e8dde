"""The game's rows in stable memory."""

import json
from pathlib import Path
from typing import Any

import pytest
from game_app import app
from game_journal import KIND_NAMES
from game_operations import OPERATIONS
from game_rows import (
    BANK_SLOT,
    BOOK_SLOT,
    KINDS,
    MARKET_SLOT,
    RECENT_MAX,
    ROW_SIZE_MAX,
    BookRow,
    Deposit,
    Holding,
    PlayerRow,
    PriceRow,
    Recent,
    SystemRow,
)
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import EncodingError
from icfleet_canister.row_kinds import Row

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "game_rows.json").read_text(encoding="utf-8")
)

numbers = st.integers(0, 2**64 - 1)
bytes_ = st.integers(0, 255)
texts = st.text(max_size=20)
rows: st.SearchStrategy[Row] = st.one_of(
    st.builds(BookRow, *[numbers] * 4),
    st.builds(SystemRow, texts, numbers),
    st.builds(
        PlayerRow,
        owner=texts,
        name=texts,
        created_by=texts,
        balance=numbers,
        score=numbers,
        scored_at_ns=numbers,
        next_deposit=numbers,
        deposits=st.lists(st.builds(Deposit, *[numbers] * 4), max_size=3).map(tuple),
        holdings=st.lists(st.builds(Holding, *[numbers] * 2), max_size=3).map(tuple),
        recent=st.lists(st.builds(Recent, numbers, bytes_), max_size=3).map(tuple),
    ),
    st.builds(PriceRow, texts, numbers, numbers),
)


@given(rows)
def test_a_row_survives_its_bytes(row: Row) -> None:
    """Whatever is stored is what is read."""
    decoded = app.kinds.decode(app.kinds.encode(row))

    assert decoded == row
    assert type(decoded) is type(row)


@given(st.binary(max_size=80))
def test_bad_bytes_raise_only_our_error(data: bytes) -> None:
    """Stable memory of another program is not read as rows by guess."""
    try:
        row = app.kinds.decode(data)
    except EncodingError:
        return
    assert app.kinds.decode(app.kinds.encode(row)) == row


def as_json(row: Row) -> Any:
    return json.loads(json.dumps(row))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["hex"][:30])
def test_rows_that_canisters_hold_are_read_for_ever(vector: dict[str, Any]) -> None:
    """Vectors are added, never changed: each is of a version that some canister may have."""
    row = app.kinds.decode(bytes.fromhex(vector["hex"]))

    assert type(row).__name__ == vector["row"]
    assert as_json(row) == vector["fields"]
    newest = {kind.number: kind.version for kind in app.kinds.all}
    if vector["version"] == newest[vector["kind"]]:
        assert app.kinds.encode(row).hex() == vector["hex"]


def test_every_version_of_every_kind_has_a_vector() -> None:
    """So that no version is forgotten when the next one comes."""
    readable = {(kind.number, version) for kind in app.kinds.all for version in kind.readers}

    assert {(vector["kind"], vector["version"]) for vector in VECTORS} == readable


def test_the_largest_player_has_room() -> None:
    """All deposits, holdings and operations, and a name of four-byte characters."""
    text = "x" * 63
    number = 2**64 - 1
    row = PlayerRow(
        text,
        "𝄞" * 32,
        text,
        number,
        number,
        number,
        number,
        (Deposit(number, number, number, number),) * 8,
        (Holding(number, number),) * 32,
        (Recent(number, 255),) * RECENT_MAX,
    )

    assert ROW_SIZE_MAX - 50 < len(app.kinds.encode(row)) <= ROW_SIZE_MAX


def test_only_rows_of_fixed_slots_have_no_key() -> None:
    """All others are found by what names them."""
    key_of = app.kinds.key_of

    assert key_of(PlayerRow("ada", "Ada", "ada", 0, 0, 0, 1, (), ())) == "p:ada"
    assert key_of(PriceRow("GOLD", 1, 1)) == "s:GOLD"
    assert key_of(BookRow(0, 0, 0, 0)) is None
    assert key_of(SystemRow("bank", 0)) is None
    assert (BOOK_SLOT, BANK_SLOT, MARKET_SLOT) == (1, 2, 3)


def test_numbers_in_rows_mean_the_same_for_ever() -> None:
    """Kinds of rows, and operations in a player's history: the audit and old rows rely on them."""
    assert [(kind.number, kind.row_type) for kind in KINDS] == [
        (16, BookRow),
        (17, SystemRow),
        (18, PlayerRow),
        (19, PriceRow),
    ]
    assert tuple(operation.__name__ for operation in OPERATIONS) == KIND_NAMES
    assert KIND_NAMES[:10] == (
        "CreatePlayer",
        "Credit",
        "Debit",
        "Transfer",
        "OpenDeposit",
        "CloseDeposit",
        "SetPrice",
        "Buy",
        "Sell",
        "RecordScore",
    )
