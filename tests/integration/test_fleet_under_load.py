"""Whatever is done to a fleet while game servers write: nothing acknowledged is lost or doubled."""

from collections.abc import Mapping

import pytest
from fleet_load import Payments, in_thread
from wide_fleet import WideFleet

from icfleet import Ed25519Identity
from icfleet.testing import Localnet

pytestmark = [pytest.mark.timeout(120), pytest.mark.localnet(subnets=3)]

DEBT = 90
"""Units of weight, of the 100 that a principal has a minute."""


async def test_replicas_come_and_go_while_writes_are_acknowledged(localnet: Localnet) -> None:
    """New ones are attached, old ones detached and attached again."""
    fleet = await in_thread(WideFleet, localnet, replicas_count=2)
    payments = Payments(fleet)
    payments.open_accounts()

    async with payments.going_on():
        for number in (3, 4, 5):
            await payments.some_more()
            await in_thread(fleet.install, f"r{number}")
            await in_thread(fleet.join, f"r{number}", "main")
            await in_thread(fleet.do, "main", "detach", fleet.ids["r1"])
            await payments.some_more()
            await in_thread(fleet.pass_time, 2)
            await in_thread(fleet.do, "main", "attach", fleet.ids["r1"])
            await in_thread(fleet.do, "main", "detach", fleet.ids[f"r{number}"])
            await in_thread(fleet.do, "main", "attach", fleet.ids[f"r{number}"])
        await payments.some_more()
    fleet.level()

    payments.check()
    assert len({str(fleet.rows(name)) for name in fleet.names}) == 1


async def test_every_member_is_upgraded_in_turn_under_load(localnet: Localnet) -> None:
    """Stopped, upgraded, started; accounts, log, ids, epoch and roles are what they were."""
    fleet = await in_thread(WideFleet, localnet, replicas_count=2)
    payments = Payments(fleet)
    payments.open_accounts()
    before = fleet.status("main")

    async with payments.going_on():
        for name in ("r1", "main", "r2", "main"):
            await payments.some_more(20)
            await in_thread(fleet.stop, name)
            await in_thread(fleet.put_code, name, "upgrade")
            await in_thread(fleet.start, name)
            await in_thread(fleet.pass_time, 1)
        await payments.some_more(20)
    fleet.level()
    await payments.repeat_all()

    payments.check()
    after = fleet.statuses()
    kept = ("role", "fenced", "epochs", "log_from", "main", "admins", "settings")
    assert [after["main"][key] for key in kept] == [before[key] for key in kept]
    assert {one["id"] for one in after["main"]["replicas"]} == {fleet.ids["r1"], fleet.ids["r2"]}
    assert [after[name]["upstream"] for name in ("r1", "r2")] == [fleet.ids["main"]] * 2
    assert len({str(fleet.rows(name)) for name in fleet.names}) == 1


def test_an_upgrade_forgives_no_large_debt(localnet: Localnet) -> None:
    """Who had used up its rate has still; what it is told may be tried again later."""
    fleet = WideFleet(localnet, replicas_count=1)
    player = Ed25519Identity.generate().sender
    scores: list[Mapping[str, object]] = [
        {"CreatePlayer": {"name": "Ada"}},
        *({"RecordScore": {"score": one}} for one in range(DEBT - 10)),
    ]
    first = [fleet.operation(player, body) for body in scores]
    answers = fleet.send(*first)
    fleet.put_code("main", "upgrade")
    fleet.pass_time(1)

    more = fleet.send(
        *(fleet.operation(player, {"RecordScore": {"score": 1_000 + one}}) for one in range(30))
    )
    fleet.put_code("main", "upgrade")
    fleet.pass_time(1)
    again = fleet.send(*first)

    cases = [next(iter(one)) for one in more]
    assert answers == again
    assert all("Applied" in one for one in answers)
    assert 10 <= cases.count("Applied") <= 20
    assert set(cases) == {"Applied", "RateLimited", "Deferred"}
