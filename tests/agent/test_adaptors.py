"""ic-py's identities and principals work as ours; what cannot work is refused at the border."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ic.identity import DelegateIdentity
from ic.identity import Identity as IcPyIdentity
from ic.principal import Principal as IcPyPrincipal
from tiny_replica import ECHO, TinyReplica

from icfleet_agent import Agent, AgentConfig
from icfleet_agent.adaptors import as_identity, as_principal
from icfleet_agent.errors import SettingsError
from icfleet_protocol.envelope import authenticate
from icfleet_protocol.errors import IdentityError, PrincipalError
from icfleet_protocol.identity import AnonymousIdentity, Ed25519Identity
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER, Principal

SEED = bytes(range(32))
"""The same key on both sides."""


@given(st.binary(max_size=29))
def test_a_principal_is_the_same_in_each_form(raw: bytes) -> None:
    principal = Principal(raw)

    assert as_principal(principal) is principal
    assert as_principal(str(principal)) == principal
    assert as_principal(IcPyPrincipal(bytes=raw)) == principal


def test_ic_pys_constants_are_ours() -> None:
    assert as_principal(IcPyPrincipal.anonymous()) == ANONYMOUS
    assert as_principal(IcPyPrincipal.management_canister()) == MANAGEMENT_CANISTER
    assert as_principal(IcPyPrincipal.from_str(str(ECHO))) == ECHO


def test_a_misspelt_principal_is_refused() -> None:
    with pytest.raises(PrincipalError):
        as_principal("bkyz2-fmaaa-aaaaa-qaaaq-caj")


@pytest.mark.parametrize("wrong", [None, 7, b"bytes", object()])
def test_what_names_no_principal_is_refused(wrong: object) -> None:
    with pytest.raises(SettingsError, match=type(wrong).__name__):
        as_principal(wrong)  # type: ignore[arg-type]  # the point is a wrong value


def test_our_identities_pass_unchanged() -> None:
    for identity in (Ed25519Identity.generate(), AnonymousIdentity()):
        assert as_identity(identity) is identity


def test_ic_pys_identity_signs_as_ours_with_the_same_key() -> None:
    ours = Ed25519Identity.from_seed(SEED)

    theirs = as_identity(IcPyIdentity(privkey=SEED.hex()))

    assert theirs.sender == ours.sender
    assert theirs.public_key_der == ours.public_key_der
    assert theirs.sign(b"message") == ours.sign(b"message")


def test_ic_pys_anonymous_identity_signs_nothing() -> None:
    identity = as_identity(IcPyIdentity(anonymous=True))

    assert (identity.sender, identity.public_key_der) == (ANONYMOUS, None)
    assert identity.sign(b"message") is None


def test_an_adapted_key_never_prints() -> None:
    """ic-py's own ``repr`` shows it."""
    identity = as_identity(IcPyIdentity(privkey=SEED.hex()))

    assert SEED.hex() not in repr(identity)
    assert str(identity.sender) in repr(identity)


async def test_an_agent_works_with_ic_pys_objects(replica: TinyReplica, url: str) -> None:
    theirs = IcPyIdentity(privkey=SEED.hex())
    canister = IcPyPrincipal.from_str(str(ECHO))
    async with Agent(url, identity=theirs, config=AgentConfig()) as agent:
        assert await agent.query(canister, "echo", b"q") == b"q"
        assert (await agent.update(canister, "echo", b"u")).reply == b"u"

    for exchange in replica.exchanges:
        authenticate(exchange.envelope, now_ns=0)
        assert exchange.envelope.content.sender == Ed25519Identity.from_seed(SEED).sender


def test_an_identity_with_another_kind_of_key_keeps_its_sender() -> None:
    """Signing is theirs, so every key that ic-py has will do."""
    theirs = IcPyIdentity(privkey=SEED.hex(), type="secp256k1")

    identity = as_identity(theirs)

    assert identity.sender.raw == theirs.sender().bytes
    assert identity.public_key_der is not None
    assert len(identity.public_key_der) == 88


def test_an_identity_that_signs_by_delegation_is_refused() -> None:
    inner = IcPyIdentity(privkey=SEED.hex())
    delegated = DelegateIdentity(inner, {"delegations": [], "publicKey": "00"})

    with pytest.raises(IdentityError, match="delegation"):
        as_identity(delegated)


class Impostor:
    """Claims somebody else's name."""

    def sender(self) -> IcPyPrincipal:
        return IcPyPrincipal.from_str(str(ECHO))

    def sign(self, msg: bytes) -> tuple[bytes, bytes]:
        identity = Ed25519Identity.from_seed(SEED)
        return identity.public_key_der, identity.sign(msg)


def test_an_identity_whose_key_is_not_its_own_is_refused() -> None:
    with pytest.raises(IdentityError, match="belongs to"):
        as_identity(Impostor())


@pytest.mark.parametrize("wrong", [None, "key", 7, object(), ECHO])
def test_what_cannot_sign_is_refused(wrong: object) -> None:
    with pytest.raises(SettingsError, match="not an identity"):
        as_identity(wrong)  # type: ignore[arg-type]  # the point is a wrong value
