"""Compiled readers and writers: what they take by themselves, and what they leave alone.

That they agree with the plain way is in ``test_codec``; here, that they are used at all.
"""

from typing import Any

import pytest
from tests.protocol.candid.strategies import ENVIRONMENT

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
    encode,
    record,
    variant,
)
from icfleet_protocol.candid.coercion import Coercions
from icfleet_protocol.candid.compiled import GIVES_UP
from icfleet_protocol.candid.compiled_reader import compile_reader
from icfleet_protocol.candid.compiled_writer import compile_writer
from icfleet_protocol.candid.graph import build_graph
from icfleet_protocol.candid.header import read_header, write_header
from icfleet_protocol.candid.limits import DEFAULT_LIMITS
from icfleet_protocol.candid.types import (
    blob,
    bool_,
    float64,
    int8,
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
from icfleet_protocol.principal import ANONYMOUS

PAIR = RecordType((FieldType(0, nat), FieldType(1, text)))

USUAL: list[Any] = [
    pytest.param([nat, text], [300, "x" * 200], id="several"),
    pytest.param([int_], [-(2**60)], id="int"),
    pytest.param(
        [record(a=nat64, b=nat32, c=float64, d=bool_)],
        [{"a": 1, "b": 2, "c": 3.0, "d": True}],
        id="numbers-in-a-row",
    ),
    pytest.param(
        [VecType(record(id=blob, who=principal))], [[{"id": b"x", "who": ANONYMOUS}]], id="records"
    ),
    pytest.param([VecType(nat64)], [list(range(1000))], id="numbers"),
    pytest.param([variant(Ok=OptType(text), Err=null)], [{"Ok": None}], id="variant"),
    pytest.param([OptType(OptType(int8))], [Some(None)], id="nested-opt"),
    pytest.param([PAIR], [(1, "x")], id="tuple"),
    pytest.param([ServiceType(()), reserved], [ANONYMOUS, None], id="service"),
    pytest.param([FuncType((), ())], [(ANONYMOUS, "get")], id="func"),
]


def _write(types: list[CandidType], values: list[object]) -> bytes:
    nodes = build_graph(types, ENVIRONMENT)
    write = compile_writer(write_header(nodes), nodes)
    assert write is not None
    return write(values)


def _read(message: bytes, expected: list[CandidType]) -> tuple[object, ...]:
    coercions = Coercions()
    header = read_header(message, DEFAULT_LIMITS)
    read = compile_reader(header, build_graph(expected, ENVIRONMENT), coercions)
    assert read is not None
    return read(message)


@pytest.mark.parametrize(("types", "values"), USUAL)
def test_usual_messages_need_no_help(types: list[CandidType], values: list[object]) -> None:
    assert _read(_write(types, values), types) == tuple(values)


def test_evolved_messages_need_no_help() -> None:
    """A sender one upgrade ahead, or behind, is read as fast."""
    sent = record(a=nat64, b=nat32, c=text, d=nat, e=nat64, f=text)
    wanted = record(new=OptType(text), a=nat64, d=int_, c=OptType(text), f=reserved, b=nat32)
    message = _write([sent, nat], [{"a": 1, "b": 2, "c": "x", "d": 3, "e": 4, "f": "y"}, 5])

    assert _read(message, [wanted]) == ({"new": None, "a": 1, "d": 3, "c": "x", "f": None, "b": 2},)
    assert _read(_write([nat], [5]), [nat, OptType(text)]) == (5, None)


UNUSUAL: list[Any] = [
    pytest.param([VecType(record(a=nat))], [[{"a": 1}]], [VecType(record(a=text))], id="misfit"),
    pytest.param([OptType(text)], ["x"], [OptType(nat)], id="misfit-under-opt"),
    pytest.param([VecType(null)], [[None]], [VecType(null)], id="elements-of-nothing"),
    pytest.param([VecType(nat)], [[1]], [VecType(nat8)], id="numbers-as-bytes"),
    pytest.param([nat], [2**80], [nat], id="long-number"),
    pytest.param([nat], [5], [OptType(OptType(nat))], id="plain-as-nested-opt"),
    pytest.param(
        [variant(A=RecordType(tuple(FieldType(n, null) for n in range(20))))],
        [{"A": (None,) * 20}],
        [reserved],
        id="much-work-for-a-byte",
    ),
]


@pytest.mark.parametrize(("types", "values", "expected"), UNUSUAL)
def test_what_is_unusual_is_left_to_the_plain_way(
    types: list[CandidType], values: list[object], expected: list[CandidType]
) -> None:
    message = encode(types, values)

    with pytest.raises(GIVES_UP):
        _read(message, expected)


@pytest.mark.parametrize("name", ["List", "Tree"])
def test_a_recursive_type_is_not_compiled(name: str) -> None:
    nodes = build_graph([NamedType(name)], ENVIRONMENT)

    assert compile_writer(write_header(nodes), nodes) is None
