"""Heads that are proven: how far a canister is and by which history, certified by its subnet.

A plain query is one node's word. A canister also sets a digest of its head as its certified data,
and the certificate that it hands out with the head proves that its subnet has agreed on it.

Source: canisters/icfleet.did, ``head``; ``certified_head`` of ``icfleet_canister``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from icfleet_protocol.candid import ServiceInterface
from icfleet_protocol.canister_state import certified_data
from icfleet_protocol.certificate import Certificate
from icfleet_protocol.errors import CandidError, HashTreeError
from icfleet_protocol.principal import Principal
from icfleet_router.errors import HeadError
from icfleet_router.position import Position

__all__ = [
    "Fork",
    "HeadSource",
    "VerifiedHead",
    "find_forks",
    "head_digest",
    "verified_head",
    "verify_head",
]

_HEAD_LABEL = b"icfleet-head"
_UINT64_SIZE = 8


class HeadSource(Protocol):
    """What asks and verifies; ``icfleet_agent.Agent`` does."""

    async def query(self, canister: Principal, method: str, arg: bytes) -> bytes:
        """Call a query method and return the reply, in Candid."""
        ...

    async def verify_certificate(self, canister: Principal, raw: bytes) -> Certificate:
        """Check a certificate about a canister."""
        ...


@dataclass(frozen=True, slots=True)
class VerifiedHead:
    """Where a canister's log ended, as its subnet certified.

    Attributes:
        position: The last record.
        chain_hash: Over all records up to it.
        certified_at_ns: When, by the subnet's clock.
    """

    position: Position
    chain_hash: bytes
    certified_at_ns: int


@dataclass(frozen=True, slots=True)
class Fork:
    """Canisters at one position with different histories: some of them is not a replica any more.

    Attributes:
        position: Where they stand.
        names: By chain hash, who has it.
    """

    position: Position
    names: Mapping[bytes, tuple[str, ...]]

    def __str__(self) -> str:
        sides = " against ".join(
            f"{', '.join(names)} ({chain_hash.hex()[:8]})"
            for chain_hash, names in sorted(self.names.items())
        )
        return f"at {self.position} there are {len(self.names)} histories: {sides}"


def head_digest(position: Position, chain_hash: bytes) -> bytes:
    """What a canister with this head sets as its certified data."""
    numbers = b"".join(
        number.to_bytes(_UINT64_SIZE, "big") for number in (position.epoch, position.seq)
    )
    return hashlib.sha256(_HEAD_LABEL + numbers + chain_hash).digest()


async def verified_head(
    source: HeadSource, canister: Principal, interface: ServiceInterface
) -> VerifiedHead:
    """Ask a canister for its head, and check the proof that comes with it.

    Raises:
        HeadError: If there is no proof, or it is not of this head.
        AgentError: If there is no answer, or its certificate is not the network's.
    """
    try:
        reply = await source.query(canister, "head", interface.encode_args("head", ()))
        results = interface.decode_results("head", reply)
    except CandidError as error:
        reason = f"'head' is not the method of icfleet.did: {error}"
        raise HeadError(reason) from error
    position, chain_hash, raw = _parse(results)
    certificate = await source.verify_certificate(canister, raw)
    return verify_head(position, chain_hash, certificate, canister)


def verify_head(
    position: Position, chain_hash: bytes, certificate: Certificate, canister: Principal
) -> VerifiedHead:
    """Compare a head with a certificate that has been verified.

    Raises:
        HeadError: If the certificate shows another digest, or none.
    """
    try:
        shown = certified_data(certificate, canister)
    except HashTreeError as error:
        raise HeadError(str(error)) from error
    if shown != head_digest(position, chain_hash):
        reason = f"the certificate does not prove the head {position}: it is of another one"
        raise HeadError(reason)
    return VerifiedHead(position, chain_hash, certificate.time_ns)


def find_forks(heads: Mapping[str, VerifiedHead]) -> tuple[Fork, ...]:
    """Find positions at which canisters have proven different histories.

    Heads at different positions cannot be compared; each is certified for its own only.

    Args:
        heads: By the canister's name.
    """
    by_position: dict[Position, dict[bytes, list[str]]] = {}
    for name, head in heads.items():
        by_position.setdefault(head.position, {}).setdefault(head.chain_hash, []).append(name)
    return tuple(
        Fork(position, {chain_hash: tuple(names) for chain_hash, names in sides.items()})
        for position, sides in sorted(by_position.items())
        if len(sides) > 1
    )


def _parse(results: Sequence[object]) -> tuple[Position, bytes, bytes]:
    first = results[0] if results else None
    head: Mapping[str, object] = {}
    if isinstance(first, Mapping):
        head = cast("Mapping[str, object]", first)
    position = Position.from_candid(head.get("as_of"))
    chain_hash, raw = head.get("chain_hash"), head.get("certificate")
    if position is None or not isinstance(chain_hash, bytes):
        reason = "'head' answers something else than the record of icfleet.did"
        raise HeadError(reason)
    if not isinstance(raw, bytes):
        reason = "the head comes without a certificate"
        raise HeadError(reason)
    return position, chain_hash, raw
