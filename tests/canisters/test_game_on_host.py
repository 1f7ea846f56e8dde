"""The game as it is installed: under Kybra's own package, on the native host, by Candid bytes.

Here the wiring is met: conversions, guards, inspect_message, timers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from game_on_host import (
    ADA,
    ADMIN,
    BOB,
    CANISTERS,
    GATEWAY,
    MAIN,
    NOW_NS,
    REPLICA,
    SECOND_NS,
    World,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icfleet.build import build
from icfleet_canister.fleet_timers import WATCH_PERIOD_S
from icfleet_canister.log_record import ID_MEMORY_NS
from icfleet_localnet.bundle import Module, read_module
from icfleet_localnet.executor import (
    Query,
    Update,
)
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_protocol.candid import parse_did
from icfleet_protocol.principal import ANONYMOUS, Principal


@pytest.fixture(scope="module")
def module() -> Module:
    """The game, built as ``icfleet build`` does."""
    return read_module(build(CANISTERS / "game" / "main.py", [CANISTERS]).wasm)


@pytest.fixture(scope="module")
def executor() -> InProcessExecutor:
    """Reads the module once for all tests; each installs its own canisters."""
    return InProcessExecutor(seed=1)


@pytest.fixture
def world(executor: InProcessExecutor, module: Module) -> World:
    """Main and replica, joined, with players."""
    world = World(executor, module)
    world.join()
    world.populate()
    return world


def test_a_transfer_is_applied_once_and_seen_by_its_owner(world: World) -> None:
    """The main job, through Candid and back."""
    transfer = world.operation(ADA, {"Transfer": {"target": BOB, "amount": 300}})

    first = world.submit(ADA, transfer)
    again = world.submit(ADA, transfer)

    assert first == again
    assert first[0]["Applied"] == {"epoch": 1, "seq": world.main.status["as_of"]["seq"]}
    found = world.main.query(ADA, "player", ADA)["player"]["Found"]
    assert (found["name"], found["balance"]) == ("Ada", 700)


def test_every_kind_of_result_reaches_the_caller(world: World) -> None:
    """As the variant of icfleet.did."""
    old = {**world.operation(ADA, {"RecordScore": {"score": 1}}), "created_at": 0}
    early = {**old, "created_at": world.now_ns + 10**12}
    short = {**world.operation(ADA, {"RecordScore": {"score": 1}}), "id": b"short"}
    used = world.operation(ADA, {"Transfer": {"target": BOB, "amount": 1}}, number=777)
    reused = world.operation(ADA, {"Transfer": {"target": BOB, "amount": 2}}, number=777)
    poor = world.operation(ADA, {"Transfer": {"target": BOB, "amount": 10**6}})

    results = world.submit(GATEWAY, old, early, short, used, reused, poor)
    forbidden = world.do(ADA, BOB, {"Transfer": {"target": ADA, "amount": 1}})

    assert [next(iter(result)) for result in results] == [
        "Expired",
        "InFuture",
        "Invalid",
        "Applied",
        "IdReused",
        "Refused",
    ]
    assert results[5]["Refused"]["code"] == "InsufficientFunds"
    assert forbidden == {"Forbidden": "Transfer is out of reach: owner reaches own"}


def test_a_limited_player_is_told_how_long_to_wait(world: World) -> None:
    """And its later operations in the batch wait too."""
    body = {"RecordScore": {"score": 1}}
    results = world.submit(GATEWAY, *(world.operation(ADA, body) for _ in range(95)))

    assert [next(iter(result)) for result in results[-6:]] == [
        "Applied",
        "RateLimited",
        "Deferred",
        "Deferred",
        "Deferred",
        "Deferred",
    ]
    assert results[-5]["RateLimited"] == 600_000_000


def test_a_batch_that_is_too_large_is_refused_whole(world: World) -> None:
    """With the reason; nothing of it is applied."""
    seq = world.main.status["as_of"]["seq"]
    operation = world.operation(ADA, {"RecordScore": {"score": 1}})

    reply = world.main.update(GATEWAY, "submit", {"ops": [operation] * 501})

    assert reply == {"TooLarge": "501 operations, at most 500 allowed"}
    assert world.main.status["as_of"]["seq"] == seq


def test_the_views_show_what_was_written(world: World) -> None:
    """Leaderboard, market and their cached forms, at the position of the write."""
    world.do(GATEWAY, ADA, {"RecordScore": {"score": 5}})
    world.do(GATEWAY, BOB, {"RecordScore": {"score": 9}})
    as_of = world.main.status["as_of"]

    board = world.main.query(ANONYMOUS, "leaderboard", 10)
    market = world.main.query(ANONYMOUS, "market")
    cached = world.main.query(ANONYMOUS, "cached_query", "leaderboard")

    assert board["as_of"] == market["as_of"] == cached["as_of"] == as_of
    assert [(entry["rank"], entry["player"], entry["score"]) for entry in board["entries"]] == [
        (1, BOB, 9),
        (2, ADA, 5),
    ]
    assert world.main.query(ANONYMOUS, "leaderboard", 1)["entries"] == board["entries"][:1]
    assert market["prices"] == [{"symbol": "GOLD", "price": 10, "updated_at": NOW_NS}]
    assert cached["value"].startswith(b'{"entries":[{"rank":1,')
    assert not cached["dirty"]
    assert world.main.query(ANONYMOUS, "cached_query", "nothing") is None


def test_deposits_and_shares_are_shown_with_the_player(world: World) -> None:
    """Nested records, as Candid has them."""
    world.do(ADA, ADA, {"OpenDeposit": {"amount": 100, "term_s": 60}})
    world.do(ADA, ADA, {"Buy": {"symbol": "GOLD", "quantity": 3}})

    found = world.main.query(ADA, "player", ADA)["player"]["Found"]

    due_at = world.now_ns + 60 * SECOND_NS
    assert found["deposits"] == [{"id": 1, "amount": 100, "interest": 0, "due_at": due_at}]
    assert found["holdings"] == [{"symbol": "GOLD", "quantity": 3}]
    assert world.main.query(BOB, "player", ADA)["player"] == {"Forbidden": None}
    assert world.main.query(GATEWAY, "player", REPLICA)["player"] == {"NotFound": None}


def test_a_portfolio_has_present_values_however_large(world: World) -> None:
    """More than a nat64, if need be."""
    world.do(ADA, ADA, {"OpenDeposit": {"amount": 100, "term_s": 60}})
    world.do(ADA, ADA, {"Buy": {"symbol": "GOLD", "quantity": 3}})
    price = 2**63 - 1
    world.do(ADMIN, ADMIN, {"SetPrice": {"symbol": "GOLD", "price": price}})

    reply = world.main.query(ADA, "portfolio", ADA)

    found = reply["portfolio"]["Found"]
    assert reply["as_of"] == world.main.status["as_of"]
    assert found["balance"] == 1_000 - 100 - 30
    assert [deposit["amount"] for deposit in found["deposits"]] == [100]
    assert found["holdings"] == [
        {"symbol": "GOLD", "quantity": 3, "price": price, "value": 3 * price}
    ]
    assert found["total"] == 970 + 3 * price
    assert world.main.query(BOB, "portfolio", ADA)["portfolio"] == {"Forbidden": None}
    assert world.main.query(ADMIN, "portfolio", REPLICA)["portfolio"] == {"NotFound": None}


def test_a_history_is_what_the_log_says_of_a_player(world: World) -> None:
    """On a replica too, and for those who may see the player."""
    transfer = world.operation(ADA, {"Transfer": {"target": BOB, "amount": 300}})
    (result,) = world.submit(ADA, transfer)
    world.run(seconds=2)

    ours = world.main.query(ADA, "history", ADA)["history"]["Found"]
    theirs = world.replica.query(BOB, "history", BOB)["history"]["Found"]

    entry = {
        "position": result["Applied"],
        "kind": "Transfer",
        "id": transfer["id"],
        "created_at": NOW_NS,
        "balance": 700,
    }
    assert ours[0] == entry
    assert [entry["kind"] for entry in ours] == ["Transfer", "Credit", "CreatePlayer"]
    assert theirs[0] == {**entry, "id": None, "balance": 1_300}
    assert world.main.query(BOB, "history", ADA)["history"] == {"Forbidden": None}
    assert world.main.query(GATEWAY, "history", REPLICA)["history"] == {"NotFound": None}


def test_a_name_of_a_million_characters_harms_only_itself(world: World) -> None:
    """Neither the batch nor the log."""
    other = Principal(b"other\x01")
    long = world.operation(other, {"CreatePlayer": {"name": "x" * 1_000_000}})
    fine = world.operation(ADA, {"Transfer": {"target": BOB, "amount": 1}})
    scope = {"operations": ["CreatePlayer", "Transfer"], "all_players": True}
    world.main.update(ADMIN, "grant_gateway", GATEWAY, scope)

    refused, applied = world.submit(GATEWAY, long, fine)

    assert refused["Refused"]["code"] == "NameTooLong"
    assert "Applied" in applied


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("variant { Fly : record { amount : nat64 } }", {"Fly": {"amount": 1}}),
        ("variant { RecordScore : record { score : int } }", {"RecordScore": {"score": -1}}),
        ("variant { RecordScore : record { score : nat } }", {"RecordScore": {"score": 2**64}}),
        ("variant { RecordScore : record { score : text } }", {"RecordScore": {"score": "1"}}),
        ("variant { RecordScore : record {} }", {"RecordScore": {}}),
        ("variant { CloseDeposit }", {"CloseDeposit": None}),
    ],
    ids=["unknown-variant", "negative", "above-nat64", "text", "field-missing", "no-record"],
)
def test_what_candid_does_not_let_through_changes_nothing(
    world: World, operation: str, body: Mapping[str, object]
) -> None:
    """The message ends before the first line of ours."""
    theirs = parse_did(
        "type Envelope = record { id : blob; subject : principal; created_at : nat64;"
        f" body : {operation} }}; service : {{ submit : (record {{ ops : vec Envelope }}) -> () }}"
    )
    as_of = world.main.status["as_of"]
    arg = theirs.encode_args("submit", [{"ops": [world.operation(ADA, body)]}])

    outcome = world.main.execute(Update("submit", arg), GATEWAY)

    assert outcome.trap is not None
    assert world.main.status["as_of"] == as_of


def test_all_accounts_are_for_auditors(world: World) -> None:
    """Others are rejected by the guard, with the reason."""
    accounts = world.main.query(ADMIN, "accounts", 0)
    outcome = world.main.execute(
        Query("accounts", world.main.interface.encode_args("accounts", [0])), ADA
    )

    total = sum(account["balance"] for account in accounts["accounts"])
    figures = world.main.figures
    assert total == figures["accounts_total"] == figures["credits"] - figures["debits"]
    assert accounts["next"] is None
    assert outcome.reject is not None
    assert "accounts needs the role treasury or admin" in outcome.reject


def test_cycles_are_told_to_admins_only(world: World) -> None:
    """Everything else in ``status`` is for all."""
    assert world.main.status["cycles"] == 10**12
    assert world.main.query(ADA, "status")["cycles"] is None
    assert world.main.status["main"] == MAIN
    assert world.main.status["role"] == {"Main": None}


@pytest.mark.parametrize(
    ("caller", "method", "is_admitted"),
    [
        (ADA, "submit", True),
        (GATEWAY, "submit", True),
        (Principal(b"stranger\x01"), "submit", True),
        (ANONYMOUS, "submit", False),
        (ADMIN, "grant_role", True),
        (ADA, "grant_role", False),
        (ADA, "acknowledge", False),
        (ANONYMOUS, "status", False),
    ],
)
def test_ingress_messages_are_inspected(
    world: World, caller: Principal, method: str, *, is_admitted: bool
) -> None:
    """What could come to nothing is refused before it costs anything."""
    assert world.main.admits(caller, method) is is_admitted


def test_admin_methods_refuse_everybody_else(world: World) -> None:
    """Also when inspect_message was not asked, as between canisters."""
    scope = {"operations": ["Buy"], "all_players": True}
    calls: Sequence[tuple[str, Sequence[object]]] = [
        ("attach", [BOB]),
        ("detach", [BOB]),
        ("follow", [BOB]),
        ("reseed", [BOB]),
        ("promote", [1, 2]),
        ("demote", [1]),
        ("configure", [world.main.status["settings"]]),
        ("grant_gateway", [BOB, scope]),
        ("revoke_gateway", [GATEWAY]),
        ("grant_role", [BOB, "admin"]),
        ("revoke_role", [ADMIN, "admin"]),
    ]

    for method, args in calls:
        reason = f"{method} needs the role admin"
        assert world.main.update(ADA, method, *args) == {"Forbidden": reason}
    assert world.main.update(ADMIN, "grant_role", BOB, "king") == {
        "Invalid": {"code": "UnknownRole", "reason": "no role 'king': admin, treasury, oracle"}
    }


def test_memory_is_swept_by_timers(world: World) -> None:
    """Half an hour later there is nothing left to remember."""
    world.do(GATEWAY, ADA, {"RecordScore": {"score": 5}})
    assert world.main.figures["window_ids"] > 0

    for _ in range(8):
        world.now_ns += ID_MEMORY_NS // 4
        world.main.fire_timers()

    figures = world.main.figures
    assert (figures["window_ids"], figures["limiter_entries"]) == (0, 0)


def test_an_idle_main_wakes_for_its_watch_alone(world: World) -> None:
    """Twice a minute, and not once a second, until its views expire."""
    world.main.fire_timers()
    wakings: list[int] = []
    while world.now_ns < NOW_NS + 240 * SECOND_NS:
        next_ns = world.main.instance.next_timer_ns
        assert next_ns is not None
        world.now_ns = next_ns
        world.main.fire_timers()
        wakings.append(next_ns)

    assert len(wakings) <= 240 // WATCH_PERIOD_S + 1


def test_an_auditor_reads_the_whole_log(world: World) -> None:
    """As an admin, by queries, from the very beginning."""
    start = {"epoch": 0, "seq": 0}
    batch = world.main.query(ADMIN, "log_since", start, b"", 10**6)["Batch"]

    seqs = [record["seq"] for record in batch["records"]]
    assert seqs == list(range(1, world.main.status["as_of"]["seq"] + 1))
    assert world.main.query(ADA, "log_since", start, b"", 10**6) == {"NotAttached": None}
    ahead = {"epoch": 1, "seq": 10**6}
    behind = world.main.query(ADMIN, "log_since", ahead, bytes(32), 10**6)
    assert behind == {"Behind": world.main.status["as_of"]}
    present = world.main.status["as_of"]
    diverged = world.main.query(ADMIN, "log_since", present, bytes(32), 10**6)
    assert diverged == {"Diverged": present}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arg=st.binary(max_size=60))
def test_bad_candid_is_a_trap_and_changes_nothing(world: World, arg: bytes) -> None:
    """Whatever the bytes; one canister meets them all."""
    as_of = world.main.status["as_of"]

    outcome = world.main.execute(Update("submit", b"DIDL" + arg), ADA)

    assert outcome.trap is not None
    assert world.main.status["as_of"] == as_of
