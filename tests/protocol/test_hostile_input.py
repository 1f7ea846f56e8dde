"""Bad input by name: our error, in less than a second and 100 MB, in a process confined to that."""

import json
import re
import subprocess
import sys
import tracemalloc
from functools import cache

import hostile_messages
import pytest
from hostile_messages import HOSTILE, MEMORY_MAX, SECONDS_MAX, Hostile, Outcome

from icfleet_protocol.errors import ProtocolError

# Building and refusing all of them takes 4 s of processor time.
CHILD_TIMEOUT_S = 50


@cache
def confined_outcomes() -> dict[str, Outcome]:
    """Every message parsed in one child process: what it costs there, it costs alone."""
    done = subprocess.run(
        [sys.executable, hostile_messages.__file__],
        capture_output=True,
        text=True,
        check=True,
        timeout=CHILD_TIMEOUT_S,
    )
    return {name: Outcome(*row) for name, row in json.loads(done.stdout).items()}


@pytest.mark.parametrize("name", HOSTILE)
def test_bad_input_costs_little_and_ends_in_our_error(name: str) -> None:
    """The child may take 100 MB of address space more than it had before each message."""
    outcome = confined_outcomes()[name]

    assert outcome.is_ours, outcome
    assert re.search(HOSTILE[name].reason, outcome.reason), outcome
    assert outcome.duration_s < SECONDS_MAX


LARGE = ["nested-array-bombs", "10000-paths", "tree-as-wide-as-allowed"]


@pytest.mark.parametrize("name", LARGE)
def test_the_largest_messages_allocate_little(name: str) -> None:
    """Address space says nothing of what was free already; this counts every allocation."""
    hostile: Hostile = HOSTILE[name]
    message = hostile.build()

    tracemalloc.start()
    with pytest.raises(ProtocolError):
        hostile.parse(message)
    _, memory = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert memory < MEMORY_MAX
