"""A request is remembered for as long as somebody could send it again, and no longer."""

import cbor2

from icfleet_localnet.ingress import IngressHistory, Processing, Received, Replied
from icfleet_localnet.rejects import Reject
from icfleet_localnet.state_tree import witness_cbor
from icfleet_protocol.hash_tree import Absent, Found, lookup, parse_hash_tree
from icfleet_protocol.principal import ANONYMOUS
from icfleet_protocol.request_id import RequestId

FIRST, SECOND = RequestId(b"\x01" * 32), RequestId(b"\x02" * 32)
MINUTE_NS = 60 * 1_000_000_000


def _certified(history: IngressHistory, request: RequestId, field: bytes) -> bytes | None:
    tree = parse_hash_tree(cbor2.loads(witness_cbor(history.forest, [[request]])))
    match lookup(tree, [request, field]):
        case Found(value):
            return value
        case Absent():
            return None
        case unknown:
            raise AssertionError(unknown)


def test_progress_is_certified_step_by_step() -> None:
    history = IngressHistory()
    seen: list[bytes | None] = []
    history.add(FIRST, ANONYMOUS, ANONYMOUS, expiry_ns=0)
    for status in (Received(), Processing(), Replied(b"yes")):
        history.update(FIRST, status)
        seen.append(_certified(history, FIRST, b"status"))

    assert seen == [b"received", b"processing", b"replied"]
    assert _certified(history, FIRST, b"reply") == b"yes"
    assert _certified(history, FIRST, b"reject_code") is None


def test_a_rejection_is_certified_with_all_its_parts() -> None:
    history = IngressHistory()
    history.add(FIRST, ANONYMOUS, ANONYMOUS, expiry_ns=0)

    history.update(FIRST, Reject(4, "no", "IC0406"))

    parts = [b"status", b"reject_code", b"reject_message", b"error_code", b"reply"]
    assert [_certified(history, FIRST, part) for part in parts] == [
        b"rejected",
        b"\x04",
        b"no",
        b"IC0406",
        None,
    ]


def test_only_final_states_are_terminal() -> None:
    history = IngressHistory()
    history.add(FIRST, ANONYMOUS, ANONYMOUS, expiry_ns=0)
    before = history.is_terminal(FIRST)
    history.update(FIRST, Processing())
    during = history.is_terminal(FIRST)
    history.update(FIRST, Replied(b""))

    assert (before, during, history.is_terminal(FIRST)) == (False, False, True)
    assert not history.is_terminal(SECOND)


def test_a_request_outlives_its_expiry_and_is_then_forgotten() -> None:
    history = IngressHistory()
    history.add(FIRST, ANONYMOUS, ANONYMOUS, expiry_ns=4 * MINUTE_NS)
    history.add(SECOND, ANONYMOUS, ANONYMOUS, expiry_ns=60 * MINUTE_NS)
    for request in (FIRST, SECOND):
        history.update(request, Replied(b""))

    history.forget_expired(0)
    history.forget_expired(8 * MINUTE_NS)
    kept = FIRST in history
    history.forget_expired(10 * MINUTE_NS)

    assert kept
    assert FIRST not in history
    assert _certified(history, FIRST, b"status") is None
    assert SECOND in history


def test_a_request_that_is_executed_for_hours_is_not_forgotten() -> None:
    """Its result stays for five minutes from when it is there."""
    history = IngressHistory()
    history.add(FIRST, ANONYMOUS, ANONYMOUS, expiry_ns=4 * MINUTE_NS)
    history.update(FIRST, Processing())
    history.forget_expired(300 * MINUTE_NS)
    assert _certified(history, FIRST, b"status") == b"processing"

    history.update(FIRST, Replied(b"late"))
    history.forget_expired(301 * MINUTE_NS)
    history.forget_expired(305 * MINUTE_NS)
    assert _certified(history, FIRST, b"reply") == b"late"

    history.forget_expired(307 * MINUTE_NS)
    assert FIRST not in history
