"""The network dies under a running router, and comes back."""

from pathlib import Path

import pytest
from running_fleet import RunningFleet, copy_project, start_fleet

from icfleet_protocol.identity import Ed25519Identity
from icfleet_router import Fleet, FleetConfig, NoHealthyCanisterError, OperationError

pytestmark = pytest.mark.timeout(180)


def _connect(fleet: RunningFleet) -> Fleet:
    pem = (fleet.project / ".icfleet/identities/gateway.pem").read_text()
    # Shorter than the defaults, so that the test need not wait for half a minute.
    config = FleetConfig(query_timeout_s=2.0, submit_timeout_s=6.0)
    return Fleet.from_dfx(
        fleet.project / "dfx.json",
        host=fleet.url,
        identity=Ed25519Identity.from_pem(pem),
        config=config,
    )


async def _play(router: Fleet) -> None:
    player = Ed25519Identity.generate().sender
    session = router.session()
    await session.submit({"CreatePlayer": {"name": "Ada"}}, subject=player)
    reply = await session.query("player", player)
    assert reply["player"]["Found"]["name"] == "Ada"


async def test_a_killed_network_is_a_clear_error_and_its_return_is_noticed(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    player = Ed25519Identity.generate().sender
    with start_fleet(project) as fleet:
        port = int(fleet.url.rsplit(":", 1)[1])
        router = _connect(fleet)
        async with router:
            await _play(router)
            fleet.process.kill()
            fleet.process.wait()

            with pytest.raises(NoHealthyCanisterError):
                await router.session().query("market")
            with pytest.raises(OperationError) as caught:
                await router.session().submit({"RecordScore": {"score": 1}}, subject=player)

            assert len(caught.value.operation_id) == 16
            with start_fleet(project, port=port):
                await _play(router)
