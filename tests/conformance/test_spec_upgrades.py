"""Upgrades and reinstallations: what stays, and that a failure leaves everything as it was.

Cases of DFINITY's ic-ref-test: groups "upgrades", "reinstall".
"""

from collections.abc import Callable

import pytest
from probe_canisters import SCRIPTED, script
from wire_client import Built, Deployed, RejectionError, Wire

NewScripted = Callable[..., Deployed]
Change = Callable[..., None]


@pytest.fixture
def change(wire: Wire, build_source: Callable[[str], Built]) -> Change:
    """Put the same code into a canister anew."""

    def change_one(canister: Deployed, mode: str, steps: str = "") -> None:
        wire.install(canister.id, build_source(SCRIPTED).wasm, mode=mode, arg=script(steps))

    return change_one


def _remembered(canister: Deployed) -> tuple[str, str]:
    """What it holds in its heap, and in stable memory."""
    return canister.query("look", "reply-remembered"), canister.query("look", "reply-stored")


def test_stable_memory_stays_and_the_heap_does_not(scripted: NewScripted, change: Change) -> None:
    canister = scripted("remember FOO;store BAR")

    change(canister, "upgrade")

    assert _remembered(canister) == ("", "BAR")


def test_the_old_code_hands_over_to_the_new(scripted: NewScripted, change: Change) -> None:
    canister = scripted("remember FOO;store BAR;before-upgrade store-remembered")

    change(canister, "upgrade", "remember new")

    assert _remembered(canister) == ("new", "FOO")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("store lost,trap no", ""),
        ("store lost,no step", ""),
        ("store lost", "store lost;remember lost;trap no"),
        ("store lost", "no step"),
        ("store lost,reply x", ""),
        ("store lost", "reply x"),
    ],
    ids=str,
)
def test_a_failure_in_either_hook_leaves_everything_as_it_was(
    wire: Wire, scripted: NewScripted, change: Change, before: str, after: str
) -> None:
    canister = scripted(f"remember FOO;store BAR;before-upgrade {before}")
    version = wire.manage("canister_status", canister.id)["module_hash"]

    with pytest.raises(RejectionError) as caught:
        change(canister, "upgrade", after)

    assert (caught.value.code, caught.value.is_certified) == (5, True)
    assert _remembered(canister) == ("FOO", "BAR")
    assert wire.manage("canister_status", canister.id)["module_hash"] == version
    assert canister.update("run", "remember still;reply-remembered") == "still"


def test_a_reinstallation_leaves_nothing(scripted: NewScripted, change: Change) -> None:
    canister = scripted("remember FOO;store FOO")
    change(canister, "reinstall", "remember BAR;store BAR")
    assert _remembered(canister) == ("BAR", "BAR")

    change(canister, "reinstall")

    assert _remembered(canister) == ("", "")


def test_a_failed_reinstallation_leaves_everything(scripted: NewScripted, change: Change) -> None:
    canister = scripted("remember FOO;store BAR")

    with pytest.raises(RejectionError) as caught:
        change(canister, "reinstall", "store lost;trap no")

    assert caught.value.code == 5
    assert _remembered(canister) == ("FOO", "BAR")


@pytest.mark.parametrize("mode", ["upgrade", "reinstall"])
def test_new_code_that_is_none_leaves_everything(
    wire: Wire, scripted: NewScripted, mode: str
) -> None:
    canister = scripted("remember FOO;store BAR")

    with pytest.raises(RejectionError, match="IC0505"):
        wire.install(canister.id, b"\0asm\1\0\0\0", mode=mode)

    assert _remembered(canister) == ("FOO", "BAR")


def test_an_open_call_survives_the_upgrade_as_a_rejection_at_worst(
    wire: Wire, scripted: NewScripted, change: Change, hold: Deployed
) -> None:
    """The callback is gone with the old code: the caller must get an answer all the same."""
    canister = scripted()
    waiting = canister.submit("wait_for", hold.id)
    canister.update("run", "reply x")

    change(canister, "upgrade", "remember new")
    wire.manage("start_canister", hold.id)

    with pytest.raises(RejectionError) as caught:
        waiting.reply()
    assert (caught.value.code, caught.value.is_certified) == (5, True)
    assert canister.query("look", "reply-remembered") == "new"
