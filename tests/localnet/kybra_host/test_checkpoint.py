"""Every kind of Python object a canister may keep is put back as it was."""

import logging
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet.kybra_host.checkpoint import Checkpoint

HEAP = """
import array, collections, dataclasses, enum, functools, io, itertools, random, types as t

counter = 0
db = {"a": {"n": 1, "tags": [1]}, "b": {"n": 2, "tags": []}}
alias = db["a"]
numbers = [3, 1, 2]
members = {1, 2}
queue = collections.deque([1], maxlen=3)
lists = collections.defaultdict(list, x=[1])
ordered = collections.OrderedDict(a=1, b=2)
counts = collections.Counter("ab")
raw = bytearray(b"abc")
numeric = array.array("q", [1, 2])
rng = random.Random(7)
memory_file = io.StringIO("text")
space = t.SimpleNamespace(x=1)
nested = ({"inside": [1]}, frozenset({("k", 1)}))
by_number = {1: "one", "two": 2}


@dataclasses.dataclass
class Player:
    x: int = 0
    ys: list = dataclasses.field(default_factory=list)


class Slotted:
    __slots__ = ("v", "w")
    total = 0


class Sub(Slotted):
    __slots__ = ("z",)


class Frozen(dict):
    def __setitem__(self, key, value):
        raise AssertionError("a rollback must not call the canister's methods")

    def clear(self):
        raise AssertionError("a rollback must not call the canister's methods")

    def __iter__(self):
        raise AssertionError("a rollback must not call the canister's methods")


class Equal:
    def __eq__(self, other):
        raise AssertionError("a rollback must not compare by value")

    __hash__ = object.__hash__


class Bag(list):
    pass


class Color(enum.Enum):
    RED = 1


class Closed:
    pass


class State:
    pass


player = Player()
slotted = Slotted()
slotted.v = 1
sub = Sub()
frozen = Frozen(a=1)
equal = Equal()
pairs = {equal: equal}
bag = Bag([1])
state = State()


def make_counter():
    n = 0
    box = []

    def inc():
        nonlocal n
        n += 1
        box.append(n)
        return n

    return inc, box


inc, box = make_counter()


def unbound():
    def read():
        return late

    def bind():
        nonlocal late
        late = 1

    if False:
        late = 0
    return read, bind


read_late, bind_late = unbound()


def with_default(a, acc=[], *, kw={}):
    acc.append(a)
    kw[a] = a


def attributed():
    pass


attributed.calls = [1]


def plain():
    pass


@functools.lru_cache(maxsize=None)
def unbounded(key):
    return [key]


@functools.lru_cache
def bounded(key):
    return [key]


first_cached = unbounded(1)
kept_cached = bounded(1)
partial = functools.partial(with_default, [5])
append = [9].append


def waiting():
    local = {"n": 1}
    got = yield "call"
    local["n"] += got
    return local["n"]
"""


@pytest.fixture
def heap() -> Any:
    """A module's namespace as a canister would have it."""
    module = types.ModuleType("can")
    exec(compile(HEAP, "can.py", "exec"), vars(module))
    return module


def namespace(heap: Any) -> dict[str, Any]:
    found: dict[str, Any] = heap.__dict__
    return found


def checkpoint_of(heap: Any, *more: object) -> Checkpoint:
    return Checkpoint([namespace(heap), *more], lambda name: name == "can")


CHANGES = [
    pytest.param("globals()['counter'] += 1", "counter", id="rebinding"),
    pytest.param("globals()['fresh'] = 1", "'fresh' in globals()", id="new-global"),
    pytest.param("globals().pop('alias')", "globals().get('alias') is None", id="deleted-global"),
    pytest.param("db['a']['n'] = 99", "db['a']['n']", id="nested-dict"),
    pytest.param("db['a']['tags'].append(2)", "db['a']['tags']", id="list-in-dict"),
    pytest.param("db['c'] = db.pop('b')", "list(db)", id="renamed-key"),
    pytest.param("db['a'] = db.pop('a')", "list(db)", id="dict-order"),
    pytest.param("db['a']['n'] = True", "type(db['a']['n'])", id="true-for-one"),
    pytest.param("db['b']['tags'] = []", "id(db['b']['tags'])", id="equal-but-another"),
    pytest.param("by_number.__setitem__(True, 'yes')", "by_number[1]", id="number-keys"),
    pytest.param("numbers.sort()", "numbers", id="list-order"),
    pytest.param("members.add(3)", "sorted(members)", id="set"),
    pytest.param("queue.extend([2, 3, 4])", "list(queue), queue.maxlen", id="deque"),
    pytest.param("lists['y'].append(1)", "dict(lists)", id="defaultdict-item"),
    pytest.param(
        "setattr(lists, 'default_factory', None)", "lists.default_factory", id="default-factory"
    ),
    pytest.param("ordered.move_to_end('a')", "list(ordered)", id="ordered-dict-order"),
    pytest.param("ordered.update(c=3)", "list(ordered.items())", id="ordered-dict-item"),
    pytest.param("counts.update('aaa')", "dict(counts)", id="counter"),
    pytest.param("raw.extend(b'd')", "bytes(raw)", id="bytearray"),
    pytest.param("numeric.append(3)", "list(numeric)", id="array"),
    pytest.param("rng.random()", "rng.getstate()", id="random-state"),
    pytest.param("memory_file.write('!')", "memory_file.getvalue()", id="memory-file"),
    pytest.param("memory_file.close()", "memory_file.closed", id="closed-file"),
    pytest.param("setattr(space, 'x', 2)", "space.x", id="simple-namespace"),
    pytest.param("nested[0]['inside'].append(2)", "nested[0]['inside']", id="below-a-tuple"),
    pytest.param("player.ys.append(1)", "player.ys", id="dataclass-list"),
    pytest.param("setattr(player, 'extra', 1)", "vars(player)", id="new-attribute"),
    pytest.param("setattr(player, '__dict__', {})", "vars(player)", id="replaced-dict"),
    pytest.param("setattr(state, '__class__', Closed)", "type(state)", id="changed-class"),
    pytest.param("setattr(slotted, 'v', 2)", "slotted.v", id="slot"),
    pytest.param("setattr(slotted, 'w', 2)", "hasattr(slotted, 'w')", id="slot-filled"),
    pytest.param("delattr(slotted, 'v')", "hasattr(slotted, 'v')", id="slot-emptied"),
    pytest.param("setattr(sub, 'v', 1)", "hasattr(sub, 'v')", id="inherited-slot"),
    pytest.param("setattr(Slotted, 'total', 5)", "Slotted.total", id="class-attribute"),
    pytest.param("setattr(Slotted, 'fresh', 5)", "hasattr(Slotted, 'fresh')", id="new-on-class"),
    pytest.param("delattr(Slotted, 'total')", "hasattr(Slotted, 'total')", id="deleted-on-class"),
    pytest.param("setattr(Color.RED, 'note', 1)", "hasattr(Color.RED, 'note')", id="enum"),
    pytest.param("dict.__setitem__(frozen, 'b', 2)", "dict.copy(frozen)", id="dict-subclass"),
    pytest.param("bag.append(2)", "list(bag)", id="list-subclass"),
    pytest.param("setattr(bag, 'label', 1)", "vars(bag)", id="attribute-of-list-subclass"),
    pytest.param("pairs.clear()", "len(pairs)", id="keys-with-their-own-equality"),
    pytest.param("inc()", "(box, inc.__closure__[1].cell_contents)", id="closure"),
    pytest.param("bind_late()", "late_is_bound()", id="unbound-cell"),
    pytest.param("with_default(1)", "with_default.__defaults__", id="default-argument"),
    pytest.param("with_default(1)", "with_default.__kwdefaults__", id="keyword-default"),
    pytest.param("attributed.calls.append(2)", "attributed.calls", id="function-attribute"),
    pytest.param("setattr(plain, 'calls', 1)", "vars(plain)", id="new-function-attribute"),
    pytest.param("partial.args[0].append(1)", "partial.args", id="partial"),
    pytest.param("append(1)", "append.__self__", id="bound-builtin-method"),
    pytest.param("unbounded(2)", "unbounded.cache_info().currsize", id="unbounded-cache"),
    pytest.param("first_cached.append(1)", "unbounded(1)", id="cached-value"),
]


@pytest.mark.parametrize(("change", "probe"), CHANGES)
def test_a_change_is_undone_and_seen_as_one(heap: Any, change: str, probe: str) -> None:
    """Whatever a message did to this object, the next one finds it as it was."""
    heap.late_is_bound = lambda: _is_bound(heap.read_late)
    before = repr(eval(probe, namespace(heap)))
    checkpoint = checkpoint_of(heap)
    exec(change, namespace(heap))
    assert repr(eval(probe, namespace(heap))) != before, "the change must be visible"

    count = checkpoint.restore()

    assert repr(eval(probe, namespace(heap))) == before
    assert count >= 1


@pytest.mark.parametrize(("change", "probe"), CHANGES)
def test_a_committed_change_is_kept_by_the_next_rollback(
    heap: Any, change: str, probe: str
) -> None:
    """A renewed checkpoint comes back to the commit, and not to what was before it."""
    heap.late_is_bound = lambda: _is_bound(heap.read_late)
    checkpoint = checkpoint_of(heap)
    exec(change, namespace(heap))
    after = repr(eval(probe, namespace(heap)))

    assert checkpoint.renew([namespace(heap)])
    heap.db["a"]["n"] = "later"
    heap.numbers.append("later")
    checkpoint.restore()

    assert repr(eval(probe, namespace(heap))) == after
    assert "later" not in repr((heap.db, heap.numbers))


def test_objects_that_a_commit_made_are_undone_too(heap: Any) -> None:
    """Whatever hangs below a new object is part of the heap from then on."""
    checkpoint = checkpoint_of(heap)
    heap.fresh = types.SimpleNamespace(rows=[{"n": 1}])
    heap.plain.notes = [1]
    heap.inc.__closure__[0].cell_contents.append({"deep": []})
    checkpoint.renew([namespace(heap)])

    heap.fresh.rows[0]["n"] = 2
    heap.plain.notes.append(2)
    heap.box[-1]["deep"].append(2)
    checkpoint.restore()

    assert (heap.fresh.rows, heap.plain.notes, heap.box) == ([{"n": 1}], [1], [{"deep": []}])


def test_a_generator_s_new_locals_are_found(heap: Any) -> None:
    """A generator gives no sign of what it holds, so it is looked into at each renewal."""
    exec("def run(kept):\n    held = [1]\n    kept.append(held)\n    yield", namespace(heap))
    kept: list[Any] = []
    generator = heap.run(kept)
    checkpoint = checkpoint_of(heap, generator)
    next(generator)
    checkpoint.renew([namespace(heap), generator])
    kept[0].append(2)

    checkpoint.restore()

    assert kept[0] == [1]


def test_a_renewal_is_refused_from_time_to_time(heap: Any) -> None:
    """Objects that are gone stay in memory until the heap is walked afresh."""
    growing, often = checkpoint_of(heap), checkpoint_of(heap)

    heap.fresh = [[number] for number in range(2000)]
    assert growing.renew([namespace(heap)])
    assert not growing.renew([namespace(heap)])

    renewed = [often.renew([namespace(heap)]) for _ in range(2)]
    assert renewed == [True, False]
    calm = checkpoint_of(heap)
    assert [calm.renew([namespace(heap)]) for _ in range(65)] == [True] * 64 + [False]


STEPS = st.tuples(
    st.sampled_from(["set", "pop", "append", "move", "clear", "alias", "attribute", "cell"]),
    st.integers(0, 5),
    st.integers(0, 5),
)


@given(st.lists(st.tuples(st.lists(STEPS, max_size=6), st.sampled_from("crr")), max_size=8))
def test_commits_and_rollbacks_in_any_order_keep_the_last_commit(
    messages: list[tuple[list[Any], str]],
) -> None:
    """Renewed, restored or taken afresh, the heap is what was committed last."""
    module: Any = types.ModuleType("can")
    exec(HEAP, module.__dict__)
    module.nodes = [{"items": [], "n": number} for number in range(6)]
    roots = [module.__dict__]
    checkpoint = checkpoint_of(module)
    for steps, end in messages:
        before = _picture(module)
        for step in steps:
            _apply(module, *step)
        if end == "c":
            before = _picture(module)
            if not checkpoint.renew(roots):
                checkpoint = checkpoint_of(module)
        checkpoint.restore()
        assert _picture(module) == before


def _apply(module: Any, kind: str, left: int, right: int) -> None:
    node, other = module.nodes[left], module.nodes[right]
    match kind:
        case "set":
            node[f"k{right}"] = {"fresh": [left]}
        case "pop":
            node.pop(f"k{right}", None)
        case "append":
            node["items"].append([left, right])
        case "move":
            other["items"].extend(node["items"])
            node["items"] = []
        case "clear":
            node["items"].clear()
        case "alias":
            node["items"] = other["items"]
        case "attribute":
            module.player.ys.append(module.Slotted())
            module.Slotted.total = (left, right)
        case _:
            module.inc()


def _picture(module: Any) -> object:
    """Describe content and sharing: equal pictures mean equal heaps."""
    lists = [id(node["items"]) for node in module.nodes]
    return (
        repr(module.nodes),
        [lists.index(one) for one in lists],
        [type(one).__name__ for one in module.player.ys],
        module.Slotted.total,
        list(module.box),
    )


def _is_bound(read: Any) -> bool:
    try:
        read()
    except NameError:
        return False
    return True


def test_nothing_is_written_when_nothing_changed(heap: Any) -> None:
    """A query that changes nothing costs a comparison only."""
    checkpoint = checkpoint_of(heap)

    assert checkpoint.restore() == 0


def test_a_checkpoint_serves_many_queries(heap: Any) -> None:
    """It is good until the next commit, however often it is used."""
    checkpoint = checkpoint_of(heap)

    for number in range(3):
        heap.db["a"]["n"] = 100 + number
        heap.numbers.clear()
        assert checkpoint.restore() == 2

    assert heap.db["a"]["n"] == 1
    assert heap.numbers == [3, 1, 2]


def test_objects_keep_their_identity(heap: Any) -> None:
    """References from elsewhere stay true, because content goes back into the same objects."""
    inner, tags = heap.db["a"], heap.db["a"]["tags"]
    checkpoint = checkpoint_of(heap)
    heap.db["a"] = {"n": 5, "tags": []}
    tags.append(7)

    checkpoint.restore()

    assert heap.db["a"] is inner is heap.alias
    assert inner["tags"] is tags == [1]


def test_a_suspended_generator_sees_the_restored_objects(heap: Any) -> None:
    """Its locals are reached through its frame, and put back like all others."""
    generator = heap.waiting()
    next(generator)
    checkpoint = checkpoint_of(heap, generator)
    generator.gi_frame.f_locals["local"]["n"] = 50

    checkpoint.restore()

    with pytest.raises(StopIteration) as stop:
        generator.send(10)
    assert stop.value.value == 11


def test_a_bounded_cache_is_emptied_only_when_it_grew(heap: Any) -> None:
    """An object that lives in a cache since an earlier commit survives queries that hit it."""
    checkpoint = checkpoint_of(heap)
    heap.bounded(1).append("seen")
    checkpoint.restore()
    assert heap.bounded(1) is heap.kept_cached == [1]

    heap.bounded(2)
    checkpoint.restore()

    assert heap.bounded.cache_info().currsize == 0


def test_a_counter_that_cannot_be_set_back_is_told(
    heap: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """``itertools.count`` cannot be rewound, so the developer learns of it."""
    heap.ids = heap.itertools.count(5)
    checkpoint = checkpoint_of(heap)
    next(heap.ids)

    with caplog.at_level(logging.WARNING):
        checkpoint.restore()

    assert "cannot be set back to count(5)" in caplog.text


def test_objects_of_the_process_are_left_alone(heap: Any) -> None:
    """A canister that holds a logger must not drag the process's loggers into its heap."""
    heap.log = logging.getLogger("icfleet.test.of.the.process")
    checkpoint = checkpoint_of(heap)
    late = logging.getLogger("icfleet.test.made.later")

    checkpoint.restore()

    assert logging.getLogger("icfleet.test.made.later") is late


def test_what_is_foreign_is_not_entered(heap: Any) -> None:
    """The host's own objects are reachable from the code's builtins, and stay out."""
    host: dict[str, int] = {"calls": 0}
    heap.host = host
    checkpoint = Checkpoint([namespace(heap)], lambda name: name == "can", foreign=[host])
    host["calls"] = 1

    checkpoint.restore()

    assert host["calls"] == 1


def test_size_counts_mutable_objects() -> None:
    """It is what the warning about large heaps goes by."""
    module = types.ModuleType("can")
    vars(module)["rows"] = {number: {"n": number} for number in range(1000)}

    checkpoint = checkpoint_of(module)

    assert checkpoint.size == 1002


HOSTILE = """
import collections


def fail(*args):
    raise AssertionError("the host runs the canister's code")


class Meta(type):
    guarded = False

    def __getattribute__(cls, name):
        if type.__getattribute__(cls, "guarded"):
            fail()
        return type.__getattribute__(cls, name)


class Sly(metaclass=Meta):
    __class__ = property(fail)


class Named:
    __module__ = Sly()


class Mapping(dict):
    __iter__ = keys = items = values = __getitem__ = __len__ = fail


class Set(set):
    __iter__ = __len__ = copy = fail


class Lists(collections.defaultdict):
    default_factory = property(fail)


class Key:
    is_set = False

    def __hash__(self):
        return fail() if Key.is_set else 7

    __eq__ = __hash__


one, other = Key(), Key()
db = {"sly": [Sly()], "named": [Named(), Named]}
mapping, lists, keys, own = Mapping(), Lists(list), {one}, Set((one,))
by_key = {one: [1]}
plain = lambda: None
"""


def test_no_code_of_the_canister_runs_when_its_heap_is_walked_or_put_back() -> None:
    """Whatever it overrides: the host would wait for it outside of any limit."""
    plain_dict: Any = dict
    plain_set: Any = set
    heap: Any = types.ModuleType("can")
    exec(compile(HOSTILE, "can.py", "exec"), namespace(heap))
    heap.Meta.guarded = heap.Key.is_set = True
    checkpoint = checkpoint_of(heap)

    plain_function: Any = heap.plain
    plain_function.__dict__ = heap.Mapping(a=1)
    heap.db["sly"].append(1)
    plain_dict.__setitem__(heap.mapping, "a", 1)
    plain_dict.__setitem__(heap.lists, "a", 1)
    heap.keys.clear()
    plain_set.clear(heap.own)
    heap.by_key.clear()
    checkpoint.restore()

    assert len(heap.db["sly"]) == 1
    assert plain_dict.__len__(heap.mapping) == plain_dict.__len__(heap.lists) == 0
    assert plain_dict.__len__(plain_function.__dict__) == 0
    assert len(heap.keys) == plain_set.__len__(heap.own) == len(heap.by_key) == 1
    heap.db["sly"].append(1)
    assert checkpoint.renew([namespace(heap)])
