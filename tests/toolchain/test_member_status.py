"""What a canister says of itself."""

from collections.abc import Mapping

import pytest

from icfleet.errors import AttachError
from icfleet.member_status import MemberStatus
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER
from icfleet_router.position import Position
from icfleet_router.roles import Role

STATUS: Mapping[str, object] = {
    "role": {"Main": None},
    "as_of": {"epoch": 1, "seq": 7},
    "chain_hash": b"\x01" * 32,
    "upstream": None,
    "replicas": [{"id": ANONYMOUS, "seen": {"epoch": 1, "seq": 6}, "seen_at": 5}],
    "main": MANAGEMENT_CANISTER,
    "pulled_at": 0,
    "pull_error": None,
    "cycles": 12,
    "figures": [],
}


def test_a_status_is_read() -> None:
    """Role, position, hash and neighbours come out typed."""
    status = MemberStatus.from_candid(STATUS)

    assert status == MemberStatus(
        role=Role.MAIN,
        position=Position(1, 7),
        chain_hash=b"\x01" * 32,
        upstream=None,
        replicas=frozenset({ANONYMOUS}),
        pull_error=None,
        cycles=12,
    )


def test_a_replica_is_told_from_a_main() -> None:
    """The variant's case decides."""
    assert MemberStatus.from_candid({**STATUS, "role": {"Replica": None}}).role is Role.REPLICA


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(7, id="no-record"),
        pytest.param({"role": {"Main": None}}, id="too-few-fields"),
        pytest.param({**STATUS, "as_of": {"epoch": 1}}, id="half-a-position"),
        pytest.param({**STATUS, "replicas": [7]}, id="odd-replica"),
    ],
)
def test_another_record_is_refused(value: object) -> None:
    """A canister whose status means something else is told apart."""
    with pytest.raises(AttachError, match="status"):
        MemberStatus.from_candid(value)
