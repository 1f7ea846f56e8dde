"""Every error the protocol package raises on purpose.

ProtocolError
├── DecodeError               bytes or text that are not what the specification says
│   ├── PrincipalError        ... in a principal
│   ├── CandidError           ... in a Candid message, type or text (also when encoding)
│   └── HashTreeError         ... in a certificate's tree
├── CertificateError          well-formed, but it proves nothing
│   ├── InvalidSignatureError     the key did not sign this
│   ├── StaleCertificateError     too old, or from the future
│   └── CanisterRangeError        signed by a subnet that does not host the canister
├── AuthenticationError       a request's envelope does not prove its sender
└── IdentityError             a key or PEM that cannot be used
"""

__all__ = [
    "AuthenticationError",
    "CandidError",
    "CanisterRangeError",
    "CertificateError",
    "DecodeError",
    "HashTreeError",
    "IdentityError",
    "InvalidSignatureError",
    "PrincipalError",
    "ProtocolError",
    "StaleCertificateError",
]


class ProtocolError(Exception):
    """Root of the package's errors."""


class DecodeError(ProtocolError):
    """The peer sent bytes that are not what the specification says.

    Attributes:
        reason: What is wrong, for people.
        offset_bytes: Where, when known.
    """

    def __init__(self, reason: str, *, offset_bytes: int | None = None) -> None:
        where = "" if offset_bytes is None else f" at byte {offset_bytes}"
        super().__init__(f"{reason}{where}")
        self.reason = reason
        self.offset_bytes = offset_bytes


class PrincipalError(DecodeError):
    """A principal's text or bytes are malformed."""


class CandidError(DecodeError):
    """A Candid value, type or text does not fit.

    Attributes:
        path: Where in the value, such as ``$[0].ops[3].body``.
    """

    def __init__(self, reason: str, *, path: str = "$", offset_bytes: int | None = None) -> None:
        super().__init__(f"{path}: {reason}", offset_bytes=offset_bytes)
        self.reason = reason
        self.path = path


class HashTreeError(DecodeError):
    """A hash tree is malformed."""


class CertificateError(ProtocolError):
    """A certificate that does not prove what it was asked to prove."""


class InvalidSignatureError(CertificateError):
    """The signature does not belong to this key and content."""


class StaleCertificateError(CertificateError):
    """The certificate's time is outside the window; often this machine's clock is off."""


class CanisterRangeError(CertificateError):
    """The signing subnet was not delegated the canister in question."""


class AuthenticationError(ProtocolError):
    """A request beyond a limit, or one that its envelope does not prove its sender may make."""


class IdentityError(ProtocolError):
    """A private key or PEM text that cannot be used."""
