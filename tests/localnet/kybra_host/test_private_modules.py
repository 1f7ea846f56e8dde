"""What canister code learns of the machine: one clock, repeatable randomness, no processes."""

import datetime as dt
import os
import random
import secrets
import sys
import threading
import time
import uuid

import pytest
from native_canister import CANISTER, OTHER, START_NS, NativeCanister, TrappedError

from icfleet_localnet.kybra_host.inprocess import InProcessExecutor

SOURCE = """
import copy
import datetime
import os
import os.path
import pickle
import random
import secrets
import sys
import threading
import time
import uuid
from datetime import date, datetime as moment
from os import urandom
from os.path import join

from kybra import Vec, ic, nat64, query, text, update, void

AT_IMPORT = time.time_ns()


def clocks():
    return [
        str(int(time.time())), str(time.time_ns() // 10**9), str(int(time.monotonic())),
        str(int(time.perf_counter())), time.strftime("%Y-%m-%d %H:%M:%S"),
        time.strftime("%H", time.gmtime(7200)), str(time.localtime().tm_hour), time.ctime()[11:19],
        str(moment.now()), str(moment.utcnow()), str(datetime.datetime.today()),
        str(moment.now(datetime.timezone.utc)), str(date.today()),
        str(moment.fromtimestamp(0)),
        str(moment.now(datetime.timezone(datetime.timedelta(hours=2)))),
    ]


@query
def tell() -> Vec[text]:
    return clocks()


@query
def imported_at() -> nat64:
    return AT_IMPORT


class Stamp(datetime.datetime):
    pass


@query
def kinds() -> Vec[text]:
    made = moment(2020, 1, 2, 3)
    checks = {
        "instance": isinstance(made, datetime.datetime) and isinstance(made, datetime.date),
        "not a date's": not isinstance(date(2020, 1, 2), moment),
        "subclass": issubclass(moment, date) and issubclass(Stamp, moment),
        "equal": made == moment.fromisoformat("2020-01-02T03:00:00"),
        "parsed": moment.strptime("2020", "%Y") == moment(2020, 1, 1),
        "summed": isinstance(made + datetime.timedelta(1), moment),
        "pickled": pickle.loads(pickle.dumps(made)) == made,
        "copied": copy.deepcopy([made]) == [made],
        "derived": type(Stamp.now()) is Stamp and type(Stamp(2020, 1, 1)) is Stamp,
        "not derived": not isinstance(made, Stamp),
        "replaced": made.replace(year=2021).year == 2021,
        "min": datetime.datetime.min.year == 1,
    }
    return [name for name, holds in checks.items() if not holds]


@query
def draw() -> Vec[text]:
    return drawn()


@update
def draw_and_keep() -> Vec[text]:
    return drawn()


@update
def draw_and_fail() -> Vec[text]:
    raise ValueError(str(drawn()))


def drawn():
    return [
        urandom(8).hex(), os.urandom(4).hex(), secrets.token_hex(4), str(secrets.randbelow(10**9)),
        secrets.token_urlsafe(4), str(uuid.uuid4()), str(random.SystemRandom().random()),
        str(random.SystemRandom().getrandbits(40)), str(uuid.uuid1().node), str(random.random()),
    ]


@update
def late() -> text:
    import secrets as again
    return again.token_hex(4)


@update
def do(what: text) -> text:
    actions = {
        "sleep": lambda: time.sleep(1),
        "exit": lambda: sys.exit(3),
        "builtin exit": lambda: exit(),
        "os._exit": lambda: os._exit(1),
        "abort": lambda: os.abort(),
        "thread": lambda: threading.Thread(target=print).start(),
        "timer": lambda: threading.Timer(1, print).start(),
        "system": lambda: os.system("true"),
        "fork": lambda: os.fork(),
        "input": lambda: input(),
        "environ": lambda: str(dict(os.environ)) + str(os.getenv("PATH")),
        "set environ": lambda: os.environ.update(A="1"),
        "join": lambda: join("a", os.path.basename("b/c")),
        "lock": lambda: str(threading.Lock().acquire()),
        "recursion": lambda: sys.setrecursionlimit(5_000),
        "signal": lambda: __import__("signal"),
        "futures": lambda: __import__("concurrent.futures"),
    }
    return str(actions[what]())
"""


@pytest.fixture
def canister() -> NativeCanister:
    return NativeCanister.install(SOURCE)


def test_every_clock_shows_the_messages_time(canister: NativeCanister) -> None:
    """In UTC, and it stands still during the message; as ``ic.time`` does."""
    seconds = str(START_NS // 10**9)
    stamp = "2023-11-14 22:13:20"

    assert canister.query("tell") == [
        *[seconds] * 4,
        stamp,
        "02",
        "22",
        "22:13:20",
        *[stamp] * 3,
        f"{stamp}+00:00",
        "2023-11-14",
        "1970-01-01 00:00:00",
        "2023-11-15 00:13:20+02:00",
    ]
    canister.now_ns += 10**9
    assert canister.query("tell")[0] == str(START_NS // 10**9 + 1)
    assert canister.query("imported_at") == START_NS


def test_dates_are_ordinary_dates(canister: NativeCanister) -> None:
    assert canister.query("kinds") == []


def test_the_process_keeps_its_own_modules(canister: NativeCanister) -> None:
    """What a canister sees of a module is its own view of it."""
    state = random.getstate()
    before = sys.getrecursionlimit()

    canister.update("draw_and_keep")
    canister.update("do", "set environ")
    canister.update("do", "recursion")

    assert random.getstate() == state
    assert "A" not in os.environ
    assert sys.getrecursionlimit() == before
    assert abs(time.time() - START_NS / 10**9) > 1
    assert type(dt.datetime(2020, 1, 1, tzinfo=dt.UTC)) is dt.datetime
    assert secrets.token_bytes(8) != secrets.token_bytes(8)
    assert uuid.uuid4() != uuid.uuid4()
    assert "start" not in vars(threading.Timer)


def test_random_bytes_begin_anew_with_each_install() -> None:
    """From a constant, as in the compiled runtime; only ``random`` is seeded by the host."""
    first, second = (
        NativeCanister.install(SOURCE, executor=InProcessExecutor(seed=seed), canister=id_)
        for seed, id_ in ((1, CANISTER), (2, OTHER))
    )
    drawn, other = first.update("draw_and_keep"), second.update("draw_and_keep")
    later = first.update("draw_and_keep")
    first.upgrade(SOURCE)

    assert drawn[:-2] == other[:-2]
    assert not set(drawn[-2:]) & set(other[-2:])
    assert not set(drawn) & set(later)
    assert first.update("draw_and_keep")[:-2] == drawn[:-2]


def test_draws_are_undone_with_their_message(canister: NativeCanister) -> None:
    drawn = canister.query("draw")
    failed = canister.trap_of("draw_and_fail").message

    assert failed == f"ValueError: {drawn}"
    assert canister.query("draw") == drawn
    assert canister.update("draw_and_keep") == drawn
    assert canister.query("draw") != drawn


def test_a_module_imported_late_draws_on(canister: NativeCanister) -> None:
    assert canister.update("late") != canister.update("late")


HARMLESS = [
    ("environ", "{}None"),
    ("join", "a/c"),
    ("lock", "True"),
    ("recursion", "None"),
    ("set environ", "None"),
]


@pytest.mark.parametrize(("what", "result"), HARMLESS)
def test_what_touches_only_the_canister_works(
    canister: NativeCanister, what: str, result: str
) -> None:
    assert canister.update("do", what) == result
    assert canister.query("kinds") == []


REFUSED = [
    ("sleep", "IC0502", r"time.sleep\(1\): a canister cannot wait, use ic.set_timer\(\)"),
    ("exit", "IC0503", "SystemExit: 3"),
    ("builtin exit", "IC0503", "SystemExit"),
    ("os._exit", "IC0502", r"os._exit\(1\)"),
    ("abort", "IC0502", r"os.abort\(\)"),
    ("thread", "IC0503", "RuntimeError: can't start new thread"),
    ("timer", "IC0503", "RuntimeError: can't start new thread"),
    ("system", "IC0503", "AttributeError: module 'os' has no attribute 'system'"),
    ("fork", "IC0503", "AttributeError: module 'os' has no attribute 'fork'"),
    ("input", "IC0503", "EOFError"),
    ("signal", "IC0503", "ModuleNotFoundError: No module named 'signal'"),
    ("futures", "IC0503", "ModuleNotFoundError: No module named 'concurrent.futures'"),
]


@pytest.mark.parametrize(("what", "code", "text"), REFUSED)
def test_what_would_touch_the_process_traps(
    canister: NativeCanister, what: str, code: str, text: str
) -> None:
    with pytest.raises(TrappedError, match=text) as caught:
        canister.update("do", what)

    assert caught.value.trap.error_code == code
    assert canister.query("kinds") == []
