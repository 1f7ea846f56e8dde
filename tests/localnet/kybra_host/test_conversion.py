"""Values at the border are what Kybra's compiled runtime makes of them, errors included."""

import math
from dataclasses import dataclass, field
from typing import Any

import kybra
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet.kybra_host.border import Border
from icfleet_localnet.kybra_host.conversion import PythonSide
from icfleet_protocol.candid import (
    CandidType,
    FieldType,
    FuncType,
    NamedType,
    OptType,
    RecordType,
    ServiceType,
    TypeEnvironment,
    VecType,
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
    int32,
    int_,
    nat,
    nat8,
    nat64,
    null,
    principal,
    reserved,
    text,
)
from icfleet_protocol.candid.values import Some
from icfleet_protocol.principal import Principal

ADA = Principal.self_authenticating(b"ada")
KYBRA_ADA = kybra.Principal(ADA.raw)


class Ledger:
    """Stands for a ``Service`` class of the canister's scope."""

    def __init__(self, canister_id: Any) -> None:
        self.canister_id = canister_id


@dataclass
class Classes:
    principal: type[Any] = kybra.Principal
    services: dict[str, Any] = field(default_factory=lambda: {"Ledger": Ledger})

    def service(self, name: str) -> Any:
        if name not in self.services:
            reason = f"name '{name}' is not defined"
            raise NameError(reason)
        return self.services[name]


ENVIRONMENT: TypeEnvironment = {
    "Ledger": ServiceType((("pay", FuncType((nat64,))),)),
    "Gone": ServiceType(()),
    "Tree": record(value=nat64, children=VecType(NamedType("Tree"))),
    "Score": nat64,
}
PAIR = RecordType((FieldType(0, text), FieldType(1, nat64)))
PLAYER = record(score=nat64, name=text, friend=OptType(principal))
SIDE = PythonSide(ENVIRONMENT, Classes())


def take(candid_type: CandidType, value: Any) -> Any:
    return SIDE.take(candid_type)(value)


def give(candid_type: CandidType, value: Any) -> Any:
    convert = SIDE.give(candid_type)
    return value if convert is None else convert(value)


TREE: dict[str, Any] = {"value": 1, "children": [{"value": 2, "children": []}]}
EMPTY: dict[str, Any] = {}


class Lazy:
    """Subscriptable, and nothing else."""

    def __getitem__(self, key: str) -> Any:
        return {"name": "ada", "score": 5, "friend": None}[key]


class TextPrincipal:
    def to_str(self) -> str:
        return str(ADA)


TAKEN = [
    # Source: kybra_generate's try_from_vm_value_impls, one line for each row of the table of types.
    pytest.param(bool_, 2, True, id="any-int-is-a-bool"),
    pytest.param(nat64, True, 1, id="a-bool-is-an-int"),
    pytest.param(int_, -(2**90), -(2**90), id="int-without-bound"),
    pytest.param(float32, 1e300, math.inf, id="float32-overflows-to-infinity"),
    pytest.param(float32, -1e300, -math.inf, id="float32-overflows-downwards"),
    pytest.param(blob, bytearray(b"ab"), b"ab", id="bytearray"),
    pytest.param(blob, [1, 255], b"\x01\xff", id="blob-from-list"),
    pytest.param(blob, (number for number in range(3)), b"\x00\x01\x02", id="blob-from-generator"),
    pytest.param(VecType(text), "abc", ["a", "b", "c"], id="text-is-a-vec-of-text"),
    pytest.param(VecType(nat64), {3: "x"}, [3], id="dict-is-a-vec-of-its-keys"),
    pytest.param(VecType(NamedType("Score")), (1, 2), [1, 2], id="alias-counts-as-its-type"),
    pytest.param(VecType(bool_), (1, 0), [True, False], id="vec-of-bool"),
    pytest.param(OptType(nat64), None, None, id="absent"),
    pytest.param(OptType(OptType(nat64)), 5, Some(5), id="nested-opt-collapses"),
    pytest.param(OptType(OptType(nat64)), None, None, id="nested-opt-of-none"),
    pytest.param(principal, KYBRA_ADA, ADA, id="kybra-principal"),
    pytest.param(principal, TextPrincipal(), ADA, id="anything-with-to-str"),
    pytest.param(PAIR, ("a", 1, "more"), ("a", 1), id="further-tuple-items-are-ignored"),
    pytest.param(
        PLAYER,
        {"name": "ada", "score": 5, "friend": None, "more": 1},
        {"score": 5, "name": "ada", "friend": None},
        id="further-keys-are-ignored",
    ),
    pytest.param(
        PLAYER, Lazy(), {"score": 5, "name": "ada", "friend": None}, id="anything-subscriptable"
    ),
    pytest.param(
        variant(A=nat64, B=text), {"B": "x", "A": 1}, {"A": 1}, id="first-declared-case-wins"
    ),
    pytest.param(variant(A=null), {"A": "anything"}, {"A": None}, id="bare-case-takes-anything"),
    pytest.param(record(**{"from": text}), {"from_": "x"}, {"from": "x"}, id="python-keyword"),
    pytest.param(variant(**{"None": null}), {"None_": None}, {"None": None}, id="keyword-case"),
    pytest.param(record(type=text), {"type": "x"}, {"type": "x"}, id="rust-keyword"),
    pytest.param(FuncType(()), (KYBRA_ADA, "m", 3), (ADA, "m"), id="func"),
    pytest.param(NamedType("Ledger"), Ledger(KYBRA_ADA), ADA, id="service"),
    pytest.param(reserved, object(), None, id="reserved-takes-anything"),
    pytest.param(NamedType("Tree"), TREE, TREE, id="recursive"),
]


@pytest.mark.parametrize(("candid_type", "value", "taken"), TAKEN)
def test_what_the_compiled_canister_takes_is_taken(
    candid_type: CandidType, value: Any, taken: Any
) -> None:
    """Leniency is part of the contract: code that works on chain works here."""
    assert take(candid_type, value) == taken


REFUSED = [
    pytest.param(float64, 1, "TypeError: Expected type 'float' but 'int' found", id="int-as-float"),
    pytest.param(text, 1, "TypeError: Expected type 'str' but 'int' found", id="int-as-text"),
    pytest.param(text, None, "TypeError: Expected type 'str' but 'NoneType' found", id="none-text"),
    pytest.param(bool_, "x", "TypeError: Expected type bool, not str", id="text-as-bool"),
    pytest.param(nat, -1, "TypeError: Could not convert value to nat", id="negative-nat"),
    pytest.param(int_, "1", "TypeError: PyObjectRef is not a PyIntRef", id="text-as-int"),
    pytest.param(
        nat8, 256, "OverflowError: Python int too large to convert to Rust u8", id="nat8-too-large"
    ),
    pytest.param(
        nat64, -1, "OverflowError: Python int too large to convert to Rust u64", id="negative-nat64"
    ),
    pytest.param(
        int8, -129, "OverflowError: Python int too large to convert to Rust i8", id="int8-too-low"
    ),
    pytest.param(nat64, 1.0, "TypeError: Expected type 'int' but 'float' found", id="float-as-int"),
    pytest.param(blob, [256], "OverflowError: Python int too large to convert", id="no-byte"),
    pytest.param(blob, 5, "TypeError: 'int' object is not iterable", id="int-as-blob"),
    pytest.param(blob, "ab", "TypeError: Expected type 'int' but 'str' found", id="text-as-blob"),
    pytest.param(null, 0, "TypeError: expected NoneType but received int", id="zero-as-null"),
    pytest.param(empty, None, "TypeError: value cannot be converted to Empty", id="empty"),
    pytest.param(
        VecType(nat), (1,), "TypeError: Expected type 'list' but 'tuple'", id="strict-vec"
    ),
    pytest.param(VecType(float64), (1.0,), "TypeError: Expected type 'list'", id="vec-of-floats"),
    pytest.param(
        VecType(PLAYER), [EMPTY], "TypeError: Could not convert value to Vec", id="bad-element"
    ),
    pytest.param(VecType(nat64), [-1], "OverflowError: Python int too large", id="lenient-element"),
    pytest.param(PLAYER, {"name": "x", "score": 1}, "KeyError: 'friend'", id="missing-opt-field"),
    pytest.param(PLAYER, {"name": 5}, "KeyError: 'score'", id="missing-field-comes-first"),
    pytest.param(PAIR, ["a", 1], "TypeError: Expected type 'tuple' but 'list'", id="list-as-tuple"),
    pytest.param(PAIR, ("a",), "IndexError: tuple index out of range", id="short-tuple"),
    pytest.param(variant(A=nat64), {}, "TypeError: Enum variant does not exist", id="no-case"),
    pytest.param(variant(A=nat64), 5, "TypeError: Enum variant does not exist", id="no-dict"),
    pytest.param(principal, "aaaaa-aa", "AttributeError: 'str' object has no", id="text-principal"),
    pytest.param(principal, kybra.Principal(bytes(30)), "TypeError: could not conv", id="30-bytes"),
    pytest.param(
        FuncType(()), (KYBRA_ADA,), "TypeError: could not convert value to Func", id="func"
    ),
    pytest.param(
        FuncType(()), [KYBRA_ADA, "m"], "TypeError: Expected type 'tuple'", id="func-list"
    ),
]


@pytest.mark.parametrize(("candid_type", "value", "error"), REFUSED)
def test_what_the_compiled_canister_refuses_is_refused(
    candid_type: CandidType, value: Any, error: str
) -> None:
    """The same exception with the same text, so that a native test fails as the canister would."""
    with pytest.raises(Exception, match=r".*") as caught:
        take(candid_type, value)

    assert f"{type(caught.value).__name__}: {caught.value}".startswith(error)


def test_principals_are_new_and_kybra_s_own() -> None:
    """Two equal principals are unequal objects, on chain and here."""
    given_out = give(VecType(principal), [ADA, ADA])

    assert [type(one) for one in given_out] == [kybra.Principal] * 2
    assert given_out[0].to_str() == str(ADA)
    assert given_out[0] != given_out[1]


GIVEN = [
    pytest.param(PAIR, ("a", 1), ("a", 1), id="tuple"),
    pytest.param(OptType(OptType(nat64)), Some(5), 5, id="nested-opt-collapses"),
    pytest.param(OptType(OptType(nat64)), Some(None), None, id="nested-none-collapses"),
    pytest.param(record(**{"from": text}), {"from": "x"}, {"from_": "x"}, id="python-keyword"),
    pytest.param(variant(**{"None": null}), {"None": None}, {"None_": None}, id="keyword-case"),
    pytest.param(float32, 0.5, 0.5, id="float32"),
    pytest.param(blob, b"ab", b"ab", id="blob"),
]


@pytest.mark.parametrize(("candid_type", "decoded", "given_out"), GIVEN)
def test_code_gets_what_the_compiled_canister_gets(
    candid_type: CandidType, decoded: Any, given_out: Any
) -> None:
    assert give(candid_type, decoded) == given_out


def test_record_keys_come_in_the_order_of_the_class_body() -> None:
    """On the wire they are sorted by hash; code that iterates sees the declaration."""
    border = Border((PLAYER,), ENVIRONMENT, SIDE)
    message = encode([PLAYER], [{"friend": None, "name": "ada", "score": 1}])

    (value,) = border.read(message)

    assert list(value) == ["score", "name", "friend"]


def test_order_is_kept_apart_for_types_that_are_equal() -> None:
    """Records with the same fields in another order are one Candid type, but two Python ones."""
    there, back = record(a=nat64, b=text), record(b=text, a=nat64)
    assert there == back

    decoded = {"a": 1, "b": "x"}

    assert [list(give(one, decoded)) for one in (there, back)] == [["a", "b"], ["b", "a"]]


def test_services_become_instances_of_the_scope_s_class() -> None:
    """They are looked up by class name, as Kybra does; a missing one is a NameError."""
    ledger = give(NamedType("Ledger"), ADA)

    assert isinstance(ledger, Ledger)
    assert ledger.canister_id.to_str() == str(ADA)
    with pytest.raises(NameError, match="'Gone' is not defined"):
        give(NamedType("Gone"), ADA)


def test_funcs_become_a_principal_and_a_name() -> None:
    canister, method = give(FuncType(()), (ADA, "pay"))

    assert (canister.to_str(), method) == (str(ADA), "pay")


def test_values_are_copies() -> None:
    """A list given out and changed afterwards changes nothing that was encoded."""
    numbers = [1, 2]

    taken = take(VecType(nat64), numbers)
    numbers.append(3)

    assert taken == [1, 2]


VALUES = {
    bool_: st.booleans(),
    text: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    nat64: st.integers(0, 2**64 - 1),
    int32: st.integers(-(2**31), 2**31 - 1),
    nat: st.integers(0, 2**100),
    blob: st.binary(max_size=20),
    float64: st.floats(allow_nan=False),
}


@given(st.data())
def test_what_comes_in_can_go_out_again(data: st.DataObject) -> None:
    """A canister that returns its argument returns the same message."""
    inner = data.draw(st.sampled_from(sorted(VALUES, key=str)))
    value = data.draw(VALUES[inner])
    full = record(one=inner, some=OptType(inner), all=VecType(inner), case=variant(A=inner, B=null))
    whole = {"one": value, "some": value, "all": [value], "case": {"A": value}}
    border = Border((full,), ENVIRONMENT, SIDE)

    message = encode([full], [whole])

    assert border.write(border.read(message)) == message
