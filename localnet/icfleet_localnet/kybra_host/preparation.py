"""Reading modules before they are installed: what is wrong with them, and what they export."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from icfleet_localnet.bundle import Module
from icfleet_localnet.errors import LocalnetError
from icfleet_localnet.executor import Trap
from icfleet_localnet.kybra_host.frontend import read_bundle_interface
from icfleet_localnet.kybra_host.installation import Prepared
from icfleet_localnet.kybra_host.interface import HostInterface
from icfleet_localnet.kybra_host.modules import locate_sources
from icfleet_protocol.principal import Principal

__all__ = ["Preparation"]

_INTERFACES_KEPT = 64
"""As many different modules as the largest fleet we test has canisters."""

_INVALID_MODULE = "IC0505"


class Preparation:
    """Reads modules, each once, and hands out random seeds.

    Args:
        seed: Decides all random numbers of all canisters.
        source_roots: Folders in which bundled files may lie; a file whose content is the
            bundle's is debugged under its own path.
    """

    def __init__(self, *, seed: int, source_roots: Sequence[Path]) -> None:
        self._seed = seed
        self._source_roots = tuple(source_roots)
        self._starts: Counter[Principal] = Counter()
        self._read: dict[bytes, tuple[HostInterface, Mapping[str, Path]]] = {}

    def prepare(self, module: Module, canister: Principal) -> Prepared | Trap:
        """Read a module for one start of a canister, or say why it cannot be installed."""
        try:
            interface, located = self._read_module(module)
        except LocalnetError as error:
            return Trap(str(error), _INVALID_MODULE)
        return Prepared(
            module=module,
            interface=interface,
            located=located,
            random_seed=self._random_seed(canister),
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
        self._starts[canister] += 1
        parts = f"{self._seed}/{canister}/{self._starts[canister]}"
        return hashlib.sha256(parts.encode()).digest()
