"""Heads are believed by their certificates, and differences between them are found."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from certified_state import State, build_tree, certify
from hypothesis import given
from hypothesis import strategies as st

from icfleet_agent import Agent, UnverifiedReplyError
from icfleet_agent.testing import ManualClock
from icfleet_canister.certified_head import head_digest as canister_digest
from icfleet_canister.log_record import LogHead
from icfleet_protocol.bls import BlsSecretKey
from icfleet_protocol.candid import parse_did
from icfleet_protocol.certificate import Certificate
from icfleet_protocol.leb128 import encode_uleb128
from icfleet_protocol.principal import Principal
from icfleet_router import HeadError, Position, VerifiedHead, find_forks, verified_head
from icfleet_router.heads import head_digest, verify_head

INTERFACE = parse_did((Path(__file__).parents[2] / "canisters" / "icfleet.did").read_text())
ROOT = BlsSecretKey(b"root")
OTHER = BlsSecretKey(b"other")
CANISTER = Principal(bytes.fromhex("00000000000000070101"))
HASH = b"\x05" * 32
AT = Position(3, 120)
CLOCK = ManualClock()


def certificate_of(data: bytes | None, key: BlsSecretKey = ROOT, *, age_s: int = 0) -> bytes:
    """A subnet's certificate with the canister's certified data."""
    time_ns = CLOCK.now_ns() - age_s * 1_000_000_000
    about: dict[bytes, State] = {} if data is None else {b"certified_data": data}
    state: Mapping[bytes, State] = {
        b"time": encode_uleb128(time_ns),
        b"canister": {CANISTER.raw: about},
    }
    return certify(state, key)


class Source:
    """A canister that answers what the test says, and an agent that verifies."""

    def __init__(self, certificate: bytes | None, *, position: Position = AT) -> None:
        self.value: object = {
            "as_of": position.as_candid(),
            "chain_hash": HASH,
            "certificate": certificate,
        }
        self.interface = INTERFACE
        self._agent = Agent("https://example.org", root_key=ROOT.public_key_der, clock=CLOCK)

    async def query(self, canister: Principal, method: str, arg: bytes) -> bytes:
        assert (canister, method, arg) == (CANISTER, "head", b"DIDL\x00\x00")
        return self.interface.encode_results("head", (self.value,))

    async def verify_certificate(self, canister: Principal, raw: bytes) -> Certificate:
        return await self._agent.verify_certificate(canister, raw)


async def test_a_head_is_proven_by_the_subnets_certificate() -> None:
    """Position, hash and the subnet's time come out."""
    source = Source(certificate_of(head_digest(AT, HASH)))

    head = await verified_head(source, CANISTER, INTERFACE)

    assert head == VerifiedHead(AT, HASH, CLOCK.now_ns())


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        pytest.param(None, "without a certificate", id="none"),
        pytest.param(certificate_of(None), "of another one", id="nothing-certified"),
        pytest.param(certificate_of(b""), "of another one", id="empty"),
        pytest.param(
            certificate_of(head_digest(Position(3, 119), HASH)), "of another one", id="position"
        ),
        pytest.param(certificate_of(head_digest(AT, b"\x06" * 32)), "of another one", id="hash"),
    ],
)
async def test_a_head_that_is_not_proven_is_an_error(
    certificate: bytes | None, reason: str
) -> None:
    """Whoever answered made it up, or is a round behind its own certificate."""
    with pytest.raises(HeadError, match=reason):
        await verified_head(Source(certificate), CANISTER, INTERFACE)


@pytest.mark.parametrize(
    "certificate",
    [
        pytest.param(certificate_of(head_digest(AT, HASH), OTHER), id="another-networks"),
        pytest.param(certificate_of(head_digest(AT, HASH), age_s=3600), id="old"),
    ],
)
async def test_a_certificate_that_is_not_the_networks_proves_nothing(certificate: bytes) -> None:
    with pytest.raises(UnverifiedReplyError):
        await verified_head(Source(certificate), CANISTER, INTERFACE)


async def test_a_certificate_about_others_proves_nothing() -> None:
    """It must show this canister's data."""
    tree = build_tree({b"time": encode_uleb128(CLOCK.now_ns())})
    certificate = Certificate(
        tree=tree, time_ns=CLOCK.now_ns(), subnet_key_der=b"", subnet=CANISTER
    )

    with pytest.raises(HeadError, match="of another one"):
        verify_head(AT, HASH, certificate, CANISTER)


async def test_a_method_of_another_kind_is_told() -> None:
    """A canister may have a ``head`` that means something else."""
    source = Source(None)
    source.interface, source.value = parse_did("service : { head : () -> (nat64) query }"), 7

    with pytest.raises(HeadError, match=r"icfleet\.did"):
        await verified_head(source, CANISTER, source.interface)
    with pytest.raises(HeadError, match=r"icfleet\.did"):
        await verified_head(source, CANISTER, INTERFACE)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32))
def test_the_digest_is_the_canisters(epoch: int, seq: int, chain_hash: bytes) -> None:
    """The two packages import nothing of each other, so a test holds them together."""
    digest = head_digest(Position(epoch, seq), chain_hash)

    assert digest == canister_digest(LogHead(epoch, seq, chain_hash))
    assert digest != hashlib.sha256(chain_hash).digest()


def test_different_histories_at_one_position_are_a_fork() -> None:
    """Names and hashes say who has which; other positions cannot be compared."""
    heads = {
        "main": VerifiedHead(AT, HASH, 0),
        "replica_1": VerifiedHead(AT, b"\x09" * 32, 5),
        "replica_2": VerifiedHead(AT, HASH, 9),
        "replica_3": VerifiedHead(Position(3, 119), b"\x01" * 32, 0),
    }

    (fork,) = find_forks(heads)

    assert fork.position == AT
    assert fork.names == {HASH: ("main", "replica_2"), b"\x09" * 32: ("replica_1",)}
    assert str(fork) == (
        "at 3.120 there are 2 histories: main, replica_2 (05050505) against replica_1 (09090909)"
    )
    assert find_forks({"main": heads["main"], "replica_2": heads["replica_2"]}) == ()
