"""What may be read of the state, by whom, and what is proven not to be there.

Cases of DFINITY's ic-ref-test: group "read state", without those on Wasm sections and without
"access denied with different effective canister id", which the replica does not pass either.
"""

import hashlib
import time
from collections.abc import Callable

import pytest
from probe_canisters import PROBE
from signing_keys import ANYBODY, STRANGER, USER
from wire_client import (
    CREATE,
    FIRST_CANISTER,
    MANAGEMENT,
    NO_ARGS,
    Built,
    Deployed,
    Wire,
    created_canister,
)

from icfleet_protocol.cbor import SELF_DESCRIBE_TAG, decode_map
from icfleet_protocol.leb128 import decode_uleb128
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_protocol.request_id import RequestId

VERSIONS = pytest.mark.parametrize("version", ["v2", "v3"])


def _request_exists(deployed: Deployed) -> RequestId:
    """The id of a request that has been answered."""
    submitted = deployed.submit("increment")
    submitted.reply()
    return submitted.id


def _controllers(wire: Wire, canister: Principal) -> set[bytes]:
    path = (b"canister", canister.raw, b"controllers")
    value = wire.certificate(canister, path).value(*path)
    assert value is not None
    body = value.removeprefix(SELF_DESCRIBE_TAG)
    return set(decode_map(b"\xa1\x61c" + body, size_max=1_000)["c"])


@pytest.mark.parametrize("paths", [(), ((b"time",),)], ids=["nothing", "time"])
def test_the_time_is_always_told(wire: Wire, paths: tuple[tuple[bytes, ...], ...]) -> None:
    canister = wire.create()

    value = wire.certificate(canister, *paths).value(b"time")

    assert abs(decode_uleb128(value or b"\x00")[0] - time.time_ns()) < 60 * 10**9


def test_an_empty_canister_has_controllers(wire: Wire) -> None:
    assert _controllers(wire, wire.create()) == {USER.sender.raw}


def test_an_empty_canister_provably_has_no_code(wire: Wire) -> None:
    canister = wire.create()
    path = (b"canister", canister.raw, b"module_hash")

    assert wire.certificate(canister, path).value(*path) is None


@pytest.mark.parametrize(
    "controllers", [[], [USER.sender], [USER.sender, STRANGER.sender]], ids=len
)
def test_anybody_may_read_the_controllers(wire: Wire, controllers: list[Principal]) -> None:
    canister = wire.create(settings={"controllers": controllers})

    seen = _controllers(wire.signed_by(ANYBODY), canister)

    assert seen == {controller.raw for controller in controllers}


def test_anybody_may_read_the_codes_hash(
    wire: Wire, probe: Deployed, build_source: Callable[[str], Built]
) -> None:
    path = (b"canister", probe.id.raw, b"module_hash")

    value = wire.signed_by(ANYBODY).certificate(probe.id, path).value(*path)

    assert value == hashlib.sha256(build_source(PROBE).wasm).digest()


def test_anybody_may_read_the_interface(wire: Wire, probe: Deployed) -> None:
    path = (b"canister", probe.id.raw, b"metadata", b"candid:service")

    value = wire.signed_by(ANYBODY).certificate(probe.id, path).value(*path)

    assert b"increment : () -> (nat64)" in (value or b"")


def test_metadata_that_is_not_there_is_provably_absent(wire: Wire, probe: Deployed) -> None:
    path = (b"canister", probe.id.raw, b"metadata", b"no such section")

    assert wire.certificate(probe.id, path).value(*path) is None


def test_a_metadata_name_is_utf_8(wire: Wire, probe: Deployed) -> None:
    response = wire.read_state(probe.id, (b"canister", probe.id.raw, b"metadata", b"\xe2\x28\xa1"))

    assert 400 <= response.status_code < 500


@VERSIONS
@pytest.mark.parametrize("request_id", [b"", b"foo", bytes(31), bytes(33)], ids=len)
def test_a_malformed_request_id_is_refused(
    wire: Wire, probe: Deployed, request_id: bytes, version: str
) -> None:
    response = wire.read_state(probe.id, (b"request_status", request_id), version=version)

    assert 400 <= response.status_code < 500


@pytest.mark.parametrize("request_id", [bytes(32), b"\x08" * 32, b"\xff" * 32], ids=bytes.hex)
@pytest.mark.parametrize("label", [b"status", b"reply", b"reject_code"])
def test_a_request_that_never_was_is_provably_absent(
    wire: Wire, probe: Deployed, request_id: bytes, label: bytes
) -> None:
    _request_exists(probe)
    path = (b"request_status", request_id)

    assert wire.certificate(probe.id, path).value(*path, label) is None


def test_parts_of_a_request_can_be_read(wire: Wire, probe: Deployed) -> None:
    request = _request_exists(probe)
    status, reply = [(b"request_status", request, label) for label in (b"status", b"reply")]

    certificate = wire.certificate(probe.id, status, reply)

    assert certificate.value(*status) == b"replied"
    assert certificate.value(*reply) == probe.interface.encode_results("increment", [1])


@VERSIONS
def test_somebody_elses_request_is_not_shown(wire: Wire, probe: Deployed, version: str) -> None:
    path = (b"request_status", _request_exists(probe))

    assert wire.read_state(probe.id, path, version=version).status_code == 200
    for other in (STRANGER, ANYBODY):
        response = wire.signed_by(other).read_state(probe.id, path, version=version)
        assert 400 <= response.status_code < 500


def test_two_requests_are_not_shown_at_once(wire: Wire, probe: Deployed) -> None:
    paths = [(b"request_status", _request_exists(probe)) for _ in range(2)]

    assert 400 <= wire.read_state(probe.id, *paths).status_code < 500


def test_somebody_elses_request_is_not_shown_beside_ones_own(wire: Wire, probe: Deployed) -> None:
    own, other = _request_exists(probe), _request_exists(probe.signed_by(STRANGER))

    response = wire.read_state(probe.id, (b"request_status", own), (b"request_status", other))

    assert 400 <= response.status_code < 500


def test_requests_to_two_canisters_are_not_shown_at_once(
    wire: Wire, deploy: Callable[[str], Deployed]
) -> None:
    first, second = deploy(PROBE), deploy(PROBE)
    paths = [(b"request_status", _request_exists(one)) for one in (first, second)]

    assert 400 <= wire.read_state(first.id, *paths).status_code < 500


def test_a_management_request_is_shown_under_its_effective_canister(wire: Wire) -> None:
    nothing = {"amount": None, "settings": None, "specified_id": None}
    arg = MANAGEMENT.encode_args(CREATE, [nothing])
    submitted = wire.submit(MANAGEMENT_CANISTER, CREATE, arg, effective=FIRST_CANISTER)

    canister = created_canister(submitted.reply())

    assert _controllers(wire, canister) == {USER.sender.raw}
    assert submitted.status() == "replied"


NO_PATHS = [
    (b"hello", b"world"),
    (),
    (b"",),
    (b"canister",),
    (b"request_status",),
    (b"request_status", bytes(32), b"no such label"),
    (b"time", b"machine"),
    (b"metadata",),
    (b"subnet", b"x", b"no such label"),
    (b"canister_ranges",),
]


@VERSIONS
@pytest.mark.parametrize("path", NO_PATHS, ids=str)
def test_a_path_into_nowhere_or_into_everything_is_refused(
    wire: Wire, probe: Deployed, path: tuple[bytes, ...], version: str
) -> None:
    response = wire.read_state(probe.id, path, version=version)

    assert 400 <= response.status_code < 500


@pytest.mark.parametrize("label", [b"certified_data", b"balance", b"stable_memory"])
def test_a_canisters_private_state_is_not_shown(wire: Wire, probe: Deployed, label: bytes) -> None:
    response = wire.read_state(probe.id, (b"canister", probe.id.raw, label))

    assert 400 <= response.status_code < 500


def test_a_thousand_paths_are_enough(wire: Wire, probe: Deployed) -> None:
    time_of_it = (b"time",)

    assert wire.read_state(probe.id, *[time_of_it] * 1_000).status_code == 200
    assert 400 <= wire.read_state(probe.id, *[time_of_it] * 1_001).status_code < 500


def test_a_path_of_more_than_127_labels_is_refused(wire: Wire, probe: Deployed) -> None:
    path = (b"subnet", *[b"x"] * 127)

    assert 400 <= wire.read_state(probe.id, path).status_code < 500


def test_a_request_is_absent_for_the_asker_until_it_is_made(wire: Wire, probe: Deployed) -> None:
    path = (b"request_status", b"\x2a" * 32)

    assert wire.signed_by(ANYBODY).certificate(probe.id, path).value(*path, b"status") is None
    assert wire.update(probe.id, "increment", NO_ARGS)
