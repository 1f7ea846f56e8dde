"""The HTTP interface answers as a replica does: right requests, and each kind of wrong one."""

from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from localnet_client import (
    ANY_CANISTER,
    COUNTER,
    MINUTE_NS,
    NO_ARGS,
    Client,
    Deployed,
    RejectedError,
)

from icfleet_localnet.http_interface import Wait
from icfleet_localnet.http_response import HttpResponse
from icfleet_localnet.management import MANAGEMENT_INTERFACE
from icfleet_protocol.cbor import decode_map, encode_tagged
from icfleet_protocol.identity import AnonymousIdentity, Ed25519Identity
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_protocol.query_signature import verify_query_signature

OTHER = Ed25519Identity.from_seed(b"\x02" * 32)


@pytest.fixture
def deployed(deploy: Callable[[str], Deployed]) -> Deployed:
    return deploy(COUNTER)


def _post_call(client: Client, canister: Principal, body: bytes) -> HttpResponse:
    return client.post(f"/api/v4/canister/{canister}/call", body)


def test_status_tells_the_root_key(client: Client) -> None:
    fields = decode_map(client.interface.status().body, size_max=10_000)

    assert fields["root_key"] == client.subnet.public_key_der
    assert fields["replica_health_status"] == "healthy"


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_a_synchronous_call_is_answered_with_a_certificate(
    deployed: Deployed, version: str
) -> None:
    arg = deployed.interface.encode_args("increment", [5])

    reply = deployed.client.update(deployed.id, "increment", arg, version=version)

    assert deployed.interface.decode_results("increment", reply) == (5,)


def test_a_v2_call_is_polled(deployed: Deployed) -> None:
    client = deployed.client
    request = client.sign(
        deployed.id, "increment", deployed.interface.encode_args("increment", [5])
    )

    response = client.post(f"/api/v2/canister/{deployed.id}/call", request.body)
    before = client.certified(deployed.id, b"request_status", request.request_id, b"status")
    client.run_rounds()
    after = client.certified(deployed.id, b"request_status", request.request_id, b"status")

    assert (response.status, response.body) == (202, b"")
    assert (before, after) == (None, b"replied")


def test_a_query_is_signed_by_a_node_that_the_subnet_vouches_for(deployed: Deployed) -> None:
    client = deployed.client
    request = client.sign(deployed.id, "read", NO_ARGS, kind="query")
    fields = decode_map(
        client.post(f"/api/v3/canister/{deployed.id}/query", request.body).body, size_max=10_000
    )
    (signature,) = fields["signatures"]
    node = signature["identity"]
    key = client.certified(
        deployed.id, b"subnet", client.subnet.id.raw, b"node", node, b"public_key"
    )
    assert key is not None

    verify_query_signature(
        fields,
        timestamp_ns=signature["timestamp"],
        request=request.request_id,
        node_key_der=key,
        signature=signature["signature"],
    )


def test_a_query_leaves_nothing_behind(deployed: Deployed) -> None:
    assert [deployed.query("read") for _ in range(3)] == [1, 1, 1]


def test_a_trap_leaves_nothing_behind(deployed: Deployed) -> None:
    deployed.update("increment", 2)

    with pytest.raises(RejectedError, match="no way") as caught:
        deployed.update("fail", "way")

    assert (caught.value.code, caught.value.error_code) == (5, "IC0503")
    assert caught.value.certified
    assert deployed.query("read") == 3


def test_the_same_request_is_executed_once(deployed: Deployed) -> None:
    client = deployed.client
    request = client.sign(
        deployed.id, "increment", deployed.interface.encode_args("increment", [5])
    )

    answers = [_post_call(client, deployed.id, request.body) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert deployed.query("read") == 6


def test_a_concurrent_duplicate_waits_for_the_same_answer(deployed: Deployed) -> None:
    client = deployed.client
    body = client.sign(
        deployed.id, "increment", deployed.interface.encode_args("increment", [5])
    ).body
    path = f"/api/v4/canister/{deployed.id}/call"

    answers = [client.interface.post(path, body, now_ns=client.now_ns) for _ in range(2)]
    client.run_rounds()

    assert all(isinstance(answer, Wait) for answer in answers)
    assert deployed.query("read") == 6


def _tamper(body: bytes, **changes: Any) -> bytes:
    envelope = dict(decode_map(body, size_max=10_000))
    envelope.update(changes)
    return encode_tagged(envelope)


def _without(body: bytes, name: str) -> bytes:
    envelope = dict(decode_map(body, size_max=10_000))
    content = dict(envelope["content"])
    del content[name]
    envelope["content"] = content
    return encode_tagged(envelope)


Spoil = Callable[[bytes], bytes]
BAD_BODIES: dict[str, tuple[Spoil, int, str]] = {
    "empty": (lambda _: b"", 400, "CBOR"),
    "no-cbor": (lambda _: b"\xff\xff", 400, "CBOR"),
    "trailing": (lambda body: body + b"\x00", 400, "after the end"),
    "cut": (lambda body: body[:-9], 400, "CBOR"),
    "an-array": (lambda _: cbor2.dumps([1]), 400, "map"),
    "deep": (lambda _: b"\x81" * 500 + b"\x00", 400, "nested"),
    "length-bomb": (lambda _: b"\x9b" + b"\xff" * 8, 400, "longer"),
    "no-sender": (lambda body: _without(body, "sender"), 400, "sender"),
    "no-arg": (lambda body: _without(body, "arg"), 400, "arg"),
    "no-expiry": (lambda body: _without(body, "ingress_expiry"), 400, "ingress_expiry"),
    "wrong-signature": (lambda body: _tamper(body, sender_sig=b"\x00" * 64), 400, "signature"),
    "no-signature": (lambda body: _tamper(body, sender_sig=None), 400, "Missing signature"),
    "other-key": (lambda body: _tamper(body, sender_pubkey=OTHER.public_key_der), 400, "match"),
    "malformed-key": (lambda body: _tamper(body, sender_pubkey=b"\x30\x00"), 400, "match"),
}


@pytest.mark.parametrize(("spoil", "status", "words"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_body_is_refused_and_changes_nothing(
    deployed: Deployed, spoil: Spoil, status: int, words: str
) -> None:
    client = deployed.client
    arg = deployed.interface.encode_args("increment", [5])
    body = spoil(client.sign(deployed.id, "increment", arg).body)

    response = _post_call(client, deployed.id, body)

    assert response.status == status
    assert words in response.body.decode()
    assert deployed.query("read") == 1


@pytest.mark.parametrize("offset_ns", [-1, 6 * MINUTE_NS], ids=["expired", "too-far"])
@pytest.mark.parametrize("kind", ["call", "query"])
def test_an_expiry_outside_the_window_is_refused_in_the_known_words(
    deployed: Deployed, offset_ns: int, kind: Any
) -> None:
    """Clients match the first words to learn that their clock is off."""
    client = deployed.client
    request = client.sign(
        deployed.id, "read", NO_ARGS, kind, ingress_expiry_ns=client.now_ns + offset_ns
    )

    response = client.post(f"/api/v3/canister/{deployed.id}/{kind}", request.body)

    assert response.status == 400
    assert response.body.startswith(b"Invalid request expiry: ")


def test_an_anonymous_query_may_be_late(deployed: Deployed) -> None:
    client = deployed.client
    client.identity = AnonymousIdentity()
    request = client.sign(deployed.id, "read", NO_ARGS, "query", ingress_expiry_ns=0)

    assert client.post(f"/api/v2/canister/{deployed.id}/query", request.body).status == 200


def test_an_anonymous_sender_must_not_sign(deployed: Deployed) -> None:
    client = deployed.client
    client.identity = AnonymousIdentity()
    body = client.sign(deployed.id, "increment", NO_ARGS).body

    response = _post_call(client, deployed.id, _tamper(body, sender_sig=b"\x00" * 64))

    assert response.status == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/api/v5/canister/aaaaa-aa/call", 404),
        ("/api/v4/canister/aaaaa-aa/query", 404),
        ("/api/v3/canister/aaaaa-aa/status", 404),
        ("/api/v4/subnet/aaaaa-aa/call", 404),
        ("/api/v4/canister/not-a-principal/call", 400),
    ],
)
def test_an_unknown_path_is_refused(client: Client, path: str, status: int) -> None:
    assert client.post(path, client.sign(ANY_CANISTER, "x", NO_ARGS).body).status == status


def test_the_path_must_name_the_canister_that_is_called(deployed: Deployed) -> None:
    body = deployed.client.sign(deployed.id, "increment", NO_ARGS).body

    response = _post_call(deployed.client, Principal(b"\x00" * 8 + b"\x01\x01"), body)

    assert response.status == 400
    assert b"does not match effective canister id" in response.body


def test_a_request_sent_to_the_wrong_endpoint_is_refused(deployed: Deployed) -> None:
    body = deployed.client.sign(deployed.id, "read", NO_ARGS, kind="query").body

    assert _post_call(deployed.client, deployed.id, body).status == 400


def test_a_message_over_two_mebibytes_is_too_large(deployed: Deployed) -> None:
    body = deployed.client.sign(deployed.id, "increment", bytes(2 * 1024 * 1024)).body

    assert _post_call(deployed.client, deployed.id, body).status == 413


def test_an_unknown_canister_is_refused_by_one_node(client: Client) -> None:
    with pytest.raises(RejectedError, match="not found") as caught:
        client.update(ANY_CANISTER, "increment")

    assert (caught.value.code, caught.value.error_code) == (3, "IC0301")
    assert not caught.value.certified


def test_an_empty_canister_is_refused_by_one_node(client: Client) -> None:
    canister = client.create()

    with pytest.raises(RejectedError, match="no Wasm module") as caught:
        client.update(canister, "increment")

    assert caught.value.error_code == "IC0537"


def test_an_unknown_method_is_a_certified_rejection(deployed: Deployed) -> None:
    with pytest.raises(RejectedError, match="no update method 'nope'") as caught:
        deployed.client.update(deployed.id, "nope")

    assert (caught.value.error_code, caught.value.certified) == ("IC0536", True)


@pytest.mark.parametrize("method", ["nope", "increment"])
def test_an_unknown_query_or_an_update_as_query_is_rejected(
    deployed: Deployed, method: str
) -> None:
    with pytest.raises(RejectedError, match=f"no query method '{method}'"):
        deployed.client.query(deployed.id, method)


def test_arguments_that_do_not_decode_trap(deployed: Deployed) -> None:
    with pytest.raises(RejectedError) as caught:
        deployed.client.update(deployed.id, "increment", b"DIDL\x00\x01\x71\x01x")

    assert (caught.value.code, caught.value.certified) == (5, True)
    assert deployed.query("read") == 1


def test_a_query_method_called_as_update_is_certified_and_leaves_nothing(
    deployed: Deployed,
) -> None:
    first = deployed.update("read")
    second = deployed.update("read")

    assert (first, second) == (1, 1)


def test_somebody_elses_request_is_not_shown(deployed: Deployed) -> None:
    client = deployed.client
    request = client.sign(
        deployed.id, "increment", deployed.interface.encode_args("increment", [5])
    )
    _post_call(client, deployed.id, request.body)
    client.identity = OTHER

    response = client.read_state(deployed.id, (b"request_status", request.request_id))

    assert response.status == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ((b"nonsense",), 404),
        ((b"canister",), 404),
        ((b"canister", b"\x00" * 10, b"controllers"), 400),
        ((b"request_status",), 404),
    ],
)
def test_a_private_or_unknown_path_is_refused(
    deployed: Deployed, path: tuple[bytes, ...], status: int
) -> None:
    assert deployed.client.read_state(deployed.id, path).status == status


def test_only_one_request_may_be_read_at_a_time(deployed: Deployed) -> None:
    paths = ((b"request_status", b"\x01" * 32), (b"request_status", b"\x02" * 32))

    assert deployed.client.read_state(deployed.id, *paths).status == 400


def test_a_request_that_never_was_is_proven_absent(deployed: Deployed) -> None:
    status = deployed.client.certified(deployed.id, b"request_status", b"\x01" * 32, b"status")

    assert status is None


def test_code_interface_and_controllers_are_certified(deployed: Deployed) -> None:
    client = deployed.client
    module_hash = client.certified(deployed.id, b"canister", deployed.id.raw, b"module_hash")
    metadata = client.certified(
        deployed.id, b"canister", deployed.id.raw, b"metadata", b"candid:service"
    )
    controllers = client.certified(deployed.id, b"canister", deployed.id.raw, b"controllers")

    assert module_hash is not None
    assert len(module_hash) == 32
    assert b"increment" in (metadata or b"")
    assert controllers == encode_tagged([client.identity.sender.raw])


def test_a_management_call_to_another_effective_canister_is_refused(deployed: Deployed) -> None:
    other = deployed.client.create()
    arg = MANAGEMENT_INTERFACE.encode_args("stop_canister", [{"canister_id": deployed.id}])
    body = deployed.client.sign(MANAGEMENT_CANISTER, "stop_canister", arg).body

    assert _post_call(deployed.client, other, body).status == 400
