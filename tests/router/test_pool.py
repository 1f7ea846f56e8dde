"""Whom the next read goes to."""

import pytest

from icfleet_protocol.principal import Principal
from icfleet_router import Position, Role
from icfleet_router.balancing import Load
from icfleet_router.health import Health
from icfleet_router.pool import Belief, Member, Pool
from icfleet_router.position import START

AHEAD = Position(1, 10)
BEHIND = Position(1, 5)


def _member(name: str, *, weight: int = 1) -> Member:
    role = Role.MAIN if name == "main" else Role.REPLICA
    canister = Principal(name.encode())
    return Member(name, canister, role, Load(weight), Health(3, 30.0), Belief(0.5))


def _pool(*names: str) -> Pool:
    return Pool([_member(name) for name in names])


def _by_name(pool: Pool, name: str) -> Member:
    return next(member for member in pool if member.name == name)


def _take_down(member: Member, now_s: float = 0.0) -> None:
    for _ in range(3):
        member.failed(now_s)


def _pick(pool: Pool, floor: Position = START, *tried: str, now_s: float = 0.0) -> str:
    return pool.pick_read(floor, set(tried), now_s, prefer_main=False).name


def test_reads_rotate_over_the_replicas_and_spare_main() -> None:
    """Main is for writes as long as a replica can answer."""
    pool = _pool("main", "replica_1", "replica_2")

    assert [_pick(pool) for _ in range(4)] == ["replica_1", "replica_2"] * 2


def test_without_replicas_main_answers() -> None:
    """A fleet may begin with one canister."""
    assert _pick(_pool("main")) == "main"


def test_a_replica_known_to_be_behind_is_passed_over() -> None:
    """Read-your-writes must not cost a failed attempt each time."""
    pool = _pool("main", "replica_1", "replica_2")
    pool.learned(_by_name(pool, "replica_1"), BEHIND, 0.0)

    assert [_pick(pool, AHEAD) for _ in range(2)] == ["replica_2", "replica_2"]


def test_when_all_replicas_are_behind_main_answers() -> None:
    """Main has everything."""
    pool = _pool("main", "replica_1")
    pool.learned(_by_name(pool, "replica_1"), BEHIND, 0.0)

    assert _pick(pool, AHEAD) == "main"


def test_a_belief_grows_old_and_one_read_finds_out() -> None:
    """A replica pulls on: after half a second one read tries, and the others wait for its word."""
    pool = _pool("main", "replica_1")
    replica = _by_name(pool, "replica_1")
    pool.learned(replica, BEHIND, 0.0)

    before, after = (_pick(pool, AHEAD, now_s=now_s) for now_s in (0.4, 0.6))
    replica.sent(AHEAD, 0.6)
    meanwhile = _pick(pool, AHEAD, now_s=0.7)
    pool.learned(replica, AHEAD, 0.8)

    assert (before, after, meanwhile) == ("main", "replica_1", "main")
    assert _pick(pool, AHEAD, now_s=0.8) == "replica_1"


def test_a_reinstalled_replica_is_believed_to_be_empty() -> None:
    """The last word counts, not the highest."""
    pool = _pool("main", "replica_1")
    pool.learned(_by_name(pool, "replica_1"), AHEAD, 0.0)
    pool.learned(_by_name(pool, "replica_1"), START, 1.0)

    assert _pick(pool, BEHIND, now_s=1.1) == "main"


def test_a_replica_that_is_down_gets_no_reads_but_one_trial() -> None:
    """``fail_timeout`` later one read finds out whether it is back."""
    pool = _pool("main", "replica_1")
    replica = _by_name(pool, "replica_1")
    _take_down(replica)

    assert _pick(pool, now_s=1.0) == "main"
    assert _pick(pool, now_s=31.0) == "replica_1"

    replica.sent(START, 31.0)

    assert _pick(pool, now_s=31.1) == "main"


def test_with_main_down_a_replica_last_seen_behind_is_asked() -> None:
    """It may have caught up, and its answer is checked."""
    pool = _pool("main", "replica_1")
    pool.learned(_by_name(pool, "replica_1"), BEHIND, 0.0)
    _take_down(pool.main)

    assert _pick(pool, AHEAD) == "replica_1"


def test_when_all_are_down_somebody_is_asked_anyway() -> None:
    """As nginx does: no answer at all would be worse than trying."""
    pool = _pool("main", "replica_1")
    for member in pool:
        _take_down(member)

    first = _pick(pool)

    assert {first, _pick(pool, START, first)} == {"main", "replica_1"}


def test_when_all_were_asked_main_is_asked_again() -> None:
    """Main's nodes are a round apart: the next one may have it."""
    assert _pick(_pool("main", "replica_1"), AHEAD, "main", "replica_1") == "main"


def test_main_can_be_preferred() -> None:
    """The last attempt goes where the data surely is."""
    pool = _pool("main", "replica_1")

    assert pool.pick_read(START, (), 0.0, prefer_main=True).name == "main"


def test_weights_and_calls_in_flight_count() -> None:
    """A replica of weight two takes two calls for the other's one."""
    pool = Pool([_member("main"), _member("replica_1", weight=2), _member("replica_2")])

    for _ in range(6):
        _by_name(pool, _pick(pool)).sent(START, 0.0)

    assert [member.load.in_flight_count for member in pool] == [0, 4, 2]


def test_promotion_swaps_the_roles() -> None:
    """There is one main, always."""
    pool = _pool("main", "replica_1")

    pool.promote(_by_name(pool, "replica_1"))

    assert pool.main.name == "replica_1"
    assert _pick(pool) == "main"


def test_the_highest_epoch_is_remembered() -> None:
    """A main of an earlier epoch has been replaced."""
    pool = _pool("main", "replica_1")

    pool.learned(pool.main, Position(3, 1), 0.0)
    pool.learned(_by_name(pool, "replica_1"), Position(2, 9), 0.0)

    assert pool.epoch_seen == 3


def test_two_mains_are_a_programming_error() -> None:
    """Roles are settled before a pool is made."""
    with pytest.raises(AssertionError):
        Pool([_member("main"), _member("main")])
