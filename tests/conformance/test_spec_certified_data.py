"""Certified variables: 32 bytes of a canister that its queries can prove.

Cases of DFINITY's ic-ref-test: group "certified variables".
"""

from collections.abc import Callable

import pytest
from probe_canisters import SCRIPTED, script
from wire_client import Built, Deployed, RejectionError, Wire

NewScripted = Callable[..., Deployed]
Change = Callable[..., None]


@pytest.fixture
def change(wire: Wire, build_source: Callable[[str], Built]) -> Change:
    """Put the same code into a canister anew."""

    def change_one(canister: Deployed, mode: str, steps: str = "") -> None:
        wire.install(canister.id, build_source(SCRIPTED).wasm, mode=mode, arg=script(steps))

    return change_one


def _certified(canister: Deployed) -> bytes | None:
    raw = canister.query("certified")
    certificate = canister.wire.verify(raw, canister.id)
    return certificate.value(b"canister", canister.id.raw, b"certified_data")


def test_nothing_is_certified_at_first(scripted: NewScripted) -> None:
    assert _certified(scripted()) == b""


def test_a_query_has_a_certificate(scripted: NewScripted) -> None:
    assert scripted().query("look", "reply-certificate") == "present"


def test_an_update_and_a_query_called_as_one_have_none(scripted: NewScripted) -> None:
    canister = scripted()

    assert canister.update("run", "reply-certificate") == "absent"
    assert canister.update("look", "reply-certificate") == "absent"


def test_a_query_called_by_a_canister_has_none(scripted: NewScripted) -> None:
    canister, other = scripted(), scripted()

    assert canister.update("relay_look", other.id, "reply-certificate") == "ok absent"


@pytest.mark.parametrize("steps", ["certify FOO", "certify BAR;certify FOO"])
def test_what_was_set_last_is_certified(scripted: NewScripted, steps: str) -> None:
    canister = scripted()

    canister.update("run", f"{steps};reply x")

    assert _certified(canister) == b"FOO"


@pytest.mark.parametrize(
    "steps", ["certify BAR;trap no", "certify " + "x" * 33], ids=["trap", "33"]
)
def test_what_a_trap_undid_is_not_certified(scripted: NewScripted, steps: str) -> None:
    canister = scripted("certify FOO")

    with pytest.raises(RejectionError) as caught:
        canister.update("run", f"{steps};reply x")

    assert caught.value.code == 5
    assert _certified(canister) == b"FOO"


def test_it_can_be_set_in_init(scripted: NewScripted) -> None:
    assert _certified(scripted("certify FOO")) == b"FOO"


def test_it_can_be_set_before_and_after_an_upgrade(scripted: NewScripted, change: Change) -> None:
    before, after = scripted("before-upgrade certify FOO"), scripted("certify BAR")

    change(before, "upgrade")
    change(after, "upgrade", "certify FOO")

    assert (_certified(before), _certified(after)) == (b"FOO", b"FOO")


def test_it_stays_in_an_upgrade(scripted: NewScripted, change: Change) -> None:
    canister = scripted("certify FOO")

    change(canister, "upgrade")

    assert _certified(canister) == b"FOO"


def test_it_is_cleared_by_a_reinstallation(scripted: NewScripted, change: Change) -> None:
    canister = scripted("certify FOO")

    change(canister, "reinstall")

    assert _certified(canister) == b""


def test_it_is_cleared_when_the_canister_is_emptied(
    wire: Wire, scripted: NewScripted, change: Change
) -> None:
    canister = scripted("certify FOO")

    wire.manage("uninstall_code", canister.id)
    change(canister, "install")

    assert _certified(canister) == b""
