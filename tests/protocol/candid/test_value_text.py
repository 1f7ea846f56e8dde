"""Values as text: what is read at which type, what is refused, and that both directions agree."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.candid.strategies import ENVIRONMENT, types, values

from icfleet_protocol.candid import (
    CandidType,
    FieldType,
    FuncType,
    NamedType,
    OptType,
    RecordType,
    ServiceType,
    Some,
    VecType,
    format_value,
    parse_args,
    record,
    variant,
)
from icfleet_protocol.candid.types import (
    blob,
    bool_,
    float32,
    float64,
    int8,
    int_,
    nat,
    nat8,
    nat64,
    null,
    principal,
    reserved,
    text,
)
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER

PAIR = RecordType((FieldType(0, nat), FieldType(1, text)))

READ: list[Any] = [
    pytest.param("(10)", nat, 10, id="nat"),
    pytest.param("(1_000_000)", nat64, 1_000_000, id="underscores"),
    pytest.param("(0xFF)", nat, 255, id="hex"),
    pytest.param("(+5)", int_, 5, id="plus"),
    pytest.param("(-5)", int8, -5, id="minus"),
    pytest.param("(3)", float64, 3.0, id="int-as-float"),
    pytest.param("(3.)", float64, 3.0, id="float-dot"),
    pytest.param("(-1.5e3)", float64, -1500.0, id="exponent"),
    pytest.param("(0x1.8p1)", float64, 3.0, id="hex-float"),
    pytest.param("(0.1)", float32, 0.10000000149011612, id="float32-rounded"),
    pytest.param("(-inf)", float64, -math.inf, id="infinity"),
    pytest.param("(true)", bool_, True, id="bool"),
    pytest.param("(null)", null, None, id="null"),
    pytest.param('("anything")', reserved, None, id="reserved"),
    pytest.param(r'("a\n\"\u{1F_600}\e2\98\83")', text, 'a\n"😀☃', id="escapes"),
    pytest.param(r'(blob "a\00\ff")', blob, b"a\x00\xff", id="blob"),
    pytest.param("(vec { 1; 2 : nat8; })", blob, b"\x01\x02", id="vec-as-blob"),
    pytest.param('(blob "ab")', VecType(nat), [97, 98], id="blob-as-vec"),
    pytest.param("(vec { 1; 2 })", VecType(nat), [1, 2], id="vec"),
    pytest.param("(opt 5)", OptType(nat), 5, id="opt"),
    pytest.param("(5)", OptType(nat), 5, id="plain-as-opt"),
    pytest.param("(null)", OptType(nat), None, id="none"),
    pytest.param("(opt null)", OptType(OptType(nat)), Some(None), id="nested-none"),
    pytest.param("(opt opt 5)", OptType(OptType(nat)), Some(5), id="nested-opt"),
    pytest.param("(5)", OptType(OptType(nat)), Some(5), id="plain-as-nested-opt"),
    pytest.param("(opt null)", OptType(null), Some(None), id="opt-null"),
    pytest.param(
        '(record { b = "x"; a = 1 })', record(a=nat, b=text), {"a": 1, "b": "x"}, id="record"
    ),
    pytest.param('(record { 1; "x" })', PAIR, (1, "x"), id="tuple"),
    pytest.param('(record { 1 = "x"; 0 = 1 })', PAIR, (1, "x"), id="tuple-by-number"),
    pytest.param("(record { 97 = 1 })", record(a=nat), {"a": 1}, id="by-id"),
    pytest.param('(record { "a" = 1; b = 2 })', record(a=nat), {"a": 1}, id="more-fields"),
    pytest.param("(record {})", record(a=OptType(nat), b=null), {"a": None, "b": None}, id="less"),
    pytest.param("(variant { Main })", variant(Main=null), {"Main": None}, id="enum"),
    pytest.param("(variant { Ok = 5; })", variant(Ok=nat), {"Ok": 5}, id="variant"),
    pytest.param("(variant { 97 = 5 })", variant(a=nat), {"a": 5}, id="variant-by-id"),
    pytest.param('(principal "2vxsx-fae")', principal, ANONYMOUS, id="principal"),
    pytest.param('(service "aaaaa-aa")', principal, MANAGEMENT_CANISTER, id="service-as-principal"),
    pytest.param('(service "aaaaa-aa")', ServiceType(()), MANAGEMENT_CANISTER, id="service"),
    pytest.param(
        '(func "aaaaa-aa"."do it")',
        FuncType((), ()),
        (MANAGEMENT_CANISTER, "do it"),
        id="func",
    ),
    pytest.param("(5 : nat64)", nat64, 5, id="annotated"),
    pytest.param("(5 : nat)", int_, 5, id="annotated-nat-as-int"),
    pytest.param("(5 : nat)", OptType(nat), 5, id="annotated-as-opt"),
    pytest.param("((((5))))", nat, 5, id="brackets"),
    pytest.param("(vec { (5 : nat) })", VecType(nat), [5], id="annotated-item"),
    pytest.param("(5, )", nat, 5, id="comma-at-end"),
    pytest.param("(5 /* five */) // end", nat, 5, id="comments"),
]


@pytest.mark.parametrize(("written", "one", "expected"), READ)
def test_text_is_read_at_its_type(written: str, one: CandidType, expected: object) -> None:
    (value,) = parse_args(written, [one])

    assert value == expected
    assert type(value) is type(expected)


def test_several_arguments_are_read_and_nulls_may_be_left_out() -> None:
    expected = [nat, text, OptType(nat), reserved]

    assert parse_args('(1, "x")', expected) == (1, "x", None, None)
    assert parse_args("()", []) == ()


REFUSED = [
    pytest.param("5", nat, "line 1, column 1: expected '('", id="no-brackets"),
    pytest.param("(5", nat, "expected ',' or ')'", id="unfinished"),
    pytest.param("(5) 6", nat, "expected the end, found '6'", id="more"),
    pytest.param("(5, 6)", nat, "expected 1 arguments, got 2", id="too-many"),
    pytest.param("()", nat, "$[0]: expected nat, but there are only 0", id="too-few"),
    pytest.param("(-1)", nat, "$[0]: expected nat, got -1", id="range"),
    pytest.param("(300)", nat8, "$[0]: expected nat8, got 300", id="range-nat8"),
    pytest.param("(1e39)", float32, "$[0]: expected float32, got 1e39", id="range-float32"),
    pytest.param("(1.5)", nat, "$[0]: expected nat, got 1.5", id="fraction"),
    pytest.param("(1__0)", nat, "$[0]: expected nat, got 1__0", id="underscores"),
    pytest.param(f"({'9' * 5000})", nat, "$[0]: expected nat, got 9", id="digits"),
    pytest.param("(inf)", nat, "$[0]: expected nat, got inf", id="infinite-nat"),
    pytest.param('("5")', nat, '$[0]: expected nat, got "5"', id="text-as-nat"),
    pytest.param("(5)", text, "$[0]: expected text, got 5", id="nat-as-text"),
    pytest.param("(null)", nat, "$[0]: expected nat, got null", id="null-as-nat"),
    pytest.param("(1)", bool_, "$[0]: expected bool, got 1", id="nat-as-bool"),
    pytest.param('("x")', OptType(nat), '$[0]: expected nat, got "x"', id="misfit-under-opt"),
    pytest.param("(5)", NamedType("Opt"), "never fits an opt of itself", id="opt-of-itself"),
    pytest.param("(vec { 1; 300 })", blob, "$[0][1]: expected nat8, got 300", id="byte"),
    pytest.param("(vec { 1; true })", VecType(nat), "$[0][1]: expected nat, got true", id="item"),
    pytest.param("(opt 1)", nat, "$[0]: expected nat, got a present", id="opt-as-nat"),
    pytest.param("(5)", record(a=nat), "$[0]: expected a record, got 5", id="no-record"),
    pytest.param("(record {})", record(a=nat), "$[0]: expected a record with a", id="missing"),
    pytest.param(
        "(record { a = record { b = true } })",
        record(a=record(b=nat)),
        "$[0].a.b: expected nat, got true",
        id="path",
    ),
    pytest.param("(record { a = 1; 97 = 2 })", record(a=nat), "appears twice", id="field-twice"),
    pytest.param("(record { 4294967295 = 1; 2 })", record(a=nat), "too large", id="field-id"),
    pytest.param("(variant { B })", variant(A=null), "a variant with one of A, got", id="case"),
    pytest.param("(variant {})", variant(A=null), "expected a name, found '}'", id="no-case"),
    pytest.param("(5 : nat8)", nat64, "got a value marked as nat8", id="annotation"),
    pytest.param('(("x" : nat))', reserved, 'expected nat, got "x"', id="annotation-false"),
    pytest.param('(principal "aaaaa")', principal, "$[0]: not a", id="principal"),
    pytest.param('(principal "aaaaa-aa")', ServiceType(()), "got a principal", id="as-service"),
    pytest.param("(blob 5)", blob, "expected a text literal, found '5'", id="blob-number"),
    pytest.param("(nothing)", nat, "expected a value, found 'nothing'", id="word"),
    pytest.param("(;)", nat, "expected a value, found ';'", id="symbol"),
    pytest.param(f"({'opt ' * 101}5)", nat, "nested deeper than 100 levels", id="deep"),
]


@pytest.mark.parametrize(("written", "one", "reason"), REFUSED)
def test_what_does_not_fit_is_refused_with_its_place(
    written: str, one: CandidType, reason: str
) -> None:
    with pytest.raises(CandidError) as refused:
        parse_args(written, [one], environment={"Opt": OptType(NamedType("Opt"))})

    assert reason in str(refused.value)


_words = st.sampled_from(
    [
        *("(", ")", "{", "}", ";", ",", "=", ":", ".", "opt", "vec", "record", "variant", "blob"),
        *("principal", "func", "null", "true", "nat", "a", '"a"', "5", "-1", "1.5", "0x1F", "\\"),
    ]
)


@given(st.lists(types, max_size=2), st.lists(_words, max_size=12).map(" ".join))
def test_any_text_raises_only_candid_error(expected: list[CandidType], written: str) -> None:
    try:
        found = parse_args(f"({written})", expected, environment=ENVIRONMENT)
    except CandidError:
        return
    assert len(found) == len(expected)


@given(st.data())
def test_a_written_value_reads_back(data: st.DataObject) -> None:
    one = data.draw(types)
    value = data.draw(values(one))

    written = format_value(value, one, environment=ENVIRONMENT)

    assert parse_args(f"({written})", [one], environment=ENVIRONMENT) == (value,)


WRITTEN: list[Any] = [
    pytest.param(1_000_000, nat64, "1_000_000", id="nat"),
    pytest.param(-5, int_, "-5", id="int"),
    pytest.param(1, float64, "1.0", id="float"),
    pytest.param(math.inf, float64, "inf", id="infinity"),
    pytest.param(None, OptType(nat), "null", id="none"),
    pytest.param(5, OptType(nat), "opt 5", id="opt"),
    pytest.param(Some(None), OptType(OptType(nat)), "opt null", id="nested-opt"),
    pytest.param('a"\n\x00☃', text, r'"a\"\n\u{0}☃"', id="text"),
    pytest.param(b'a"\x00\xff', blob, r'blob "a\22\00\ff"', id="blob"),
    pytest.param([97, 98], blob, 'blob "ab"', id="list-as-blob"),
    pytest.param([], VecType(nat), "vec {}", id="empty"),
    pytest.param([1, 2], VecType(nat), "vec { 1; 2 }", id="vec"),
    pytest.param((1, "x"), PAIR, 'record { 1; "x" }', id="tuple"),
    pytest.param(
        {"b": 1}, record(b=nat, a=OptType(nat)), "record { b = 1; a = null }", id="record"
    ),
    pytest.param({"Main": None}, variant(Main=null), "variant { Main }", id="enum"),
    pytest.param({"Ok": True}, variant(Ok=bool_), "variant { Ok = true }", id="variant"),
    pytest.param(ANONYMOUS, principal, 'principal "2vxsx-fae"', id="principal"),
    pytest.param(ANONYMOUS, ServiceType(()), 'service "2vxsx-fae"', id="service"),
    pytest.param((ANONYMOUS, "do it"), FuncType((), ()), 'func "2vxsx-fae"."do it"', id="func"),
]


@pytest.mark.parametrize(("value", "one", "expected"), WRITTEN)
def test_a_value_is_written_for_people(value: object, one: CandidType, expected: str) -> None:
    assert format_value(value, one) == expected


def test_long_values_get_a_line_for_each_part() -> None:
    content = VecType(record(name=text, tags=VecType(text)))
    value = [{"name": "x" * 50, "tags": ["a", "b"]}, {"name": "y", "tags": ["c" * 50, "d" * 50]}]

    assert format_value(value, content) == "\n".join(
        [
            "vec {",
            f'  record {{ name = "{"x" * 50}"; tags = vec {{ "a"; "b" }} }};',
            "  record {",
            '    name = "y";',
            "    tags = vec {",
            f'      "{"c" * 50}";',
            f'      "{"d" * 50}";',
            "    };",
            "  };",
            "}",
        ]
    )


def test_only_a_value_of_the_type_is_written() -> None:
    with pytest.raises(CandidError, match=r"\$\[0\]\.a: expected nat, got 'x'"):
        format_value({"a": "x"}, record(a=nat))


def test_a_value_too_deep_for_text_is_refused() -> None:
    environment = {"List": OptType(record(tail=NamedType("List")))}
    value: Any = None
    for _ in range(200):
        value = {"tail": value}

    with pytest.raises(CandidError, match="nested deeper than 100 levels"):
        format_value(value, NamedType("List"), environment=environment)
