"""Requests at the wrong address, and requests with a field missing.

Cases of DFINITY's ic-ref-test: groups "wrong url path", "wrong effective canister id", "anonymous
user", "query: required fields", "read state: required fields".
"""

import pytest
from signing_keys import ANYBODY, Fields
from wire_client import MANAGEMENT, Deployed, Kind, RejectionError, Wire, read_query_reply

from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

NOT_A_CANISTER = Principal(b"foobar")


def _content(wire: Wire, probe: Deployed, kind: Kind, *, without: str = "") -> Fields:
    if kind == "read_state":
        return wire.content(kind, without=without, paths=[])
    method = "increment" if kind == "call" else "count"
    arg = probe.encode(method)
    fields: Fields = {"canister_id": probe.id.raw, "method_name": method, "arg": arg}
    return wire.content(kind, without=without, **fields)


@pytest.mark.parametrize(
    ("kind", "endpoint"),
    [
        ("call", "query"),
        ("call", "read_state"),
        ("query", "call"),
        ("query", "read_state"),
        ("read_state", "query"),
        ("read_state", "call"),
    ],
)
@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_request_for_another_endpoint_is_refused(
    wire: Wire, probe: Deployed, kind: Kind, endpoint: Kind, version: str
) -> None:
    content = _content(wire, probe, kind)

    response = wire.send(probe.id, content, to=endpoint, version=version)

    assert 400 <= response.status_code < 500
    assert probe.query("count") == 0


@pytest.mark.parametrize(
    ("kind", "version"),
    [("call", "v2"), ("call", "v3"), ("call", "v4"), ("query", "v2"), ("query", "v3")],
)
def test_the_path_must_name_the_canister_that_is_called(
    wire: Wire, probe: Deployed, kind: Kind, version: str
) -> None:
    other = wire.create()

    response = wire.send(other, _content(wire, probe, kind), version=version)

    assert response.status_code == 400
    assert "does not match effective canister id" in response.text
    assert probe.query("count") == 0


def test_the_path_must_name_the_canister_that_is_read(wire: Wire, probe: Deployed) -> None:
    other = wire.create()

    response = wire.read_state(other, (b"canister", probe.id.raw, b"controllers"))

    assert 400 <= response.status_code < 500


def test_the_path_must_name_the_canister_that_is_managed(wire: Wire, probe: Deployed) -> None:
    other = wire.create()
    arg = MANAGEMENT.encode_args("canister_status", [{"canister_id": probe.id}])
    content = wire.call_content(MANAGEMENT_CANISTER, "canister_status", arg)

    assert 400 <= wire.send(other, content).status_code < 500


def test_the_path_must_name_a_canister(wire: Wire, probe: Deployed) -> None:
    response = wire.send(NOT_A_CANISTER, _content(wire, probe, "call"))

    assert 400 <= response.status_code < 500


def test_the_path_must_spell_the_principal_as_text_is_spelt(wire: Wire, probe: Deployed) -> None:
    without_dashes = str(probe.id).replace("-", "")
    envelope = wire.signer.envelope(_content(wire, probe, "call"))

    response = wire.post(f"/api/v2/canister/{without_dashes}/call", envelope)

    assert 400 <= response.status_code < 500


@pytest.mark.parametrize("kind", ["call", "query"])
def test_the_management_canister_is_nobodys_effective_canister(wire: Wire, kind: Kind) -> None:
    content = wire.call_content(MANAGEMENT_CANISTER, "raw_rand", kind=kind)

    assert 400 <= wire.send(MANAGEMENT_CANISTER, content).status_code < 500


def test_the_management_canister_has_no_state_to_read(wire: Wire) -> None:
    assert 400 <= wire.read_state(MANAGEMENT_CANISTER, (b"time",)).status_code < 500


CALL_FIELDS = ["request_type", "sender", "ingress_expiry", "canister_id", "method_name", "arg"]
READ_FIELDS = ["request_type", "sender", "ingress_expiry", "paths"]


@pytest.mark.parametrize("without", CALL_FIELDS)
@pytest.mark.parametrize("kind", ["call", "query"])
@pytest.mark.parametrize("anonymous", [False, True], ids=["signed", "anonymous"])
def test_a_call_without_a_required_field_is_refused(
    wire: Wire, probe: Deployed, kind: Kind, without: str, anonymous: bool
) -> None:
    seen = wire.signed_by(ANYBODY) if anonymous else wire
    content = _content(seen, probe, kind, without=without)

    response = seen.send(probe.id, content, to=kind)

    assert response.status_code == 400
    assert probe.query("count") == 0


@pytest.mark.parametrize("without", READ_FIELDS)
def test_a_reading_without_a_required_field_is_refused(
    wire: Wire, probe: Deployed, without: str
) -> None:
    content = _content(wire, probe, "read_state", without=without)

    assert wire.send(probe.id, content, to="read_state").status_code == 400


def test_the_anonymous_user_is_a_sender_like_others(probe: Deployed) -> None:
    seen = probe.signed_by(ANYBODY)

    assert seen.query("whoami") == seen.update("whoami_certified") == ANYBODY.sender


def test_a_repeated_request_is_executed_once(wire: Wire, probe: Deployed) -> None:
    content = wire.call_content(probe.id, "increment", probe.encode("increment"))

    for _ in range(2):
        assert wire.send(probe.id, content).status_code == 202
    for _ in range(2):
        assert wire.send(probe.id, content, version="v4").status_code == 200

    assert probe.query("count") == 1


def test_a_query_of_a_canister_that_is_not_there_is_rejected(wire: Wire, probe: Deployed) -> None:
    gone = wire.create()
    wire.manage("stop_canister", gone)
    wire.manage("delete_canister", gone)
    content = wire.call_content(gone, "count", probe.encode("count"), "query")

    with pytest.raises(RejectionError, match="not found") as caught:
        read_query_reply(wire.send(gone, content))

    assert (caught.value.code, caught.value.error_code) == (3, "IC0301")
