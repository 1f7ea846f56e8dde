"""Who may speak to a server that runs the code it is sent: programs of this computer alone.

``Host`` guards against names that are made to resolve to loopback, ``Origin`` against web pages,
which may post to loopback without asking anybody.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from icfleet_localnet.errors import AddressError, PortInUseError

__all__ = ["check_loopback", "is_local_request", "is_loopback", "listen"]

_BACKLOG = 1024
_URL_SIZE_MAX = 300
_NO_HOST = frozenset(b"@/?#\\")


def check_loopback(host: str) -> None:
    """Refuse addresses that others could reach.

    Raises:
        AddressError: If the address is not a loopback address.
    """
    if not is_loopback(host):
        raise AddressError(host)


def is_loopback(host: str) -> bool:
    """Whether an address is this computer's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local_request(hosts: Iterable[bytes], origins: Iterable[bytes]) -> bool:
    """Whether a request was made to this computer by its name, and not for a page from elsewhere.

    Args:
        hosts: Values of the ``Host`` header; exactly one is right.
        origins: Values of the ``Origin`` header, if a page sends any.
    """
    # A URL's parser would take "evil.example@localhost" for a user at this computer.
    named = [b"http://" + host for host in hosts if not _NO_HOST.intersection(host)]
    return len(named) == 1 and all(
        _is_local_url(url.decode("ascii", "replace")) for url in (*named, *origins)
    )


def listen(host: str, port: int) -> socket.socket:
    """Listen at an address.

    Raises:
        PortInUseError: If another program does.
        OSError: If the address cannot be had otherwise, such as a port that needs rights.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortInUseError(host, port) from error
    listener.listen(_BACKLOG)
    listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return listener


@lru_cache(maxsize=64)
def _is_local_url(url: str) -> bool:
    if len(url) > _URL_SIZE_MAX:
        return False
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name)
