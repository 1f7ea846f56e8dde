"""A fleet in memory that keeps the rules of icfleet.did, for tests of what administers one.

Replicas pull whenever anybody is asked; so tests wait for nothing. Calls can be made to fail, to
answer late, and to end the caller.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from icfleet.admin_calls import Member
from icfleet.errors import AttachError
from icfleet.fleet import Control
from icfleet.member_status import MemberStatus
from icfleet_canister.log_record import (
    APPLIED,
    ChangeRecord,
    RowChange,
    chain,
    encode_epoch,
    encode_record,
    first_hash,
)
from icfleet_protocol.candid import ServiceInterface
from icfleet_protocol.principal import Principal
from icfleet_router.heads import VerifiedHead
from icfleet_router.position import Position

__all__ = ["ADMIN", "NOW_NS", "InterruptedOperatorError", "ModelCanister", "ModelledFleet"]

ADMIN = Principal(b"\x02admin")
NOW_NS = 1_800_000_000_000_000_000
SETTINGS = {"pull_idle_s": 30, "log_pages_max": 40_000, "rate_limit": 100, "rate_window_s": 60}
PULL_MAX = 50


class InterruptedOperatorError(Exception):
    """The operator's machine went down here."""


@dataclass
class ModelCanister:
    """One canister: its log, and whom it follows."""

    member: Member
    is_main: bool
    fence: str | None = None
    records: list[ChangeRecord] = field(default_factory=list[ChangeRecord])
    hashes: list[bytes] = field(default_factory=lambda: [first_hash()])
    epochs: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    trimmed: int = 0
    upstream: Principal | None = None
    upstream_head: Position | None = None
    attached: list[Principal] = field(default_factory=list[Principal])
    error: str | None = None
    settings: dict[str, int] = field(default_factory=lambda: dict(SETTINGS))
    pulled_at_ns: int = 0
    phase: str = "Serving"
    is_frozen: bool = False
    """Whether its pulls bring nothing."""
    trouble: str | None = None
    """Why, as its status tells."""
    thaws_in: int | None = None
    """After so many pulls they do again."""

    @property
    def position(self) -> Position:
        return Position(self.epochs[-1][0] if self.epochs else 0, len(self.records))

    @property
    def decides(self) -> bool:
        return self.is_main and self.fence is None

    def append(self, result: bytes, subject: str = "aaaaa-aa") -> None:
        seq = len(self.records) + 1
        identifier = seq.to_bytes(16, "big")
        rows = (RowChange(seq, bytes([len(self.epochs)])),)
        record = ChangeRecord(
            seq, subject, identifier, b"d" * 32, NOW_NS - 1_000_000_000, result, rows
        )
        self.take(record)

    def take(self, record: ChangeRecord) -> None:
        self.records.append(record)
        self.hashes.append(chain(self.hashes[-1], encode_record(record)))
        if record.result[:1] == b"\x02":
            self.epochs.append((int.from_bytes(record.result[1:], "big"), record.seq))

    def begin(self, epoch: int) -> None:
        self.append(encode_epoch(epoch))

    def write(self, count: int = 1) -> None:
        """Decide operations, as game servers would have it."""
        assert self.decides, self.member.name
        for _ in range(count):
            self.append(APPLIED)

    def wipe(self) -> None:
        """Forget everything, as a reinstallation does."""
        self.records, self.hashes, self.epochs = [], [first_hash()], []
        self.upstream, self.upstream_head, self.attached = None, None, []
        self.fence = "not opened" if self.is_main else None

    def roll_back(self, count: int) -> None:
        """Lose the last records, as a snapshot that is loaded does."""
        keep = len(self.records) - count
        self.records, self.hashes = self.records[:keep], self.hashes[: keep + 1]
        self.epochs = [one for one in self.epochs if one[1] <= keep]

    def epoch_at(self, seq: int) -> int:
        return max((epoch for epoch, first in self.epochs if first <= seq), default=0)

    def status(self, path: Sequence[Principal], main: Principal | None) -> dict[str, object]:
        return {
            "role": {"Main" if self.is_main else "Replica": None},
            "phase": {self.phase: None},
            "fenced": self.fence,
            "as_of": self.position.as_candid(),
            "chain_hash": self.hashes[-1],
            "log_from": {"epoch": self.epoch_at(self.trimmed), "seq": self.trimmed},
            "epochs": [{"epoch": epoch, "first_seq": first} for epoch, first in self.epochs],
            "upstream": self.upstream,
            "upstream_head": None if self.upstream_head is None else self.upstream_head.as_candid(),
            "path": list(path),
            "replicas": [
                {"id": one, "seen": {"epoch": 0, "seq": 0}, "seen_at": 0} for one in self.attached
            ],
            "main": main,
            "admins": [ADMIN],
            "pulled_at": self.pulled_at_ns,
            "pull_error": self.error,
            "settings": dict(self.settings),
            "cycles": 10**12,
            "stable_bytes": 1 << 20,
            "figures": [{"name": "slots", "value": len(self.records)}],
        }


class ModelledFleet:
    """The fleet, and whoever administers it.

    Attributes:
        asked: Admin calls that were carried out or refused: canister, method, arguments.
        silent: Names of canisters that do not answer.
        calls_left: After so many admin calls the caller is interrupted; ``None`` for never.
        is_lost: Whether the last of these is carried out before that.
        stranger: Names of canisters that refuse every admin call.
        before_call: Told of each admin call before it is carried out.
    """

    def __init__(self, replicas_count: int = 2, upstreams: Mapping[str, str] | None = None) -> None:
        names = ["main", *(f"replica_{number}" for number in range(1, replicas_count + 1))]
        self.members = tuple(
            Member(name=name, id=Principal(bytes([0, number, 1, 1])), interface=ServiceInterface())
            for number, name in enumerate(names)
        )
        self.canisters = {
            member.name: ModelCanister(
                member,
                is_main=member.name == "main",
                fence="not opened" if member.name == "main" else None,
            )
            for member in self.members
        }
        self.main, self.replicas = self.members[0], self.members[1:]
        self.upstreams = dict(upstreams or {})
        self.asked: list[tuple[str, str, tuple[object, ...]]] = []
        self.silent: set[str] = set()
        self.calls_left: int | None = None
        self.is_lost = False
        self.stranger: set[str] = set()
        self.before_call: Callable[[str, str], None] = lambda _name, _method: None
        self.stale: dict[str, MemberStatus] = {}
        self.unproven: set[str] = set()

    @classmethod
    def joined(cls, replicas_count: int = 2, *, writes: int = 10) -> "ModelledFleet":
        """A fleet that was opened at epoch 1, with some operations, everybody level."""
        fleet = cls(replicas_count)
        main = fleet["main"]
        main.fence = None
        main.begin(1)
        main.write(writes)
        for replica in fleet.replicas:
            main.attached.append(replica.id)
            fleet[replica.name].upstream = main.member.id
        fleet.pull()
        return fleet

    def __getitem__(self, name: str) -> ModelCanister:
        return self.canisters[name]

    @property
    def methods(self) -> list[tuple[str, str]]:
        """What was asked of whom."""
        return [(name, method) for name, method, _ in self.asked]

    @property
    def deciding(self) -> list[str]:
        return [name for name, one in self.canisters.items() if one.decides]

    # What ``FleetPort`` and ``StatusPort`` have.

    async def status(self, member: Member) -> MemberStatus:
        answer = (await self.answers())[member.name]
        if isinstance(answer, AttachError):
            raise answer
        return answer

    async def answers(self) -> dict[str, MemberStatus | AttachError]:
        await asyncio.sleep(0)
        self.pull()
        return {name: self._answer(name) for name in self.canisters}

    async def head(self, member: Member) -> VerifiedHead:
        if member.name in self.unproven:
            message = f"{member.name} does not prove its head: of another one"
            raise AttachError(message)
        status = await self.status(member)
        return VerifiedHead(status.position, status.chain_hash, NOW_NS)

    async def subnets(self) -> dict[str, Principal]:
        return {one.name: Principal(bytes([9, number])) for number, one in enumerate(self.members)}

    async def now_ns(self, member: Member) -> int:
        assert member.name not in self.silent
        return NOW_NS

    async def control(self, member: Member) -> Control:
        assert member.name not in self.silent
        return Control((ADMIN,), NOW_NS)

    # What ``AdminCaller`` has.

    async def call(self, member: Member, method: str, *args: object) -> object:
        await asyncio.sleep(0)
        if method == "status":
            return self._record(member.name)
        if member.name in self.silent:
            message = f"{member.name} does not answer"
            raise AttachError(message)
        if self.calls_left == 0:
            raise InterruptedOperatorError
        self.before_call(member.name, method)
        self.asked.append((member.name, method, args))
        if member.name in self.stranger:
            return {"Forbidden": f"you may not {method}"}
        problem = self._change(self[member.name], method, args)
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left == 0 and self.is_lost:
                raise InterruptedOperatorError
        if problem is not None:
            return {"Invalid": {"code": problem[0], "reason": problem[1]}}
        return {"Done": self[member.name].position.as_candid()}

    async def query(self, member: Member, method: str, *args: Any) -> object:
        assert method == "log_since", method
        position, chain_hash, size_max = args
        one = self[member.name]
        seq = position["seq"]
        if seq > len(one.records):
            return {"Behind": one.position.as_candid()}
        if seq < one.trimmed:
            return {"Reseed": one.position.as_candid()}
        if chain_hash not in (b"", one.hashes[seq]) or position["epoch"] != one.epoch_at(seq):
            return {"Diverged": one.position.as_candid()}
        records = one.records[seq : seq + (3 if size_max > 1 else 1)]
        batch: dict[str, object] = {
            "base_hash": one.hashes[seq],
            "records": [_record_as_candid(record) for record in records],
            "head": one.position.as_candid(),
            "path": (),
            "acknowledge": False,
        }
        return {"Batch": batch}

    # How the canisters behave.

    def pull(self) -> None:
        """Let every replica pull once."""
        for one in self.canisters.values():
            self._thaw(one)
            if one.is_frozen:
                one.error = one.trouble
            if not one.is_main and one.upstream is not None and not one.is_frozen:
                self._pull(one, self._by_id(one.upstream))

    def _thaw(self, one: ModelCanister) -> None:
        if one.is_frozen and one.thaws_in is not None:
            one.thaws_in -= 1
            one.is_frozen = one.thaws_in > 0

    def _pull(self, one: ModelCanister, upstream: ModelCanister) -> None:
        if {one.member.name, upstream.member.name} & self.silent:
            return
        if one.member.id not in upstream.attached:
            one.error = "NotAttached"
            return
        if one.position > upstream.position and len(one.records) > len(upstream.records):
            one.error = f"Behind: the upstream is at {upstream.position}"
            if upstream.is_main:
                upstream.fence = f"rolled back: {one.member.name} is at {one.position}"
            return
        seq = len(one.records)
        if seq > len(upstream.records) or upstream.hashes[seq] != one.hashes[seq]:
            one.error = "Diverged: the chain hashes differ"
            return
        for record in upstream.records[seq : seq + PULL_MAX]:
            one.take(record)
        one.error, one.pulled_at_ns, one.upstream_head = None, NOW_NS, upstream.position

    def _change(
        self, one: ModelCanister, method: str, args: tuple[Any, ...]
    ) -> tuple[str, str] | None:
        match method:
            case "promote":
                return self._promote(one, *args)
            case "demote":
                if not one.is_main:
                    return "NotMain", "this canister is no main"
                if args[0] != one.position.epoch:
                    return "WrongEpoch", f"this is epoch {one.position.epoch}"
                one.is_main, one.fence, one.upstream = False, None, None
            case "attach" if args[0] not in one.attached:
                one.attached.append(args[0])
            case "detach" if args[0] in one.attached:
                one.attached.remove(args[0])
            case "follow" | "reseed":
                return self._follow(one, args[0], is_anew=method == "reseed")
            case "configure":
                if args[0]["pull_idle_s"] > 30:
                    return "BadSetting", "pull_idle_s is 1 to 30"
                one.settings = dict(args[0])
            case _:
                pass
        return None

    def _promote(self, one: ModelCanister, expected: int, new: int) -> tuple[str, str] | None:
        if one.decides:
            return "AlreadyMain", "this canister is the main already"
        if expected != one.position.epoch or new <= expected:
            return "WrongEpoch", f"this is epoch {one.position.epoch}"
        one.is_main, one.fence, one.upstream = True, None, None
        one.begin(new)
        return None

    def _follow(
        self, one: ModelCanister, upstream: Principal, *, is_anew: bool
    ) -> tuple[str, str] | None:
        if one.is_main:
            return "NotServing", "a main follows nobody: demote it first"
        if is_anew:
            one.wipe()
        one.upstream, one.error = upstream, None
        return None

    def _by_id(self, canister: Principal) -> ModelCanister:
        return next(one for one in self.canisters.values() if one.member.id == canister)

    def _answer(self, name: str) -> MemberStatus | AttachError:
        if name in self.silent:
            return AttachError(f"{name} does not answer")
        return self.stale.pop(name, None) or self.status_of(name)

    def status_of(self, name: str) -> MemberStatus:
        """What a canister says of itself at this moment."""
        return MemberStatus.from_candid(self._record(name))

    def _record(self, name: str) -> dict[str, object]:
        one = self[name]
        path: list[Principal] = []
        at = one
        while at.upstream is not None and at.upstream not in path:
            path.append(at.upstream)
            at = self._by_id(at.upstream)
        main = next((other for other in self.canisters.values() if other.decides), None)
        return one.status(path, self.main.id if main is None else main.member.id)


def _record_as_candid(record: ChangeRecord) -> dict[str, object]:
    return {
        "seq": record.seq,
        "subject": Principal.from_text(record.subject),
        "id": record.operation_id,
        "digest": record.digest,
        "created_at": record.created_at_ns,
        "result": record.result,
        "rows": [{"slot": row.slot, "value": row.value} for row in record.rows],
    }
