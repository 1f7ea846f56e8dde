"""What a studio names, and what the library makes of it."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kybra import Principal

from icfleet_canister import (
    ByteReader,
    ByteWriter,
    ConfigurationError,
    EncodingError,
    LogHead,
    MemoryMap,
    PendingOperation,
    View,
)
from icfleet_canister.application import Application, content_of
from icfleet_canister.batch_applier import Effects
from icfleet_canister.row_journal import RowJournal, refuse
from icfleet_canister.row_kinds import RowKind

ADA = "2chl6-4hpzw-vqaaa-aaaaa-c"


class Tally(NamedTuple):
    """The only kind of row."""

    owner: str
    creator: str
    number: int


def write_tally(writer: ByteWriter, row: Tally) -> None:
    writer.text(row.owner).text(row.creator).number(row.number, 1)


def read_tally(reader: ByteReader) -> Tally:
    return Tally(reader.text(), reader.text(), reader.number(1))


def key_of_tally(row: Tally) -> str:
    return "t:" + row.owner


class Add(NamedTuple):
    """Add to one's tally, which is made by the first."""

    number: int

    def evaluate(self, journal: RowJournal) -> None:
        if self.number == 0:
            refuse("Nothing", "there is nothing to add")
        slot = journal.slot_of("t:" + journal.subject)
        if slot is None:
            slot = journal.add(Tally(journal.subject, journal.caller, 0))
        row = journal.row(slot)
        assert isinstance(row, Tally)
        journal.put(slot, row._replace(number=row.number + self.number))


class Give(NamedTuple):
    """An operation with a principal and a list."""

    target: str
    gifts: tuple[str, ...]

    def evaluate(self, journal: RowJournal) -> None:
        assert journal.operation == "Give"


class Ping(NamedTuple):
    """An operation without fields."""

    def evaluate(self, journal: RowJournal) -> None:
        """Nothing to do."""


def open_first(journal: RowJournal, canister: str) -> None:
    journal.add(Tally(canister, canister, 0))


def creator_of(row: Tally) -> str:
    return row.creator


def make(**changes: Any) -> Application:
    arguments: dict[str, Any] = {
        "operations": [Add, Give, Ping],
        "kinds": [RowKind(16, Tally, write_tally, {1: read_tally}, key=key_of_tally)],
        "authority": {"Add": {"stranger": "own"}, "Give": {}, "Ping": {}},
        "weights": {"Add": 3},
        "owner_key": "t:",
        "created_by": creator_of,
        "open": open_first,
    }
    return Application(**(arguments | changes))


def bound(app: Application, **service: Any) -> Application:
    rows: MemoryMap[int, bytes] = MemoryMap()
    slots: MemoryMap[str, int] = MemoryMap()
    app.bind(cast("Any", SimpleNamespace(**service)), rows, slots)
    return app


def evaluate(app: Application, body: Any) -> Effects:
    operation = PendingOperation(b"", ADA, 0, body, content_of(body))
    return app.evaluate("gateway", operation, now_ns=5, seq=9)


def test_an_operation_becomes_rows_or_a_refusal() -> None:
    """By its own rule; nothing is written before the library says so."""
    app = bound(make())

    effects = evaluate(app, Add(2))

    assert effects.refusal is None
    assert app.owned_row(ADA) is None
    app.table.apply(effects.rows)
    assert app.owned_row(ADA) == Tally(ADA, "gateway", 2)
    assert app.creator_in(app.owned_row(ADA)) == "gateway"
    assert evaluate(app, Add(0)) == Effects(refusal=("Nothing", "there is nothing to add"))
    assert evaluate(app, Give(ADA, ())) == evaluate(app, Ping()) == Effects(rows=[])


def test_a_row_without_room_is_an_encoding_error() -> None:
    """The batch makes that operation alone invalid."""
    with pytest.raises(EncodingError):
        evaluate(bound(make()), Add(256))


def test_the_first_rows_are_the_applications_own() -> None:
    """Made when the first epoch is opened."""
    app = bound(make())
    journal = app.journal("admin", "admin", 5, 1)

    app.begin(journal, "canister")

    assert journal.row(1) == Tally("canister", "canister", 0)
    silent = bound(make(open=None))
    journal = silent.journal("admin", "admin", 5, 1)
    silent.begin(journal, "canister")
    assert journal.changes() == []


@pytest.mark.parametrize(
    ("body", "operation"),
    [
        ({"Add": {"number": 3}}, Add(3)),
        ({"Ping": None}, Ping()),
        (
            {"Give": {"gifts": ["a", "b"], "target": Principal.from_str(ADA)}},
            Give(ADA, ("a", "b")),
        ),
    ],
)
def test_a_candid_variant_becomes_an_operation(body: Mapping[str, Any], operation: Any) -> None:
    """By its case; principals become text, lists what nobody can change."""
    parsed = make().parse_operation(body)

    assert parsed == operation
    assert type(parsed) is type(operation)


@pytest.mark.parametrize("body", [{}, {"Fly": None}, {"Add": {"number": 1}, "Ping": None}])
def test_an_unknown_operation_is_an_encoding_error(body: Mapping[str, Any]) -> None:
    """As is one that is two."""
    with pytest.raises(EncodingError):
        make().parse_operation(body)


class Any1(NamedTuple):
    """An operation with a field of whatever type."""

    field: Any


plain = st.recursive(
    st.none() | st.text(max_size=5) | st.integers() | st.binary(max_size=5),
    lambda inner: st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(plain, plain)
def test_different_contents_have_different_bytes(one: Any, other: Any) -> None:
    """Else another operation under a used id would pass for a repetition."""
    assert (content_of(Any1(one)) == content_of(Any1(other))) == (one == other)


def test_contents_are_written_as_documented() -> None:
    """Auditors recompute digests over them."""
    assert content_of(Ping()).hex() == "000450696e67"
    assert content_of(Add(2)).hex() == "0003416464" + "02" + f"{2:016x}"
    fields = {"b": -1, "a": 1.5}
    assert content_of(Any1((None, b"\xff", True, fields))).hex() == (
        "0004416e7931" + "0600000004" + "00" + "0400000001ff" + f"02{1:016x}"
        "0700000002" + "010000000161" + "053ff8000000000000" + "010000000162" + "03000000022d31"
    )


def test_a_text_of_a_million_characters_has_a_content() -> None:
    """The rules refuse it; the batch must get that far."""
    assert len(content_of(Any1("å" * 1_000_000))) > 2_000_000


@pytest.mark.parametrize("field", [object(), {1, 2}, "a\ud800"])
def test_a_field_without_bytes_is_an_encoding_error(field: Any) -> None:
    """Not an accident of Python's ``repr``."""
    with pytest.raises(EncodingError, match=r"field of type|not a text"):
        content_of(Any1(field))


def test_a_field_nested_without_end_is_an_encoding_error() -> None:
    """Candid can send a thousand levels in a few bytes."""
    nested: tuple[Any, ...] = ()
    for _ in range(1_000):
        nested = (nested,)

    with pytest.raises(EncodingError, match="nested deeper"):
        content_of(Any1(nested))
    with pytest.raises(EncodingError, match="nested deeper"):
        make().parse_operation({"Give": {"gifts": nested, "target": ADA}})


@pytest.mark.parametrize(
    "changes",
    [
        {"operations": [Add, Add, Give, Ping]},
        {"authority": {"Add": {}, "Give": {}}},
        {"authority": {"Add": {}, "Give": {}, "Ping": {}, "Fly": {}}},
        {"weights": {"Fly": 1}},
    ],
)
def test_names_that_do_not_fit_are_found_at_the_start(changes: dict[str, Any]) -> None:
    """An operation that nobody may send is said to be so."""
    with pytest.raises(ConfigurationError):
        make(**changes)


def test_what_is_left_out_is_not_there() -> None:
    """No owner, no views, no figures; every weight is 1."""
    app = bound(make(weights=None, owner_key="", created_by=None))

    assert (app.owned_row(ADA), app.creator_in(app.owned_row(ADA)), app.weight("Add")) == (
        None,
        None,
        1,
    )
    assert (app.views(), app.figures(), app.derived, app.reads) == ((), (), None, {})
    assert make().weight("Add") == 3


def test_views_and_figures_are_made_for_one_canister() -> None:
    """Each of two has its own rows and its own views."""

    def build(app: Application) -> list[View[int]]:
        return [View("count", lambda: app.table.end_slot, tags=[])]

    def figures(app: Application) -> list[tuple[str, int]]:
        return [("rows", app.table.end_slot)]

    first = bound(make(views=build, figures=figures))
    second = bound(first.fresh())
    first.table.apply(evaluate(first, Add(1)).rows)

    assert [app.views()[0].compute() for app in (first, second)] == [2, 0]
    assert (first.figures(), second.figures()) == ([("rows", 2)], [("rows", 0)])
    assert first.views()[0] is not first.views()[0]


def test_a_fresh_application_is_not_bound() -> None:
    """It has no rows until a service takes it."""
    app = bound(make())

    assert not hasattr(app.fresh(), "table")
    assert app.fresh().kinds is app.kinds


def test_queries_ask_the_service() -> None:
    """Whether they may answer, for whom, and what position that shows."""
    asked: list[tuple[Any, ...]] = []

    def forbids(caller: str, method: str, *, subject: str | None) -> str | None:
        asked.append((caller, method, subject))
        return "no"

    head = LogHead(1, 2, b"")
    app = bound(
        make(),
        forbids=forbids,
        member=SimpleNamespace(head=head),
        readable_problem=lambda: "Rebuilding: ...",
        phase="Rebuilding",
    )

    assert app.as_of() == head
    assert app.forbids("me", "tally", ADA) == "no"
    assert asked == [("me", "tally", ADA)]
    assert app.readable() == {"Err": "Rebuilding: ..."}
    assert app.rows_readable() == {"Ok": None}


def test_rows_cannot_be_read_while_they_are_of_two_canisters() -> None:
    """Though an upgrade leaves them whole."""
    app = bound(make(), readable_problem=lambda: "Seeding: ...", phase="Seeding")
    whole = bound(make(), readable_problem=lambda: None, phase="Serving")

    assert app.rows_readable() == app.readable() == {"Err": "Seeding: ..."}
    assert whole.rows_readable() == whole.readable() == {"Ok": None}
