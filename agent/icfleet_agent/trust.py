"""What the agent takes for proof: the root key, and how old a signature may be.

Source: IC interface specification, "Root of trust" and "Certificate".
"""

import ipaddress
from dataclasses import dataclass
from typing import cast
from urllib.parse import SplitResult

from icfleet_agent.errors import MalformedReplyError, SettingsError, UnverifiedReplyError
from icfleet_protocol.bls import BLS_PUBLIC_KEY_DER_SIZE
from icfleet_protocol.certificate import Certificate, Freshness, verify_certificate
from icfleet_protocol.errors import CertificateError, DecodeError
from icfleet_protocol.principal import Principal

__all__ = ["MAINNET_ROOT_KEY_DER", "Trust", "check_root_key", "is_loopback"]

MAINNET_ROOT_KEY_DER = bytes.fromhex(
    "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100814c0e6ec71fab583b08bd"
    "81373c255c3c371b2e84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b4392e467db96d6"
    "5b9bb4cb717112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae"
)
"""The Internet Computer's own. Source: https://internetcomputer.org, and every agent."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Everything that an answer must live up to."""

    root_key_der: bytes
    age_max_ns: int
    """How far a signature's time may lie from ours, either way."""

    def verify(self, raw: bytes, *, canister: Principal, now_ns: int) -> Certificate:
        """Check a certificate about a canister.

        Raises:
            MalformedReplyError: If it is not a certificate.
            UnverifiedReplyError: If it proves nothing about ``canister``.
        """
        try:
            return verify_certificate(
                raw,
                root_key_der=self.root_key_der,
                canister=canister,
                now_ns=now_ns,
                freshness=Freshness(age_max_ns=self.age_max_ns, skew_max_ns=self.age_max_ns),
            )
        except DecodeError as error:
            reason = f"malformed certificate: {error}"
            raise MalformedReplyError(reason) from error
        except CertificateError as error:
            raise UnverifiedReplyError(str(error)) from error


def check_root_key(key_der: bytes) -> bytes:
    """Return the key if it can be one.

    Raises:
        SettingsError: If it has another size than a subnet's DER-encoded key.
    """
    if len(key_der) != BLS_PUBLIC_KEY_DER_SIZE:
        reason = f"a root key has {BLS_PUBLIC_KEY_DER_SIZE} bytes of DER, not {len(key_der)}"
        raise SettingsError(reason)
    return key_der


def is_loopback(url: SplitResult) -> bool:
    """Whether the URL's host is this computer, by its name alone: nothing is resolved."""
    host = cast("str", url.hostname)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
