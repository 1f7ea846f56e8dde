"""Reading at other types than were written, and what a message may cost."""

from typing import Any

import pytest

from icfleet_protocol.candid import (
    CandidType,
    DecodeLimits,
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
from icfleet_protocol.candid.codec import Codec
from icfleet_protocol.candid.types import (
    blob,
    bool_,
    int_,
    nat,
    nat8,
    nat32,
    nat64,
    null,
    principal,
    reserved,
    text,
)
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import ANONYMOUS

WRITTEN = record(name=text, score=nat64, level=nat32, owner=principal, tags=VecType(text))
VALUE = {"name": "ada", "score": 7, "level": 3, "owner": ANONYMOUS, "tags": ["x"]}
GET = FuncType((nat,), (text,), "query")

COERCED: list[Any] = [
    pytest.param(WRITTEN, VALUE, record(name=text), {"name": "ada"}, id="fields-dropped"),
    pytest.param(
        WRITTEN,
        VALUE,
        record(new=OptType(nat), name=OptType(text), gone=null, score=nat64),
        {"new": None, "name": "ada", "gone": None, "score": 7},
        id="fields-added-in-our-order",
    ),
    pytest.param(WRITTEN, VALUE, record(name=OptType(nat)), {"name": None}, id="misfit-under-opt"),
    pytest.param(WRITTEN, VALUE, reserved, None, id="reserved"),
    pytest.param(nat, 5, int_, 5, id="nat-as-int"),
    pytest.param(nat, 5, OptType(int_), 5, id="plain-as-opt"),
    pytest.param(nat, 5, OptType(OptType(int_)), Some(5), id="plain-as-nested-opt"),
    pytest.param(nat, 5, OptType(OptType(text)), Some(None), id="misfit-as-nested-opt"),
    pytest.param(nat, 5, OptType(reserved), Some(None), id="plain-as-opt-reserved"),
    pytest.param(null, None, OptType(OptType(nat)), None, id="null-as-opt"),
    pytest.param(OptType(null), Some(None), OptType(OptType(nat)), Some(None), id="opt-null"),
    pytest.param(
        VecType(variant(A=null, B=nat)),
        [{"A": None}, {"B": 1}],
        VecType(OptType(variant(A=null))),
        [{"A": None}, None],
        id="unknown-case-under-opt",
    ),
    pytest.param(
        OptType(record(a=OptType(record(b=text)), c=nat)),
        {"a": {"b": "x"}, "c": 1},
        OptType(record(a=OptType(record(b=nat)), c=nat)),
        {"a": None, "c": 1},
        id="innermost-opt-catches",
    ),
    pytest.param(
        OptType(record(a=OptType(text), c=nat)),
        {"a": "x", "c": 1},
        OptType(record(a=OptType(text), c=text)),
        None,
        id="outer-opt-catches-what-comes-after",
    ),
    pytest.param(VecType(nat8), b"ab", VecType(OptType(nat8)), [97, 98], id="blob-as-options"),
    pytest.param(VecType(nat), [], blob, b"", id="empty-vec-as-blob"),
    pytest.param(VecType(text), [], VecType(nat), [], id="empty-vec-of-anything"),
    pytest.param(ServiceType(()), ANONYMOUS, principal, ANONYMOUS, id="service-as-principal"),
    pytest.param(
        ServiceType((("a", GET), ("b", GET))),
        ANONYMOUS,
        ServiceType((("a", GET),)),
        ANONYMOUS,
        id="service-with-more-methods",
    ),
    pytest.param(
        FuncType((int_,), (nat,)),
        (ANONYMOUS, "f"),
        FuncType((nat,), (int_,)),
        (ANONYMOUS, "f"),
        id="func-subtype",
    ),
    pytest.param(
        FuncType((nat,), ()),
        (ANONYMOUS, "f"),
        OptType(FuncType((int_,), ())),
        None,
        id="func-misfit-under-opt",
    ),
]


@pytest.mark.parametrize(("wire", "value", "expected", "result"), COERCED)
def test_a_message_of_a_related_type_is_read(
    wire: CandidType, value: object, expected: CandidType, result: Any
) -> None:
    message = encode([wire], [value])
    codec = Codec([expected], {})

    assert codec.decode_plainly(message) == (result,)
    assert codec.decode(message) == (result,)
    # As text, because a dict's order is part of the promise.
    assert repr(codec.decode(message)) == repr((result,))


REFUSED = [
    pytest.param(WRITTEN, VALUE, record(name=nat), "$[0].name: expected nat, got text", id="field"),
    pytest.param(WRITTEN, VALUE, record(x=nat), "$[0]: record without x", id="missing-field"),
    pytest.param(
        VecType(variant(A=null, B=nat)),
        [{"A": None}, {"B": 1}],
        VecType(variant(A=null)),
        "$[0][1]: unknown case.66",
        id="unknown-case",
    ),
    pytest.param(
        variant(A=VecType(nat)),
        {"A": [1]},
        variant(A=VecType(text)),
        "$[0].A[0]: expected text, got nat",
        id="in-a-case",
    ),
    pytest.param(int_, 5, nat, "$[0]: expected nat, got int", id="int-as-nat"),
    pytest.param(principal, ANONYMOUS, ServiceType(()), "expected service", id="principal"),
    pytest.param(
        FuncType((nat,), ()), (ANONYMOUS, "f"), FuncType((int_,), ()), "expected func", id="func"
    ),
    pytest.param(
        FuncType((), (), "query"), (ANONYMOUS, "f"), FuncType((), ()), "expected func", id="kind"
    ),
    pytest.param(
        ServiceType(()), ANONYMOUS, ServiceType((("a", GET),)), "expected service", id="methods"
    ),
]


@pytest.mark.parametrize(("wire", "value", "expected", "reason"), REFUSED)
def test_a_message_of_an_unrelated_type_is_refused(
    wire: CandidType, value: object, expected: CandidType, reason: str
) -> None:
    message = encode([wire], [value])

    with pytest.raises(CandidError) as plain:
        Codec([expected], {}).decode_plainly(message)
    with pytest.raises(CandidError) as compiled:
        decode(message, [expected])

    assert reason in str(plain.value)
    assert str(compiled.value) == str(plain.value)


# Beyond the official suite; each after "DIDL".
MALFORMED = [
    pytest.param("000168 00", principal, "opaque reference", id="opaque-principal"),
    pytest.param("000168 02", principal, "byte 2 where only 0 or 1", id="principal-tag"),
    pytest.param(f"000168 011e{'00' * 30}", principal, "principal of 30 bytes", id="principal"),
    pytest.param("016a0000000100 00", FuncType((), ()), "opaque reference", id="opaque-func"),
    pytest.param("016700 0100 0001", reserved, "holds references", id="future-with-references"),
    pytest.param("000171 8080", text, "without an end", id="length-unfinished"),
    pytest.param("000171 ffff7f", text, "2097151 bytes announced, 0 left", id="long-length"),
    pytest.param("00017d" + "ff" * 1030, nat, "number too long", id="nat-too-long"),
    pytest.param("016d7d0100 8008", VecType(nat), "1024 elements announced", id="vec"),
    pytest.param("016d780100 0100", VecType(nat64), "1 elements announced", id="vec-fixed"),
    pytest.param("016b01007f0100 8001", variant(), "case 128 of a variant with 1", id="case"),
]


@pytest.mark.parametrize(("tail", "expected", "reason"), MALFORMED)
def test_a_malformed_value_is_refused(tail: str, expected: CandidType, reason: str) -> None:
    message = b"DIDL" + bytes.fromhex(tail)

    for one in (expected, OptType(expected), reserved):
        with pytest.raises(CandidError, match=reason):
            decode(message, [one])


def test_more_arguments_than_expected_are_dropped_but_checked() -> None:
    message = encode([nat, text], [5, "x"])

    assert decode(message, [nat]) == (5,)
    with pytest.raises(CandidError, match=r"\$\[1\]: .*UTF-8"):
        decode(message[:-1] + b"\xff", [nat])


def test_missing_arguments_may_be_null() -> None:
    message = encode([nat], [5])

    assert decode(message, [nat, OptType(text), reserved, null]) == (5, None, None, None)
    with pytest.raises(CandidError, match=r"\$\[1\]: expected text, but there are only 1"):
        decode(message, [nat, text])


def test_an_error_names_the_offset() -> None:
    message = encode([nat, VecType(bool_)], [5, [True, False]])

    with pytest.raises(CandidError) as refused:
        decode(message[:-1] + b"\x07", [nat, VecType(bool_)])

    assert refused.value.path == "$[1][1]"
    assert refused.value.offset_bytes == len(message) - 1


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_message_may_come_in_any_buffer(kind: Any) -> None:
    message = encode([blob], [b"x"])

    assert decode(kind(message), [blob]) == (b"x",)


LIST = {"List": OptType(record(head=nat, tail=NamedType("List")))}


def _list_message(length: int) -> bytes:
    empty_list = encode([NamedType("List")], [None], environment=LIST)
    return empty_list[:-1] + b"\x01\x05" * length + b"\x00"


def test_depth_meets_our_limit_and_not_that_of_python() -> None:
    """100,000 levels are an error by default, and readable for who asks for them."""
    message = _list_message(50_000)

    with pytest.raises(CandidError, match="nested deeper than 512 levels"):
        decode(message, [NamedType("List")], environment=LIST)

    limits = DecodeLimits(nesting_depth_max=100_001)
    (value,) = decode(message, [NamedType("List")], environment=LIST, limits=limits)
    assert _length(value) == 50_000


def _length(value: Any) -> int:
    length = 0
    while value is not None:
        value = value["tail"]
        length += 1
    return length


def test_depth_is_limited_in_what_is_dropped_too() -> None:
    with pytest.raises(CandidError, match="nested deeper"):
        decode(_list_message(50_000), [OptType(nat)])


def test_a_rereading_opt_costs_no_more_than_the_limit() -> None:
    """Each level of this list fits only after its tail was read: quadratic without a bound."""
    wire = {"List": OptType(RecordType((FieldType(0, NamedType("List")), FieldType(1, bool_))))}
    expected = {"List": OptType(RecordType((FieldType(0, NamedType("List")), FieldType(1, nat))))}
    value: Any = None
    for _ in range(250):
        value = (value, True)
    message = encode([VecType(NamedType("List"))], [[value] * 40], environment=wire)

    with pytest.raises(CandidError, match="more values than the message's size can justify"):
        decode(message, [VecType(NamedType("List"))], environment=expected)


LIMITED = [
    pytest.param(DecodeLimits(header_size_max=8), "header of more than 8 bytes", id="header"),
    pytest.param(DecodeLimits(table_length_max=1), "type table of 2, at most 1", id="table"),
    pytest.param(DecodeLimits(nesting_depth_max=1), "deeper than 1 levels", id="depth"),
    pytest.param(DecodeLimits(empty_elements_max=2), "3 elements without bytes", id="empty"),
]


@pytest.mark.parametrize(("limits", "reason"), LIMITED)
def test_stricter_limits_are_kept(limits: DecodeLimits, reason: str) -> None:
    content = [record(a=VecType(null))]
    message = encode(content, [{"a": [None] * 3}])
    assert decode(message, content) == ({"a": [None] * 3},)

    with pytest.raises(CandidError, match=reason):
        decode(message, content, limits=limits)


def test_messages_of_several_senders_are_read_in_turn() -> None:
    """An upgraded canister and one that is not yet: both headers stay known."""
    codec = Codec([record(a=nat)], {})
    old, new = record(a=nat), record(a=nat, b=text)
    messages = [encode([old], [{"a": 1}]), encode([new], [{"a": 2, "b": "x"}])] * 3

    assert [codec.decode(message) for message in messages] == [({"a": 1},), ({"a": 2},)] * 3


def test_many_headers_do_not_fill_the_memory() -> None:
    """A codec remembers a few headers; more than that are read, and forgotten."""
    codec = Codec([record(a=nat)], {})
    for number in range(50):
        wire = RecordType((FieldType("a", nat), FieldType(number, nat)))
        assert codec.decode(encode([wire], [{"a": 1, number: 2}])) == ({"a": 1},)
    large = RecordType((FieldType("a", nat), *(FieldType(n, nat) for n in range(3000, 6000))))
    value: dict[str | int, int] = {"a": 1, **dict.fromkeys(range(3000, 6000), 0)}

    assert codec.decode(encode([large], [value])) == ({"a": 1},)
    assert len(vars(codec)["_plans"]) == 8
