"""The game as one canister: who gets in, what views show, how it lives through upgrades."""

import pytest
from game_access import ANONYMOUS
from game_operations import CreatePlayer, Credit, RecordScore, SetPrice, Transfer
from game_rules import CREATE_WEIGHT, TRUSTED_RATE
from game_service import (
    FUNDS,
    INGRESS_SIZE_MAX,
    STRANGERS_RATE,
    AdminOutcome,
    Game,
)
from game_views import LEADERBOARD, MARKET, GameView
from game_world import ADMIN, MAIN, NOW_NS, SECOND_NS, Node, operation_id, principal, submitted

from icfleet_canister import GapError, LogHead, PullAnswer, Verdict
from icfleet_canister.id_window import ID_MEMORY_NS
from icfleet_canister.rate_limiter import DEFAULT_RATE, IDLE_CUTOFF_NS
from icfleet_canister.view_cache import VIEW_TTL_NS

ADA = principal(1)
BOB = principal(2)
GATEWAY = principal(3)
STRANGER = principal(99)


@pytest.fixture
def node() -> Node:
    """A main with Ada, Bob, and a gateway for everything."""
    node = Node.main()
    node.game.grant_gateway(
        ADMIN,
        GATEWAY,
        ["CreatePlayer", "Transfer", "RecordScore"],
        all_players=True,
        now_ns=NOW_NS,
    )
    for role in ("treasury", "oracle"):
        node.game.grant_role(ADMIN, ADMIN, role, NOW_NS)
    node.do(ADA, ADA, CreatePlayer("Ada"))
    node.do(BOB, BOB, CreatePlayer("Bob"))
    return node


def scores(game: Game) -> list[int] | None:
    view, _ = game.view(LEADERBOARD)
    assert view is not None
    return None if view.value is None else [entry.score for entry in view.value.content.board]


def test_a_new_main_opens_its_books() -> None:
    """Three records: the books, and the funds of bank and market."""
    node = Node.main()

    assert (node.head.epoch, node.head.seq) == (1, 3)
    assert node.balances() == {"bank": FUNDS, "market": FUNDS}
    assert node.game.ledger.main == MAIN
    node.audit()


def test_a_new_replica_is_empty_and_bound_to_nobody() -> None:
    """Its log begins with what it pulls."""
    replica = Node.replica(1, Node.main())

    assert replica.head == LogHead.empty(0)
    assert replica.game.member.replication.upstream == MAIN


def test_views_show_a_write_in_the_message_that_made_it(node: Node) -> None:
    """So a session that reads its own write from main gets it."""
    node.do(GATEWAY, ADA, RecordScore(7))
    node.do(ADMIN, ADMIN, SetPrice("GOLD", 3))

    assert scores(node.game) == [7]
    market, shown = node.game.view(MARKET)
    assert market is not None
    assert market.value is not None
    assert market.value.content.blob == (
        b'{"prices":[{"symbol":"GOLD","price":3,"updated_at":%d}]}' % NOW_NS
    )
    assert shown == node.head


def test_a_clean_view_shows_the_present_position(node: Node) -> None:
    """Later records that do not touch it make it no older."""
    node.do(GATEWAY, ADA, RecordScore(7))
    view, _ = node.game.view(LEADERBOARD)
    assert view is not None
    assert view.value is not None
    computed_seq = view.value.seq

    node.do(ADMIN, ADMIN, Credit(ADA, 5))

    view, shown = node.game.view(LEADERBOARD)
    assert shown == node.head
    assert view is not None
    assert view.value is not None
    assert view.value.seq == computed_seq
    assert node.game.view("unheard of")[0] is None


def test_a_dirty_view_shows_the_position_it_was_computed_at(node: Node) -> None:
    """It would be a lie to date it later."""
    node.do(GATEWAY, ADA, RecordScore(7))
    seq = node.head.seq
    view, _ = node.game.view(LEADERBOARD)
    assert view is not None
    view.compute = broken

    node.do(GATEWAY, BOB, RecordScore(9))

    view, shown = node.game.view(LEADERBOARD)
    assert view is not None
    assert view.is_dirty
    assert shown.seq == seq
    assert node.figures["view_failures"] == 1


def broken() -> GameView:
    """A view whose computation fails."""
    raise ZeroDivisionError


def test_an_idle_canister_dates_its_views_anew(node: Node) -> None:
    """When their time is over, and not before."""
    node.do(GATEWAY, ADA, RecordScore(7))

    assert node.game.view_delay_s(NOW_NS) == VIEW_TTL_NS // SECOND_NS
    later_ns = NOW_NS + VIEW_TTL_NS
    assert node.game.view_delay_s(later_ns) == 1
    node.game.tend_views(later_ns)
    assert node.game.view_delay_s(later_ns) == VIEW_TTL_NS // SECOND_NS
    assert scores(node.game) == [7]


def test_after_an_upgrade_views_wait_for_the_heap(node: Node) -> None:
    """Better none than a part; ``status`` says why."""
    node.do(GATEWAY, ADA, RecordScore(7))

    node.upgrade(restore=False)

    assert scores(node.game) is None
    assert node.game.view(LEADERBOARD)[1].seq == 0
    assert node.game.view_delay_s(NOW_NS) is None
    assert node.figures["rebuilding"] == 1
    assert node.game.restore_step(NOW_NS)
    assert scores(node.game) == [7]
    assert node.figures["rebuilding"] == 0
    assert node.game.view(LEADERBOARD)[1] == node.head


def test_after_an_upgrade_operations_wait_for_the_window(node: Node) -> None:
    """Else one that was applied could be applied again."""
    operation = submitted(1, ADA, Transfer(BOB, 1))
    first = node.submit(ADA, operation)

    node.upgrade(restore=False)

    assert [verdict.case for verdict in node.submit(ADA, operation)] == ["Busy"]
    node.game.restore_step(NOW_NS)
    assert node.submit(ADA, operation) == first


def test_a_player_is_charged_for_what_a_gateway_does_in_its_name(node: Node) -> None:
    """A gateway's own allowance is a thousand times that."""
    operations = [submitted(number, ADA, RecordScore(number)) for number in range(101)]

    cases = [verdict.case for verdict in node.submit(GATEWAY, *operations)]

    room = DEFAULT_RATE.limit - CREATE_WEIGHT
    assert cases == ["Applied"] * room + ["RateLimited"] + ["Deferred"] * (100 - room)
    assert node.do(GATEWAY, BOB, RecordScore(1)).case == "Applied"


def test_a_treasury_does_not_use_up_a_players_allowance(node: Node) -> None:
    """Whose account it credits is not who asked."""
    operations = [submitted(number, ADA, Credit(ADA, 1)) for number in range(200)]

    verdicts = node.submit(ADMIN, *operations)

    assert {verdict.case for verdict in verdicts} == {"Applied"}
    assert TRUSTED_RATE.limit > 200


def test_strangers_share_one_rate(node: Node) -> None:
    """Each may make its player; a flood of fresh principals may not."""
    verdicts = [
        node.submit(principal(number), submitted(1, principal(number), Transfer(ADA, 1)))[0].case
        for number in range(1_000, 1_000 + STRANGERS_RATE.limit)
    ]

    # Ada and Bob were strangers when they made their players.
    assert verdicts == ["Forbidden"] * (STRANGERS_RATE.limit - 2) + ["RateLimited"] * 2
    assert node.do(ADA, ADA, Transfer(BOB, 1)).case == "Refused"
    assert not node.game.admits(STRANGER, "submit", 100, NOW_NS)


@pytest.mark.parametrize(
    ("caller", "method", "size", "is_admitted"),
    [
        (ADA, "submit", 100, True),
        (GATEWAY, "submit", 100, True),
        (STRANGER, "submit", 100, True),
        (ANONYMOUS, "submit", 100, False),
        (ADA, "submit", INGRESS_SIZE_MAX + 1, False),
        (ADMIN, "attach", 100, True),
        (ADA, "attach", 100, False),
        (GATEWAY, "grant_role", 100, False),
        (ADA, "leaderboard", 100, True),
        (ANONYMOUS, "leaderboard", 100, False),
        (ADMIN, "log_since", 100, True),
        (ADA, "log_since", 100, False),
        (ADMIN, "acknowledge", 100, False),
        (ADMIN, "no_such_method", 100, False),
    ],
)
def test_ingress_is_admitted_when_it_may_come_to_something(
    node: Node, caller: str, method: str, size: int, *, is_admitted: bool
) -> None:
    """Decided by caller, method and size alone; what is refused costs the canister nothing."""
    assert node.game.admits(caller, method, size, NOW_NS) is is_admitted


def test_an_owner_without_allowance_gets_in_and_gets_its_answers(node: Node) -> None:
    """``RateLimited`` is no last word; a refusal at the door would be, for the whole batch."""
    operations = [submitted(number, ADA, Transfer(BOB, 1)) for number in range(95)]
    first = node.submit(ADA, *operations)

    assert first[-1].case == "Deferred"
    assert node.game.admits(ADA, "submit", 100, NOW_NS)
    again = node.submit(ADA, operations[0], submitted(500, ADA, Transfer(BOB, 1)))
    assert [verdict.case for verdict in again] == ["Refused", "RateLimited"]
    assert again[0] == first[0]


def test_a_crowd_of_strangers_does_not_shut_out_those_who_are_known(node: Node) -> None:
    """Only strangers share the rate at the door."""
    for number in range(1_000, 1_000 + STRANGERS_RATE.limit):
        node.submit(principal(number), submitted(1, principal(number), Transfer(ADA, 1)))

    admitted = [node.game.admits(one, "submit", 100, NOW_NS) for one in (STRANGER, ADA, GATEWAY)]

    assert admitted == [False, True, True]


def test_operations_that_come_to_nothing_are_paid_for(node: Node) -> None:
    """By an owner; a gateway that knows no better does not pay for its players' mistakes."""
    forbidden = [submitted(number, BOB, Transfer(ADA, 1)) for number in range(200)]

    cases = {verdict.case for verdict in node.submit(ADA, *forbidden)}

    assert cases == {"Forbidden"}
    assert node.do(ADA, ADA, Transfer(BOB, 1)).case == "RateLimited"
    node.submit(GATEWAY, *(submitted(number, BOB, Credit(ADA, 1)) for number in range(200)))
    assert node.do(GATEWAY, BOB, RecordScore(1)).case == "Applied"


def test_a_gateway_that_was_revoked_still_learns_what_it_did(node: Node) -> None:
    """For the operation it sent, and for nothing else."""
    operation = submitted(1, ADA, RecordScore(7))
    first = node.submit(GATEWAY, operation)
    node.game.revoke_gateway(ADMIN, GATEWAY, NOW_NS)

    again = node.submit(GATEWAY, operation, submitted(2, ADA, RecordScore(8)))

    assert first[0].case == "Applied"
    assert again[0] == first[0]
    assert again[1].case == "Forbidden"


def test_players_are_shown_to_those_who_may_see_them(node: Node) -> None:
    """Its owner, gateways, admins; a stranger learns only about itself."""
    cases = [
        (ADA, ADA, "Found"),
        (GATEWAY, ADA, "Found"),
        (ADMIN, ADA, "Found"),
        (BOB, ADA, "Forbidden"),
        (ANONYMOUS, ADA, "Forbidden"),
        (STRANGER, ADA, "Forbidden"),
        (STRANGER, STRANGER, "NotFound"),
        (GATEWAY, STRANGER, "NotFound"),
    ]

    assert [node.game.player(caller, subject).case for caller, subject, _ in cases] == [
        case for _, _, case in cases
    ]


def test_a_replica_shows_what_its_main_shows(node: Node) -> None:
    """Rows, views, rights and figures, by the same code."""
    replica = Node.replica(1, node)
    node.do(ADMIN, ADMIN, Credit(ADA, 100))
    node.do(ADA, ADA, Transfer(BOB, 30))
    node.do(GATEWAY, ADA, RecordScore(7))
    node.do(ADMIN, ADMIN, SetPrice("GOLD", 3))

    replica.pull(node)

    assert replica.head == node.head
    assert replica.balances() == node.balances()
    assert scores(replica.game) == [7]
    assert replica.game.player(GATEWAY, BOB) == node.game.player(GATEWAY, BOB)
    for name in ("credits", "debits", "accounts_total", "operations_applied", "players"):
        assert replica.figures[name] == node.figures[name]
    replica.audit()


def test_a_replica_that_is_refused_keeps_its_state(node: Node) -> None:
    """All records of an answer or none."""
    replica = Node.replica(1, node)
    replica.pull(node, size_max=1)
    head, balances = replica.head, replica.balances()
    log = node.game.member.log

    with pytest.raises(GapError):
        replica.game.receive_pull(PullAnswer(1, log.hash_at(4), log.after(4, 9_999, 9)), NOW_NS)

    assert (replica.head, replica.balances()) == (head, balances)


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        (principal(900_001), AdminOutcome("Invalid", "a replica follows another canister")),
        (ANONYMOUS, AdminOutcome("Invalid", "a replica follows another canister")),
        (BOB, AdminOutcome("Done")),
    ],
)
def test_a_replica_follows_another_canister(
    node: Node, upstream: str, expected: AdminOutcome
) -> None:
    """Not itself, and nobody without a name."""
    replica = Node.replica(1, node)

    assert replica.game.follow(ADMIN, replica.canister, upstream) == expected


def test_a_main_follows_nobody(node: Node) -> None:
    """There is one main for each log."""
    assert node.game.follow(ADMIN, MAIN, BOB) == AdminOutcome(
        "Invalid", "this canister is the main"
    )
    assert node.game.follow(ADA, MAIN, BOB).case == "Forbidden"


def test_replicas_are_attached_by_admins(node: Node) -> None:
    """Each once, not the canister itself, and not more than there is room for."""
    game = node.game

    assert game.attach(ADA, MAIN, BOB).case == "Forbidden"
    assert game.attach(ADMIN, MAIN, MAIN).case == "Invalid"
    for number in range(64):
        assert game.attach(ADMIN, MAIN, principal(number)) == AdminOutcome("Done")
    assert game.attach(ADMIN, MAIN, principal(64)).reason == "no room for another replica"
    assert game.detach(ADA, principal(0)).case == "Forbidden"
    assert game.detach(ADMIN, principal(0)) == AdminOutcome("Done")
    assert game.attach(ADMIN, MAIN, principal(64)) == AdminOutcome("Done")
    assert game.forbids(principal(64), "log_since") is None
    assert game.forbids(principal(0), "log_since") is not None


def test_the_heap_does_not_grow_for_ever(node: Node) -> None:
    """Ids and limiter entries go when they are of no more use."""
    node.do(ADA, ADA, Transfer(BOB, 1))
    assert node.figures["window_ids"] > 0
    assert node.figures["limiter_entries"] > 0
    late_ns = NOW_NS + ID_MEMORY_NS + IDLE_CUTOFF_NS + DEFAULT_RATE.window_ns

    report = node.game.sweeper.tick(late_ns)

    assert report.work > 0
    assert node.figures["window_ids"] == 0
    assert node.figures["limiter_entries"] == 0
    assert node.game.sweeper.next_delay_s(late_ns) is None


def test_an_operation_sent_again_after_an_upgrade_is_recognised(node: Node) -> None:
    """Exactly once, whatever happens in between."""
    operations = [submitted(number, ADA, Transfer(BOB, 1)) for number in range(3)]
    first = node.submit(ADA, *operations)

    node.upgrade()
    again = node.submit(ADA, *operations)

    assert again == first
    assert all(isinstance(verdict, Verdict) for verdict in again)
    assert operation_id(0) in {
        record.operation_id for record in node.game.member.log.after(0, 10**6, 10**3)
    }
