"""How far a delegation goes: targets, permissions, number, time and order.

Cases of DFINITY's ic-ref-test: group "Delegation targets", without WebAuthn; permissions and times
by the interface specification, "Authentication".
"""

from collections.abc import Callable, Sequence

import pytest
from signing_keys import STRANGER, USER, Link, Signer, ed25519
from wire_client import MANAGEMENT, Deployed, Wire

from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_protocol.request_id import request_id

NOWHERE = Principal(bytes.fromhex("ffffffffffffffff0101"))

Targets = Sequence[Principal] | None
Chain = Callable[[Principal], Sequence[Targets]]


def _many(count: int) -> list[Principal]:
    return [Principal(number.to_bytes(8, "big") + b"\x01\x01") for number in range(count)]


def _links(targets: Sequence[Targets]) -> tuple[Link, ...]:
    return tuple(Link(ed25519(100 + at), one) for at, one in enumerate(targets))


GOOD: dict[str, Chain] = {
    "one": lambda id_: [[id_]],
    "two-targets": lambda id_: [[id_, NOWHERE]],
    "a-thousand-targets": lambda id_: [[id_, *_many(999)]],
    "repeated-target": lambda id_: [[id_, id_, NOWHERE]],
    "two": lambda id_: [[id_], [id_]],
    "first-restricted": lambda id_: [[id_], None],
    "second-restricted": lambda id_: [None, [id_]],
    "overlapping": lambda id_: [[id_, NOWHERE], [id_, STRANGER.sender]],
    "twenty": lambda id_: [[id_]] * 20,
}
BAD: dict[str, Chain] = {
    "wrong-target": lambda _: [[NOWHERE]],
    "too-many-targets": lambda id_: [[id_, *_many(1000)]],
    "empty-intersection": lambda id_: [[id_], [NOWHERE]],
    "first-empty": lambda id_: [[], [id_]],
    "second-empty": lambda id_: [[id_], []],
    "too-many": lambda id_: [[id_]] * 21,
}


@pytest.mark.parametrize("chain", GOOD.values(), ids=GOOD)
def test_a_delegation_that_covers_the_canister_is_good(probe: Deployed, chain: Chain) -> None:
    seen = probe.signed_by(Signer(USER.key, _links(chain(probe.id))))

    reply = seen.submit("whoami_certified").reply()

    assert seen.interface.decode_results("whoami_certified", reply)[0] == USER.sender
    assert seen.query("whoami") == USER.sender


@pytest.mark.parametrize("chain", BAD.values(), ids=BAD)
def test_a_delegation_that_does_not_cover_the_canister_is_no_good_for_calls(
    wire: Wire, probe: Deployed, chain: Chain
) -> None:
    _refused_call(wire, probe, Signer(USER.key, _links(chain(probe.id))))


@pytest.mark.parametrize("chain", BAD.values(), ids=BAD)
def test_a_delegation_that_does_not_cover_the_canister_does_not_show_its_requests(
    wire: Wire, probe: Deployed, chain: Chain
) -> None:
    submitted = probe.submit("increment")
    submitted.reply()
    seen = wire.signed_by(Signer(USER.key, _links(chain(probe.id))))

    response = seen.read_state(probe.id, (b"request_status", submitted.id))

    assert 400 <= response.status_code < 500


# A reading of other things has no canister: only what spoils the delegations themselves matters.
MALFORMED = {name: BAD[name] for name in ("too-many-targets", "too-many")}


@pytest.mark.parametrize("chain", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_delegation_is_no_good_for_readings(
    wire: Wire, probe: Deployed, chain: Chain
) -> None:
    _refused_reading(wire, probe, Signer(USER.key, _links(chain(probe.id))))


LOOPS = {"self-loop": (100, 100), "cycle": (100, 101, 100), "back-to-the-start": (100, 1)}


@pytest.mark.parametrize("numbers", LOOPS.values(), ids=LOOPS)
def test_delegations_in_a_circle_are_no_good(
    wire: Wire, probe: Deployed, numbers: Sequence[int]
) -> None:
    signer = Signer(USER.key, tuple(Link(ed25519(number)) for number in numbers))

    _refused_call(wire, probe, signer)
    _refused_reading(wire, probe, signer)


def test_an_expired_delegation_is_no_good(wire: Wire, probe: Deployed) -> None:
    signer = Signer(USER.key, (Link(ed25519(100)), Link(ed25519(101), expires_in_s=-1)))

    _refused_call(wire, probe, signer)
    _refused_reading(wire, probe, signer)


def test_a_delegation_signed_by_another_is_no_good(wire: Wire, probe: Deployed) -> None:
    content = wire.call_content(probe.id, "increment", probe.encode("increment"))
    signer = Signer(USER.key, (Link(ed25519(100)),))
    forged = Signer(STRANGER.key, signer.links).envelope(content)["sender_delegation"]
    envelope = {**signer.envelope(content), "sender_delegation": forged}

    response = wire.post(f"/api/v4/canister/{probe.id}/call", envelope)

    assert 400 <= response.status_code < 500
    assert probe.query("count") == 0


def test_delegations_out_of_order_are_no_good(wire: Wire, probe: Deployed) -> None:
    content = wire.call_content(probe.id, "increment", probe.encode("increment"))
    envelope = Signer(USER.key, (Link(ed25519(100)), Link(ed25519(101)))).envelope(content)
    delegations = envelope["sender_delegation"]
    assert isinstance(delegations, list)
    envelope["sender_delegation"] = delegations[::-1]

    response = wire.post(f"/api/v4/canister/{probe.id}/call", envelope)

    assert 400 <= response.status_code < 500
    assert probe.query("count") == 0


def test_a_delegation_for_queries_reads_and_does_not_write(wire: Wire, probe: Deployed) -> None:
    links = (Link(ed25519(100)), Link(ed25519(101), permissions="queries"))
    signer = Signer(USER.key, links)

    assert probe.signed_by(signer).query("whoami") == USER.sender
    assert wire.signed_by(signer).read_state(probe.id, (b"time",)).status_code == 200
    _refused_call(wire, probe, signer)


def test_a_delegation_for_all_writes(probe: Deployed) -> None:
    signer = Signer(USER.key, (Link(ed25519(100), permissions="all"),))

    assert probe.signed_by(signer).update("whoami_certified") == USER.sender


def test_an_unknown_permission_is_no_good_for_anything(wire: Wire, probe: Deployed) -> None:
    signer = Signer(USER.key, (Link(ed25519(100), permissions="everything"),))

    _refused_call(wire, probe, signer)
    _refused_reading(wire, probe, signer)


@pytest.mark.parametrize(
    ("targets", "is_good"),
    [
        ([MANAGEMENT_CANISTER], True),
        (None, True),
        ([], False),
        ([NOWHERE], False),
        ("its canister", False),
    ],
    ids=["management", "any", "none", "another", "the-managed-canister"],
)
def test_a_management_call_needs_the_management_canister_as_a_target(
    wire: Wire, probe: Deployed, targets: Targets | str, is_good: bool
) -> None:
    chosen = [probe.id] if isinstance(targets, str) else targets
    arg = MANAGEMENT.encode_args("canister_status", [{"canister_id": probe.id}])
    content = wire.call_content(MANAGEMENT_CANISTER, "canister_status", arg)
    seen = wire.signed_by(Signer(USER.key, _links([chosen])))

    response = seen.send(probe.id, content, version="v4")

    if is_good:
        assert response.status_code == 200
        path = (b"request_status", request_id(content), b"status")
        assert wire.certificate(probe.id, path).value(*path) == b"replied"
    else:
        assert 400 <= response.status_code < 500


def _refused_call(wire: Wire, probe: Deployed, signer: Signer) -> None:
    content = wire.call_content(probe.id, "increment", probe.encode("increment"))

    for version in ("v2", "v4"):
        response = wire.signed_by(signer).send(probe.id, content, version=version)
        assert 400 <= response.status_code < 500

    assert probe.query("count") == 0


def _refused_reading(wire: Wire, probe: Deployed, signer: Signer) -> None:
    response = wire.signed_by(signer).read_state(probe.id, (b"time",))

    assert 400 <= response.status_code < 500
