"""A node's signature over a query's answer: one node's word, tied to one request.

Source: IC interface specification, "Query call", ``verify_response``.
"""

from collections.abc import Mapping

from icfleet_protocol.domain import RESPONSE
from icfleet_protocol.request_id import HashableValue, RequestId, hash_of_map
from icfleet_protocol.signatures import ed25519_verify

__all__ = ["query_response_message", "verify_query_signature"]

_SIGNED_FIELDS = ("status", "reply", "reject_code", "reject_message", "error_code")


def query_response_message(
    response: Mapping[str, HashableValue], *, timestamp_ns: int, request: RequestId
) -> bytes:
    """The bytes that a node signs: the answer's fields, when it was made, and for which request."""
    fields: dict[str, HashableValue] = {
        name: response[name] for name in _SIGNED_FIELDS if name in response
    }
    fields["timestamp"] = timestamp_ns
    fields["request_id"] = request
    return RESPONSE + hash_of_map(fields)


def verify_query_signature(
    response: Mapping[str, HashableValue],
    *,
    timestamp_ns: int,
    request: RequestId,
    node_key_der: bytes,
    signature: bytes,
) -> None:
    """Check a node's signature.

    Raises:
        InvalidSignatureError: If the node's key did not sign this answer to this request.
    """
    message = query_response_message(response, timestamp_ns=timestamp_ns, request=request)
    ed25519_verify(node_key_der, signature, message)
