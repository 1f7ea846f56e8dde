"""Who a request is from: every scheme of keys, chains of delegations, and what spoils a signature.

Cases of DFINITY's ic-ref-test: groups "Authentication schemes" and "signature checking", without
WebAuthn and canister signatures.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest
from signing_keys import STRANGER, USER, Fields, Link, Signer, ed25519, p256, secp256k1
from wire_client import Deployed, Kind, Wire, read_query_reply

from icfleet_protocol.request_id import RequestId, request_id

MIXED = (ed25519(30), p256(31), secp256k1(32), ed25519(33))


def _delegated(count: int) -> Signer:
    return Signer(ed25519(10), tuple(Link(ed25519(20 + number)) for number in range(count)))


SCHEMES: dict[str, Signer] = {
    "ed25519": Signer(ed25519(5)),
    "p256": Signer(p256(5)),
    "secp256k1": Signer(secp256k1(5)),
    "one-delegation": _delegated(1),
    "two-delegations": _delegated(2),
    "four-delegations": _delegated(4),
    "twenty-delegations": _delegated(20),
    "mixed-delegations": Signer(ed25519(10), tuple(Link(key) for key in MIXED)),
    "from-p256": Signer(p256(10), (Link(ed25519(11)),)),
    "from-secp256k1": Signer(secp256k1(10), (Link(ed25519(11)),)),
    "to-p256": Signer(ed25519(10), (Link(p256(11)),)),
    "to-secp256k1": Signer(ed25519(10), (Link(secp256k1(11)),)),
}
EVERY_SCHEME = pytest.mark.parametrize("signer", SCHEMES.values(), ids=SCHEMES)


@EVERY_SCHEME
def test_the_sender_is_known_in_a_query(probe: Deployed, signer: Signer) -> None:
    assert probe.signed_by(signer).query("whoami") == signer.sender


@EVERY_SCHEME
def test_the_sender_is_known_in_an_update(probe: Deployed, signer: Signer) -> None:
    assert probe.signed_by(signer).update("whoami_certified") == signer.sender


@EVERY_SCHEME
def test_the_sender_may_read_the_state_of_its_request(probe: Deployed, signer: Signer) -> None:
    submitted = probe.signed_by(signer).submit("increment")

    submitted.reply()

    assert submitted.status() == "replied"


def test_an_empty_list_of_delegations_is_none(wire: Wire, probe: Deployed) -> None:
    content = wire.call_content(probe.id, "count", probe.encode("count"), "query")
    none: list[object] = []
    envelope = {**USER.envelope(content), "sender_delegation": none}

    response = wire.post(f"/api/v3/canister/{probe.id}/query", envelope)

    assert read_query_reply(response)


Spoil = Callable[[Fields], dict[str, object]]


def _at(offset_s: float) -> Spoil:
    def sign(content: Fields) -> dict[str, object]:
        return USER.envelope({**content, "ingress_expiry": time.time_ns() + int(offset_s * 1e9)})

    return sign


def _without_expiry(content: Fields) -> dict[str, object]:
    fields = {name: value for name, value in content.items() if name != "ingress_expiry"}
    return USER.envelope(fields)


def _with_flipped_bit(content: Fields) -> dict[str, object]:
    envelope = USER.envelope(content)
    signature = envelope["sender_sig"]
    assert isinstance(signature, bytes)
    return {**envelope, "sender_sig": bytes([signature[0] ^ 1]) + signature[1:]}


def _without(name: str) -> Spoil:
    def leave_out(content: Fields) -> dict[str, object]:
        envelope = USER.envelope(content)
        del envelope[name]
        return envelope

    return leave_out


SPOILT: dict[str, Spoil] = {
    "bad-signature": _with_flipped_bit,
    "empty-signature": lambda content: {**USER.envelope(content), "sender_sig": b""},
    "wrong-key": STRANGER.envelope,
    "wrong-signature-of-right-key": lambda content: {
        **STRANGER.envelope(content),
        "sender_pubkey": USER.envelope(content)["sender_pubkey"],
    },
    "empty-domain": replace(USER, domain=b"").envelope,
    "other-domain": replace(USER, domain=b"\x0bic-response").envelope,
    "no-signature": _without("sender_sig"),
    "no-key": _without("sender_pubkey"),
    "neither": lambda content: {"content": content},
    "no-expiry": _without_expiry,
    "expiry-past": _at(-60),
    "expiry-long-past": _at(-(10**9)),
    "expiry-far-future": _at(10 * 60),
    "delegation-unused": lambda content: {
        **Signer(USER.key, (Link(ed25519(40)),)).envelope(content),
        "sender_sig": USER.envelope(content)["sender_sig"],
    },
}
EVERY_SPOILT = pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)


def _post(wire: Wire, probe: Deployed, kind: Kind, envelope: object, version: str = "v3") -> int:
    return wire.post(f"/api/{version}/canister/{probe.id}/{kind}", envelope).status_code


@EVERY_SPOILT
@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_spoilt_query_is_refused(wire: Wire, probe: Deployed, spoil: Spoil, version: str) -> None:
    content = wire.call_content(probe.id, "count", probe.encode("count"), "query")

    assert 400 <= _post(wire, probe, "query", spoil(content), version) < 500
    assert _post(wire, probe, "query", USER.envelope(content), version) == 200


@EVERY_SPOILT
@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_spoilt_reading_is_refused(
    wire: Wire, probe: Deployed, spoil: Spoil, version: str
) -> None:
    content = wire.content("read_state", paths=[])

    assert 400 <= _post(wire, probe, "read_state", spoil(content), version) < 500
    assert _post(wire, probe, "read_state", USER.envelope(content), version) == 200


@EVERY_SPOILT
@pytest.mark.parametrize("version", ["v2", "v3", "v4"])
def test_a_spoilt_call_is_refused_and_no_request_made(
    wire: Wire, probe: Deployed, spoil: Spoil, version: str
) -> None:
    content = wire.call_content(probe.id, "increment", probe.encode("increment"))
    envelope = spoil(content)
    sent = cast("Fields", envelope["content"])

    assert 400 <= _post(wire, probe, "call", envelope, version) < 500

    for name in (request_id(content), request_id(sent)):
        assert _status(wire, probe, name) is None
    assert probe.query("count") == 0
    assert _post(wire, probe, "call", USER.envelope(content), "v4") == 200
    assert probe.query("count") == 1


@pytest.mark.parametrize("kind", ["call", "query", "read_state"])
def test_a_wrong_expiry_is_told_in_the_words_that_clients_know(
    wire: Wire, probe: Deployed, kind: Kind
) -> None:
    """``@dfinity/agent`` and ``@icp-sdk/core`` correct their clocks when they read these."""
    if kind == "read_state":
        content = wire.content(kind, paths=[])
    else:
        content = wire.call_content(probe.id, "count", kind=kind)
    envelope = _at(-60)(content)

    response = wire.post(f"/api/v3/canister/{probe.id}/{kind}", envelope)

    assert response.status_code == 400
    assert response.text.startswith("Invalid request expiry: ")


def _status(wire: Wire, probe: Deployed, name: RequestId) -> bytes | None:
    path = (b"request_status", name)
    return wire.certificate(probe.id, path).value(*path, b"status")
