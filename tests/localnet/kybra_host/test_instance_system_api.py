"""Every system call: its value where it is allowed, a trap where it is not."""

import pytest
from native_canister import ADA, CANISTER, NO_ARGS, OTHER, START_NS, NativeCanister, TrappedError

from icfleet_localnet.executor import Query, Update
from icfleet_protocol.candid import encode
from icfleet_protocol.candid.types import nat64, principal, text

API = """
from kybra import (
    Async, CandidError, Opt, Principal, Vec, blob, ic, inspect_message, nat, nat32, nat64, query,
    text, update, void,
)

AT_IMPORT = (ic.id().to_str(), ic.caller().to_str(), ic.time())


def call(name: str):
    calls = {
        "accept_message": ic.accept_message,
        "arg_data_raw": ic.arg_data_raw,
        "arg_data_raw_size": ic.arg_data_raw_size,
        "caller": lambda: ic.caller().to_str(),
        "canister_balance": ic.canister_balance,
        "canister_balance128": ic.canister_balance128,
        "clear_timer": lambda: ic.clear_timer(1),
        "data_certificate": ic.data_certificate,
        "id": lambda: ic.id().to_str(),
        "method_name": ic.method_name,
        "msg_cycles_accept": lambda: ic.msg_cycles_accept(5),
        "msg_cycles_accept128": lambda: ic.msg_cycles_accept128(50),
        "msg_cycles_available": ic.msg_cycles_available,
        "msg_cycles_available128": ic.msg_cycles_available128,
        "msg_cycles_refunded": ic.msg_cycles_refunded,
        "msg_cycles_refunded128": ic.msg_cycles_refunded128,
        "notify_raw": lambda: ic.notify_raw(ic.id(), "m", b"", 0),
        "performance_counter": lambda: ic.performance_counter(0),
        "no_such_counter": lambda: ic.performance_counter(2),
        "reject_code": ic.reject_code,
        "reject_message": ic.reject_message,
        "set_certified_data": lambda: ic.set_certified_data(b"x" * 32),
        "too_much_certified_data": lambda: ic.set_certified_data(b"x" * 33),
        "set_timer": lambda: ic.set_timer(1, print),
        "set_timer_interval": lambda: ic.set_timer_interval(1, print),
        "stable_size": ic.stable_size,
        "stable_grow": lambda: ic.stable_grow(1),
        "stable64_size": ic.stable64_size,
        "stable64_grow": lambda: ic.stable64_grow(1),
        "stable_bytes": ic.stable_bytes,
        "stable_read": lambda: ic.stable_read(0, 1),
        "stable_write": lambda: ic.stable_write(0, b"x"),
        "time": ic.time,
        "wrong_type": lambda: ic.set_timer("1", print),
        "too_large": lambda: ic.msg_cycles_accept(2**64),
    }
    return calls[name]()


@update
def in_update(name: text) -> text:
    return str(call(name))


@query
def in_query(name: text) -> text:
    return str(call(name))


@update
def after_call(name: text) -> Async[text]:
    yield ic.call_raw(ic.id(), "m", b"", 0)
    return str(call(name))


@query
def at_import() -> text:
    return str(AT_IMPORT)


@update
def caught(name: text) -> text:
    try:
        call(name)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


@update
def encode(written: text) -> blob:
    return ic.candid_encode(written)


@query
def decode(message: blob) -> text:
    return ic.candid_decode(message)


@query
def codec_errors(written: text) -> text:
    try:
        ic.candid_encode(written)
    except CandidError as error:
        return "caught"
    return "nothing"


@update
def write_and_read(offset: nat64, content: blob) -> blob:
    if ic.stable64_size() == 0:
        ic.stable64_grow(2)
    ic.stable64_write(offset, content)
    return ic.stable_read(offset, len(content))


@query
def counters() -> Vec[nat64]:
    first = ic.performance_counter(0)
    ic.time()
    return [first, ic.performance_counter(0), ic.performance_counter(1)]


@update
def counter_over_calls() -> Async[Vec[nat64]]:
    ic.time()
    yield ic.call_raw(ic.id(), "m", b"", 0)
    return [ic.performance_counter(0), ic.performance_counter(1)]


@update
def certify(data: blob) -> void:
    ic.set_certified_data(data)


@update
def prints() -> void:
    ic.print("one", 2, [3])
    ic.print("x" * 300_000)
    ic.print("after")


@query
def reply_of(size: nat64) -> blob:
    return bytes(size)


@update
def replicated_reply_of(size: nat64) -> blob:
    return bytes(size)


@inspect_message
def inspect() -> void:
    if ic.method_name() == "twice":
        ic.accept_message()
    if ic.method_name() == "write":
        ic.set_certified_data(b"x")
    ic.print(ic.arg_data_raw_size(), ic.caller().to_str())
    ic.accept_message()
"""


@pytest.fixture
def canister() -> NativeCanister:
    return NativeCanister.install(API)


UPDATE_VALUES = [
    ("arg_data_raw_size", str(len(encode([text], ["arg_data_raw_size"])))),
    ("caller", str(ADA)),
    ("canister_balance", str(10**12)),
    ("canister_balance128", str(10**12)),
    ("clear_timer", "None"),
    ("data_certificate", "None"),
    ("id", str(CANISTER)),
    ("msg_cycles_available", "0"),
    ("msg_cycles_available128", "0"),
    ("msg_cycles_accept", "0"),
    ("notify_raw", "{'Ok': None}"),
    ("set_certified_data", "None"),
    ("stable_size", "0"),
    ("stable_grow", "{'Ok': 0}"),
    ("stable64_size", "0"),
    ("stable64_grow", "{'Ok': 0}"),
    ("stable_bytes", "b''"),
    ("time", str(START_NS)),
]


@pytest.mark.parametrize(("name", "value"), UPDATE_VALUES, ids=[name for name, _ in UPDATE_VALUES])
def test_what_an_update_may_ask(canister: NativeCanister, name: str, value: str) -> None:
    assert canister.update("in_update", name) == value


FORBIDDEN = [
    *[("in_update", name) for name in ("accept_message", "method_name", "reject_code")],
    *[("in_update", name) for name in ("reject_message", "msg_cycles_refunded", "no_such_counter")],
    *[("in_update", name) for name in ("too_much_certified_data",)],
    *[("in_query", name) for name in ("set_timer", "set_timer_interval", "set_certified_data")],
    *[("in_query", name) for name in ("notify_raw", "msg_cycles_accept", "msg_cycles_accept128")],
    *[("in_query", name) for name in ("msg_cycles_available", "msg_cycles_refunded128")],
]


@pytest.mark.parametrize(
    ("method", "name"), FORBIDDEN, ids=[f"{name}-{method}" for method, name in FORBIDDEN]
)
def test_what_is_not_allowed_traps(canister: NativeCanister, method: str, name: str) -> None:
    """By the system's code for it, and not with a value that looks harmless."""
    message = encode([text], [name])

    kind = Query if method == "in_query" else Update
    trap = canister.execute(kind(method, message)).trap

    assert trap is not None
    assert trap.error_code == "IC0504"
    assert trap.message.startswith("Canister violated contract")


def test_the_system_can_be_asked_while_modules_load(canister: NativeCanister) -> None:
    assert canister.query("at_import") == str((str(CANISTER), str(ADA), START_NS))


def test_a_wrong_type_can_be_caught(canister: NativeCanister) -> None:
    """It is a Python exception, not the system's refusal."""
    assert canister.update("caught", "wrong_type") == (
        "TypeError: Expected type 'int' but 'str' found"
    )
    assert canister.update("caught", "too_large").startswith("OverflowError: Python int too large")


def test_cycles_are_taken_up_to_what_came(canister: NativeCanister) -> None:
    outcome = canister.execute(
        canister.update_message("in_update", "msg_cycles_accept128"), cycles_available=30
    )

    assert canister.value("in_update", outcome) == "30"
    assert outcome.cycles_accepted == 30


def test_a_balance_beyond_64_bits_traps_in_the_short_form(canister: NativeCanister) -> None:
    canister.cycles = 2**64

    assert canister.update("in_update", "canister_balance128") == str(2**64)
    assert "64 bits" in canister.trap_of("in_update", "canister_balance").message


AFTER_CALL = [
    ("reject_code", "{'NoError': None}"),
    ("msg_cycles_refunded", "0"),
    ("caller", str(ADA)),
    ("arg_data_raw", repr(NO_ARGS)),
]


@pytest.mark.parametrize(("name", "value"), AFTER_CALL, ids=[name for name, _ in AFTER_CALL])
def test_what_may_be_asked_after_a_call(canister: NativeCanister, name: str, value: str) -> None:
    waiting = canister.execute(canister.update_message("after_call", name))

    assert canister.value("after_call", canister.answer(waiting)) == value


def test_the_reject_message_exists_after_a_reject_only(canister: NativeCanister) -> None:
    waiting = canister.execute(canister.update_message("after_call", "reject_message"))

    trap = canister.answer(waiting).trap

    assert trap is not None
    assert trap.error_code == "IC0504"


def test_a_query_sees_its_certificate(canister: NativeCanister) -> None:
    message = Query("in_query", encode([text], ["data_certificate"]))

    outcome = canister.execute(message, data_certificate=b"proof")

    assert canister.value("in_query", outcome) == "b'proof'"


def test_certified_data_is_told_when_it_was_set(canister: NativeCanister) -> None:
    outcome = canister.execute(canister.update_message("certify", b"root"))

    assert outcome.certified_data == b"root"


def test_prints_are_kept_up_to_a_limit(canister: NativeCanister) -> None:
    outcome = canister.execute(canister.update_message("prints"))

    assert outcome.prints[0] == "one 2 [3]"
    assert outcome.prints[1].endswith(" [cut]")
    assert len(outcome.prints) == 2


def test_counters_grow_with_the_work_and_repeat(canister: NativeCanister) -> None:
    """Approximated instructions; counter 1 is of the whole call. See ``test_metering``."""
    first, second, whole = canister.query("counters")

    assert 0 < first < second < whole
    assert canister.query("counters") == [first, second, whole]

    waiting = canister.execute(canister.update_message("counter_over_calls"))
    message, call = canister.value("counter_over_calls", canister.answer(waiting))
    assert message < call


def test_inspect_message_sees_argument_and_caller(canister: NativeCanister) -> None:
    outcome = canister.inspect("in_update", b"12345")

    assert outcome.is_accepted
    assert outcome.prints == (f"5 {ADA}",)


@pytest.mark.parametrize("method", ["twice", "write"])
def test_inspect_message_accepts_once_and_changes_nothing(
    canister: NativeCanister, method: str
) -> None:
    outcome = canister.inspect(method)

    assert outcome.trap is not None
    assert outcome.trap.error_code == "IC0504"
    assert not outcome.is_accepted


LIMITS = [("reply_of", 3 * 2**20), ("replicated_reply_of", 2 * 2**20)]


@pytest.mark.parametrize(("method", "size_max"), LIMITS)
def test_replies_are_bounded(canister: NativeCanister, method: str, size_max: int) -> None:
    call = canister.query if method == "reply_of" else canister.update

    assert len(call(method, size_max - 100)) == size_max - 100
    with pytest.raises(TrappedError, match="a reply of"):
        call(method, size_max)


TEXTS = [
    # Source: candid 0.10.10: a number without a mark is an int.
    pytest.param("(42)", "(42 : int)", id="int"),
    pytest.param("(42 : nat64)", "(42 : nat64)", id="marked"),
    pytest.param("(1_000_000 : nat)", "(1_000_000 : nat)", id="thousands"),
    pytest.param("(1.5)", "(1.5 : float64)", id="float"),
    pytest.param('("a\\"b", true, null)', '("a\\"b", true, null : null)', id="words"),
    pytest.param("(opt (5 : nat8))", "(opt (5 : nat8))", id="opt"),
    pytest.param("(vec { 1 : nat8; 2 : nat8 })", '(blob "\\01\\02")', id="vec-of-bytes"),
    pytest.param('(vec { "a"; "b" })', '(vec { "a"; "b" })', id="vec"),
    pytest.param("(vec {})", "(vec {})", id="empty-vec"),
    pytest.param('(blob "\\01\\ff")', '(blob "\\01\\ff")', id="blob"),
    pytest.param('(record { a = 1; b = "x" })', '(record { 97 = 1 : int; 98 = "x" })', id="ids"),
    pytest.param('(record { 5; "x" })', '(record { 5 : int; "x" })', id="tuple"),
    pytest.param("(variant { Ok })", "(variant { 17_724 })", id="bare-case"),
    pytest.param("(variant { Ok = 1 })", "(variant { 17_724 = 1 : int })", id="case"),
    pytest.param('(principal "aaaaa-aa")', '(principal "aaaaa-aa")', id="principal"),
    pytest.param('(service "aaaaa-aa")', '(service "aaaaa-aa")', id="service"),
    pytest.param('(func "aaaaa-aa".m)', '(func "aaaaa-aa".m)', id="func"),
    pytest.param("()", "()", id="nothing"),
]


@pytest.mark.parametrize(("written", "read"), TEXTS)
def test_candid_text_needs_no_types(canister: NativeCanister, written: str, read: str) -> None:
    """What is encoded decodes again, with ids for names and a type for every number."""
    assert canister.query("decode", canister.update("encode", written)) == read


def test_typed_text_is_the_message_a_typed_caller_would_send(canister: NativeCanister) -> None:
    message = canister.update("encode", f'(principal "{OTHER}", 5 : nat64)')

    assert message == encode([principal, nat64], [OTHER, 5])


@pytest.mark.parametrize("written", ["(1", "(256 : nat8)", "nonsense"])
def test_malformed_text_is_a_candid_error(canister: NativeCanister, written: str) -> None:
    assert canister.query("codec_errors", written) == "caught"


def test_raw_stable_memory_is_written_and_read(canister: NativeCanister) -> None:
    assert canister.update("write_and_read", 65_530, b"across pages") == b"across pages"
    assert canister.update("in_update", "stable_size") == "2"
    assert len(canister.update("in_update", "stable_bytes")) > 2 * 65_536
    assert canister.instance.stable_bytes == 2 * 65_536


def test_raw_stable_memory_is_undone_by_queries(canister: NativeCanister) -> None:
    assert canister.query("in_query", "stable_grow") == "{'Ok': 0}"
    assert canister.query("in_query", "stable_size") == "0"


@pytest.mark.parametrize("name", ["stable_read", "stable_write"])
def test_raw_stable_memory_has_bounds(canister: NativeCanister, name: str) -> None:
    assert "out of bounds" in canister.trap_of("in_update", name).message


def test_raw_access_beside_maps_is_refused() -> None:
    """Compiled, both would overwrite each other; only the size can be asked."""
    source = """
    from kybra import StableBTreeMap, ic, nat64, query, text, update, void

    rows = StableBTreeMap[nat64, text](memory_id=3, max_key_size=15, max_value_size=50)

    @update
    def write() -> void:
        ic.stable_write(0, b"x")

    @query
    def size() -> nat64:
        rows.len()
        return ic.stable64_size()

    @query
    def undeclared() -> nat64:
        return StableBTreeMap(4, 1, 1).len()
    """
    canister = NativeCanister.install(source)

    assert "not available beside StableBTreeMap" in canister.trap_of("write").message
    assert canister.query("size") == 1 + 128
    with pytest.raises(TrappedError, match="LookupError: memory_id 4 does not have an associated"):
        canister.query("undeclared")


def test_a_map_item_too_large_traps_and_cannot_be_caught() -> None:
    source = """
    from kybra import StableBTreeMap, nat64, text, update, void

    rows = StableBTreeMap[nat64, text](memory_id=0, max_key_size=15, max_value_size=20)

    @update
    def insert(value: text) -> void:
        try:
            rows.insert(1, value)
        except BaseException:
            pass
    """
    canister = NativeCanister.install(source)

    trap = canister.trap_of("insert", "x" * 30)

    assert trap.message == "Panicked at 'Value is too large. Expected <= 20 bytes, found 38 bytes'"
    assert trap.error_code == "IC0503"


def test_an_unknown_function_is_an_attribute_error() -> None:
    """Nothing that is not there answers with a neutral value."""
    source = """
    from kybra import query, text

    @query
    def ask() -> text:
        return str(_kybra_ic.is_controller())
    """

    with pytest.raises(TrappedError, match="'Ic' object has no attribute 'is_controller'"):
        NativeCanister.install(source).query("ask")
