"""All rows, and what is derived from them."""

from collections.abc import Sequence

from game_ledger import ACCOUNTS_PAGE_SLOTS, Board, Ledger
from game_operations import CreatePlayer, Credit, RecordScore, SetPrice
from game_rows import PlayerRow
from game_world import ADMIN, NOW_NS, Node, principal, submitted
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import RowChange


def player(slot: int, score: int, scored_at_ns: int) -> PlayerRow:
    return PlayerRow(f"p{slot}", f"name {slot}", "", 0, score, scored_at_ns, 1, (), ())


scores = st.lists(st.tuples(st.integers(4, 12), st.integers(0, 20)), max_size=60)


@given(scores)
def test_the_board_is_the_best_of_all_scores(updates: list[tuple[int, int]]) -> None:
    """Kept as scores rise, it is what sorting everybody would give."""
    board = Board(size=3)
    best: dict[int, PlayerRow] = {}
    for now_ns, (slot, score) in enumerate(updates):
        if slot not in best or score > best[slot].score:
            best[slot] = player(slot, score, now_ns)
            changed = [entry.player for entry in board.entries]
            if not board.put(slot, best[slot]):
                assert [entry.player for entry in board.entries] == changed

    ranked = sorted(
        (row for row in best.values() if row.score), key=lambda row: (-row.score, row.scored_at_ns)
    )
    assert [entry.player for entry in board.entries] == [row.owner for row in ranked[:3]]


def test_the_board_does_not_change_when_a_row_changes_otherwise() -> None:
    """A transfer is no reason to compute the leaderboard."""
    board = Board()

    assert board.put(4, player(4, 5, 1))
    assert not board.put(4, player(4, 5, 1)._replace(balance=7))
    assert not board.put(5, player(5, 0, 0))


def populated(count: int) -> Node:
    """A main with players, prices and scores."""
    node = Node.main()
    for role in ("treasury", "oracle"):
        node.game.grant_role(ADMIN, ADMIN, role, NOW_NS)
    node.game.grant_gateway(
        ADMIN, ADMIN, ["CreatePlayer", "RecordScore"], all_players=True, now_ns=NOW_NS
    )
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


def derived(ledger: Ledger) -> tuple[int, Sequence[object], object]:
    return ledger.accounts_total, ledger.board.entries, ledger.prices


def test_an_upgrade_restores_what_was_derived() -> None:
    """Slice by slice, to the same values."""
    node = populated(130)
    before = derived(node.game.ledger)

    node.upgrade(restore=False)
    slices = 1
    while not node.game.ledger.rebuild_step(rows_max=20):
        assert not node.game.ledger.is_ready
        slices += 1

    assert slices > 5
    assert derived(node.game.ledger) == before
    node.audit()


def test_writes_during_the_restoration_count_once() -> None:
    """Behind the fold, ahead of it, and in slots that are new."""
    node = populated(60)
    node.upgrade(restore=False)
    node.game.member.restore_step(NOW_NS)
    node.game.ledger.rebuild_step(rows_max=30)

    for number in (0, 59):
        node.do(ADMIN, ADMIN, Credit(principal(number), 1_000))
        node.do(ADMIN, principal(number), RecordScore(500 + number))
    node.do(principal(60), principal(60), CreatePlayer("late"))
    while not node.game.ledger.rebuild_step(rows_max=7):
        pass

    node.audit()
    assert [entry.score for entry in node.game.ledger.board.entries[:3]] == [559, 500, 58]


def test_accounts_are_paged_by_slot() -> None:
    """Every account once, bank and market among them."""
    node = populated(ACCOUNTS_PAGE_SLOTS + 20)

    first, cursor = node.game.accounts(0)
    assert cursor == ACCOUNTS_PAGE_SLOTS
    rest, end = node.game.accounts(cursor)

    owners = [account.owner for account in (*first, *rest)]
    assert end is None
    assert len(set(owners)) == len(owners) == ACCOUNTS_PAGE_SLOTS + 22
    assert owners[:2] == ["bank", "market"]
    assert node.game.accounts(10**9) == ([], None)


def test_a_row_that_is_gone_is_gone_everywhere() -> None:
    """In the index, in the sum, and in stable memory."""
    node = populated(2)
    ledger = node.game.ledger
    slot = ledger.slot_of("p:" + principal(1))
    assert slot is not None
    total = ledger.accounts_total

    ledger.apply([RowChange(slot, None)])
    ledger.flush()

    assert ledger.slot_of("p:" + principal(1)) is None
    assert ledger.row(slot) is None
    assert ledger.accounts_total == total - 2
    assert node.stores.rows.get(slot) is None


def test_a_replica_without_records_is_empty() -> None:
    """It has no book, and nobody is known."""
    replica = Node.replica(1, Node.main())

    ledger = replica.game.ledger
    assert (ledger.book, ledger.main, ledger.player(ADMIN)) == (None, None, None)
    assert replica.game.accounts(0) == ([], None)
    assert replica.figures["accounts_total"] == 0
