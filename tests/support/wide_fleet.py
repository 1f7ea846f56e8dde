"""Fleets of any width over the subnets of a test's network, joined by hand: no project files."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from icfleet import Ed25519Identity
from icfleet.build import BuildResult, build
from icfleet.search_path import search_path_of
from icfleet.testing import CONTROLLER, Localnet
from icfleet_agent import Agent, Canister, ManagementCanister
from icfleet_localnet.fault_rules import HaltSubnet, ResumeSubnet
from icfleet_protocol.candid import encode, parse_did
from icfleet_protocol.principal import Principal
from icfleet_router import Fleet, FleetCanister, FleetConfig, Role
from icfleet_router.heads import VerifiedHead, verified_head

__all__ = ["COUNTER", "GAME", "Place", "Source", "WideFleet"]

ROOT = Path(__file__).parents[2]
NO_ARGS = b"DIDL\x00\x00"
PAGE_SIZE_MAX = 200_000
SECONDS_MAX = 90
STEP_TURNS = 5
"""Turns of the network's event loop: a round or two."""
STEPS_MAX = 200

Place = tuple[int, int, bytes]
"""Epoch, seq and chain hash."""


@dataclass(frozen=True, slots=True)
class Source:
    """A canister's source, and what its gateway may do."""

    folder: Path
    operations: tuple[str, ...]
    roles: tuple[str, ...]
    all_players: bool = False


GAME = Source(
    ROOT / "canisters/game",
    ("CreatePlayer", "Transfer", "OpenDeposit", "CloseDeposit", "Buy", "Sell", "RecordScore"),
    ("treasury", "oracle"),
)
COUNTER = Source(ROOT / "examples/counter", ("Add",), (), all_players=True)
"""The counter: the smallest canister that joins a fleet."""


@cache
def built(source: Source) -> BuildResult:
    """Build a source once in a test run."""
    entry = source.folder / "main.py"
    root = ROOT if entry.is_relative_to(ROOT) else source.folder
    return build(entry, search_path_of(root, entry))


class WideFleet:
    """A main and its replicas, going round the network's subnets; ``CONTROLLER`` is the admin.

    Args:
        localnet: Where to install it.
        source: What to install.
        replicas_count: How many follow.
        upstreams: Who follows another than main.
    """

    def __init__(
        self,
        localnet: Localnet,
        source: Source = GAME,
        *,
        replicas_count: int,
        upstreams: Mapping[str, str] | None = None,
    ) -> None:
        self.localnet = localnet
        self.source = source
        self.did = built(source).did
        self.interface = parse_did(self.did)
        self.gateway = Ed25519Identity.generate()
        self.upstreams = dict(upstreams or {})
        self.ids: dict[str, Principal] = {}
        names = ["main", *(f"r{number}" for number in range(1, replicas_count + 1))]
        for name in names:
            self.install(name)
        self.open_main()
        for name in names[1:]:
            self.join(name, self.upstreams.get(name, "main"))
        self.level()

    # Canisters.

    @property
    def names(self) -> Sequence[str]:
        """All, main first."""
        return tuple(self.ids)

    def install(self, name: str) -> None:
        """Create and install one more canister, on the next subnet."""
        subnets = self.localnet.server.network.applications
        near = subnets[len(self.ids) % len(subnets)].plan.first_canister
        self.ids[name] = self.manage(lambda one: one.create(effective_canister=near))
        self.put_code(name, "install")

    def put_code(self, name: str, mode: Literal["install", "reinstall", "upgrade"]) -> None:
        """Install the code."""
        role = {"Main": None} if name == "main" else {"Replica": None}
        arg = encode(self.interface.init_args, [role], environment=self.interface.environment)
        arg = NO_ARGS if mode == "upgrade" else arg
        self.manage(
            lambda one: one.install(self.ids[name], built(self.source).wasm, arg, mode=mode)
        )

    def open_main(self) -> None:
        """Open the first epoch, and give the gateway its rights."""
        self.do("main", "promote", 0, 1)
        scope = {"operations": list(self.source.operations), "all_players": self.source.all_players}
        self.do("main", "grant_gateway", self.gateway.sender, scope)
        for role in self.source.roles:
            self.do("main", "grant_role", self.gateway.sender, role)

    def join(self, name: str, upstream: str) -> None:
        """Let a canister follow another."""
        self.do(upstream, "attach", self.ids[name])
        self.do(name, "follow", self.ids[upstream])

    def manage(self, work: Callable[[ManagementCanister], Awaitable[Any]]) -> Any:
        """Do something as the controller of all canisters."""

        async def run(agent: Agent) -> Any:
            return await work(ManagementCanister(agent))

        return self.localnet.call(run, CONTROLLER)

    def stop(self, name: str) -> None:
        """Stop a canister, and wait until it is."""
        self.manage(lambda one: one.stop(self.ids[name]))

    def start(self, name: str) -> None:
        """Start it again."""
        self.manage(lambda one: one.start(self.ids[name]))

    # Subnets and time.

    def halt(self, name: str) -> None:
        """Halt the subnet of a canister."""
        self.localnet.obey(HaltSubnet(self._subnet(name)))

    def resume(self, name: str) -> None:
        """Let it go on."""
        self.localnet.obey(ResumeSubnet(self._subnet(name)))

    def hold_reseeding(self, name: str, phase: str) -> None:
        """Reseed from main, and halt the canister's subnet as soon as it is in this phase.

        It gets on in short steps until then. A subnet that is halted answers queries.
        """
        subnet = self._subnet(name)

        async def step() -> None:
            server = self.localnet.server
            server.obey(ResumeSubnet(subnet))
            for _ in range(STEP_TURNS):
                await asyncio.sleep(0)
            server.obey(HaltSubnet(subnet))

        self.do(name, "reseed", self.ids["main"])
        self.halt(name)
        for _ in range(STEPS_MAX):
            if self.status(name)["phase"] == {phase: None}:
                return
            asyncio.run_coroutine_threadsafe(step(), self.localnet.loop).result()
        raise AssertionError(self.status(name))

    @property
    def now_ns(self) -> int:
        """The network's time."""
        return self.localnet.clock.now_ns()

    def pass_time(self, seconds: float) -> None:
        """Let time pass in an instant."""
        self.localnet.clock.advance(seconds)

    # Calls.

    def update(
        self, name: str, method: str, *args: object, identity: Ed25519Identity = CONTROLLER
    ) -> Any:
        """Call an update method."""
        return self.localnet.call(
            lambda agent: Canister(agent, self.ids[name], self.did).update(method, *args), identity
        )

    def query(
        self, name: str, method: str, *args: object, identity: Ed25519Identity = CONTROLLER
    ) -> Any:
        """Call a query method."""
        return self.localnet.call(
            lambda agent: Canister(agent, self.ids[name], self.did).query(method, *args), identity
        )

    def do(self, name: str, method: str, *args: object) -> None:
        """Call an admin's method, which must be done."""
        answer = self.update(name, method, *args)
        assert "Done" in answer, (name, method, answer)

    def problem(self, name: str, method: str, *args: object) -> str:
        """Call an admin's method, which must be invalid; return the code."""
        answer = self.update(name, method, *args)
        assert "Invalid" in answer, (name, method, answer)
        code: str = answer["Invalid"]["code"]
        return code

    def operation(self, subject: Principal, body: Mapping[str, object]) -> dict[str, object]:
        """Stamp an operation, to be sent once or more."""
        return {
            "id": secrets.token_bytes(16),
            "subject": subject,
            "created_at": self.now_ns,
            "body": body,
        }

    def send(
        self, *operations: Mapping[str, object], identity: Ed25519Identity | None = None
    ) -> list[Any]:
        """Send a batch to main, as the gateway; return its results."""
        who = self.gateway if identity is None else identity
        answer = self.update("main", "submit", {"ops": list(operations)}, identity=who)
        results: list[Any] = answer["Done"]["results"]
        return results

    @asynccontextmanager
    async def open(self, config: FleetConfig | None = None) -> AsyncGenerator[Fleet]:
        """The router's fleet, signed by the gateway, in the test's own event loop."""
        canisters = [
            FleetCanister(name, canister, Role.MAIN if name == "main" else Role.REPLICA)
            for name, canister in self.ids.items()
        ]
        async with (
            self.localnet.agent(self.gateway) as agent,
            Fleet(
                canisters,
                self.interface,
                agent=agent,
                clock=self.localnet.clock,
                config=config or FleetConfig(),
            ) as opened,
        ):
            yield opened

    # What canisters say of themselves.

    def statuses(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """Ask all, or some, side by side."""

        async def run(agent: Agent) -> dict[str, Any]:
            asked = names or self.names
            found = await asyncio.gather(
                *(Canister(agent, self.ids[name], self.did).query("status") for name in asked)
            )
            return dict(zip(asked, found, strict=True))

        return self.localnet.call(run, CONTROLLER)

    def status(self, name: str) -> Any:
        """Ask one."""
        return self.statuses([name])[name]

    def place(self, name: str) -> Place:
        """Where a canister's log ends."""
        return place_of(self.status(name))

    def level(self, *names: str, seconds_max: float = SECONDS_MAX) -> float:
        """Let time pass until all, or these, stand at one place and answer; return how long."""
        began_ns = self.now_ns
        while True:
            found = self.statuses(names)
            serving = all(one["phase"] == {"Serving": None} for one in found.values())
            if serving and len({place_of(one) for one in found.values()}) == 1:
                return (self.now_ns - began_ns) / 1e9
            assert self.now_ns - began_ns <= seconds_max * 1e9, found
            self.pass_time(1)

    def heads(self) -> dict[str, VerifiedHead]:
        """All canisters' heads, each proven by a certificate of its subnet."""

        async def run(agent: Agent) -> dict[str, VerifiedHead]:
            return {
                name: await verified_head(agent, canister, self.interface)
                for name, canister in self.ids.items()
            }

        return self.localnet.call(run, CONTROLLER)

    def rows(self, name: str) -> dict[int, bytes]:
        """All rows of a canister, by its pages."""
        found: dict[int, bytes] = {}
        cursor: object = None
        while True:
            page = self.query(name, "state_page", cursor, PAGE_SIZE_MAX)["Page"]
            found.update((row["slot"], row["value"]) for row in page["rows"])
            cursor = page["next"]
            if cursor is None:
                return found

    def records(self, name: str) -> list[Any]:
        """All records of a canister's log."""
        found: list[Any] = []
        position = {"epoch": 0, "seq": 0}
        while True:
            batch = self.query(name, "log_since", position, b"", PAGE_SIZE_MAX)["Batch"]
            found += batch["records"]
            if not batch["records"] or found[-1]["seq"] == batch["head"]["seq"]:
                return found
            position = {"epoch": batch["head"]["epoch"], "seq": found[-1]["seq"]}

    def figures(self, name: str) -> dict[str, int]:
        """What a canister counts."""
        return {one["name"]: one["value"] for one in self.status(name)["figures"]}

    def _subnet(self, name: str) -> str:
        subnet = self.localnet.server.network.subnet_of(self.ids[name])
        assert subnet is not None, name
        return str(subnet.id)


def place_of(status: Mapping[str, Any]) -> Place:
    """Where the log of a status ends."""
    return status["as_of"]["epoch"], status["as_of"]["seq"], status["chain_hash"]
