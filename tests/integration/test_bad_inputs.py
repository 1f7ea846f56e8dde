"""Operations that must come to nothing, on real canisters: a clear answer, and nothing changed."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from unchanged import only_logged, unchanged
from wide_fleet import COUNTER, GAME, WideFleet

from icfleet import Ed25519Identity
from icfleet.localnet_command import NetworkChoice
from icfleet.testing import Localnet
from icfleet_agent import CertifiedRejectError, HttpStatusError, UncertifiedRejectError
from icfleet_protocol.candid import encode, parse_args, parse_did
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import Principal

pytestmark = pytest.mark.timeout(120)

MINUTE_NS = 60_000_000_000
NAT64_MAX = 2**64 - 1
MONEY_MAX = 2**63 - 1


@pytest.fixture(scope="module")
def network() -> Iterator[Localnet]:
    with Localnet(NetworkChoice(port=0, subnets=2), seed=b"bad inputs") as running:
        yield running


@pytest.fixture(scope="module")
def game(network: Localnet) -> WideFleet:
    """Fleets of this module's own: no test of it changes more than players and counters."""
    return WideFleet(network, GAME, replicas_count=1)


@pytest.fixture(scope="module")
def counter(network: Localnet) -> WideFleet:
    return WideFleet(network, COUNTER, replicas_count=1)


@pytest.fixture(params=["game", "counter"])
def fleet(request: pytest.FixtureRequest) -> WideFleet:
    found: WideFleet = request.getfixturevalue(request.param)
    return found


def person() -> Principal:
    return Ed25519Identity.generate().sender


def good(fleet: WideFleet, **changes: object) -> dict[str, object]:
    """An operation that would be applied, but for what is changed of it."""
    body = {"CreatePlayer": {"name": "Ada"}} if fleet.source is GAME else {"Add": {"amount": 1}}
    return {**fleet.operation(person(), body), **changes}


def submit(fleet: WideFleet, operations: list[dict[str, object]]) -> Any:
    return fleet.update("main", "submit", {"ops": operations}, identity=fleet.gateway)


def send_raw(fleet: WideFleet, arg: bytes) -> None:
    """Send bytes that no honest client makes."""
    fleet.localnet.call(lambda agent: agent.update(fleet.ids["main"], "submit", arg), fleet.gateway)


# Batches.


def test_an_empty_batch_does_nothing(fleet: WideFleet) -> None:
    with unchanged(fleet):
        answer = submit(fleet, [])

    assert answer["Done"]["results"] == []


def test_more_than_500_operations_are_refused_whole(fleet: WideFleet) -> None:
    with unchanged(fleet):
        answer = submit(fleet, [good(fleet) for _ in range(501)])

    assert answer == {"TooLarge": "501 operations, at most 500 allowed"}


def test_a_batch_of_too_many_bytes_is_refused_in_words(fleet: WideFleet) -> None:
    """Up to 1.6 MB; what is larger meets inspect_message, and from 2 MiB on the network."""
    with unchanged(fleet):
        answer = submit(fleet, [good(fleet), good(fleet, id=bytes(1_550_000))])

    assert answer["TooLarge"].endswith(" bytes, at most 1500000 allowed")


def test_a_batch_of_more_bytes_is_turned_away_at_the_door(fleet: WideFleet) -> None:
    with unchanged(fleet), pytest.raises(UncertifiedRejectError) as caught:
        submit(fleet, [good(fleet), good(fleet, id=bytes(1_650_000))])

    assert (caught.value.reject_code, caught.value.error_code) == (4, "IC0406")


def test_a_message_larger_than_the_network_takes_is_refused_by_it(fleet: WideFleet) -> None:
    with unchanged(fleet), pytest.raises(HttpStatusError) as caught:
        submit(fleet, [good(fleet), good(fleet, id=bytes(2**21))])

    assert caught.value.status == 413


# Operations of any canister.


@pytest.mark.parametrize("size", [0, 15, 33, 10**6])
def test_an_id_of_another_length_is_invalid(fleet: WideFleet, size: int) -> None:
    with unchanged(fleet):
        (result,) = fleet.send(good(fleet, id=bytes(size)))

    assert result["Invalid"] == {
        "code": "IdSize",
        "reason": f"id of {size} bytes, 16 to 32 allowed",
    }


@pytest.mark.parametrize(
    ("minutes", "case"), [(-21, "Expired"), (-(10**7), "Expired"), (6, "InFuture")]
)
def test_operations_are_taken_around_their_time(fleet: WideFleet, minutes: int, case: str) -> None:
    created_at = max(fleet.now_ns + minutes * MINUTE_NS, 0)

    with unchanged(fleet):
        (result,) = fleet.send(good(fleet, created_at=created_at))

    assert result == {case: None}


def test_the_end_of_time_is_in_the_future(fleet: WideFleet) -> None:
    with unchanged(fleet):
        (result,) = fleet.send(good(fleet, created_at=NAT64_MAX))

    assert result == {"InFuture": None}


WIRE = {
    # The numbers that an operation of this interface cannot even be written with.
    "unknown-variant": ("Add", "AddTwice", 1),
    "unknown-variant-of-the-game": ("RecordScore", "RecordTwice", 1),
    "negative": ("nat64", "int", -1),
    "too-large": ("nat64", "nat", 2**64),
}


@pytest.mark.parametrize("how", WIRE)
def test_what_does_not_fit_the_interface_is_a_trap(fleet: WideFleet, how: str) -> None:
    """The whole batch is; its neighbours are not applied."""
    old, new, amount = WIRE[how]
    name = "RecordScore" if fleet.source is GAME else "Add"
    field = "score" if fleet.source is GAME else "amount"
    if old in {"RecordScore", "Add"}:
        old, new = name, f"{name}Twice"
    interface = parse_did(fleet.did.replace(old, new))
    case = new if old == name else name
    operations = [good(fleet, body={case: {field: amount}}), good(fleet, body={case: {field: 1}})]
    arg = encode(
        interface.methods["submit"].args, [{"ops": operations}], environment=interface.environment
    )

    with unchanged(fleet), pytest.raises(CertifiedRejectError) as caught:
        send_raw(fleet, arg)

    assert (caught.value.reject_code, caught.value.error_code) == (5, "IC0503")
    assert "failed to decode" in caught.value.reject_message


@pytest.mark.parametrize("number", ["-1", "18446744073709551616"])
def test_candid_text_refuses_such_numbers_before(fleet: WideFleet, number: str) -> None:
    case = "RecordScore = record { score" if fleet.source is GAME else "Add = record { amount"
    text = (
        '(record { ops = vec { record { id = blob "0123456789abcdef"; subject = '
        f'principal "aaaaa-aa"; created_at = 1; body = variant {{ {case} = {number} }} }} }} }} }})'
    )

    with pytest.raises(CandidError, match="nat64"):
        parse_args(
            text,
            fleet.interface.methods["submit"].args,
            environment=fleet.interface.environment,
        )


def test_a_bad_operation_harms_no_neighbour(fleet: WideFleet) -> None:
    """The ones before and after it are applied, each for itself."""
    first, last = good(fleet), good(fleet)

    results = fleet.send(first, good(fleet, id=b""), good(fleet, created_at=0), last)

    assert [next(iter(one)) for one in results] == ["Applied", "Invalid", "Expired", "Applied"]
    assert results[3]["Applied"]["seq"] == results[0]["Applied"]["seq"] + 1


# The game's rules.


@pytest.fixture
def ada(game: WideFleet) -> Principal:
    """A player with 1,000 paise, of a network in which a share of GOLD is 1 paisa."""
    player = person()
    bodies: list[Mapping[str, object]] = [
        {"CreatePlayer": {"name": "Ada"}},
        {"Credit": {"account": str(player), "amount": 1_000}},
        {"SetPrice": {"symbol": "GOLD", "price": 1}},
    ]
    results = game.send(*(game.operation(player, body) for body in bodies))
    assert all("Applied" in result for result in results), results
    return player


NAMES = [
    ("a" * 10**6, "NameTooLong"),
    ("", "NameEmpty"),
    ("A\x00da", "NameNotAllowed"),
    ("A\u202eda", "NameNotAllowed"),
    ("\u0410da", "NameMixedScripts"),
    ("\uff21da", "NameNotAllowed"),
]


def test_names_that_would_mislead_are_refused(game: WideFleet) -> None:
    """Too long, empty, with control characters, or looking like others."""
    operations = [good(game, body={"CreatePlayer": {"name": name}}) for name, _ in NAMES]

    with only_logged(game, len(NAMES)):
        results = game.send(*operations)

    assert [one["Refused"]["code"] for one in results] == [code for _, code in NAMES]
    assert all(len(one["Refused"]["reason"]) < 200 for one in results)


REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("Transfer", {"target": "other", "amount": 0}, "InvalidAmount"),
    ("Transfer", {"target": "other", "amount": NAT64_MAX}, "InsufficientFunds"),
    ("Transfer", {"target": "ada", "amount": 1}, "SelfTransfer"),
    ("Transfer", {"target": "nobody", "amount": 1}, "UnknownPlayer"),
    ("Credit", {"account": "bank", "amount": 0}, "InvalidAmount"),
    ("Credit", {"account": "bank", "amount": MONEY_MAX}, "SupplyExceeded"),
    ("Credit", {"account": "bank", "amount": NAT64_MAX}, "SupplyExceeded"),
    ("Debit", {"account": "bank", "amount": NAT64_MAX}, "BankIlliquid"),
    ("OpenDeposit", {"amount": 0, "term_s": 60}, "InvalidAmount"),
    ("OpenDeposit", {"amount": 1, "term_s": NAT64_MAX}, "InvalidTerm"),
    ("SetPrice", {"symbol": "GOLD", "price": 0}, "InvalidAmount"),
    ("SetPrice", {"symbol": "GOLD", "price": NAT64_MAX}, "InvalidAmount"),
    ("SetPrice", {"symbol": "G\u041eLD", "price": 1}, "InvalidSymbol"),
    ("Buy", {"symbol": "GOLD", "quantity": 0}, "InvalidAmount"),
    ("Buy", {"symbol": "GOLD", "quantity": NAT64_MAX}, "InsufficientFunds"),
    ("Sell", {"symbol": "GOLD", "quantity": 1}, "InsufficientHoldings"),
    ("Sell", {"symbol": "TIN", "quantity": 1}, "UnknownSymbol"),
]


def test_what_the_rules_refuse_moves_no_money(game: WideFleet, ada: Principal) -> None:
    """Only refusals are written, and the same operations get them again."""
    game.send(other := good(game))
    people = {"ada": ada, "other": other["subject"], "nobody": person()}
    operations: list[dict[str, object]] = []
    for case, fields, _ in REFUSED:
        target = {"target": people[str(fields["target"])]} if "target" in fields else {}
        operations.append(game.operation(ada, {case: {**fields, **target}}))

    with only_logged(game, len(REFUSED)):
        results = game.send(*operations)
    with unchanged(game):
        again = game.send(*operations)

    assert [one["Refused"]["code"] for one in results] == [code for *_, code in REFUSED]
    assert again == results


def test_a_market_without_money_buys_nothing_back(game: WideFleet, ada: Principal) -> None:
    bodies: list[Mapping[str, object]] = [
        {"Buy": {"symbol": "GOLD", "quantity": 1}},
        {"SetPrice": {"symbol": "GOLD", "price": MONEY_MAX}},
    ]
    game.send(*(game.operation(ada, body) for body in bodies))

    with only_logged(game):
        (result,) = game.send(game.operation(ada, {"Sell": {"symbol": "GOLD", "quantity": 1}}))

    assert result["Refused"]["code"] == "MarketIlliquid"


# The counter's.


def test_a_counter_does_not_overflow(counter: WideFleet) -> None:
    subject = person()
    counter.send(counter.operation(subject, {"Add": {"amount": 1}}))

    with only_logged(counter):
        (result,) = counter.send(counter.operation(subject, {"Add": {"amount": NAT64_MAX}}))

    assert result["Refused"]["code"] == "TooLarge"
