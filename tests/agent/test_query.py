"""One node's answer: read strictly, believed only with its signature."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_replica import ECHO, NODE, OTHER_NODE, Exchange, TinyReplica

from icfleet_agent.errors import (
    HttpStatusError,
    MalformedReplyError,
    UncertifiedRejectError,
    UnverifiedReplyError,
)
from icfleet_agent.query import (
    QueryAnswer,
    UnknownNodeError,
    build_query,
    interpret_query,
    verify_query_answer,
)
from icfleet_agent.read_state import SubnetKeys
from icfleet_agent.transport import HttpReply
from icfleet_protocol.cbor import decode_map, encode_tagged
from icfleet_protocol.envelope import authenticate, decode_envelope
from icfleet_protocol.identity import AnonymousIdentity, Ed25519Identity
from icfleet_protocol.query_signature import query_response_message
from icfleet_protocol.request_id import RequestId

NOW_NS = 1_750_000_000_000_000_000
AGE_MAX_NS = 300_000_000_000
ADA = Ed25519Identity.from_seed(b"a" * 32)
REQUEST = build_query(
    ECHO, "echo", b"DIDL\x00\x00", identity=ADA, ingress_expiry_ns=NOW_NS + AGE_MAX_NS
)
TRAP = build_query(ECHO, "trap", b"", identity=ADA, ingress_expiry_ns=NOW_NS + AGE_MAX_NS)
KEYS = SubnetKeys(ECHO, {NODE.sender.raw: NODE.public_key_der})


def answer_fields(body: bytes = REQUEST.body, **changes: Any) -> dict[str, Any]:
    """What an honest node answers, as a map, with changes; ``...`` drops a field."""
    replica = TinyReplica(now_ns=lambda: NOW_NS)
    reply = replica.answer_honestly(Exchange("query", "v3", str(ECHO), body))
    fields = {**decode_map(reply.body, size_max=1 << 20), **changes}
    return {name: value for name, value in fields.items() if value is not ...}


def interpret(fields: dict[str, Any]) -> QueryAnswer:
    return interpret_query(HttpReply(200, encode_tagged(fields)))


def verify(
    answer: QueryAnswer,
    *,
    request: RequestId = REQUEST.request_id,
    keys: SubnetKeys = KEYS,
    now_ns: int = NOW_NS,
) -> None:
    verify_query_answer(answer, request, keys=keys, now_ns=now_ns, age_max_ns=AGE_MAX_NS)


def test_the_question_is_signed_and_has_no_nonce() -> None:
    envelope = decode_envelope(REQUEST.body)

    authenticate(envelope, now_ns=NOW_NS)
    assert envelope.content.nonce is None


def test_equal_questions_are_equal_bytes() -> None:
    """So that a cache between us and the canister can serve them."""
    again = build_query(
        ECHO, "echo", b"DIDL\x00\x00", identity=ADA, ingress_expiry_ns=NOW_NS + AGE_MAX_NS
    )

    assert again.body == REQUEST.body


def test_an_anonymous_question_is_not_signed() -> None:
    request = build_query(ECHO, "echo", b"", identity=AnonymousIdentity(), ingress_expiry_ns=1)

    assert decode_envelope(request.body).signature is None


def test_a_nodes_answer_is_verified_and_read() -> None:
    answer = interpret(answer_fields())

    verify(answer)
    assert answer.result() == b"DIDL\x00\x00"


def test_a_nodes_rejection_is_verified_and_raised() -> None:
    answer = interpret(answer_fields(TRAP.body))

    verify(answer, request=TRAP.request_id)
    with pytest.raises(UncertifiedRejectError, match="it trapped") as caught:
        answer.result()
    assert (caught.value.reject_code, caught.value.error_code) == (5, "IC0503")


def test_a_rejection_without_the_finer_code_is_verified_too() -> None:
    """Source: the specification makes ``error_code`` optional, and then it is not signed."""
    rejected: dict[str, Any] = {"status": "rejected", "reject_code": 4, "reject_message": "no"}
    message = query_response_message(rejected, timestamp_ns=NOW_NS, request=TRAP.request_id)
    signature = {
        "identity": NODE.sender.raw,
        "timestamp": NOW_NS,
        "signature": NODE.sign(message),
    }

    answer = interpret({**rejected, "signatures": [signature]})

    verify(answer, request=TRAP.request_id)
    with pytest.raises(UncertifiedRejectError) as caught:
        answer.result()
    assert caught.value.error_code is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"reply": {"arg": b"forged"}}, id="reply"),
        pytest.param({"signatures": ...}, id="signatures-missing"),
        pytest.param({"signatures": []}, id="no-signature"),
    ],
)
def test_a_changed_answer_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UnverifiedReplyError):
        verify(interpret(answer_fields(**changes)))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"reject_code": 4}, id="code"),
        pytest.param({"reject_message": "all is well"}, id="message"),
        pytest.param({"error_code": "IC0406"}, id="finer-code"),
        pytest.param({"error_code": ...}, id="finer-code-dropped"),
    ],
)
def test_a_changed_rejection_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UnverifiedReplyError):
        verify(interpret(answer_fields(TRAP.body, **changes)), request=TRAP.request_id)


def test_an_answer_to_another_question_is_refused() -> None:
    with pytest.raises(UnverifiedReplyError):
        verify(interpret(answer_fields()), request=TRAP.request_id)


def test_an_unknown_node_is_told_from_a_bad_signature() -> None:
    """Our list of nodes may be old; then newer keys are worth asking for."""
    keys = SubnetKeys(ECHO, {OTHER_NODE.sender.raw: OTHER_NODE.public_key_der})

    with pytest.raises(UnknownNodeError, match="does not belong"):
        verify(interpret(answer_fields()), keys=keys)


def test_another_nodes_key_does_not_fit() -> None:
    keys = SubnetKeys(ECHO, {NODE.sender.raw: OTHER_NODE.public_key_der})

    with pytest.raises(UnverifiedReplyError, match="does not hold"):
        verify(interpret(answer_fields()), keys=keys)


def test_every_signature_must_hold() -> None:
    """One good one does not carry a bad one."""
    good = answer_fields()["signatures"][0]
    bad = {**good, "signature": bytes(64)}
    two = SubnetKeys(ECHO, {**KEYS.nodes, OTHER_NODE.sender.raw: OTHER_NODE.public_key_der})

    with pytest.raises(UnverifiedReplyError):
        verify(interpret(answer_fields(signatures=[good, bad])), keys=two)


def test_more_signatures_than_nodes_are_not_even_checked() -> None:
    good = answer_fields()["signatures"][0]

    with pytest.raises(UnverifiedReplyError, match="1000 signatures from 1 nodes"):
        verify(interpret(answer_fields(signatures=[good] * 1000)))


@pytest.mark.parametrize(
    ("now_ns", "is_fresh"),
    [
        pytest.param(NOW_NS + AGE_MAX_NS, True, id="just-fresh"),
        pytest.param(NOW_NS + AGE_MAX_NS + 1, False, id="just-old"),
        pytest.param(NOW_NS - AGE_MAX_NS, True, id="a-little-early"),
        pytest.param(NOW_NS - AGE_MAX_NS - 1, False, id="too-early"),
    ],
)
def test_an_old_answer_is_refused(now_ns: int, is_fresh: bool) -> None:
    """Whoever replays it has at most five minutes."""
    answer = interpret(answer_fields())

    if is_fresh:
        verify(answer, now_ns=now_ns)
    else:
        with pytest.raises(UnverifiedReplyError, match="clock"):
            verify(answer, now_ns=now_ns)


SIGNATURE = {"identity": b"n", "timestamp": 1, "signature": b"s"}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="empty"),
        pytest.param({"status": "unknown"}, id="unknown-status"),
        pytest.param({"status": "replied"}, id="no-reply"),
        pytest.param({"status": "replied", "reply": {}}, id="reply-without-bytes"),
        pytest.param({"status": "replied", "reply": b"x"}, id="reply-not-a-map"),
        pytest.param({"status": "replied", "reply": {"arg": "x"}}, id="reply-as-text"),
        pytest.param({"status": "rejected"}, id="rejection-without-code"),
        pytest.param(
            {"status": "rejected", "reject_code": "5", "reject_message": ""}, id="code-as-text"
        ),
        pytest.param(
            {"status": "rejected", "reject_code": -5, "reject_message": ""}, id="negative-code"
        ),
        pytest.param(
            {"status": "rejected", "reject_code": 5, "reject_message": b""}, id="message-as-bytes"
        ),
        pytest.param(
            {"status": "rejected", "reject_code": 5, "reject_message": "", "error_code": 1},
            id="finer-code-as-number",
        ),
        pytest.param(
            {"status": "replied", "reply": {"arg": b""}, "signatures": {}}, id="signatures-as-map"
        ),
        pytest.param(
            {"status": "replied", "reply": {"arg": b""}, "signatures": b"x"}, id="as-bytes"
        ),
        pytest.param(
            {"status": "replied", "reply": {"arg": b""}, "signatures": [b"x"]}, id="as-byte-strings"
        ),
        pytest.param(
            {
                "status": "replied",
                "reply": {"arg": b""},
                "signatures": [{**SIGNATURE, "identity": 1}],
            },
            id="node-as-number",
        ),
        pytest.param(
            {
                "status": "replied",
                "reply": {"arg": b""},
                "signatures": [{**SIGNATURE, "timestamp": -1}],
            },
            id="negative-time",
        ),
    ],
)
def test_what_is_no_answer_is_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedReplyError):
        interpret(fields)


def test_a_refusal_is_told() -> None:
    with pytest.raises(HttpStatusError, match="canister_not_found"):
        interpret_query(HttpReply(400, b"canister_not_found"))


@given(st.binary(max_size=60))
def test_bad_bytes_raise_only_our_errors(data: bytes) -> None:
    for body in (data, b"\xa2\x66status\x67replied" + data):
        with pytest.raises(MalformedReplyError):
            interpret_query(HttpReply(200, body))
