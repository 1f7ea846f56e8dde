"""Where a request goes by its URL, and which paths of the state tree its sender may read.

Source: IC interface specification, "HTTPS Interface" and "Request: Read state"; dfinity/ic
``rs/http_endpoints/public`` for status codes, texts, and the paths it knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from icfleet_localnet.canister import Canister
from icfleet_localnet.certification import RangeLayout
from icfleet_localnet.http_response import HttpResponse
from icfleet_localnet.subnet import Subnet
from icfleet_protocol.errors import PrincipalError
from icfleet_protocol.principal import Principal
from icfleet_protocol.request_id import RequestId

__all__ = ["Action", "Reader", "Route", "check_paths", "parse_route"]

Action = Literal["call", "query", "read_state"]

_VERSIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("canister", "call"): ("v2", "v3", "v4"),
    ("canister", "query"): ("v2", "v3"),
    ("canister", "read_state"): ("v2", "v3"),
    ("subnet", "read_state"): ("v2", "v3"),
}

_ROUTES_KEPT = 1024
"""A fleet's clients use few URLs again and again, and base32 costs more than the rest."""

_REQUEST_ID_SIZE = 32

_SUBNET_LEAVES = frozenset({b"public_key", b"canister_ranges", b"node", b"type"})
_REQUEST_LEAVES = frozenset({b"status", b"reply", b"reject_code", b"reject_message", b"error_code"})
_CANISTER_LEAVES = frozenset(
    {b"controllers", b"module_hash", b"canister_creation_timestamp", b"last_install_timestamp"}
)
"""Never ``certified_data``: only the canister itself hands out proofs of that, in queries."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a URL asks for."""

    version: str
    scope: Literal["canister", "subnet"]
    target: Principal
    """The effective canister id, or the subnet's id."""
    action: Action

    @property
    def layout(self) -> RangeLayout:
        """Where a client of this version looks for canister ranges."""
        newest = "v4" if self.action == "call" else "v3"
        return RangeLayout.SHARDED if self.version == newest else RangeLayout.FLAT


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads the state, and of which canisters' requests his delegations let him know."""

    sender: Principal
    targets: frozenset[Principal] | None


@lru_cache(maxsize=_ROUTES_KEPT)
def parse_route(path: str) -> Route | HttpResponse:
    """Understand a URL's path, or say why not as the replica does."""
    match path.split("/"):
        case ["", "api", version, ("canister" | "subnet") as scope, target, action]:
            if version not in _VERSIONS.get((scope, action), ()):
                return HttpResponse.text(404, f"unknown path {path}")
            try:
                principal = Principal.from_text(target)
            except PrincipalError as error:
                return HttpResponse.text(400, f"Invalid {scope} id in the path: {error}")
            known_scope: Literal["canister", "subnet"] = (
                "canister" if scope == "canister" else "subnet"
            )
            return Route(version, known_scope, principal, _action(action))
        case _:
            return HttpResponse.text(404, f"unknown path {path}")


def check_paths(
    route: Route, subnet: Subnet, reader: Reader, paths: Sequence[Sequence[bytes]]
) -> HttpResponse | None:
    """Why these paths may not be read, if they may not."""
    requests: set[bytes] = set()
    for path in paths:
        refusal = _check_path(route, subnet, reader, path)
        if refusal is not None:
            return refusal
        if path[0] == b"request_status":
            requests.add(path[1])
    if len(requests) > 1:
        names = " and ".join(f"0x{request.hex()}" for request in sorted(requests)[:2])
        reason = f"More than one non-unique request ID exists in request_status paths: {names}."
        return HttpResponse.text(400, reason)
    return None


def _check_path(
    route: Route, subnet: Subnet, reader: Reader, path: Sequence[bytes]
) -> HttpResponse | None:
    if _is_public(route, path):
        return None
    # The others are about canisters, and a subnet's endpoint tells nothing of those.
    match path if route.scope == "canister" else ():
        case [b"canister", canister, leaf] if leaf in _CANISTER_LEAVES:
            return _check_canister(route, canister)
        case [b"canister", canister, b"metadata", name]:
            return _check_canister(route, canister) or _check_metadata(
                subnet.canisters.get(route.target), reader, name
            )
        case [b"request_status", request, *rest] if rest == [] or (
            len(rest) == 1 and rest[0] in _REQUEST_LEAVES
        ):
            return _check_request(subnet, reader, request)
        case _:
            return HttpResponse.text(404, "Invalid path requested.")


def _is_public(route: Route, path: Sequence[bytes]) -> bool:
    match path:
        case [b"time"] | [b"subnet"] | [b"subnet", _] | [b"api_boundary_nodes", *_]:
            return True
        case [b"canister_ranges", _]:
            return route.scope == "subnet"
        case [b"subnet", _, leaf]:
            return leaf in _SUBNET_LEAVES or (leaf == b"metrics" and route.scope == "subnet")
        case [b"subnet", _, b"node", _] | [b"subnet", _, b"node", _, b"public_key"]:
            return True
        case _:
            return False


def _check_canister(route: Route, canister: bytes) -> HttpResponse | None:
    if canister == route.target.raw:
        return None
    reason = (
        f"Effective principal id in URL {route.target} does not match requested principal id: "
        f"0x{canister[:29].hex()}."
    )
    return HttpResponse.text(400, reason)


def _check_metadata(canister: Canister | None, reader: Reader, name: bytes) -> HttpResponse | None:
    try:
        text = name.decode()
    except UnicodeDecodeError as error:
        return HttpResponse.text(400, f"Could not parse the custom section name: {error}.")
    if canister is None or canister.module is None or canister.is_controlled_by(reader.sender):
        return None
    found = canister.module.metadata.get(text)
    if found is None or found.is_public:
        return None
    reason = f"Custom section {text} can only be requested by the controllers of the canister."
    return HttpResponse.text(403, reason)


def _check_request(subnet: Subnet, reader: Reader, request: bytes) -> HttpResponse | None:
    if len(request) != _REQUEST_ID_SIZE:
        reason = (
            "Invalid request id in paths. Maybe the request ID is not of "
            f"{_REQUEST_ID_SIZE} bytes in length?!"
        )
        return HttpResponse.text(400, reason)
    known = subnet.history.origin(RequestId(request))
    if known is None:
        return None
    sender, receiver = known
    if sender != reader.sender:
        reason = "The user tries to access Request ID not signed by the caller."
        return HttpResponse.text(403, reason)
    if reader.targets is not None and receiver not in reader.targets:
        reason = (
            "The user tries to access request IDs for canisters not belonging to sender "
            "delegation targets."
        )
        return HttpResponse.text(403, reason)
    return None


def _action(name: str) -> Action:
    match name:
        case "call" | "query" | "read_state":
            return name
        case _:
            raise AssertionError(name)
