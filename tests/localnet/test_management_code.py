"""Code comes in, is exchanged and goes out: whole or in chunks, all of it or nothing."""

import gzip
import hashlib
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from foreign_wasm import foreign_wasm
from localnet_client import NO_ARGS, Built, Client, Deployed, RejectedError
from management_calls import argument, ask, error_code, install, manage, set_settings

from icfleet_localnet.bundle import write_module
from icfleet_localnet.wasm_container import HEADER, custom_section
from icfleet_protocol.candid import parse_did
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

STRANGER = Ed25519Identity.from_seed(b"\x02" * 32)
Build = Callable[[str], Built]
S = 1_000_000_000

KEEPER = """
from kybra import Duration, StableBTreeMap, ic, init, nat64, post_upgrade, pre_upgrade, query
from kybra import text, update, void

kept = StableBTreeMap[nat64, text](memory_id=0, max_key_size=16, max_value_size=100)
heap = {"value": "", "ticks": 0}


def tick() -> void:
    heap["ticks"] = heap["ticks"] + 1


@init
def start() -> void:
    heap["value"] = "made"
    kept.insert(0, "made")
    ic.set_certified_data(b"made")
    ic.set_timer_interval(Duration(10), tick)
    ic.print("made")


@pre_upgrade
def leave() -> void:
    if heap["value"] == "stuck":
        ic.trap("cannot leave")
    kept.insert(1, "left")
    ic.print("left")


@post_upgrade
def resume() -> void:
    kept.insert(2, "back")
    ic.print("back")
    if kept.get(3) is not None:
        ic.trap("cannot come back")


@update
def write(key: nat64, value: text) -> void:
    if key == 9:
        heap["value"] = value
    else:
        kept.insert(key, value)


@query
def read(key: nat64) -> text:
    if key == 9:
        return heap["value"]
    return kept.get(key) or ""


@query
def ticks() -> nat64:
    return heap["ticks"]
"""


@pytest.fixture
def keeper(deploy: Callable[[str], Deployed]) -> Deployed:
    return deploy(KEEPER)


@pytest.fixture
def keeper_wasm(build_source: Build) -> bytes:
    return build_source(KEEPER).wasm


def _state(keeper: Deployed) -> list[str]:
    return [keeper.query("read", key) for key in (0, 1, 2, 9)]


def _status(client: Client, canister: Principal) -> dict[str, Any]:
    found: dict[str, Any] = ask(client, "canister_status", canister_id=canister)
    return found


def _certified_data(client: Client, canister: Principal) -> bytes | None:
    return client.subnet.canisters[canister].certified_data


def _wait(client: Client, seconds: int) -> None:
    client.now_ns += seconds * S
    client.run_rounds()


def test_an_upgrade_resets_timers_and_keeps_certified_data_and_log(
    client: Client, keeper: Deployed, keeper_wasm: bytes
) -> None:
    """Stable memory stays, the heap is new."""
    version = _status(client, keeper.id)["version"]

    install(client, keeper.id, keeper_wasm, "upgrade")
    _wait(client, 60)

    assert _state(keeper) == ["made", "left", "back", ""]
    assert keeper.query("ticks") == 0
    assert _certified_data(client, keeper.id) == b"made"
    assert _log(client, keeper.id) == ["made", "left", "back"]
    assert _status(client, keeper.id)["version"] == version + 1


def _log(client: Client, canister: Principal) -> list[str]:
    answer = ask(client, "fetch_canister_logs", canister_id=canister)
    return [record["content"].decode() for record in answer["canister_log_records"]]


def test_a_reinstall_starts_from_nothing_but_settings_and_cycles(
    client: Client, keeper: Deployed, build_source: Build
) -> None:
    """Certified data, log, stable memory and timers of the old code are gone."""
    counter = build_source(
        "from kybra import query, text\n\n\n@query\ndef hi() -> text:\n    return 'hi'\n"
    )
    set_settings(client, keeper.id, freezing_threshold=12)

    install(client, keeper.id, counter.wasm, "reinstall")
    _wait(client, 60)

    status = _status(client, keeper.id)
    assert _certified_data(client, keeper.id) == b""
    assert _log(client, keeper.id) == []
    assert status["memory_metrics"]["stable_memory_size"] == 0
    assert status["settings"]["freezing_threshold"] == 12
    assert Deployed(client, keeper.id, counter.interface).query("hi") == "hi"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [(9, "stuck", "cannot leave"), (3, "blocked", "cannot come back")],
    ids=["pre_upgrade", "post_upgrade"],
)
def test_an_upgrade_that_traps_leaves_heap_stable_memory_and_timers(
    client: Client, keeper: Deployed, keeper_wasm: bytes, key: int, value: str, words: str
) -> None:
    """The old code goes on as if nothing had been tried."""
    keeper.update("write", key, value)
    before = _state(keeper), _status(client, keeper.id)["module_hash"]
    version = _status(client, keeper.id)["version"]

    with pytest.raises(RejectedError, match=words) as caught:
        install(client, keeper.id, gzip.compress(keeper_wasm), "upgrade")
    after = _status(client, keeper.id)["version"]
    _wait(client, 25)

    assert (caught.value.error_code, caught.value.certified) == ("IC0503", True)
    assert (_state(keeper), _status(client, keeper.id)["module_hash"]) == before
    assert keeper.query("ticks") > 0
    assert _certified_data(client, keeper.id) == b"made"
    assert after == version


def test_pre_upgrade_can_be_skipped(client: Client, keeper: Deployed, keeper_wasm: bytes) -> None:
    """The way out when it traps."""
    keeper.update("write", 9, "stuck")
    options = {"skip_pre_upgrade": True, "wasm_memory_persistence": {"replace": None}}

    manage(
        client,
        "install_code",
        canister_id=keeper.id,
        mode={"upgrade": options},
        wasm_module=keeper_wasm,
        arg=NO_ARGS,
    )

    assert _state(keeper) == ["made", "", "back", ""]


def test_python_memory_cannot_be_kept_over_an_upgrade(
    client: Client, keeper: Deployed, keeper_wasm: bytes
) -> None:
    """Only modules that say they can take it over may ask for it."""
    options = {"skip_pre_upgrade": None, "wasm_memory_persistence": {"keep": None}}

    refused = error_code(
        lambda: manage(
            client,
            "install_code",
            canister_id=keeper.id,
            mode={"upgrade": options},
            wasm_module=keeper_wasm,
            arg=NO_ARGS,
        )
    )

    assert refused == "IC0504"


def test_the_module_hash_is_that_of_the_uploaded_bytes(client: Client, keeper_wasm: bytes) -> None:
    """Compressed when they were; so is the size."""
    canister = client.create()
    packed = gzip.compress(keeper_wasm)

    install(client, canister, packed)

    status = _status(client, canister)
    assert status["module_hash"] == hashlib.sha256(packed).digest()
    assert status["memory_metrics"]["wasm_binary_size"] == len(packed)
    certified = client.certified(canister, b"canister", canister.raw, b"module_hash")
    assert certified == hashlib.sha256(packed).digest()


def test_memory_is_shown_by_what_holds_it(client: Client, keeper: Deployed) -> None:
    """The sum of the parts is the whole, and idling costs by it."""
    keeper.update("write", 5, "x" * 50)

    status = _status(client, keeper.id)

    parts: dict[str, int] = status["memory_metrics"]
    assert sum(parts.values()) == status["memory_size"]
    for name in ("wasm_binary_size", "stable_memory_size", "wasm_memory_size"):
        assert parts[name] > 0, name
    assert status["idle_cycles_burned_per_day"] > 0


NAMED = """
from kybra import query, text
from shared import NAME


@query
def name() -> text:
    return NAME
"""


def test_two_canisters_with_the_same_module_names_do_not_meet(client: Client) -> None:
    """Each has its own ``main`` and its own ``shared``."""
    did = "service : { name : () -> (text) query }"
    deployed: list[Deployed] = []
    for name in ("ada", "bob"):
        files = {"main.py": NAMED.encode(), "shared.py": f"NAME = {name!r}\n".encode()}
        canister = client.create()
        install(client, canister, write_module("main", files, did))
        deployed.append(Deployed(client, canister, parse_did(did)))

    assert [one.query("name") for one in [*deployed, *deployed]] == ["ada", "bob"] * 2


@pytest.mark.parametrize(
    "source",
    [
        "import no_such_module\n",
        "from kybra import query\nimport socket\nsocket.socket()\n",
        "raise RuntimeError('not today')\n",
        "def broken(:\n",
        "\0",
        "x = 1\n" * 3 + "1 / 0\n",
    ],
    ids=["missing", "absent-stdlib", "raises", "syntax", "nul", "divides"],
)
def test_code_whose_import_fails_is_not_installed(client: Client, source: str) -> None:
    """The answer says what failed, and the canister stays empty."""
    canister = client.create()
    wasm = write_module("main", {"main.py": source.encode()}, "service : {}")

    with pytest.raises(RejectedError) as caught:
        install(client, canister, wasm)

    assert caught.value.error_code in {"IC0503", "IC0505"}
    assert "main" in caught.value.message
    assert _status(client, canister)["module_hash"] is None


@pytest.mark.parametrize(
    "path",
    ["../evil.py", "/etc/evil.py", "a/../../evil.py", "nul.py", "MAIN.py", "a\0.py"],
    ids=repr,
)
def test_a_bundle_with_a_dangerous_path_is_not_installed(client: Client, path: str) -> None:
    """It is refused before any of it is looked at, and the canister stays empty."""
    canister = client.create()
    files = {"main.py": b"", path: b""}
    content = cbor2.dumps({"version": 1, "entry": "main", "files": files})

    with pytest.raises(RejectedError, match="Wasm module is not valid") as caught:
        install(client, canister, HEADER + custom_section("icfleet:bundle", content))

    assert caught.value.error_code == "IC0505"
    assert _status(client, canister)["module_hash"] is None


# A tool's compiled canister.


def test_a_tools_canister_installs_says_so_and_answers_nothing(client: Client) -> None:
    """Its status works, its metadata is certified, every call is rejected clearly."""
    canister = client.create()
    raw = foreign_wasm(did="service : {}")

    install(client, canister, raw)

    status = _status(client, canister)
    assert status["module_hash"] == hashlib.sha256(raw).digest()
    assert status["status"] == {"running": None}
    path = (b"canister", canister.raw, b"metadata", b"candid:service")
    assert client.certified(canister, *path) == b"service : {}"
    assert "compiled Wasm of another tool" in _log(client, canister)[0]
    for call in (client.update, client.query):
        with pytest.raises(RejectedError, match="compiled Wasm of another tool") as caught:
            call(canister, "http_request")
        assert caught.value.error_code == "IC0536"


def test_a_tools_canister_goes_through_its_life(client: Client, keeper_wasm: bytes) -> None:
    """Upgraded by its like, replaced by ours with a reinstall only, stopped, emptied, deleted."""
    canister = client.create()
    install(client, canister, foreign_wasm())
    install(client, canister, foreign_wasm(did="service : {}"), "upgrade")

    refused = error_code(lambda: install(client, canister, keeper_wasm, "upgrade"))
    install(client, canister, keeper_wasm, "reinstall")
    back = error_code(lambda: install(client, canister, foreign_wasm(), "upgrade"))
    install(client, canister, foreign_wasm(), "reinstall")
    for method in ("uninstall_code", "stop_canister", "delete_canister"):
        manage(client, method, canister_id=canister)

    assert (refused, back) == ("IC0504", "IC0504")
    assert canister not in client.subnet.canisters


def test_kybras_own_wasm_is_refused_with_the_way_to_go(client: Client) -> None:
    """The mistake that everybody makes once."""
    canister = client.create()

    with pytest.raises(RejectedError, match="icfleet build") as caught:
        install(client, canister, foreign_wasm(data=b"_kybra_ic"))

    assert caught.value.error_code == "IC0505"


# Chunks.


def _upload(client: Client, canister: Principal, chunk: bytes) -> bytes:
    answer = manage(client, "upload_chunk", canister_id=canister, chunk=chunk)
    return bytes(answer["hash"])


def _install_chunked(
    client: Client, target: Principal, hashes: list[bytes], wasm: bytes, **more: object
) -> None:
    manage(
        client,
        "install_chunked_code",
        mode={"install": None},
        target_canister=target,
        chunk_hashes_list=[{"hash": one} for one in hashes],
        wasm_module_hash=hashlib.sha256(wasm).digest(),
        arg=NO_ARGS,
        **more,
    )


def test_a_module_can_come_in_chunks(client: Client, build_source: Build) -> None:
    """As dfx and icp send what is too large for one message; here 1.5 MiB in three pieces."""
    built = build_source(KEEPER)
    wasm = built.wasm + custom_section("padding", bytes(range(256)) * 6144)
    target, store = client.create(), client.create()
    pieces = [wasm[start : start + 700_000] for start in range(0, len(wasm), 700_000)]

    hashes = [_upload(client, store, piece) for piece in pieces]
    _install_chunked(client, target, hashes, wasm, store_canister=store)

    assert len(pieces) == 3
    assert hashes == [hashlib.sha256(piece).digest() for piece in pieces]
    assert Deployed(client, target, built.interface).query("read", 0) == "made"
    stored = manage(client, "stored_chunks", canister_id=store)
    assert sorted(one["hash"] for one in stored) == sorted(hashes)
    sizes = _status(client, store)["memory_metrics"]
    assert sizes["wasm_chunk_store_size"] == 3 * 1024 * 1024
    manage(client, "clear_chunk_store", canister_id=store)
    assert manage(client, "stored_chunks", canister_id=store) == []


def test_chunks_are_bounded_in_size_and_number(client: Client) -> None:
    """1 MiB each, 100 of them; one that is there already may come again."""
    canister = client.create()
    largest = error_code(lambda: _upload(client, canister, bytes(1024 * 1024)))
    larger = error_code(lambda: _upload(client, canister, bytes(1024 * 1024 + 1)))
    for number in range(99):
        _upload(client, canister, b"%d" % number)

    again = error_code(lambda: _upload(client, canister, b"98"))
    another = error_code(lambda: _upload(client, canister, b"99"))

    assert (largest, larger, again, another) == ("", "IC0504", "", "IC0504")


def test_a_chunked_install_that_does_not_add_up_is_refused(
    client: Client, keeper_wasm: bytes
) -> None:
    """A missing chunk, a hash of another length, another module than announced."""
    canister = client.create()
    there = _upload(client, canister, keeper_wasm)

    def assemble(*hashes: bytes) -> str:
        wanted = list(hashes)
        return error_code(lambda: _install_chunked(client, canister, wanted, keeper_wasm))

    refusals = [
        assemble(bytes(32)),
        assemble(b"short"),
        assemble(there, there),
        assemble(),
        assemble(*[there] * 101),
    ]

    assert refusals == ["IC0504"] * 5
    assert _status(client, canister)["module_hash"] is None


def test_a_strangers_chunks_are_not_for_taking(client: Client, keeper_wasm: bytes) -> None:
    """The caller controls the target, but not the store."""
    store = client.create()
    digest = _upload(client, store, keeper_wasm)
    client.identity = STRANGER
    target = client.create()

    def take(store_id: Principal) -> str:
        return error_code(
            lambda: _install_chunked(client, target, [digest], keeper_wasm, store_canister=store_id)
        )

    refusals = [take(store), take(Principal(b"\x01\x01"))]
    uploading = error_code(lambda: _upload(client, store, b"mine"))

    assert refusals == ["IC0512", "IC0301"]
    assert uploading == "IC0512"


# What it costs.


def test_installing_needs_cycles_for_the_worst_case_and_takes_what_was_used(
    client: Client, keeper_wasm: bytes
) -> None:
    """300 G instructions must be payable; a fraction of it is taken, and shown as consumed."""
    poor = manage(client, "provisional_create_canister_with_cycles", amount=200 * 10**9)
    rich = manage(client, "provisional_create_canister_with_cycles", amount=10**12)

    refused = error_code(lambda: install(client, poor["canister_id"], keeper_wasm))
    install(client, rich["canister_id"], keeper_wasm)

    assert refused == "IC0207"
    metrics = ask(client, "canister_metrics", canister_id=rich["canister_id"])
    used = metrics["cycles_consumed"]
    assert 5_000_000 <= used["instructions"] < 10**11
    assert used["ingress_induction"] > 0
    left = _status(client, rich["canister_id"])["cycles"]
    assert left == 10**12 - sum(used.values())


def test_the_argument_that_names_no_canister_is_refused(client: Client) -> None:
    """Whatever else it holds."""
    canister = client.create()
    arg = argument("start_canister", canister_id=canister)[:-3]

    with pytest.raises(RejectedError) as caught:
        client.update(MANAGEMENT_CANISTER, "start_canister", arg, effective=canister)

    assert (caught.value.error_code, caught.value.certified) == ("IC0408", False)


def test_private_metadata_is_for_controllers(client: Client) -> None:
    """A tool's own sections; modules of this project have none."""
    canister = client.create()
    client.install(canister, foreign_wasm(sections={"icp:private secret": b"hidden"}))
    stranger = Client(
        client.interface, client.network, Ed25519Identity.from_seed(b"\x07" * 32), client.now_ns
    )
    path = (b"canister", canister.raw, b"metadata", b"secret")

    assert client.certified(canister, *path) == b"hidden"
    refused = stranger.read_state(canister, path)
    assert refused.status == 403
    assert b"only be requested by the controllers" in refused.body
