"""What reads and writes meet in a canister that is not whole, or that was reinstalled."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from wide_fleet import COUNTER, WideFleet

from icfleet import Ed25519Identity
from icfleet.admin_calls import KeyCaller, Member
from icfleet.attach import attach_fleet
from icfleet.errors import AttachError
from icfleet.fleet import OpenFleet
from icfleet.progress import QuietProgress
from icfleet.switch_over import switch_over
from icfleet.testing import CONTROLLER, Localnet
from icfleet_agent import Agent, RejectedError
from icfleet_protocol.principal import Principal
from icfleet_router import CallEvent

pytestmark = [pytest.mark.timeout(120), pytest.mark.localnet(subnets=3)]

TIMEOUT_S = 20
ROWS = 4_000
"""Four pages, and eight slices of a rebuild."""


@pytest.fixture
def fleet(localnet: Localnet) -> WideFleet:
    return WideFleet(localnet, COUNTER, replicas_count=2)


def add(fleet: WideFleet, count: int) -> list[Principal]:
    """Give so many principals a row."""
    subjects = [Ed25519Identity.generate().sender for _ in range(count)]
    for first in range(0, count, 500):
        results = fleet.send(
            *(fleet.operation(one, {"Add": {"amount": 1}}) for one in subjects[first : first + 500])
        )
        assert all("Applied" in result for result in results)
    return subjects


def refused_reads(fleet: WideFleet, name: str, *reads: tuple[str, object]) -> list[str]:
    """Read what must be rejected; return the first word of each reason."""
    words: list[str] = []
    for method, argument in reads:
        with pytest.raises(RejectedError) as caught:
            fleet.query(name, method, argument)
        assert (caught.value.reject_code, caught.value.error_code) == (4, "IC0406")
        words.append(caught.value.reject_message.split(" ")[0])
    return words


async def read_everywhere(fleet: WideFleet, subject: Principal) -> list[str]:
    """Read twelve times by the router; return the names of those that refused."""
    events: list[CallEvent] = []
    async with fleet.open() as router:
        router.observer = events.append
        for _ in range(6):
            session = router.session()
            assert (await session.query("value", subject))["value"] == 1
            assert (await session.query("cached_query", "total"))["value"] == b"4000"
    return [event.canister for event in events if event.error is not None]


@pytest.mark.parametrize("phase", ["Seeding", "Rebuilding"])
async def test_reads_go_elsewhere_while_a_replica_is_not_whole(
    fleet: WideFleet, phase: str
) -> None:
    """It says why in a word; the router asks others, and soon asks it no more."""
    subject, *_ = add(fleet, ROWS)
    fleet.level()

    fleet.hold_reseeding("r1", phase)
    words = refused_reads(fleet, "r1", ("value", subject), ("cached_query", "total"))
    refused = await read_everywhere(fleet, subject)
    fleet.resume("r1")
    fleet.level()

    assert words == [f"{phase}:"] * 2
    assert refused == ["r1"] * 3
    assert await read_everywhere(fleet, subject) == []
    assert fleet.rows("r1") == fleet.rows("main")


def administer(fleet: WideFleet, work: Callable[[OpenFleet, KeyCaller], Any]) -> Any:
    """Do what the commands do, as the admin."""
    members = [
        Member(name=name, id=canister, interface=fleet.interface)
        for name, canister in fleet.ids.items()
    ]

    async def run(agent: Agent) -> Any:
        opened = OpenFleet(agent=agent, main=members[0], replicas=tuple(members[1:]))
        return await work(opened, KeyCaller(agent))

    return fleet.localnet.call(run, CONTROLLER)


def attach(fleet: WideFleet) -> None:
    """``icfleet attach``."""
    administer(
        fleet,
        lambda opened, caller: attach_fleet(
            opened,
            caller,
            network="local",
            timeout_s=TIMEOUT_S,
            progress=QuietProgress(sys.stderr),
        ),
    )


def promote(fleet: WideFleet, name: str) -> None:
    """``icfleet promote NAME --yes``."""
    administer(
        fleet,
        lambda opened, caller: switch_over(
            opened,
            caller,
            name,
            ask=lambda _question, _word: None,
            timeout_s=TIMEOUT_S,
            progress=QuietProgress(sys.stderr),
        ),
    )


def test_a_main_that_was_reinstalled_begins_no_second_history(fleet: WideFleet) -> None:
    """Fenced, and ``attach`` says what to do: promote a replica. Nothing is lost but main's own."""
    add(fleet, 20)
    fleet.level()
    rows = fleet.rows("r1")

    fleet.put_code("main", "reinstall")
    fleet.pass_time(60)
    status = fleet.status("main")
    answer = fleet.update(
        "main",
        "submit",
        {"ops": [fleet.operation(CONTROLLER.sender, {"Add": {"amount": 1}})]},
        identity=CONTROLLER,
    )
    with pytest.raises(AttachError, match=r"main was reinstalled.*'icfleet promote r[12]'"):
        attach(fleet)
    held = [fleet.rows(name) for name in ("r1", "r2")]
    promote(fleet, "r1")
    fleet.level()

    assert (status["fenced"], status["as_of"]) == ("not opened", {"epoch": 0, "seq": 0})
    assert answer == {"NotMain": None}
    assert held == [rows, rows]
    assert {slot: row for slot, row in fleet.rows("main").items() if slot} == {
        slot: row for slot, row in rows.items() if slot
    }
    statuses = fleet.statuses()
    assert [one["main"] for one in statuses.values()] == [fleet.ids["r1"]] * 3
    assert [next(iter(one["role"])) for one in statuses.values()] == ["Replica", "Main", "Replica"]
    assert {one["as_of"]["epoch"] for one in statuses.values()} == {2}
