"""Decisions about joining a fleet."""

import io
from dataclasses import replace

import pytest
from modelled_fleet import ModelledFleet

from icfleet.admin_calls import Member, admin_call
from icfleet.attach import AttachReport, attach_fleet, check_roles, shared_subnets
from icfleet.errors import AdminRefusedError, AttachError
from icfleet.following import has_caught_up, share_done
from icfleet.progress import QuietProgress
from icfleet_agent.errors import UncertifiedRejectError
from icfleet_protocol.candid import ServiceInterface
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER, Principal
from icfleet_router.position import Position
from icfleet_router.roles import Role

SUBNET_A = Principal(b"\x0a")
SUBNET_B = Principal(b"\x0b")
MAIN = replace(
    ModelledFleet.joined().status_of("main"), position=Position(1, 7), chain_hash=b"\x01" * 32
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
        pytest.param("Diverged: the upstream is at 1/90", id="told-by-main"),
        pytest.param("Diverged: at 7 the chain hashes differ", id="found-by-the-replica"),
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
    assert has_caught_up(MAIN, replace(REPLICA, pull_error="Diverged: once"), MAIN)


def test_a_replica_that_is_not_whole_has_not_caught_up() -> None:
    """Its reads are rejected, wherever it is."""
    seeding = replace(REPLICA, phase="Seeding", figures={"seeded_slots": 3})

    assert not has_caught_up(MAIN, seeding, MAIN)
    assert not has_caught_up(MAIN, replace(REPLICA, phase="Rebuilding"), MAIN)


def test_progress_is_rows_while_seeding_and_records_after() -> None:
    """From 0 to 1, whatever the figures say."""
    whole = replace(MAIN, figures={"slots": 12})
    seeding = replace(REPLICA, phase="Seeding", figures={"seeded_slots": 3})

    assert share_done(seeding, whole) == 0.25
    assert share_done(replace(seeding, figures={"seeded_slots": 90}), whole) == 1.0
    assert share_done(replace(REPLICA, position=Position(1, 0)), MAIN) == 0.0
    assert share_done(REPLICA, replace(MAIN, position=Position(0, 0))) == 1.0


def test_roles_are_compared_with_dfx_json() -> None:
    """A replica installed as a main would take writes of its own."""
    fleet = ModelledFleet(1)
    statuses = {"main": MAIN, "replica_1": REPLICA}

    check_roles(fleet, statuses)
    with pytest.raises(AttachError, match=r"replica_1 .* was installed as main.*Replica"):
        check_roles(fleet, {**statuses, "replica_1": ModelledFleet().status_of("main")})
    with pytest.raises(AttachError, match=r"main .* was installed as replica.*Main"):
        check_roles(fleet, {**statuses, "main": ModelledFleet().status_of("replica_1")})


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

    query = call


async def test_a_done_call_tells_where_the_canister_is() -> None:
    """By consensus, unlike a query."""
    caller = ScriptedCaller({"Done": {"epoch": 1, "seq": 3}})

    position = await admin_call(caller, member("main"), "attach", ANONYMOUS)

    assert position == Position(1, 3)
    assert caller.asked == [("main", "attach", (ANONYMOUS,))]


@pytest.mark.parametrize(
    ("answer", "words", "code"),
    [
        pytest.param(
            {"Forbidden": "no admin"},
            "refuses attach: no admin; only an admin",
            "Forbidden",
            id="right",
        ),
        pytest.param(
            {"Invalid": {"code": "ToItself", "reason": "itself"}},
            "refuses attach: itself; name another canister",
            "ToItself",
            id="argument",
        ),
        pytest.param(
            {"Invalid": {"code": "WrongEpoch", "reason": "this is epoch 3"}},
            "this is epoch 3; the fleet has changed meanwhile",
            "WrongEpoch",
            id="epoch",
        ),
        pytest.param(
            {"Invalid": {"code": "Cycle", "reason": "a circle"}},
            "a circle; let it follow the main",
            "Cycle",
            id="cycle",
        ),
        pytest.param(
            {"Invalid": {"code": "New", "reason": "unheard of"}}, "unheard of$", "New", id="unknown"
        ),
        pytest.param({"Done": None}, "does not say", "", id="other-record"),
        pytest.param(7, "does not say", "", id="other-interface"),
    ],
)
async def test_a_refused_call_says_what_to_do(answer: object, words: str, code: str) -> None:
    """The canister's reason is passed on, with the way out where there is one."""
    with pytest.raises(AdminRefusedError, match=words) as caught:
        await admin_call(ScriptedCaller(answer), member("main"), "attach", ANONYMOUS)

    assert caught.value.code == code


class RefusingCaller:
    """Turned away by ``inspect_message``, before the method could say why."""

    async def call(self, member: Member, method: str, *args: object) -> object:
        """Refuse."""
        reason = f"{member.name} did not accept {method}{args}"
        raise UncertifiedRejectError(4, reason, "IC0406")

    query = call


async def test_a_call_turned_away_at_the_door_says_what_to_do() -> None:
    """The same way out as for a refusal by the method itself."""
    with pytest.raises(AttachError, match=r"did not accept attach.*only an admin"):
        await admin_call(RefusingCaller(), member("main"), "attach", ANONYMOUS)


async def attach(fleet: ModelledFleet, timeout_s: float = 5) -> AttachReport:
    """Attach without anybody watching."""
    return await attach_fleet(
        fleet,
        fleet,
        network="local",
        timeout_s=timeout_s,
        progress=QuietProgress(io.StringIO()),
    )


async def test_a_new_fleet_is_opened_joined_and_waited_for() -> None:
    """The upstream is told first, so that a replica's first pull is answered."""
    fleet = ModelledFleet(1)

    report = await attach(fleet)

    assert fleet.asked == [
        ("main", "promote", (0, 1)),
        ("main", "attach", (fleet.replicas[0].id,)),
        ("replica_1", "follow", (fleet.main.id,)),
    ]
    assert fleet.deciding == ["main"]
    assert [(line.epoch, line.seq) for line in (report.main, *report.replicas)] == [(1, 1), (1, 1)]
    assert report.warnings == ()


async def test_attaching_again_makes_no_admin_call() -> None:
    """So anybody may do it."""
    fleet = ModelledFleet.joined()
    fleet.stranger = {one.name for one in fleet.members}

    await attach(fleet)

    assert fleet.asked == []


async def test_a_replica_that_does_not_come_is_told_with_its_reason() -> None:
    """The time-out names where it stands, and what its last pull said."""
    fleet = ModelledFleet.joined(1)
    fleet["replica_1"].is_frozen, fleet["replica_1"].trouble = True, "NotAttached"
    fleet["main"].write(4)

    with pytest.raises(
        AttachError, match=r"main was at 1\.15.*replica_1 is at 1\.11 \(NotAttached\)"
    ):
        await attach(fleet, timeout_s=0.3)


async def test_a_replica_with_another_history_is_not_waited_for() -> None:
    """The error names the way out."""
    fleet = ModelledFleet.joined(1)
    fleet["replica_1"].roll_back(1)
    fleet["replica_1"].append(b"\x01")

    with pytest.raises(
        AttachError, match=r"replica_1 is at 1\.11 .*another history.*'icfleet reseed replica_1'"
    ):
        await attach(fleet, timeout_s=30)


async def test_writes_while_all_are_asked_do_not_look_like_another_history() -> None:
    """The replica answered after a write that main's own answer does not have yet."""
    fleet = ModelledFleet.joined(1)
    fleet.stale["main"] = fleet.status_of("main")
    fleet["main"].write(4)

    report = await attach(fleet)

    assert (report.main.seq, report.replicas[0].seq) == (15, 15)


async def test_a_reinstalled_main_is_not_opened_over_its_replicas_data() -> None:
    """Both ways out are named."""
    fleet = ModelledFleet.joined()
    fleet["main"].wipe()

    with pytest.raises(AttachError, match="main was reinstalled") as caught:
        await attach(fleet)

    assert "replica_1 is at 1.11, replica_2 is at 1.11" in str(caught.value)
    assert "'icfleet promote replica_1'" in str(caught.value)
    assert "'icfleet reseed replica_1'" in str(caught.value)
    assert fleet.asked == []


async def test_a_main_is_opened_above_every_epoch_that_anybody_remembers() -> None:
    """A replica that was never filled may have heard of epochs all the same."""
    fleet = ModelledFleet()
    fleet["replica_1"].upstream_head = Position(6, 40)

    await attach(fleet)

    assert fleet["main"].position.epoch == 7


async def test_an_unfinished_switch_over_is_named_as_such() -> None:
    """Nobody decides; the command that finishes it is named."""
    fleet = ModelledFleet.joined()
    fleet["main"].is_main = False

    with pytest.raises(AttachError, match=r"nobody is main.*'icfleet promote NAME' finishes it"):
        await attach(fleet)


async def test_a_switch_over_that_the_files_do_not_know_is_told_with_the_lines_to_add() -> None:
    """Also when both are at one position."""
    fleet = ModelledFleet.joined()
    fleet["main"].is_main, fleet["replica_1"].is_main = False, True
    fleet["replica_1"].begin(2)
    fleet["main"].upstream = fleet.replicas[0].id
    fleet["replica_1"].attached = [fleet.main.id]
    fleet.pull()

    with pytest.raises(AttachError) as caught:
        await attach(fleet)

    assert str(caught.value).splitlines()[1:] == [
        "[tool.icfleet.roles]",
        'main = "replica"',
        'replica_1 = "main"',
    ]


async def test_a_fenced_main_is_told_with_who_is_furthest() -> None:
    """A rolled back main has lost what its replicas have."""
    fleet = ModelledFleet.joined()
    fleet["main"].roll_back(3)

    with pytest.raises(
        AttachError, match=r"rolled back.*'icfleet promote replica_1' makes it main"
    ):
        await attach(fleet)


async def test_an_old_main_that_comes_back_is_stopped_and_its_tail_is_named() -> None:
    """What it decides would be lost, so it is demoted before anything else."""
    fleet = ModelledFleet.joined()
    fleet["replica_1"].is_main = True
    fleet["replica_1"].begin(2)
    fleet["main"].write(5)
    fleet.main, fleet.replicas = fleet.members[1], (fleet.members[0], fleet.members[2])

    with pytest.raises(AttachError, match=r"main is at 1\.16.*export-tail main.*reseed main"):
        await attach(fleet)

    assert fleet.methods == [("main", "demote")]


async def test_an_old_main_without_a_tail_simply_follows() -> None:
    """Nothing is lost by that."""
    fleet = ModelledFleet.joined()
    fleet["replica_1"].is_main = True
    fleet["replica_1"].begin(2)
    fleet.main, fleet.replicas = fleet.members[1], (fleet.members[0], fleet.members[2])

    await attach(fleet)

    assert fleet.deciding == ["replica_1"]
    assert fleet["main"].upstream == fleet["replica_2"].upstream == fleet.main.id


async def test_a_chain_is_joined_from_the_main_on() -> None:
    """Each canister is attached where it pulls, and nowhere else."""
    fleet = ModelledFleet(3, upstreams={"replica_1": "replica_3", "replica_3": "replica_2"})

    await attach(fleet)

    assert fleet["main"].attached == [fleet.members[2].id]
    assert fleet["replica_2"].attached == [fleet.members[3].id]
    assert fleet["replica_3"].attached == [fleet.members[1].id]
    assert [name for name, method in fleet.methods if method == "follow"] == [
        *("replica_2", "replica_3", "replica_1")
    ]


async def test_a_canister_that_dfx_json_does_not_name_is_warned_of() -> None:
    """It still costs main a query a second."""
    fleet = ModelledFleet.joined()
    fleet["main"].attached.append(SUBNET_A)

    report = await attach(fleet)

    assert [warning.partition(": ")[2] for warning in report.warnings] == [
        f"icfleet detach {SUBNET_A}"
    ]


async def test_a_head_that_is_not_proven_is_an_error() -> None:
    """Equal positions are one node's word; the certificate is not."""
    fleet = ModelledFleet.joined()
    fleet.unproven = {"replica_2"}

    with pytest.raises(AttachError, match="replica_2 does not prove its head"):
        await attach(fleet)
