"""Reading a member's log as an admin, record by record, each checked against the chain.

Source: canisters/icfleet.did, ``log_since``; ``log_record`` of ``icfleet_canister`` for the chain.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from icfleet.admin_calls import AdminCaller, Member
from icfleet.errors import AttachError
from icfleet.member_status import MemberStatus
from icfleet_agent.errors import RejectedError
from icfleet_canister.fleet_errors import EncodingError
from icfleet_canister.log_record import (
    HASH_SIZE,
    ChangeRecord,
    RowChange,
    chain,
    decode_epoch,
    encode_record,
)
from icfleet_protocol.principal import Principal
from icfleet_router.position import Position

__all__ = ["ANY_HASH", "LogEntry", "MemberLog", "position_at"]

ANY_HASH = b""
"""Asks by the position alone; the canister answers with its own hash there."""

_BATCH_SIZE = 500_000
"""Bytes of records in an answer: a quarter of what a reply may carry."""

_PROBE_SIZE = 1
"""Bytes, where only the hash is wanted: at most a record comes with it."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One record, with the position and hash it leads to."""

    position: Position
    chain_hash: bytes
    record: ChangeRecord


@dataclass(frozen=True, slots=True)
class _Batch:
    base_hash: bytes
    records: Sequence[ChangeRecord]


class MemberLog:
    """One member's log.

    Args:
        caller: Asks as an admin.
        member: Whose log.
        status: What it said of itself; tells where epochs begin.
    """

    def __init__(self, caller: AdminCaller, member: Member, status: MemberStatus) -> None:
        self._caller = caller
        self._member = member
        self._status = status

    async def hash_at(self, seq: int) -> bytes | None:
        """The chain hash after the record of a seq; ``None`` if the log does not reach back there.

        Raises:
            AttachError: If the member refuses, or answers what makes no sense.
            AgentError: If the network does not answer.
        """
        if seq == self._status.position.seq:
            return self._status.chain_hash
        answer = await self._ask(position_at(self._status, seq), ANY_HASH, _PROBE_SIZE)
        return answer.base_hash if isinstance(answer, _Batch) else None

    async def records_after(self, seq: int, chain_hash: bytes) -> AsyncGenerator[LogEntry]:
        """Give the records after a position, up to the member's own at the time of its status.

        Raises:
            AttachError: If the records are gone, or do not continue the chain.
            AgentError: If the network does not answer.
        """
        position = position_at(self._status, seq)
        while position.seq < self._status.position.seq:
            answer = await self._ask(position, chain_hash, _BATCH_SIZE)
            if not isinstance(answer, _Batch) or not answer.records:
                what = answer if isinstance(answer, str) else "no records"
                message = f"{self._member.name} answers {what} to what follows {position}"
                raise AttachError(message)
            for record in answer.records:
                if record.seq != position.seq + 1:
                    message = f"{self._member.name} leaves out what follows {position}"
                    raise AttachError(message)
                if position.seq >= self._status.position.seq:
                    break
                chain_hash, epoch = _follow(chain_hash, position.epoch, record)
                position = Position(epoch, record.seq)
                yield LogEntry(position, chain_hash, record)
        if chain_hash != self._status.chain_hash:
            message = f"the records of {self._member.name} do not lead to its own chain hash"
            raise AttachError(message)

    async def rate(self, now_ns: int, *, records: int) -> float | None:
        """Operations a second, by the last records; ``None`` if that cannot be told.

        Raises:
            AgentError: If the network does not answer.
        """
        last = self._status.position.seq
        first = max(self._status.log_from.seq, last - records)
        if last - first < 1:
            return None
        try:
            answer = await self._ask(position_at(self._status, first), ANY_HASH, _PROBE_SIZE)
        except AttachError:
            return None
        if not isinstance(answer, _Batch) or not answer.records:
            return None
        span_s = (now_ns - answer.records[0].created_at_ns) / 1e9
        return (last - first) / span_s if span_s > 0 else None

    async def _ask(self, position: Position, chain_hash: bytes, size_max: int) -> _Batch | str:
        """A batch, or the word that the member has instead."""
        try:
            answer = await self._caller.query(
                self._member, "log_since", position.as_candid(), chain_hash, size_max
            )
        except RejectedError as error:
            message = f"{self._member.name} refuses log_since: {error.reject_message}"
            raise AttachError(message) from error
        match cast("Mapping[str, Any]", answer):
            case {"Batch": {"base_hash": bytes(base_hash), "records": [*records]}} if (
                len(base_hash) == HASH_SIZE
            ):
                return _Batch(base_hash, [_record(one) for one in records])
            case {"NotAttached": None}:
                message = (
                    f"{self._member.name} shows its log to admins only: --identity KEY.pem, or "
                    "--signer dfx or icp"
                )
                raise AttachError(message)
            case other:
                return next(iter(other), "nothing")


def position_at(status: MemberStatus, seq: int) -> Position:
    """The position of a seq in a member's log, as far as it remembers its epochs."""
    begun = [one.epoch for one in status.epochs if one.first_seq <= seq]
    return Position(max(begun, default=0), seq)


def _follow(chain_hash: bytes, epoch: int, record: ChangeRecord) -> tuple[bytes, int]:
    """The hash and the epoch after a record."""
    try:
        begun = decode_epoch(record.result)
        return chain(chain_hash, encode_record(record)), epoch if begun is None else begun
    except EncodingError as error:
        message = f"record {record.seq} cannot be read: {error}"
        raise AttachError(message) from error


def _record(value: Mapping[str, Any]) -> ChangeRecord:
    try:
        subject: Principal = value["subject"]
        return ChangeRecord(
            seq=value["seq"],
            subject=str(subject),
            operation_id=value["id"],
            digest=value["digest"],
            created_at_ns=value["created_at"],
            result=value["result"],
            rows=tuple(RowChange(row["slot"], row["value"]) for row in value["rows"]),
        )
    except (KeyError, TypeError) as error:
        message = f"a record of log_since is not what icfleet.did says: {error}"
        raise AttachError(message) from error
