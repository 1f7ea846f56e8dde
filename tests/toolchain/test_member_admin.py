"""Reseeding, detaching and configuring one canister of a fleet."""

import io

import pytest
from modelled_fleet import SETTINGS, ModelledFleet

from icfleet.asking import Ask
from icfleet.errors import AdminRefusedError, SwitchOverError, ToolchainError
from icfleet.following import MemberReport
from icfleet.member_admin import configure, detach, parse_settings, reseed
from icfleet.progress import QuietProgress
from icfleet_protocol.principal import Principal


class Asked:
    """Says yes, and remembers what it was shown."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, text: str, word: str) -> None:
        assert word in text
        self.text = text


async def run_reseed(
    fleet: ModelledFleet, name: str = "replica_1", *, ask: Ask | None = None
) -> MemberReport:
    progress = QuietProgress(io.StringIO())
    return await reseed(fleet, fleet, name, ask=ask or Asked(), timeout_s=5, progress=progress)


async def test_a_diverged_replica_is_a_replica_again() -> None:
    """The question says that everything it holds goes."""
    fleet = ModelledFleet.joined()
    fleet["replica_1"].roll_back(2)
    fleet["replica_1"].append(b"\x01")
    asked = Asked()

    report = await run_reseed(fleet, ask=asked)

    assert fleet["replica_1"].hashes == fleet["main"].hashes
    assert report.seq == 11
    assert "replica_1 is at 1.10. Everything that it holds is thrown away" in asked.text
    assert "Its history is another" in asked.text


async def test_an_old_main_becomes_a_replica_and_its_tail_is_counted_first() -> None:
    fleet = ModelledFleet.joined()
    fleet["replica_1"].is_main = True
    fleet["replica_1"].begin(2)
    fleet["main"].write(7)
    asked = Asked()

    await run_reseed(fleet, "main", ask=asked)

    assert "7 records that it has are not in the history of replica_1" in asked.text
    assert "icfleet export-tail main --out tail.json" in asked.text
    assert fleet.deciding == ["replica_1"]
    assert fleet["main"].hashes == fleet["replica_1"].hashes


async def test_a_fleet_may_begin_anew_on_purpose() -> None:
    """The reinstalled main is opened above the epoch that is thrown away."""
    fleet = ModelledFleet.joined(1)
    fleet["main"].wipe()

    await run_reseed(fleet)

    assert fleet["main"].decides
    assert fleet["main"].position.epoch == 2
    assert fleet["replica_1"].hashes == fleet["main"].hashes


async def test_the_main_cannot_be_reseeded() -> None:
    with pytest.raises(SwitchOverError, match=r"main is the main.*'icfleet promote NAME'"):
        await run_reseed(ModelledFleet.joined(), "main")


async def test_there_must_be_a_main_to_take_over_from() -> None:
    fleet = ModelledFleet.joined()
    fleet["main"].is_main = False

    with pytest.raises(SwitchOverError, match="nobody is main"):
        await run_reseed(fleet)


async def test_nothing_is_taken_over_from_a_main_that_a_silent_one_has_replaced() -> None:
    """Else what only the members of the later epoch have would be thrown away."""
    fleet = ModelledFleet.joined()
    fleet["replica_1"].is_main = True
    fleet["replica_1"].begin(2)
    fleet["replica_1"].attached.append(fleet.replicas[1].id)
    fleet["replica_2"].upstream = fleet.replicas[0].id
    fleet.pull()
    fleet.silent = {"replica_1"}

    with pytest.raises(SwitchOverError, match=r"main is at 1\.11 and epoch 2 has begun.*--force"):
        await run_reseed(fleet, "replica_2")

    assert fleet.asked == []


async def test_nothing_is_thrown_away_if_the_answer_is_no() -> None:
    def refuse(_text: str, _word: str) -> None:
        message = "nothing was done"
        raise ToolchainError(message)

    fleet = ModelledFleet.joined()

    with pytest.raises(ToolchainError):
        await run_reseed(fleet, ask=refuse)

    assert fleet.asked == []


async def test_a_canister_is_detached_wherever_it_is_attached() -> None:
    """Also one that is no canister of dfx.json any more."""
    fleet = ModelledFleet.joined()
    gone = Principal(b"\x07\x01")
    fleet["main"].attached.append(gone)
    fleet["replica_1"].attached.append(gone)

    report = await detach(fleet, fleet, str(gone))
    again = await detach(fleet, fleet, str(gone))

    assert report.detached_from == ("main", "replica_1")
    assert gone not in fleet["main"].attached
    assert again.detached_from == ()


async def test_a_name_that_nobody_has_is_told() -> None:
    fleet = ModelledFleet.joined()

    with pytest.raises(SwitchOverError, match="'replica_9' is neither a canister of the fleet"):
        await detach(fleet, fleet, "replica_9")


async def test_settings_that_are_not_named_stay() -> None:
    fleet = ModelledFleet.joined()
    fleet["replica_1"].settings["rate_limit"] = 7

    report = await configure(fleet, fleet, ["replica_1"], {"pull_idle_s": 5})

    assert report.settings == {"replica_1": {**SETTINGS, "rate_limit": 7, "pull_idle_s": 5}}
    assert fleet["replica_2"].settings == SETTINGS


async def test_all_canisters_are_configured_without_a_name() -> None:
    fleet = ModelledFleet.joined()

    await configure(fleet, fleet, [], {"log_pages_max": 500})

    assert {one.settings["log_pages_max"] for one in fleet.canisters.values()} == {500}


async def test_an_unknown_setting_is_told_before_anything_is_changed() -> None:
    fleet = ModelledFleet.joined()

    with pytest.raises(SwitchOverError, match="no setting 'pull_idle'; there are pull_idle_s, "):
        await configure(fleet, fleet, [], {"pull_idle": 5})

    assert fleet.asked == []


async def test_a_value_out_of_range_is_the_canisters_to_refuse() -> None:
    fleet = ModelledFleet.joined()

    with pytest.raises(AdminRefusedError, match="pull_idle_s is 1 to 30") as caught:
        await configure(fleet, fleet, ["main"], {"pull_idle_s": 31})

    assert caught.value.code == "BadSetting"


def test_settings_are_written_as_key_and_number() -> None:
    assert parse_settings(["pull_idle_s=5", "log_pages_max=40_000"]) == {
        "pull_idle_s": 5,
        "log_pages_max": 40_000,
    }


@pytest.mark.parametrize("word", ["pull_idle_s", "pull_idle_s=", "a=-1", "a=1.5", "a=" + "9" * 10])
def test_anything_else_is_no_setting(word: str) -> None:
    with pytest.raises(SwitchOverError, match="write key=value with a whole number"):
        parse_settings([word])
