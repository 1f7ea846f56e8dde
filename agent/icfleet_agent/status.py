"""What a node tells of itself; nothing of it is certified.

Source: IC interface specification, "Status endpoint".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from icfleet_agent.errors import MalformedReplyError
from icfleet_agent.refusal import raise_for_status
from icfleet_agent.transport import HttpReply
from icfleet_protocol.cbor import decode_map
from icfleet_protocol.errors import DecodeError

__all__ = ["STATUS_SIZE_MAX", "NodeStatus", "interpret_status"]

STATUS_SIZE_MAX = 64 * 1024
"""Bytes: a key of 133 and a few words."""

_KNOWN = frozenset({"root_key", "replica_health_status", "impl_version", "certified_height"})
_ACCEPTED = frozenset({HTTPStatus.OK})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One node's word about itself."""

    root_key_der: bytes | None
    """The network's root key in DER, which development networks tell."""
    health: str | None
    """``healthy``, or why not."""
    impl_version: str | None
    certified_height: int | None
    others: Mapping[str, object] = field(default_factory=dict[str, object])
    """What else it told, by name: every implementation has something of its own."""


def interpret_status(reply: HttpReply) -> NodeStatus:
    """Read the answer of ``/api/v2/status``.

    Raises:
        HttpStatusError: If the server refused.
        MalformedReplyError: If the answer is not a status.
    """
    raise_for_status(reply, accepted=_ACCEPTED)
    try:
        fields = decode_map(reply.body, size_max=STATUS_SIZE_MAX)
    except DecodeError as error:
        reason = f"malformed status: {error}"
        raise MalformedReplyError(reason) from error
    root_key = fields.get("root_key")
    health = fields.get("replica_health_status")
    version = fields.get("impl_version")
    height = fields.get("certified_height")
    return NodeStatus(
        root_key_der=root_key if isinstance(root_key, bytes) else None,
        health=health if isinstance(health, str) else None,
        impl_version=version if isinstance(version, str) else None,
        certified_height=height if isinstance(height, int) else None,
        others={name: value for name, value in fields.items() if name not in _KNOWN},
    )
