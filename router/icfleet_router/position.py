"""Where in the fleet's one order of writes a canister, a reply or a session stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

__all__ = ["START", "Position"]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the log: a higher epoch is later, whatever its ``seq``.

    Attributes:
        epoch: Counts the mains that followed each other by promotion.
        seq: Counts the records, through all epochs.
    """

    epoch: int
    seq: int

    @classmethod
    def from_candid(cls, value: object) -> Self | None:
        """Read a decoded ``record { epoch : nat64; seq : nat64 }``; ``None`` if it is no such."""
        match value:
            case {"epoch": int(epoch), "seq": int(seq)}:
                return cls(epoch, seq)
            case _:
                return None

    def as_candid(self) -> Mapping[str, int]:
        """Give the value that encodes as the record."""
        return {"epoch": self.epoch, "seq": self.seq}

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}"


START = Position(0, 0)
"""Before everything: whoever has seen nothing stands here."""
