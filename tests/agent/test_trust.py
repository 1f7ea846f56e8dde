"""What counts as proof, and whose root key is taken."""

from urllib.parse import urlsplit

import pytest
from certified_state import certify
from tiny_replica import ECHO, ROOT_KEY, STRANGER_KEY

from icfleet_agent.errors import MalformedReplyError, SettingsError, UnverifiedReplyError
from icfleet_agent.trust import MAINNET_ROOT_KEY_DER, Trust, check_root_key, is_loopback
from icfleet_protocol.errors import InvalidSignatureError
from icfleet_protocol.leb128 import encode_uleb128
from icfleet_protocol.principal import Principal

NOW_NS = 1_750_000_000_000_000_000
STATE = {b"time": encode_uleb128(NOW_NS)}


def make_trust() -> Trust:
    return Trust(ROOT_KEY.public_key_der, age_max_ns=300_000_000_000)


def test_the_root_keys_certificate_is_proof() -> None:
    certificate = make_trust().verify(certify(STATE, ROOT_KEY), canister=ECHO, now_ns=NOW_NS)

    assert certificate.time_ns == NOW_NS


def test_a_strangers_is_not() -> None:
    with pytest.raises(UnverifiedReplyError) as caught:
        make_trust().verify(certify(STATE, STRANGER_KEY), canister=ECHO, now_ns=NOW_NS)

    assert isinstance(caught.value.__cause__, InvalidSignatureError)


@pytest.mark.parametrize("offset_ns", [-300_000_000_001, 300_000_000_001])
def test_an_old_or_early_one_is_not_and_the_clock_is_named(offset_ns: int) -> None:
    raw = certify(STATE, ROOT_KEY)

    with pytest.raises(UnverifiedReplyError, match="clock"):
        make_trust().verify(raw, canister=ECHO, now_ns=NOW_NS + offset_ns)


def test_what_is_no_certificate_is_malformed() -> None:
    with pytest.raises(MalformedReplyError, match="malformed certificate"):
        make_trust().verify(b"\xa0", canister=ECHO, now_ns=NOW_NS)


def test_mainnets_key_is_the_one_its_root_subnet_is_named_after() -> None:
    """Source: the registry's root subnet id."""
    subnet = Principal.self_authenticating(check_root_key(MAINNET_ROOT_KEY_DER))

    assert str(subnet) == "tdb26-jop6k-aogll-7ltgs-eruif-6kk7m-qpktf-gdiqx-mxtrf-vb5e6-eqe"


@pytest.mark.parametrize("size", [0, 96, 132, 134])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(SettingsError, match="133 bytes"):
        check_root_key(bytes(size))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("http://localhost:4943", True, id="localhost"),
        pytest.param("http://LOCALHOST", True, id="upper-case"),
        pytest.param("http://bkyz2.localhost:4943", True, id="below-localhost"),
        pytest.param("http://127.0.0.1", True, id="ipv4"),
        pytest.param("http://127.9.9.9", True, id="whole-ipv4-block"),
        pytest.param("http://[::1]:4943", True, id="ipv6"),
        pytest.param("https://icp-api.io", False, id="mainnet"),
        pytest.param("http://localhost.evil.com", False, id="localhost-as-a-prefix"),
        pytest.param("http://notlocalhost", False, id="localhost-as-an-ending"),
        pytest.param("http://127.0.0.1.evil.com", False, id="address-as-a-prefix"),
        pytest.param("http://10.0.0.1", False, id="private-network"),
        pytest.param("http://0.0.0.0", False, id="any-address"),
    ],
)
def test_only_this_computer_is_loopback(url: str, expected: bool) -> None:
    assert is_loopback(urlsplit(url)) is expected
