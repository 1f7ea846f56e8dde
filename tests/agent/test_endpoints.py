"""Addresses, and which version of an endpoint a server has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_agent.endpoints import Endpoint, EndpointVersions, parse_base_url
from icfleet_agent.errors import SettingsError
from icfleet_protocol.principal import Principal

CANISTER = Principal.from_text("ryjl3-tyaaa-aaaaa-aaaba-cai")


@pytest.mark.parametrize(
    ("endpoint", "versions"),
    [
        pytest.param("call", ("v4", "v3", "v2"), id="call"),
        pytest.param("query", ("v3", "v2"), id="query"),
        pytest.param("read_state", ("v3", "v2"), id="read-state"),
    ],
)
def test_the_newest_version_is_tried_first(endpoint: Endpoint, versions: tuple[str, ...]) -> None:
    assert EndpointVersions("http://host").candidates(endpoint) == versions


def test_what_was_learned_is_tried_first_and_per_endpoint() -> None:
    versions = EndpointVersions("http://host")

    versions.learn("call", "v3")

    assert versions.candidates("call") == ("v3", "v2")
    assert versions.candidates("query") == ("v3", "v2")


def test_urls_are_as_specified() -> None:
    versions = EndpointVersions("https://host/prefix")

    assert versions.status_url == "https://host/prefix/api/v2/status"
    assert versions.url("read_state", "v3", CANISTER) == (
        "https://host/prefix/api/v3/canister/ryjl3-tyaaa-aaaaa-aaaba-cai/read_state"
    )


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        pytest.param("https://icp-api.io", "https://icp-api.io", id="mainnet"),
        pytest.param("http://127.0.0.1:4943/", "http://127.0.0.1:4943", id="trailing-slash"),
        pytest.param("http://[::1]:4943", "http://[::1]:4943", id="ipv6"),
        pytest.param("https://host/ic/", "https://host/ic", id="behind-a-path"),
    ],
)
def test_servers_addresses_are_taken(url: str, clean: str) -> None:
    assert parse_base_url(url).geturl() == clean


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="empty"),
        pytest.param("127.0.0.1:4943", id="no-scheme"),
        pytest.param("ftp://host", id="other-scheme"),
        pytest.param("http://", id="no-host"),
        pytest.param("http://host:port", id="port-not-a-number"),
        pytest.param("http://host:99999", id="port-too-large"),
        pytest.param("http://host?x=1", id="query"),
        pytest.param("http://host#x", id="fragment"),
        pytest.param("http://[::1", id="broken-ipv6"),
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        parse_base_url(url)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    """Errors and logs quote addresses."""
    with pytest.raises(SettingsError) as caught:
        parse_base_url("https://user:secret@host")

    assert "secret" not in str(caught.value)


@given(st.text(max_size=40))
def test_bad_text_raises_only_settings_error(text: str) -> None:
    for url in (text, f"http://{text}"):
        try:
            parse_base_url(url)
        except SettingsError:
            continue
