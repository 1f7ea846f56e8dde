"""What a canister says of itself."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from icfleet.errors import AttachError
from icfleet.member_status import AttachedReplica, EpochStart, MemberStatus
from icfleet_protocol.candid import parse_did
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER
from icfleet_router.position import Position
from icfleet_router.roles import Role

DID = Path(__file__).parents[2] / "canisters" / "icfleet.did"
SETTINGS = {"pull_idle_s": 30, "log_pages_max": 10, "rate_limit": 100, "rate_window_s": 60}
STATUS: Mapping[str, object] = {
    "role": {"Main": None},
    "phase": {"Serving": None},
    "fenced": None,
    "as_of": {"epoch": 1, "seq": 7},
    "chain_hash": b"\x01" * 32,
    "log_from": {"epoch": 0, "seq": 0},
    "epochs": [{"epoch": 1, "first_seq": 1}],
    "upstream": None,
    "upstream_head": None,
    "path": [],
    "replicas": [{"id": ANONYMOUS, "seen": {"epoch": 1, "seq": 6}, "seen_at": 5}],
    "main": MANAGEMENT_CANISTER,
    "admins": [ANONYMOUS],
    "pulled_at": 0,
    "pull_error": None,
    "settings": SETTINGS,
    "cycles": 12,
    "stable_bytes": 5,
    "figures": [{"name": "slots", "value": 4}],
}
MAIN = MemberStatus.from_candid(STATUS)


def test_a_status_is_read() -> None:
    """Every field comes out typed."""
    assert (MAIN.role, MAIN.phase, MAIN.position) == (Role.MAIN, "Serving", Position(1, 7))
    assert MAIN.epochs == (EpochStart(1, 1),)
    assert MAIN.replicas == (AttachedReplica(ANONYMOUS, Position(1, 6)),)
    assert MAIN.attached == {ANONYMOUS}
    assert MAIN.admins == (ANONYMOUS,)
    assert (MAIN.settings, MAIN.figures) == (SETTINGS, {"slots": 4})
    assert (MAIN.cycles, MAIN.stable_bytes) == (12, 5)
    assert MAIN.decides
    assert not MAIN.is_unopened


def test_the_record_is_the_one_of_the_interface() -> None:
    """What is decoded by icfleet.did is read."""
    interface = parse_did(DID.read_text())
    data = interface.encode_results("status", [STATUS])

    assert MemberStatus.from_candid(interface.decode_results("status", data)[0]) == MAIN


def test_a_replica_is_told_from_a_main() -> None:
    """The variant's case decides."""
    assert MemberStatus.from_candid({**STATUS, "role": {"Replica": None}}).role is Role.REPLICA


def test_a_fenced_main_does_not_decide() -> None:
    assert not replace(MAIN, fenced="epoch 7 was seen").decides


def test_every_epoch_that_was_heard_of_counts() -> None:
    """A new one must be above all of them."""
    seen = (AttachedReplica(ANONYMOUS, Position(9, 1)),)

    assert MAIN.highest_epoch == 1
    assert replace(MAIN, epochs=(EpochStart(3, 1),)).highest_epoch == 3
    assert replace(MAIN, upstream_head=Position(6, 1)).highest_epoch == 6
    assert replace(MAIN, replicas=seen).highest_epoch == 9


@pytest.mark.parametrize(
    ("position", "has_more"),
    [
        (Position(1, 7), False),
        (Position(1, 8), True),
        (Position(1, 90), True),
        (Position(2, 8), False),
        (Position(2, 9), False),
        (Position(2, 12), True),
        (Position(0, 0), False),
    ],
)
def test_what_a_later_main_never_had_shows_in_the_epochs(
    position: Position, *, has_more: bool
) -> None:
    """Main's epoch 2 began at 8, so seq 8 of epoch 1 is somebody's own."""
    main = replace(MAIN, position=Position(2, 11), epochs=(EpochStart(1, 1), EpochStart(2, 8)))

    assert replace(MAIN, position=position).has_more_than(main) == has_more


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(7, id="no-record"),
        pytest.param({"role": {"Main": None}}, id="too-few-fields"),
        pytest.param({**STATUS, "as_of": {"epoch": 1}}, id="half-a-position"),
        pytest.param({**STATUS, "replicas": [7]}, id="odd-replica"),
        pytest.param({**STATUS, "role": {"Leader": None}}, id="odd-role"),
        pytest.param({**STATUS, "epochs": 5}, id="no-list"),
        pytest.param({**STATUS, "path": ["main"]}, id="odd-path"),
        pytest.param({**STATUS, "upstream_head": {"seq": 1}}, id="odd-position"),
        pytest.param({**STATUS, "settings": {"pull_idle_s": "x"}}, id="odd-setting"),
        pytest.param({**STATUS, "cycles": True}, id="odd-number"),
    ],
)
def test_another_record_is_refused(value: object) -> None:
    """A canister whose status means something else is told apart."""
    with pytest.raises(AttachError, match="status"):
        MemberStatus.from_candid(value)


@pytest.mark.parametrize("name", ["fenced", "upstream_head", "stable_bytes"])
def test_a_missing_field_is_not_taken_for_an_empty_one(name: str) -> None:
    """An older interface is told apart."""
    with pytest.raises(AttachError, match=name):
        MemberStatus.from_candid({key: value for key, value in STATUS.items() if key != name})
