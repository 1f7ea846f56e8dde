"""What the game's queries find, and what an operation costs in calls to stable memory."""

import json

import pytest
from counting_map import CountingMap
from game_journal import FUNDS
from game_operations import Buy, CreatePlayer, Credit, OpenDeposit, RecordScore, SetPrice, Transfer
from game_reads import (
    ACCOUNTS_PAGE_SLOTS,
    HistoryEntry,
    PricedHolding,
    accounts_page,
    find_player,
    history_of,
    holdings_of,
)
from game_views import LEADERBOARD, MARKET, GameView
from game_world import (
    ADMIN,
    MAIN,
    NOW_NS,
    SECOND_NS,
    Node,
    memory_stores,
    operation_id,
    principal,
    submitted,
)

from icfleet_canister import View

ADA = principal(1)
BOB = principal(2)
GATEWAY = principal(3)


@pytest.fixture
def node() -> Node:
    """Ada and Bob have 1,000 each; GOLD costs 10."""
    return furnished(Node.main())


def furnished(node: Node) -> Node:
    service = node.service
    for role in ("treasury", "oracle"):
        service.grant_role(ADMIN, ADMIN, role, NOW_NS)
    service.grant_gateway(ADMIN, GATEWAY, ["RecordScore"], all_players=True, now_ns=NOW_NS)
    for player, name in ((ADA, "Ada"), (BOB, "Bob")):
        node.do(player, player, CreatePlayer(name))
        node.do(ADMIN, ADMIN, Credit(player, 1_000))
    node.do(ADMIN, ADMIN, SetPrice("GOLD", 10))
    return node


def view(node: Node, name: str) -> tuple[GameView, View[GameView]]:
    found, _ = node.service.view(name)
    assert found is not None
    assert found.value is not None
    return found.value.content, found


def test_a_new_main_opens_its_books() -> None:
    """In the record of the first epoch: bank and market have their funds, and that was credited."""
    node = Node.main()

    assert (node.head.epoch, node.head.seq) == (1, 1)
    assert node.balances() == {"bank": FUNDS, "market": FUNDS}
    assert node.figures["credits"] == node.figures["accounts_total"] == 2 * FUNDS
    assert node.service.main == MAIN
    node.audit()


def test_a_replica_without_records_has_no_books() -> None:
    """And says so without failing."""
    replica = Node.replica(1, Node.main())

    assert replica.balances() == {}
    assert (replica.figures["accounts_total"], replica.figures["players"]) == (0, 0)
    assert find_player(replica.service.app, ADMIN, "player", ADA).case == "NotFound"


def test_views_show_a_write_in_the_message_that_made_it(node: Node) -> None:
    """So a session that reads its own write from main gets it."""
    node.do(GATEWAY, ADA, RecordScore(7))
    node.do(ADMIN, ADMIN, SetPrice("TIN", 3))

    board, _ = view(node, LEADERBOARD)
    assert json.loads(board.blob) == {
        "entries": [{"rank": 1, "player": ADA, "name": "Ada", "score": 7}]
    }
    market, _ = view(node, MARKET)
    assert [(price.symbol, price.price) for price in market.prices] == [("GOLD", 10), ("TIN", 3)]
    assert b'{"symbol":"TIN","price":3,"updated_at":%d}' % NOW_NS in market.blob
    assert node.service.view(MARKET)[1] == node.head


def test_only_writes_that_change_a_view_compute_it(node: Node) -> None:
    """Money moves without the leaderboard; a score that is no better leaves it as it is."""
    node.do(GATEWAY, ADA, RecordScore(7))
    computed = view(node, LEADERBOARD)[1].value

    node.do(ADA, ADA, Transfer(BOB, 5))
    node.do(GATEWAY, ADA, RecordScore(6))

    assert view(node, LEADERBOARD)[1].value is computed
    assert node.service.view(LEADERBOARD)[1] == node.head


def test_holdings_are_valued_at_present_prices(node: Node) -> None:
    """However large: a value need not fit the number of a balance."""
    node.do(ADA, ADA, Buy("GOLD", 30))
    node.do(ADA, ADA, OpenDeposit(100, 60))
    node.do(ADMIN, ADMIN, SetPrice("GOLD", 2**63 - 1))

    found = find_player(node.service.app, ADA, "portfolio", ADA)
    assert found.row is not None
    holdings = holdings_of(node.service.app, found.row)

    assert holdings == [PricedHolding("GOLD", 30, 2**63 - 1)]
    assert holdings[0].value == 30 * (2**63 - 1) > 2**64
    assert found.row.balance == 600


def test_a_history_is_the_log_of_one_player(node: Node) -> None:
    """Newest first, with the balance after each; others' operations without their ids."""
    start = node.head.seq
    node.submit(ADA, submitted(7, ADA, Transfer(BOB, 100)))
    node.submit(BOB, submitted(8, BOB, Transfer(ADA, 30)), submitted(9, BOB, Transfer(ADA, 0)))

    history = history_of(node.service.app, node.player(ADA))

    assert history[:2] == [
        HistoryEntry(1, start + 2, "Transfer", None, NOW_NS, 930),
        HistoryEntry(1, start + 1, "Transfer", operation_id(7), NOW_NS, 900),
    ]
    assert [entry.kind for entry in history[2:]] == ["Credit", "CreatePlayer"]
    assert [entry.balance for entry in history[2:]] == [1_000, 0]


def test_a_history_ends_where_the_log_was_cut(node: Node) -> None:
    """What is not there any more cannot be shown; the player itself has lost nothing."""
    node.service.configure(ADMIN, node.service.member.settings._replace(log_pages_max=10))
    late_ns = NOW_NS
    for _ in range(20):
        late_ns += 3_600 * SECOND_NS
        for number in range(30):
            node.do(ADMIN, ADMIN, SetPrice("GOLD", number + 1), late_ns)
        node.service.sweeper.tick(late_ns)
    assert node.service.member.log.extent.base.seq > 0

    history = history_of(node.service.app, node.player(ADA))

    assert len(history) < len(node.player(ADA).recent)
    node.do(ADA, ADA, Transfer(BOB, 1), late_ns)
    assert history_of(node.service.app, node.player(ADA))[0].kind == "Transfer"


def test_accounts_are_paged_by_slot() -> None:
    """Every account once, bank and market among them."""
    node = furnished(Node.main())
    service = node.service
    service.grant_gateway(ADMIN, GATEWAY, ["CreatePlayer"], all_players=True, now_ns=NOW_NS)
    for start in range(10, ACCOUNTS_PAGE_SLOTS + 30, 100):
        batch = range(start, start + 100)
        node.submit(
            GATEWAY, *(submitted(n, principal(n), CreatePlayer(f"Player {n}")) for n in batch)
        )

    first, cursor = accounts_page(service.app, 0)
    assert cursor == ACCOUNTS_PAGE_SLOTS
    rest, end = accounts_page(service.app, cursor)

    owners = [account.owner for account in (*first, *rest)]
    assert end is None
    assert owners[:2] == ["bank", "market"]
    assert len(set(owners)) == len(owners) == node.figures["players"] + 2
    assert accounts_page(service.app, 10**9) == ([], None)


def test_a_replica_shows_what_its_main_shows(node: Node) -> None:
    """Rows, views, history and figures, by the same code."""
    replica = Node.replica(1, node)
    node.do(ADA, ADA, Transfer(BOB, 30))
    node.do(GATEWAY, ADA, RecordScore(7))
    node.do(ADA, ADA, Buy("GOLD", 3))

    replica.catch_up(node)

    assert replica.head == node.head
    assert replica.balances() == node.balances()
    for name in (LEADERBOARD, MARKET):
        assert view(replica, name)[0] == view(node, name)[0]
    for player in (ADA, BOB):
        row = node.player(player)
        assert replica.player(player) == row
        assert history_of(replica.service.app, row) == history_of(node.service.app, row)
    for name in ("credits", "debits", "accounts_total", "players", "symbols"):
        assert replica.figures[name] == node.figures[name]
    replica.audit()


def test_twenty_transfers_touch_each_row_once() -> None:
    """In one batch: the rows and keys of the players and of the sender, and one page of the log."""
    stores = memory_stores()
    rows, slots = CountingMap(stores.rows), CountingMap(stores.slots)
    state, pages = CountingMap(stores.state), CountingMap(stores.pages)
    node = Node(MAIN, stores._replace(rows=rows, slots=slots, state=state, pages=pages))
    node.service.start(is_main=True, installer=ADMIN, canister=MAIN, now_ns=NOW_NS)
    node.service.promote(ADMIN, 0, 1, NOW_NS)
    furnished(node)
    for counted in (rows, slots, state, pages):
        counted.take()

    verdicts = node.submit(ADA, *(submitted(n, ADA, Transfer(BOB, 1)) for n in range(20)))

    assert {verdict.case for verdict in verdicts} == {"Applied"}
    # Ada and Bob, read and written; the sender's grant and player, and Bob, by key.
    assert rows.take() == {"get": 2, "insert": 2}
    assert slots.take() == {"get": 3}
    assert state.take() == {"insert": 1}
    assert sum(pages.take().values()) <= 3


def test_twenty_transfers_cost_a_replica_no_more() -> None:
    """It writes the same rows once, and looks no key up but those of the views' readers."""
    main = furnished(Node.main())
    stores = memory_stores()
    rows, slots = CountingMap(stores.rows), CountingMap(stores.slots)
    replica = Node(principal(900_001), stores._replace(rows=rows, slots=slots))
    replica.service.start(is_main=False, installer=ADMIN, canister=replica.canister, now_ns=NOW_NS)
    replica.join(main)
    replica.catch_up(main)
    main.submit(ADA, *(submitted(n, ADA, Transfer(BOB, 1)) for n in range(20)))
    rows.take()
    slots.take()

    assert replica.pull(main) == 20

    assert rows.take() == {"get": 2, "insert": 2}
    assert slots.take() == {}
