"""The course of one read."""

from icfleet_agent import Deadline, RetryBudget, RetryBudgetConfig
from icfleet_protocol.principal import Principal
from icfleet_router import Position, Role
from icfleet_router.balancing import Load
from icfleet_router.health import Health
from icfleet_router.pool import Belief, Member, Pool
from icfleet_router.position import START
from icfleet_router.read_plan import Accept, Ask, Behind, GiveUp, ReadPlan
from icfleet_router.retry_policy import ReadVerdict

HERE = Position(1, 5)
ELSEWHERE = ReadVerdict(is_retryable=True, is_charged=False)


def _plan(
    *names: str,
    floor: Position = START,
    attempts_max: int = 3,
    timeout_s: float = 9.0,
    budget: RetryBudgetConfig | None = None,
) -> ReadPlan:
    members = [
        Member(
            name,
            Principal(name.encode()),
            Role.MAIN if name == "main" else Role.REPLICA,
            Load(),
            Health(3, 30.0),
            Belief(0.5),
        )
        for name in names
    ]
    return ReadPlan(
        Pool(members),
        floor=floor,
        deadline=Deadline(timeout_s),
        attempts_max=attempts_max,
        budget=RetryBudget(budget or RetryBudgetConfig(), now_s=0.0),
    )


def _name(step: object) -> str:
    assert isinstance(step, Ask), step
    return step.member.name


def test_failures_go_to_the_next_replica_then_to_main_then_end() -> None:
    """Three calls on the wire, on three canisters, and no more."""
    plan = _plan("main", "replica_1", "replica_2", "replica_3")

    asked = [_name(plan.start(0.0)), *(_name(plan.failed(ELSEWHERE, 0.0)) for _ in range(2))]
    end = plan.failed(ELSEWHERE, 0.0)

    assert asked == ["replica_1", "replica_2", "main"]
    assert end == GiveUp(is_final=False)
    assert plan.attempts_count == 3


def test_a_stale_answer_goes_to_another_then_to_main() -> None:
    """A reply behind the session is never returned."""
    plan = _plan("main", "replica_1", "replica_2", floor=HERE)

    asked = [_name(plan.start(0.0)), *(_name(plan.answered(Position(1, 4), 0.0)) for _ in range(2))]

    assert asked == ["replica_1", "replica_2", "main"]
    assert plan.answered(Position(1, 4), 0.0) == Behind(Position(1, 4))


def test_an_answer_at_the_position_will_do() -> None:
    """At or after; a higher epoch wins over any seq."""
    for as_of in (HERE, Position(1, 6), Position(2, 0)):
        plan = _plan("main", "replica_1", floor=HERE)
        plan.start(0.0)

        assert plan.answered(as_of, 0.0) == Accept()


def test_an_answer_without_a_position_will_do() -> None:
    """Nothing can be promised of it, so nothing is checked."""
    plan = _plan("main", "replica_1", floor=HERE)
    plan.start(0.0)

    assert plan.answered(None, 0.0) == Accept()


def test_a_final_failure_is_not_tried_elsewhere() -> None:
    """A canister's own "no" would only be repeated."""
    plan = _plan("main", "replica_1")
    plan.start(0.0)

    step = plan.failed(ReadVerdict(is_retryable=False, is_charged=False), 0.0)

    assert step == GiveUp(is_final=True)


def test_the_deadline_ends_retries() -> None:
    """One deadline holds for all attempts together."""
    plan = _plan("main", "replica_1", "replica_2")
    plan.start(0.0)

    assert plan.failed(ELSEWHERE, 9.0) == GiveUp(is_final=False)


def test_time_is_shared_among_the_attempts_left() -> None:
    """A canister that hangs leaves time for the others."""
    plan = _plan("main", "replica_1", "replica_2")

    first = plan.start(0.0)
    second = plan.failed(ELSEWHERE, first.timeout_s)

    assert isinstance(second, Ask)
    assert (first.timeout_s, second.timeout_s) == (3.0, 3.0)


def test_a_server_that_asks_for_a_pause_gets_it() -> None:
    """``Retry-After`` is obeyed within the deadline, and ends the read beyond it."""
    plan = _plan("main", "replica_1", "replica_2")
    plan.start(0.0)

    second = plan.failed(ReadVerdict(is_retryable=True, is_charged=False, retry_after_s=2.0), 1.0)
    third = plan.failed(ReadVerdict(is_retryable=True, is_charged=False, retry_after_s=60.0), 3.0)

    assert isinstance(second, Ask)
    assert (second.delay_s, second.timeout_s) == (2.0, 3.0)
    assert third == GiveUp(is_final=False)


def test_an_empty_budget_ends_retries() -> None:
    """In an outage retries stay a small part of the traffic."""
    budget = RetryBudgetConfig(ratio=0.0, reserve_per_s=0.0, balance_max=1.0)
    plan = _plan("main", "replica_1", "replica_2", budget=budget)
    plan.start(0.0)

    assert isinstance(plan.failed(ELSEWHERE, 0.0), Ask)
    assert plan.failed(ELSEWHERE, 0.0) == GiveUp(is_final=False)


def test_stale_answers_cost_no_budget() -> None:
    """They are no failure, and main ends the search."""
    budget = RetryBudgetConfig(ratio=0.0, reserve_per_s=0.0, balance_max=1.0)
    plan = _plan("main", "replica_1", "replica_2", floor=HERE, budget=budget)
    plan.start(0.0)

    steps = [plan.answered(START, 0.0) for _ in range(2)]

    assert all(isinstance(step, Ask) for step in steps)


def test_main_is_asked_again_after_a_pause() -> None:
    """Main's nodes are a round apart, so a moment later it may do."""
    plan = _plan("main", floor=HERE)
    plan.start(0.0)

    again = plan.answered(START, 0.0)

    assert isinstance(again, Ask)
    assert (again.member.name, again.delay_s > 0) == ("main", True)


def test_one_attempt_goes_to_a_replica() -> None:
    """Someone who wants no retries does not want main either."""
    plan = _plan("main", "replica_1", attempts_max=1)

    assert _name(plan.start(0.0)) == "replica_1"
    assert plan.failed(ELSEWHERE, 0.0) == GiveUp(is_final=False)
