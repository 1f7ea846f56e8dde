"""A simulated fleet whose failures a test scripts, and a run of a real ``Fleet`` on it."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any

from icfleet_agent import AgentError
from icfleet_protocol.principal import Principal
from icfleet_router import Fleet, FleetConfig, Receipt, Session
from icfleet_router.testing import Faults, SimulatedFleet, VirtualClock, run_in_virtual_time
from icfleet_router.testing.simulated_fleet import SimulatedReply

__all__ = ["ADA", "ADD", "ScriptedFleet", "now_s", "player", "run_fleet", "submit_many"]

ADA = Principal(b"\x01\x01")
ADD: Mapping[str, object] = {"Add": {"amount": 1}}


class ScriptedFleet(SimulatedFleet):
    """Ends updates, or queries of some canisters, as the test says."""

    def __init__(self, *, faults: Faults | None = None) -> None:
        super().__init__(Random(1), faults=faults)
        self.sizes: list[int] = []
        self.end_update: Callable[[list[Principal]], AgentError | None] = lambda _: None
        self.failing: dict[str, AgentError] = {}
        self.is_lying = False

    async def update(
        self,
        canister: Principal,
        method: str,
        arg: bytes,
        *,
        timeout_s: float | None,
        retries: bool,
    ) -> SimulatedReply:
        """Fail as scripted, else go on."""
        batch: Any = self.interface.decode_args(method, arg)[0]
        subjects = [operation["subject"] for operation in batch["ops"]]
        self.sizes.append(len(subjects))
        error = self.end_update(subjects)
        if error is not None:
            raise error
        return await super().update(canister, method, arg, timeout_s=timeout_s, retries=retries)

    async def query(
        self,
        canister: Principal,
        method: str,
        arg: bytes,
        *,
        timeout_s: float | None,
        retries: bool,
    ) -> bytes:
        """Fail as scripted, else go on."""
        name = next(one.name for one in self.canisters if one.canister == canister)
        if name in self.failing:
            self.calls_count += 1
            raise self.failing[name]
        if method == "status" and self.is_lying:
            return self.interface.encode_results(method, (self._lie(name),))
        return await super().query(canister, method, arg, timeout_s=timeout_s, retries=retries)

    def _lie(self, name: str) -> Mapping[str, object]:
        return {
            "role": {"Main" if name == "main" else "Replica": None},
            "phase": {"Serving": None},
            "fenced": None,
            "as_of": {"epoch": 9, "seq": 0},
            "chain_hash": b"",
            "main": None,
            "pull_error": None,
        }


def run_fleet(
    body: Callable[[Fleet, ScriptedFleet], Coroutine[Any, Any, None]],
    *,
    config: FleetConfig | None = None,
    faults: Faults | None = None,
) -> ScriptedFleet:
    world = ScriptedFleet(faults=faults)

    async def main() -> None:
        async with Fleet(
            world.canisters,
            world.interface,
            agent=world,
            config=config or FleetConfig(),
            clock=VirtualClock(),
            random=Random(2),
        ) as fleet:
            await body(fleet, world)

    run_in_virtual_time(main, Random(3))
    assert world.is_closed
    assert world.violations == []
    return world


async def submit_many(session: Session, count: int) -> list[Receipt | BaseException]:
    return await asyncio.gather(
        *(session.submit(ADD, subject=player(number)) for number in range(count)),
        return_exceptions=True,
    )


def player(number: int) -> Principal:
    return Principal(number.to_bytes(2, "big") + b"\x07")


def now_s() -> float:
    return asyncio.get_running_loop().time()
