"""Writing: what is accepted for each type, and errors that name the place."""

from enum import IntEnum
from types import MappingProxyType
from typing import Any

import pytest

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
    decode,
    encode,
    record,
    variant,
)
from icfleet_protocol.candid.types import (
    blob,
    bool_,
    empty,
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
from icfleet_protocol.principal import ANONYMOUS

PAIR = RecordType((FieldType(0, nat), FieldType(1, text)))
ORDER = record(
    ops=VecType(record(amount=nat64, note=OptType(text))), kind=variant(Buy=nat, Sell=nat)
)
FUNCTION = FuncType((), ())

REFUSED = [
    pytest.param(nat64, -1, "$[0]: expected nat64, got -1", id="nat64-negative"),
    pytest.param(nat64, 2**64, "$[0]: expected nat64, got 18446744073709551616", id="nat64-big"),
    pytest.param(nat64, True, "$[0]: expected nat64, got True", id="nat64-bool"),
    pytest.param(nat64, 1.0, "$[0]: expected nat64, got 1.0", id="nat64-float"),
    pytest.param(int8, 128, "$[0]: expected int8, got 128", id="int8-big"),
    pytest.param(nat, -1, "$[0]: expected nat, got -1", id="nat-negative"),
    pytest.param(nat, True, "$[0]: expected nat, got True", id="nat-bool"),
    pytest.param(int_, "1", "$[0]: expected int, got '1'", id="int-text"),
    pytest.param(int_, 1 << 8000, "$[0]: expected int, got a number of 8001 bits", id="int-huge"),
    pytest.param(text, 1 << 99999, "$[0]: expected text, got a number of 100000 bits", id="huge"),
    pytest.param(float64, True, "$[0]: expected float64, got True", id="float-bool"),
    pytest.param(float32, 1e39, "$[0]: expected float32, got 1e+39", id="float32-big"),
    pytest.param(float64, 10**400, "$[0]: expected float64, got 1", id="float64-big-int"),
    pytest.param(bool_, 1, "$[0]: expected bool, got 1", id="bool-int"),
    pytest.param(null, 0, "$[0]: expected null, got 0", id="null-zero"),
    pytest.param(empty, None, "$[0]: expected nothing, because empty has no values", id="empty"),
    pytest.param(text, b"x", "$[0]: expected text, got b'x'", id="text-bytes"),
    pytest.param(text, "\ud800", "$[0]: expected text without surrogates", id="surrogate"),
    pytest.param(principal, "aaaaa-aa", "$[0]: expected principal, got 'aaaaa-aa'", id="principal"),
    pytest.param(blob, "x", "$[0]: expected bytes, got 'x'", id="blob-text"),
    pytest.param(blob, [1, 256], "$[0][1]: expected nat8, got 256", id="blob-list"),
    pytest.param(VecType(nat), {1}, "$[0]: expected a list, got {1}", id="vec-set"),
    pytest.param(VecType(nat), [1, None], "$[0][1]: expected nat, got None", id="vec-item"),
    pytest.param(VecType(nat64), [1, True], "$[0][1]: expected nat64, got True", id="vec-bool"),
    pytest.param(OptType(nat), "x", "$[0]: expected nat, got 'x'", id="opt-content"),
    pytest.param(PAIR, (1,), "$[0]: expected a tuple of 2, got (1,)", id="tuple-short"),
    pytest.param(PAIR, {0: 1, 1: "x"}, "$[0]: expected a tuple of 2, got {", id="tuple-dict"),
    pytest.param(PAIR, (1, 2), "$[0][1]: expected text, got 2", id="tuple-item"),
    pytest.param(record(a=nat), (1,), "$[0]: expected a dict for a record", id="record-tuple"),
    pytest.param(record(a=nat), {}, "$[0]: expected a record with a, got {}", id="record-short"),
    pytest.param(
        record(a=OptType(nat)),
        {"A": 1},
        "$[0]: expected only the fields a, got 'A'",
        id="record-misspelt",
    ),
    pytest.param(variant(A=nat), "A", "$[0]: expected a dict with one key", id="variant-text"),
    pytest.param(variant(A=nat), {}, "$[0]: expected a dict with one key", id="variant-empty"),
    pytest.param(
        variant(A=nat, B=nat), {"A": 1, "B": 2}, "expected a dict with one key", id="variant-two"
    ),
    pytest.param(
        variant(A=nat), {"B": 1}, "$[0]: expected one of the cases A, got 'B'", id="variant-other"
    ),
    pytest.param(FUNCTION, ANONYMOUS, "expected (principal, method name)", id="func"),
    pytest.param(ServiceType(()), "aaaaa-aa", "expected service, got", id="service"),
    pytest.param(
        ORDER,
        {"ops": [{"amount": 1, "note": None}] * 3 + [{"amount": -1}], "kind": {"Buy": 1}},
        "$[0].ops[3].amount: expected nat64, got -1",
        id="deep",
    ),
    pytest.param(
        RecordType((FieldType("a b", variant(Case=VecType(nat))),)),
        {"a b": {"Case": [0, "x"]}},
        "$[0].\"a b\".Case[1]: expected nat, got 'x'",
        id="quoted-path",
    ),
]


@pytest.mark.parametrize(("one", "value", "message"), REFUSED)
def test_a_wrong_value_is_refused_with_its_place(
    one: CandidType, value: object, message: str
) -> None:
    with pytest.raises(CandidError) as refused:
        encode([one], [value])

    assert message in str(refused.value)
    assert message.startswith(refused.value.path) or "$" not in message


class Level(IntEnum):
    EASY = 1


ACCEPTED = [
    pytest.param(float64, 1, 1.0, id="int-for-float"),
    pytest.param(float32, 1, 1.0, id="int-for-float32"),
    pytest.param(nat64, Level.EASY, 1, id="int-enum"),
    pytest.param(nat, Level.EASY, 1, id="int-enum-for-nat"),
    pytest.param(nat, 2**7000, 2**7000, id="big-nat"),
    pytest.param(int_, -(2**7000), -(2**7000), id="big-int"),
    pytest.param(blob, bytearray(b"ab"), b"ab", id="bytearray"),
    pytest.param(blob, memoryview(b"ab"), b"ab", id="memoryview"),
    pytest.param(blob, [97, 98], b"ab", id="list-for-blob"),
    pytest.param(VecType(nat), (1, 2), [1, 2], id="tuple-for-vec"),
    pytest.param(PAIR, [1, "x"], (1, "x"), id="list-for-tuple"),
    pytest.param(record(a=nat), MappingProxyType({"a": 1}), {"a": 1}, id="mapping"),
    pytest.param(record(a=OptType(nat), b=null, c=reserved), {}, dict.fromkeys("abc"), id="absent"),
    pytest.param(OptType(nat), Some(1), 1, id="some-for-plain-opt"),
    pytest.param(OptType(OptType(nat)), 1, Some(1), id="plain-for-nested-opt"),
    pytest.param(OptType(null), Some(None), Some(None), id="some-null"),
    pytest.param(reserved, "anything", None, id="reserved"),
    pytest.param(ServiceType(()), ANONYMOUS, ANONYMOUS, id="service"),
    pytest.param(FUNCTION, (ANONYMOUS, "get"), (ANONYMOUS, "get"), id="func"),
]


@pytest.mark.parametrize(("one", "value", "expected"), ACCEPTED)
def test_near_relatives_of_a_value_are_taken(
    one: CandidType, value: object, expected: object
) -> None:
    assert decode(encode([one], [value]), [one]) == (expected,)


def test_the_number_of_arguments_must_be_right() -> None:
    with pytest.raises(CandidError, match="expected 2 arguments, got 1"):
        encode([nat, text], [1])


def test_neighbouring_numbers_are_checked_one_by_one() -> None:
    """They are written by one call, which alone would take a flag for a number."""
    content = record(a=nat64, b=float64, c=int8)

    assert decode(encode([content], [{"a": 1, "b": 2, "c": 3}]), [content]) == (
        {"a": 1, "b": 2.0, "c": 3},
    )
    with pytest.raises(CandidError, match=r"\$\[0\]\.c: expected int8, got True"):
        encode([content], [{"a": 1, "b": 2.0, "c": True}])


def test_a_deep_value_is_written_without_recursion() -> None:
    environment = {"List": OptType(record(head=nat, tail=NamedType("List")))}
    value: Any = None
    for head in range(255):
        value = {"head": head, "tail": value}

    written = encode([NamedType("List")], [value], environment=environment)

    assert decode(written, [NamedType("List")], environment=environment) == (value,)


def test_a_cyclic_value_is_refused() -> None:
    environment = {"List": VecType(NamedType("List"))}
    value: list[Any] = []
    value.append(value)

    with pytest.raises(CandidError, match="nested deeper than 512 levels"):
        encode([NamedType("List")], [value], environment=environment)


def test_a_blob_may_be_named() -> None:
    environment = {"Byte": nat8}

    written = encode([VecType(NamedType("Byte"))], [b"ab"], environment=environment)

    assert decode(written, [blob]) == (b"ab",)
