"""Certified state: what is asked, what is believed, and which nodes a subnet has."""

import pytest
from certified_state import State
from tiny_replica import ECHO, NODE, OTHER_NODE, ROOT_KEY, TinyReplica

from icfleet_agent.errors import HttpStatusError, MalformedReplyError, UnverifiedReplyError
from icfleet_agent.read_state import build_read_state, interpret_read_state, read_subnet_keys
from icfleet_agent.transport import HttpReply
from icfleet_agent.trust import Trust
from icfleet_protocol.cbor import encode_tagged
from icfleet_protocol.certificate import Certificate
from icfleet_protocol.envelope import ReadStateContent, authenticate, decode_envelope
from icfleet_protocol.identity import Ed25519Identity

ADA = Ed25519Identity.from_seed(b"a" * 32)
NOW_NS = 1_750_000_000_000_000_000
TRUST = Trust(ROOT_KEY.public_key_der, 300_000_000_000)


def certificate_of(state: dict[bytes, State], *, is_delegated: bool = False) -> Certificate:
    replica = TinyReplica(now_ns=lambda: NOW_NS, is_delegated=is_delegated)
    return TRUST.verify(replica.certify(state), canister=ECHO, now_ns=NOW_NS)


def test_the_question_is_signed_and_carries_its_paths() -> None:
    request = build_read_state(((b"time",), (b"a", b"b")), identity=ADA, ingress_expiry_ns=7)

    envelope = decode_envelope(request.body)
    authenticate(envelope, now_ns=0)
    assert isinstance(envelope.content, ReadStateContent)
    assert envelope.content.paths == ((b"time",), (b"a", b"b"))
    assert envelope.content.ingress_expiry_ns == 7


def test_a_proven_answer_is_taken() -> None:
    replica = TinyReplica(now_ns=lambda: NOW_NS)
    body = encode_tagged({"certificate": replica.certify({b"x": b"value"})})

    certificate = interpret_read_state(
        HttpReply(200, body), trust=TRUST, canister=ECHO, now_ns=NOW_NS
    )

    assert certificate.value(b"x") == b"value"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        pytest.param(HttpReply(404, b"Invalid path requested."), HttpStatusError, id="refused"),
        pytest.param(HttpReply(202, b""), HttpStatusError, id="202-makes-no-sense"),
        pytest.param(HttpReply(200, b""), MalformedReplyError, id="empty"),
        pytest.param(HttpReply(200, encode_tagged({})), MalformedReplyError, id="no-certificate"),
        pytest.param(
            HttpReply(200, encode_tagged({"certificate": "text"})), MalformedReplyError, id="text"
        ),
        pytest.param(
            HttpReply(200, encode_tagged({"certificate": b""})), MalformedReplyError, id="nothing"
        ),
    ],
)
def test_other_answers_are_refused(reply: HttpReply, error: type[Exception]) -> None:
    with pytest.raises(error):
        interpret_read_state(reply, trust=TRUST, canister=ECHO, now_ns=NOW_NS)


@pytest.mark.parametrize("is_delegated", [False, True])
def test_a_subnets_nodes_are_read_from_its_own_certificate(is_delegated: bool) -> None:
    subnet = TinyReplica(is_delegated=is_delegated).subnet
    nodes: State = {
        node.sender.raw: {b"public_key": node.public_key_der} for node in (NODE, OTHER_NODE)
    }

    keys = read_subnet_keys(
        certificate_of({b"subnet": {subnet.raw: {b"node": nodes}}}, is_delegated=is_delegated)
    )

    assert keys.subnet == subnet
    assert keys.nodes == {
        NODE.sender.raw: NODE.public_key_der,
        OTHER_NODE.sender.raw: OTHER_NODE.public_key_der,
    }


SUBNET = TinyReplica().subnet.raw


@pytest.mark.parametrize(
    "state",
    [
        pytest.param({}, id="no-subnets"),
        pytest.param({b"subnet": {SUBNET: {}}}, id="no-nodes"),
        pytest.param({b"subnet": {SUBNET: {b"node": {b"n": {}}}}}, id="node-without-key"),
        pytest.param({b"subnet": {SUBNET: {b"node": b"leaf"}}}, id="leaf-for-nodes"),
        pytest.param(
            {b"subnet": {b"another": {b"node": {b"n": {b"public_key": b"k"}}}}}, id="anothers-nodes"
        ),
    ],
)
def test_a_certificate_without_the_subnets_nodes_proves_nothing(state: dict[bytes, State]) -> None:
    with pytest.raises(UnverifiedReplyError, match="shows no node"):
        read_subnet_keys(certificate_of(state))
