"""The fault plan decides reproducibly, within its rules' limits, in the order it states."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet.distributions import Fixed, LogNormal, Uniform
from icfleet_localnet.fault_rules import (
    Duplicate,
    Effect,
    FaultRule,
    FaultRuleError,
    HttpError,
    Latency,
    LoseRequest,
    LoseResponse,
    Match,
    Operation,
    RejectWith,
    StaleNode,
    TamperReply,
)
from icfleet_localnet.faults import Decision, FaultPlan, RequestFacts
from icfleet_protocol.principal import Principal

NOW_NS = 1_700_000_000_000_000_000
A, B = Principal(b"\x00\x01\x01\x01"), Principal(b"\x00\x02\x01\x01")
SUBNET, NODE = Principal(b"subnet"), Principal(b"node")
UNTOUCHED = Decision()
QUERY = RequestFacts(operation="query", canister=A, method="go", subnet=SUBNET, node=NODE)
STATUS = RequestFacts(operation="status")
OPERATIONS: list[Operation] = ["query", "call", "read_state", "status"]

effects: st.SearchStrategy[Effect] = st.sampled_from(
    [
        Latency(LogNormal(0.1, 1.0)),
        Latency(Uniform(0, 1), stage="response"),
        LoseRequest(),
        LoseResponse(),
        Duplicate(2, Uniform(0, 1)),
        StaleNode(rounds=1),
        RejectWith(),
        HttpError(),
        TamperReply("signature"),
    ]
)
matches = st.sampled_from([Match(), Match(method="go"), Match(canister=str(A))])
rules = st.builds(
    FaultRule,
    effect=effects,
    match=matches,
    probability=st.sampled_from([0.1, 0.5, 1.0]),
    limit=st.sampled_from([None, 1, 5]),
    name=st.sampled_from([None, "a", "b"]),
)
requests = st.lists(
    st.builds(
        RequestFacts,
        operation=st.sampled_from(OPERATIONS),
        canister=st.sampled_from([A, B]),
        method=st.sampled_from(["go", "stay"]),
    ),
    max_size=40,
)


def _plan(*planned: FaultRule, seed: bytes = b"seed") -> FaultPlan:
    plan = FaultPlan(seed)
    for rule in planned:
        plan.add(rule)
    return plan


def _decide(effect: Effect, *more: Effect, facts: RequestFacts = QUERY) -> Decision:
    return _plan(*(FaultRule(effect=each) for each in (effect, *more))).decide(facts, NOW_NS)


def _struck(plan: FaultPlan, stream: Sequence[RequestFacts]) -> list[Decision]:
    return [plan.decide(facts, NOW_NS) for facts in stream]


def test_without_rules_nothing_happens() -> None:
    """An empty plan leaves every request alone."""
    decision = FaultPlan(b"").decide(QUERY, NOW_NS)

    assert decision == UNTOUCHED
    assert decision.is_executed


def test_latencies_add_up_on_each_way() -> None:
    """Requests and responses apart."""
    decision = _decide(
        Latency(Fixed(0.2)), Latency(Fixed(0.3)), Latency(Fixed(1), stage="response")
    )

    assert (decision.request_delay_s, decision.response_delay_s) == (0.5, 1)
    assert decision.is_executed


def test_a_lost_request_is_not_executed_and_a_lost_response_is() -> None:
    """The two look the same to a client."""
    request, response = _decide(LoseRequest()), _decide(LoseResponse())

    assert (request.is_request_lost, request.is_executed) == (True, False)
    assert (response.is_response_lost, response.is_executed) == (True, True)


def test_the_oldest_refusal_is_answered() -> None:
    """Nothing is executed then."""
    decision = _decide(HttpError(429, "slow", 2), RejectWith(), HttpError(500))

    assert decision.refusal == HttpError(429, "slow", 2)
    assert not decision.is_executed
    assert _decide(RejectWith(), HttpError()).refusal == RejectWith()


def test_the_oldest_staleness_counts() -> None:
    """Two rules do not make a node older still."""
    assert _decide(StaleNode(rounds=2), StaleNode(seconds=9)).staleness == StaleNode(rounds=2)


def test_duplicates_follow_one_another() -> None:
    """Each after the one before it, also those of a request that was lost."""
    decision = _decide(Duplicate(3, Fixed(0.5)), Duplicate(), LoseRequest())

    assert decision.duplicate_delays_s == (0.5, 1.0, 1.5, 0.0)


def test_every_tampering_is_ordered_with_its_own_seed() -> None:
    """Two rules flip two bits."""
    first, second = _decide(TamperReply("reply"), TamperReply("time")).tampering

    assert (first.part, second.part) == ("reply", "time")
    assert first.seed != second.seed


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_rule_for_anything_leaves_alone_what_it_cannot_strike(operation: Operation) -> None:
    """A status has no node's signature, and a call is never answered from an old state."""
    facts = RequestFacts(operation=operation)

    assert _decide(StaleNode(rounds=1), facts=facts).rules == (
        ("fault-1",) if operation == "query" else ()
    )
    assert _decide(TamperReply(), facts=facts).rules == (
        () if operation == "status" else ("fault-1",)
    )


@pytest.mark.parametrize(
    ("match", "is_struck"),
    [
        pytest.param(Match(), True, id="anything"),
        pytest.param(Match(operation="query"), True, id="operation"),
        pytest.param(Match(operation="call"), False, id="other operation"),
        pytest.param(Match(canister=str(A)), True, id="canister"),
        pytest.param(Match(canister=str(B)), False, id="other canister"),
        pytest.param(Match(method="go"), True, id="method"),
        pytest.param(Match(method="g"), False, id="other method"),
        pytest.param(Match(subnet=str(SUBNET)), True, id="subnet"),
        pytest.param(Match(subnet=str(A)), False, id="other subnet"),
        pytest.param(Match(node=str(NODE)), True, id="node"),
        pytest.param(Match(node=str(A)), False, id="other node"),
        pytest.param(Match(canister=str(A), method="stay"), False, id="one of two"),
    ],
)
def test_a_rule_strikes_what_fits_all_its_fields(match: Match, *, is_struck: bool) -> None:
    """Fields that are not given fit everything."""
    plan = _plan(FaultRule(effect=LoseRequest(), match=match))

    assert plan.decide(QUERY, NOW_NS).is_request_lost is is_struck


def test_a_rule_about_a_canister_leaves_requests_without_one_alone() -> None:
    """A status request is about no canister."""
    plan = _plan(FaultRule(effect=LoseRequest(), match=Match(canister=str(A))))

    assert plan.decide(STATUS, NOW_NS) == UNTOUCHED


def test_a_rule_strikes_within_its_times() -> None:
    """From the first moment, and not in the last."""
    plan = _plan(FaultRule(effect=LoseRequest(), from_ns=NOW_NS, until_ns=NOW_NS + 10))

    struck = [plan.decide(QUERY, NOW_NS + after).is_request_lost for after in (-1, 0, 9, 10)]

    assert struck == [False, True, True, False]


def test_a_rule_strikes_as_often_as_its_limit() -> None:
    """Then it stays in the plan and does nothing."""
    plan = _plan(FaultRule(effect=LoseRequest(), limit=2))

    struck = [plan.decide(QUERY, NOW_NS).is_request_lost for _ in range(4)]

    assert struck == [True, True, False, False]
    assert [(rule.matched, rule.fired) for rule in plan.rules()] == [(2, 2)]


def test_a_probability_is_kept_in_the_long_run() -> None:
    """Three in ten, and the statistics count the same."""
    plan = _plan(FaultRule(effect=LoseRequest(), probability=0.3))

    struck = sum(plan.decide(QUERY, NOW_NS).is_request_lost for _ in range(5_000))

    assert struck == pytest.approx(1_500, rel=0.06)
    assert [(rule.matched, rule.fired) for rule in plan.rules()] == [(5_000, struck)]


def test_a_rule_that_is_certain_always_strikes_and_an_impossible_one_never() -> None:
    """The ends of the scale are exact."""
    plan = _plan(
        FaultRule(effect=LoseRequest(), probability=1.0),
        FaultRule(effect=LoseResponse(), probability=0.0),
    )

    assert {plan.decide(QUERY, NOW_NS).rules for _ in range(1_000)} == {("fault-1",)}


@given(st.lists(rules, max_size=5), requests, st.binary(max_size=4))
def test_the_same_seed_and_requests_meet_the_same_faults(
    planned: list[FaultRule], stream: list[RequestFacts], seed: bytes
) -> None:
    """A failure found with a plan can be found again."""
    first = _struck(_plan(*planned, seed=seed), stream)

    assert _struck(_plan(*planned, seed=seed), stream) == first


@given(rules, st.lists(rules, max_size=3), st.lists(rules, max_size=3), requests)
def test_other_rules_do_not_change_what_a_rule_draws(
    rule: FaultRule, before: list[FaultRule], after: list[FaultRule], stream: list[RequestFacts]
) -> None:
    """Whether they are older or younger."""
    watched = msgspec.structs.replace(rule, name="watched")
    alone, together = FaultPlan(b"seed"), FaultPlan(b"seed")
    own = alone.add(watched)
    for other in before:
        together.add(other)
    name = together.add(watched)
    for other in after:
        together.add(other)

    for facts in stream:
        decided = alone.decide(facts, NOW_NS)
        among = together.decide(facts, NOW_NS)
        assert (own in decided.rules) == (name in among.rules)
        assert set(decided.tampering) <= set(among.tampering)
        assert set(decided.duplicate_delays_s) <= set(among.duplicate_delays_s)
        assert decided.request_delay_s <= among.request_delay_s


def test_equal_rules_draw_differently() -> None:
    """Two rules of one in two lose three requests in four, not one in two."""
    rule = FaultRule(effect=LoseRequest(), probability=0.5)
    plan = _plan(rule, rule)

    lost = sum(plan.decide(QUERY, NOW_NS).is_request_lost for _ in range(4_000))

    assert lost == pytest.approx(3_000, rel=0.05)


def test_another_seed_draws_differently() -> None:
    """Otherwise seeds would be of no use."""
    rule = FaultRule(effect=LoseRequest(), probability=0.5)

    outcomes = {
        tuple(
            decision.is_request_lost for decision in _struck(_plan(rule, seed=seed), [QUERY] * 64)
        )
        for seed in (b"", b"a", b"b", b"ab")
    }

    assert len(outcomes) == 4


def test_a_named_rule_keeps_its_draws_when_its_probability_changes() -> None:
    """What a smaller probability loses, a larger one loses too."""
    few, many = (
        _plan(FaultRule(effect=LoseRequest(), probability=probability, name="loss"))
        for probability in (0.2, 0.6)
    )

    for _ in range(200):
        lost = few.decide(QUERY, NOW_NS).is_request_lost
        assert many.decide(QUERY, NOW_NS).is_request_lost >= lost


def test_a_removed_rule_strikes_no_more() -> None:
    """Ids are never given twice."""
    plan = FaultPlan(b"seed")
    first = plan.add(FaultRule(effect=LoseRequest()))

    removed = plan.remove(first)
    second = plan.add(FaultRule(effect=LoseResponse()))

    assert removed == FaultRule(effect=LoseRequest())
    assert plan.decide(QUERY, NOW_NS).rules == (second,)
    assert first != second
    with pytest.raises(FaultRuleError, match=f"no fault rule '{first}'"):
        plan.remove(first)
    plan.clear()
    assert plan.rules() == []


def test_the_list_of_rules_is_json() -> None:
    """With ids and statistics, for the admin interface."""
    plan = _plan(FaultRule(effect=LoseRequest(), limit=1))
    plan.decide(QUERY, NOW_NS)

    shown = msgspec.json.decode(msgspec.json.encode(plan.rules()))

    assert [(rule["id"], rule["matched"], rule["fired"]) for rule in shown] == [("fault-1", 1, 1)]
    assert shown[0]["rule"]["effect"] == {"kind": "lose_request"}


def test_a_plan_holds_a_bounded_number_of_rules() -> None:
    """Every request is held against each of them."""
    plan = _plan(*[FaultRule(effect=LoseRequest(), limit=1)] * 1_000)

    with pytest.raises(FaultRuleError, match="1000 fault rules already"):
        plan.add(FaultRule(effect=LoseRequest()))
