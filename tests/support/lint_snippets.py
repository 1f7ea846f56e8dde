"""A bad and a good snippet for each rule of ``icfleet lint``."""

from importlib.machinery import EXTENSION_SUFFIXES

from lint_case import HEADER, Case
from lint_snippets_on_chain import ON_CHAIN_CASES

__all__ = ["CASES"]

NAT64_MAP = "m = StableBTreeMap[nat64, nat64](0, 15, 15)\n"
GOOD_QUERY = "@query\ndef a() -> nat:\n    return 1\n"

CASES = [
    # Methods and hooks.
    Case(
        "KY101",
        {"main.py": "import kybra\n@kybra.query\ndef a() -> int:\n    return 1\n"},
        GOOD_QUERY,
    ),
    Case(
        "KY101",
        {"main.py": "from kybra import query as q, nat\n@q(guard=None)\ndef a() -> nat: ...\n"},
        {"main.py": "from kybra import query, nat\n@query\ndef a() -> nat: ...\n"},
    ),
    Case("KY102", "if True:\n    @query\n    def a() -> nat: ...\n", GOOD_QUERY, line=4),
    Case("KY102", "class C:\n    @update\n    def a(self) -> nat: ...\n", GOOD_QUERY, line=4),
    Case("KY102", "try:\n    @query\n    def a() -> nat: ...\nfinally:\n    pass\n", GOOD_QUERY),
    Case("KY103", "@update\nasync def a() -> nat: ...\n", "@update\ndef a() -> Async[nat]: ...\n"),
    Case(
        "KY104",
        "@query\ndef a(x) -> nat: ...\n",
        "@query\ndef a(x: nat, /, y: nat) -> nat: ...\n",
        line=3,
    ),
    Case("KY105", "@query\ndef a(): ...\n", "@query\ndef a() -> void: ...\n", line=3),
    Case("KY106", "@query\ndef a() -> None: ...\n", "@query\ndef a() -> null: ...\n", line=3),
    Case(
        "KY107",
        "@query\ndef a(p: nat, q: nat, r: nat, s: nat, t: nat, u: nat) -> nat: ...\n",
        "@query\ndef a(p: nat, q: nat, r: nat, s: nat, t: nat) -> nat: ...\n",
    ),
    Case(
        "KY108", "@query\ndef a(*x: nat) -> nat: ...\n", "@query\ndef a(x: Vec[nat]) -> nat: ...\n"
    ),
    Case("KY108", "@query\ndef a(**x: nat) -> nat: ...\n", "def a(**x: nat) -> nat: ...\n"),
    Case(
        "KY109",
        "@query\ndef a(x: nat, *, y: nat = 1) -> nat: ...\n",
        "@query\ndef a(x: nat, y: nat) -> nat: ...\n",
    ),
    Case("KY110", "@query\ndef a(self) -> nat: ...\n", "@query\ndef a(this: nat) -> nat: ...\n"),
    Case(
        "KY110",
        "class S(Service):\n    @service_query\n    def a(x: nat) -> nat: ...\n",
        "class S(Service):\n    @service_query\n    def a(self, x: nat) -> nat: ...\n",
        line=4,
    ),
    Case("KY111", GOOD_QUERY + "@update\ndef a() -> void: ...\n", GOOD_QUERY, line=6),
    Case(
        "KY112",
        "@init\ndef a() -> void: ...\n@init\ndef b() -> void: ...\n",
        "@init\ndef a() -> void: ...\n@post_upgrade\ndef b() -> void: ...\n",
        line=5,
    ),
    Case("KY113", "@init\ndef a() -> nat: ...\n", "@init\ndef a() -> void: ...\n"),
    Case(
        "KY114",
        "@pre_upgrade\ndef a(x: nat) -> void: ...\n",
        "@pre_upgrade\ndef a() -> void: ...\n",
    ),
    Case(
        "KY114", "@heartbeat\ndef a(x: nat) -> void: ...\n", "@init\ndef a(x: nat) -> void: ...\n"
    ),
    Case(
        "KY115",
        "@init\ndef a() -> Async[void]: ...\n",
        "@init\ndef a() -> void:\n    ic.set_timer(0, later)\ndef later(): ...\n",
    ),
    Case("KY116", "@init()\ndef a() -> void: ...\n", "@init\ndef a() -> void: ...\n"),
    Case(
        "KY117",
        {"main.py": "import helper\n", "helper.py": HEADER + GOOD_QUERY},
        {"main.py": "from helper import a\n", "helper.py": HEADER + GOOD_QUERY},
    ),
    Case("KY117", "@query\ndef _a() -> nat: ...\n", "@query\ndef a_() -> nat: ...\n"),
    Case("KY117", "__all__ = ['b']\nb = 1\n" + GOOD_QUERY, "__all__ = ['a']\n" + GOOD_QUERY),
    Case(
        "KY117",
        {
            "main.py": "from kybra import *\nfrom helper import a\n",
            "helper.py": HEADER
            + "def g() -> GuardResult: ...\n@query(guard=g)\ndef a() -> nat: ...\n",
        },
        {
            "main.py": "from kybra import *\nfrom helper import *\n",
            "helper.py": HEADER
            + "def g() -> GuardResult: ...\n@query(guard=g)\ndef a() -> nat: ...\n",
        },
    ),
    Case(
        "KY118",
        "@query\ndef a() -> nat:\n    x = yield\n    return x\n",
        "@query\ndef a() -> Async[nat]:\n    x = yield\n    return x\n",
    ),
    Case(
        "KY119",
        "@query\ndef a(x: nat = 1) -> nat: ...\n",
        "@query\ndef a(x: Opt[nat]) -> nat: ...\n",
    ),
    Case(
        "KY119",
        "@query\ndef a(x: nat, y: Opt[nat] = 1) -> nat: ...\n",
        "@query\ndef a(x: nat, y: Opt[nat] = None) -> nat: ...\n",
    ),
    # Types.
    Case(
        "KY201",
        "@query\ndef a(x: list[nat]) -> nat: ...\n",
        "@query\ndef a(x: Vec[nat]) -> nat: ...\n",
    ),
    Case(
        "KY201",
        "from typing import Optional\n@query\ndef a(x: Optional[nat]) -> nat: ...\n",
        "@query\ndef a(x: Opt[nat]) -> nat: ...\n",
        line=4,
    ),
    Case("KY201", "@query\ndef a() -> CallResult[nat]: ...\n", GOOD_QUERY),
    Case(
        "KY202",
        "@query\ndef a(x: int | None) -> nat: ...\n",
        "@query\ndef a(x: Opt[int]) -> nat: ...\n",
    ),
    Case(
        "KY202",
        "import kybra\n@query\ndef a(x: kybra.nat) -> nat: ...\n",
        "import kybra\n" + GOOD_QUERY,
    ),
    Case(
        "KY202",
        "@query\ndef a(x: Opt[nat, nat]) -> nat: ...\n",
        "@query\ndef a(x: Tuple[nat, nat]) -> nat: ...\n",
    ),
    Case("KY203", "@query\ndef a(x: bytes) -> nat: ...\n", "@query\ndef a(x: blob) -> nat: ...\n"),
    Case(
        "KY203", "@query\ndef a(x: float) -> nat: ...\n", "@query\ndef a(x: float64) -> nat: ...\n"
    ),
    Case(
        "KY203",
        "@query\ndef a(x: dict) -> nat: ...\n",
        "class R(Record):\n    k: nat\n@query\ndef a(x: R) -> nat: ...\n",
    ),
    Case(
        "KY203",
        "class R(Record):\n    k: nat\nclass Q(R):\n    j: nat\n@query\ndef a(x: Q) -> nat: ...\n",
        "class R(Record):\n    k: nat\n"
        "class Q(Record):\n    j: nat\n@query\ndef a(x: Q) -> R: ...\n",
        line=7,
    ),
    Case(
        "KY204",
        "P: type = Tuple[nat, nat]\n@query\ndef a() -> P: ...\n",
        "P = Tuple[nat, nat]\n@query\ndef a() -> P: ...\n",
    ),
    Case(
        "KY204",
        "O = Opt[nat]\n@query\ndef a() -> O: ...\n",
        "O = Alias[Opt[nat]]\n@query\ndef a() -> O: ...\n",
        line=4,
    ),
    Case(
        "KY206",
        "@query\ndef a(x: 'Vec[nat]') -> nat: ...\n",
        "@query\ndef a(x: Vec['nat']) -> 'nat': ...\n",
    ),
    Case(
        "KY207",
        "class R(Record):\n    '''Text.'''\n    k: nat\n",
        "class R(Record):\n    k: nat\n",
        line=3,
    ),
    Case("KY207", "class R(Record):\n    pass\n", "class R(Record):\n    ...\n"),
    Case("KY207", "class V(Variant):\n    ...\n", "class V(Variant, total=False):\n    A: null\n"),
    Case(
        "KY207",
        "class R(Record):\n    k: nat\n    def f(self): ...\n",
        "class R(Record):\n    k: nat\n",
    ),
    Case("KY208", "class S(Service):\n    pass\n", "class S:\n    pass\n"),
    Case(
        "KY209",
        "class S(Service):\n    @service_query()\n    def a(self) -> nat: ...\n",
        "class S(Service):\n    @service_update\n    def a(self) -> nat: ...\n",
    ),
    Case("KY210", "F = Func(Query[nat, nat])\n", "F = Func(Query[[nat], nat])\n"),
    Case("KY210", "F = Func(Later[[nat], nat])\n", "F = Func(Oneway[[nat], void])\n"),
    Case(
        "KY211",
        "class R(Record):\n    k: nat\nclass R(Variant):\n    k: nat\n",
        "class R(Record):\n    k: nat\nclass Q(Variant):\n    k: nat\n",
        line=4,
    ),
    Case(
        "KY211",
        "class Duration(Record):\n    k: nat\n",
        "class Term(Record):\n    k: nat\n",
        line=2,
    ),
    Case(
        "KY211",
        "from kybra.canisters.management import management_canister\n"
        "class HttpResponse(Record):\n    k: nat\n",
        "class HttpResponse(Record):\n    k: nat\n",
        line=3,
    ),
    Case(
        "KY212", "class Result(Variant):\n    Ok: nat\n", "class Outcome(Variant):\n    Ok: nat\n"
    ),
    Case("KY212", "class record(Record):\n    k: nat\n", "class Records(Record):\n    k: nat\n"),
    Case("KY213", "class R(Record):\n    k: nat = 1\n", "class R(Record):\n    k: nat\n", line=3),
    Case(
        "KY214",
        {"main.py": "class Record:\n    pass\nclass Row(Record):\n    k: int\n"},
        {"main.py": "class Line:\n    pass\nclass Row(Line):\n    k: int\n"},
    ),
    Case("KY215", "class R(Record):\n    k: void\n", "class R(Record):\n    k: null\n", line=3),
    Case(
        "KY216",
        "class R(Record):\n    k: nat\n    k: text\n",
        "class R(Record):\n    k: nat\n    from_: text\n",
    ),
    Case("KY217", "A = Alias[Vec['A']]\n", "A = Tuple[nat, Opt['A']]\n", line=2),
    Case(
        "KY217",
        "A = Alias[Opt['B']]\nB = Alias['A']\n",
        "A = Alias[Opt['B']]\nclass B(Record):\n    next: 'A'\n    last: Opt['B']\n",
        line=2,
    ),
    # Statements and syntax.
    Case("KY301", "a, b = 1, 2\n", "a = 1\nb = 2\n", line=2),
    Case("KY301", "d = {}\nd['k'] = 1\n", "d = {}\nif True:\n    d['k'] = 1\n", line=3),
    Case("KY301", "def f(): ...\nf.x = 1\n", "def f(): ...\nsetattr(f, 'x', 1)\n", line=3),
    Case("KY301", "*a, = 1, 2\n", "a = [1, 2]\na += [3]\n"),
    Case("KY301", "def f(): ...\nf.x: int = 1\n", "x: int = 1\n"),
    Case(
        "KY301",
        {"main.py": "import helper\n", "helper.py": "a, b = 1, 2\n"},
        {"main.py": "import helper\n", "helper.py": "def f():\n    a, b = 1, 2\n"},
    ),
    Case("KY302", "a = b = 1\n", "a = 1\nb = 1\n", line=2),
    Case(
        "KY303",
        "def f(x):\n    match x:\n        case 1:\n            return 2\n",
        "def f(x):\n    return match(x, {'Ok': lambda one: one})\n",
        line=3,
    ),
    Case(
        "KY304",
        "def f(x):\n    with (x as y):\n        return y\n",
        "def f(x):\n    with (x) as y, (x):\n        return y\n",
        line=3,
    ),
    Case(
        "KY304",
        "def f(x):\n    with (\n        x(),\n        x() as y,\n    ):\n        return y\n",
        "def f(x):\n    with (x(), x()):\n        pass\n",
        line=3,
    ),
    Case(
        "KY305",
        "try:\n    pass\nexcept* ValueError:\n    pass\n",
        "try:\n    pass\nexcept (ValueError, KeyError):\n    pass\n",
        line=2,
    ),
    Case("KY305", "def f(*a: *b): ...\n", "def f(*a: b): ...\n"),
    Case("KY305", "def f(a, b):\n    return a[*b]\n", "def f(a, b):\n    return a[(*b, 1)]\n"),
    Case("KY305", "def f(a):\n    return a[b := 1]\n", "def f(a):\n    return a[(b := 1)]\n"),
    Case("KY305", "type A = int\n", "a = int\n"),
    Case("KY305", "def f[T](a: T): ...\n", "def f(a): ...\n"),
    Case(
        "KY305",
        "def f(d):\n    return f'{d['k']}'\n",
        "def f(d):\n    return f'{d[\"k\"]!r:>{1}}'\n",
    ),
    Case("KY305", "def f(:\n", "def f(): ...\n", line=2),
    Case("KY305", {"main.py": "\ufeffa = 1\n"}, {"main.py": "a = 'ä'\n"}),
    # Modules.
    Case(
        "KY401",
        {"main.py": "from .helper import a\n", "helper.py": "a = 1\n"},
        {"main.py": "from helper import a\n", "helper.py": "a = 1\n"},
    ),
    Case(
        "KY402", "import not_there\n", "try:\n    import not_there\nexcept ImportError:\n    pass\n"
    ),
    Case(
        "KY402",
        {"main.py": "from pkg import missing\n", "pkg/__init__.py": "", "pkg/here.py": ""},
        {"main.py": "from pkg import here\n", "pkg/__init__.py": "", "pkg/here.py": ""},
    ),
    Case(
        "KY402",
        "try:\n    import not_there\nexcept ImportError:\n    import nor_this\n",
        "try:\n    import json\nexcept ImportError:\n    import not_there\n",
        line=5,
    ),
    Case("KY403", "def f():\n    import socket\n", "def f():\n    import hashlib\n", line=3),
    Case("KY403", "from urllib import request\n", "from urllib import parse\n"),
    Case("KY403", "import http.client\n", "import html\n"),
    Case(
        "KY404",
        {"main.py": "import pkg.here\n", "pkg/here.py": ""},
        {"main.py": "import pkg.here\n", "pkg/here.py": "", "pkg/__init__.py": ""},
    ),
    Case(
        "KY405",
        {"main.py": "import pkg.main\n", "pkg/__init__.py": "", "pkg/main.py": ""},
        {"main.py": "import pkg.other\n", "pkg/__init__.py": "", "pkg/other.py": ""},
    ),
    Case(
        "KY405",
        {"main.py": "import game.game\n", "game/__init__.py": "", "game/game.py": ""},
        {"main.py": "import game.rules\n", "game/__init__.py": "", "game/rules.py": ""},
    ),
    Case(
        "KY405",
        {
            "main.py": HEADER + "import principal\nimport pkg.principal\n",
            "principal.py": "",
            "pkg/__init__.py": "",
            "pkg/principal.py": "",
        },
        {
            "main.py": HEADER + "import pkg.principal\n",
            "pkg/__init__.py": "",
            "pkg/principal.py": "",
        },
    ),
    Case(
        "KY406",
        {"main.py": "import random\n", "random.py": ""},
        {"main.py": "import pkg.random\n", "pkg/__init__.py": "", "pkg/random.py": ""},
    ),
    Case(
        "KY407",
        {"main.py": "import fast\n", f"fast{EXTENSION_SUFFIXES[-1]}": ""},
        {"main.py": "import slow\n", "slow.py": ""},
    ),
    Case("KY408", {"my-entry.py": "a = 1\n"}, {"my_entry.py": "a = 1\n"}),
    Case(
        "KY409",
        {"main.py": "import helper\n", "helper.py": "def f():\n    import main\n"},
        {"main.py": "import helper\n", "helper.py": "def f(): ...\n"},
    ),
    Case(
        "KY411",
        {
            "main.py": "import pkg\n",
            "pkg/__init__.py": "",
            "pkg/template.py": "def {name}(): ...\n",
        },
        {"main.py": "import pkg\n", "pkg/__init__.py": "", "pkg/template.py": "def f(): ...\n"},
    ),
    # Guards.
    Case(
        "KY501",
        "@query(guard=lambda: {'Ok': None})\ndef a() -> nat: ...\n",
        "def g() -> GuardResult: ...\n@query(guard=g)\ndef a() -> nat: ...\n",
        line=2,
    ),
    Case(
        "KY502",
        "def g() -> bool: ...\n@query(guard=g)\ndef a() -> nat: ...\n",
        "def g() -> GuardResult: ...\n@update(guard=g)\ndef a() -> nat: ...\n",
        line=3,
    ),
    Case(
        "KY502",
        "def g() -> Async[GuardResult]: ...\n@query(guard=g)\ndef a() -> nat: ...\n",
        "def g() -> 'GuardResult': ...\n@query(guard=g)\ndef a() -> nat: ...\n",
    ),
    Case("KY503", "def g(x: nat) -> GuardResult: ...\n", "def g() -> GuardResult: ...\n"),
    Case(
        "KY504",
        "def g() -> GuardResult: ...\ndef g() -> GuardResult: ...\n",
        "def g() -> GuardResult: ...\ndef h() -> GuardResult: ...\n",
        line=3,
    ),
    Case(
        "KY505",
        "def g() -> GuardResult: ...\n@heartbeat(guard=g)\ndef a() -> void: ...\n",
        "def g() -> GuardResult: ...\n@update(guard=g)\ndef a() -> void: ...\n",
        line=3,
    ),
    # Stable maps.
    Case(
        "KY601",
        "def f():\n    m = StableBTreeMap[nat64, nat64](0, 15, 15)\n",
        NAT64_MAP,
        line=3,
    ),
    Case(
        "KY601",
        "ms = [StableBTreeMap[nat64, nat64](0, 15, 15)]\n",
        "m: object = StableBTreeMap[nat64, nat64](0, 15, 15)\nms = [m]\n",
        line=2,
    ),
    Case(
        "KY602",
        "m = StableBTreeMap[nat64, nat64](memory_id=0, max_key_size=3 * 5, max_value_size=15)\n",
        "m = StableBTreeMap[nat64, nat64](memory_id=0, max_key_size=1_5, max_value_size=15)\n",
    ),
    Case(
        "KY602",
        "m = StableBTreeMap[nat64, nat64](memory_id=True, max_key_size=15, max_value_size=15)\n",
        "m = StableBTreeMap[nat64, nat64](memory_id=1, max_key_size=15, max_value_size=15)\n",
    ),
    Case(
        "KY603",
        NAT64_MAP + "n = StableBTreeMap[nat64, nat64](0, 15, 15)\n",
        NAT64_MAP + "n = StableBTreeMap[nat64, nat64](4, 15, 15)\n",
        line=3,
    ),
    Case(
        "KY604",
        "m = StableBTreeMap[nat64, nat64](255, 15, 15)\n",
        "m = StableBTreeMap[nat64, nat64](254, 15, 15)\n",
    ),
    Case(
        "KY605",
        "m = StableBTreeMap[text, text](0, 100, 0)\n",
        "m = StableBTreeMap[text, text](0, 100, 4294967295)\n",
    ),
    Case(
        "KY606",
        "m = StableBTreeMap[nat64](0, 15, 15)\n",
        "m = StableBTreeMap[nat64, Vec[nat]](0, 15, 15)\n",
    ),
    Case(
        "KY606",
        "m = StableBTreeMap[nat64, nat64](0, 15)\n",
        "m = StableBTreeMap[nat64, nat64](0, 15, max_value_size=15)\n",
    ),
    Case(
        "KY606",
        "m = StableBTreeMap(0, 15, 15)\n",
        "m = StableBTreeMap[nat64, nat64](0, 15, 15)\n",
        says="accepts, and every use raises LookupError",
    ),
    Case(
        "KY607",
        NAT64_MAP + "@query\ndef a() -> nat:\n    return sum(m.values())\n",
        NAT64_MAP + "d = {}\n@query\ndef a() -> nat:\n    return sum(d.values())\n",
        line=5,
    ),
    Case(
        "KY607",
        {
            "main.py": "import store\ndef f():\n    return store.m.items()\n",
            "store.py": HEADER + NAT64_MAP,
        },
        {
            "main.py": "import store\ndef f():\n    return store.m.get(1)\n",
            "store.py": HEADER + NAT64_MAP,
        },
        line=3,
    ),
    Case(
        "KY608",
        "m = StableBTreeMap[nat64, nat64](0, 8, 15)\n",
        "m = StableBTreeMap[nat8, Principal](0, 8, 38)\n",
    ),
    Case(
        "KY608",
        "K = Alias[nat32]\nm = StableBTreeMap[nat8, K](0, 8, 10)\n",
        "K = Alias[nat32]\nm = StableBTreeMap[nat8, K](0, 8, 11)\n",
    ),
    *ON_CHAIN_CASES,
]
