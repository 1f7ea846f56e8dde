"""Fault rules are checked when they are made, and their JSON is strict and complete."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet.distributions import Fixed, LogNormal, Uniform
from icfleet_localnet.fault_rules import (
    ClockJump,
    Command,
    DrainCycles,
    Duplicate,
    Effect,
    FaultRule,
    FaultRuleError,
    HaltSubnet,
    HttpError,
    Latency,
    LoseRequest,
    LoseResponse,
    Match,
    Operation,
    RejectWith,
    ResumeSubnet,
    StaleNode,
    TamperReply,
    command_to_json,
    parse_command,
    parse_rule,
    to_json,
)

CANISTER = "bkyz2-fmaaa-aaaaa-qaaaq-cai"
EVERYWHERE = {"query", "call", "read_state", "status"}

EFFECTS: list[tuple[Effect, set[str]]] = [
    (Latency(Fixed(0.2)), EVERYWHERE),
    (Latency(Uniform(0.1, 0.3), stage="response"), EVERYWHERE),
    (Latency(LogNormal(0.1, 0.5)), EVERYWHERE),
    (LoseRequest(), EVERYWHERE),
    (LoseResponse(), EVERYWHERE),
    (Duplicate(3, Fixed(1.0)), EVERYWHERE),
    (StaleNode(rounds=2), {"query"}),
    (StaleNode(seconds=1.5), {"query"}),
    (RejectWith(5, "no", "IC0503"), {"query", "call"}),
    (HttpError(429, "slow down", 3), EVERYWHERE),
    (TamperReply("reply"), {"query", "call", "read_state"}),
    (TamperReply("certificate"), {"call", "read_state"}),
    (TamperReply("signature"), {"query", "call", "read_state"}),
    (TamperReply("time"), {"query", "call", "read_state"}),
    (TamperReply("node"), {"query"}),
    (TamperReply("delegation"), {"call", "read_state"}),
]
COMMANDS: list[Command] = [
    HaltSubnet(CANISTER),
    ResumeSubnet(CANISTER),
    DrainCycles(CANISTER, leave=7),
    ClockJump(3600.5),
]
MALFORMED: list[tuple[str, str]] = [
    ("", "truncated"),
    ("nonsense", "malformed"),
    ("[]", "Expected `object`, got `array`"),
    ("{}", "missing required field `effect`"),
    ('{"effect": {}}', r"missing required field `kind` - at `\$.effect`"),
    ('{"effect": {"kind": "explode"}}', r"Invalid value 'explode' - at `\$.effect.kind`"),
    ('{"effect": {"kind": "lose_request", "x": 1}}', r"unknown field `x` - at `\$.effect`"),
    ('{"effect": {"kind": "lose_request"}, "when": 1}', "unknown field `when`"),
    (
        '{"effect": {"kind": "lose_request"}, "match": {"operation": "write"}}',
        r"\$.match.operation",
    ),
    ('{"effect": {"kind": "lose_request"}, "match": {"canister": "abc"}}', r"canister: .*\$.match"),
    ('{"effect": {"kind": "lose_request"}, "match": {"method": 5}}', r"\$.match.method"),
    ('{"effect": {"kind": "lose_request"}, "probability": 1.01}', "probability must be between"),
    (
        '{"effect": {"kind": "lose_request"}, "probability": "1"}',
        r"got `str` - at `\$.probability`",
    ),
    ('{"effect": {"kind": "lose_request"}, "limit": 0}', "limit must be between"),
    ('{"effect": {"kind": "lose_request"}, "limit": 1.5}', r"\$.limit"),
    ('{"effect": {"kind": "lose_request"}, "from_ns": 5, "until_ns": 5}', "before until_ns"),
    ('{"effect": {"kind": "latency"}}', "missing required field `delay`"),
    ('{"effect": {"kind": "latency", "delay": {"kind": "fixed", "seconds": -1}}}', "seconds must"),
    ('{"effect": {"kind": "latency", "delay": {"kind": "fixed", "seconds": 301}}}', "effect.delay"),
    ('{"effect": {"kind": "latency", "delay": 1}}', r"\$.effect.delay"),
    ('{"effect": {"kind": "duplicate", "count": 101}}', r"count must be .* - at `\$.effect`"),
    ('{"effect": {"kind": "stale_node"}}', "either rounds or seconds"),
    ('{"effect": {"kind": "stale_node", "rounds": 1, "seconds": 1}}', "either rounds or seconds"),
    ('{"effect": {"kind": "stale_node", "rounds": 5}}', "rounds must be between 1 and 4"),
    ('{"effect": {"kind": "reject_with", "code": 6}}', "code must be between 1 and 5"),
    ('{"effect": {"kind": "reject_with", "error_code": "503"}}', "like IC0503"),
    ('{"effect": {"kind": "reject_with", "code": 4}}', "IC0201 does not belong to reject code 4"),
    ('{"effect": {"kind": "http_error", "status": 200}}', "status must be between 400 and 599"),
    ('{"effect": {"kind": "tamper_reply", "part": "all"}}', r"\$.effect.part"),
]


@pytest.mark.parametrize("effect", [effect for effect, _ in EFFECTS], ids=repr)
def test_a_rule_survives_its_json(effect: Effect) -> None:
    """What the admin interface prints, it also reads."""
    match = Match(canister=CANISTER, method="go", subnet=CANISTER, node=CANISTER)
    rule = FaultRule(
        effect=effect, match=match, probability=0.5, limit=3, from_ns=1, until_ns=2, name="mine"
    )

    assert parse_rule(to_json(rule)) == rule
    assert parse_rule(to_json(FaultRule(effect=effect))) == FaultRule(effect=effect)


@pytest.mark.parametrize("command", COMMANDS, ids=repr)
def test_a_command_survives_its_json(command: Command) -> None:
    """Commands have the same form as rules."""
    assert parse_command(command_to_json(command)) == command


def test_the_json_is_what_the_documentation_shows() -> None:
    """Field by field."""
    rule = parse_rule(
        b'{"effect": {"kind": "latency",'
        b' "delay": {"kind": "lognormal", "median_s": 0.2, "sigma": 0.5}},'
        b' "match": {"operation": "query", "method": "go"}, "probability": 0.1, "limit": 5}'
    )

    assert rule == FaultRule(
        effect=Latency(LogNormal(0.2, 0.5)),
        match=Match(operation="query", method="go"),
        probability=0.1,
        limit=5,
    )


@pytest.mark.parametrize(("text", "message"), MALFORMED, ids=[text for text, _ in MALFORMED])
def test_a_malformed_rule_is_refused_with_the_place(text: str, message: str) -> None:
    """The error says what is wrong, and where in the JSON it stands."""
    with pytest.raises(FaultRuleError, match=message):
        parse_rule(text.encode())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind": "halt_subnet"}', "missing required field `subnet`"),
        ('{"kind": "halt_subnet", "subnet": "x"}', "subnet: "),
        ('{"kind": "drain_cycles", "canister": "aaaaa-aa", "leave": -1}', "leave must be"),
        ('{"kind": "clock_jump", "seconds": -5}', "seconds must be"),
        ('{"kind": "clock_jump", "seconds": 5, "minutes": 1}', "unknown field `minutes`"),
        ('{"kind": "lose_request"}', "Invalid value 'lose_request'"),
    ],
)
def test_a_malformed_command_is_refused_with_the_place(text: str, message: str) -> None:
    """A rule's effect is no command either."""
    with pytest.raises(FaultRuleError, match=message):
        parse_command(text.encode())


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.1, 1.1])
def test_a_rule_made_in_python_is_checked_as_well(wrong: float) -> None:
    """The checks do not depend on JSON."""
    with pytest.raises(FaultRuleError, match="probability"):
        FaultRule(effect=LoseRequest(), probability=wrong)


@pytest.mark.parametrize(("effect", "operations"), EFFECTS, ids=[repr(e) for e, _ in EFFECTS])
def test_an_effect_happens_only_where_it_can(effect: Effect, operations: set[Operation]) -> None:
    """A rule for an operation that cannot have the effect is refused with those that can."""
    assert FaultRule(effect=effect).operations == operations
    for operation in operations:
        assert FaultRule(effect=effect, match=Match(operation=operation)).effect == effect
    for name in sorted(EVERYWHERE - operations):
        text = json.dumps({"effect": json.loads(to_json(FaultRule(effect=effect)))["effect"]})
        text = f'{text[:-1]}, "match": {{"operation": "{name}"}}}}'
        with pytest.raises(FaultRuleError, match=f"cannot happen to a {name}, only to: "):
            parse_rule(text.encode())


def test_a_rule_may_not_be_longer_than_any_rule_is() -> None:
    """Sixty-four kibibytes, checked before anything is read."""
    with pytest.raises(FaultRuleError, match="at most 65536 allowed"):
        parse_rule(b" " * 65_537)


@pytest.mark.parametrize("text", [b"[" * 60_000, b'{"effect":' * 6_000, b'{"a":' * 10_000])
def test_deep_nesting_is_refused(text: bytes) -> None:
    """Without running out of stack."""
    with pytest.raises(FaultRuleError):
        parse_rule(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["effect", "match", "kind", "delay", "limit", "operation", "seconds"]),
            inner | st.sampled_from(["latency", "fixed", "lose_request", "query", "stale_node"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_rule_or_our_error(text: bytes) -> None:
    """Nothing else comes out of either parser."""
    for parse in (parse_rule, parse_command):
        try:
            parse(text)
        except FaultRuleError:
            continue
