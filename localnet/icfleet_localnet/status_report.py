"""What a network looks like now, as values that print as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from icfleet_localnet.canister import Canister
from icfleet_localnet.faults import ActiveRule, FaultPlan
from icfleet_localnet.network import Network
from icfleet_localnet.subnet import Subnet
from icfleet_localnet.traffic import Kind, Traffic

__all__ = ["CanisterReport", "NetworkReport", "ServerFacts", "SubnetReport", "report_network"]

_KINDS: tuple[Kind, ...] = ("rounds", "messages", "updates", "queries", "read_states")
_LOG_LINES = 20
"""What a page shows of each canister; ``fetch_canister_logs`` has them all."""


class CanisterReport(msgspec.Struct, frozen=True, kw_only=True):
    """One canister."""

    id: str
    subnet: str
    status: str
    version: int
    module_hash: str | None
    cycles: int
    stable_bytes: int
    heap_objects: int
    open_contexts: int
    queries: int
    controllers: Sequence[str]
    log: Sequence[str]
    """The last lines, each with its time in seconds since 1970."""


class SubnetReport(msgspec.Struct, frozen=True, kw_only=True):
    """One subnet."""

    id: str
    kind: str
    height: int
    time_ns: int
    is_halted: bool
    queue_length: int
    canisters: int
    requests: int
    """Requests whose outcome is remembered."""


class NetworkReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, at one moment."""

    label: str
    """Says that this is a model, and of what."""
    url: str
    executor: str
    time_ns: int
    uptime_s: float
    root_key: str
    totals: Mapping[str, int]
    per_second: Mapping[str, float]
    subnets: Sequence[SubnetReport]
    canisters: Sequence[CanisterReport]
    faults: Sequence[ActiveRule]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What the server knows besides."""

    label: str
    url: str
    executor: str
    time_ns: int
    uptime_s: float


def report_network(
    network: Network, traffic: Traffic, faults: FaultPlan, facts: ServerFacts
) -> NetworkReport:
    """Describe a network."""
    now_s = facts.time_ns / 1e9
    return NetworkReport(
        label=facts.label,
        url=facts.url,
        executor=facts.executor,
        time_ns=facts.time_ns,
        uptime_s=facts.uptime_s,
        root_key=network.root_key_der.hex(),
        totals={kind: traffic.totals[kind] for kind in _KINDS},
        per_second={kind: traffic.per_second(kind, now_s) for kind in _KINDS},
        subnets=[_subnet(subnet) for subnet in network.subnets],
        canisters=[
            _canister(subnet, canister)
            for subnet in network.subnets
            for canister in subnet.canisters.values()
        ],
        faults=faults.rules(),
    )


def _subnet(subnet: Subnet) -> SubnetReport:
    return SubnetReport(
        id=str(subnet.id),
        kind=subnet.record.kind,
        height=subnet.height,
        time_ns=subnet.time_ns,
        is_halted=subnet.is_halted,
        queue_length=subnet.queue_length,
        canisters=len(subnet.canisters),
        requests=len(subnet.history),
    )


def _canister(subnet: Subnet, canister: Canister) -> CanisterReport:
    instance = canister.instance
    lines = [f"{line.time_ns / 1e9:.3f} {line.text}" for line in canister.log.lines[-_LOG_LINES:]]
    return CanisterReport(
        id=str(canister.id),
        subnet=str(subnet.id),
        status=canister.status,
        version=canister.version,
        module_hash=None if canister.module is None else canister.module.sha256.hex(),
        cycles=canister.cycles,
        stable_bytes=0 if instance is None else instance.stable_bytes,
        heap_objects=0 if instance is None else instance.heap_objects,
        open_contexts=canister.open_contexts,
        queries=subnet.query_count(canister),
        controllers=[str(controller) for controller in canister.settings.controllers],
        log=lines,
    )
