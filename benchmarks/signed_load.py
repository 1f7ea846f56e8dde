"""Requests signed before the load, and answers judged after it."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, cast

import cbor2
from server_process import ServerProcess
from wire_load import Answer, http_request

from icfleet_protocol.candid import ServiceInterface
from icfleet_protocol.certificate import Freshness, verify_certificate
from icfleet_protocol.envelope import CallContent, sign_request
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal
from icfleet_protocol.request_id import RequestId

__all__ = ["Kind", "Signed", "Target", "count_answers", "verify_sample"]

Kind = Literal["query", "call"]

_EXPIRY_NS = 290 * 1_000_000_000
"""Under the five minutes that the network accepts; a run is over long before."""

_ANSWER_SIZE_MAX = 3 * 1024 * 1024
_nonces = count(1)


@dataclass(frozen=True, slots=True)
class Signed:
    """Requests ready to send."""

    requests: list[bytes]
    names: list[RequestId]


@dataclass(frozen=True, slots=True)
class Target:
    """A canister on a server, and who calls it."""

    server: ServerProcess
    canister: Principal
    interface: ServiceInterface
    identity: Ed25519Identity

    def sign(self, kind: Kind, method: str, arguments: Iterable[Sequence[object]]) -> Signed:
        """Sign one request for each tuple of arguments; no two are the same request."""
        host = "{}:{}".format(*self.server.address)
        version, action = ("v3", "query") if kind == "query" else ("v4", "call")
        path = f"/api/{version}/canister/{self.canister}/{action}"
        expiry_ns = time.time_ns() + _EXPIRY_NS
        signed = Signed([], [])
        for values in arguments:
            content = CallContent(
                request_type=kind,
                sender=self.identity.sender,
                ingress_expiry_ns=expiry_ns,
                canister=self.canister,
                method=method,
                arg=self.interface.encode_args(method, values),
                nonce=next(_nonces).to_bytes(8, "big"),
            )
            request = sign_request(content, self.identity)
            signed.requests.append(http_request(host, path, request.body))
            signed.names.append(request.request_id)
        return signed


def count_answers(
    kind: Kind, answers: Sequence[Answer | None], names: Sequence[RequestId]
) -> Counter[str]:
    """Count what came back: ``ok``, ``rejected``, ``HTTP 500`` ..., ``broken``."""
    return Counter(_judge(kind, answer, name) for answer, name in zip(answers, names, strict=True))


def verify_sample(
    target: Target, answers: Sequence[Answer | None], names: Sequence[RequestId]
) -> None:
    """Verify the certificates of some answered updates in full.

    Raises:
        ProtocolError: If one does not hold.
    """
    step = max(1, len(answers) // 5)
    for answer, name in zip(answers[::step], names[::step], strict=True):
        if answer is None or answer[0] != 200:
            continue
        certificate = verify_certificate(
            cast("bytes", _load(answer[1])["certificate"]),
            root_key_der=target.server.root_key_der,
            canister=target.canister,
            now_ns=time.time_ns(),
            freshness=Freshness(),
        )
        assert certificate.value(b"request_status", name, b"status") == b"replied"


def _judge(kind: Kind, answer: Answer | None, name: RequestId) -> str:
    if answer is None:
        return "broken"
    status, body = answer
    if status != 200:
        return f"HTTP {status}"
    fields = _load(body)
    if fields.get("status") != "replied":
        return "rejected"
    if kind == "query":
        return "ok"
    tree = _load(cast("bytes", fields["certificate"]))["tree"]
    return "ok" if _status_in(tree, name) == b"replied" else "rejected"


def _status_in(tree: Any, name: bytes) -> bytes | None:
    """The request's status in a certificate's tree; nothing is verified here."""
    for label in (b"request_status", name, b"status"):
        tree = _find(tree, label)
        if tree is None:
            return None
    return cast("bytes", tree[1])


def _find(tree: Any, label: bytes) -> Any:
    match tree:
        case [1, left, right]:
            found = _find(left, label)
            return _find(right, label) if found is None else found
        case [2, name, inner] if name == label:
            return inner
        case _:
            return None


def _load(body: bytes) -> Mapping[str, Any]:
    assert len(body) <= _ANSWER_SIZE_MAX, len(body)
    loaded: object = cbor2.loads(body)
    content: object = loaded.value if isinstance(loaded, cbor2.CBORTag) else loaded
    return cast("Mapping[str, Any]", content)
