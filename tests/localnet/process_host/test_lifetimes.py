"""Processes end with what they are for, however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from native_canister import NativeCanister, bundle, install
from process_watch import group_members, is_group_gone, wait_until

from icfleet_localnet.process_host.executor import ProcessExecutor

COUNTER = """
from kybra import nat64, query, update, void

count = 0


@update
def add() -> nat64:
    global count
    count += 1
    return count


@query
def number() -> nat64:
    return count


@update
def run_away() -> void:
    sum(iter(int, 1))
"""

PARENT = """
import sys
from native_canister import NativeCanister
from icfleet_localnet.process_host.executor import ProcessExecutor

executor = ProcessExecutor()
canister = NativeCanister.install(sys.argv[1], executor=executor)
canister.update("add")
print(canister.query("number"), canister.query("number"), executor.process_group, flush=True)
if sys.argv[2] == "busy":
    canister.update("run_away")
else:
    input()
"""


def test_closing_an_executor_ends_all_its_processes() -> None:
    """Workers, standbys, readers, held states, waiting queries, and what they are forked from."""
    executor = ProcessExecutor()
    canisters = [NativeCanister.install(COUNTER, executor=executor) for _ in range(3)]
    for canister in canisters:
        canister.update("add")
        canister.instance.hold()
        canister.query("number")
        canister.query("number")
    group = executor.process_group
    assert group is not None
    wait_until(lambda: len(group_members(group)) == 15)

    executor.close()

    wait_until(lambda: is_group_gone(group))
    assert canisters[0].trap_of("add").message == "this instance of the canister was closed"


def test_closing_an_instance_ends_its_processes_only() -> None:
    """Also when it is only forgotten."""
    executor = ProcessExecutor()
    first, second, third = (NativeCanister.install(COUNTER, executor=executor) for _ in range(3))
    group = executor.process_group
    assert group is not None

    first.instance.close()
    wait_until(lambda: len(group_members(group)) == 6)
    del third
    wait_until(lambda: len(group_members(group)) == 3)

    assert second.update("add") == 1
    executor.close()


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_processes_do_not_outlive_their_parent(state: str, tmp_path: Path) -> None:
    """Not even when it is killed while a canister runs in an endless loop."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, str(script), COUNTER, state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as parent:
        assert parent.stdout is not None
        one, two, group = (int(word) for word in parent.stdout.readline().split())
        assert (one, two) == (1, 1)
        assert not is_group_gone(group)

        parent.send_signal(signal.SIGKILL)
        parent.wait()

    wait_until(lambda: is_group_gone(group))


def test_canisters_live_on_when_the_process_they_came_from_is_killed() -> None:
    """And the next install starts another."""
    executor = ProcessExecutor()
    first = NativeCanister.install(COUNTER, executor=executor)
    group = executor.process_group
    assert group is not None
    os.kill(group, signal.SIGKILL)

    second = NativeCanister.install(COUNTER, executor=executor)

    assert (first.update("add"), second.update("add")) == (1, 1)
    assert executor.process_group != group
    executor.close()
    wait_until(lambda: is_group_gone(group))


def test_an_install_that_fails_leaves_no_process() -> None:
    """Of ten."""
    executor = ProcessExecutor()
    for _ in range(10):
        assert install(executor, bundle("import nothing_here")).instance is None
        assert install(executor, bundle("import kybra\nraise OSError")).instance is None
    group = executor.process_group
    assert group is not None
    wait_until(lambda: not group_members(group))
    executor.close()
