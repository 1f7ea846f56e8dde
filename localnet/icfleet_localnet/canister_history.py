"""The changes of a canister that everybody may know: its making, its code, its controllers.

Source: IC interface specification, "IC method canister_info".
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from icfleet_protocol.principal import Principal

__all__ = ["CHANGES_KEPT", "Change", "ChangeOrigin", "History"]

CHANGES_KEPT = 20
"""As many as the specification guarantees; the oldest go first."""

_CHANGE_SIZE = 128
"""Bytes a change is counted with, beside its controllers. An estimate: replicas count their own
structures."""

_PRINCIPAL_SIZE = 30
"""Bytes a principal is counted with."""


@dataclass(frozen=True, slots=True)
class ChangeOrigin:
    """Who brought a change about."""

    caller: Principal
    is_canister: bool = False
    canister_version: int | None = None
    """The calling canister's version, if it told."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change."""

    time_ns: int
    canister_version: int
    """The changed canister's version, after the change."""
    origin: ChangeOrigin
    kind: str
    """The case of ``change_details``."""
    content: Mapping[str, object] | None = None
    """What the case holds, as a Candid record."""
    controllers: int = 0
    """How many controllers it names."""

    @property
    def size(self) -> int:
        """Bytes it is counted with."""
        return _CHANGE_SIZE + _PRINCIPAL_SIZE * self.controllers


@dataclass(slots=True)
class History:
    """The newest changes, and how many there ever were."""

    total: int = 0
    recent: deque[Change] = field(default_factory=lambda: deque[Change](maxlen=CHANGES_KEPT))

    def add(self, change: Change) -> None:
        """Record a change."""
        self.total += 1
        self.recent.append(change)

    def forget(self) -> None:
        """Keep of all changes only how many there were."""
        self.recent.clear()

    def newest(self, count: int) -> list[Change]:
        """The last ``count`` changes, or as many as are kept, the oldest first."""
        return list(self.recent)[-count:] if count else []

    @property
    def size(self) -> int:
        """Bytes it is counted with."""
        return sum(change.size for change in self.recent)
