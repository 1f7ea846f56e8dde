"""The two roles of a fleet, and how a canister's name tells which one it has."""

from collections.abc import Mapping
from enum import Enum
from typing import Literal

__all__ = ["MAIN_NAME", "REPLICA_PREFIX", "Role", "RoleOverride", "role_of"]

MAIN_NAME = "main"
REPLICA_PREFIX = "replica_"

RoleOverride = Literal["main", "replica", "none"]
"""What ``[tool.icfleet.roles]`` may say of a canister; ``none`` leaves it out of the fleet."""


class Role(Enum):
    """What a canister does in the fleet."""

    MAIN = "main"
    REPLICA = "replica"


def role_of(name: str, overrides: Mapping[str, RoleOverride]) -> Role | None:
    """Tell a canister's role by its name, unless an override says otherwise.

    ``None`` means that the canister is no part of the fleet, such as a front end's assets.
    """
    if name in overrides:
        word = overrides[name]
        return None if word == "none" else Role(word)
    if name == MAIN_NAME:
        return Role.MAIN
    return Role.REPLICA if name.startswith(REPLICA_PREFIX) else None
