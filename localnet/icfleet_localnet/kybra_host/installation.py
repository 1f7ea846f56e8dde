"""Installing and upgrading one canister, wherever it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from icfleet_localnet.bundle import Module
from icfleet_localnet.executor import Environment, Outcome
from icfleet_localnet.kybra_host.instance import KybraInstance
from icfleet_localnet.kybra_host.interface import HostInterface
from icfleet_localnet.kybra_host.stable_memory import StableMemory

__all__ = ["Prepared", "install_canister", "upgrade_canister"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A module that was read and found good, ready to be loaded."""

    module: Module
    interface: HostInterface
    located: Mapping[str, Path]
    """Where bundled files lie on disk, for debuggers."""
    random_seed: bytes


def install_canister(
    prepared: Prepared, arg: bytes, environment: Environment
) -> tuple[KybraInstance, Outcome]:
    """Start from empty memory and run ``init``; when that traps, the instance is void."""
    instance = _make(prepared, StableMemory())
    instance.memory.begin()
    outcome = instance.start(instance.interface.init, arg, environment)
    instance.memory.commit()
    return instance, outcome


def upgrade_canister(
    instance: KybraInstance, prepared: Prepared, arg: bytes, environment: Environment
) -> tuple[KybraInstance, Outcome]:
    """Run ``pre_upgrade``, load new code over the stable memory, run ``post_upgrade``.

    Returns:
        The new instance and its outcome; or, when any step trapped, ``instance`` as it was.
    """
    before = instance.prepare_upgrade(environment)
    if before.trap is not None:
        instance.abandon_upgrade()
        return instance, before
    new = _make(prepared, instance.memory)
    limit = environment.instruction_limit - before.instructions
    rest = replace(environment, instruction_limit=limit)
    after = new.start(new.interface.post_upgrade, arg, rest)
    instructions = before.instructions + after.instructions
    outcome = replace(after, prints=before.prints + after.prints, instructions=instructions)
    if outcome.trap is not None:
        instance.abandon_upgrade()
        return instance, outcome
    instance.finish_upgrade()
    if after.certified_data is None:
        outcome = replace(outcome, certified_data=before.certified_data)
    return new, outcome


def _make(prepared: Prepared, memory: StableMemory) -> KybraInstance:
    return KybraInstance(
        prepared.module,
        prepared.interface,
        memory,
        random_seed=prepared.random_seed,
        located=prepared.located,
    )
