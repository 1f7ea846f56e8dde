"""Spread a game's calls over one main canister and its replicas."""

from icfleet_router.config import FleetConfig
from icfleet_router.errors import (
    ArgumentsError,
    BehindSessionError,
    CanisterRejectedError,
    ConfigError,
    FleetClosedError,
    HeadError,
    NoHealthyCanisterError,
    OperationError,
    OperationForbiddenError,
    OperationNotAppliedError,
    OperationPendingError,
    OperationRefusedError,
    OperationRejectedError,
    OverloadedError,
    ProjectError,
    RateLimitedError,
    ReadError,
    RouterError,
)
from icfleet_router.events import CallEvent
from icfleet_router.fleet import CanisterReport, Fleet, FleetCanister
from icfleet_router.heads import Fork, VerifiedHead, find_forks, verified_head
from icfleet_router.position import Position
from icfleet_router.project import DfxProject, Network, ProjectCanister
from icfleet_router.project_files import (
    find_candid,
    find_entry,
    read_canister_ids,
    read_project,
)
from icfleet_router.replies import StatusReply
from icfleet_router.roles import Role
from icfleet_router.session import Session
from icfleet_router.stamp import OperationStamp
from icfleet_router.write_policy import Receipt

__all__ = [
    "ArgumentsError",
    "BehindSessionError",
    "CallEvent",
    "CanisterRejectedError",
    "CanisterReport",
    "ConfigError",
    "DfxProject",
    "Fleet",
    "FleetCanister",
    "FleetClosedError",
    "FleetConfig",
    "Fork",
    "HeadError",
    "Network",
    "NoHealthyCanisterError",
    "OperationError",
    "OperationForbiddenError",
    "OperationNotAppliedError",
    "OperationPendingError",
    "OperationRefusedError",
    "OperationRejectedError",
    "OperationStamp",
    "OverloadedError",
    "Position",
    "ProjectCanister",
    "ProjectError",
    "RateLimitedError",
    "ReadError",
    "Receipt",
    "Role",
    "RouterError",
    "Session",
    "StatusReply",
    "VerifiedHead",
    "find_candid",
    "find_entry",
    "find_forks",
    "read_canister_ids",
    "read_project",
    "verified_head",
]
