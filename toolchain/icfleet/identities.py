"""Key files: made on first use, readable by their owner only.

Source: PKCS#8 PEM as RFC 8410 has it for Ed25519, which OpenSSL and dfx also write.
"""

import os
import secrets
from pathlib import Path

from icfleet.errors import IdentityFileError
from icfleet_protocol.errors import IdentityError
from icfleet_protocol.identity import Ed25519Identity

__all__ = ["IDENTITY_FILE_MODE", "load_identity", "load_or_create_identity"]

IDENTITY_FILE_MODE = 0o600
_FOLDER_MODE = 0o700


def load_identity(path: Path) -> Ed25519Identity:
    """Read an Ed25519 key.

    Raises:
        IdentityFileError: If the file is missing or unreadable, or holds no such key.
    """
    try:
        return Ed25519Identity.from_pem(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        message = f"{path}: no such key file"
        raise IdentityFileError(message) from None
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise IdentityFileError(message) from error
    except (IdentityError, UnicodeDecodeError) as error:
        # The cause is dropped on purpose: a traceback must not carry key material.
        reason = str(error) if isinstance(error, IdentityError) else "it is not text"
        message = f"{path}: {reason}; only Ed25519 keys in PKCS#8 PEM are supported"
        raise IdentityFileError(message) from None


def load_or_create_identity(path: Path) -> Ed25519Identity:
    """Read the key at ``path``, or make one there with mode 0600.

    Two processes may race: whoever comes second reads the first one's key.

    Raises:
        IdentityFileError: If the file cannot be written, read or used.
    """
    if not path.exists():
        try:
            _create(path)
        except OSError as error:
            message = f"{path}: cannot write the key: {error.strerror}"
            raise IdentityFileError(message) from error
    return load_identity(path)


def _create(path: Path) -> None:
    path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, IDENTITY_FILE_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(Ed25519Identity.generate().to_pem())
        # A link never replaces: the key appears whole, and only if there is none yet.
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
