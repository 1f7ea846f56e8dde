"""Certificates: a subnet's signature over part of its state, and what may be believed of it.

Source: IC interface specification, "Certificate" and "Delegation".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from icfleet_protocol.bls import bls_verify
from icfleet_protocol.cbor import SELF_DESCRIBE_TAG, decode_map
from icfleet_protocol.domain import STATE_ROOT
from icfleet_protocol.errors import (
    CanisterRangeError,
    CertificateError,
    DecodeError,
    HashTreeError,
    StaleCertificateError,
)
from icfleet_protocol.hash_tree import (
    Absent,
    Found,
    HashTree,
    Labeled,
    Leaf,
    Unknown,
    find_subtree,
    flatten,
    lookup,
    parse_hash_tree,
)
from icfleet_protocol.leb128 import decode_uleb128
from icfleet_protocol.principal import Principal

__all__ = [
    "CERTIFICATE_SIZE_MAX",
    "Certificate",
    "Freshness",
    "parse_canister_ranges",
    "verify_certificate",
]

CERTIFICATE_SIZE_MAX = 5 * 1024 * 1024
"""Bytes: a reply of 2 MiB, its witness, and room to spare."""

_RANGES_MAX = 100_000
_MINUTE_NS = 60 * 1_000_000_000
_DELEGATION_AGE_MAX_NS = 30 * 24 * 60 * _MINUTE_NS
"""Delegations are signed by the root subnet and renewed rarely. Source: @dfinity/agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How far a certificate's time may lie from ours."""

    age_max_ns: int = 5 * _MINUTE_NS
    """Source: the longest ingress expiry; agent-rs and @dfinity/agent use the same."""
    skew_max_ns: int = 5 * _MINUTE_NS
    """How far it may lie in the future."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate whose signature has been checked."""

    tree: HashTree
    time_ns: int
    subnet_key_der: bytes
    """The key that signed ``tree``: the root key, or one the root key vouches for."""
    subnet: Principal

    def lookup(self, *path: bytes) -> Found | Absent | Unknown:
        """Find the value at a path."""
        return lookup(self.tree, path)

    def value(self, *path: bytes) -> bytes | None:
        """The value at a path, or ``None`` if it is proven not to exist.

        Raises:
            HashTreeError: If the certificate does not show that part of the state.
        """
        match self.lookup(*path):
            case Found(value):
                return value
            case Absent():
                return None
            case Unknown():
                shown = "/".join(_label_text(label) for label in path)
                reason = f"the certificate does not show /{shown}"
                raise HashTreeError(reason)


def verify_certificate(
    raw: bytes,
    *,
    root_key_der: bytes,
    canister: Principal | None,
    now_ns: int,
    freshness: Freshness,
) -> Certificate:
    """Decode a certificate and check everything that it claims.

    Args:
        raw: CBOR of the certificate.
        root_key_der: The network's root key, 133 bytes of DER.
        canister: The effective canister the request was about; ``None`` for a subnet's own state.
            A certificate signed by the root key itself is taken for any canister.
        now_ns: Our time.
        freshness: What lies too far from ``now_ns``.

    Raises:
        DecodeError: If it is malformed.
        InvalidSignatureError: If a signature is wrong.
        StaleCertificateError: If its time is outside the window.
        CanisterRangeError: If the signing subnet does not host ``canister``.
        CertificateError: If its delegation is itself delegated.
    """
    fields = decode_map(raw, size_max=CERTIFICATE_SIZE_MAX)
    tree = parse_hash_tree(fields.get("tree"))
    delegation = fields.get("delegation")
    if delegation is None:
        key, subnet = root_key_der, Principal.self_authenticating(root_key_der)
    else:
        key, subnet = _verify_delegation(delegation, root_key_der, canister, now_ns)
    bls_verify(key, _bytes_field(fields, "signature"), STATE_ROOT + tree.digest)
    time_ns = _read_time(tree)
    _check_fresh(time_ns, now_ns, freshness)
    return Certificate(tree=tree, time_ns=time_ns, subnet_key_der=key, subnet=subnet)


def parse_canister_ranges(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Read closed intervals of canister ids.

    Raises:
        DecodeError: If they are not an array of pairs of principals.
    """
    # Ranges are an array, so they are wrapped into a map for the one bounded decoder there is.
    body = raw.removeprefix(SELF_DESCRIBE_TAG)
    ranges = decode_map(b"\xa1\x61r" + body, size_max=CERTIFICATE_SIZE_MAX)["r"]
    if not isinstance(ranges, Sequence) or isinstance(ranges, (str, bytes)):
        reason = "canister ranges are not an array"
        raise DecodeError(reason)
    pairs: list[tuple[bytes, bytes]] = []
    for pair in cast("Sequence[object]", ranges)[:_RANGES_MAX]:
        match tuple(cast("Sequence[object]", pair)) if isinstance(pair, Sequence) else ():
            case (bytes() as low, bytes() as high):
                pairs.append((low, high))
            case _:
                reason = "a canister range is not a pair of principals"
                raise DecodeError(reason)
    return pairs


def _verify_delegation(
    delegation: object, root_key_der: bytes, canister: Principal | None, now_ns: int
) -> tuple[bytes, Principal]:
    if not isinstance(delegation, Mapping):
        reason = "the delegation is not a map"
        raise DecodeError(reason)
    fields = cast("Mapping[str, Any]", delegation)
    subnet = Principal(_bytes_field(fields, "subnet_id"))
    raw = _bytes_field(fields, "certificate")
    if decode_map(raw, size_max=CERTIFICATE_SIZE_MAX).get("delegation") is not None:
        reason = "the delegation's certificate is itself delegated"
        raise CertificateError(reason)
    parent = verify_certificate(
        raw,
        root_key_der=root_key_der,
        canister=None,
        now_ns=now_ns,
        freshness=Freshness(age_max_ns=_DELEGATION_AGE_MAX_NS),
    )
    key = parent.value(b"subnet", subnet.raw, b"public_key")
    if key is None:
        reason = f"the root subnet knows no subnet {subnet}"
        raise CertificateError(reason)
    if canister is not None and not _hosts(parent.tree, subnet, canister):
        reason = f"subnet {subnet} does not host canister {canister}"
        raise CanisterRangeError(reason)
    return key, subnet


def _hosts(tree: HashTree, subnet: Principal, canister: Principal) -> bool:
    """Whether the ranges, in shards or in one leaf, contain the canister."""
    shards = find_subtree(tree, (b"canister_ranges", subnet.raw))
    if isinstance(shards, (Absent, Unknown)):
        flat = lookup(tree, (b"subnet", subnet.raw, b"canister_ranges"))
        return isinstance(flat, Found) and _contains(flat.value, canister)
    candidates = [
        node for node in flatten(shards) if isinstance(node, Labeled) and node.label <= canister.raw
    ]
    if not candidates or not isinstance(candidates[-1].tree, Leaf):
        return False
    return _contains(candidates[-1].tree.value, canister)


def _contains(ranges: bytes, canister: Principal) -> bool:
    return any(low <= canister.raw <= high for low, high in parse_canister_ranges(ranges))


def _read_time(tree: HashTree) -> int:
    found = lookup(tree, (b"time",))
    if not isinstance(found, Found):
        reason = "the certificate does not tell its time"
        raise HashTreeError(reason)
    return decode_uleb128(found.value)[0]


def _check_fresh(time_ns: int, now_ns: int, freshness: Freshness) -> None:
    age_s = (now_ns - time_ns) // 1_000_000_000
    if time_ns < now_ns - freshness.age_max_ns:
        reason = f"the certificate is {age_s} s old; is this computer's clock right?"
        raise StaleCertificateError(reason)
    if time_ns > now_ns + freshness.skew_max_ns:
        reason = f"the certificate is {-age_s} s ahead; is this computer's clock right?"
        raise StaleCertificateError(reason)


def _bytes_field(fields: Mapping[str, Any], name: str) -> bytes:
    value = fields.get(name)
    if not isinstance(value, bytes):
        reason = f"field {name} is missing or not a byte string"
        raise DecodeError(reason)
    return value


def _label_text(label: bytes) -> str:
    text = label.decode("ascii", "replace")
    return text if text.isidentifier() else label.hex()
