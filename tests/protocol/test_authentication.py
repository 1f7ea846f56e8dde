"""Authentication: what the replica accepts passes; the rest is refused in its order and words."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cbor2
import pytest

from icfleet_protocol.cbor import SELF_DESCRIBE_TAG, encode_tagged
from icfleet_protocol.delegation import (
    DelegatedIdentity,
    Delegation,
    DelegationChain,
    SignedDelegation,
    create_delegation,
)
from icfleet_protocol.ecdsa_identity import P256Identity, Secp256k1Identity
from icfleet_protocol.envelope import (
    CallContent,
    Content,
    Envelope,
    ReadStateContent,
    authenticate,
    decode_envelope,
    sign_request,
)
from icfleet_protocol.errors import AuthenticationError
from icfleet_protocol.identity import AnonymousIdentity, Ed25519Identity, Identity
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

VECTORS = Path(__file__).parents[1] / "vectors" / "delegations"

NOW_NS = 1_750_000_000_000_000_000
LATER_NS = NOW_NS + 1

ADA = Ed25519Identity.from_seed(b"a" * 32)
BOB = Ed25519Identity.from_seed(b"b" * 32)
SECP256K1 = Secp256k1Identity.from_seed(b"c" * 32)
P256 = P256Identity.from_seed(b"d" * 32)
NOBODY = AnonymousIdentity()
KEYS = [Ed25519Identity.from_seed(n.to_bytes(32, "big")) for n in range(30)]

LEDGER = Principal.from_text("ryjl3-tyaaa-aaaaa-aaaba-cai")
MINTER = Principal.from_text("rkp4c-7iaaa-aaaaa-aaaca-cai")

Key = Ed25519Identity | Secp256k1Identity | P256Identity


def call_by(identity: Identity, **changes: Any) -> CallContent:
    content = CallContent(
        request_type="call",
        sender=identity.sender,
        ingress_expiry_ns=NOW_NS,
        canister=LEDGER,
        method="transfer",
        arg=b"DIDL\x00\x00",
    )
    return replace(content, **changes)


def read_by(identity: Identity, *paths: tuple[bytes, ...]) -> ReadStateContent:
    return ReadStateContent(sender=identity.sender, ingress_expiry_ns=NOW_NS, paths=paths)


def received(content: Content, identity: Identity) -> Envelope:
    return decode_envelope(sign_request(content, identity).body)


def fields_by(identity: Identity) -> dict[str, Any]:
    body = sign_request(call_by(identity), identity).body
    return cast("dict[str, Any]", cbor2.loads(body.removeprefix(SELF_DESCRIBE_TAG)))


def chain_through(*keys: Key, **scope: Any) -> DelegatedIdentity:
    """Each key delegates to the next one; ``scope`` is that of the first delegation."""
    given: list[SignedDelegation] = []
    for giver, taker in itertools.pairwise(keys):
        bounds: dict[str, Any] = {"expiration_ns": LATER_NS} | ({} if given else scope)
        given.append(create_delegation(giver, taker.public_key_der, **bounds))
    return DelegatedIdentity(keys[-1], DelegationChain(keys[0].public_key_der, tuple(given)))


def refusal(envelope: Envelope) -> str:
    with pytest.raises(AuthenticationError) as caught:
        authenticate(envelope, now_ns=NOW_NS)
    return str(caught.value)


@pytest.mark.parametrize("identity", [ADA, SECP256K1, P256])
def test_every_scheme_proves_its_sender(identity: Key) -> None:
    assert authenticate(received(call_by(identity), identity), now_ns=NOW_NS) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"sender_sig": None}, "Missing signature from user: ", id="no-signature"),
        pytest.param({"sender_pubkey": None}, "Missing signature from user: ", id="no-key"),
        pytest.param(
            {"sender_sig": bytes(64)},
            "Invalid signature: Invalid basic signature: Ed25519 signature could not be verified",
            id="wrong-signature",
        ),
        pytest.param(
            {"sender_sig": b"short"},
            "Invalid signature: Invalid basic signature: Malformed Ed25519 signature",
            id="short-signature",
        ),
        pytest.param({"sender_pubkey": BOB.public_key_der}, "The user id '", id="other-key"),
        pytest.param({"sender_pubkey": b""}, "The user id '", id="empty-key"),
    ],
)
def test_a_sender_without_proof_is_refused(changes: dict[str, object], reason: str) -> None:
    envelope = decode_envelope(encode_tagged(fields_by(ADA) | changes))

    assert refusal(envelope).startswith(reason)


@pytest.mark.parametrize(
    "proof",
    [
        pytest.param(
            {"sender_pubkey": ADA.public_key_der, "sender_sig": bytes(64)}, id="key-and-signature"
        ),
        pytest.param({"sender_pubkey": ADA.public_key_der}, id="key"),
        pytest.param({"sender_sig": bytes(64)}, id="signature"),
        pytest.param({"sender_delegation": []}, id="delegations"),
    ],
)
def test_nobody_can_sign_for_the_anonymous_user(proof: dict[str, object]) -> None:
    envelope = decode_envelope(encode_tagged(fields_by(NOBODY) | proof))

    assert refusal(envelope) == "Signature is not allowed for the anonymous user."


def test_a_key_of_an_unknown_scheme_is_refused() -> None:
    """Its principal may be right; we cannot check the signature, so it is not accepted."""
    key = bytes(88)
    content = call_by(ADA, sender=Principal.self_authenticating(key))
    envelope = Envelope(content, sign_request(content, ADA).request_id, key, bytes(64))

    assert refusal(envelope).startswith("Invalid signature: Invalid public key: Unsupported")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(
            read_by(ADA, *[(b"time",)] * 1001),
            "Too many paths in read state request: got 1001 paths, but at most 1000 are allowed.",
            id="1001-paths",
        ),
        pytest.param(
            read_by(ADA, (b"time",), (b"x",) * 128),
            "At least one path in read state request is too deep: got 128 labels, but at most 127"
            " are allowed.",
            id="128-labels",
        ),
        pytest.param(
            call_by(ADA, nonce=bytes(33)),
            "Nonce in request is too big: got 33 bytes, but at most 32 are allowed.",
            id="nonce-of-33-bytes",
        ),
    ],
)
def test_what_is_beyond_a_limit_is_refused(content: Content, reason: str) -> None:
    assert refusal(received(content, ADA)) == reason


def test_what_is_just_within_the_limits_passes() -> None:
    widest = read_by(ADA, *[(b"time",)] * 999, (b"x",) * 127)

    authenticate(received(replace(widest, nonce=bytes(32)), ADA), now_ns=NOW_NS)


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([ADA, BOB], id="ed25519"),
        pytest.param([SECP256K1, ADA], id="secp256k1-to-ed25519"),
        pytest.param([P256, SECP256K1, ADA, BOB], id="every-scheme"),
        pytest.param(KEYS[:21], id="20-delegations"),
    ],
)
def test_a_chain_lets_its_last_key_sign_for_its_first(keys: list[Key]) -> None:
    session = chain_through(*keys)
    assert session.sender == keys[0].sender

    envelope = received(call_by(session), session)

    assert authenticate(envelope, now_ns=NOW_NS) is None
    assert envelope.delegations == session.chain.delegations


@pytest.mark.parametrize(
    "name", ["call_ed25519_p256_ed25519.cbor", "query_ed25519_p256.cbor"], ids=["call", "query"]
)
def test_the_javascript_clients_chains_verify(name: str) -> None:
    """Requests made by @dfinity/identity; `tests/vectors/README.md` says how."""
    envelope = decode_envelope((VECTORS / name).read_bytes())
    is_restricted = name.startswith("call")

    targets = authenticate(envelope, now_ns=NOW_NS)

    assert targets == (frozenset({MINTER}) if is_restricted else None)
    with pytest.raises(AuthenticationError, match="Invalid delegation expiry"):
        authenticate(envelope, now_ns=2_300_000_000_000_000_000)


def test_a_delegation_holds_up_to_its_very_end() -> None:
    session = chain_through(ADA, BOB, expiration_ns=NOW_NS)
    envelope = received(call_by(session), session)

    authenticate(envelope, now_ns=NOW_NS)
    with pytest.raises(
        AuthenticationError,
        match="^Invalid delegation expiry: Specified sender delegation has expired: "
        f"Provided expiry: {NOW_NS}, Local replica time: {LATER_NS}$",
    ):
        authenticate(envelope, now_ns=LATER_NS)


def resigned(session: Key, sender: Key, chain: list[SignedDelegation]) -> Envelope:
    """A call as ``sender``, signed by ``session``, with a chain that no identity of ours makes."""
    signed = received(call_by(sender), session)
    return replace(signed, public_key_der=sender.public_key_der, delegations=tuple(chain))


def links(*keys: Key) -> list[SignedDelegation]:
    return [
        create_delegation(giver, taker.public_key_der, LATER_NS)
        for giver, taker in itertools.pairwise(keys)
    ]


CYCLE = "Invalid delegation: Chain of delegations contains at least one cycle: first repeating "


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        pytest.param(
            links(*KEYS[:22]),
            "Invalid delegation: Chain of delegations is too long: got 21 delegations, but at most"
            " 20 are allowed.",
            id="21-delegations",
        ),
        pytest.param(
            links(KEYS[0], KEYS[0]),
            f"{CYCLE}public key encountered {KEYS[0].public_key_der.hex()}",
            id="self-signed",
        ),
        pytest.param(links(KEYS[0], KEYS[1], KEYS[0], KEYS[2]), CYCLE, id="back-to-the-sender"),
        pytest.param(links(KEYS[0], KEYS[1], KEYS[2], KEYS[1]), CYCLE, id="cycle"),
        pytest.param(
            links(KEYS[1], KEYS[2]),
            "Invalid delegation: Invalid basic signature: Ed25519 signature could not be verified",
            id="given-by-another",
        ),
        pytest.param(
            [*links(KEYS[0], KEYS[1]), *links(KEYS[2], KEYS[3])],
            "Invalid delegation: Invalid basic signature: ",
            id="no-chain",
        ),
        pytest.param(
            links(KEYS[0], KEYS[1], KEYS[2])[::-1],
            "Invalid delegation: Invalid basic signature: ",
            id="out-of-order",
        ),
        pytest.param(
            [
                create_delegation(KEYS[0], b"no key", LATER_NS),
                *links(KEYS[1], KEYS[2]),
            ],
            "Invalid delegation: Invalid public key: Unsupported",
            id="through-no-key",
        ),
        pytest.param(
            [create_delegation(KEYS[0], b"no key", LATER_NS)],
            "Invalid signature: Invalid public key: Unsupported",
            id="to-no-key",
        ),
        pytest.param(
            links(KEYS[0], KEYS[1]),
            "Invalid signature: Invalid basic signature: ",
            id="signed-by-another-than-the-last",
        ),
        pytest.param([], "Invalid signature: Invalid basic signature: ", id="no-delegation"),
    ],
)
def test_a_chain_that_proves_nothing_is_refused(chain: list[SignedDelegation], reason: str) -> None:
    assert refusal(resigned(KEYS[29], KEYS[0], chain)).startswith(reason)


def test_a_chain_is_checked_for_what_is_cheap_before_signatures() -> None:
    """The replica's order: length, expiry, cycles, targets, and only then signatures."""
    unsigned = SignedDelegation(Delegation(pubkey=b"x", expiration_ns=NOW_NS - 1), b"")
    cyclic = SignedDelegation(Delegation(pubkey=b"x", expiration_ns=NOW_NS), b"")
    crowded = SignedDelegation(
        Delegation(pubkey=b"y", expiration_ns=NOW_NS, targets=(LEDGER,) * 1001), b""
    )

    assert "too long" in refusal(resigned(BOB, ADA, [unsigned] * 21))
    assert "has expired" in refusal(resigned(BOB, ADA, [cyclic, cyclic, unsigned]))
    assert "one cycle" in refusal(resigned(BOB, ADA, [crowded, cyclic, cyclic]))
    assert refusal(resigned(BOB, ADA, [crowded])) == (
        "Invalid delegation: Delegation target error: expected at most 1000 targets per"
        " delegation, but got 1001"
    )


@pytest.mark.parametrize("request_type", ["call", "query"])
def test_a_call_goes_only_to_the_targets(request_type: str) -> None:
    session = chain_through(ADA, BOB, targets=[MINTER])

    def to(canister: Principal) -> Envelope:
        return received(call_by(session, request_type=request_type, canister=canister), session)

    assert authenticate(to(MINTER), now_ns=NOW_NS) == frozenset({MINTER})
    assert refusal(to(LEDGER)) == f"Canister '{LEDGER}' is not one of the delegation targets."


def test_the_management_canister_must_be_a_target_itself() -> None:
    """The canister that a management call is about does not count."""
    narrow = chain_through(ADA, BOB, targets=[LEDGER])
    wide = chain_through(ADA, BOB, targets=[LEDGER, MANAGEMENT_CANISTER])

    assert "'aaaaa-aa' is not one" in refusal(
        received(call_by(narrow, canister=MANAGEMENT_CANISTER), narrow)
    )
    authenticate(received(call_by(wide, canister=MANAGEMENT_CANISTER), wide), now_ns=NOW_NS)


def chain_with(*targets: list[Principal] | None) -> DelegatedIdentity:
    """A chain of which each delegation has its own targets."""
    keys = KEYS[: len(targets) + 1]
    chain = [
        create_delegation(giver, taker.public_key_der, LATER_NS, allowed)
        for giver, taker, allowed in zip(keys, keys[1:], targets, strict=False)
    ]
    return DelegatedIdentity(keys[-1], DelegationChain(keys[0].public_key_der, tuple(chain)))


@pytest.mark.parametrize(
    ("session", "is_allowed"),
    [
        pytest.param(chain_with(None, None), True, id="no-bounds"),
        pytest.param(chain_with([LEDGER], None), True, id="first-only"),
        pytest.param(chain_with(None, [LEDGER]), True, id="second-only"),
        pytest.param(chain_with([LEDGER, MINTER], [LEDGER]), True, id="in-both"),
        pytest.param(chain_with([MINTER], [LEDGER]), False, id="in-one"),
        pytest.param(chain_with([LEDGER], []), False, id="empty"),
    ],
)
def test_only_targets_of_every_delegation_remain(
    session: DelegatedIdentity, is_allowed: bool
) -> None:
    envelope = received(call_by(session), session)

    if is_allowed:
        authenticate(envelope, now_ns=NOW_NS)
    else:
        assert "not one of the delegation targets" in refusal(envelope)


def test_a_read_of_the_state_passes_and_tells_its_targets() -> None:
    """Whoever answers it must keep to them: only there is known where a request went."""
    session = chain_through(ADA, BOB, targets=[MINTER])
    content = read_by(session, (b"request_status", bytes(32)))

    assert authenticate(received(content, session), now_ns=NOW_NS) == frozenset({MINTER})


@pytest.mark.parametrize(
    ("permissions", "refused"),
    [
        pytest.param(None, set[str](), id="none"),
        pytest.param("all", set[str](), id="all"),
        pytest.param("queries", {"call"}, id="queries"),
        pytest.param("Queries", {"call", "query", "read_state"}, id="unknown"),
        pytest.param("", {"call", "query", "read_state"}, id="empty"),
    ],
)
@pytest.mark.parametrize("kind", ["call", "query", "read_state"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "last"])
def test_permissions_of_any_delegation_bind_the_whole_chain(
    permissions: Any, refused: set[str], kind: str, is_first: bool
) -> None:
    bounds: list[Any] = [permissions, "all"] if is_first else ["all", permissions]
    chain = [
        create_delegation(KEYS[n], KEYS[n + 1].public_key_der, LATER_NS, permissions=bounds[n])
        for n in range(2)
    ]
    session = DelegatedIdentity(KEYS[2], DelegationChain(KEYS[0].public_key_der, tuple(chain)))
    content: Content = (
        read_by(session) if kind == "read_state" else call_by(session, request_type=kind)
    )
    envelope = received(content, session)

    if kind in refused:
        assert "permissions" in refusal(envelope)
    else:
        authenticate(envelope, now_ns=NOW_NS)
