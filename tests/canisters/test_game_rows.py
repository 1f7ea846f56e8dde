"""The game's rows in stable memory."""

import pytest
from game_rows import (
    BOOK_SLOT,
    ROW_SIZE_MAX,
    BookRow,
    Deposit,
    FleetRow,
    GrantRow,
    Holding,
    PlayerRow,
    PriceRow,
    Row,
    SystemRow,
    decode_row,
    encode_row,
    index_key,
)
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import EncodingError

numbers = st.integers(0, 2**64 - 1)
texts = st.text(max_size=20)
names = st.lists(texts, max_size=4).map(tuple)
rows: st.SearchStrategy[Row] = st.one_of(
    st.builds(BookRow, *[numbers] * 7),
    st.builds(SystemRow, texts, numbers),
    st.builds(FleetRow, texts),
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
    ),
    st.builds(PriceRow, texts, numbers, numbers),
    st.builds(GrantRow, texts, names, names, st.booleans()),
)


@given(rows)
def test_a_row_survives_its_bytes(row: Row) -> None:
    """Whatever is stored is what is read."""
    decoded = decode_row(encode_row(row))

    assert decoded == row
    assert type(decoded) is type(row)


@given(st.binary(max_size=80))
def test_bad_bytes_raise_only_our_error(data: bytes) -> None:
    """Stable memory of another program is not read as rows by guess."""
    try:
        row = decode_row(data)
    except EncodingError:
        return
    assert decode_row(encode_row(row)) == row


GOLDEN = [
    pytest.param(
        BookRow(1, 2, 3, 4, 5, 6, 7),
        "0100" + "".join(f"{value:016x}" for value in range(1, 8)),
        id="book",
    ),
    pytest.param(SystemRow("bank", 5), "0101000462616e6b0000000000000005", id="system"),
    pytest.param(FleetRow("m"), "010200016d", id="fleet"),
    pytest.param(
        PlayerRow("o", "n", "c", 1, 2, 3, 4, (Deposit(5, 6, 7, 8),), (Holding(9, 10),)),
        "010300016f00016e000163"
        + "".join(f"{value:016x}" for value in (1, 2, 3, 4))
        + "01"
        + "".join(f"{value:016x}" for value in (5, 6, 7, 8))
        + "01"
        + "".join(f"{value:016x}" for value in (9, 10)),
        id="player",
    ),
    pytest.param(PriceRow("S", 1, 2), "0104000153" + f"{1:016x}{2:016x}", id="price"),
    pytest.param(GrantRow("h", ("r",), (), all_players=True), "0105000168010001720001", id="grant"),
]


@pytest.mark.parametrize(("row", "expected"), GOLDEN)
def test_the_bytes_of_version_1_never_change(row: Row, expected: str) -> None:
    """Canisters hold rows in them; another layout needs another version."""
    assert encode_row(row).hex() == expected


@pytest.mark.parametrize("data", [b"\x02\x00", b"\x01\x09", b"", b"\x01\x02\x00\x01mx"])
def test_another_version_or_kind_is_an_error(data: bytes) -> None:
    """Older code does not guess at newer rows, nor overlook bytes left over."""
    with pytest.raises(EncodingError):
        decode_row(data)


def test_the_largest_player_has_room() -> None:
    """All deposits, all holdings, and a name of four-byte characters."""
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
    )

    assert len(encode_row(row)) <= ROW_SIZE_MAX


def test_only_rows_of_fixed_slots_have_no_key() -> None:
    """All others are found by what names them."""
    assert index_key(PlayerRow("ada", "Ada", "ada", 0, 0, 0, 1, (), ())) == "p:ada"
    assert index_key(PriceRow("GOLD", 1, 1)) == "s:GOLD"
    assert index_key(GrantRow("ada", (), (), all_players=False)) == "g:ada"
    assert index_key(BookRow(0, 0, 0, 0, 0, 0, 0)) is None
    assert BOOK_SLOT == 0
