"""Bad operations on the running fleet: each gets a clear answer, and nothing is lost by it."""

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import pytest
from running_fleet import RunningFleet

from icfleet_agent import Agent, Canister, CertifiedRejectError, UncertifiedRejectError
from icfleet_protocol.candid import parse_did
from icfleet_protocol.identity import AnonymousIdentity, Ed25519Identity, Identity
from icfleet_protocol.principal import Principal
from icfleet_router import (
    Fleet,
    OperationForbiddenError,
    OperationRefusedError,
    OperationRejectedError,
    Session,
)

pytestmark = pytest.mark.timeout(120)

PLAYERS_OPERATIONS: list[dict[str, object]] = [
    {"Transfer": {"target": Principal(b"\x01\x02"), "amount": 1}},
    {"OpenDeposit": {"amount": 1, "term_s": 60}},
    {"CloseDeposit": {"deposit": 1}},
    {"Buy": {"symbol": "CHAI", "quantity": 1}},
    {"Sell": {"symbol": "CHAI", "quantity": 1}},
    {"RecordScore": {"score": 1}},
]
TREASURY_OPERATIONS: list[dict[str, object]] = [
    {"Credit": {"account": "bank", "amount": 1}},
    {"Debit": {"account": "bank", "amount": 1}},
    {"SetPrice": {"symbol": "CHAI", "price": 1}},
]


def _name(operation: object) -> str:
    return next(iter(cast("Mapping[str, object]", operation)))


def new_player() -> Ed25519Identity:
    return Ed25519Identity.generate()


async def submit_as(
    fleet: RunningFleet,
    identity: Identity,
    operation: Mapping[str, object],
    *,
    subject: Principal,
    canister: str = "main",
) -> Any:
    """Send one operation straight to a canister, and return its result or what refused it."""
    async with Agent(fleet.url, identity=identity) as agent:
        target = Canister(agent, fleet.ids[canister], parse_did(fleet.did))
        stamped = {
            "id": secrets.token_bytes(16),
            "subject": subject,
            "created_at": time.time_ns(),
            "body": operation,
        }
        answer: Any = await target.update("submit", {"ops": [stamped]})
    return answer["Done"]["results"][0] if "Done" in answer else answer


@pytest.fixture
async def router(running_fleet: RunningFleet) -> AsyncIterator[Fleet]:
    pem = (running_fleet.project / ".icfleet/identities/gateway.pem").read_text()
    async with Fleet.from_dfx(
        running_fleet.project / "dfx.json",
        host=running_fleet.url,
        identity=Ed25519Identity.from_pem(pem),
    ) as fleet:
        yield fleet


@pytest.fixture
def session(router: Fleet) -> Session:
    """The session in which the fixtures write, so that its reads see what they wrote."""
    return router.session()


@pytest.fixture
async def ada(session: Session) -> Principal:
    """A player of the gateway's, with 1,000 paise."""
    principal = new_player().sender
    await session.submit({"CreatePlayer": {"name": "Ada"}}, subject=principal)
    await session.submit(
        {"Credit": {"account": str(principal), "amount": 1_000}}, subject=principal
    )
    return principal


async def balance(session: Session, player: Principal) -> int:
    reply = await session.query("player", player)
    return cast("int", reply["player"]["Found"]["balance"])


@pytest.mark.parametrize("operation", PLAYERS_OPERATIONS + TREASURY_OPERATIONS, ids=_name)
async def test_a_stranger_does_nothing_for_somebody_else(
    running_fleet: RunningFleet, ada: Principal, operation: dict[str, object]
) -> None:
    assert "Forbidden" in await submit_as(running_fleet, new_player(), operation, subject=ada)


@pytest.mark.parametrize("operation", PLAYERS_OPERATIONS + TREASURY_OPERATIONS, ids=_name)
async def test_an_anonymous_caller_is_turned_away_at_the_door(
    running_fleet: RunningFleet, ada: Principal, operation: dict[str, object]
) -> None:
    """By inspect_message, before the message costs the canister anything."""
    with pytest.raises(UncertifiedRejectError) as caught:
        await submit_as(running_fleet, AnonymousIdentity(), operation, subject=ada)

    assert caught.value.error_code == "IC0406"


@pytest.mark.parametrize("operation", PLAYERS_OPERATIONS, ids=_name)
async def test_another_player_does_nothing_for_somebody_else(
    running_fleet: RunningFleet, ada: Principal, operation: dict[str, object]
) -> None:
    other = new_player()
    created = await submit_as(
        running_fleet, other, {"CreatePlayer": {"name": "Eve"}}, subject=other.sender
    )

    assert "Applied" in created
    assert "Forbidden" in await submit_as(running_fleet, other, operation, subject=ada)


@pytest.mark.parametrize("operation", PLAYERS_OPERATIONS, ids=_name)
async def test_a_gateway_does_nothing_for_players_it_did_not_create(
    running_fleet: RunningFleet, router: Fleet, operation: dict[str, object]
) -> None:
    own = new_player()
    await submit_as(running_fleet, own, {"CreatePlayer": {"name": "Own"}}, subject=own.sender)

    with pytest.raises(OperationForbiddenError, match="scope"):
        await router.session().submit(operation, subject=own.sender)


@pytest.mark.parametrize("operation", PLAYERS_OPERATIONS + TREASURY_OPERATIONS, ids=_name)
async def test_a_replica_takes_no_writes_and_names_the_main(
    running_fleet: RunningFleet, ada: Principal, operation: dict[str, object]
) -> None:
    """The gateway is known there too, by the log; but there is one main."""
    pem = (running_fleet.project / ".icfleet/identities/gateway.pem").read_text()
    gateway = Ed25519Identity.from_pem(pem)

    answer = await submit_as(running_fleet, gateway, operation, subject=ada, canister="replica_1")

    assert answer == {"NotMain": running_fleet.ids["main"]}


@pytest.mark.parametrize(
    ("target", "amount", "code"),
    [
        ("bob", 1_001, "InsufficientFunds"),
        ("bob", 0, "InvalidAmount"),
        ("ada", 5, "SelfTransfer"),
        ("nobody", 5, "UnknownPlayer"),
    ],
)
async def test_a_transfer_that_the_rules_refuse_moves_nothing(
    session: Session, ada: Principal, target: str, amount: int, code: str
) -> None:
    bob = new_player().sender
    await session.submit({"CreatePlayer": {"name": "Bob"}}, subject=bob)
    principal = {"ada": ada, "bob": bob, "nobody": new_player().sender}[target]

    with pytest.raises(OperationRefusedError) as caught:
        await session.submit({"Transfer": {"target": principal, "amount": amount}}, subject=ada)

    assert caught.value.code == code
    assert (await balance(session, ada), await balance(session, bob)) == (1_000, 0)


@pytest.mark.parametrize(
    "operation",
    [
        {"Transfer": {"target": Principal(b"\x01"), "amount": -1}},
        {"Transfer": {"target": Principal(b"\x01"), "amount": 1 << 64}},
        {"Transfer": {"target": Principal(b"\x01")}},
        {"Transfer": "ada"},
        {"NoSuchOperation": {}},
        {},
    ],
    ids=["negative", "too-large", "no-amount", "not-a-record", "unknown", "empty"],
)
async def test_an_operation_that_does_not_fit_its_type_is_never_sent(
    session: Session, ada: Principal, operation: dict[str, object]
) -> None:

    with pytest.raises(OperationRejectedError) as caught:
        await session.submit(operation, subject=ada)

    assert caught.value.rejection == "Invalid"
    assert await balance(session, ada) == 1_000


async def test_the_same_operation_sent_twice_is_applied_once(
    session: Session, ada: Principal
) -> None:
    bob = new_player().sender
    await session.submit({"CreatePlayer": {"name": "Bob"}}, subject=bob)
    stamp: dict[str, Any] = {
        "operation_id": secrets.token_bytes(16),
        "created_at_ns": time.time_ns(),
    }
    operation = {"Transfer": {"target": bob, "amount": 300}}

    receipts = [await session.submit(operation, subject=ada, **stamp) for _ in range(3)]

    assert len({receipt.position for receipt in receipts}) == 1
    assert (await balance(session, ada), await balance(session, bob)) == (700, 300)


async def test_an_operation_id_with_another_content_is_refused(
    session: Session, ada: Principal
) -> None:
    stamp: dict[str, Any] = {
        "operation_id": secrets.token_bytes(16),
        "created_at_ns": time.time_ns(),
    }
    await session.submit({"RecordScore": {"score": 1}}, subject=ada, **stamp)

    with pytest.raises(OperationRejectedError, match="IdReused"):
        await session.submit({"RecordScore": {"score": 2}}, subject=ada, **stamp)


async def test_arguments_that_do_not_decode_are_a_certified_rejection(
    running_fleet: RunningFleet,
) -> None:
    async with Agent(running_fleet.url, identity=new_player()) as agent:
        with pytest.raises(CertifiedRejectError, match="failed to decode"):
            await agent.update(running_fleet.ids["main"], "submit", b"DIDL\x00\x01\x71\x01x")


async def test_reads_go_to_replicas_and_see_the_sessions_own_writes(
    router: Fleet, session: Session, ada: Principal
) -> None:
    answered: list[str] = []
    router.observer = lambda event: answered.append(event.canister)

    for score in range(1, 20):
        await session.submit({"RecordScore": {"score": score}}, subject=ada)
        reply = await session.query("player", ada)
        assert reply["player"]["Found"]["score"] == score

    assert answered.count("main") >= 19
