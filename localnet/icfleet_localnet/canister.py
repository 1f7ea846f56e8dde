"""What a subnet keeps about one canister, beside its memory.

Source: IC interface specification, "The system state" and "IC method canister_status".
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from icfleet_localnet.bundle import Module
from icfleet_localnet.canister_history import History
from icfleet_localnet.canister_log import CanisterLog, LogLine
from icfleet_localnet.canister_settings import Settings
from icfleet_localnet.executor import CanisterInstance
from icfleet_localnet.figures import HEAP_STEP, Measured, in_heap_steps
from icfleet_protocol.principal import Principal

__all__ = [
    "CHUNK_SIZE_MAX",
    "Canister",
    "CanisterStatus",
    "CyclesUse",
    "LogLine",
    "MemoryMetrics",
    "QueryStats",
    "Settings",
]

CanisterStatus = Literal["running", "stopping", "stopped"]

CyclesUse = Literal[
    "memory",
    "compute_allocation",
    "ingress_induction",
    "instructions",
    "request_and_response_transmission",
    "uninstall",
    "canister_creation",
    "http_outcalls",
    "burned_cycles",
]
"""What cycles were consumed for. Source: ``cycles_consumed`` of ``canister_metrics``."""

CHUNK_SIZE_MAX = 1024 * 1024
"""Bytes of a chunk of code, and what each chunk is counted with, however small."""


@dataclass(slots=True)
class QueryStats:
    """Counts the queries that were executed, since the canister was made."""

    num_calls_total: int = 0
    num_instructions_total: int = 0
    request_payload_bytes_total: int = 0
    response_payload_bytes_total: int = 0

    def add(self, *, instructions: int, request_bytes: int, response_bytes: int) -> None:
        """Count one query."""
        self.num_calls_total += 1
        self.num_instructions_total += instructions
        self.request_payload_bytes_total += request_bytes
        self.response_payload_bytes_total += response_bytes

    def add_measured(self, measured: Measured) -> None:
        """Count what was counted elsewhere."""
        self.num_calls_total += measured.queries
        self.num_instructions_total += measured.instructions
        self.request_payload_bytes_total += measured.request_bytes
        self.response_payload_bytes_total += measured.response_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMetrics:
    """Bytes that a canister takes, by what they hold; the names are those of the interface."""

    wasm_memory_size: int
    """An estimate of the Python heap, in steps: a compiled canister has it in its Wasm memory."""
    stable_memory_size: int
    global_memory_size: int
    wasm_binary_size: int
    """Of the module as uploaded, so compressed when it was."""
    custom_sections_size: int
    canister_history_size: int
    wasm_chunk_store_size: int
    snapshots_size: int
    log_memory_store_size: int

    @property
    def total(self) -> int:
        """All of them."""
        return (
            self.wasm_memory_size
            + self.stable_memory_size
            + self.global_memory_size
            + self.wasm_binary_size
            + self.custom_sections_size
            + self.canister_history_size
            + self.wasm_chunk_store_size
            + self.snapshots_size
            + self.log_memory_store_size
        )


@dataclass(slots=True)
class Canister:
    """One canister of a subnet; only the subnet changes it."""

    id: Principal
    settings: Settings
    cycles: int
    status: CanisterStatus = "running"
    version: int = 0
    """Counts changes of code, settings, status and state, as ``canister_version`` does."""
    module: Module | None = None
    """The code, or ``None`` when the canister is empty."""
    instance: CanisterInstance | None = None
    """What runs it; ``None`` also when the code is a tool's, which is kept but cannot be run."""
    certified_data: bytes = b""
    next_timer_ns: int | None = None
    open_contexts: int = 0
    """Call contexts that still have to be answered."""
    log: CanisterLog = field(default_factory=CanisterLog)
    history: History = field(default_factory=History)
    chunks: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    """Uploaded parts of code, by their SHA-256."""
    query_stats: QueryStats = field(default_factory=QueryStats)
    """Taken over from the subnet's own count when canisters are charged; see ``figures``."""
    heap_bytes: int = HEAP_STEP
    """The heap as it counts for fees; see ``figures``."""
    consumed: Counter[CyclesUse] = field(default_factory=Counter["CyclesUse"])
    """Cycles burnt, by what for; ``charge`` counts them."""
    created_ns: int = 0
    installed_ns: int | None = None
    """When its present code was installed or upgraded."""

    def is_controlled_by(self, caller: Principal) -> bool:
        """Whether the caller may manage this canister."""
        return caller in self.settings.controllers

    def charge(self, cycles: int, use: CyclesUse) -> None:
        """Burn cycles of the balance, at most what is there."""
        paid = min(cycles, self.cycles)
        self.cycles -= paid
        self.consumed[use] += paid

    @property
    def consumed_cycles(self) -> int:
        """Cycles burnt since the canister was made."""
        return self.consumed.total()

    def measure(self, queries: QueryStats | None) -> Measured | None:
        """What is new since the last time, if anything; ``queries`` came in since then."""
        instance, counts = self.instance, queries or QueryStats()
        heap_bytes = self.heap_bytes if instance is None else in_heap_steps(instance.heap_bytes)
        if heap_bytes == self.heap_bytes and queries is None:
            return None
        return Measured(
            self.id.raw,
            heap_bytes,
            counts.num_calls_total,
            counts.num_instructions_total,
            counts.request_payload_bytes_total,
            counts.response_payload_bytes_total,
        )

    def take_over(self, measured: Measured) -> None:
        """Go by new figures from now on."""
        self.heap_bytes = measured.heap_bytes
        self.query_stats.add_measured(measured)

    @property
    def memory(self) -> MemoryMetrics:
        """Bytes it takes."""
        instance, module = self.instance, self.module
        return MemoryMetrics(
            wasm_memory_size=0 if instance is None else self.heap_bytes,
            stable_memory_size=0 if instance is None else instance.stable_bytes,
            global_memory_size=0,
            wasm_binary_size=0 if module is None else module.uploaded_size,
            custom_sections_size=0 if module is None else module.metadata_size,
            canister_history_size=self.history.size,
            wasm_chunk_store_size=CHUNK_SIZE_MAX * len(self.chunks),
            snapshots_size=0,
            log_memory_store_size=self.log.size,
        )
