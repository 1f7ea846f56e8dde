"""ic-py's types and values mean the same through our codec, with ic-py as the witness."""

from typing import Any

import pytest
from ic.candid import Types, decode
from ic.candid import encode as encode_by_ic_py
from ic.principal import Principal as IcPyPrincipal
from tiny_replica import ECHO

from icfleet_agent.ic_py_candid import encode_ic_py, to_candid_type
from icfleet_protocol import candid
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import Principal

PLAYER = Types.Record({"name": Types.Text, "score": Types.Nat64, "team": Types.Opt(Types.Text)})


def list_type() -> Any:
    made = Types.Rec()
    made.fill(Types.Record({"head": Types.Nat, "tail": Types.Opt(made)}))
    return made


TYPES = [
    *(
        pytest.param(getattr(Types, name), name.lower(), id=name)
        for name in (
            *("Null", "Bool", "Nat", "Int", "Text", "Reserved", "Empty", "Principal"),
            *("Nat8", "Nat16", "Nat32", "Nat64", "Int8", "Int16", "Int32", "Int64"),
            *("Float32", "Float64"),
        )
    ),
    pytest.param(Types.Vec(Types.Nat), "vec nat", id="vec"),
    pytest.param(Types.Vec(Types.Nat8), "blob", id="blob"),
    pytest.param(Types.Opt(Types.Vec(Types.Text)), "opt vec text", id="opt"),
    pytest.param(Types.Tuple(Types.Nat, Types.Text), "record { nat; text }", id="tuple"),
    pytest.param(Types.Record({"_7": Types.Nat}), "record { 7 : nat }", id="numbered-field"),
    pytest.param(
        Types.Variant({"Ok": Types.Nat, "Err": Types.Null}), "variant { Ok : nat; Err }", id="case"
    ),
    pytest.param(
        Types.Func([Types.Nat], [Types.Text], ["query"]), "func (nat) -> (text) query", id="func"
    ),
    pytest.param(
        Types.Service({"go": Types.Func([], [], [])}), "service { go : () -> () }", id="service"
    ),
]


@pytest.mark.parametrize(("theirs", "text"), TYPES)
def test_each_type_has_its_counterpart(theirs: object, text: str) -> None:
    ours = to_candid_type(theirs, {})

    assert ours == candid.parse_did(f"service : {{ m : ({text}) -> () }}").methods["m"].args[0]


def test_a_recursive_type_is_named() -> None:
    environment: dict[str, candid.CandidType] = {}

    named = to_candid_type(list_type(), environment)

    assert isinstance(named, candid.NamedType)
    assert str(environment[named.name]) == f"record {{ head : nat; tail : opt {named} }}"


NOTHING: list[object] = []
"""An option without a value, in ic-py's way."""

VALUES = [
    pytest.param(Types.Nat, 10**30, id="nat"),
    pytest.param(Types.Int, -5, id="int"),
    pytest.param(Types.Text, "ada", id="text"),
    pytest.param(Types.Bool, True, id="bool"),
    pytest.param(Types.Float64, 0.5, id="float"),
    pytest.param(Types.Null, None, id="null"),
    pytest.param(Types.Opt(Types.Nat), [], id="nothing"),
    pytest.param(Types.Opt(Types.Nat), [7], id="something"),
    pytest.param(Types.Opt(Types.Opt(Types.Nat)), [NOTHING], id="something-that-is-nothing"),
    pytest.param(Types.Opt(Types.Opt(Types.Nat)), [[7]], id="something-twice"),
    pytest.param(Types.Vec(Types.Nat8), [1, 2, 255], id="bytes-as-a-list"),
    pytest.param(Types.Vec(Types.Nat8), b"\x01\x02", id="bytes"),
    pytest.param(Types.Vec(Types.Text), ["a", "b"], id="texts"),
    pytest.param(Types.Vec(Types.Opt(Types.Nat)), [[], [1]], id="options"),
    pytest.param(Types.Tuple(Types.Nat, Types.Text), (1, "x"), id="tuple"),
    pytest.param(PLAYER, {"name": "ada", "score": 3, "team": ["red"]}, id="record"),
    pytest.param(Types.Record({"_7": Types.Nat}), {"_7": 1}, id="numbered-field"),
    pytest.param(Types.Variant({"Ok": Types.Nat, "Err": Types.Text}), {"Ok": 1}, id="variant"),
    pytest.param(Types.Variant({"Ok": Types.Opt(Types.Nat)}), {"Ok": [1]}, id="opt-in-a-variant"),
    pytest.param(Types.Principal, str(ECHO), id="principal-as-text"),
    pytest.param(Types.Principal, ECHO.raw, id="principal-as-bytes"),
    pytest.param(Types.Func([], [], []), [str(ECHO), "go"], id="func"),
    pytest.param(Types.Service({}), str(ECHO), id="service"),
    pytest.param(
        list_type(), {"head": 1, "tail": [{"head": 2, "tail": NOTHING}]}, id="recursive-type"
    ),
]


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_each_value_is_read_by_ic_py_as_it_would_read_its_own(kind: Any, value: Any) -> None:
    params = [{"type": kind, "value": value}]

    ours = decode(encode_ic_py(params), kind)[0]["value"]
    theirs = decode(encode_by_ic_py(params), kind)[0]["value"]

    # ic-py's principals print, but do not compare.
    assert repr(ours) == repr(theirs)


def test_several_parameters_keep_their_order() -> None:
    params = [{"type": Types.Text, "value": "a"}, {"type": Types.Nat, "value": 1}]

    assert candid.decode(encode_ic_py(params), [candid.TextType(), candid.NatType()]) == ("a", 1)
    assert encode_ic_py([]) == b"DIDL\x00\x00"


def test_ic_pys_principal_objects_are_values_too() -> None:
    """Where ic-py itself takes only texts and bytes."""
    params = [{"type": Types.Principal, "value": IcPyPrincipal.from_str(str(ECHO))}]

    assert candid.decode(encode_ic_py(params), [candid.PrincipalType()]) == (
        Principal.from_text(str(ECHO)),
    )


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(None, id="nothing"),
        pytest.param("nat", id="text"),
        pytest.param(int, id="python-type"),
        pytest.param(Types.Rec(), id="never-filled"),
        pytest.param(Types.Func([], [], ["composite_query"]), id="unknown-annotation"),
        pytest.param(Types.Vec(object()), id="foreign-part"),
    ],
)
def test_what_is_no_type_is_refused(wrong: object) -> None:
    with pytest.raises(CandidError):
        to_candid_type(wrong, {})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param(Types.Nat, "1", id="text-for-a-number"),
        pytest.param(Types.Nat8, 256, id="out-of-range"),
        pytest.param(Types.Opt(Types.Nat), [1, 2], id="two-for-an-option"),
        pytest.param(Types.Vec(Types.Nat8), [256], id="no-byte"),
        pytest.param(Types.Vec(Types.Nat8), ["a"], id="text-for-a-byte"),
        pytest.param(Types.Vec(Types.Nat), 5, id="number-for-a-list"),
        pytest.param(Types.Tuple(Types.Nat, Types.Text), (1,), id="short-tuple"),
        pytest.param(PLAYER, {"name": "ada"}, id="field-missing"),
        pytest.param(PLAYER, [], id="list-for-a-record"),
        pytest.param(Types.Variant({"Ok": Types.Nat}), {"No": 1}, id="unknown-case"),
        pytest.param(Types.Variant({"Ok": Types.Nat}), {"Ok": 1, "No": 2}, id="two-cases"),
        pytest.param(Types.Func([], [], []), [], id="empty-func"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(kind: object, value: object) -> None:
    with pytest.raises(CandidError):
        encode_ic_py([{"type": kind, "value": value}])
