"""Types: equality, order, text, and what cannot be a type."""

import pytest
from hypothesis import given
from tests.protocol.candid.strategies import ENVIRONMENT, types

from icfleet_protocol.candid import (
    CandidType,
    FieldType,
    FuncType,
    NamedType,
    OptType,
    RecordType,
    ServiceType,
    VariantType,
    VecType,
    decode,
    encode,
    parse_did,
    record,
    variant,
)
from icfleet_protocol.candid.types import (
    blob,
    int_,
    nat,
    nat8,
    nat64,
    null,
    reserved,
    text,
)
from icfleet_protocol.errors import CandidError

TEXTS = [
    pytest.param(nat64, "nat64", id="primitive"),
    pytest.param(OptType(VecType(text)), "opt vec text", id="nested"),
    pytest.param(VecType(nat8), "blob", id="blob"),
    pytest.param(record(b=nat, a=text), "record { b : nat; a : text }", id="record"),
    pytest.param(RecordType(()), "record {}", id="empty-record"),
    pytest.param(
        RecordType((FieldType(1, text), FieldType(0, nat))), "record { nat; text }", id="tuple"
    ),
    pytest.param(RecordType((FieldType(1, text),)), "record { 1 : text }", id="numbered"),
    pytest.param(variant(Ok=nat, Empty=null), "variant { Ok : nat; Empty }", id="variant"),
    pytest.param(
        RecordType((FieldType("a b", nat), FieldType("query", nat), FieldType('"', nat))),
        r'record { "a b" : nat; "query" : nat; "\"" : nat }',
        id="quoted-names",
    ),
    pytest.param(FuncType((nat, text), (), "oneway"), "func (nat, text) -> () oneway", id="func"),
    pytest.param(
        ServiceType((("get", FuncType((), (nat,), "query")), ("put", NamedType("Put")))),
        "service { get : () -> (nat) query; put : Put; }",
        id="service",
    ),
]


@pytest.mark.parametrize(("one", "expected"), TEXTS)
def test_a_type_prints_as_did_text(one: CandidType, expected: str) -> None:
    assert str(one) == expected


@given(types)
def test_a_printed_type_reads_back(one: CandidType) -> None:
    names = "\n".join(f"type {name} = {content};" for name, content in ENVIRONMENT.items())

    interface = parse_did(f"{names}\nservice : {{ check : ({one}) -> () }}")

    assert interface.methods["check"].args == (one,)


def test_the_order_of_fields_does_not_count() -> None:
    left = record(a=nat, b=text)
    right = record(b=text, a=nat)

    assert left == right
    assert hash(left) == hash(right)
    assert [field.name for field in right.fields] == ["b", "a"]


def test_types_of_different_kinds_differ() -> None:
    assert nat != int_
    assert OptType(nat) != VecType(nat)
    assert record(a=nat) != variant(a=nat)
    assert record(a=nat) != record(a=int_)
    assert record(a=nat) != "record { a : nat }"
    assert len({nat, int_, nat, OptType(nat), OptType(nat), blob, VecType(nat8)}) == 4


def test_a_name_and_its_number_are_the_same_on_the_wire_only() -> None:
    named, numbered = record(foo=nat), RecordType((FieldType(5097222, nat),))

    assert named != numbered
    assert decode(encode([named], [{"foo": 1}]), [numbered]) == ({5097222: 1},)


@pytest.mark.parametrize("kind", [RecordType, VariantType])
def test_two_fields_of_one_id_are_refused(kind: type[RecordType | VariantType]) -> None:
    with pytest.raises(CandidError, match="same id 5097222"):
        kind((FieldType("foo", nat), FieldType(5097222, text)))


@pytest.mark.parametrize("number", [-1, 2**32])
def test_a_field_id_has_32_bits(number: int) -> None:
    with pytest.raises(CandidError, match="not between 0 and 4294967295"):
        FieldType(number, nat)


def test_a_name_is_unicode_text() -> None:
    with pytest.raises(CandidError, match="not Unicode"):
        FieldType("\ud800", nat)


def test_a_oneway_function_has_no_results() -> None:
    with pytest.raises(CandidError, match="no results"):
        FuncType((), (nat,), "oneway")


def test_a_service_has_each_method_once() -> None:
    with pytest.raises(CandidError, match="twice"):
        ServiceType((("get", FuncType(())), ("get", FuncType((nat,)))))


UNRESOLVED = [
    pytest.param({}, "type Name is not defined", id="undefined"),
    pytest.param({"Name": NamedType("Name")}, "defined by itself only", id="vacuous"),
    pytest.param(
        {"Name": NamedType("Other"), "Other": NamedType("Name")}, "itself only", id="circle"
    ),
    pytest.param({"Name": CandidType()}, "not a Candid type", id="foreign"),
]


@pytest.mark.parametrize(("environment", "reason"), UNRESOLVED)
def test_a_name_must_stand_for_a_type(environment: dict[str, CandidType], reason: str) -> None:
    with pytest.raises(CandidError, match=reason):
        encode([VecType(NamedType("Name"))], [[]], environment=environment)


def test_a_method_must_be_a_function() -> None:
    with pytest.raises(CandidError, match="method get is not a function"):
        encode([ServiceType((("get", reserved),))], [None])
