"""The game as it is installed: under Kybra's own package, on the native host, by Candid bytes.

Here the wiring is met: conversions, guards, inspect_message, timers, calls between canisters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icfleet.build import build
from icfleet_canister.id_window import ID_MEMORY_NS
from icfleet_localnet.bundle import Module, read_module
from icfleet_localnet.executor import (
    CanisterInstance,
    Environment,
    Inspect,
    Message,
    Outcome,
    OutgoingCall,
    Query,
    Response,
    TimerFired,
    Update,
)
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_protocol.candid import ServiceInterface, encode, parse_did
from icfleet_protocol.principal import ANONYMOUS, Principal

CANISTERS = Path(__file__).parent.parent.parent / "canisters"
SECOND_NS = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND_NS

ADMIN, MAIN = Principal(b"admin\x01"), Principal(b"main\x01")
REPLICA, LEAF = Principal(b"replica\x01"), Principal(b"leaf\x01")
GATEWAY, ADA, BOB = Principal(b"gateway\x01"), Principal(b"ada\x01"), Principal(b"bob\x01")


@pytest.fixture(scope="module")
def module() -> Module:
    """The game, built as ``icfleet build`` does."""
    return read_module(build(CANISTERS / "game" / "main.py", [CANISTERS]).wasm)


class Canister:
    """One installed canister, driven message by message."""

    def __init__(
        self, executor: InProcessExecutor, module: Module, name: Principal, role: str, world: World
    ) -> None:
        self.name = name
        self.world = world
        self.interface: ServiceInterface = parse_did(module.did)
        self._executor = executor
        self._module = module
        arg = world.encode_init({role: None})
        installed = executor.install(module, arg, self._environment(ADMIN))
        assert installed.instance is not None, installed.outcome.trap
        self.instance: CanisterInstance = installed.instance

    def update(self, caller: Principal, method: str, *args: object) -> Any:
        """Call an update method; it must reply."""
        outcome = self.execute(Update(method, self.interface.encode_args(method, args)), caller)
        assert outcome.reply is not None, (outcome.trap, outcome.reject)
        results = self.interface.decode_results(method, outcome.reply)
        return results[0] if results else None

    def query(self, caller: Principal, method: str, *args: object) -> Any:
        """Call a query method; it must reply."""
        outcome = self.execute(Query(method, self.interface.encode_args(method, args)), caller)
        assert outcome.reply is not None, (outcome.trap, outcome.reject)
        return self.interface.decode_results(method, outcome.reply)[0]

    def admits(self, caller: Principal, method: str, arg: bytes = b"DIDL\x00\x00") -> bool:
        """Ask inspect_message."""
        return self.execute(Inspect(method, arg), caller).is_accepted

    def execute(self, message: Message, caller: Principal) -> Outcome:
        """Run one message."""
        return self.instance.execute(message, self._environment(caller))

    def upgrade(self) -> None:
        """Install the same code again, over the stable memory."""
        installed = self._executor.upgrade(
            self.instance, self._module, b"DIDL\x00\x00", self._environment(ADMIN)
        )
        assert installed.instance is not None, installed.outcome.trap
        self.instance = installed.instance

    def fire_timers(self) -> list[OutgoingCall]:
        """Run every timer that is due; return the calls that were made."""
        calls: list[OutgoingCall] = []
        for timer in self.instance.take_due_timers(self.world.now_ns):
            outcome = self.execute(TimerFired(timer), self.name)
            assert outcome.trap is None, outcome.trap
            calls.extend(outcome.calls)
        return calls

    @property
    def status(self) -> Mapping[str, Any]:
        """What an admin sees."""
        status: Mapping[str, Any] = self.query(ADMIN, "status")
        return status

    @property
    def figures(self) -> dict[str, int]:
        """The figures of ``status``."""
        return {figure["name"]: figure["value"] for figure in self.status["figures"]}

    def _environment(self, caller: Principal) -> Environment:
        return Environment(
            canister=self.name, caller=caller, time_ns=self.world.now_ns, cycles=10**12
        )


class World:
    """A main, a replica, and a clock."""

    def __init__(self, executor: InProcessExecutor, module: Module) -> None:
        self.now_ns = NOW_NS
        self._number = 0
        self._module = module
        self._executor = executor
        self._interface = parse_did(module.did)
        self.main = self.install(MAIN, "Main")
        self.replica = self.install(REPLICA, "Replica")

    def install(self, name: Principal, role: str) -> Canister:
        """Install another canister."""
        return Canister(self._executor, self._module, name, role, self)

    def encode_init(self, role: object) -> bytes:
        """The argument of ``init``."""
        interface = self._interface
        return encode(interface.init_args, [role], environment=interface.environment)

    def join(self) -> None:
        """Attach the replica and tell it whom to follow."""
        assert "Done" in self.main.update(ADMIN, "attach", REPLICA)
        assert "Done" in self.replica.update(ADMIN, "follow", MAIN)

    def operation(
        self, subject: Principal, body: Mapping[str, object], number: int | None = None
    ) -> dict[str, object]:
        """One operation, under a fresh id unless told otherwise."""
        self._number += 1
        return {
            "id": (number or self._number).to_bytes(16, "big"),
            "subject": subject,
            "created_at": self.now_ns,
            "body": body,
        }

    def submit(self, caller: Principal, *operations: Mapping[str, object]) -> list[Any]:
        """Send a batch to main; return the results."""
        reply = self.main.update(caller, "submit", {"ops": list(operations)})
        return list(reply["Done"]["results"])

    def do(self, caller: Principal, subject: Principal, body: Mapping[str, object]) -> Any:
        """Send one operation."""
        return self.submit(caller, self.operation(subject, body))[0]

    def populate(self) -> None:
        """Roles, two players with money, a price."""
        scope = {"operations": ["CreatePlayer", "Transfer", "RecordScore"], "all_players": True}
        assert "Done" in self.main.update(ADMIN, "grant_gateway", GATEWAY, scope)
        for role in ("treasury", "oracle"):
            assert "Done" in self.main.update(ADMIN, "grant_role", ADMIN, role)
        for player, name in ((ADA, "Ada"), (BOB, "Bob")):
            assert "Applied" in self.do(player, player, {"CreatePlayer": {"name": name}})
            credit = {"Credit": {"account": str(player), "amount": 1_000}}
            assert "Applied" in self.do(ADMIN, player, credit)
        assert "Applied" in self.do(ADMIN, ADMIN, {"SetPrice": {"symbol": "GOLD", "price": 10}})

    def run(self, seconds: int, canister: Canister | None = None) -> None:
        """Let time pass, second by second; carry the replica's calls to main and back."""
        replica = canister or self.replica
        for _ in range(seconds):
            self.now_ns += SECOND_NS
            self.main.fire_timers()
            for call in replica.fire_timers():
                self.deliver(replica, call)

    def deliver(self, caller: Canister, call: OutgoingCall) -> None:
        """Execute a call on main, and answer it."""
        assert call.callee == MAIN
        outcome = self.main.execute(Update(call.method, call.arg), caller.name)
        if call.continuation is None:
            return
        response = Response(call.continuation, outcome.reply)
        if outcome.reply is None:
            response = Response(call.continuation, None, 5, str(outcome.trap))
        after = caller.execute(response, caller.name)
        assert after.trap is None, after.trap
        for following in after.calls:
            self.deliver(caller, following)


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
        ("grant_gateway", [BOB, scope]),
        ("revoke_gateway", [GATEWAY]),
        ("grant_role", [BOB, "admin"]),
        ("revoke_role", [ADMIN, "admin"]),
    ]

    for method, args in calls:
        reason = f"{method} needs the role admin"
        assert world.main.update(ADA, method, *args) == {"Forbidden": reason}
    assert world.main.update(ADMIN, "grant_role", BOB, "king") == {
        "Invalid": "no role 'king': admin, treasury, oracle"
    }


def test_a_replica_pulls_and_shows_what_main_shows(world: World) -> None:
    """By its own timers; then both are equal, rows and hashes."""
    world.do(GATEWAY, ADA, {"RecordScore": {"score": 5}})

    world.run(seconds=2)

    ours, theirs = world.main.status, world.replica.status
    assert theirs["as_of"] == ours["as_of"]
    assert theirs["chain_hash"] == ours["chain_hash"]
    assert (theirs["main"], theirs["upstream"], theirs["pull_error"]) == (MAIN, MAIN, None)
    assert theirs["pulled_at"] > NOW_NS
    assert theirs["role"] == {"Replica": None}
    for method, args in (("leaderboard", [10]), ("market", [])):
        ours = world.main.query(ADA, method, *args)
        theirs = world.replica.query(ADA, method, *args)
        assert {**theirs, "computed_at": 0} == {**ours, "computed_at": 0}
    assert world.replica.query(GATEWAY, "player", ADA) == world.main.query(GATEWAY, "player", ADA)
    assert world.replica.query(ADMIN, "accounts", 0) == world.main.query(ADMIN, "accounts", 0)


def test_main_learns_how_far_a_replica_is(world: World) -> None:
    """By a one-way message, since a query keeps nothing."""
    world.run(seconds=2)

    (replica,) = world.main.status["replicas"]
    assert replica["id"] == REPLICA
    assert replica["seen"] == world.main.status["as_of"]
    assert replica["seen_at"] == world.now_ns - SECOND_NS or replica["seen_at"] == world.now_ns


def test_a_replica_names_its_main_and_decides_nothing(world: World) -> None:
    """Before it has pulled it does not know any."""
    operation = world.operation(ADA, {"RecordScore": {"score": 1}})
    early = world.replica.update(GATEWAY, "submit", {"ops": [operation]})

    world.run(seconds=2)

    assert early == {"NotMain": None}
    reply = world.replica.update(GATEWAY, "submit", {"ops": [operation]})
    assert reply == {"NotMain": MAIN}
    assert world.replica.update(ADMIN, "grant_role", BOB, "admin") == {
        "Invalid": "roles are given on the main"
    }


def test_a_replica_that_is_not_attached_says_so(world: World) -> None:
    """And catches up when it is attached again."""
    world.main.update(ADMIN, "detach", REPLICA)
    world.run(seconds=1)
    assert world.replica.status["pull_error"] == "not attached at the upstream"

    world.main.update(ADMIN, "attach", REPLICA)
    world.run(seconds=6)

    assert world.replica.status["pull_error"] is None
    assert world.replica.status["as_of"] == world.main.status["as_of"]


def test_a_rejected_pull_is_tried_again(world: World) -> None:
    """The reason is in ``status`` meanwhile."""
    world.now_ns += SECOND_NS
    (call,) = world.replica.fire_timers()
    assert call.continuation is not None

    outcome = world.replica.execute(
        Response(call.continuation, None, 2, "canister is stopping"), REPLICA
    )

    assert outcome.trap is None
    assert "canister is stopping" in world.replica.status["pull_error"]
    world.run(seconds=2)
    assert world.replica.status["as_of"] == world.main.status["as_of"]


def test_a_lost_answer_delays_the_next_pull_but_does_not_prevent_it(world: World) -> None:
    """The lease runs out; nothing waits for a flag."""
    world.now_ns += SECOND_NS
    assert len(world.replica.fire_timers()) == 1

    world.run(seconds=50)
    assert world.replica.status["as_of"]["seq"] == 0
    world.run(seconds=15)

    assert world.replica.status["as_of"] == world.main.status["as_of"]


def test_another_history_is_reported_and_never_applied(world: World) -> None:
    """A main that was reinstalled is another main, whatever its name."""
    world.run(seconds=2)
    before = world.replica.status["as_of"]
    world.main = world.install(MAIN, "Main")
    world.join()
    world.run(seconds=3)

    assert world.replica.status["as_of"] == before
    assert world.replica.status["pull_error"] == "diverged from the upstream, which is at 1/3"


def test_a_replica_may_feed_another(world: World) -> None:
    """It answers pulls from the log it has."""
    world.run(seconds=2)
    leaf = world.install(LEAF, "Replica")
    assert "Done" in world.replica.update(ADMIN, "attach", LEAF)
    assert "Done" in leaf.update(ADMIN, "follow", REPLICA)

    (call,) = leaf.fire_timers()
    assert (call.callee, call.method) == (REPLICA, "log_since")
    assert call.continuation is not None
    answer = world.replica.execute(Update(call.method, call.arg), LEAF)
    leaf.execute(Response(call.continuation, answer.reply), LEAF)

    assert leaf.status["as_of"] == world.main.status["as_of"]
    assert leaf.status["chain_hash"] == world.main.status["chain_hash"]
    assert leaf.status["main"] == MAIN


def test_an_upgrade_loses_nothing(world: World) -> None:
    """The heap comes back by timers; until then operations are told to wait."""
    transfer = world.operation(ADA, {"Transfer": {"target": BOB, "amount": 300}})
    first = world.submit(ADA, transfer)
    world.do(GATEWAY, ADA, {"RecordScore": {"score": 5}})
    before = world.main.status

    world.main.upgrade()

    assert world.main.figures["rebuilding"] == 1
    assert world.main.query(ADA, "leaderboard", 9)["computed_at"] == 0
    assert world.main.query(ADA, "cached_query", "leaderboard") is None
    assert world.submit(ADA, transfer) == [{"Busy": SECOND_NS}]
    world.main.fire_timers()
    assert world.main.figures["rebuilding"] == 0
    assert world.submit(ADA, transfer) == first
    assert world.main.status["as_of"] == before["as_of"]
    assert world.main.query(ADA, "leaderboard", 9)["entries"][0]["score"] == 5
    figures = world.main.figures
    assert figures["accounts_total"] == figures["credits"] - figures["debits"]


def test_a_replica_goes_on_pulling_after_an_upgrade(world: World) -> None:
    """Its timers are set anew."""
    world.run(seconds=2)
    world.replica.upgrade()
    world.do(GATEWAY, ADA, {"RecordScore": {"score": 5}})

    world.run(seconds=3)

    assert world.replica.status["as_of"] == world.main.status["as_of"]
    assert world.replica.query(ADA, "leaderboard", 9)["entries"][0]["score"] == 5


def test_memory_is_swept_by_timers(world: World) -> None:
    """Half an hour later there is nothing left to remember."""
    world.do(GATEWAY, ADA, {"RecordScore": {"score": 5}})
    assert world.main.figures["window_ids"] > 0

    for _ in range(8):
        world.now_ns += ID_MEMORY_NS // 4
        world.main.fire_timers()

    figures = world.main.figures
    assert (figures["window_ids"], figures["limiter_entries"]) == (0, 0)


def test_an_idle_main_sleeps_until_its_views_expire(world: World) -> None:
    """One wake-up in five minutes, and not one a second."""
    world.main.fire_timers()
    assert world.main.instance.next_timer_ns is not None
    assert world.main.instance.next_timer_ns - world.now_ns >= 300 * SECOND_NS


def test_an_auditor_reads_the_whole_log(world: World) -> None:
    """As an admin, by queries, from the very beginning."""
    start = {"epoch": 0, "seq": 0}
    batch = world.main.query(ADMIN, "log_since", start, b"", 10**6)["Batch"]

    seqs = [record["seq"] for record in batch["records"]]
    assert seqs == list(range(1, world.main.status["as_of"]["seq"] + 1))
    assert world.main.query(ADA, "log_since", start, b"", 10**6) == {"NotAttached": None}
    ahead = {"epoch": 1, "seq": 10**6}
    diverged = world.main.query(ADMIN, "log_since", ahead, bytes(32), 10**6)
    assert diverged == {"Diverged": world.main.status["as_of"]}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arg=st.binary(max_size=60))
def test_bad_candid_is_a_trap_and_changes_nothing(world: World, arg: bytes) -> None:
    """Whatever the bytes; one canister meets them all."""
    as_of = world.main.status["as_of"]

    outcome = world.main.execute(Update("submit", b"DIDL" + arg), ADA)

    assert outcome.trap is not None
    assert world.main.status["as_of"] == as_of
