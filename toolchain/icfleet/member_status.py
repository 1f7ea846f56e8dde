"""What a canister of the fleet says of itself, by its ``status`` method.

Source: ``canisters/icfleet.did``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeVar, cast

from icfleet.errors import AttachError
from icfleet_protocol.principal import Principal
from icfleet_router.position import START, Position
from icfleet_router.roles import Role

__all__ = ["AttachedReplica", "EpochStart", "MemberStatus", "Phase"]

Value = TypeVar("Value")
Phase = Literal["Serving", "Seeding", "Rebuilding"]

_PHASES: tuple[Phase, ...] = ("Serving", "Seeding", "Rebuilding")
_ROLES = {"Main": Role.MAIN, "Replica": Role.REPLICA}


@dataclass(frozen=True, slots=True)
class EpochStart:
    """The first record of an epoch."""

    epoch: int
    first_seq: int


@dataclass(frozen=True, slots=True)
class AttachedReplica:
    """Who may pull from a canister, and what it last acknowledged."""

    id: Principal
    seen: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """A decoded ``Status``."""

    role: Role
    phase: Phase
    """Reads are answered when ``Serving``."""
    fenced: str | None
    """Why a main decides nothing."""
    position: Position
    chain_hash: bytes
    log_from: Position
    """The log holds the records after this one."""
    epochs: tuple[EpochStart, ...]
    """Those it knows of, oldest first."""
    upstream: Principal | None
    """Whom a replica pulls from."""
    upstream_head: Position | None
    """Where that was at the last pull."""
    path: tuple[Principal, ...]
    """The upstream, its upstream, up to the main."""
    replicas: tuple[AttachedReplica, ...]
    """Who may pull from this canister."""
    main: Principal | None
    """The main by the log."""
    admins: tuple[Principal, ...]
    pulled_at_ns: int
    """Time of the last successful pull; 0 before the first since the last upgrade."""
    pull_error: str | None
    """Why the last pull failed; ``None`` when it did not."""
    settings: Mapping[str, int]
    figures: Mapping[str, int]
    cycles: int | None
    """Told to admins only."""
    stable_bytes: int | None
    """Told to admins only."""

    @classmethod
    def from_candid(cls, value: object) -> Self:
        """Read the record.

        Raises:
            AttachError: If it is not the one of ``icfleet.did``.
        """
        fields = _Fields(value)
        return cls(
            role=_ROLES[fields.case("role", tuple(_ROLES))],
            phase=fields.case("phase", _PHASES),
            fenced=fields.optional("fenced", str),
            position=fields.position("as_of"),
            chain_hash=fields.one("chain_hash", bytes),
            log_from=fields.position("log_from"),
            epochs=tuple(
                EpochStart(one.one("epoch", int), one.one("first_seq", int))
                for one in fields.records("epochs")
            ),
            upstream=fields.optional("upstream", Principal),
            upstream_head=fields.optional_position("upstream_head"),
            path=fields.many("path", Principal),
            replicas=tuple(
                AttachedReplica(one.one("id", Principal), one.position("seen"))
                for one in fields.records("replicas")
            ),
            main=fields.optional("main", Principal),
            admins=fields.many("admins", Principal),
            pulled_at_ns=fields.one("pulled_at", int),
            pull_error=fields.optional("pull_error", str),
            settings=fields.record("settings").numbers(),
            figures={
                one.one("name", str): one.one("value", int) for one in fields.records("figures")
            },
            cycles=fields.optional("cycles", int),
            stable_bytes=fields.optional("stable_bytes", int),
        )

    @property
    def decides(self) -> bool:
        """Whether it takes writes."""
        return self.role is Role.MAIN and self.fenced is None

    @property
    def is_unopened(self) -> bool:
        """Whether it was installed, or installed anew, as a main that nobody has opened yet."""
        return self.role is Role.MAIN and self.position == START

    @property
    def attached(self) -> frozenset[Principal]:
        """Who may pull from this canister."""
        return frozenset(one.id for one in self.replicas)

    @property
    def highest_epoch(self) -> int:
        """The highest epoch that this canister has heard of."""
        return max(
            self.position.epoch,
            self.upstream_head.epoch if self.upstream_head is not None else 0,
            *(start.epoch for start in self.epochs),
            *(one.seen.epoch for one in self.replicas),
        )

    def is_of_another_history(self, main: "MemberStatus") -> bool:
        """Whether this cannot be a prefix of main's log, by what both said.

        A replica below main cannot be judged by positions and hashes alone.

        Args:
            main: What main said *after* this canister answered; an earlier answer may be overtaken.
        """
        if self.position == main.position:
            return self.chain_hash != main.chain_hash
        return self.position > main.position

    def has_more_than(self, main: "MemberStatus") -> bool:
        """Whether this holds records that the main never had, by their positions.

        A later main went on from where it was then; whatever an earlier epoch has beyond that is
        nobody else's.
        """
        later = [one.first_seq for one in main.epochs if one.epoch > self.position.epoch]
        return self.position > main.position or self.position.seq >= min(
            later, default=self.position.seq + 1
        )

    @property
    def has_diverged(self) -> bool:
        """Whether the last pull failed because the upstream's history is another.

        Source: ``DivergedError`` of ``icfleet_canister`` and the ``Diverged`` answer to a pull.
        """
        return self.pull_error is not None and self.pull_error.lower().startswith("diverged")


class _Fields:
    """A decoded record, read field by field; whatever is not as wanted is an ``AttachError``."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, Mapping):
            what = "its parts"
            raise self._wrong(what)
        self._fields = cast("Mapping[str, object]", value)

    def one(self, name: str, kind: type[Value]) -> Value:
        value = self._fields.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self._wrong(name)
        return value

    def optional(self, name: str, kind: type[Value]) -> Value | None:
        if name not in self._fields:
            raise self._wrong(name)
        return None if self._fields[name] is None else self.one(name, kind)

    def many(self, name: str, kind: type[Value]) -> tuple[Value, ...]:
        values = self._list(name)
        if not all(isinstance(value, kind) for value in values):
            raise self._wrong(name)
        return tuple(cast("Sequence[Value]", values))

    def case(self, name: str, cases: Sequence[Value]) -> Value:
        chosen = [known for known in cases if self._fields.get(name) == {known: None}]
        if not chosen:
            raise self._wrong(name)
        return chosen[0]

    def position(self, name: str) -> Position:
        position = Position.from_candid(self._fields.get(name))
        if position is None:
            raise self._wrong(name)
        return position

    def optional_position(self, name: str) -> Position | None:
        if name not in self._fields:
            raise self._wrong(name)
        return None if self._fields[name] is None else self.position(name)

    def record(self, name: str) -> "_Fields":
        return _Fields(self._fields.get(name))

    def records(self, name: str) -> "list[_Fields]":
        return [_Fields(value) for value in self._list(name)]

    def numbers(self) -> dict[str, int]:
        return {name: self.one(name, int) for name in self._fields}

    def _list(self, name: str) -> Sequence[object]:
        value = self._fields.get(name)
        if not isinstance(value, (list, tuple)):
            raise self._wrong(name)
        return cast("Sequence[object]", value)

    @staticmethod
    def _wrong(name: str) -> AttachError:
        message = f"'status' answers something else than the record of icfleet.did: see {name}"
        return AttachError(message)
