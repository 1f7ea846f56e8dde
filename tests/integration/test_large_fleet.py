"""Fleets of 1 to 16 replicas over several subnets: level, halted, in chains."""

import time

import pytest
from wide_fleet import COUNTER, GAME, Source, WideFleet

from icfleet import Ed25519Identity
from icfleet.testing import Localnet
from icfleet_protocol.principal import Principal
from icfleet_router import Fleet
from icfleet_router.heads import find_forks

pytestmark = [pytest.mark.timeout(120), pytest.mark.localnet(subnets=4)]

CATCH_UP_S = 30 + 3 * 5
"""One back-off and three polls of a replica to which nothing comes."""


def person() -> Principal:
    return Ed25519Identity.generate().sender


def add(fleet: WideFleet, count: int) -> None:
    """Write at main, directly."""
    results = fleet.send(*(fleet.operation(person(), {"Add": {"amount": 1}}) for _ in range(count)))
    assert all("Applied" in result for result in results), results


async def play(router: Fleet, source: Source) -> None:
    """Write by a session, and read what it wrote."""
    session, player = router.session(), person()
    if source is COUNTER:
        await session.submit({"Add": {"amount": 7}}, subject=player)
        assert (await session.query("value", player))["value"] == 7
        return
    await session.submit({"CreatePlayer": {"name": "Ada"}}, subject=player)
    await session.submit({"Credit": {"account": str(player), "amount": 90}}, subject=player)
    await session.submit({"RecordScore": {"score": 3}}, subject=player)
    assert (await session.query("player", player))["player"]["Found"]["balance"] == 90


@pytest.mark.parametrize(
    ("source", "count"),
    [(GAME, 1), (COUNTER, 1), (GAME, 4), (COUNTER, 4), (GAME, 16)],
    ids=lambda one: one.folder.name if isinstance(one, Source) else str(one),
)
async def test_all_replicas_become_what_main_is(
    localnet: Localnet, source: Source, count: int
) -> None:
    """Equal positions, hashes and rows; and each subnet proves its canisters' heads."""
    fleet = WideFleet(localnet, source, replicas_count=count)
    async with fleet.open() as router:
        for _ in range(5):
            await play(router, source)
    fleet.level()

    heads = fleet.heads()
    rows = fleet.rows("main")
    subnets = {str(localnet.server.network.subnet_of(one)) for one in fleet.ids.values()}

    assert len(subnets) == min(4, count + 1)
    assert find_forks(heads) == ()
    assert {(head.position.seq, head.chain_hash) for head in heads.values()} == {
        fleet.place("main")[1:]
    }
    assert len(rows) > 5
    assert all(fleet.rows(name) == rows for name in fleet.names)


def test_main_is_stopped_and_upgraded_while_a_subnet_is_halted(localnet: Localnet) -> None:
    """Main holds no open call to whoever is there; and who was away has it all soon after."""
    fleet = WideFleet(localnet, COUNTER, replicas_count=3)
    fleet.halt("r2")
    fleet.pass_time(70)  # What r2 had asked is answered to nobody, and its lease is over.
    add(fleet, 5)

    began_s, began_ns = time.monotonic(), fleet.now_ns
    fleet.stop("main")
    fleet.put_code("main", "upgrade")
    fleet.start("main")
    took_s = max(time.monotonic() - began_s, (fleet.now_ns - began_ns) / 1e9)
    add(fleet, 5)
    fleet.level("main", "r1", "r3", seconds_max=CATCH_UP_S)
    behind = fleet.place("main")[1] - fleet.place("r2")[1]
    fleet.pass_time(600)
    add(fleet, 5)
    fleet.resume("r2")

    assert took_s < 5
    assert behind == 10
    assert fleet.level(seconds_max=CATCH_UP_S) <= CATCH_UP_S
    assert fleet.rows("r2") == fleet.rows("main")


def test_a_chain_goes_on_while_its_middle_is_upgraded_and_reseeded(localnet: Localnet) -> None:
    """The last one is a prefix of main's log all the time, and has all of it in the end."""
    fleet = WideFleet(localnet, COUNTER, replicas_count=3, upstreams={"r2": "r1", "r3": "r2"})
    path = [str(fleet.ids[name]) for name in ("r2", "r1", "main")]
    assert [str(one) for one in fleet.status("r3")["path"]] == path

    add(fleet, 50)
    fleet.put_code("r2", "upgrade")
    check_prefix(fleet, "r3", for_s=5)
    add(fleet, 50)
    fleet.do("r2", "reseed", fleet.ids["r1"])
    check_prefix(fleet, "r3", for_s=5)
    add(fleet, 50)
    check_prefix(fleet, "r3", for_s=5)
    fleet.level(seconds_max=CATCH_UP_S)

    assert [str(one) for one in fleet.status("r3")["path"]] == path
    assert fleet.rows("r3") == fleet.rows("main")


def check_prefix(fleet: WideFleet, name: str, *, for_s: int) -> None:
    """Ask main, again and again, whether this is its own history."""
    for _ in range(for_s):
        epoch, seq, chain_hash = fleet.place(name)
        answer = fleet.query("main", "log_since", {"epoch": epoch, "seq": seq}, chain_hash, 1)
        assert "Batch" in answer, answer
        fleet.pass_time(1)


def test_a_main_is_upgraded_though_the_one_before_it_is_halted(localnet: Localnet) -> None:
    """It tells its predecessor of the new epoch for a day; the calls wait, the upgrade does not.

    By installing over it, unstopped: a chain may count one-way calls that wait as open.
    """
    fleet = WideFleet(localnet, COUNTER, replicas_count=2)
    add(fleet, 5)
    fleet.level()
    fleet.halt("main")
    fleet.do("r1", "promote", 1, 2)
    fleet.do("r1", "attach", fleet.ids["r2"])
    fleet.do("r2", "follow", fleet.ids["r1"])
    fleet.pass_time(120)

    fleet.put_code("r1", "upgrade")
    fleet.level("r1", "r2")
    fleet.resume("main")
    fleet.pass_time(1)

    assert fleet.status("r1")["fenced"] is None
    assert fleet.status("main")["fenced"] == f"epoch 2 was seen at {fleet.ids['r1']}"
