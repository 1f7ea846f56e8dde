"""ic-py 1.0.1, as PyPI has it, calls the game on a running local network."""

import secrets
import time
from typing import Any

import pytest
from ic.agent import Agent
from ic.candid import Types, encode
from ic.canister import Canister
from ic.client import Client
from ic.identity import Identity
from running_fleet import RunningFleet

# ic-py 1.0.1 passes its bodies to httpx in the way of requests.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def identity() -> Any:
    return Identity()


@pytest.fixture(scope="module")
def main(running_fleet: RunningFleet, identity: Any) -> Any:
    agent = Agent(identity, Client(running_fleet.url))
    return Canister(
        agent=agent, canister_id=str(running_fleet.ids["main"]), candid=running_fleet.did
    )


def _submit(main: Any, subject: str, *bodies: dict[str, Any]) -> Any:
    operations = [
        {
            "id": list(secrets.token_bytes(16)),
            "subject": subject,
            "created_at": time.time_ns(),
            "body": body,
        }
        for body in bodies
    ]
    (reply,) = main.submit({"ops": operations})
    return reply


def test_it_updates_and_queries_the_main(main: Any, identity: Any) -> None:
    subject = identity.sender().to_str()

    submitted = _submit(main, subject, {"CreatePlayer": {"name": "ic-py"}})
    ((player,)) = main.player(subject)

    assert "Applied" in submitted["Done"]["results"][0]
    assert player["player"]["Found"]["name"] == "ic-py"
    assert player["as_of"]["seq"] >= submitted["Done"]["as_of"]["seq"]


def test_it_sees_a_certified_rejection(main: Any, running_fleet: RunningFleet) -> None:
    undecodable = encode([{"type": Types.Text, "value": "x"}])

    with pytest.raises(Exception, match="failed to decode call arguments"):
        main.agent.update_raw(str(running_fleet.ids["main"]), "submit", undecodable)
