"""Which of several canisters that call themselves main is it."""

from collections.abc import Sequence

import pytest

from icfleet_protocol.principal import Principal
from icfleet_router import Position, Role, StatusReply
from icfleet_router.balancing import Load
from icfleet_router.health import Health
from icfleet_router.main_finder import choose_main
from icfleet_router.pool import Belief, Member
from icfleet_router.replies import parse_status

Said = tuple[str, str, Position, str | None]


def member(name: str) -> Member:
    return Member(
        name, Principal(name.encode()), Role.REPLICA, Load(1), Health(3, 10.0), Belief(1.0)
    )


def status(role: str, as_of: Position, fenced: str | None) -> StatusReply:
    record = {
        "role": {role: None},
        "as_of": as_of.as_candid(),
        "chain_hash": b"",
        "fenced": fenced,
    }
    reply = parse_status((record,))
    assert reply is not None
    return reply


@pytest.mark.parametrize(
    ("said", "epoch_seen", "chosen"),
    [
        pytest.param([("a", "Main", Position(1, 5), None)], 0, "a", id="one"),
        pytest.param([("a", "Replica", Position(1, 5), None)], 0, None, id="none"),
        pytest.param(
            [("a", "Main", Position(1, 90), None), ("b", "Main", Position(2, 5), None)],
            0,
            "b",
            id="a-later-epoch",
        ),
        pytest.param([("a", "Main", Position(1, 90), None)], 2, None, id="replaced"),
        pytest.param(
            [("a", "Main", Position(3, 9), "not opened"), ("b", "Main", Position(2, 5), None)],
            0,
            "b",
            id="fenced",
        ),
        pytest.param([("a", "Main", Position(0, 0), "not opened")], 0, None, id="unopened"),
    ],
)
def test_main_is_who_takes_writes_in_the_last_epoch(
    said: Sequence[Said], epoch_seen: int, chosen: str | None
) -> None:
    """A fenced main knows that it was replaced, or has not been opened yet."""
    statuses = [(member(name), status(role, as_of, fence)) for name, role, as_of, fence in said]

    found = choose_main(statuses, epoch_seen=epoch_seen)

    assert (None if found is None else found.name) == chosen
