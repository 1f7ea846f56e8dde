"""Decisions about joining a fleet."""

import io
from dataclasses import replace

import pytest

from icfleet.admin_calls import Member
from icfleet.attach import (
    AttachReport,
    admin_call,
    attach_fleet,
    check_roles,
    has_caught_up,
    shared_subnets,
)
from icfleet.errors import AttachError
from icfleet.member_status import MemberStatus
from icfleet.progress import QuietProgress
from icfleet_agent.errors import UncertifiedRejectError
from icfleet_protocol.candid import ServiceInterface
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER, Principal
from icfleet_router.position import Position
from icfleet_router.roles import Role

SUBNET_A = Principal(b"\x0a")
SUBNET_B = Principal(b"\x0b")
MAIN = MemberStatus(
    role=Role.MAIN,
    position=Position(1, 7),
    chain_hash=b"\x01" * 32,
    upstream=None,
    replicas=frozenset(),
    pull_error=None,
    cycles=None,
)
REPLICA = replace(MAIN, role=Role.REPLICA)


def member(name: str) -> Member:
    """A canister whose interface does not matter."""
    return Member(name=name, id=MANAGEMENT_CANISTER, interface=ServiceInterface())


def test_a_replica_at_mains_position_has_caught_up() -> None:
    """Equality is what a fleet at rest comes to."""
    assert has_caught_up(MAIN, REPLICA, MAIN)


def test_a_replica_need_not_reach_a_moving_main() -> None:
    """Under load it is enough to have what the main had when the watching began."""
    moved = replace(MAIN, position=Position(1, 90))

    assert has_caught_up(moved, REPLICA, MAIN)
    assert not has_caught_up(moved, REPLICA, replace(MAIN, position=Position(1, 8)))


def test_a_replica_of_an_older_epoch_is_behind() -> None:
    """A fresh replica is in epoch 0, before everything."""
    fresh = replace(REPLICA, position=Position(0, 900), chain_hash=b"\x02" * 32)

    assert not has_caught_up(MAIN, fresh, MAIN)


def test_another_history_is_told() -> None:
    """The same position with another chain hash will never become right by waiting."""
    with pytest.raises(AttachError, match="another history"):
        has_caught_up(MAIN, replace(REPLICA, chain_hash=b"\x02" * 32), MAIN)


def test_a_replica_ahead_of_main_has_another_history() -> None:
    """Main was reinstalled, and the replica has kept the old log."""
    ahead = replace(REPLICA, position=Position(1, 500), chain_hash=b"\x02" * 32)

    with pytest.raises(AttachError, match=r"is at 1\.500 and has another history .* at 1\.7"):
        has_caught_up(MAIN, ahead, MAIN)


def test_another_hash_where_the_watching_began_is_told_when_main_has_moved() -> None:
    """A reinstalled main under load soon leaves the position that both had."""
    moved = replace(MAIN, position=Position(1, 9), chain_hash=b"\x03" * 32)

    with pytest.raises(AttachError, match="another history"):
        has_caught_up(moved, replace(REPLICA, chain_hash=b"\x02" * 32), MAIN)


@pytest.mark.parametrize(
    "pull_error",
    [
        pytest.param("diverged from the upstream, which is at 1/90", id="told-by-main"),
        pytest.param("diverged at 7: the chain hashes differ", id="found-by-the-replica"),
    ],
)
def test_a_diverged_replica_is_told_even_where_it_has_the_target(pull_error: str) -> None:
    """A reinstalled main may have overtaken it; below or above the target makes no difference."""
    moved = replace(MAIN, position=Position(1, 90), chain_hash=b"\x03" * 32)
    for seq in (2, 40):
        other = replace(REPLICA, position=Position(1, seq), pull_error=pull_error)
        with pytest.raises(AttachError, match="another history"):
            has_caught_up(moved, other, MAIN)


def test_equal_histories_outweigh_what_an_older_pull_said() -> None:
    """The pull error may be from before main was restored."""
    assert has_caught_up(MAIN, replace(REPLICA, pull_error="diverged at 7: once"), MAIN)


def test_roles_are_compared_with_dfx_json() -> None:
    """A replica installed as a main would take writes of its own."""
    main, replica = member("main"), member("replica_1")

    check_roles(main, (replica,), {"main": MAIN, "replica_1": REPLICA})
    with pytest.raises(AttachError, match=r"replica_1 .* was installed as main.*Replica"):
        check_roles(main, (replica,), {"main": MAIN, "replica_1": MAIN})


def test_members_of_one_subnet_are_warned_of() -> None:
    """One warning for each crowded subnet, none for a canister alone."""
    crowded = {"main": SUBNET_A, "replica_1": SUBNET_B, "replica_2": SUBNET_A}

    (warning,) = shared_subnets(crowded)

    assert warning.startswith(f"main, replica_2 share subnet {SUBNET_A}")
    assert shared_subnets({"main": SUBNET_A, "replica_1": SUBNET_B}) == ()


class ScriptedCaller:
    """Answers every admin call alike, and remembers what was asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, tuple[object, ...]]] = []

    async def call(self, member: Member, method: str, *args: object) -> object:
        """Give the scripted answer."""
        self.asked.append((member.name, method, args))
        return self.answer


async def test_a_done_call_says_nothing() -> None:
    """Success needs no words."""
    caller = ScriptedCaller({"Done": {"epoch": 1, "seq": 1}})

    await admin_call(caller, member("main"), "attach", ANONYMOUS)

    assert caller.asked == [("main", "attach", (ANONYMOUS,))]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(
            {"Forbidden": "no admin"}, "refuses attach: no admin; only an admin", id="right"
        ),
        pytest.param({"Invalid": "itself"}, "refuses attach: itself", id="argument"),
        pytest.param(7, "does not say", id="other-interface"),
    ],
)
async def test_a_refused_call_says_what_to_do(answer: object, words: str) -> None:
    """The canister's reason is passed on, with the way out where there is one."""
    with pytest.raises(AttachError, match=words):
        await admin_call(ScriptedCaller(answer), member("main"), "attach", ANONYMOUS)


class RefusingCaller:
    """Turned away by ``inspect_message``, before the method could say why."""

    async def call(self, member: Member, method: str, *args: object) -> object:
        """Refuse."""
        reason = f"{member.name} did not accept {method}{args}"
        raise UncertifiedRejectError(4, reason, "IC0406")


async def test_a_call_turned_away_at_the_door_says_what_to_do() -> None:
    """The same way out as for a refusal by the method itself."""
    with pytest.raises(AttachError, match=r"did not accept attach.*only an admin"):
        await admin_call(RefusingCaller(), member("main"), "attach", ANONYMOUS)


class ScriptedFleet:
    """A main and one replica, whose answers are given in turn; the last one stays.

    With ``writes_per_answer`` others write meanwhile: main moves on each time it is asked alone.
    """

    def __init__(self, *answers: MemberStatus) -> None:
        self.main = member("main")
        self.replicas = (Member(name="replica_1", id=ANONYMOUS, interface=ServiceInterface()),)
        self.main_status = MAIN
        self.answers = list(answers)
        self.writes_per_answer = 0

    async def status(self, member: Member) -> MemberStatus:
        """Only main is asked alone."""
        assert member is self.main
        before = self.main_status
        position = Position(before.position.epoch, before.position.seq + self.writes_per_answer)
        self.main_status = replace(before, position=position)
        return self.main_status

    async def statuses(self) -> dict[str, MemberStatus]:
        """Main stands still, the replica goes through its answers."""
        replica = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return {"main": self.main_status, "replica_1": replica}

    async def subnets(self) -> dict[str, Principal]:
        """Each in its own."""
        return {"main": SUBNET_A, "replica_1": SUBNET_B}


FRESH = replace(REPLICA, position=Position(0, 0), chain_hash=b"\x00" * 32)
FOLLOWING = replace(FRESH, upstream=MANAGEMENT_CANISTER)
LEVEL = replace(REPLICA, upstream=MANAGEMENT_CANISTER)


async def attach(
    fleet: ScriptedFleet, caller: ScriptedCaller, timeout_s: float = 5
) -> AttachReport:
    """Attach without anybody watching."""
    return await attach_fleet(
        fleet,
        caller,
        network="local",
        timeout_s=timeout_s,
        progress=QuietProgress(io.StringIO()),
    )


async def test_a_fresh_replica_is_joined_and_waited_for() -> None:
    """Main is told first, so that the replica's first pull is answered."""
    caller = ScriptedCaller({"Done": None})

    report = await attach(ScriptedFleet(FRESH, FOLLOWING, LEVEL), caller)

    assert caller.asked == [
        ("main", "attach", (ANONYMOUS,)),
        ("replica_1", "follow", (MANAGEMENT_CANISTER,)),
    ]
    assert [line.seq for line in report.replicas] == [7]
    assert report.warnings == ()


async def test_a_replica_that_follows_and_is_level_is_left_alone() -> None:
    """Attaching again makes no admin call, so anybody may do it."""
    fleet, caller = ScriptedFleet(LEVEL), ScriptedCaller({"Forbidden": "no"})
    fleet.main_status = replace(MAIN, replicas=frozenset({ANONYMOUS}))

    await attach(fleet, caller)

    assert caller.asked == []


async def test_a_replica_that_does_not_come_is_told_with_its_reason() -> None:
    """The time-out names where it stands, and what its last pull said."""
    stuck = replace(FOLLOWING, pull_error="NotAttached")

    with pytest.raises(
        AttachError, match=r"main was at 1\.7.*replica_1 is at 0\.0 \(NotAttached\)"
    ):
        await attach(ScriptedFleet(stuck), ScriptedCaller({"Done": None}), timeout_s=0.3)


async def test_a_replica_with_another_history_is_not_waited_for() -> None:
    """The error names it at once."""
    other = replace(LEVEL, chain_hash=b"\x05" * 32)

    with pytest.raises(AttachError, match=r"replica_1 is at 1\.7 and has another history"):
        await attach(ScriptedFleet(other), ScriptedCaller({"Done": None}), timeout_s=30)


async def test_a_replica_ahead_of_a_main_at_rest_is_not_joined_with_success() -> None:
    """Main is asked once more, and is still behind."""
    ahead = replace(LEVEL, position=Position(1, 500), chain_hash=b"\x05" * 32)

    with pytest.raises(AttachError, match=r"replica_1 is at 1\.500 and has another history"):
        await attach(ScriptedFleet(ahead), ScriptedCaller({"Done": None}), timeout_s=30)


async def test_writes_while_all_are_asked_do_not_look_like_another_history() -> None:
    """The replica answered after a write that main's own answer does not have yet."""
    overtaking = replace(LEVEL, position=Position(1, 11), chain_hash=b"\x05" * 32)
    fleet = ScriptedFleet(FRESH, FOLLOWING, overtaking)
    fleet.writes_per_answer = 3

    report = await attach(fleet, ScriptedCaller({"Done": None}), timeout_s=30)

    assert (report.main.seq, report.replicas[0].seq) == (13, 11)
