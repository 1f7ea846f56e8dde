"""Runs canisters in this process: fast, with breakpoints, and undone exactly on a trap.

All canisters of a process take turns. Code that never returns holds up the process.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from icfleet_localnet.bundle import Module
from icfleet_localnet.errors import LocalnetError
from icfleet_localnet.executor import (
    CanisterInstance,
    Environment,
    Installed,
    Outcome,
    Trap,
)
from icfleet_localnet.kybra_host.frontend import read_bundle_interface
from icfleet_localnet.kybra_host.instance import KybraInstance
from icfleet_localnet.kybra_host.interface import HostInterface
from icfleet_localnet.kybra_host.modules import locate_sources
from icfleet_localnet.kybra_host.stable_memory import StableMemory
from icfleet_protocol.principal import Principal

__all__ = ["InProcessExecutor"]

_INTERFACES_KEPT = 64
"""As many different modules as the largest fleet we test has canisters."""

_INVALID_MODULE = "IC0505"


class InProcessExecutor:
    """Implements ``Executor``.

    Args:
        seed: Decides all random numbers of all canisters.
        source_roots: Folders in which bundled files may lie; a file whose content is the
            bundle's is debugged under its own path.
    """

    def __init__(self, *, seed: int = 0, source_roots: Sequence[Path] = ()) -> None:
        self._seed = seed
        self._source_roots = tuple(source_roots)
        self._installs: Counter[Principal] = Counter()
        self._read: dict[bytes, tuple[HostInterface, Mapping[str, Path]]] = {}

    def install(self, module: Module, arg: bytes, environment: Environment) -> Installed:
        """Start from empty memory and run ``init``."""
        memory = StableMemory()
        instance = self._make(module, memory, environment.canister)
        if isinstance(instance, Trap):
            return Installed(None, Outcome(trap=instance))
        memory.begin()
        outcome = instance.start(instance.interface.init, arg, environment)
        memory.commit()
        return Installed(instance if outcome.trap is None else None, outcome)

    def upgrade(
        self, instance: CanisterInstance, module: Module, arg: bytes, environment: Environment
    ) -> Installed:
        """Run ``pre_upgrade``, load fresh code over the stable memory, run ``post_upgrade``.

        Atomic: when any step traps, ``instance`` goes on as if nothing had happened.
        """
        assert isinstance(instance, KybraInstance), "an executor upgrades its own instances"
        new = self._make(module, instance.memory, environment.canister)
        if isinstance(new, Trap):
            return Installed(None, Outcome(trap=new))
        before = instance.prepare_upgrade(environment)
        if before.trap is not None:
            instance.abandon_upgrade()
            return Installed(None, before)
        after = new.start(new.interface.post_upgrade, arg, environment)
        outcome = replace(after, prints=before.prints + after.prints)
        if outcome.trap is not None:
            instance.abandon_upgrade()
            return Installed(None, outcome)
        instance.finish_upgrade()
        if after.certified_data is None:
            outcome = replace(outcome, certified_data=before.certified_data)
        return Installed(new, outcome)

    def _make(
        self, module: Module, memory: StableMemory, canister: Principal
    ) -> KybraInstance | Trap:
        try:
            interface, located = self._read_module(module)
        except LocalnetError as error:
            return Trap(str(error), _INVALID_MODULE)
        return KybraInstance(
            module,
            interface,
            memory,
            random_seed=self._random_seed(canister),
            located=located,
        )

    def _read_module(self, module: Module) -> tuple[HostInterface, Mapping[str, Path]]:
        found = self._read.get(module.sha256)
        if found is None:
            interface = read_bundle_interface(module.files, module.entry)
            found = interface, locate_sources(module.files, self._source_roots)
            if len(self._read) >= _INTERFACES_KEPT:
                self._read.pop(next(iter(self._read)))
            self._read[module.sha256] = found
        return found

    def _random_seed(self, canister: Principal) -> bytes:
        """Give each start of each canister its own, repeatable numbers."""
        self._installs[canister] += 1
        parts = f"{self._seed}/{canister}/{self._installs[canister]}"
        return hashlib.sha256(parts.encode()).digest()
