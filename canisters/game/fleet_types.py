# ruff: noqa: D101 - Kybra's compiler refuses docstrings in the bodies of records and variants.
"""The Candid types of the fleet's interface: ``canisters/icfleet.did`` as Kybra reads it."""

from kybra import Opt, Principal, Record, Variant, Vec, blob, nat, nat64, null, text


class Position(Record):
    epoch: nat64
    seq: nat64


class Role(Variant, total=False):
    Main: null
    Replica: null


class Refusal(Record):
    position: Position
    code: text
    reason: text


class OperationResult(Variant, total=False):
    Applied: Position
    Refused: Refusal
    Forbidden: text
    Expired: null
    InFuture: null
    IdReused: null
    Invalid: text
    RateLimited: nat64
    Deferred: null
    Busy: nat64


class SubmitReply(Record):
    as_of: Position
    results: Vec[OperationResult]


class SubmitResult(Variant, total=False):
    Done: SubmitReply
    NotMain: Opt[Principal]
    TooLarge: text


class AdminResult(Variant, total=False):
    Done: Position
    Forbidden: text
    Invalid: text


class ReplicaStatus(Record):
    id: Principal
    seen: Position
    seen_at: nat64


class Figure(Record):
    name: text
    value: nat64


class Status(Record):
    role: Role
    as_of: Position
    chain_hash: blob
    upstream: Opt[Principal]
    replicas: Vec[ReplicaStatus]
    main: Opt[Principal]
    pulled_at: nat64
    pull_error: Opt[text]
    cycles: Opt[nat]
    figures: Vec[Figure]


class LogRow(Record):
    slot: nat64
    value: Opt[blob]


class LogRecord(Record):
    seq: nat64
    subject: Principal
    id: blob
    digest: blob
    created_at: nat64
    result: blob
    rows: Vec[LogRow]


class LogBatch(Record):
    epoch: nat64
    base_hash: blob
    records: Vec[LogRecord]


class LogReply(Variant, total=False):
    Batch: LogBatch
    Diverged: Position
    NotAttached: null


class CachedView(Record):
    value: blob
    computed_at: nat64
    expires_at: nat64
    as_of: Position
    dirty: bool


class Scope(Record):
    operations: Vec[text]
    all_players: bool
