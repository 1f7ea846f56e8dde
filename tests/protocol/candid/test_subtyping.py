"""Subtyping: which references may stand for which, decided once for both ways of reading."""

import pytest
from hypothesis import given
from tests.protocol.candid.strategies import ENVIRONMENT, types

from icfleet_protocol.candid import (
    CandidType,
    FuncType,
    MethodKind,
    NamedType,
    OptType,
    RecordType,
    ServiceType,
    VecType,
    decode,
    encode,
    record,
    variant,
)
from icfleet_protocol.candid.graph import build_graph
from icfleet_protocol.candid.subtyping import is_subtype
from icfleet_protocol.candid.types import (
    empty,
    int_,
    nat,
    null,
    principal,
    reserved,
    text,
)
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import ANONYMOUS


def _takes(*args: CandidType) -> FuncType:
    return FuncType(args)


def _gives(*results: CandidType, kind: MethodKind = "update") -> FuncType:
    return FuncType((), results, kind)


def _service(**methods: CandidType) -> ServiceType:
    return ServiceType(tuple(methods.items()))


# Source: Candid.md, "Rules".
HOLDS = [
    pytest.param(nat, int_, id="nat-int"),
    pytest.param(_service(), principal, id="service-principal"),
    pytest.param(text, reserved, id="anything-reserved"),
    pytest.param(empty, text, id="empty-anything"),
    pytest.param(VecType(nat), VecType(int_), id="vec"),
    pytest.param(nat, OptType(text), id="anything-opt"),
    pytest.param(OptType(nat), OptType(text), id="opt-opt"),
    pytest.param(record(a=nat, b=text), record(a=int_), id="record-drops"),
    pytest.param(record(), record(a=OptType(nat), b=null, c=reserved), id="record-adds"),
    pytest.param(variant(A=nat), variant(A=int_, B=text), id="variant-adds"),
    pytest.param(_gives(nat, text), _gives(int_), id="results-fewer"),
    pytest.param(_gives(), _gives(OptType(nat)), id="results-more-if-null"),
    pytest.param(_takes(int_), _takes(nat, text), id="args-more"),
    pytest.param(_takes(OptType(nat)), _takes(), id="args-fewer-if-null"),
    pytest.param(_service(a=_gives(nat), b=_gives()), _service(a=_gives(int_)), id="service"),
    pytest.param(_takes(_takes(nat)), _takes(_takes(int_)), id="turned-twice"),
]

FAILS = [
    pytest.param(int_, nat, id="int-nat"),
    pytest.param(principal, _service(), id="principal-service"),
    pytest.param(reserved, null, id="reserved-null"),
    pytest.param(text, empty, id="anything-empty"),
    pytest.param(VecType(int_), VecType(nat), id="vec"),
    pytest.param(OptType(nat), nat, id="opt-plain"),
    pytest.param(record(a=int_), record(a=nat), id="record-field"),
    pytest.param(record(), record(a=nat), id="record-missing"),
    pytest.param(variant(A=nat, B=text), variant(A=nat), id="variant-drops"),
    pytest.param(variant(A=int_), variant(A=nat), id="variant-case"),
    pytest.param(_gives(), _gives(nat), id="results-missing"),
    pytest.param(_takes(nat), _takes(), id="args-missing"),
    pytest.param(_takes(nat), _takes(int_), id="args-narrower"),
    pytest.param(_gives(kind="query"), _gives(), id="kind"),
    pytest.param(_service(), _service(a=_gives()), id="method-missing"),
    pytest.param(_service(a=_gives(int_)), _service(a=_gives(nat)), id="method-narrower"),
]


def _holds(lower: CandidType, upper: CandidType) -> bool:
    below, above = build_graph([lower, upper], ENVIRONMENT)
    return is_subtype(below, above)


@pytest.mark.parametrize(("lower", "upper"), HOLDS)
def test_what_the_rules_allow_holds(lower: CandidType, upper: CandidType) -> None:
    assert _holds(lower, upper)


@pytest.mark.parametrize(("lower", "upper"), FAILS)
def test_what_no_rule_allows_fails(lower: CandidType, upper: CandidType) -> None:
    assert not _holds(lower, upper)


@given(types)
def test_every_type_is_its_own_subtype(one: CandidType) -> None:
    assert _holds(one, one)


def test_recursive_types_are_compared_to_the_end() -> None:
    """Two ways to write the same stream, and one that differs in the third level only."""
    environment: dict[str, CandidType] = {
        "A": record(head=nat, next=_gives(NamedType("A"))),
        "B": record(head=int_, next=_gives(record(head=int_, next=_gives(NamedType("B"))))),
        "C": record(head=nat, next=_gives(record(head=nat, next=_gives(record(head=text))))),
    }
    a, b, c = build_graph(map(NamedType, environment), environment)

    assert is_subtype(a, b)
    assert not is_subtype(b, a)
    assert not is_subtype(a, c)


def test_a_deep_type_meets_no_recursion_limit() -> None:
    lower: CandidType = nat
    upper: CandidType = int_
    for _ in range(300):
        lower, upper = VecType(lower), VecType(upper)

    assert _holds(lower, upper)
    assert not _holds(upper, lower)


def test_a_future_type_is_a_subtype_of_nothing_known() -> None:
    """A function whose result this specification does not know yet."""
    # Two entries: func () -> (the second one), and an unknown type of no bytes; then a function.
    message = b"DIDL\x02\x6a\x00\x01\x01\x00\x67\x00\x01\x00\x01\x01\x01\x04\x01f"
    unknown = RecordType(())

    with pytest.raises(CandidError, match="expected func, got func"):
        decode(message, [_gives(unknown)])

    assert decode(message, [_gives()]) == ((ANONYMOUS, "f"),)
    assert decode(message, [OptType(_gives(unknown))]) == (None,)


def test_a_reference_keeps_its_value() -> None:
    message = encode([_service(a=_gives(nat))], [ANONYMOUS])

    assert decode(message, [_service(a=_gives(int_))]) == (ANONYMOUS,)
