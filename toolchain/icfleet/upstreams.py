"""Chains of replicas: ``[tool.icfleet.upstreams]`` of a project's pyproject.toml.

A replica follows the main unless it is named there: ``replica_2 = "replica_1"``. So a wide fleet
becomes a tree, and main answers a few replicas only.
"""

from collections.abc import Mapping, Sequence

from icfleet.admin_calls import Member
from icfleet.settings import read_table
from icfleet_router.errors import ProjectError
from icfleet_router.project import DfxProject

__all__ = ["check_upstreams", "read_upstreams", "upstream_order", "upstreams_below"]

_TABLE = "upstreams"


def read_upstreams(project: DfxProject) -> Mapping[str, str]:
    """Read the table; a missing one means that every replica follows main.

    Raises:
        ProjectError: If it names who is not in the fleet, or goes in a circle.
    """
    upstreams = read_table(project.root, _TABLE, dict[str, str])
    problem = check_upstreams(
        upstreams, main=project.main.name, names=[one.name for one in project.fleet]
    )
    if problem is not None:
        reason = f"[tool.icfleet.{_TABLE}]: {problem}"
        raise ProjectError(project.root / "pyproject.toml", reason)
    return upstreams


def check_upstreams(upstreams: Mapping[str, str], *, main: str, names: Sequence[str]) -> str | None:
    """Say what is wrong, in words that name what to change."""
    known = ", ".join(names)
    for name, upstream in upstreams.items():
        for word in (name, upstream):
            if word not in names:
                return f"{word} is no canister of the fleet; it has {known}"
        if name == upstream and name != main:
            return f"{name} cannot follow itself"
    # Main follows nobody; its entry is for when another is the main.
    followed = {name: upstream for name, upstream in upstreams.items() if name != main}
    for name in followed:
        passed = [name]
        while passed[-1] in followed:
            passed.append(followed[passed[-1]])
            if passed[-1] in passed[:-1]:
                return f"{' -> '.join(passed)} goes in a circle: let one of them follow {main}"
    return None


def upstreams_below(
    main: Member, members: Sequence[Member], upstreams: Mapping[str, str]
) -> Mapping[str, Member]:
    """Tell whom each member but the main follows when ``main`` is it, by name.

    Who would be led to nobody, since the table was made for another main, follows the main.
    """
    by_name = {member.name: member for member in members}
    wanted: dict[str, Member] = {}
    for member in members:
        if member is main:
            continue
        passed = [member.name]
        while passed[-1] in upstreams and passed[-1] != main.name:
            upstream = upstreams[passed[-1]]
            if upstream in passed:
                break
            passed.append(upstream)
        upstream = upstreams.get(member.name, main.name)
        is_circle = passed[-1] in upstreams and passed[-1] != main.name
        wanted[member.name] = main if is_circle else by_name[upstream]
    return wanted


def upstream_order(
    main: Member, members: Sequence[Member], wanted: Mapping[str, Member]
) -> list[Member]:
    """Sort members so that each comes after the one it follows; the main is left out."""
    depth = {main.name: 0}
    for member in members:
        passed: list[str] = []
        name = member.name
        while name not in depth:
            passed.append(name)
            name = wanted[name].name
        for distance, one in enumerate(reversed(passed), start=1):
            depth[one] = depth[name] + distance
    return sorted((one for one in members if one is not main), key=lambda one: depth[one.name])
