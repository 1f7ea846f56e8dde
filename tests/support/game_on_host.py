"""The game on the native host: canisters driven message by message, by Candid bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icfleet_localnet.bundle import Module
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
from icfleet_protocol.principal import Principal

__all__ = [
    "ADA",
    "ADMIN",
    "BOB",
    "CANISTERS",
    "GATEWAY",
    "LEAF",
    "MAIN",
    "NOW_NS",
    "REPLICA",
    "SECOND_NS",
    "Canister",
    "World",
]

CANISTERS = Path(__file__).parent.parent.parent / "canisters"
SECOND_NS = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND_NS

ADMIN, MAIN = Principal(b"admin\x01"), Principal(b"main\x01")
REPLICA, LEAF = Principal(b"replica\x01"), Principal(b"leaf\x01")
GATEWAY, ADA, BOB = Principal(b"gateway\x01"), Principal(b"ada\x01"), Principal(b"bob\x01")


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
        assert "Done" in self.main.update(ADMIN, "promote", 0, 1)
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
