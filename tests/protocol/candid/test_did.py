"""Interfaces: what the parser takes, what it refuses and where, and the writer's text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ic.canister import Canister
from tests.protocol.candid.strategies import ENVIRONMENT, types

from icfleet_protocol.candid import (
    CandidType,
    FieldType,
    FuncType,
    Method,
    NamedType,
    OptType,
    RecordType,
    ServiceInterface,
    ServiceType,
    VariantType,
    VecType,
    decode,
    format_did,
    parse_did,
    record,
    variant,
)
from icfleet_protocol.candid.types import (
    PRIMITIVES,
    blob,
    int_,
    nat,
    nat8,
    null,
    principal,
    text,
)
from icfleet_protocol.errors import CandidError

TYPES: list[object] = [
    *(pytest.param(word, one, id=word) for word, one in PRIMITIVES.items()),
    pytest.param("blob", blob, id="blob"),
    pytest.param("opt vec opt nat", OptType(VecType(OptType(nat))), id="nested"),
    pytest.param("record {}", RecordType(()), id="empty-record"),
    pytest.param("record { a : nat; b : text }", record(a=nat, b=text), id="record"),
    pytest.param("record { a : nat; b : text; }", record(a=nat, b=text), id="semicolon-at-end"),
    pytest.param(
        "record { nat; text }",
        RecordType((FieldType(0, nat), FieldType(1, text))),
        id="tuple",
    ),
    pytest.param(
        "record { 5 : nat; text; 0x10 : int; 1_000 : nat }",
        RecordType(
            (FieldType(5, nat), FieldType(6, text), FieldType(16, int_), FieldType(1000, nat))
        ),
        id="numbered-and-next",
    ),
    pytest.param(
        "record { a : nat; text }",
        RecordType((FieldType("a", nat), FieldType(98, text))),
        id="next-after-a-name",
    ),
    pytest.param(
        r'record { "a b" : nat; "\u{2603}" : text; "" : int }',
        RecordType((FieldType("a b", nat), FieldType("☃", text), FieldType("", int_))),
        id="quoted",
    ),
    pytest.param(
        "record { principal : principal; query : text; type : nat; nat8 }",
        RecordType(
            (
                FieldType("principal", principal),
                FieldType("query", text),
                FieldType("type", nat),
                FieldType(FieldType("type", nat).id + 1, nat8),
            )
        ),
        id="keywords-as-names",
    ),
    pytest.param(
        "variant { Ok : nat; Err; 7; null; 8 : text }",
        VariantType(
            (
                FieldType("Ok", nat),
                FieldType("Err", null),
                FieldType(7, null),
                FieldType("null", null),
                FieldType(8, text),
            )
        ),
        id="variant",
    ),
    pytest.param(
        "func (nat, name : text) -> (result : opt nat) composite_query",
        FuncType((nat, text), (OptType(nat),), "composite_query"),
        id="func-with-names",
    ),
    pytest.param("func () -> () oneway", FuncType((), (), "oneway"), id="oneway"),
    pytest.param("func () -> () query query", FuncType((), (), "query"), id="query-twice"),
    pytest.param(
        'service { get : () -> (nat) query; "put it" : Put }',
        ServiceType((("get", FuncType((), (nat,), "query")), ("put it", NamedType("Put")))),
        id="service",
    ),
]


@pytest.mark.parametrize(("written", "expected"), TYPES)
def test_every_form_of_type_is_read(written: str, expected: CandidType) -> None:
    did = f"type Put = func (nat) -> (); service : {{ check : ({written}, second : text) -> () }}"

    interface = parse_did(did)

    assert interface.methods["check"].args == (expected, text)


def test_a_whole_interface_is_read() -> None:
    interface = parse_did(
        """
        // A line, and /* no block in it
        type List = opt record { head : nat; tail : List };
        /* A block /* and one within */ "*/
        type Get = func (nat) -> (List) query;
        service counter : (start : nat, opt text) -> {
          get : Get;                       // by name
          "add one" : () -> ();
          notify : (text) -> () oneway;
          look : (principal : principal) -> (nat, text) composite_query
        };
        """
    )

    assert interface.environment["List"] == OptType(record(head=nat, tail=NamedType("List")))
    assert interface.init_args == (nat, OptType(text))
    assert interface.methods == {
        "get": Method((nat,), (NamedType("List"),), "query"),
        "add one": Method((), (), "update"),
        "notify": Method((text,), (), "oneway"),
        "look": Method((principal,), (nat, text), "composite_query"),
    }
    assert list(interface.methods) == ["get", "add one", "notify", "look"]


def test_a_service_may_be_named_by_its_type() -> None:
    interface = parse_did("type S = service { get : () -> () }; service : (nat) -> S")

    assert list(interface.methods) == ["get"]
    assert interface.init_args == (nat,)


def test_types_alone_are_an_interface_without_methods() -> None:
    assert parse_did("type A = nat").methods == {}
    assert parse_did("") == ServiceInterface()


REFUSED = [
    pytest.param('import "a.did"; service : {}', "import is not supported", id="import"),
    pytest.param('import service "a.did"; service : {}', "import is not supported", id="import2"),
    pytest.param("type A = nat; type A = text;", "column 20: type A is defined twice", id="twice"),
    pytest.param("type A = B;", "type B is not defined", id="undefined"),
    pytest.param("type A = A;", "defined by itself only", id="vacuous"),
    pytest.param("type nat = text;", "expected a type's name, found 'nat'", id="keyword-type"),
    pytest.param("type A = query;", "expected a type, found 'query'", id="keyword-as-type"),
    pytest.param("type A nat;", "expected '=', found 'nat'", id="no-equals"),
    pytest.param("type A = nat service : {}", "expected ';', found 'service'", id="no-semicolon"),
    pytest.param("type A = record { a : nat b : nat };", "expected ';' or '}'", id="no-separator"),
    pytest.param("type A = record { a };", "type a is not defined", id="record-enum"),
    pytest.param("type A = record { -1 : nat };", "expected a natural number", id="negative"),
    pytest.param("type A = record { 1.5 : nat };", "expected a natural number", id="fraction"),
    pytest.param("type A = record { 1__0 : nat };", "expected a natural number", id="underscores"),
    pytest.param("type A = record { 4294967296 : nat };", "not between 0", id="large-id"),
    pytest.param("type A = record { a : nat; 97 : nat };", "same id 97", id="collision"),
    pytest.param("type A = variant { nat : };", "expected a type, found '}'", id="case-colon"),
    pytest.param("type A = variant { ; };", "expected a name, found ';'", id="no-case"),
    pytest.param("type A = func (a : nat, a : nat) -> ();", "name 'a' appears twice", id="names"),
    pytest.param(
        "type A = func () -> (nat) oneway;", "oneway function has no results", id="oneway"
    ),
    pytest.param("type A = func () -> () query oneway;", "oneway and query at once", id="kinds"),
    pytest.param("service : { a : () -> (); a : () -> () }", "name appears twice", id="method"),
    pytest.param("service : { a : nat }", "expected a type, found 'nat'", id="method-keyword"),
    pytest.param("type N = nat; service : { a : N }", "method a is not a function", id="no-func"),
    pytest.param("type N = nat; service : N", "type N is not a service", id="no-service"),
    pytest.param("service : {} service : {}", "expected the end, found 'service'", id="two"),
    pytest.param("service : {", "found end of text", id="unfinished"),
    pytest.param("/* /* */", "line 1, column 1: comment without an end", id="comment"),
    pytest.param(
        "type A = nat;\n  $", "line 2, column 3: unexpected character '$'", id="character"
    ),
    pytest.param(r'type A = record { "\q" : nat };', r"unknown escape \q", id="escape"),
    pytest.param(r'type A = record { "\u{d800}" : nat };', "no Unicode scalar", id="surrogate"),
    pytest.param(r'type A = record { "\u{ffffffffff}" : nat };', "no Unicode scalar", id="code"),
    pytest.param(r'type A = record { "\ff" : nat };', "not UTF-8", id="bytes"),
    pytest.param('type A = record { "\ud800" : nat };', "no Unicode scalar", id="raw-surrogate"),
    pytest.param(f"type A = {'opt ' * 65}nat;", "nested deeper than 64 levels", id="deep"),
    pytest.param(" " * 4_194_305, "text of 4194305 characters", id="long"),
]


@pytest.mark.parametrize(("did", "reason"), REFUSED)
def test_what_is_no_interface_is_refused_with_its_place(did: str, reason: str) -> None:
    with pytest.raises(CandidError) as refused:
        parse_did(did)

    assert reason in str(refused.value)


_words = st.sampled_from(
    [
        *("type", "service", "A", ":", "=", ";", "{", "}", "(", ")", "->", ",", "//", "/*", "*/"),
        *("record", "variant", "opt", "nat", "func", "query", "import", '"a"', "5", "\n", "é"),
    ]
)


@given(st.lists(_words, max_size=40).map(" ".join) | st.text(max_size=60))
def test_any_text_raises_only_candid_error(did: str) -> None:
    try:
        interface = parse_did(did)
    except CandidError:
        return
    assert parse_did(format_did(interface)) == interface


@given(
    st.lists(types, max_size=3).map(tuple),
    st.lists(types, max_size=3).map(tuple),
    st.dictionaries(st.sampled_from(["get", "put it", "query", "☃"]), st.integers(0, 2)),
)
def test_a_written_interface_reads_back(
    args: tuple[CandidType, ...], results: tuple[CandidType, ...], names: dict[str, int]
) -> None:
    signatures = [Method(args, results), Method(args, results, "query"), Method(args, (), "oneway")]
    interface = ServiceInterface(
        environment=ENVIRONMENT,
        init_args=args,
        methods={name: signatures[choice] for name, choice in names.items()},
    )

    written = format_did(interface)

    assert parse_did(written) == interface
    assert format_did(parse_did(written)) == written


def test_an_interface_is_written_plainly() -> None:
    interface = parse_did(
        "type Role = variant { Main; Replica };"
        "type Figures = record { first_of_all : nat64; second_of_all : nat64;"
        "  third_of_all : vec record { name : text; value : nat64 } };"
        "service : (role : Role) -> { figures : () -> (figures : Figures) query; stop : () -> () }"
    )

    assert format_did(interface) == (
        "type Role = variant { Main; Replica };\n"
        "type Figures = record {\n"
        "  first_of_all : nat64;\n"
        "  second_of_all : nat64;\n"
        "  third_of_all : vec record { name : text; value : nat64 };\n"
        "};\n"
        "service : (Role) -> {\n"
        "  figures : () -> (Figures) query;\n"
        "  stop : () -> ();\n"
        "}\n"
    )


GREETER = parse_did(
    """
    type Greeting = record { text : text; at : opt nat64 };
    service : { greet : (text, nat) -> (Greeting) query; stop : () -> () }
    """
)


def test_an_interface_writes_and_reads_calls() -> None:
    args = GREETER.encode_args("greet", ["ada", 2])
    reply = GREETER.encode_results("greet", [{"text": "Hello", "at": None}])

    assert GREETER.decode_args("greet", args) == ("ada", 2)
    assert decode(args, [text, nat]) == ("ada", 2)
    assert GREETER.decode_results("greet", reply) == ({"text": "Hello", "at": None},)
    assert GREETER.decode_results("stop", GREETER.encode_results("stop", [])) == ()


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(CandidError, match="no method 'great', there are: greet, stop"):
        GREETER.encode_args("great", [])


def test_a_call_with_wrong_arguments_names_the_place() -> None:
    with pytest.raises(CandidError, match=r"\$\[1\]: expected nat, got -1"):
        GREETER.encode_args("greet", ["ada", -1])


def test_a_variant_made_in_code_equals_the_one_read() -> None:
    interface = parse_did("type R = variant { Ok : nat; Err : text }; service : {}")

    assert interface.environment["R"] == variant(Err=text, Ok=nat)


def test_ic_py_reads_what_is_written() -> None:
    """ic-py 1.0.1 knows the plain forms only: no named arguments, for one."""
    written = format_did(
        parse_did(
            "type Role = variant { Main; Replica : opt principal };"
            "type Page = record { next : opt nat64; rows : vec record { name : text; at : nat } };"
            "service : (role : Role) -> { page : (cursor : nat64) -> (page : Page) query;"
            "  store : (content : blob) -> () }"
        )
    )

    canister = Canister(agent=None, canister_id="aaaaa-aa", candid=written)

    assert [type(one).__name__ for one in canister.page.args] == ["FixedNatClass"]
    assert canister.page.anno == "query"
    assert canister.store.rets == []
