"""The front end: the interface Kybra's compiler would make of a source, or its refusal.

Expected results are those of ``kybra`` 0.7.1's own front end for the same sources.
"""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet.errors import CanisterSourceError
from icfleet_localnet.kybra_host.annotations import candid_name, python_name
from icfleet_localnet.kybra_host.frontend import (
    analyze,
    public_service,
    read_bundle_interface,
)
from icfleet_localnet.kybra_host.interface import (
    HostHook,
    HostInterface,
    HostMethod,
    ServiceMethod,
    StableMapDeclaration,
)
from icfleet_localnet.kybra_host.source_graph import read_bundle
from icfleet_protocol.candid import CandidType, FuncType, NamedType, OptType, VecType
from icfleet_protocol.candid import types as candid
from icfleet_protocol.candid.types import FieldType, RecordType, ServiceType, record, variant


def read(source: str, **others: str) -> HostInterface:
    """Read a canister of an entry and modules beside it."""
    files = {"main.py": source, **{f"{name}.py": text for name, text in others.items()}}
    return read_bundle_interface({path: text.encode() for path, text in files.items()}, "main")


def read_type(annotation: str) -> CandidType:
    """Read an annotation as a method's one parameter."""
    source = f"from kybra import *\n@query\ndef a(x: {annotation}) -> void: ...\n"
    return read(source).methods["a"].args[0]


def environment(source: str) -> Mapping[str, CandidType]:
    return read(f"from kybra import *\n{source}").service.environment


PRIMITIVES = [
    ("bool", candid.bool_),
    ("str", candid.text),
    ("text", candid.text),
    ("blob", candid.blob),
    ("nat", candid.nat),
    ("int", candid.int_),
    ("nat8", candid.nat8),
    ("nat16", candid.nat16),
    ("nat32", candid.nat32),
    ("nat64", candid.nat64),
    ("int8", candid.int8),
    ("int16", candid.int16),
    ("int32", candid.int32),
    ("int64", candid.int64),
    ("float32", candid.float32),
    ("float64", candid.float64),
    ("null", candid.null),
    ("Principal", candid.principal),
    ("reserved", candid.reserved),
    ("empty", candid.empty),
    ("'nat64'", candid.nat64),
]


@pytest.mark.parametrize(("annotation", "expected"), PRIMITIVES)
def test_primitive_names_are_candid_types(annotation: str, expected: CandidType) -> None:
    """A bare name means its Candid type, wherever it was imported from."""
    read_as = read_type(annotation)

    assert read_as == expected


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("Opt[nat]", OptType(candid.nat)),
        ("Vec[nat8]", candid.blob),
        ("Vec[Opt['text']]", VecType(OptType(candid.text))),
        ("Tuple[nat, text]", RecordType((FieldType(0, candid.nat), FieldType(1, candid.text)))),
        ("Tuple[nat]", RecordType((FieldType(0, candid.nat),))),
        ("Async[nat]", candid.nat),
        (
            "Func(Query[[nat, text], nat])",
            FuncType((candid.nat, candid.text), (candid.nat,), "query"),
        ),
        ("Func(Update[[], void])", FuncType((), (), "update")),
        ("Func(Oneway[[nat], nat])", FuncType((candid.nat,), (), "oneway")),
    ],
)
def test_composed_annotations(annotation: str, expected: CandidType) -> None:
    """Subscripts and function types compose."""
    read_as = read_type(annotation)

    assert read_as == expected


def test_classes_become_named_types() -> None:
    """Records, variants, aliases, tuples and functions keep their names."""
    types = environment(
        "class R(Record):\n    a: nat\n    b: Opt['R2']\n"
        "class R2(Record, total=False):\n    ...\n"
        "class V(Variant, total=False):\n    Ok: null\n    Err: text\n"
        "A = Alias[Vec[R]]\n"
        "B: object = Alias[nat]\n"
        "T = Tuple[nat, R]\n"
        "F = Func(Query[[R], V])\n"
    )

    assert types == {
        "A": VecType(NamedType("R")),
        "B": candid.nat,
        "F": FuncType((NamedType("R"),), (NamedType("V"),), "query"),
        "R": record(a=candid.nat, b=OptType(NamedType("R2"))),
        "R2": RecordType(()),
        "T": RecordType((FieldType(0, candid.nat), FieldType(1, NamedType("R")))),
        "V": variant(Ok=candid.null, Err=candid.text),
    }


def test_kybras_own_types_come_with_their_use() -> None:
    """A type of Kybra's is part of the interface when the canister uses it, and only then."""
    types = environment("@query\ndef a() -> Opt[NotifyResult]: ...\n")

    assert sorted(types) == ["NotifyResult", "RejectionCode"]


@pytest.mark.parametrize(
    ("python", "in_candid"),
    [
        ("from_", "from"),
        ("class_", "class"),
        ("from__", "from_"),
        ("None_", "None"),
        ("type", "type"),
        ("type_", "type_"),
        ("match", "match"),
        ("plain_", "plain_"),
        ("plain", "plain"),
    ],
)
def test_one_underscore_escapes_a_python_keyword(python: str, in_candid: str) -> None:
    """Only Python's keywords need the underscore, and one only is taken off."""
    types = environment(f"class R(Record):\n    {python}: nat\n")

    assert types["R"] == record(**{in_candid: candid.nat})
    assert candid_name(python) == in_candid
    assert python_name(in_candid) == python


@given(st.from_regex(r"[a-z]{1,6}_{0,3}", fullmatch=True))
def test_field_names_find_back(name: str) -> None:
    """Every field a canister can write has one Candid name, and that leads back to it."""
    there = candid_name(python_name(name))

    assert there == name


METHODS = [
    pytest.param("query", "nat", "query", (candid.nat,), False, id="query"),
    pytest.param("query", "Async[nat]", "composite_query", (candid.nat,), False, id="composite"),
    pytest.param("query", "Opt[Async[nat]]", "query", (OptType(candid.nat),), False, id="inner"),
    pytest.param("query()", "void", "query", (), False, id="called"),
    pytest.param("update", "Async[void]", "update", (), False, id="async-update"),
    pytest.param("update", "Manual[text]", "update", (candid.text,), True, id="manual"),
    pytest.param("update", "Async[Manual[void]]", "update", (), True, id="async-manual"),
]


@pytest.mark.parametrize(("decorator", "returns", "kind", "results", "is_manual"), METHODS)
def test_method_kinds(
    decorator: str,
    returns: str,
    kind: str,
    results: tuple[CandidType, ...],
    is_manual: bool,
) -> None:
    """The decorator and the return annotation's outermost form decide."""
    source = f"from kybra import *\n@{decorator}\ndef a(x: nat, y: text) -> {returns}: ...\n"

    interface = read(source)

    method = interface.methods["a"]
    assert (method.kind, method.results, method.is_manual) == (kind, results, is_manual)
    assert method.args == (candid.nat, candid.text)
    assert interface.service.methods["a"].kind == ("update" if kind == "update" else "query")


def test_extra_decorators_and_defaults_change_nothing() -> None:
    """Other decorators are passed by, defaults are ignored, keyword-only parameters are dropped."""
    source = (
        "from kybra import *\n@canister\n@query\n@other(1)\n"
        "def a(x: nat, /, y: nat = 2, *, z: int = 3) -> nat: ...\n"
    )

    method = read(source).methods["a"]

    assert method == HostMethod(
        name="a", kind="query", args=(candid.nat, candid.nat), results=(candid.nat,)
    )


def test_only_bare_names_at_module_level_count() -> None:
    """What the compiler does not see is no method, and no error either."""
    source = (
        "import kybra\nfrom kybra import *\nfrom kybra import query as q\n"
        "@kybra.query\ndef a() -> nat: ...\n"
        "@q\ndef b() -> nat: ...\n"
        "if True:\n    @query\n    def c() -> nat: ...\n"
        "class C:\n    @query\n    def d() -> nat: ...\n"
        "@query\nasync def e() -> nat: ...\n"
        "@query\ndef f() -> nat: ...\n"
    )

    interface = read(source)

    assert list(interface.methods) == ["f"]


def test_methods_of_imported_modules_are_exported() -> None:
    """Every module the compiler reads adds its methods, types and maps."""
    interface = read(
        "from kybra import *\nfrom other import a\n",
        other=(
            "from kybra import *\nclass R(Record):\n    k: nat\n@query\ndef a() -> R: ...\n"
            "m = StableBTreeMap[nat, R](0, 10, 20)\n"
        ),
    )

    assert list(interface.methods) == ["a"]
    assert interface.service.environment == {"R": record(k=candid.nat)}
    assert list(interface.stable_maps) == [0]


def test_hooks_are_read() -> None:
    """Each system hook is known by its function's name; only two have arguments."""
    interface = read(
        "from kybra import *\n"
        "@init\ndef begin(x: nat) -> void: ...\n"
        "@post_upgrade\ndef after(x: text) -> void: ...\n"
        "@pre_upgrade\ndef before() -> void: ...\n"
        "@inspect_message\ndef inspect() -> void: ...\n"
        "@heartbeat\ndef beat() -> Async[void]: ...\n"
    )

    assert interface.init == HostHook(name="begin", args=(candid.nat,))
    assert interface.post_upgrade == HostHook(name="after", args=(candid.text,))
    assert interface.pre_upgrade == HostHook(name="before")
    assert interface.inspect_message == HostHook(name="inspect")
    assert interface.heartbeat == HostHook(name="beat")
    assert interface.service.init_args == (candid.nat,)


@pytest.mark.parametrize("guard", ["g", "'g'"])
def test_guard_is_known_by_name(guard: str) -> None:
    """The guard of a method is a function somewhere in the bundle that returns GuardResult."""
    interface = read(
        f"from kybra import *\nfrom other import g\n@update(guard={guard})\ndef a() -> void: ...\n",
        other="from kybra import *\ndef g() -> GuardResult: ...\n",
    )

    assert interface.methods["a"].guard == "g"


def test_stable_maps_are_read() -> None:
    """Ids and sizes are literals, by position or by name, annotated or not."""
    interface = read(
        "from kybra import *\nclass R(Record):\n    k: nat\n"
        "a = StableBTreeMap[nat64, R](memory_id=3, max_key_size=15, max_value_size=1_000)\n"
        "b: object = StableBTreeMap[Tuple[text, nat], blob](254, 0x10, max_value_size=20)\n"
    )

    assert interface.stable_maps == {
        3: StableMapDeclaration(
            memory_id=3,
            key=candid.nat64,
            value=NamedType("R"),
            key_size_max=15,
            value_size_max=1000,
        ),
        254: StableMapDeclaration(
            memory_id=254,
            key=RecordType((FieldType(0, candid.text), FieldType(1, candid.nat))),
            value=candid.blob,
            key_size_max=16,
            value_size_max=20,
        ),
    }


def test_services_are_read() -> None:
    """A Service class is both a way to call and a Candid type."""
    interface = read(
        "from kybra import *\n"
        "class Ledger(Service):\n"
        "    @service_query\n    def balance(self, who: Principal) -> nat64: ...\n"
        "    @service_update\n    def pay(self, to: Principal, n: nat64) -> void: ...\n"
        "@query\ndef a(x: Ledger) -> void: ...\n"
    )

    assert interface.services["Ledger"].methods == {
        "balance": ServiceMethod(
            name="balance", kind="query", args=(candid.principal,), results=(candid.nat64,)
        ),
        "pay": ServiceMethod(
            name="pay", kind="update", args=(candid.principal, candid.nat64), results=()
        ),
    }
    assert interface.service.environment["Ledger"] == ServiceType(
        (
            ("balance", FuncType((candid.principal,), (candid.nat64,), "query")),
            ("pay", FuncType((candid.principal, candid.nat64), (), "update")),
        )
    )


def test_ready_made_services_come_with_their_import() -> None:
    """Kybra's own canister interfaces are services like any other."""
    interface = read("from kybra.canisters.management import management_canister\n")

    assert "ManagementCanister" in interface.services
    assert "CanisterStatusResult" in interface.service.environment
    assert public_service(interface).environment == {}


def test_public_service_holds_only_what_methods_reach() -> None:
    """Types of stable maps and of other canisters are not the clients' business."""
    interface = read(
        "from kybra import *\n"
        "class Hidden(Record):\n    k: nat\n"
        "class Deep(Record):\n    k: nat\n"
        "class Shown(Record):\n    k: Vec[Deep]\n"
        "class Start(Variant):\n    A: null\n"
        "m = StableBTreeMap[nat, Hidden](0, 20, 20)\n"
        "@init\ndef begin(x: Start) -> void: ...\n"
        "@query\ndef z() -> Shown: ...\n@query\ndef b() -> void: ...\n"
    )

    service = public_service(interface)

    assert list(service.environment) == ["Deep", "Shown", "Start"]
    assert list(service.methods) == ["b", "z"]
    assert service.init_args == (NamedType("Start"),)


def test_types_may_recur() -> None:
    """The compiler boxes the parts of records, tuples and variants."""
    types = environment(
        "class Tree(Record):\n    parent: Opt['Tree']\n    children: Vec['Tree']\n"
        "List = Tuple[nat, Opt['List']]\n"
        "class Stack(Variant):\n    Empty: null\n    Top: Tuple[nat, 'Stack']\n"
    )

    assert sorted(types) == ["List", "Stack", "Tree"]


def test_refusal_tells_everything_at_once() -> None:
    """One error carries each finding; its own attributes are the first's."""
    source = "from kybra import *\n@query\ndef a(x) -> list[nat]: ...\n\n\nb, c = 1, 2\n"

    with pytest.raises(CanisterSourceError) as caught:
        read(source)

    error = caught.value
    assert [(one.code, one.place.line) for one in error.findings] == [
        ("KY104", 3),
        ("KY201", 3),
        ("KY301", 6),
    ]
    assert (error.file, error.line, error.code) == ("main.py", 3, "KY104")
    assert error.message == "the parameter x of a has no annotation."
    assert error.fix.startswith("Annotate it")
    assert "main.py:6:1: KY301" in str(error)


@pytest.mark.parametrize(
    ("source", "code", "fix"),
    [
        ("def a(x: bytes) -> nat: ...", "KY203", "Use `blob`."),
        ("def a(x: float) -> nat: ...", "KY203", "Use `float64`."),
        ("def a(x: Optional[nat]) -> nat: ...", "KY201", "Use `Opt[...]`."),
        ("def a(x: typing.List[nat]) -> nat: ...", "KY201", "Use `Vec[...]`."),
        ("def a(x: kybra.nat) -> nat: ...", "KY202", "Import `nat` and write the bare name."),
        ("def a(x: nat | None) -> nat: ...", "KY202", "Write `Opt[...]` for a value or None"),
    ],
)
def test_closest_cure_is_named(source: str, code: str, fix: str) -> None:
    """Where the intention is plain, the fix says what to write."""
    with pytest.raises(CanisterSourceError) as caught:
        read(f"from kybra import *\n@query\n{source}\n")

    assert caught.value.code == code
    assert caught.value.fix.startswith(fix)


def test_duplicate_of_kybras_own_type_is_reported_in_the_project() -> None:
    """The finding is where it can be mended, not inside an installed package."""
    with pytest.raises(CanisterSourceError) as caught:
        read("from kybra import *\nclass GuardResult(Variant):\n    Ok: null\n")

    assert (caught.value.code, caught.value.file, caught.value.line) == ("KY211", "main.py", 2)
    assert "Kybra itself declares GuardResult" in caught.value.message


WORDS = st.sampled_from(
    [
        *(
            "@query\n",
            "@update(guard=g)\n",
            "def ",
            "class ",
            "(Record)",
            "(Service)",
            ":\n",
            "    ",
        ),
        *("a", "b", "self", "nat", "Opt[", "Vec[", "Tuple[", "Func(", "Alias[", "]", ")", "(", "="),
        *("StableBTreeMap[nat, nat]", "0", "-1", "->", " ", "\n", "...", ",", "*", "/", "None"),
        *("import a\n", "from .a import b\n", "'", "\\", "with ", "match ", "f'{a}'", "lambda: 0"),
    ]
)


@given(st.one_of(st.lists(WORDS, max_size=30).map("".join), st.text(max_size=60)).map(str.encode))
def test_any_source_is_read_or_found_wanting(source: bytes) -> None:
    """Whatever a file holds, the answer is an interface or findings, never a crash."""
    graph = read_bundle({"main.py": source}, "main")

    analysis = analyze(graph)

    assert all(one.place.line >= 1 for one in analysis.findings)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_found_wanting(source: bytes) -> None:
    """Files that are not text are a finding, too."""
    analysis = analyze(read_bundle({"main.py": source}, "main"))

    assert all(one.place.file == "main.py" for one in analysis.findings)
