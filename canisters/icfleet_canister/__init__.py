"""The parts of a fleet's canister: batches, log, replication, views, rates and cleanup.

Pure Python without I/O and without ``kybra``: time is passed in, stable memory is a port, and
every class is tested natively. The syntax is that of Python 3.10 without ``match``, because that
is what Kybra's compiler reads.
"""

from __future__ import annotations

from icfleet_canister.alarms import Alarms
from icfleet_canister.batch_applier import (
    Application,
    BatchApplier,
    Effects,
    PendingOperation,
    Verdict,
    batch_problem,
)
from icfleet_canister.change_log import ChangeLog
from icfleet_canister.fleet_errors import (
    BatchRefusedError,
    ConfigurationError,
    DivergedError,
    EncodingError,
    FleetError,
    GapError,
    UnknownPositionError,
)
from icfleet_canister.fleet_member import FleetMember, MemberApplication, MemberStores
from icfleet_canister.id_window import IdWindow
from icfleet_canister.log_record import ChangeRecord, LogHead, RowChange
from icfleet_canister.rate_limiter import DEFAULT_RATE, Charge, Rate, RateLimiter
from icfleet_canister.replication import (
    PULL_LEASE_S,
    AttachedReplica,
    PullAnswer,
    PullRequest,
    ReplicaRegistry,
    Replication,
)
from icfleet_canister.stable_map import MemoryMap, RowOverlay, StableMap
from icfleet_canister.sweeper import Sweeper, SweepReport
from icfleet_canister.view_cache import View, ViewCache, ViewValue
from icfleet_canister.wire_codec import ByteReader, ByteWriter

__all__ = [
    "DEFAULT_RATE",
    "PULL_LEASE_S",
    "Alarms",
    "Application",
    "AttachedReplica",
    "BatchApplier",
    "BatchRefusedError",
    "ByteReader",
    "ByteWriter",
    "ChangeLog",
    "ChangeRecord",
    "Charge",
    "ConfigurationError",
    "DivergedError",
    "Effects",
    "EncodingError",
    "FleetError",
    "FleetMember",
    "GapError",
    "IdWindow",
    "LogHead",
    "MemberApplication",
    "MemberStores",
    "MemoryMap",
    "PendingOperation",
    "PullAnswer",
    "PullRequest",
    "Rate",
    "RateLimiter",
    "ReplicaRegistry",
    "Replication",
    "RowChange",
    "RowOverlay",
    "StableMap",
    "SweepReport",
    "Sweeper",
    "UnknownPositionError",
    "Verdict",
    "View",
    "ViewCache",
    "ViewValue",
    "batch_problem",
]
