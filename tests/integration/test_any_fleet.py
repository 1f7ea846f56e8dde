"""What holds for the game's fleet holds for any canister's that joins one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_kinds import FLEET_KINDS, FleetKind, Members

from icfleet import Ed25519Identity
from icfleet.testing import Localnet
from icfleet.testing_fleet import running_fleet
from icfleet_protocol.principal import Principal
from icfleet_router import RouterError

ALL = ("main", "replica_1", "replica_2")

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=FLEET_KINDS, ids=lambda kind: kind.name)
def members(
    request: pytest.FixtureRequest, localnet: Localnet, tmp_path: Path
) -> Iterator[Members]:
    """Main and two replicas, joined and level."""
    kind: FleetKind = request.param
    project = kind.make(tmp_path)
    with running_fleet(localnet, project / "dfx.json") as running:
        yield Members(running, kind)


@pytest.fixture
def ada() -> Principal:
    return Ed25519Identity.generate().sender


async def write(members: Members, subject: Principal) -> Any:
    """Write through the router, and return what its session reads after that."""
    async with members.fleet.open() as router:
        session = router.session()
        await session.submit(members.kind.write, subject=subject)
        return await session.query(members.kind.read, subject)


async def test_what_main_decides_all_canisters_show(members: Members, ada: Principal) -> None:
    """The same rows everywhere, and the same views computed from them."""
    kind = members.kind

    reading = await write(members, ada)
    members.level(*ALL)

    shown = [members.query(name, kind.read, ada) for name in ALL]
    views = [members.query(name, "cached_query", kind.view) for name in ALL]
    assert shown == [reading] * 3
    assert len({view["value"] for view in views}) == 1
    assert not any(view["dirty"] for view in views)


async def test_the_canisters_own_rules_reach_the_router(members: Members, ada: Principal) -> None:
    """Refused by a rule, and forbidden by the table of authority."""
    kind = members.kind
    await write(members, ada)

    async with members.fleet.open() as router:
        session = router.session()
        with pytest.raises(RouterError, match=kind.refusal):
            await session.submit(kind.refused, subject=ada)
        with pytest.raises(RouterError, match=next(iter(kind.forbidden))):
            await session.submit(kind.forbidden, subject=Ed25519Identity.generate().sender)


async def test_a_fleet_changes_its_main(members: Members, ada: Principal) -> None:
    """A planned switch-over loses nothing, and the old main follows the new one."""
    reading = await write(members, ada)
    epoch, *_ = members.place("main")

    members.do("main", "demote", epoch)
    members.level(*ALL)
    members.do("replica_1", "promote", epoch, epoch + 1)
    for name in ("main", "replica_2"):
        members.do("replica_1", "attach", members.id(name))
        members.do(name, "follow", members.id("replica_1"))
    members.level(*ALL)

    assert members.place("main")[0] == epoch + 1
    assert [members.status(name)["main"] for name in ALL] == [members.id("replica_1")] * 3
    shown = members.query("main", members.kind.read, ada)
    assert {**shown, "as_of": None} == {**reading, "as_of": None}


async def test_a_replica_takes_everything_over_anew(members: Members, ada: Principal) -> None:
    """By pages of rows; then its rows, views and hash are main's again."""
    await write(members, ada)
    members.level(*ALL)

    members.do("replica_2", "reseed", members.id("main"))
    members.level(*ALL)

    kind = members.kind
    assert members.query("replica_2", kind.read, ada) == members.query("main", kind.read, ada)
    views = [members.query(name, "cached_query", kind.view)["value"] for name in ALL]
    assert len(set(views)) == 1


async def test_an_upgrade_keeps_everything(members: Members, ada: Principal) -> None:
    """Rows, position, settings and the heap's own; the same code again, on every canister."""
    reading = await write(members, ada)
    members.level(*ALL)
    before = [members.place(name) for name in ALL]

    for name in ALL:
        members.upgrade(name)
    members.level(*ALL)

    assert [members.place(name) for name in ALL] == before
    assert members.query("main", members.kind.read, ada) == reading
    assert members.query("replica_1", members.kind.read, ada) == reading
