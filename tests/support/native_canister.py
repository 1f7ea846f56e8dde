"""Canisters run by an executor alone: no network, no queue, one message at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any, Self

from icfleet_localnet.bundle import Module, read_module, write_module
from icfleet_localnet.executor import (
    CanisterInstance,
    Environment,
    Executor,
    Heartbeat,
    Inspect,
    Installed,
    Message,
    Outcome,
    Query,
    Response,
    TimerFired,
    Trap,
    Update,
)
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_protocol.candid import CandidType, decode, encode
from icfleet_protocol.candid.types import principal, text
from icfleet_protocol.principal import Principal

CANISTER = Principal(bytes.fromhex("00000000000000010101"))
OTHER = Principal(bytes.fromhex("00000000000000020101"))
ADA = Principal.self_authenticating(b"ada")
START_NS = 1_700_000_000 * 1_000_000_000
S = 1_000_000_000
NO_ARGS = encode((), ())


_shared = InProcessExecutor()
"""Reads each source once; tests that draw random numbers bring their own."""


class TrappedError(Exception):
    """The message trapped."""

    def __init__(self, trap: Trap) -> None:
        super().__init__(trap.message)
        self.trap = trap


class RefusedError(Exception):
    """The canister rejected the call."""


def bundle(source: str | Mapping[str, str], entry: str = "main") -> Module:
    """Make a module of one file, or of several by path."""
    files = {f"{entry}.py": source} if isinstance(source, str) else source
    encoded = {path: dedent(content).lstrip("\n").encode() for path, content in files.items()}
    return read_module(write_module(entry, encoded, ""))


@dataclass
class NativeCanister:
    """One installed canister, called by name with Python values of the codec."""

    executor: Executor
    instance: CanisterInstance
    installed: Outcome
    id: Principal = CANISTER
    now_ns: int = START_NS
    cycles: int = 10**12
    prints: list[str] = field(default_factory=list[str])

    @classmethod
    def install(
        cls,
        source: str | Mapping[str, str],
        *init: tuple[CandidType, Any],
        executor: Executor | None = None,
        canister: Principal = CANISTER,
    ) -> Self:
        """Install a source; arguments of ``init`` are pairs of type and value."""
        chosen = executor or _shared
        result = install(chosen, bundle(source), *init, canister=canister)
        if result.outcome.trap is not None:
            raise TrappedError(result.outcome.trap)
        assert result.instance is not None
        return cls(chosen, result.instance, result.outcome, canister)

    def upgrade(self, source: str | Mapping[str, str], *args: tuple[CandidType, Any]) -> Outcome:
        """Upgrade to a source; the canister goes on with the old code when that traps."""
        arg = encode([kind for kind, _ in args], [value for _, value in args])
        result = self.executor.upgrade(self.instance, bundle(source), arg, self.environment())
        if result.instance is not None:
            self.instance = result.instance
        return result.outcome

    def environment(self, caller: Principal = ADA, **changes: Any) -> Environment:
        settings: dict[str, Any] = {
            "canister": self.id,
            "caller": caller,
            "time_ns": self.now_ns,
            "cycles": self.cycles,
            **changes,
        }
        return Environment(**settings)

    def execute(self, message: Message, **environment: Any) -> Outcome:
        """Execute one message, and keep what it printed."""
        outcome = self.instance.execute(message, self.environment(**environment))
        self.prints += outcome.prints
        return outcome

    def update(self, method: str, *args: Any, **environment: Any) -> Any:
        """Call an update method, or a query in replicated mode, and return the reply's value."""
        return self.value(method, self.execute(self.update_message(method, *args), **environment))

    def query(self, method: str, *args: Any, **environment: Any) -> Any:
        """Call a query method and return the reply's value."""
        message = Query(method, self.encode(method, *args))
        return self.value(method, self.execute(message, **environment))

    def trap_of(self, method: str, *args: Any, **environment: Any) -> Trap:
        """Call an update method that must trap."""
        trap = self.execute(self.update_message(method, *args), **environment).trap
        assert trap is not None, f"{method} did not trap"
        return trap

    def answer(self, outcome: Outcome, *reply: tuple[CandidType, Any]) -> Outcome:
        """Answer the call that a message made and waits for."""
        encoded = encode([kind for kind, _ in reply], [value for _, value in reply])
        return self.execute(Response(_continuation(outcome), encoded))

    def refuse(self, outcome: Outcome, code: int, message: str) -> Outcome:
        """Reject the call that a message made and waits for."""
        return self.execute(Response(_continuation(outcome), None, code, message))

    def inspect(self, method: str, arg: bytes = NO_ARGS) -> Outcome:
        return self.execute(Inspect(method, arg))

    def beat(self) -> Outcome:
        return self.execute(Heartbeat())

    def pass_time(self, seconds: int) -> list[Outcome]:
        """Let time pass, and fire the timers that are due then."""
        self.now_ns += seconds * S
        due = self.instance.take_due_timers(self.now_ns)
        return [self.execute(TimerFired(timer), caller=self.id) for timer in due]

    def update_message(self, method: str, *args: Any) -> Update:
        return Update(method, self.encode(method, *args))

    def encode(self, method: str, *args: Any) -> bytes:
        service = self.instance.interface.service
        declared = service.methods.get(method)
        types = declared.args if declared else [_guess(value) for value in args]
        return encode(types, args, environment=service.environment)

    def value(self, method: str, outcome: Outcome) -> Any:
        """Return what a message replied."""
        if outcome.trap is not None:
            raise TrappedError(outcome.trap)
        if outcome.reject is not None:
            raise RefusedError(outcome.reject)
        assert outcome.reply is not None, f"{method} gave no answer"
        service = self.instance.interface.service
        results = service.methods[method].results
        values = decode(outcome.reply, results, environment=service.environment)
        return values[0] if values else None


def install(
    executor: Executor,
    module: Module,
    *init: tuple[CandidType, Any],
    canister: Principal = CANISTER,
) -> Installed:
    """Install a module, whatever comes of it."""
    arg = encode([kind for kind, _ in init], [value for _, value in init])
    environment = Environment(canister=canister, caller=ADA, time_ns=START_NS, cycles=10**12)
    return executor.install(module, arg, environment)


def _continuation(outcome: Outcome) -> int:
    (waiting,) = [call.continuation for call in outcome.calls if call.continuation is not None]
    return waiting


def _guess(value: object) -> CandidType:
    return principal if isinstance(value, Principal) else text
