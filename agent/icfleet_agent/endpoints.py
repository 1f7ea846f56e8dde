"""Addresses on a server, in the newest version that it serves.

Version 4 of ``call`` and 3 of the others prove canister ranges in shards; version 3 of ``call`` is
the first that answers with the outcome. Older servers answer 404 to what they do not know.

Source: IC interface specification, "HTTPS Interface".
"""

from typing import Literal
from urllib.parse import SplitResult, urlsplit

from icfleet_agent.errors import SettingsError
from icfleet_protocol.principal import Principal

__all__ = ["Endpoint", "EndpointVersions", "parse_base_url"]

Endpoint = Literal["call", "query", "read_state"]

_VERSIONS: dict[Endpoint, tuple[str, ...]] = {
    "call": ("v4", "v3", "v2"),
    "query": ("v3", "v2"),
    "read_state": ("v3", "v2"),
}


class EndpointVersions:
    """Remembers which version of each endpoint a server turned out to have."""

    __slots__ = ("_base_url", "_known")

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._known: dict[Endpoint, int] = {}

    @property
    def status_url(self) -> str:
        """Where a node tells of itself; the one version there is."""
        return f"{self._base_url}/api/v2/status"

    def candidates(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Versions to try, in this order."""
        return _VERSIONS[endpoint][self._known.get(endpoint, 0) :]

    def url(self, endpoint: Endpoint, version: str, effective: Principal) -> str:
        """The address for requests about one canister."""
        return f"{self._base_url}/api/{version}/canister/{effective}/{endpoint}"

    def learn(self, endpoint: Endpoint, version: str) -> None:
        """Remember a version that the server answered in."""
        self._known[endpoint] = _VERSIONS[endpoint].index(version)


def parse_base_url(url: str) -> SplitResult:
    """Check the address of a server and take it apart.

    Raises:
        SettingsError: If it is not ``http`` or ``https`` with a host, or has more than a path.
    """
    try:
        parts = urlsplit(url.rstrip("/"))
        has_port = parts.port is None or parts.port > 0
    except ValueError as error:
        reason = f"not a URL: {error}"
        raise SettingsError(reason) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port:
        reason = "the URL of a server looks like https://icp-api.io or http://127.0.0.1:4943"
        raise SettingsError(reason)
    if parts.username is not None or parts.password is not None:
        # Errors and logs quote URLs, and must not carry secrets.
        reason = "the URL of a server must not contain a user or password"
        raise SettingsError(reason)
    if parts.query or parts.fragment:
        reason = "the URL of a server ends before any ? or #"
        raise SettingsError(reason)
    return parts
