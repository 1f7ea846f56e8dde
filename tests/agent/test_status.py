"""A node's word about itself is read leniently and believed in nothing."""

import pytest

from icfleet_agent.errors import HttpStatusError, MalformedReplyError
from icfleet_agent.status import STATUS_SIZE_MAX, NodeStatus, interpret_status
from icfleet_agent.transport import HttpReply
from icfleet_protocol.cbor import encode_tagged


def test_a_full_status_is_read() -> None:
    fields = {
        "root_key": b"key",
        "replica_health_status": "healthy",
        "impl_version": "1.2",
        "certified_height": 7,
        "ic_api_version": "unknown extra",
    }

    assert interpret_status(HttpReply(200, encode_tagged(fields))) == NodeStatus(
        root_key_der=b"key",
        health="healthy",
        impl_version="1.2",
        certified_height=7,
        others={"ic_api_version": "unknown extra"},
    )


@pytest.mark.parametrize("fields", [{}, {"root_key": "text", "certified_height": "many"}])
def test_what_is_missing_or_odd_is_left_out(fields: dict[str, object]) -> None:
    assert interpret_status(HttpReply(200, encode_tagged(fields))) == NodeStatus(
        root_key_der=None, health=None, impl_version=None, certified_height=None
    )


@pytest.mark.parametrize("body", [b"", b"healthy", b"\x80", bytes(STATUS_SIZE_MAX + 1)])
def test_what_is_no_status_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedReplyError):
        interpret_status(HttpReply(200, body))


def test_a_refusal_is_told() -> None:
    with pytest.raises(HttpStatusError, match="starting"):
        interpret_status(HttpReply(503, b"starting"))
