"""Keys of each scheme, and envelopes signed with them directly or through delegations.

Everything can also be made wrong, which the project's own agent would never do.

Source: IC interface specification, "Authentication".
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from icfleet_protocol.domain import REQUEST
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import ANONYMOUS, Principal
from icfleet_protocol.request_id import HashableValue, hash_of_map, request_id

Fields = dict[str, HashableValue]

DELEGATION = b"\x1aic-request-auth-delegation"
DELEGATION_TIME_S = 5 * 60


class Key(Protocol):
    """A private key of any scheme."""

    @property
    def public_key_der(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True)
class EcdsaKey:
    """ECDSA with SHA-256, its signatures as the IC has them: r and s, 32 bytes each."""

    private: ec.EllipticCurvePrivateKey

    @property
    def public_key_der(self) -> bytes:
        return self.private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, message: bytes) -> bytes:
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def ed25519(number: int) -> Key:
    return Ed25519Identity.from_seed(number.to_bytes(32, "big"))


def p256(number: int) -> Key:
    return EcdsaKey(ec.derive_private_key(number + 1, ec.SECP256R1()))


def secp256k1(number: int) -> Key:
    return EcdsaKey(ec.derive_private_key(number + 1, ec.SECP256K1()))


@dataclass(frozen=True)
class Link:
    """A delegation to a key; who delegates is the link before it."""

    key: Key
    targets: Sequence[Principal] | None = None
    permissions: str | None = None
    expires_in_s: float = DELEGATION_TIME_S

    def signed_by(self, delegator: Key) -> dict[str, object]:
        delegation: Fields = {
            "pubkey": self.key.public_key_der,
            "expiration": time.time_ns() + int(self.expires_in_s * 1e9),
        }
        if self.targets is not None:
            delegation["targets"] = [target.raw for target in self.targets]
        if self.permissions is not None:
            delegation["permissions"] = self.permissions
        signature = delegator.sign(DELEGATION + hash_of_map(delegation))
        return {"delegation": delegation, "signature": signature}


def browser_session(delegator: Key, session_seed: bytes) -> tuple[str, str]:
    """A session key and the delegation to it, as JavaScript clients keep them and ic-py reads."""
    session = Ed25519Identity.from_seed(session_seed)
    delegation: Fields = {
        "pubkey": session.public_key_der,
        "expiration": time.time_ns() + DELEGATION_TIME_S * 10**9,
    }
    chain = {
        "publicKey": delegator.public_key_der.hex(),
        "delegations": [
            {
                "delegation": {
                    "pubkey": session.public_key_der.hex(),
                    "expiration": hex(int(str(delegation["expiration"]))),
                },
                "signature": delegator.sign(DELEGATION + hash_of_map(delegation)).hex(),
            }
        ],
    }
    return json.dumps([session.public_key_der.hex(), session_seed.hex()]), json.dumps(chain)


@dataclass(frozen=True)
class Signer:
    """Who makes requests: the holder of ``key``, by the last of ``links`` if there are any."""

    key: Key | None
    links: tuple[Link, ...] = ()
    domain: bytes = REQUEST

    @property
    def sender(self) -> Principal:
        if self.key is None:
            return ANONYMOUS
        return Principal.self_authenticating(self.key.public_key_der)

    def envelope(self, content: Fields) -> dict[str, object]:
        """Sign a content, whatever it is."""
        if self.key is None:
            return {"content": content}
        keys = [self.key, *(link.key for link in self.links)]
        envelope: dict[str, object] = {
            "content": content,
            "sender_pubkey": self.key.public_key_der,
            "sender_sig": keys[-1].sign(self.domain + request_id(content)),
        }
        if self.links:
            pairs = zip(self.links, keys[:-1], strict=True)
            envelope["sender_delegation"] = [link.signed_by(key) for link, key in pairs]
        return envelope


ANYBODY = Signer(None)
USER = Signer(ed25519(1))
STRANGER = Signer(ed25519(2))
