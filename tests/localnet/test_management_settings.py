"""What may be set about a canister, by whom, and who may see what of it."""

from collections.abc import Callable

import pytest
from localnet_client import Client, Deployed, RejectedError
from management_calls import (
    CREATE,
    WAITER,
    ask,
    error_code,
    manage,
    set_settings,
    settings,
    status,
)

from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import ANONYMOUS, Principal

STRANGER = Ed25519Identity.from_seed(b"\x02" * 32)
PRINCIPALS = [Ed25519Identity.from_seed(bytes([number]) * 32).sender for number in range(11)]
CONTROLLERS_ONLY = {"controllers": None}

SETTINGS = [
    pytest.param("compute_allocation", 100, id="compute_allocation"),
    pytest.param("memory_allocation", 2**40, id="memory_allocation"),
    pytest.param("freezing_threshold", 2**64 - 1, id="freezing_threshold"),
    pytest.param("reserved_cycles_limit", 2**128 - 1, id="reserved_cycles_limit"),
    pytest.param("minimum_incoming_canister_call_cycles", 7, id="minimum_incoming"),
    pytest.param("log_visibility", {"public": None}, id="log_visibility"),
    pytest.param("log_memory_limit", 2 * 1024 * 1024, id="log_memory_limit"),
    pytest.param("snapshot_visibility", {"public": None}, id="snapshot_visibility"),
    pytest.param("status_visibility", {"allowed_viewers": PRINCIPALS[:10]}, id="status_visibility"),
    pytest.param("wasm_memory_limit", 2**48, id="wasm_memory_limit"),
    pytest.param("wasm_memory_threshold", 2**48, id="wasm_memory_threshold"),
    pytest.param(
        "environment_variables",
        [{"name": f"{number:02}", "value": "ü" * 64} for number in range(20)],
        id="environment_variables",
    ),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_every_setting_is_kept_and_shown(client: Client, name: str, value: object) -> None:
    """The largest values are accepted, and nothing else changes."""
    canister = client.create()
    manage(client, "provisional_top_up_canister", canister_id=canister, amount=10**20)
    before = status(client, canister)["settings"]

    set_settings(client, canister, **{name: value})

    assert status(client, canister)["settings"] == {**before, name: value}


def test_a_new_canister_has_the_settings_it_was_made_with(client: Client) -> None:
    """Those that are not given have the specification's defaults."""
    wanted = settings(controllers=[STRANGER.sender], freezing_threshold=5)

    created = manage(client, CREATE, settings=wanted)

    client.identity = STRANGER
    assert status(client, created["canister_id"])["settings"] == {
        "controllers": [STRANGER.sender],
        "compute_allocation": 0,
        "memory_allocation": 0,
        "freezing_threshold": 5,
        "reserved_cycles_limit": 5_000_000_000_000,
        "minimum_incoming_canister_call_cycles": 0,
        "log_visibility": CONTROLLERS_ONLY,
        "log_memory_limit": 4096,
        "snapshot_visibility": CONTROLLERS_ONLY,
        "status_visibility": CONTROLLERS_ONLY,
        "wasm_memory_limit": 0,
        "wasm_memory_threshold": 0,
        "environment_variables": [],
    }


LONG = "x" * 129
BAD_SETTINGS = [
    pytest.param({"controllers": PRINCIPALS}, "IC0408", id="controllers"),
    pytest.param({"compute_allocation": 101}, "IC0504", id="compute_allocation"),
    pytest.param({"memory_allocation": 2**64}, "IC0504", id="memory_allocation"),
    pytest.param({"memory_allocation": 2**42}, "IC0101", id="more-than-the-subnet-has"),
    pytest.param({"freezing_threshold": 2**64}, "IC0504", id="freezing_threshold"),
    pytest.param({"reserved_cycles_limit": 2**128}, "IC0504", id="reserved_cycles_limit"),
    pytest.param(
        {"minimum_incoming_canister_call_cycles": 2**128}, "IC0504", id="minimum_incoming"
    ),
    pytest.param({"wasm_memory_limit": 2**48 + 1}, "IC0504", id="wasm_memory_limit"),
    pytest.param({"wasm_memory_threshold": 2**48 + 1}, "IC0504", id="wasm_memory_threshold"),
    pytest.param({"log_memory_limit": 4095}, "IC0406", id="small-log"),
    pytest.param({"log_memory_limit": 2**21 + 1}, "IC0406", id="large-log"),
    pytest.param({"log_visibility": {"allowed_viewers": PRINCIPALS}}, "IC0408", id="log-viewers"),
    pytest.param(
        {"status_visibility": {"allowed_viewers": PRINCIPALS}}, "IC0408", id="status-viewers"
    ),
    pytest.param(
        {"environment_variables": [{"name": str(one), "value": ""} for one in range(21)]},
        "IC0408",
        id="many-variables",
    ),
    pytest.param(
        {"environment_variables": [{"name": LONG, "value": ""}]}, "IC0408", id="long-name"
    ),
    pytest.param(
        {"environment_variables": [{"name": "a", "value": LONG}]}, "IC0408", id="long-value"
    ),
    pytest.param(
        {"environment_variables": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]},
        "IC0408",
        id="variable-twice",
    ),
]


@pytest.mark.parametrize(("given", "expected"), BAD_SETTINGS)
def test_a_setting_that_cannot_be_is_refused_whole(
    client: Client, given: dict[str, object], expected: str
) -> None:
    """Neither a new canister nor an old one gets it, and what was given with it is not set."""
    canister = client.create()
    before = status(client, canister)
    given = {**given, "freezing_threshold": given.get("freezing_threshold", 9)}

    made = error_code(lambda: manage(client, CREATE, settings=settings(**given)))
    changed = error_code(lambda: set_settings(client, canister, **given))

    assert (made, changed) == (expected, expected)
    after = status(client, canister)
    assert (after["settings"], after["version"]) == (before["settings"], before["version"])
    assert len(client.subnet.canisters) == 1


def test_an_allocation_that_would_freeze_the_canister_is_refused(client: Client) -> None:
    """Reserving needs cycles for the freezing threshold."""
    canister = manage(client, CREATE, amount=1_000_000)["canister_id"]

    refusals = [
        error_code(lambda: set_settings(client, canister, compute_allocation=50)),
        error_code(lambda: set_settings(client, canister, memory_allocation=2**40)),
    ]

    assert refusals == ["IC0530", "IC0531"]


def test_changed_controllers_lock_out_the_old_ones(client: Client) -> None:
    """Also in the certified state, which clients read."""
    canister = client.create()

    set_settings(client, canister, controllers=[STRANGER.sender])

    refused = error_code(lambda: set_settings(client, canister, freezing_threshold=1))
    certified = client.certified(canister, b"canister", canister.raw, b"controllers")
    assert refused == "IC0512"
    assert certified is not None
    assert STRANGER.sender.raw in certified


def test_settings_count_as_a_version(client: Client) -> None:
    """One for each change, also for one that changes nothing."""
    canister = client.create()

    set_settings(client, canister)
    set_settings(client, canister, freezing_threshold=1)

    assert status(client, canister)["version"] == 2


VISIBILITIES = [
    pytest.param(CONTROLLERS_ONLY, (True, False, False), id="controllers"),
    pytest.param({"public": None}, (True, True, True), id="public"),
    pytest.param({"allowed_viewers": [STRANGER.sender]}, (True, True, False), id="viewers"),
]


@pytest.mark.parametrize(("visibility", "allowed"), VISIBILITIES)
@pytest.mark.parametrize("method", ["fetch_canister_logs", "canister_status"])
def test_visibility_decides_who_may_look(
    client: Client,
    method: str,
    visibility: dict[str, object],
    allowed: tuple[bool, bool, bool],
) -> None:
    """Controllers always, others as it is set; by queries and by updates alike."""
    owner = client.identity
    canister = client.create()
    name = "log_visibility" if method == "fetch_canister_logs" else "status_visibility"
    set_settings(client, canister, **{name: visibility})
    third = Ed25519Identity.from_seed(b"\x09" * 32)

    for identity, is_allowed in zip((owner, STRANGER, third), allowed, strict=True):
        client.identity = identity
        asked = error_code(lambda: ask(client, method, canister_id=canister))
        assert (asked == "") == is_allowed
        if method == "canister_status":
            called = error_code(lambda: manage(client, method, canister_id=canister))
            assert called == asked


def test_the_log_is_for_queries_only(client: Client) -> None:
    """An update is refused before it is accepted."""
    canister = client.create()

    with pytest.raises(RejectedError, match="replicated mode") as caught:
        manage(client, "fetch_canister_logs", canister_id=canister)

    assert (caught.value.error_code, caught.value.certified) == ("IC0406", False)


@pytest.fixture
def waiter(deploy: Callable[[str], Deployed]) -> Deployed:
    return deploy(WAITER)


def _logged(client: Client, canister: Principal, **chosen: object) -> list[tuple[int, str]]:
    answer = ask(client, "fetch_canister_logs", canister_id=canister, **chosen)
    return [
        (record["idx"], record["content"].decode()) for record in answer["canister_log_records"]
    ]


def test_the_log_numbers_and_dates_what_was_printed(client: Client, waiter: Deployed) -> None:
    """And gives a part of it when asked for a part: the end is not included."""
    times: list[int] = []
    for _ in range(3):
        waiter.update("increment")
        times.append(client.subnet.time_ns)

    by_index = {"by_idx": {"start": 1, "end": 2}}
    by_time = {"by_timestamp_nanos": {"start": times[0], "end": times[2]}}

    assert _logged(client, waiter.id) == [(0, "now 1"), (1, "now 2"), (2, "now 3")]
    assert _logged(client, waiter.id, filter=by_index) == [(1, "now 2")]
    assert [index for index, _ in _logged(client, waiter.id, filter=by_time)] == [0, 1]


def test_a_log_keeps_the_newest_lines_within_its_limit(client: Client, waiter: Deployed) -> None:
    """A record takes 20 bytes and its content."""
    for _ in range(200):
        waiter.update("increment")

    records = ask(client, "fetch_canister_logs", canister_id=waiter.id)["canister_log_records"]

    assert records[-1]["content"] == b"now 200"
    assert records[0]["idx"] > 0
    assert 4000 < sum(20 + len(record["content"]) for record in records) <= 4096
    assert status(client, waiter.id)["memory_metrics"]["log_memory_store_size"] <= 4096


def test_a_larger_log_keeps_more_and_none_keeps_nothing(client: Client, waiter: Deployed) -> None:
    """The setting works at once."""
    set_settings(client, waiter.id, log_memory_limit=100_000)
    for _ in range(200):
        waiter.update("increment")
    large = len(_logged(client, waiter.id))

    set_settings(client, waiter.id, log_memory_limit=0)
    waiter.update("increment")

    assert (large, _logged(client, waiter.id)) == (200, [])


@pytest.mark.parametrize("method", ["canister_info", "install_code", "no_such_method"])
def test_what_is_no_query_is_refused_as_one(client: Client, method: str) -> None:
    """Though it may exist as an update."""
    canister = client.create()
    arg = b"DIDL\x01\x6c\x01\xb3\xc4\xb1\xf2\x04\x68\x01\x00\x01\x0a" + canister.raw
    request = client.sign(Principal(b""), method, arg, kind="query")

    response = client.post(f"/api/v3/canister/{canister}/query", request.body)

    assert method.encode() in response.body


def test_the_anonymous_user_may_see_what_is_public(client: Client) -> None:
    """Nobody is asked who he is."""
    canister = client.create()
    set_settings(client, canister, status_visibility={"public": None})

    assert status(client, canister)["settings"]["status_visibility"] == {"public": None}
    assert client.subnet.canisters[canister].settings.status_visibility.includes(ANONYMOUS)
