"""Making another canister the main without a loss, whatever comes in between."""

import io

import pytest
from modelled_fleet import InterruptedOperatorError, ModelledFleet

from icfleet.asking import Ask
from icfleet.errors import AdminRefusedError, AttachError, SwitchOverError, ToolchainError
from icfleet.following import wait_until_level
from icfleet.progress import QuietProgress
from icfleet.switch_over import SwitchReport, follow_new_main, switch_over


def agree(_text: str, _word: str) -> None:
    """Whoever is asked says yes."""


async def switch(
    fleet: ModelledFleet, name: str = "replica_1", *, ask: Ask = agree, timeout_s: float = 5
) -> SwitchReport:
    return await switch_over(
        fleet,
        fleet,
        name,
        ask=ask,
        timeout_s=timeout_s,
        progress=QuietProgress(io.StringIO()),
    )


def histories(fleet: ModelledFleet) -> set[bytes]:
    return {one.hashes[-1] for one in fleet.canisters.values()}


async def test_a_switch_over_loses_nothing_and_everybody_follows() -> None:
    """The old main becomes a replica, and the epoch begins after its last record."""
    fleet = ModelledFleet.joined(writes=120)
    fleet["main"].write(30)

    report = await switch(fleet)

    assert fleet.deciding == ["replica_1"]
    assert fleet["replica_1"].epochs == [(1, 1), (2, 152)]
    assert len(histories(fleet)) == 1
    assert (report.main.name, report.main.epoch, report.main.seq) == ("replica_1", 2, 152)
    assert report.former == "main"
    assert [one.name for one in report.replicas] == ["main", "replica_2"]
    assert {fleet[name].upstream for name in ("main", "replica_2")} == {fleet.replicas[0].id}


async def test_nobody_stays_attached_to_whom_it_does_not_follow() -> None:
    """A main that has slept asks all attached ones before it decides."""
    fleet = ModelledFleet.joined()

    await switch(fleet)

    assert fleet["main"].attached == []
    assert set(fleet["replica_1"].attached) == {fleet.main.id, fleet.replicas[1].id}


async def test_writes_until_the_last_moment_are_kept() -> None:
    """What main says by a node that is a round behind is not taken for its last word."""
    fleet = ModelledFleet.joined()

    def write_and_answer_late(name: str, method: str) -> None:
        if method == "demote":
            fleet.stale[name] = fleet.status_of(name)
            fleet["replica_1"].is_frozen = True
            fleet["main"].write(5)
        if method == "promote":
            assert len(fleet["replica_1"].records) == 16

    fleet.before_call = write_and_answer_late
    fleet["replica_1"].thaws_in = 3

    await switch(fleet)

    assert len(fleet["replica_1"].records) == 17
    assert len(histories(fleet)) == 1


@pytest.mark.parametrize("is_lost", [False, True], ids=["before-a-call", "after-a-call"])
@pytest.mark.parametrize("calls", range(1, 9))
async def test_interrupted_anywhere_it_is_finished_by_running_it_again(
    calls: int, *, is_lost: bool
) -> None:
    """No operation is lost, and at most one canister decides at any time."""
    fleet = ModelledFleet.joined()
    fleet.calls_left, fleet.is_lost = calls, is_lost
    try:
        await switch(fleet)
    except InterruptedOperatorError:
        assert len(fleet.deciding) <= 1
    fleet.calls_left = None

    await switch(fleet)

    assert fleet.deciding == ["replica_1"]
    assert len(histories(fleet)) == 1
    assert [record.result for record in fleet["replica_1"].records].count(b"\x00") == 10
    assert len(fleet["replica_1"].epochs) == 2


async def test_interrupted_it_can_also_be_taken_back() -> None:
    """Naming the old main makes it the main again."""
    fleet = ModelledFleet.joined()
    fleet["main"].is_main = False

    await switch(fleet, "main")

    assert fleet.deciding == ["main"]
    assert len(histories(fleet)) == 1


async def test_a_replica_that_does_not_come_is_known_before_main_is_stopped() -> None:
    """Nothing has been changed then."""
    fleet = ModelledFleet.joined()
    fleet["replica_1"].is_frozen = True
    fleet["main"].write(3)

    with pytest.raises(
        SwitchOverError, match=r"replica_1 is at 1\.11 .*main is the main as before"
    ):
        await switch(fleet, timeout_s=0.3)

    assert fleet.asked == []


async def test_a_replica_that_stops_coming_is_given_up_for_the_old_main() -> None:
    """Main is promoted again, above all epochs, and has everything it had."""
    fleet = ModelledFleet.joined()

    def freeze(_name: str, method: str) -> None:
        if method == "demote":
            fleet["main"].write(2)
            fleet["replica_1"].is_frozen = True

    fleet.before_call = freeze

    with pytest.raises(SwitchOverError, match=r"main was promoted again .* nothing is lost"):
        await switch(fleet, timeout_s=0.3)

    assert fleet.deciding == ["main"]
    assert fleet["main"].position.epoch == 2
    assert len(fleet["main"].records) == 14


async def test_a_refused_promotion_is_undone() -> None:
    """Whoever may demote main, and may not promote the replica, ends where they began."""
    fleet = ModelledFleet.joined()
    fleet.stranger = {"replica_1"}

    with pytest.raises(
        SwitchOverError, match=r"replica_1 refuses promote.*main was promoted again"
    ):
        await switch(fleet)

    assert fleet.deciding == ["main"]


async def test_a_second_operators_main_is_not_fought() -> None:
    """If another was promoted meanwhile, that one stays, and is named."""
    fleet = ModelledFleet.joined()

    def promote_another(name: str, method: str) -> None:
        if (name, method) == ("replica_1", "promote"):
            fleet["replica_2"].is_main = True
            fleet["replica_2"].begin(7)
            fleet["replica_1"].begin(5)

    fleet.before_call = promote_another

    with pytest.raises(SwitchOverError, match=r"WrongEpoch|this is epoch 5.*replica_2 is the main"):
        await switch(fleet)

    assert fleet.deciding == ["replica_2"]


async def test_a_stranger_changes_nothing() -> None:
    """And is told who may."""
    fleet = ModelledFleet.joined()
    fleet.stranger = {"main", "replica_1", "replica_2"}

    with pytest.raises(AdminRefusedError, match=r"main refuses demote.*only an admin"):
        await switch(fleet)

    assert fleet.deciding == ["main"]
    assert fleet["main"].position.epoch == 1


async def test_promoting_twice_changes_nothing_the_second_time() -> None:
    """And nobody is asked."""
    fleet = ModelledFleet.joined()
    await switch(fleet)
    fleet.asked.clear()

    def refuse(text: str, _word: str) -> None:
        raise AssertionError(text)

    report = await switch(fleet, ask=refuse)

    assert fleet.asked == []
    assert (report.main.epoch, report.former, report.warnings) == (2, None, ())


async def test_who_does_not_agree_changes_nothing() -> None:
    """The question says what happens."""
    fleet = ModelledFleet.joined()

    def refuse(text: str, word: str) -> None:
        assert word == "replica_1"
        assert "Nobody takes writes until it has all that main has, now at 1.11" in text
        message = "no"
        raise ToolchainError(message)

    with pytest.raises(ToolchainError):
        await switch(fleet, ask=refuse)

    assert fleet.asked == []


async def test_an_unknown_name_is_told_with_those_there_are() -> None:
    fleet = ModelledFleet.joined()

    with pytest.raises(SwitchOverError, match="no 'replica_9'; it has main, replica_1, replica_2"):
        await switch(fleet, "replica_9")


async def test_a_canister_may_be_named_by_its_id() -> None:
    fleet = ModelledFleet.joined()

    await switch(fleet, str(fleet.replicas[1].id))

    assert fleet.deciding == ["replica_2"]


async def test_a_silent_target_is_named() -> None:
    fleet = ModelledFleet.joined()
    fleet.silent = {"replica_1"}

    with pytest.raises(AttachError, match="replica_1 does not answer"):
        await switch(fleet)


async def test_a_silent_bystander_does_not_hold_it_up() -> None:
    """It is named in a warning, and attached later."""
    fleet = ModelledFleet.joined()
    fleet.silent = {"replica_2"}

    report = await switch(fleet)

    assert fleet.deciding == ["replica_1"]
    assert [warning for warning in report.warnings if "replica_2" in warning]


async def test_a_target_that_follows_nobody_is_attached_first() -> None:
    fleet = ModelledFleet.joined()
    fleet["replica_1"].upstream = None

    with pytest.raises(SwitchOverError, match="replica_1 does not follow main: 'icfleet attach'"):
        await switch(fleet)


async def test_a_diverged_target_is_reseeded_first() -> None:
    fleet = ModelledFleet.joined()
    fleet["replica_1"].roll_back(2)
    fleet["replica_1"].append(b"\x01")

    with pytest.raises(SwitchOverError, match="another history than main: 'icfleet reseed replica"):
        await switch(fleet)

    assert fleet.deciding == ["main"]


async def test_a_silent_canister_may_be_further_when_nobody_decides() -> None:
    """Only force can decide without it."""
    fleet = ModelledFleet.joined()
    fleet["main"].is_main = False
    fleet.silent = {"main"}

    with pytest.raises(SwitchOverError, match=r"main does not answer.*--force"):
        await switch(fleet)


async def test_a_rolled_back_main_is_replaced_by_the_furthest_replica() -> None:
    """Its replicas have fenced it, and have what it lost."""
    fleet = ModelledFleet.joined()
    fleet["main"].roll_back(4)
    fleet.pull()
    assert fleet["main"].fence is not None

    report = await switch(fleet)

    assert fleet.deciding == ["replica_1"]
    assert report.main.seq == 12
    assert len(histories(fleet)) == 1


async def test_a_fenced_main_that_lacks_records_is_not_promoted_again() -> None:
    fleet = ModelledFleet.joined()
    fleet["main"].roll_back(4)
    fleet.pull()

    with pytest.raises(SwitchOverError, match=r"replica_1 is further, at 1\.11"):
        await switch(fleet, "main")


async def test_after_a_reinstallation_a_replica_goes_on() -> None:
    """The empty main becomes a replica of it."""
    fleet = ModelledFleet.joined()
    fleet["main"].wipe()

    await switch(fleet)

    assert fleet.deciding == ["replica_1"]
    assert len(histories(fleet)) == 1


async def test_a_fleet_that_was_never_opened_is_attached_first() -> None:
    with pytest.raises(SwitchOverError, match="'icfleet attach' first"):
        await switch(ModelledFleet())


async def test_chains_are_kept() -> None:
    """Who follows a replica goes on doing so; the old main follows the new one."""
    fleet = ModelledFleet.joined(3)
    fleet.upstreams = {"replica_3": "replica_2"}
    fleet["replica_3"].upstream = fleet.replicas[1].id
    fleet["replica_2"].attached.append(fleet.replicas[2].id)

    await switch(fleet)

    assert fleet["replica_3"].upstream == fleet.replicas[1].id
    assert fleet["replica_2"].upstream == fleet.replicas[0].id
    assert fleet["main"].upstream == fleet.replicas[0].id
    assert len(histories(fleet)) == 1


async def test_a_head_that_is_not_proven_is_told_after_the_switch() -> None:
    fleet = ModelledFleet.joined()
    fleet.unproven = {"replica_2"}

    with pytest.raises(
        SwitchOverError, match=r"replica_1 is the main now.*replica_2 does not prove"
    ):
        await switch(fleet)


async def test_two_switch_overs_at_once_are_told_of_each_other() -> None:
    """The new main has no other history: it is neither to be reseeded nor demoted."""
    fleet = ModelledFleet.joined()
    mine, other = fleet.replicas
    progress = QuietProgress(io.StringIO())
    for number, one in enumerate((mine, other)):
        fleet[one.name].is_main = True
        fleet[one.name].begin(2 + 3 * number)
    fleet["main"].is_main = fleet[mine.name].is_main = False
    told = r"^replica_2 was made main meanwhile, at 5\.12: run 'icfleet status'"

    with pytest.raises(SwitchOverError, match=told):
        await follow_new_main(
            fleet, fleet, mine, former="main", pause_s=0, timeout_s=5, progress=progress
        )
    with pytest.raises(SwitchOverError, match=told):
        await wait_until_level(fleet, mine, (other,), timeout_s=5, progress=progress)

    assert fleet.asked == []
