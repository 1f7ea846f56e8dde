"""An update's answer in every version of the endpoint, and its fate in a certificate."""

from typing import Any

import pytest
from certified_state import State, build_tree, certify, hide, join, label_tree
from hypothesis import given
from hypothesis import strategies as st
from tiny_replica import ECHO, ROOT_KEY, STRANGER_KEY, TinyReplica

from icfleet_agent.call import (
    Accepted,
    Forgotten,
    Missing,
    Pending,
    Rejected,
    Replied,
    build_call,
    interpret_call,
    read_fate,
)
from icfleet_agent.errors import (
    CertifiedRejectError,
    HttpStatusError,
    MalformedReplyError,
    UncertifiedRejectError,
    UnverifiedReplyError,
)
from icfleet_agent.transport import HttpReply
from icfleet_agent.trust import Trust
from icfleet_protocol.cbor import encode_tagged
from icfleet_protocol.certificate import Certificate
from icfleet_protocol.envelope import CallContent, authenticate, decode_envelope
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.leb128 import encode_uleb128

NOW_NS = 1_750_000_000_000_000_000
ADA = Ed25519Identity.from_seed(b"a" * 32)
TRUST = Trust(ROOT_KEY.public_key_der, 300_000_000_000)
CONTENT = CallContent(
    request_type="call",
    sender=ADA.sender,
    ingress_expiry_ns=NOW_NS + 1,
    canister=ECHO,
    method="echo",
    arg=b"DIDL\x00\x00",
    nonce=b"0123456789abcdef",
)
REQUEST = build_call(CONTENT, ADA)
ID = REQUEST.request_id
REPLIED: dict[bytes, State] = {b"status": b"replied", b"reply": b"reply"}
REJECTED: dict[bytes, State] = {
    b"status": b"rejected",
    b"reject_code": b"\x05",
    b"reject_message": b"it trapped",
    b"error_code": b"IC0503",
}


def certified(status: dict[bytes, State] | None, request: bytes = ID) -> bytes:
    statuses: State = {} if status is None else {request: status}
    return TinyReplica(now_ns=lambda: NOW_NS).certify({b"request_status": statuses})


def certificate(status: dict[bytes, State] | None, request: bytes = ID) -> Certificate:
    return TRUST.verify(certified(status, request), canister=ECHO, now_ns=NOW_NS)


def interpret(fields: dict[str, Any]) -> Replied | Rejected | Accepted:
    return interpret_raw(HttpReply(200, encode_tagged(fields)))


def interpret_raw(reply: HttpReply) -> Replied | Rejected | Accepted:
    return interpret_call(reply, ID, trust=TRUST, canister=ECHO, now_ns=NOW_NS)


def test_the_call_is_signed_with_its_nonce() -> None:
    envelope = decode_envelope(REQUEST.body)

    authenticate(envelope, now_ns=NOW_NS)
    assert envelope.content == CONTENT


def test_a_certified_reply_is_the_end() -> None:
    step = interpret({"status": "replied", "certificate": certified(REPLIED)})

    assert step == Replied(b"reply", NOW_NS)


def test_a_certified_rejection_comes_under_the_same_status() -> None:
    """The specification calls an answer with a certificate "replied", whatever it says."""
    step = interpret({"status": "replied", "certificate": certified(REJECTED)})

    assert isinstance(step, Rejected)
    assert isinstance(step.error, CertifiedRejectError)
    assert str(step.error) == "rejected (5 CANISTER_ERROR, IC0503): it trapped"


@pytest.mark.parametrize("fields", [{"status": "non_replicated_rejection"}, {}], ids=["v3", "v2"])
def test_a_nodes_refusal_is_known_as_uncertified(fields: dict[str, Any]) -> None:
    rejection = {"reject_code": 3, "reject_message": "not found", "error_code": "IC0301"}

    step = interpret(fields | rejection)

    assert isinstance(step, Rejected)
    assert isinstance(step.error, UncertifiedRejectError)
    assert step.error.error_code == "IC0301"


@pytest.mark.parametrize("body", [b"", b"the request is being processed"])
def test_a_202_is_acceptance_whatever_it_says(body: bytes) -> None:
    assert interpret_raw(HttpReply(202, body)) == Accepted()


@pytest.mark.parametrize("status", [None, {b"status": b"received"}, {b"status": b"processing"}])
def test_a_certificate_without_an_end_is_acceptance(status: dict[bytes, State] | None) -> None:
    step = interpret({"status": "replied", "certificate": certified(status)})

    assert step == Accepted()


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"status": "replied"}, id="no-certificate"),
        pytest.param({"status": "replied", "certificate": "x"}, id="certificate-as-text"),
        pytest.param({"status": "replied", "certificate": b"x"}, id="no-cbor-in-it"),
        pytest.param({"status": "unknown", "reject_code": 1, "reject_message": ""}, id="status"),
        pytest.param({"reject_code": 1}, id="rejection-without-message"),
        pytest.param({}, id="empty"),
    ],
)
def test_what_is_no_answer_is_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedReplyError):
        interpret(fields)


def test_a_forged_certificate_is_refused() -> None:
    raw = certify({b"time": encode_uleb128(NOW_NS)}, STRANGER_KEY)

    with pytest.raises(UnverifiedReplyError):
        interpret({"status": "replied", "certificate": raw})


def test_another_calls_certificate_says_nothing_of_this_one() -> None:
    """A reply cannot be taken for the reply to something else."""
    raw = certified(REPLIED, request=bytes(32))

    assert interpret({"status": "replied", "certificate": raw}) == Accepted()


def test_a_refusal_is_told() -> None:
    with pytest.raises(HttpStatusError, match="too large"):
        interpret_raw(HttpReply(413, b"Request is too large"))


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        pytest.param(None, Missing(NOW_NS), id="unknown"),
        pytest.param({b"status": b"received"}, Pending(), id="received"),
        pytest.param({b"status": b"processing"}, Pending(), id="processing"),
        pytest.param({b"status": b"done"}, Forgotten(), id="done"),
        pytest.param(REPLIED, Replied(b"reply", NOW_NS), id="replied"),
    ],
)
def test_fates_are_read(status: dict[bytes, State] | None, fate: object) -> None:
    assert read_fate(certificate(status), ID) == fate


def test_a_rejection_may_lack_its_finer_code() -> None:
    without = {name: value for name, value in REJECTED.items() if name != b"error_code"}

    fate = read_fate(certificate(without), ID)

    assert isinstance(fate, Rejected)
    assert fate.error.error_code is None


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({b"status": b"surprise"}, id="unknown-status"),
        pytest.param({b"status": b"replied"}, id="reply-missing"),
        pytest.param({b"status": b"rejected", b"reject_code": b"\x05"}, id="message-missing"),
        pytest.param({b"status": b"rejected", b"reject_message": b"x"}, id="code-missing"),
        pytest.param({**REJECTED, b"reject_message": b"\xff"}, id="message-not-text"),
        pytest.param({**REJECTED, b"error_code": b"\xff"}, id="finer-code-not-text"),
        pytest.param({**REJECTED, b"reject_code": b"\x80"}, id="code-not-a-number"),
        pytest.param({b"status": {b"deeper": b""}}, id="status-not-a-leaf"),
    ],
)
def test_a_fate_that_does_not_fit_is_malformed(status: dict[bytes, State]) -> None:
    with pytest.raises(MalformedReplyError):
        read_fate(certificate(status), ID)


def test_a_hidden_status_is_not_taken_for_a_missing_one() -> None:
    """A pruned tree must not make us believe that a call never arrived."""
    hidden = label_tree(b"request_status", hide(build_tree({ID: REPLIED})))
    tree = join([hidden, label_tree(b"time", build_tree(encode_uleb128(NOW_NS)))])
    proof = TRUST.verify(certify(tree, ROOT_KEY), canister=ECHO, now_ns=NOW_NS)

    with pytest.raises(MalformedReplyError, match="does not show"):
        read_fate(proof, ID)


@given(st.binary(max_size=60))
def test_bad_bytes_raise_only_our_errors(data: bytes) -> None:
    for body in (data, b"\xa2\x66status\x67replied" + data):
        with pytest.raises(MalformedReplyError):
            interpret_raw(HttpReply(200, body))
