"""Snippets that Kybra compiles, and that trap, lose something or do nothing on chain."""

from lint_case import HEADER, Case

__all__ = ["ON_CHAIN_CASES"]

NAT64_MAP = "m = StableBTreeMap[nat64, nat64](0, 15, 15)\n"
ROW = "class R(Record):\n    n: nat\n    o: Opt[text]\n    from_: float64\n"
KIND = "class V(Variant, total=False):\n    A: nat8\n    B: null\n"
ROW_MAP = "class R(Record):\n    n: nat\nm = StableBTreeMap[nat64, R](0, 15, 100)\n"
LEDGER = (
    "class Ledger(Service):\n"
    "    @service_query\n"
    "    def balance(self, who: Principal) -> nat64: ...\n"
    "    @service_update\n"
    "    def pay(self, to: Principal, n: nat64) -> nat64: ...\n"
    "ledger = Ledger(Principal.from_str('aaaaa-aa'))\n"
)
UPGRADED = "@post_upgrade\ndef upgraded() -> void: ...\n"

ON_CHAIN_CASES = [
    # Methods and hooks.
    Case(
        "KY120",
        "@init\ndef a() -> void:\n    yield 1\n",
        "@init\ndef a() -> void:\n    ic.set_timer(0, later)\ndef later():\n    pass\n",
        line=3,
    ),
    Case(
        "KY120",
        "def g() -> GuardResult:\n    yield 1\n",
        "def g() -> GuardResult:\n    return {'Ok': None}\n",
        says="accepts, and every call is rejected: expected Result but received generator",
    ),
    Case(
        "KY121",
        "@inspect_message\ndef a() -> void:\n    pass\n",
        "@inspect_message\ndef a() -> void:\n    if ic.method_name() == 'b':\n"
        "        ic.accept_message()\n",
        line=3,
    ),
    Case(
        "KY122",
        "@init\ndef a(x: nat) -> void: ...\n@post_upgrade\ndef b(x: nat) -> void: ...\n",
        "@init\ndef a(x: nat) -> void: ...\n@post_upgrade\ndef b(x: Opt[nat]) -> void: ...\n",
        line=5,
    ),
    Case(
        "KY123",
        "@update\ndef a() -> Manual[nat]:\n    x = 1\n",
        "@update\ndef a() -> Manual[nat]:\n    ic.reply(1)\n",
        line=3,
    ),
    Case(
        "KY124",
        "@update\ndef a() -> nat:\n    ic.reply(1)\n",
        "@update\ndef a() -> Manual[nat]:\n    return ic.reply(1)\n",
        line=4,
    ),
    Case(
        "KY124",
        "@query\ndef a() -> nat:\n    ic.reject('no')\n",
        "@query\ndef a() -> Manual[nat]:\n    ic.reject('no')\n",
        says="accepts, and the automatic reply traps",
    ),
    Case(
        "KY125",
        "@update\ndef a() -> Manual[nat]:\n    ic.reply(1)\n    return 2\n",
        "@update\ndef a() -> Manual[nat]:\n    ic.reply(2)\n    return None\n",
        line=5,
    ),
    Case(
        "KY126",
        "@heartbeat\ndef a() -> void:\n    work()\n",
        "@init\ndef a() -> void:\n    ic.set_timer_interval(60, work)\n"
        "@post_upgrade\ndef b() -> void:\n    ic.set_timer_interval(60, work)\n"
        "def work(): ...\n",
        line=3,
    ),
    Case(
        "KY127",
        "@pre_upgrade\ndef a() -> void:\n    ic.trap('no')\n",
        "@pre_upgrade\ndef a() -> void:\n    ic.print('no')\n",
        line=4,
    ),
    Case(
        "KY127",
        "@pre_upgrade\ndef a() -> void:\n    raise ValueError\n",
        "@pre_upgrade\ndef a() -> void:\n    try:\n        raise ValueError\n"
        "    except ValueError:\n        ic.print('no')\n",
    ),
    Case(
        "KY117",
        {
            "main.py": "from kybra import *\nfrom helper import a\n",
            "helper.py": HEADER + LEDGER + "@query\ndef a(x: Ledger) -> nat: ...\n",
        },
        {
            "main.py": "from kybra import *\nfrom helper import a, Ledger\n",
            "helper.py": HEADER + LEDGER + "@query\ndef a(x: Ledger) -> nat: ...\n",
        },
        says="accepts, and every call traps with an AttributeError",
    ),
    # Types.
    Case(
        "KY203",
        "R = Record('R', {'n': nat})\n@query\ndef a() -> R: ...\n",
        ROW + "@query\ndef a() -> R: ...\n",
        line=4,
    ),
    Case(
        "KY218",
        "def f():\n    class S(Service):\n        @service_query\n        def a(self) -> nat: 1\n",
        "class S(Service):\n    @service_query\n    def a(self) -> nat: ...\n",
        line=3,
    ),
    Case(
        "KY218",
        "import kybra\nclass S(kybra.Service):\n    def a(self) -> nat: ...\n",
        "import kybra\nclass S(kybra.Exception):\n    def a(self) -> nat: ...\n",
    ),
    Case(
        "KY219",
        "@query\ndef a() -> Opt[Opt[nat]]: ...\n",
        "@query\ndef a() -> Opt[Vec[Opt[nat]]]: ...\n",
        line=3,
    ),
    # Modules.
    Case(
        "KY405",
        {
            "main.py": "from kybra.canisters.management import management_canister\nimport basic\n",
            "basic.py": "",
        },
        {"main.py": "from kybra import ic\nimport basic\n", "basic.py": ""},
    ),
    # Stable maps.
    Case(
        "KY609",
        NAT64_MAP + "def f(k):\n    return k in m\n",
        NAT64_MAP + "def f(k, d):\n    return k in d and m.contains_key(k)\n",
        line=4,
    ),
    Case("KY609", NAT64_MAP + "def f():\n    return len(m)\n", NAT64_MAP + "n = m.len()\n"),
    Case("KY609", NAT64_MAP + "def f(k):\n    m[k] = 1\n", NAT64_MAP + "m.insert(1, 1)\n"),
    Case("KY609", NAT64_MAP + "def f():\n    return [k for k in m]\n", NAT64_MAP),
    Case("KY609", NAT64_MAP + "def f(k):\n    return m.pop(k)\n", NAT64_MAP + "m.remove(1)\n"),
    Case(
        "KY610",
        ROW_MAP + "def f(k):\n    row = m.get(k)\n    row['n'] += 1\n",
        ROW_MAP + "def f(k):\n    row = m.get(k)\n    row['n'] += 1\n    m.insert(k, row)\n",
        line=7,
    ),
    Case(
        "KY610",
        ROW_MAP + "def f(k):\n    row = m.get(k)\n    if row is None:\n        return None\n"
        "    row['n'] = 1\n    return row['n']\n",
        ROW_MAP + "def f(k):\n    row = m.get(k)\n    if row is None:\n        return None\n"
        "    row['n'] = 1\n    return row\n",
    ),
    Case(
        "KY610",
        ROW_MAP + "def f(k):\n    m.get(k)['n'] = 1\n",
        ROW_MAP + "def f(k):\n    m.insert(k, {**m.get(k)})\n",
    ),
    Case(
        "KY611",
        NAT64_MAP + "def f():\n    ic.stable_write(0, b'x')\n",
        "def f():\n    ic.stable_write(0, b'x')\n",
        line=4,
    ),
    Case(
        "KY612",
        NAT64_MAP
        + "@post_upgrade\ndef a() -> void:\n    for k in range(m.len()):\n        m.get(k)\n",
        NAT64_MAP + "@post_upgrade\ndef a() -> void:\n    for k in range(10):\n        m.get(k)\n",
        line=5,
    ),
    # Behaviour on chain.
    Case("KY701", "def f():\n    print(1)\n", "def f():\n    ic.print(1)\n", line=3),
    Case(
        "KY702",
        "def f(x):\n    return {**x, 'k': 1}\n",
        "def f(x):\n    return {'k': 1, **x, **x}\n",
        line=3,
    ),
    Case(
        "KY703",
        "def f(x):\n    return ic.caller() == x\n",
        "def f(x):\n    return ic.caller().to_str() == x\n",
        line=3,
    ),
    Case(
        "KY703",
        "d = {}\ndef f():\n    who = ic.caller()\n    return d.get(who)\n",
        "d = {}\ndef f():\n    who = ic.caller().to_str()\n    return d.get(who)\n",
        line=5,
    ),
    Case(
        "KY703",
        "d = {}\ndef f(who: Principal):\n    d[who] = 1\n",
        "m = StableBTreeMap[Principal, nat64](0, 38, 15)\ndef f(who: Principal):\n    m.get(who)\n",
        line=4,
    ),
    Case(
        "KY703",
        "owner = Principal.from_str('aaaaa-aa')\ndef f(x):\n    return owner in x\n",
        "owner = Principal.from_str('aaaaa-aa')\ndef f(x):\n    return x in [owner.to_str()]\n",
        line=4,
    ),
    Case(
        "KY704",
        "import secrets\ndef f():\n    return secrets.token_bytes(8)\n",
        "import random\ndef f():\n    return random.random()\n",
    ),
    Case(
        "KY704",
        "from uuid import uuid4\ndef f():\n    return uuid4()\n",
        "from uuid import UUID\ndef f(x):\n    return UUID(x)\n",
    ),
    Case(
        "KY704",
        "import random\nSEED = random.randint(0, 9)\n",
        "import random\nSEED = random.Random(9)\n",
        line=3,
    ),
    Case(
        "KY705",
        "@query\ndef a() -> float64:\n    return 1\n",
        "@query\ndef a() -> float64:\n    return 1.0\n",
        line=4,
    ),
    Case(
        "KY705",
        ROW + "@query\ndef a() -> R:\n    return {'n': 1, 'o': None, 'from_': -1}\n",
        ROW + "@query\ndef a() -> R:\n    return {'n': 1, 'o': None, 'from_': -1.0}\n",
    ),
    Case(
        "KY706",
        ROW + "@query\ndef a() -> R:\n    return {'n': 1, 'from_': 1.0}\n",
        ROW + "@query\ndef a(x: R) -> R:\n    return {'n': 1, **x}\n",
        line=8,
    ),
    Case(
        "KY706",
        ROW + "@query\ndef a() -> Vec[R]:\n    return [{'n': 1, 'o': 'x', 'from': 1.0}]\n",
        ROW + "@query\ndef a() -> Vec[R]:\n    return [{'n': 1, 'o': 'x', 'from_': 1.0}]\n",
    ),
    Case(
        "KY707",
        KIND + "@query\ndef a() -> V:\n    return {'C': None}\n",
        KIND + "@query\ndef a() -> V:\n    return {'B': None}\n",
        line=7,
    ),
    Case(
        "KY707",
        "def g() -> GuardResult:\n    return {'Error': 'no'}\n",
        "def g() -> GuardResult:\n    return {'Err': 'no'}\n",
        says="accepts, and every call is rejected: expected Result but received dict",
    ),
    Case(
        "KY708",
        "@query\ndef a() -> nat:\n    return -1\n",
        "@query\ndef a() -> int:\n    return -1\n",
        says="accepts, and traps: Could not convert value to nat",
    ),
    Case(
        "KY708",
        KIND + "@query\ndef a() -> V:\n    return {'A': 256}\n",
        KIND + "@query\ndef a() -> V:\n    return {'A': 255}\n",
        says="accepts, and traps: Python int too large to convert to Rust u8",
    ),
    Case(
        "KY708",
        "@query\ndef a(x: bool) -> text:\n    return 'a' if x else None\n",
        "@query\ndef a(x: bool) -> Opt[text]:\n    return 'a' if x else None\n",
    ),
    Case(
        "KY708",
        "@query\ndef a() -> Vec[nat]:\n    return (1, 2)\n",
        "@query\ndef a() -> Vec[nat64]:\n    return (1, 2)\n",
        says="accepts, and traps: Could not convert value to Vec",
    ),
    Case(
        "KY708",
        NAT64_MAP + "def f():\n    m.insert('a', 1)\n",
        NAT64_MAP + "def f():\n    m.insert(1, 1)\n",
    ),
    Case(
        "KY708",
        "@update\ndef a() -> void:\n    return 1\n",
        "@update\ndef a() -> void:\n    return None\n",
        says="accepts, and traps: expected NoneType but received int",
    ),
    Case(
        "KY709",
        "def f(): ...\n@query\ndef a() -> nat:\n    ic.set_timer(0, f)\n    return 1\n",
        "def f(): ...\n@update\ndef a() -> nat:\n    ic.set_timer(0, f)\n    return 1\n",
        line=5,
    ),
    Case(
        "KY709",
        "@update\ndef a() -> text:\n    return ic.method_name()\n",
        "@inspect_message\ndef a() -> void:\n    ic.print(ic.method_name())\n"
        "    ic.accept_message()\n",
    ),
    Case(
        "KY709",
        "@update\ndef a() -> text:\n    return ic.reject_message()\n",
        LEDGER + "@update\ndef a(p: Principal) -> text:\n    yield ledger.pay(p, 1)\n"
        "    return ic.reject_message()\n",
    ),
    Case(
        "KY709",
        LEDGER + "@query\ndef a(p: Principal) -> void:\n    ledger.pay(p, 1).notify()\n",
        LEDGER + "@update\ndef a(p: Principal) -> void:\n    ledger.pay(p, 1).notify()\n",
    ),
    Case(
        "KY710",
        "def f(p):\n    return ic.is_controller(p)\n",
        "def f():\n    return ic.caller()\n",
        line=3,
    ),
    Case(
        "KY710",
        "def f(p):\n    return ic.call_raw(p, 'a', b'')\n",
        "def f(p):\n    return ic.call_raw(p, 'a', b'', payment=0)\n",
    ),
    Case(
        "KY711",
        "def f(): ...\ndef g():\n    ic.set_timer(0.5, f)\n",
        "def f(): ...\ndef g():\n    ic.set_timer(1, f)\n",
        line=4,
    ),
    Case(
        "KY711",
        "def f():\n    return ic.performance_counter(2)\n",
        "def f():\n    return ic.performance_counter(1)\n",
    ),
    Case(
        "KY712",
        "def f():\n    with open('a.txt') as file:\n        return file.read()\n",
        "def open(x): ...\ndef f():\n    return open('a.txt')\n",
        line=3,
    ),
    Case(
        "KY712",
        "from pathlib import Path\ndef f():\n    Path('a').write_text('b')\n",
        "from pathlib import PurePath\ndef f():\n    return PurePath('a').name\n",
    ),
    Case(
        "KY713",
        "from threading import Thread\ndef f(g):\n    Thread(target=g).start()\n",
        "from threading import Lock\ndef f():\n    return Lock()\n",
        line=4,
    ),
    Case(
        "KY714",
        NAT64_MAP + "@query\ndef a(k: nat64) -> void:\n    m.insert(k, 1)\n",
        NAT64_MAP + "@update\ndef a(k: nat64) -> void:\n    m.insert(k, 1)\n",
        line=5,
    ),
    Case(
        "KY714",
        "hits = 0\n@query\ndef a() -> nat:\n    global hits\n    hits += 1\n    return hits\n",
        "hits = 0\n@query\ndef a() -> nat:\n    now = hits + 1\n    return now\n",
    ),
    Case(
        "KY715",
        "def f(): ...\n@init\ndef a() -> void:\n    ic.set_timer_interval(9, f)\n",
        "def f(): ...\n@init\ndef a() -> void:\n    ic.set_timer_interval(9, f)\n"
        "@post_upgrade\ndef b() -> void:\n    ic.set_timer_interval(9, f)\n",
        line=5,
    ),
    Case(
        "KY716",
        UPGRADED
        + LEDGER
        + "def f():\n    r = yield ledger.balance(ic.id())\n    ic.print(r.Ok + 1)\n"
        "def g():\n    ic.set_timer(1, f)\n",
        UPGRADED + LEDGER + "def f():\n    try:\n        r = yield ledger.balance(ic.id())\n"
        "        ic.print(r.Ok + 1)\n    except Exception as error:\n        ic.trap(str(error))\n"
        "def g():\n    ic.set_timer(1, f)\n",
    ),
    Case(
        "KY716",
        "class C:\n    def f(self):\n        yield 1\n    def g(self):\n"
        "        ic.set_timer(1, lambda: self.f())\n",
        "class C:\n    def f(self):\n        return 1\n    def g(self):\n"
        "        ic.set_timer(1, lambda: self.f())\n",
        line=6,
    ),
    Case(
        "KY717",
        LEDGER + "busy = False\ndef f():\n    global busy\n    busy = True\n"
        "    yield ledger.balance(ic.id())\n    busy = False\n",
        LEDGER + "until = 0\ndef f():\n    global until\n    until = ic.time() + 60_000_000_000\n"
        "    yield ledger.balance(ic.id())\n    until = 0\n",
        line=11,
    ),
    Case(
        "KY717",
        LEDGER + "class C:\n    def f(self):\n        self.busy = True\n        try:\n"
        "            yield ledger.balance(ic.id())\n        finally:\n"
        "            self.busy = False\n",
        LEDGER + "class C:\n    def f(self):\n        self.busy = True\n        self.busy = False\n"
        "        yield ledger.balance(ic.id())\n",
    ),
    Case(
        "KY717",
        LEDGER + "busy = set()\ndef f(who):\n    busy.add(who)\n"
        "    yield ledger.balance(ic.id())\n    busy.discard(who)\n",
        LEDGER + "def f(who):\n    seen = set()\n    seen.add(who)\n"
        "    yield ledger.balance(ic.id())\n    seen.discard(who)\n",
    ),
    Case(
        "KY718",
        LEDGER + "def inner():\n    yield ledger.balance(ic.id())\n    raise ValueError\n"
        "def f():\n    try:\n        yield inner()\n    except ValueError:\n        pass\n",
        LEDGER + "def inner():\n    yield ledger.balance(ic.id())\n    raise ValueError\n"
        "def f():\n    try:\n        yield from inner()\n    except ValueError:\n        pass\n",
        line=13,
    ),
    Case(
        "KY718",
        LEDGER + "def f():\n    try:\n        r = yield ledger.balance(ic.id())\n"
        "    except Exception:\n        return 0\n    return r.Ok\n",
        LEDGER + "def f():\n    r = yield ledger.balance(ic.id())\n"
        "    return r.Ok if r.Err is None else 0\n",
    ),
    Case(
        "KY719",
        LEDGER + "def f(p):\n    ledger.pay(p, 1)\n",
        LEDGER + "def f(p):\n    ledger.pay(p, 1).notify()\n",
        line=9,
    ),
    Case(
        "KY719",
        "from kybra.canisters.management import management_canister\n"
        "def f():\n    management_canister.raw_rand()\n",
        "from kybra.canisters.management import management_canister\n"
        "def f():\n    yield management_canister.raw_rand()\n",
    ),
    Case(
        "KY719",
        "def f(p):\n    ic.call_raw(p, 'a', b'', 0)\n",
        "def f(p):\n    call = ic.call_raw(p, 'a', b'', 0)\n    return (yield call)\n",
    ),
    Case(
        "KY720",
        LEDGER + "def f(p):\n    return (yield ledger.pay(to=p, n=1))\n",
        LEDGER + "def f(p):\n    return (yield ledger.pay(p, 1))\n",
        line=9,
    ),
    Case(
        "KY721",
        LEDGER + "def f(p):\n    yield ledger.pay(p, 1).with_cycles(1).with_cycles(2)\n",
        LEDGER + "def f(p):\n    yield ledger.pay(p, 1).with_cycles(3)\n",
        line=9,
    ),
    Case(
        "KY721",
        "def f(p):\n    yield ic.call_raw(p, 'a', b'', 0).with_cycles(1)\n",
        "def f(p):\n    yield ic.call_raw(p, 'a', b'', 1)\n",
    ),
    Case(
        "KY722",
        LEDGER + "def f(p):\n    r = yield ledger.pay(p, 1)\n    return r['Ok']\n",
        LEDGER + "def f(p):\n    r = yield ledger.pay(p, 1)\n    return r.Ok\n",
        line=10,
    ),
    Case(
        "KY723",
        LEDGER + "@query\ndef a(p: Principal) -> Async[nat64]:\n    r = yield ledger.pay(p, 1)\n"
        "    return r.Ok\n",
        LEDGER + "@query\ndef a(p: Principal) -> Async[nat64]:\n    r = yield ledger.balance(p)\n"
        "    return r.Ok\n",
        line=10,
    ),
    Case(
        "KY724",
        "def f():\n    return ic.candid_encode('(\"n 1\", 42)')\n",
        "def f():\n    return ic.candid_encode('(\"n 1\", 42 : nat64, record {0 = 1.5})')\n",
        line=3,
    ),
    # The linter's own comments.
    Case(
        "KY901",
        "def f(x):\n    return x  # icfleet: ignore[KY701]\n",
        "def f(x):\n    print(x)  # icfleet: ignore[KY701]\n",
        line=3,
    ),
    Case(
        "KY901",
        "def f(x):\n    print(x)  # icfleet: ignore\n",
        "def f(x):\n    print({**x, 'k': 1})  # icfleet: ignore[KY701, KY702]\n",
        line=3,
    ),
    Case(
        "KY901",
        "a = 1  # icfleet: ignore[KY999]\n",
        "a = '# icfleet: ignore[KY999]'\n",
        line=2,
    ),
    Case(
        "KY901",
        "a = b = 1  # icfleet: ignore[KY302]\n",
        "a = 1  # noqa\n",
        says="refuses: Destructuring isn't supported here",
    ),
]
