"""Rows of several kinds and versions."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import ByteReader, ByteWriter, ConfigurationError, EncodingError
from icfleet_canister.row_kinds import (
    KEY_SIZE_MAX,
    FleetRow,
    GrantRow,
    Row,
    RowKind,
    RowKinds,
    grant_key,
)


class House(NamedTuple):
    """A row that got its second field in version 2."""

    name: str
    rooms: int


def write_house(writer: ByteWriter, row: House) -> None:
    writer.text(row.name).number(row.rooms, 2)


def read_house(reader: ByteReader) -> House:
    return House(reader.text(), reader.number(2))


def read_old_house(reader: ByteReader) -> House:
    return House(reader.text(), 1)


def key_of_house(row: House) -> str:
    return "h:" + row.name


HOUSE = RowKind(16, House, write_house, {1: read_old_house, 2: read_house}, key=key_of_house)
KINDS = RowKinds([HOUSE])

numbers = st.integers(0, 2**64 - 1)
texts = st.text(max_size=20)
names = st.lists(texts, max_size=4).map(tuple)
rows: st.SearchStrategy[Row] = st.one_of(
    st.builds(House, texts, st.integers(0, 2**16 - 1)),
    st.builds(FleetRow, texts, numbers, st.lists(numbers, max_size=4).map(tuple)),
    st.builds(GrantRow, texts, names, names, st.booleans()),
)


@given(rows)
def test_a_row_survives_its_bytes(row: Row) -> None:
    """Whatever is stored is what is read."""
    decoded = KINDS.decode(KINDS.encode(row))

    assert decoded == row
    assert type(decoded) is type(row)


@given(st.binary(max_size=80))
def test_bad_bytes_raise_only_our_error(data: bytes) -> None:
    """Stable memory of another program is not read as rows by guess."""
    try:
        row = KINDS.decode(data)
    except EncodingError:
        return
    assert KINDS.decode(KINDS.encode(row)) == row


def test_an_older_version_is_read_and_the_newest_is_written() -> None:
    """An upgrade need not touch rows; whoever changes one brings it up to date."""
    old = ByteWriter().number(1, 1).number(16, 1).text("Elm").finish()

    row = KINDS.decode(old)

    assert row == House("Elm", 1)
    assert KINDS.encode(row) == bytes.fromhex("0210" + "0003456c6d" + "0001")


@pytest.mark.parametrize("data", ["0310", "0010", "0111", "0102", "", "01", "0210000141000100"])
def test_another_version_or_kind_or_a_byte_too_many_is_an_error(data: str) -> None:
    """Older code does not guess at newer rows."""
    with pytest.raises(EncodingError):
        KINDS.decode(bytes.fromhex(data))


def test_the_librarys_own_bytes_never_change() -> None:
    """Canisters hold rows in them; another layout needs another version."""
    fleet = FleetRow("m", 2, (7, 8))
    grant = GrantRow("h", ("r",), (), all_players=True)

    assert KINDS.encode(fleet).hex() == "010000016d" + f"{2:016x}" + "02" + f"{7:016x}{8:016x}"
    assert KINDS.encode(grant).hex() == "0101000168010001720001"
    assert KINDS.key_of(fleet) is None
    assert KINDS.key_of(grant) == grant_key("h") == "g:h"


def test_a_key_that_the_map_has_no_room_for_is_refused() -> None:
    """By its bytes; on chain the insertion would trap."""
    fitting = House("å" * (KEY_SIZE_MAX // 2 - 1), 1)

    assert KINDS.key_of(fitting) == "h:" + fitting.name
    with pytest.raises(EncodingError, match="key of 92 bytes"):
        KINDS.key_of(fitting._replace(name=fitting.name + "å"))


def test_a_row_of_no_kind_is_refused() -> None:
    """It could not be read back."""
    with pytest.raises(EncodingError, match="tuple is no kind of row"):
        KINDS.encode((1, 2))


@pytest.mark.parametrize(
    ("number", "versions"), [(256, [1]), (-1, [1]), (16, []), (16, [0]), (16, [256])]
)
def test_numbers_and_versions_are_a_byte_each(number: int, versions: list[int]) -> None:
    """Found at start, not when the first row is written."""
    readers = dict.fromkeys(versions, read_house)

    with pytest.raises(ConfigurationError):
        RowKind(number, House, write_house, readers)


def test_kinds_do_not_get_in_each_others_way() -> None:
    """Nor in the way of the library's, now and later."""
    other = RowKind(17, House, write_house, {1: read_house})
    low = RowKind(15, House, write_house, {1: read_house})

    assert [kind.number for kind in KINDS.all] == [0, 1, 16]
    for kinds in ([HOUSE, HOUSE], [HOUSE, other], [low]):
        with pytest.raises(ConfigurationError):
            RowKinds(kinds)


def test_a_writer_whose_reader_was_forgotten_writes_nothing() -> None:
    """Else the next message, and every replica, would meet a row that nobody can read."""

    class Note(NamedTuple):
        text: str
        stars: int

    def write(writer: ByteWriter, row: Note) -> None:
        writer.text(row.text).number(row.stars, 8)

    def forget(reader: ByteReader) -> Note:
        return Note(reader.text(), 0)

    def change(reader: ByteReader) -> Note:
        return Note(reader.text(), reader.number(8) + 1)

    for read in (forget, change):
        kinds = RowKinds([RowKind(16, Note, write, {1: read})])
        with pytest.raises(EncodingError):
            kinds.encode(Note("a", 7))
