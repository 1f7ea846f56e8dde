"""The parts of a fleet's canister: batches, log, replication, views, rates and cleanup.

Pure Python without I/O and without ``kybra``: time is passed in, stable memory is a port, and
every class is tested natively. The syntax is that of Python 3.10 without ``match``, because that
is what Kybra's compiler reads.
"""

from __future__ import annotations

from icfleet_canister.alarms import Alarms
from icfleet_canister.application import Application, content_of
from icfleet_canister.authority import ANONYMOUS, ANY, OWN, SCOPE, Authority, Caller
from icfleet_canister.batch_applier import (
    BatchApplier,
    Effects,
    PendingOperation,
    Verdict,
    batch_problem,
)
from icfleet_canister.certified_head import head_digest
from icfleet_canister.change_log import ChangeLog, EpochStart, LogExtent
from icfleet_canister.fleet_admin import AdminOutcome
from icfleet_canister.fleet_errors import (
    BatchRefusedError,
    BehindError,
    ConfigurationError,
    CycleError,
    DivergedError,
    EncodingError,
    FleetError,
    GapError,
    Problem,
    UnknownPositionError,
    UnusableError,
)
from icfleet_canister.fleet_member import FleetMember, MemberApplication, MemberStores
from icfleet_canister.fleet_records import FleetRecords
from icfleet_canister.fleet_service import FleetService, FleetStores, SubmitOutcome
from icfleet_canister.fleet_timers import FleetPorts, FleetTimers
from icfleet_canister.id_window import IdWindow
from icfleet_canister.log_record import ChangeRecord, LogHead, Position, RowChange
from icfleet_canister.member_settings import MemberSettings, settings_problem
from icfleet_canister.pull_messages import (
    Behind,
    Cursor,
    Diverged,
    LogAnswer,
    LogBatch,
    NotAttached,
    NotReady,
    PageAnswer,
    PageRequest,
    PullRequest,
    Reseed,
    StatePage,
    WrongCursor,
)
from icfleet_canister.rate_limiter import DEFAULT_RATE, Charge, Rate, RateLimiter
from icfleet_canister.replication import (
    PULL_LEASE_S,
    AttachedReplica,
    ReplicaRegistry,
    Replication,
)
from icfleet_canister.row_journal import RowJournal, RuleRefusedError, refuse
from icfleet_canister.row_kinds import Row, RowKind
from icfleet_canister.row_table import Derived, RowTable
from icfleet_canister.seeding import SeedableRows
from icfleet_canister.stable_map import MemoryMap, RowOverlay, StableMap
from icfleet_canister.sweeper import Sweeper, SweepReport
from icfleet_canister.view_cache import View, ViewCache, ViewValue
from icfleet_canister.wake_guard import WakeGuard
from icfleet_canister.wire_codec import ByteReader, ByteWriter

__all__ = [
    "ANONYMOUS",
    "ANY",
    "DEFAULT_RATE",
    "OWN",
    "PULL_LEASE_S",
    "SCOPE",
    "AdminOutcome",
    "Alarms",
    "Application",
    "AttachedReplica",
    "Authority",
    "BatchApplier",
    "BatchRefusedError",
    "Behind",
    "BehindError",
    "ByteReader",
    "ByteWriter",
    "Caller",
    "ChangeLog",
    "ChangeRecord",
    "Charge",
    "ConfigurationError",
    "Cursor",
    "CycleError",
    "Derived",
    "Diverged",
    "DivergedError",
    "Effects",
    "EncodingError",
    "EpochStart",
    "FleetError",
    "FleetMember",
    "FleetPorts",
    "FleetRecords",
    "FleetService",
    "FleetStores",
    "FleetTimers",
    "GapError",
    "IdWindow",
    "LogAnswer",
    "LogBatch",
    "LogExtent",
    "LogHead",
    "MemberApplication",
    "MemberSettings",
    "MemberStores",
    "MemoryMap",
    "NotAttached",
    "NotReady",
    "PageAnswer",
    "PageRequest",
    "PendingOperation",
    "Position",
    "Problem",
    "PullRequest",
    "Rate",
    "RateLimiter",
    "ReplicaRegistry",
    "Replication",
    "Reseed",
    "Row",
    "RowChange",
    "RowJournal",
    "RowKind",
    "RowOverlay",
    "RowTable",
    "RuleRefusedError",
    "SeedableRows",
    "StableMap",
    "StatePage",
    "SubmitOutcome",
    "SweepReport",
    "Sweeper",
    "UnknownPositionError",
    "UnusableError",
    "Verdict",
    "View",
    "ViewCache",
    "ViewValue",
    "WakeGuard",
    "WrongCursor",
    "batch_problem",
    "content_of",
    "head_digest",
    "refuse",
    "settings_problem",
]
