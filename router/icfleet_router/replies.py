"""Reading a canister's reply without knowing the canister: where ``as_of`` is, what a status says.

Source: canisters/icfleet.did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from icfleet_protocol.principal import Principal
from icfleet_router.position import Position

__all__ = ["StatusReply", "find_as_of", "parse_status"]

ReportedRole = Literal["main", "replica"]


def find_as_of(results: Sequence[object]) -> Position | None:
    """Find the position of a reply: ``as_of`` at the top of a result record or ``opt record``.

    ``None`` means the reply makes no statement, so nothing can be promised of it.
    """
    for result in results:
        if isinstance(result, Mapping):
            fields = cast("Mapping[object, object]", result)
            position = Position.from_candid(fields.get("as_of"))
            if position is not None:
                return position
    return None


@dataclass(frozen=True, slots=True)
class StatusReply:
    """What routing needs of a canister's ``status`` reply.

    Attributes:
        role: What the canister says it is.
        as_of: How much of the log it has.
        chain_hash: The log's hash there; two canisters at one position must have the same.
        main: The main it knows of.
        pull_error: Why a replica could not pull last time.
        fenced: Why a main decides nothing.
        record: The whole decoded reply.
    """

    role: ReportedRole
    as_of: Position
    chain_hash: bytes
    main: Principal | None
    pull_error: str | None
    record: Mapping[str, object]
    fenced: str | None = None

    @property
    def decides(self) -> bool:
        """Whether it says that it takes writes."""
        return self.role == "main" and self.fenced is None


def parse_status(results: Sequence[object]) -> StatusReply | None:
    """Read the results of ``status``; ``None`` if they are not what icfleet.did says."""
    match results:
        case [{"role": {"Main": None}} as record]:
            return _parse_record("main", cast("Mapping[str, object]", record))
        case [{"role": {"Replica": None}} as record]:
            return _parse_record("replica", cast("Mapping[str, object]", record))
        case _:
            return None


def _parse_record(role: ReportedRole, record: Mapping[str, object]) -> StatusReply | None:
    as_of = Position.from_candid(record.get("as_of"))
    chain_hash = record.get("chain_hash")
    main = record.get("main")
    pull_error = record.get("pull_error")
    fenced = record.get("fenced")
    if as_of is None or not isinstance(chain_hash, bytes):
        return None
    return StatusReply(
        role=role,
        as_of=as_of,
        chain_hash=chain_hash,
        main=main if isinstance(main, Principal) else None,
        pull_error=pull_error if isinstance(pull_error, str) else None,
        record=record,
        fenced=fenced if isinstance(fenced, str) else None,
    )
