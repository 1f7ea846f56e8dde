"""Proof that a canister was left as it was: its head, its rows, whom it follows and serves."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from wide_fleet import WideFleet

__all__ = ["only_logged", "snapshot", "unchanged"]

SHOWN = ("role", "phase", "fenced", "log_from", "epochs", "upstream", "path", "main", "admins")
PULL_S = 6
"""Within it, replicas have asked again."""


def snapshot(fleet: WideFleet) -> Mapping[str, Any]:
    """Everything that must stay, of every canister."""
    statuses = fleet.statuses()
    heads = fleet.heads()
    return {
        name: {
            **{key: status[key] for key in (*SHOWN, "settings")},
            "replicas": [one["id"] for one in status["replicas"]],
            "head": (heads[name].position, heads[name].chain_hash),
            "rows": fleet.rows(name),
        }
        for name, status in statuses.items()
    }


@contextmanager
def unchanged(fleet: WideFleet) -> Generator[None]:
    """Whatever happens in the block changes nothing, on main or on replicas."""
    fleet.level()
    before = snapshot(fleet)
    yield
    fleet.pass_time(PULL_S)
    assert snapshot(fleet) == before


@contextmanager
def only_logged(fleet: WideFleet, count: int = 1) -> Generator[None]:
    """The block adds so many records to the log, of refusals, and changes no row."""
    fleet.level()
    before = snapshot(fleet)
    yield
    fleet.level()
    after = snapshot(fleet)
    for name in fleet.names:
        assert after[name]["rows"] == before[name]["rows"]
        assert after[name]["head"][0].seq == before[name]["head"][0].seq + count
        assert {**after[name], "head": None} == {**before[name], "head": None}
