"""Runs canisters in this process: fast, with breakpoints, and undone exactly on a trap.

All canisters of a process take turns. An endless loop ends at its instruction limit; one inside a
C function, as in ``sum(range(10**12))``, holds up the process (see ``metering``).
"""

from collections.abc import Sequence
from pathlib import Path

from icfleet_localnet.bundle import Module
from icfleet_localnet.executor import (
    CanisterInstance,
    Environment,
    Installed,
    Outcome,
    Trap,
)
from icfleet_localnet.kybra_host.installation import install_canister, upgrade_canister
from icfleet_localnet.kybra_host.instance import KybraInstance
from icfleet_localnet.kybra_host.preparation import Preparation

__all__ = ["InProcessExecutor"]


class InProcessExecutor:
    """Implements ``Executor``.

    Args:
        seed: Decides all random numbers of all canisters.
        source_roots: Folders in which bundled files may lie; a file whose content is the
            bundle's is debugged under its own path.
    """

    def __init__(self, *, seed: int = 0, source_roots: Sequence[Path] = ()) -> None:
        self._preparation = Preparation(seed=seed, source_roots=source_roots)

    def install(self, module: Module, arg: bytes, environment: Environment) -> Installed:
        """Start from empty memory and run ``init``."""
        prepared = self._preparation.prepare(module, environment.canister)
        if isinstance(prepared, Trap):
            return Installed(None, Outcome(trap=prepared))
        instance, outcome = install_canister(prepared, arg, environment)
        return Installed(instance if outcome.trap is None else None, outcome)

    def upgrade(
        self, instance: CanisterInstance, module: Module, arg: bytes, environment: Environment
    ) -> Installed:
        """Run ``pre_upgrade``, load fresh code over the stable memory, run ``post_upgrade``.

        Atomic: when any step traps, ``instance`` goes on as if nothing had happened.
        """
        assert isinstance(instance, KybraInstance), "an executor upgrades its own instances"
        prepared = self._preparation.prepare(module, environment.canister)
        if isinstance(prepared, Trap):
            return Installed(None, Outcome(trap=prepared))
        new, outcome = upgrade_canister(instance, prepared, arg, environment)
        return Installed(new if outcome.trap is None else None, outcome)

    def close(self) -> None:
        """Do nothing: there are no processes to end."""
