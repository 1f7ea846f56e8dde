"""The fleet at a glance, and what is wrong with it."""

import json
from dataclasses import asdict

import pytest
from modelled_fleet import ADMIN, NOW_NS, SETTINGS, ModelledFleet

from icfleet.admin_calls import Member
from icfleet.errors import AttachError
from icfleet.fleet import Control
from icfleet.fleet_status import CanisterLine, FleetReport, fleet_report
from icfleet_router.heads import VerifiedHead


async def report_of(fleet: ModelledFleet) -> FleetReport:
    return await fleet_report(fleet, network="local", url="http://127.0.0.1:4943")


async def lines_of(fleet: ModelledFleet) -> dict[str, CanisterLine]:
    return {line.name: line for line in (await report_of(fleet)).canisters}


async def test_a_fleet_at_rest_has_nothing_wrong() -> None:
    """Heads are proven, everybody is level, and rights stand beside controllers."""
    fleet = ModelledFleet.joined()
    fleet["replica_1"].is_frozen = True
    fleet["replica_1"].pulled_at_ns = NOW_NS - 7_000_000_000

    report = await report_of(fleet)

    main, replica, _ = report.canisters
    assert (report.main, report.is_complete, report.divergences) == ("main", True, ())
    assert [line.error for line in report.canisters] == [None] * 3
    assert [line.lag for line in report.canisters] == [0] * 3
    assert all(line.is_verified for line in report.canisters)
    assert (replica.lag_s, main.lag_s) == (7.0, None)
    assert (replica.upstream, replica.path) == ("main", ("main",))
    assert (main.admins, main.controllers) == ((str(ADMIN),), (str(ADMIN),))
    assert main.settings == SETTINGS
    assert [one["name"] for one in main.replicas] == ["replica_1", "replica_2"]


async def test_the_report_is_json() -> None:
    """Whatever it holds, a script can read it."""
    json.dumps(asdict(await report_of(ModelledFleet.joined())))


async def test_a_silent_canister_has_a_line_all_the_same() -> None:
    fleet = ModelledFleet.joined()
    fleet.silent = {"replica_1"}

    report = await report_of(fleet)

    assert not report.is_complete
    assert report.canisters[1].error == "replica_1 does not answer"
    assert report.canisters[1].is_verified is None


async def test_lag_is_told_from_the_main_that_decides_now() -> None:
    """After a switch-over that is not the one that the files name."""
    fleet = ModelledFleet.joined()
    fleet["main"].is_main, fleet["replica_1"].is_main = False, True
    fleet["replica_1"].begin(2)
    fleet["replica_1"].write(3)

    lines = await lines_of(fleet)

    assert (lines["main"].lag, lines["replica_1"].lag) == (4, 0)


async def test_a_fenced_main_says_why() -> None:
    fleet = ModelledFleet.joined()
    fleet["main"].fence = "epoch 7 was seen at x"

    report = await report_of(fleet)

    assert report.main is None
    assert report.canisters[0].error == "decides nothing: epoch 7 was seen at x"


async def test_a_second_main_and_its_history_are_told() -> None:
    fleet = ModelledFleet.joined()
    fleet["replica_1"].is_main = True
    fleet["replica_1"].begin(2)
    fleet["main"].write(4)

    line = (await lines_of(fleet))["main"]

    assert line.lag is None
    assert line.error == (
        "still takes writes, though replica_1 is a later main; has another history than the main "
        "at 2.12"
    )


async def test_a_write_while_all_are_asked_is_no_other_history() -> None:
    fleet = ModelledFleet.joined()
    fleet.stale["main"] = fleet.status_of("main")
    fleet["main"].write(4)

    lines = await lines_of(fleet)

    assert [line.error for line in lines.values()] == [None] * 3


class Unproven(ModelledFleet):
    """Its controllers are not known, and one canister proves another history."""

    async def control(self, member: Member) -> Control:
        message = f"the controllers of {member.name} are not known: no route"
        raise AttachError(message)

    async def head(self, member: Member) -> VerifiedHead:
        head = await super().head(member)
        if member.name == "replica_2":
            return VerifiedHead(head.position, b"\x77" * 32, NOW_NS)
        return head


async def test_what_is_not_proven_is_shown_and_not_ignored() -> None:
    fleet = Unproven.joined()
    fleet.unproven = {"replica_1"}

    report = await report_of(fleet)

    main, replica, _ = report.canisters
    assert main.error == "the controllers of main are not known: no route"
    assert replica.is_verified is False
    assert replica.error is not None
    assert "replica_1 does not prove its head" in replica.error


async def test_two_proven_histories_are_a_divergence() -> None:
    """By certificates, though each canister's own word looks well."""
    report = await report_of(Unproven.joined())

    (divergence,) = report.divergences
    assert divergence.startswith("at 1.11 there are 2 histories: ")
    assert "replica_2 (77777777)" in divergence


@pytest.mark.parametrize("seq", [0, 11])
async def test_a_main_that_was_never_opened_is_told(seq: int) -> None:
    """Also beside replicas that have kept what they had."""
    fleet = ModelledFleet.joined() if seq else ModelledFleet()
    fleet["main"].wipe()

    report = await report_of(fleet)

    assert report.canisters[0].error == "decides nothing: not opened"
    assert report.canisters[1].seq == seq
    assert (report.canisters[1].lag is None) == bool(seq)
