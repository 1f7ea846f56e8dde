"""The canisters that every test of a whole fleet runs on: the game, and a new project's counter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from running_fleet import copy_project

from icfleet import Canister
from icfleet.build import build
from icfleet.new import make_project
from icfleet.testing_fleet import RunningFleet
from icfleet_agent import ManagementCanister
from icfleet_protocol.principal import Principal

__all__ = ["FLEET_KINDS", "FleetKind", "Members"]

NO_ARGS = b"DIDL\x00\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetKind:
    """One of the canisters, as far as a test of any fleet must know it."""

    name: str
    make: Callable[[Path], Path]
    """Makes a project in an empty folder; returns the folder of dfx.json."""
    write: Mapping[str, object]
    """An operation that a gateway may send for anybody, once."""
    forbidden: Mapping[str, object]
    """One that it may not send for somebody who has written nothing yet."""
    refused: Mapping[str, object]
    """One that the rules refuse after the first."""
    refusal: str
    read: str
    """A query that takes a principal, and shows who has written."""
    view: str


def _make_tally(folder: Path) -> Path:
    return make_project("tally", folder).folder


FLEET_KINDS = (
    FleetKind(
        name="game",
        make=copy_project,
        write={"CreatePlayer": {"name": "Ada"}},
        forbidden={"OpenDeposit": {"amount": 1, "term_s": 1}},
        refused={"CreatePlayer": {"name": "Ada again"}},
        refusal="PlayerExists",
        read="player",
        view="leaderboard",
    ),
    FleetKind(
        name="tally",
        make=_make_tally,
        write={"Add": {"amount": 7}},
        forbidden={"Reset": None},
        refused={"Add": {"amount": 2**64 - 1}},
        refusal="TooLarge",
        read="value",
        view="total",
    ),
)


class Members:
    """A running fleet's canisters, called one by one as their admin."""

    def __init__(self, fleet: RunningFleet, kind: FleetKind) -> None:
        self.fleet = fleet
        self.kind = kind
        self.did = (fleet.site.project.root / f"canisters/{kind.name}/{kind.name}.did").read_text()

    def update(self, name: str, method: str, *args: object) -> Any:
        """Call an update method."""
        return self.fleet.localnet.call(
            lambda agent: Canister(agent, self.fleet.ids[name], self.did).update(method, *args),
            self.fleet.admin,
        )

    def query(self, name: str, method: str, *args: object) -> Any:
        """Call a query method."""
        return self.fleet.localnet.call(
            lambda agent: Canister(agent, self.fleet.ids[name], self.did).query(method, *args),
            self.fleet.admin,
        )

    def do(self, name: str, method: str, *args: object) -> None:
        """Call an admin's method, which must be done."""
        answer = self.update(name, method, *args)
        assert "Done" in answer, (name, method, answer)

    def upgrade(self, name: str) -> None:
        """Install the same code over the stable memory."""
        localnet = self.fleet.localnet
        folder = self.fleet.site.project.root / "canisters" / self.kind.name
        wasm = build(folder / "main.py", [folder.parent]).wasm
        localnet.call(
            lambda agent: ManagementCanister(agent).install(
                self.id(name), wasm, NO_ARGS, mode="upgrade"
            ),
            self.fleet.admin,
        )

    def status(self, name: str) -> Mapping[str, Any]:
        """What an admin sees."""
        status: Mapping[str, Any] = self.query(name, "status")
        return status

    def place(self, name: str) -> tuple[int, int, bytes]:
        """Where a canister's log ends."""
        status = self.status(name)
        return status["as_of"]["epoch"], status["as_of"]["seq"], status["chain_hash"]

    def id(self, name: str) -> Principal:
        """A canister's principal."""
        return Principal.from_text(self.fleet.ids[name])

    def level(self, *names: str) -> None:
        """Let time pass until these stand at one place, and answer."""
        for _ in range(60):
            serving = all(self.status(name)["phase"] == {"Serving": None} for name in names)
            if serving and len({self.place(name) for name in names}) == 1:
                return
            self.fleet.localnet.clock.advance(1)
        raise AssertionError({name: self.status(name) for name in names})
