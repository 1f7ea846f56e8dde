"""What a canister of the fleet says of itself, by its ``status`` method.

Source: ``canisters/icfleet.did``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

from icfleet.errors import AttachError
from icfleet_protocol.principal import Principal
from icfleet_router.position import Position
from icfleet_router.roles import Role

__all__ = ["MemberStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """A decoded ``Status``, as far as the toolchain needs it."""

    role: Role
    position: Position
    chain_hash: bytes
    upstream: Principal | None
    """Whom a replica pulls from."""
    replicas: frozenset[Principal]
    """Who may pull from this canister."""
    pull_error: str | None
    """Why the last pull failed; ``None`` when it did not."""
    cycles: int | None
    """Told to admins only."""

    @classmethod
    def from_candid(cls, value: object) -> Self:
        """Read the record.

        Raises:
            AttachError: If it is not the one of ``icfleet.did``.
        """
        match cast("Mapping[str, object]", value):
            case {
                "role": {"Main": None} | {"Replica": None} as role,
                "as_of": as_of,
                "chain_hash": bytes(chain_hash),
                "upstream": (Principal() | None) as upstream,
                "replicas": replicas,
                "pull_error": (str() | None) as pull_error,
                "cycles": (int() | None) as cycles,
            } if (position := Position.from_candid(as_of)) is not None:
                return cls(
                    role=Role.MAIN if "Main" in cast("Mapping[str, None]", role) else Role.REPLICA,
                    position=position,
                    chain_hash=chain_hash,
                    upstream=upstream,
                    replicas=_replica_ids(cast("Sequence[Mapping[str, object]]", replicas)),
                    pull_error=pull_error,
                    cycles=cycles,
                )
            case _:
                message = "'status' answers something else than the record of icfleet.did"
                raise AttachError(message)

    def is_of_another_history(self, main: "MemberStatus") -> bool:
        """Whether this cannot be a prefix of main's log, by what both said.

        A replica below main cannot be judged by positions and hashes alone.

        Args:
            main: What main said *after* this canister answered; an earlier answer may be overtaken.
        """
        if self.position == main.position:
            return self.chain_hash != main.chain_hash
        return self.position > main.position

    @property
    def has_diverged(self) -> bool:
        """Whether the last pull failed because the upstream's history is another.

        Source: ``DivergedError`` of ``icfleet_canister`` and the ``Diverged`` answer to a pull.
        """
        return self.pull_error is not None and self.pull_error.startswith("diverged ")


def _replica_ids(replicas: Sequence[Mapping[str, object]]) -> frozenset[Principal]:
    ids: set[Principal] = set()
    for replica in replicas:
        match replica:
            case {"id": Principal() as canister}:
                ids.add(canister)
            case _:
                message = "'status' lists a replica without an id"
                raise AttachError(message)
    return frozenset(ids)
