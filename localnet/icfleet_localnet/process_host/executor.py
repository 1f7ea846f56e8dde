"""Runs each canister in a process of its own.

Code that runs away, runs out of memory or crashes ends its process, and nothing else; canisters
never share a module.

A process always has sleeping copies, forked some commits ago. When it is gone, killed or crashed,
one of them does again what was committed since, and goes on: see ``journal`` for why that comes to
the same. A message that traps is undone by a checkpoint of the heap where that is exact and cheap,
as ``kybra_host.checkpoint`` says; on heaps that are large, or hold what no checkpoint restores
(iterators, generators, caches, hashes, sets that changed), by ending the process too.

What is not exact: a set of plain objects, which is in the order of their addresses, may change
that order when it is done again. A heap where such a set was found gets copies at each commit
instead; it is looked for when copies are forked. And what a message that trapped changed outside
its canister's heap, as a patched library module, may stay.

Exactness of queries: see ``reader``. Beyond it, changes a query makes *outside* its canister's
heap are seen by later queries on the same state, never by updates. An upgrade starts in the old
code's process, where such changes stay.

Debuggers see only the network's process; ``InProcessExecutor`` is for them.
"""

import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakSet

from icfleet_localnet.bundle import Module
from icfleet_localnet.executor import (
    CanisterInstance,
    Environment,
    Installed,
    Outcome,
    Trap,
)
from icfleet_localnet.kybra_host.installation import Prepared
from icfleet_localnet.kybra_host.preparation import Preparation
from icfleet_localnet.kybra_host.traps import OTHER_TRAP
from icfleet_localnet.process_host.conversation import Conversation, EndedError
from icfleet_localnet.process_host.instance import ProcessInstance
from icfleet_localnet.process_host.limits import ProcessLimits, ended, lost
from icfleet_localnet.process_host.nursery import Nursery
from icfleet_localnet.process_host.wire import Install, Reply, Status, Upgrade

__all__ = ["ProcessExecutor"]


class ProcessExecutor:
    """Implements ``Executor``; needs a system that can fork.

    Processes start with the first install and end with ``close``, or with this process.

    Args:
        seed: Decides all random numbers of all canisters.
        source_roots: Folders in which bundled files may lie, for the paths in tracebacks.
        limits: Bounds of each canister's process.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        source_roots: Sequence[Path] = (),
        limits: ProcessLimits | None = None,
    ) -> None:
        self._limits = limits or ProcessLimits()
        self._preparation = Preparation(seed=seed, source_roots=source_roots)
        self._nursery = Nursery(self._limits)
        self._instances: WeakSet[ProcessInstance] = WeakSet()

    @property
    def process_group(self) -> int | None:
        """The process group that all canisters' processes are in; ``None`` before the first."""
        return self._nursery.zygote_pid

    def install(self, module: Module, arg: bytes, environment: Environment) -> Installed:
        """Start from empty memory and run ``init``; on a trap, no process is left."""
        prepared = self._preparation.prepare(module, environment.canister)
        if isinstance(prepared, Trap):
            return Installed(None, Outcome(trap=prepared))
        command = Install(pickle.dumps(prepared), arg, environment)
        try:
            worker = self._nursery.spawn()
        except EndedError as error:
            trap = Trap(f"the canister's process cannot be started: {error}", OTHER_TRAP)
            return Installed(None, Outcome(trap=trap))
        began_s = time.monotonic()
        try:
            reply = worker.ask(command)
        except EndedError:
            reply = Reply(Outcome(trap=ended(time.monotonic() - began_s, self._limits)))
        installed = self._installed(worker, prepared, reply)
        if installed.instance is None:
            worker.close()
        return installed

    def upgrade(
        self,
        instance: CanisterInstance,
        module: Module,
        arg: bytes,
        environment: Environment,
    ) -> Installed:
        """Run ``pre_upgrade``, load fresh code over the stable memory, run ``post_upgrade``.

        Atomic: when any step traps, ``instance`` goes on as if nothing had happened.
        """
        assert isinstance(instance, ProcessInstance), "an executor upgrades its own instances"
        prepared = self._preparation.prepare(module, environment.canister)
        if isinstance(prepared, Trap):
            return Installed(None, Outcome(trap=prepared))
        try:
            reply = instance.worker.ask(Upgrade(pickle.dumps(prepared), arg, environment))
        except EndedError:
            return Installed(None, Outcome(trap=lost()))
        installed = self._installed(instance.worker, prepared, reply)
        if installed.instance is not None:
            instance.retire()
        return installed

    def close(self) -> None:
        """End all processes; idempotent."""
        for instance in tuple(self._instances):
            instance.close()
        self._nursery.close()

    def _installed(self, worker: Conversation, prepared: Prepared, reply: Reply) -> Installed:
        outcome = reply.outcome
        assert outcome is not None, "an install is answered by an outcome"
        if outcome.trap is not None:
            return Installed(None, outcome)
        status = reply.status or Status()
        instance = ProcessInstance(worker, prepared.interface, self._limits, status)
        self._instances.add(instance)
        return Installed(instance, outcome)
