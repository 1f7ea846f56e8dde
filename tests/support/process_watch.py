"""Looks at the processes of a group, by ``ps``; for tests that count and kill their own."""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """One process."""

    pid: int
    state: str


def group_members(group: int) -> list[Seen]:
    """The group's processes without its leader, in the order they were started; no zombies."""
    return [one for one in _list_group(group) if one.state != "Z" and one.pid != group]


def zombies(group: int) -> list[Seen]:
    return [one for one in _list_group(group) if one.state == "Z"]


def is_group_gone(group: int) -> bool:
    return not _list_group(group)


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Wait for something that other processes do."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.01)


def _list_group(group: int) -> list[Seen]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,pgid=,stat="], check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [
        Seen(int(pid), state[0])
        for pid, its_group, state in sorted(rows, key=lambda row: int(row[0]))
        if int(its_group) == group and int(pid) != os.getpid()
    ]
