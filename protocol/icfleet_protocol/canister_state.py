"""What a certificate says of one canister: the data it set, and who controls it.

Source: IC interface specification, "The system state tree", ``/canister/<id>/...``.
"""

from icfleet_protocol.cbor import SELF_DESCRIBE_TAG, decode_map
from icfleet_protocol.certificate import Certificate
from icfleet_protocol.errors import DecodeError
from icfleet_protocol.principal import Principal

__all__ = ["CERTIFIED_DATA_SIZE_MAX", "certified_data", "controllers", "controllers_path"]

CERTIFIED_DATA_SIZE_MAX = 32
"""Bytes. Source: ``ic0.certified_data_set``."""

_CONTROLLERS_SIZE_MAX = 4096
"""Bytes: ten controllers of 29 bytes, and room to spare."""


def certified_data(certificate: Certificate, canister: Principal) -> bytes:
    """What the canister set as its certified data; empty if it never did.

    Raises:
        HashTreeError: If the certificate does not show it.
    """
    return certificate.value(b"canister", canister.raw, b"certified_data") or b""


def controllers_path(canister: Principal) -> tuple[bytes, ...]:
    """Where the state tells who controls a canister."""
    return (b"canister", canister.raw, b"controllers")


def controllers(certificate: Certificate, canister: Principal) -> tuple[Principal, ...]:
    """Who may manage the canister.

    Raises:
        HashTreeError: If the certificate does not show it.
        DecodeError: If it is not an array of principals.
    """
    raw = certificate.value(*controllers_path(canister))
    if raw is None:
        return ()
    # An array, wrapped into a map for the one bounded decoder there is.
    body = b"\xa1\x61c" + raw.removeprefix(SELF_DESCRIBE_TAG)
    match decode_map(body, size_max=_CONTROLLERS_SIZE_MAX)["c"]:
        case [*names] if all(isinstance(name, bytes) for name in names):
            return tuple(Principal(name) for name in names)
        case _:
            reason = "a canister's controllers are not an array of principals"
            raise DecodeError(reason)
