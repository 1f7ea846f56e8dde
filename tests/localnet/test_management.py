"""Canisters are made, filled, upgraded, stopped and shown as on the mainnet."""

from collections.abc import Callable

import pytest
from localnet_client import Built, Client, Deployed, RejectedError
from management_calls import ask

from icfleet_localnet.management import MANAGEMENT_INTERFACE
from icfleet_localnet.management.methods import METHODS, QUERIES, refuse_method
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

MAINNET_METHODS = frozenset(
    {
        *("create_canister", "update_settings", "upload_chunk"),
        *("clear_chunk_store", "stored_chunks", "install_code"),
        *("install_chunked_code", "uninstall_code", "start_canister"),
        *("stop_canister", "canister_status", "canister_metrics"),
        *("delete_canister", "deposit_cycles", "raw_rand"),
        *("http_request", "canister_info", "canister_metadata"),
        *("ecdsa_public_key", "sign_with_ecdsa", "schnorr_public_key"),
        *("sign_with_schnorr", "vetkd_public_key", "vetkd_derive_key"),
        *("bitcoin_get_balance", "bitcoin_get_utxos", "bitcoin_send_transaction"),
        *(
            "bitcoin_get_current_fee_percentiles",
            "bitcoin_get_block_headers",
            "node_metrics_history",
        ),
        *("subnet_metrics", "subnet_info", "provisional_create_canister_with_cycles"),
        *("provisional_top_up_canister", "take_canister_snapshot", "load_canister_snapshot"),
        *(
            "read_canister_snapshot_metadata",
            "read_canister_snapshot_data",
            "upload_canister_snapshot_metadata",
        ),
        *("upload_canister_snapshot_data", "list_canister_snapshots", "delete_canister_snapshot"),
        *("fetch_canister_logs", "list_canisters"),
    }
)
"""Source: dfinity/developer-docs ``public/references/ic.did``, of 2026."""

STRANGER = Ed25519Identity.from_seed(b"\x02" * 32)

KEEPER = """
from kybra import StableBTreeMap, init, nat64, post_upgrade, pre_upgrade, query, text, update, void

kept = StableBTreeMap[nat64, text](memory_id=0, max_key_size=16, max_value_size=100)
heap = {"value": ""}


@init
def start(value: text) -> void:
    kept.insert(0, value)
    heap["value"] = value


@pre_upgrade
def leave() -> void:
    kept.insert(1, "left")


@post_upgrade
def resume(value: text) -> void:
    if value == "break":
        raise ValueError("cannot resume")
    kept.insert(2, value)


@query
def read(key: nat64) -> text:
    return kept.get(key) or ""


@query
def heap_value() -> text:
    return heap["value"]


@update
def write(value: text) -> void:
    heap["value"] = value
"""

CALLER = """
from kybra import Async, CallResult, Principal, Service, match, nat64, query
from kybra import service_update, text, update


class Slow(Service):
    @service_update
    def increment(self, by: nat64) -> nat64: ...


@update
def relay(target: Principal) -> Async[text]:
    result: CallResult[nat64] = yield Slow(target).increment(1)
    return match(result, {"Ok": lambda value: str(value), "Err": lambda error: error})


@query
def ping() -> text:
    return "pong"
"""


def _status(client: Client, canister: Principal) -> dict[str, object]:
    """By a query, which costs the canister nothing."""
    status: dict[str, object] = ask(client, "canister_status", canister_id=canister)
    return status


def _text(value: str) -> bytes:
    return b"DIDL\x00\x01\x71" + bytes([len(value)]) + value.encode()


def test_a_new_canister_is_empty_running_and_controlled_by_its_maker(client: Client) -> None:
    canister = client.create()

    status = _status(client, canister)

    assert status["status"] == {"running": None}
    assert status["module_hash"] is None
    assert status["cycles"] == 100_000_000_000_000
    settings = status["settings"]
    assert isinstance(settings, dict)
    assert settings["controllers"] == [client.identity.sender]


def test_the_first_canisters_have_the_ids_local_networks_always_had(client: Client) -> None:
    assert [str(client.create()) for _ in range(2)] == [
        "bkyz2-fmaaa-aaaaa-qaaaq-cai",
        "bd3sg-teaaa-aaaaa-qaaba-cai",
    ]


def test_a_canister_can_be_made_under_a_given_id_once(client: Client) -> None:
    wanted = Principal.from_text("ryjl3-tyaaa-aaaaa-aaaba-cai")
    fields = {
        "amount": 5_000_000,
        "settings": None,
        "specified_id": wanted,
        "sender_canister_version": None,
    }

    created = client.manage("provisional_create_canister_with_cycles", fields)
    with pytest.raises(RejectedError, match="exists"):
        client.manage("provisional_create_canister_with_cycles", fields)

    assert created == {"canister_id": wanted}
    assert _status(client, wanted)["cycles"] == 5_000_000


@pytest.mark.parametrize(
    "text",
    ["2vxsx-fae", "aaaaa-aa", str(STRANGER.sender)],
    ids=["anonymous", "management", "a-user"],
)
def test_no_canister_can_take_somebody_elses_name(client: Client, text: str) -> None:
    fields = {
        "amount": None,
        "settings": None,
        "specified_id": Principal.from_text(text),
        "sender_canister_version": None,
    }

    with pytest.raises(RejectedError, match="no canister id"):
        client.manage("provisional_create_canister_with_cycles", fields)


@pytest.mark.parametrize(
    "method", ["install_code", "start_canister", "stop_canister", "canister_status"]
)
def test_a_stranger_manages_nothing(client: Client, counter: Built, method: str) -> None:
    canister = client.create()
    client.identity = STRANGER
    fields: dict[str, object] = {"canister_id": canister}
    if method == "install_code":
        fields |= {
            "mode": {"install": None},
            "wasm_module": counter.wasm,
            "arg": b"",
            "sender_canister_version": None,
        }

    with pytest.raises(RejectedError, match="Only controllers") as caught:
        client.manage(method, fields)

    assert (caught.value.error_code, caught.value.certified) == ("IC0512", False)


@pytest.mark.parametrize(
    ("method", "error_code"), [("raw_rand", "IC0406"), ("no_such_method", "IC0536")]
)
def test_a_method_that_is_not_served_is_refused_by_name(
    client: Client, method: str, error_code: str
) -> None:
    with pytest.raises(RejectedError, match=method) as caught:
        client.update(MANAGEMENT_CANISTER, method, effective=client.create())

    assert caught.value.error_code == error_code


def test_a_management_argument_of_another_type_is_refused(client: Client) -> None:
    with pytest.raises(RejectedError) as caught:
        client.update(MANAGEMENT_CANISTER, "start_canister", _text("x"), effective=client.create())

    assert caught.value.error_code == "IC0408"


@pytest.mark.parametrize(
    ("wasm", "words"),
    [
        (b"", "Wasm"),
        (b"\x00asm\x01\x00\x00\x00", "icfleet build"),
        (b"\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00", "icfleet build"),
        (b"\x1f\x8b\x08\x00broken", "gzip"),
    ],
    ids=["empty", "no-bundle", "real-code", "broken-gzip"],
)
def test_a_module_that_is_not_ours_is_refused(client: Client, wasm: bytes, words: str) -> None:
    canister = client.create()

    with pytest.raises(RejectedError, match=words) as caught:
        client.install(canister, wasm)

    assert caught.value.error_code == "IC0505"
    assert _status(client, canister)["module_hash"] is None


def test_install_needs_an_empty_canister_and_upgrade_a_full_one(
    client: Client, counter: Built
) -> None:
    canister = client.create()

    with pytest.raises(RejectedError) as no_code:
        client.install(canister, counter.wasm, mode="upgrade")
    client.install(canister, counter.wasm)
    with pytest.raises(RejectedError) as not_empty:
        client.install(canister, counter.wasm)

    assert (no_code.value.error_code, not_empty.value.error_code) == ("IC0537", "IC0514")


def test_an_init_that_traps_shows_its_traceback_and_installs_nothing(
    client: Client, build_source: Callable[[str], Built]
) -> None:
    source = "from kybra import init, void\n\n\n@init\ndef start() -> void:\n    1 / 0\n"
    canister = client.create()

    with pytest.raises(RejectedError, match="ZeroDivisionError") as caught:
        client.install(canister, build_source(source).wasm)

    assert "main.py" in caught.value.message
    assert "1 / 0" in caught.value.message
    assert _status(client, canister)["module_hash"] is None


def test_an_upgrade_keeps_stable_memory_and_drops_the_heap(
    client: Client, build_source: Callable[[str], Built]
) -> None:
    built = build_source(KEEPER)
    canister = client.create()
    client.install(canister, built.wasm, arg=_text("first"))
    deployed = Deployed(client, canister, built.interface)

    client.install(canister, built.wasm, mode="upgrade", arg=_text("second"))

    assert [deployed.query("read", key) for key in range(3)] == ["first", "left", "second"]
    assert deployed.query("heap_value") == ""


def test_an_upgrade_that_traps_leaves_everything_as_it_was(
    client: Client, build_source: Callable[[str], Built]
) -> None:
    built = build_source(KEEPER)
    canister = client.create()
    client.install(canister, built.wasm, arg=_text("first"))
    deployed = Deployed(client, canister, built.interface)
    deployed.update("write", "in memory")

    with pytest.raises(RejectedError, match="cannot resume"):
        client.install(canister, built.wasm, mode="upgrade", arg=_text("break"))

    assert [deployed.query("read", key) for key in range(3)] == ["first", "", ""]
    assert deployed.query("heap_value") == "in memory"


def test_a_reinstall_starts_from_nothing(
    client: Client, build_source: Callable[[str], Built]
) -> None:
    built = build_source(KEEPER)
    canister = client.create()
    client.install(canister, built.wasm, arg=_text("first"))
    client.install(canister, built.wasm, mode="upgrade", arg=_text("second"))

    client.install(canister, built.wasm, mode="reinstall", arg=_text("fresh"))

    deployed = Deployed(client, canister, built.interface)
    assert [deployed.query("read", key) for key in range(3)] == ["fresh", "", ""]


def test_a_stopped_canister_answers_nothing_until_it_is_started(
    client: Client, deploy: Callable[[str], Deployed]
) -> None:
    deployed = deploy(CALLER)

    client.manage("stop_canister", {"canister_id": deployed.id})
    status = _status(client, deployed.id)["status"]
    with pytest.raises(RejectedError) as caught:
        deployed.query("ping")
    client.manage("start_canister", {"canister_id": deployed.id})

    assert status == {"stopped": None}
    assert caught.value.error_code == "IC0508"
    assert deployed.query("ping") == "pong"


def test_canisters_call_each_other(
    client: Client, deploy: Callable[[str], Deployed], counter: Built
) -> None:
    caller = deploy(CALLER)
    target = client.create()
    client.install(target, counter.wasm)

    assert [caller.update("relay", target) for _ in range(2)] == ["1", "2"]


def test_a_call_to_a_canister_that_does_not_exist_is_an_error_value(
    deploy: Callable[[str], Deployed],
) -> None:
    caller = deploy(CALLER)

    answer = caller.update("relay", Principal(b"\x00" * 7 + b"\x09\x01\x01"))

    assert answer.startswith("Rejection code 3, ")


WAITING = """
from kybra import Async, CallResult, Principal, Service, ic, nat64, service_update, update, void


class Slow(Service):
    @service_update
    def increment(self, by: nat64) -> nat64: ...


@update
def wait(target: Principal) -> Async[void]:
    try:
        result: CallResult[nat64] = yield Slow(target).increment(1)
    finally:
        ic.print("too late")
"""


def test_a_reinstall_ends_what_the_old_code_was_waiting_for(
    client: Client, build_source: Callable[[str], Built], counter: Built
) -> None:
    """Nothing of it runs any more, not even its ``finally``, and its caller gets an answer."""
    built = build_source(WAITING)
    canister, target = client.create(), client.create()
    client.install(canister, built.wasm)
    client.install(target, counter.wasm)
    waiting = client.sign(canister, "wait", built.interface.encode_args("wait", [target]))
    client.interface.post(f"/api/v4/canister/{canister}/call", waiting.body, now_ns=client.now_ns)

    client.install(canister, built.wasm, mode="reinstall")

    error_code = client.certified(canister, b"request_status", waiting.request_id, b"error_code")
    assert error_code == b"IC0513"
    assert [
        line.text for line in client.subnet.canisters[canister].log if "late" in line.text
    ] == []


UNSERVED = [
    pytest.param("http_request", "IC0406", id="http_request"),
    pytest.param("sign_with_ecdsa", "IC0406", id="sign_with_ecdsa"),
    pytest.param("vetkd_derive_key", "IC0406", id="vetkd_derive_key"),
    pytest.param("bitcoin_get_balance", "IC0406", id="bitcoin_get_balance"),
    pytest.param("node_metrics_history", "IC0406", id="node_metrics_history"),
    pytest.param("take_canister_snapshot", "IC0536", id="take_canister_snapshot"),
    pytest.param("list_canisters", "IC0536", id="list_canisters"),
]


@pytest.mark.parametrize(("method", "error_code"), UNSERVED)
def test_what_this_network_lacks_is_refused_by_name(
    client: Client, method: str, error_code: str
) -> None:
    """What only canisters may call, is refused to users as on the mainnet; the rest says why."""
    canister = client.create()

    with pytest.raises(RejectedError, match=method) as caught:
        client.update(MANAGEMENT_CANISTER, method, effective=canister)

    assert caught.value.error_code == error_code
    assert ("not served by the local network" in caught.value.message) == (error_code == "IC0536")


def test_the_interface_and_the_table_of_methods_agree() -> None:
    """Every method of the one is in the other."""
    assert sorted(MANAGEMENT_INTERFACE.methods) == sorted(METHODS)
    queries = {name for name, one in MANAGEMENT_INTERFACE.methods.items() if one.kind == "query"}
    assert queries == QUERIES


def test_every_method_of_the_specification_is_served_or_refused_by_name() -> None:
    """Nothing that the mainnet has is unknown here."""
    refused = {
        method
        for method in MAINNET_METHODS - METHODS.keys()
        for reject in [refuse_method(method, is_user=False)]
        if reject is not None and "not served by the local network" in reject.message
    }

    assert refused | METHODS.keys() == MAINNET_METHODS
