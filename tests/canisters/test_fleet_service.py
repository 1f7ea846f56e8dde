"""A canister of a fleet as one thing: batches, views, figures."""

from collections.abc import Sequence
from typing import Any

import pytest
from tiny_application import (
    ADMIN,
    MAIN,
    NOW_NS,
    SECOND_NS,
    Add,
    Award,
    Crash,
    Reset,
    TinyNode,
    principal,
    submitted,
    tiny_application,
)

from icfleet_canister import Application, RowJournal, Verdict
from icfleet_canister.authority import ANONYMOUS, ANY, OWN, SCOPE
from icfleet_canister.batch_applier import OPERATIONS_MAX
from icfleet_canister.fleet_admin import AdminOutcome
from icfleet_canister.fleet_service import (
    REFRESH_BUDGET,
    SubmitOutcome,
)
from icfleet_canister.view_cache import VIEW_TTL_NS, View

DONE = AdminOutcome("Done")
ADA = principal(1)
BOB = principal(2)
GATEWAY = principal(3)
JUDGE = principal(4)
STRANGER = principal(99)
SOMEBODY = principal(98)


@pytest.fixture
def node() -> TinyNode:
    """A main with Ada, Bob, a gateway for everything, and a judge."""
    node = TinyNode.main()
    node.service.grant_gateway(ADMIN, GATEWAY, ["Add", "Reset"], all_players=True, now_ns=NOW_NS)
    node.service.grant_role(ADMIN, JUDGE, "judge", NOW_NS)
    node.do(ADA, ADA, Add(1))
    node.do(BOB, BOB, Add(1))
    return node


def total(node: TinyNode) -> bytes | None:
    view, _ = node.service.view("total")
    return None if view is None or view.value is None else view.value.content


def cases(verdicts: Sequence[Verdict]) -> list[str]:
    return [verdict.case for verdict in verdicts]


def test_a_replica_says_where_the_main_is(node: TinyNode) -> None:
    """As far as its log does: before it has pulled, it knows nobody."""
    replica = TinyNode.replica(1, node)

    assert replica.service.turn_away(1, 100) == SubmitOutcome("NotMain", main=None)
    replica.catch_up(node)
    assert replica.service.turn_away(1, 100) == SubmitOutcome("NotMain", main=MAIN)
    outcome = replica.service.submit(
        ADA, [submitted(1, ADA, Add(1))], now_ns=NOW_NS, is_exhausted=lambda: False
    )
    assert outcome == SubmitOutcome("NotMain", main=MAIN)


def test_a_main_that_was_fenced_does_not_send_anybody_to_itself(node: TinyNode) -> None:
    """They would come back for ever."""
    replica = TinyNode.replica(1, node)
    node.service.acknowledge(replica.canister, 2, 1, NOW_NS)

    assert node.service.member.fence is not None
    assert node.service.turn_away(1, 100) == SubmitOutcome("NotMain", main=None)


def test_an_empty_batch_changes_nothing(node: TinyNode) -> None:
    """Nor does it cost its sender anything."""
    head, figures = node.head, node.figures

    outcome = node.service.submit(STRANGER, [], now_ns=NOW_NS, is_exhausted=lambda: False)

    assert outcome == SubmitOutcome("Done")
    assert (node.head, node.figures) == (head, figures)


def test_a_batch_that_is_too_large_is_turned_away(node: TinyNode) -> None:
    """In words, before it is read."""
    assert node.service.turn_away(OPERATIONS_MAX, 100) is None
    many = node.service.turn_away(OPERATIONS_MAX + 1, 100)
    large = node.service.turn_away(1, 1_500_001)

    assert many == SubmitOutcome("TooLarge", reason="501 operations, at most 500 allowed")
    assert large is not None
    assert large.case == "TooLarge"


BODIES: dict[str, Any] = {"Add": Add(1), "Award": Award(1), "Reset": Reset(), "Crash": Crash("")}


@pytest.mark.parametrize(
    "role", ["anonymous", "stranger", "owner", "gateway", "judge", "admin", "replica"]
)
def test_a_batch_may_mix_what_is_allowed_and_what_is_forbidden(role: str) -> None:
    """Every operation, for every kind of subject, in one batch: each is decided by its cell."""
    node = TinyNode.main()
    me = ANONYMOUS if role == "anonymous" else principal(50)
    subjects = {"own": me, "created": ADA, "foreign": BOB, "absent": SOMEBODY}
    node.do(BOB, BOB, Add(1))
    if me != ANONYMOUS:
        node.service.grant_gateway(ADMIN, me, ["Add"], all_players=False, now_ns=NOW_NS)
        node.do(me, ADA, Add(1))
        node.service.revoke_gateway(ADMIN, me, NOW_NS)
    if role == "owner":
        node.do(me, me, Add(1))
    if role == "gateway":
        scope = ["Add", "Reset"]
        node.service.grant_gateway(ADMIN, me, scope, all_players=False, now_ns=NOW_NS)
    if role in ("judge", "admin"):
        node.service.grant_role(ADMIN, me, role, NOW_NS)
    if role == "replica":
        node.service.attach(ADMIN, me)
    roles = {role} if role in ("anonymous", "owner") else {role, "stranger"}
    keys = [(name, kind) for kind in subjects for name in BODIES]

    # Who gets a row by one of these is an owner for the operations after it; so they come last.
    keys.sort(key=lambda key: key[0] in ("Add", "Award") and key[1] in ("absent", "own"))
    verdicts = node.submit(
        me,
        *(
            submitted(number, subjects[kind], BODIES[name])
            for number, (name, kind) in enumerate(keys)
        ),
    )

    allowed = {key for key, one in zip(keys, verdicts, strict=True) if one.case != "Forbidden"}
    assert allowed == {(name, kind) for name, kind in keys if is_allowed(roles, name, kind)}
    assert {verdict.case for verdict in verdicts} <= {"Forbidden", "Applied", "Refused", "Invalid"}


def is_allowed(roles: set[str], name: str, kind: str) -> bool:
    """What the application's table says, spelled out."""
    reaches = {reach for role, reach in tiny_application().authority[name].items() if role in roles}
    return (
        ANY in reaches
        or (OWN in reaches and kind == "own")
        or (SCOPE in reaches and kind == "created")
        or (SCOPE in reaches and name == "Add" and kind in ("absent", "own"))
    )


def test_a_rule_that_fails_harms_nobody_else(node: TinyNode) -> None:
    """Its operation is invalid, and counted."""
    verdicts = node.submit(
        ADA, submitted(1, ADA, Add(1)), submitted(2, ADA, Crash("x")), submitted(3, ADA, Add(1))
    )

    assert cases(verdicts) == ["Applied", "Invalid", "Applied"]
    assert verdicts[1].code == "RulesFailed"
    assert node.counters[ADA] == 3
    assert node.figures["rule_failures"] == 1


def test_a_rule_cannot_change_the_fleets_own_row() -> None:
    """It would name another main."""

    class Take(Add):
        def evaluate(self, journal: RowJournal) -> None:
            row: Any = journal.row(0)
            journal.put(0, row._replace(main=journal.caller))

    node = TinyNode.main(operations=[Take], authority={"Take": {"stranger": OWN}}, weights={})

    verdict = node.do(ADA, ADA, Take(1))

    assert (verdict.case, verdict.code) == ("Invalid", "RulesFailed")
    assert node.service.main == MAIN


def test_views_show_a_write_in_the_message_that_made_it(node: TinyNode) -> None:
    """So a session that reads its own write from main gets it."""
    node.do(ADA, ADA, Add(5))

    assert total(node) == b"7"
    assert node.service.view("total")[1] == node.head
    assert node.service.view("unheard of")[0] is None


def test_a_clean_view_shows_the_present_position(node: TinyNode) -> None:
    """Later records that do not touch it make it no older."""
    view, _ = node.service.view("total")
    assert view is not None
    assert view.value is not None
    computed_seq = view.value.seq

    node.service.grant_role(ADMIN, BOB, "judge", NOW_NS)

    view, shown = node.service.view("total")
    assert shown == node.head
    assert view is not None
    assert view.value is not None
    assert view.value.seq == computed_seq < node.head.seq


def test_a_dirty_view_shows_the_position_it_was_computed_at(node: TinyNode) -> None:
    """It would be a lie to date it later; a view that raises keeps its old value."""
    before = node.head
    view, _ = node.service.view("total")
    assert view is not None
    view.compute = broken

    assert node.do(ADA, ADA, Add(1)).case == "Applied"

    view, shown = node.service.view("total")
    assert view is not None
    assert view.is_dirty
    assert (shown.epoch, shown.seq) == (before.epoch, before.seq)
    assert node.figures["view_failures"] == 1


def broken() -> bytes:
    """A view whose computation fails."""
    raise ZeroDivisionError


def test_a_message_computes_so_many_views_and_not_when_it_is_exhausted() -> None:
    """The rest is for a timer."""
    names = [f"view {number}" for number in range(REFRESH_BUDGET + 3)]

    def views(app: Application) -> Sequence[View[Any]]:
        return [View(name, lambda: app.table, tags=["total"]) for name in names]

    node = TinyNode.main(views=views)
    computed = node.figures["views_computed"]
    node.service.tend_views(NOW_NS)
    assert computed >= REFRESH_BUDGET
    assert node.figures["views_dirty"] == 0

    node.do(ADA, ADA, Add(1))
    assert node.figures["views_dirty"] == 3
    operation = submitted(1, ADA, Add(1))
    node.service.submit(ADA, [operation], now_ns=NOW_NS, is_exhausted=Exhausted(after=1))
    assert node.figures["views_dirty"] == len(names)
    assert node.service.view_delay_s(NOW_NS) == 1
    node.service.tend_views(NOW_NS)
    node.service.tend_views(NOW_NS)
    assert node.figures["views_dirty"] == 0


class Exhausted:
    """Is not exhausted the first few times it is asked."""

    def __init__(self, after: int) -> None:
        self._left = after

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


def test_an_idle_canister_dates_its_views_anew(node: TinyNode) -> None:
    """When their time is over, and not before."""
    assert node.service.view_delay_s(NOW_NS) == VIEW_TTL_NS // SECOND_NS
    later_ns = NOW_NS + VIEW_TTL_NS
    assert node.service.view_delay_s(later_ns) == 1
    node.service.tend_views(later_ns)
    assert node.service.view_delay_s(later_ns) == VIEW_TTL_NS // SECOND_NS
    assert total(node) == b"2"


def test_a_replica_shows_what_its_main_shows(node: TinyNode) -> None:
    """Rows, views, rights and figures, by the same code."""
    replica = TinyNode.replica(1, node)
    node.do(ADA, ADA, Add(7))

    replica.catch_up(node)

    assert replica.head == node.head
    assert replica.counters == node.counters
    assert total(replica) == total(node) == b"9"
    assert replica.service.view("total")[1] == node.head
    assert replica.service.caller(GATEWAY) == node.service.caller(GATEWAY)
    for name in ("operations_applied", "operations_refused", "slots", "total"):
        assert replica.figures[name] == node.figures[name]


def test_rows_of_another_canister_leave_no_view_of_the_old_ones(node: TinyNode) -> None:
    """Though no tag tells of those that are gone."""
    replica = TinyNode.replica(1, node)
    replica.catch_up(node)
    other = TinyNode.main(epoch=9)
    other.service.attach(ADMIN, replica.canister)

    assert replica.service.reseed(ADMIN, MAIN) == DONE
    replica.catch_up(other)

    assert replica.counters == {}
    assert total(replica) == b"0"
    assert replica.figures["slots"] == other.figures["slots"]


def test_figures_have_names_that_stay() -> None:
    """They are part of the interface; the application's own come last."""
    assert [name for name, _ in TinyNode.main().service.figures()] == [
        "operations_applied",
        "operations_refused",
        "rule_failures",
        "slots",
        "log_pages",
        "window_ids",
        "limiter_entries",
        "limiter_admitted",
        "limiter_limited",
        "limiter_evicted",
        "views",
        "views_dirty",
        "views_computed",
        "view_failures",
        "sweeps",
        "swept",
        "seeded_slots",
        "pulls",
        "pull_failures",
        "rebuilding",
        "total",
    ]


def debt(_: Application) -> list[tuple[str, int]]:
    return [("debt", -1)]


def wealth(_: Application) -> list[tuple[str, int]]:
    return [("wealth", 2**70)]


def ratio(_: Application) -> list[tuple[str, float]]:
    return [("ratio", 1.5)]


def failing(_: Application) -> list[tuple[str, int]]:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("figures", "shown"),
    [
        (debt, [("debt", 0)]),
        (wealth, [("wealth", 2**64 - 1)]),
        (ratio, [("ratio", 1)]),
        (failing, [("figures_failed", 1)]),
    ],
)
def test_a_status_never_fails_by_the_applications_figures(
    figures: Any, shown: list[tuple[str, int]]
) -> None:
    """Routers would take the canister for dead."""
    node = TinyNode.main(figures=figures)

    assert list(node.service.figures()[-1:]) == shown


def test_without_derived_values_every_record_makes_every_view_dirty() -> None:
    """Nothing tells what has changed, and a view must not be dated later than it is."""

    def views(app: Application) -> Sequence[View[Any]]:
        return [View("total", lambda: b"%d" % app.table.end_slot, tags=["end"])]

    node = TinyNode.main(derived=None, views=views, figures=None)
    before = total(node)
    node.do(ADA, ADA, Add(1))

    assert before == b"2"
    assert total(node) == b"3"
    assert node.service.view("total")[1] == node.head
