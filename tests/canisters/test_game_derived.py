"""What the heap derives from the game's rows."""

from collections.abc import Sequence
from random import Random

import pytest
from counting_map import CountingMap, LazyRows
from game_app import app
from game_derived import BOARD_SIZE, Board, GameDerived
from game_operations import CreatePlayer, Credit, RecordScore, SetPrice
from game_rows import ROW_SIZE_MAX, BookRow, PlayerRow, PriceRow
from game_world import ADMIN, MAIN, NOW_NS, Node, memory_stores, principal, submitted
from hypothesis import example, given
from hypothesis import strategies as st

from icfleet_canister import EncodingError, MemoryMap, RowChange
from icfleet_canister.fleet_service import FleetService
from icfleet_canister.row_table import DERIVED_SIZE_MAX, REBUILD_ROWS_MAX, RowTable


def player(slot: int, score: int, scored_at_ns: int) -> PlayerRow:
    return PlayerRow(f"p{slot}", f"name {slot}", "", 0, score, scored_at_ns, 1, (), ())


def ranked(rows: Sequence[PlayerRow]) -> list[str]:
    scored = [row for row in rows if row.score]
    return [row.owner for row in sorted(scored, key=lambda row: (-row.score, row.scored_at_ns))]


def shown(board: Board) -> list[str]:
    return [entry.player for entry in board.entries]


scores = st.lists(st.tuples(st.integers(4, 12), st.integers(0, 20)), max_size=60)


@given(scores, st.randoms(use_true_random=False))
def test_the_board_is_the_best_of_all_scores(
    updates: list[tuple[int, int]], random: Random
) -> None:
    """Whether it saw them rise or is made anew from the last ones, in whatever order."""
    board = Board(size=3)
    best: dict[int, PlayerRow] = {}
    for now_ns, (slot, score) in enumerate(updates):
        if slot not in best or score > best[slot].score:
            best[slot] = player(slot, score, now_ns)
            before = shown(board)
            changed = board.put(slot, best[slot])
            assert changed or shown(board) == before
            assert not board.put(slot, best[slot])

    rebuilt = Board(size=3)
    slots = list(best)
    random.shuffle(slots)
    for slot in (*slots, *slots):
        rebuilt.put(slot, best[slot])

    assert shown(board) == shown(rebuilt) == ranked(list(best.values()))[:3]


falls = st.lists(st.tuples(st.integers(4, 9), st.none() | st.integers(0, 9)), max_size=40)


@given(falls)
@example([(4, 9), (5, 8), (6, 7), (7, 6), (4, None), (8, 5)])
def test_a_board_that_somebody_leaves_is_short_and_never_wrong(
    updates: list[tuple[int, int | None]],
) -> None:
    """It shows the first of the right order, though perhaps fewer than there are."""
    board = Board(size=3)
    rows: dict[int, PlayerRow] = {}
    for now_ns, (slot, score) in enumerate(updates):
        rows.pop(slot, None)
        if score is not None:
            rows[slot] = player(slot, score, now_ns)
        board.put(slot, rows.get(slot))
        right = ranked(list(rows.values()))
        assert shown(board) == right[: len(shown(board))]


def test_the_board_does_not_change_when_a_row_changes_otherwise() -> None:
    """A transfer is no reason to compute the leaderboard."""
    board = Board()

    assert board.put(4, player(4, 5, 1))
    assert not board.put(4, player(4, 5, 1)._replace(balance=7))
    assert not board.put(5, player(5, 0, 0))
    assert not board.put(6, None)


def populated(count: int) -> Node:
    """A main with players, prices and scores."""
    node = Node.main()
    service = node.service
    for role in ("treasury", "oracle"):
        service.grant_role(ADMIN, ADMIN, role, NOW_NS)
    scope = ["CreatePlayer", "RecordScore"]
    service.grant_gateway(ADMIN, ADMIN, scope, all_players=True, now_ns=NOW_NS)
    numbers = range(count)
    for start in range(0, count, 100):
        batch = numbers[start : start + 100]
        node.submit(
            ADMIN,
            *(submitted(3 * n, principal(n), CreatePlayer(f"player {n}")) for n in batch),
            *(submitted(3 * n + 1, ADMIN, Credit(principal(n), n + 1)) for n in batch),
            *(submitted(3 * n + 2, principal(n), RecordScore(n)) for n in batch),
        )
    node.do(ADMIN, ADMIN, SetPrice("GOLD", 5))
    return node


def values(derived: GameDerived) -> tuple[int, Sequence[object], object]:
    return derived.accounts_total, derived.board.entries, derived.prices


def rebuild_in_slices(node: Node, rows_max: int) -> int:
    slices = 1
    while not node.service.table.rebuild_step(rows_max):
        slices += 1
    return slices


def test_a_fold_over_all_rows_restores_what_was_derived() -> None:
    """Slice by slice, to the same values."""
    node = populated(130)
    before = values(node.derived)

    node.service.table.begin_rebuild()
    assert rebuild_in_slices(node, 20) > 5

    assert values(node.derived) == before
    node.audit()


def test_writes_during_the_restoration_count_once() -> None:
    """Behind the fold, ahead of it, and in slots that are new."""
    node = populated(60)
    node.service.table.begin_rebuild()
    node.service.table.rebuild_step(rows_max=30)

    for number in (0, 59):
        node.do(ADMIN, ADMIN, Credit(principal(number), 1_000))
        node.do(ADMIN, principal(number), RecordScore(500 + number))
    node.do(principal(60), principal(60), CreatePlayer("late"))
    rebuild_in_slices(node, 7)

    node.audit()
    assert [entry.score for entry in node.derived.board.entries[:3]] == [559, 500, 58]


def test_an_upgrade_keeps_what_was_derived_as_slots() -> None:
    """A full board and all symbols fit a row of state, and come back without a fold."""
    node = populated(BOARD_SIZE + 20)
    for number in range(31):
        node.do(ADMIN, ADMIN, SetPrice(f"S{number}", number + 1))
    before = values(node.derived)
    dump = node.derived.dump()
    assert len(dump) < 1_300 < DERIVED_SIZE_MAX

    node.upgrade(restore=False)
    assert node.figures["rebuilding"] == 1
    node.service.restore_step(NOW_NS)

    assert node.figures["rebuilding"] == 0
    assert values(node.derived) == before
    node.audit()
    # What was left out is still known to be: the board goes on as if there had been no upgrade.
    node.do(ADMIN, principal(1), RecordScore(BOARD_SIZE))
    assert len(node.derived.board.entries) == BOARD_SIZE


def test_a_board_that_is_loaded_is_cut_where_it_was_before() -> None:
    """Who was left out may be better than whoever falls."""
    rows = {slot: player(slot, slot, 1) for slot in (4, 5, 6)}
    table = RowTable(MemoryMap(), MemoryMap(), app.kinds)
    table.apply([RowChange(slot, app.kinds.encode(row)) for slot, row in rows.items()])
    derived, loaded = GameDerived(), GameDerived()
    derived.board = Board(size=2)
    for slot, row in rows.items():
        derived.fold(slot, None, row)

    loaded.load(derived.dump(), table)

    assert loaded.board.left_out == (-4, 1, 4)
    assert loaded.dump() == derived.dump()
    assert loaded.accounts_total == derived.accounts_total


@pytest.mark.parametrize("data", [b"", b"\x02", b"\x01" + bytes(8) + b"\x00" + b"\x00\x01"])
def test_a_dump_of_another_version_is_not_read(data: bytes) -> None:
    """The fold makes it all anew."""
    table = RowTable(MemoryMap(), MemoryMap(), app.kinds)

    with pytest.raises(EncodingError):
        GameDerived().load(data, table)


def test_a_dump_that_names_other_rows_is_not_taken() -> None:
    """Better slow than wrong."""
    derived = GameDerived()
    derived.fold(4, None, PriceRow("GOLD", 1, 1))
    table = RowTable(MemoryMap(), MemoryMap(), app.kinds)

    with pytest.raises(EncodingError, match="some of which are others"):
        GameDerived().load(derived.dump(), table)


def test_a_price_that_is_gone_is_gone_from_the_market() -> None:
    """With the tag of the view that showed it."""
    derived = GameDerived()

    assert list(derived.fold(4, None, PriceRow("GOLD", 1, 1))) == ["prices"]
    assert list(derived.fold(4, PriceRow("GOLD", 1, 1), None)) == ["prices"]
    assert derived.prices == {}
    assert list(derived.fold(1, None, BookRow(1, 0, 0, 0))) == []


def test_a_million_players_cost_an_upgrade_nothing_at_once() -> None:
    """``resume`` makes a few calls to stable memory; each slice after it is bounded."""
    count = 1_000_000
    stores = memory_stores()
    first = FleetService(stores, app.fresh(), row_size_max=ROW_SIZE_MAX)
    first.start(is_main=True, installer=ADMIN, canister=MAIN, now_ns=NOW_NS)
    first.promote(ADMIN, 0, 1, NOW_NS)
    first.table.end_slot = count
    first.grant_role(ADMIN, ADMIN, "treasury", NOW_NS)
    made = LazyRows(count, lambda slot: app.kinds.encode(player(slot, slot, 1)))
    for slot in range(5):
        row = stores.rows.get(slot)
        if row is not None:
            made.insert(slot, row)
    rows, slots = CountingMap(made), CountingMap(stores.slots)
    state, pages = CountingMap(stores.state), CountingMap(stores.pages)
    counted = (rows, slots, state, pages)
    old = stores._replace(rows=rows, slots=slots, state=state, pages=pages)

    service = FleetService(old, app.fresh(), row_size_max=ROW_SIZE_MAX)
    service.resume(MAIN, NOW_NS)
    assert service.table.end_slot == count
    assert sum(sum(each.take().values()) for each in counted) <= 5

    service.restore_step(NOW_NS)
    assert service.phase == "Rebuilding"
    for each in counted:
        each.take()
    service.restore_step(NOW_NS)
    assert rows.take() == {"get": REBUILD_ROWS_MAX}
    assert sum(sum(each.take().values()) for each in counted[1:]) == 0
