"""Reading certified state: the request, and what its answer may be believed to say.

Source: IC interface specification, "Request: Read state" and "The system state tree".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from icfleet_agent.errors import MalformedReplyError, UnverifiedReplyError
from icfleet_agent.refusal import raise_for_status
from icfleet_agent.transport import HttpReply
from icfleet_agent.trust import Trust
from icfleet_protocol.cbor import decode_map
from icfleet_protocol.certificate import Certificate
from icfleet_protocol.envelope import ReadStateContent, SignedRequest, sign_request
from icfleet_protocol.errors import DecodeError
from icfleet_protocol.hash_tree import (
    Absent,
    Found,
    Labeled,
    Unknown,
    find_subtree,
    flatten,
    lookup,
)
from icfleet_protocol.identity import Identity
from icfleet_protocol.principal import Principal

__all__ = [
    "SUBNET_PATHS",
    "Path",
    "SubnetKeys",
    "build_read_state",
    "interpret_read_state",
    "read_subnet_keys",
]

Path = Sequence[bytes]
SUBNET_PATHS: tuple[Path, ...] = ((b"subnet",),)

_ACCEPTED = frozenset({HTTPStatus.OK})


@dataclass(frozen=True, slots=True)
class SubnetKeys:
    """Who may answer queries for a subnet: its nodes' Ed25519 keys in DER, by node id."""

    subnet: Principal
    nodes: Mapping[bytes, bytes]


def build_read_state(
    paths: Sequence[Path], *, identity: Identity, ingress_expiry_ns: int
) -> SignedRequest:
    """Ask for parts of the state tree."""
    content = ReadStateContent(
        sender=identity.sender,
        ingress_expiry_ns=ingress_expiry_ns,
        paths=tuple(tuple(path) for path in paths),
    )
    return sign_request(content, identity)


def interpret_read_state(
    reply: HttpReply, *, trust: Trust, canister: Principal, now_ns: int
) -> Certificate:
    """Take the certificate out of an answer and check it.

    Raises:
        HttpStatusError: If the server refused.
        MalformedReplyError: If the answer is not what the specification says.
        UnverifiedReplyError: If it proves nothing.
    """
    raise_for_status(reply, accepted=_ACCEPTED)
    try:
        raw = decode_map(reply.body, size_max=len(reply.body)).get("certificate")
    except DecodeError as error:
        reason = f"malformed answer to read_state: {error}"
        raise MalformedReplyError(reason) from error
    if not isinstance(raw, bytes):
        reason = "the answer to read_state has no certificate"
        raise MalformedReplyError(reason)
    return trust.verify(raw, canister=canister, now_ns=now_ns)


def read_subnet_keys(certificate: Certificate) -> SubnetKeys:
    """Find the keys of the nodes of the subnet that signed a certificate.

    Raises:
        UnverifiedReplyError: If the certificate does not show them.
    """
    subnet = certificate.subnet
    nodes = find_subtree(certificate.tree, (b"subnet", subnet.raw, b"node"))
    keys: dict[bytes, bytes] = {}
    if not isinstance(nodes, (Absent, Unknown)):
        for node in flatten(nodes):
            if isinstance(node, Labeled):
                key = lookup(node.tree, (b"public_key",))
                if isinstance(key, Found):
                    keys[node.label] = key.value
    if not keys:
        reason = f"the certificate shows no node of subnet {subnet}"
        raise UnverifiedReplyError(reason)
    return SubnetKeys(subnet, keys)
