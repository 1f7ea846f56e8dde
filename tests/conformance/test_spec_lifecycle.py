"""The life of a canister: made, filled, stopped, started, emptied, deleted; and who may do it.

Cases of DFINITY's ic-ref-test: "create and install", "canister_status", "canister lifecycle",
"canister stopping", "starting a stopping canister", "canister deletion", "wrong controller",
"Settings", "provisional_create_canister_with_cycles", "uninstall".
"""

from collections.abc import Callable
from typing import Any

import pytest
from probe_canisters import HOLD, PROBE, SCRIPTED, script
from signing_keys import STRANGER, USER, Signer, ed25519
from wire_client import Built, Deployed, RejectionError, Submitted, Wire, full_settings

from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

ABSENT = Principal(bytes.fromhex("00000000001fffff0101"))
STOP_REPLY = b"DIDL\x00\x00"

NewScripted = Callable[..., Deployed]
BuildSource = Callable[[str], Built]


def _status(wire: Wire, canister: Principal) -> Any:
    return wire.manage("canister_status", canister)


def _state(wire: Wire, canister: Principal) -> str:
    return str(next(iter(_status(wire, canister)["status"])))


def _refused(canister: Deployed, error_code: str) -> None:
    """Neither updates nor queries are answered, and it is told why."""
    for ask in (canister.update, canister.query):
        with pytest.raises(RejectionError) as caught:
            ask("look" if ask == canister.query else "run", "reply x")
        assert (caught.value.error_code, caught.value.code) == (error_code, int(error_code[3]))


def _open_call(canister: Deployed, hold: Deployed) -> Submitted:
    """A call that stays open until ``hold`` is started."""
    submitted = canister.submit("wait_for", hold.id)
    canister.update("run", "reply x")
    assert submitted.status() == "processing"
    return submitted


def _told(canister: Deployed, submitted: Submitted) -> str:
    return str(canister.interface.decode_results("wait_for", submitted.reply())[0])


def _release(hold: Deployed) -> None:
    hold.wire.manage("start_canister", hold.id)


def test_a_canister_must_be_made_before_it_is_filled(wire: Wire, build_source: BuildSource) -> None:
    with pytest.raises(RejectionError) as caught:
        wire.install(ABSENT, build_source(PROBE).wasm)

    assert (caught.value.code, caught.value.error_code) == (3, "IC0301")


def test_a_new_canister_is_empty_and_running(wire: Wire) -> None:
    status = _status(wire, wire.create())

    assert status["status"] == {"running": None}
    assert status["settings"]["controllers"] == [USER.sender]
    assert status["module_hash"] is None
    assert status["cycles"] > 0


def test_code_cannot_be_installed_over_code(wire: Wire, build_source: BuildSource) -> None:
    canister = wire.create()
    wire.install(canister, build_source(PROBE).wasm)

    with pytest.raises(RejectionError) as caught:
        wire.install(canister, build_source(PROBE).wasm)

    assert (caught.value.code, caught.value.error_code) == (5, "IC0514")


def test_an_empty_canister_cannot_be_upgraded(wire: Wire, build_source: BuildSource) -> None:
    with pytest.raises(RejectionError) as caught:
        wire.install(wire.create(), build_source(PROBE).wasm, mode="upgrade")

    assert caught.value.code == 5


def test_an_empty_canister_can_be_reinstalled(wire: Wire, build_source: BuildSource) -> None:
    canister, built = wire.create(), build_source(PROBE)

    wire.install(canister, built.wasm, mode="reinstall")

    assert Deployed(wire, canister, built.interface).update("increment") == 1


@pytest.mark.parametrize("code", [b"", b"\0asm", b"junk", b"\x1f\x8b\x08junk"], ids=repr)
def test_what_is_no_module_is_not_installed(wire: Wire, code: bytes) -> None:
    canister = wire.create()

    with pytest.raises(RejectionError) as caught:
        wire.install(canister, code)

    assert (caught.value.code, caught.value.error_code) == (5, "IC0505")
    assert _status(wire, canister)["module_hash"] is None


def test_a_canister_can_be_made_with_a_given_id(wire: Wire) -> None:
    near = int.from_bytes(wire.create().raw[:8], "big")
    wanted = Principal((near + 50_000).to_bytes(8, "big") + b"\x01\x01")

    assert wire.create(specified_id=wanted) == wanted


def test_a_canister_cannot_be_made_with_an_id_in_use(wire: Wire) -> None:
    with pytest.raises(RejectionError) as caught:
        wire.create(specified_id=wire.create())

    assert (caught.value.code, caught.value.error_code) == (5, "IC0538")


@pytest.mark.parametrize(
    "principal", [Principal(b"\x04"), USER.sender, Principal(b"foobar")], ids=str
)
def test_a_canister_cannot_be_made_with_an_id_that_is_none(
    wire: Wire, principal: Principal
) -> None:
    with pytest.raises(RejectionError) as caught:
        wire.create(specified_id=principal)

    assert caught.value.code in (3, 4, 5)


def test_stopped_and_started(wire: Wire, scripted: NewScripted, build_source: BuildSource) -> None:
    canister = scripted("remember old")
    wire.manage("stop_canister", canister.id)
    assert _state(wire, canister.id) == "stopped"
    _refused(canister, "IC0508")

    wire.manage("stop_canister", canister.id)
    wire.install(
        canister.id, build_source(SCRIPTED).wasm, mode="upgrade", arg=script("remember new")
    )
    assert _state(wire, canister.id) == "stopped"
    wire.manage("start_canister", canister.id)

    assert _state(wire, canister.id) == "running"
    assert canister.query("look", "reply-remembered") == "new"
    wire.manage("start_canister", canister.id)
    assert canister.update("run", "reply x") == "x"


def test_a_canister_stops_when_its_calls_have_ended(
    wire: Wire, scripted: NewScripted, hold: Deployed
) -> None:
    canister = scripted()
    waiting = _open_call(canister, hold)

    stops = [wire.submit_management("stop_canister", canister.id) for _ in range(2)]

    assert _state(wire, canister.id) == "stopping"
    _refused(canister, "IC0509")
    assert {stop.status() for stop in stops} <= {"received", "processing"}
    _release(hold)
    assert _told(canister, waiting).startswith("ok ")
    assert [stop.reply() for stop in stops] == [STOP_REPLY] * 2
    assert _state(wire, canister.id) == "stopped"
    _refused(canister, "IC0508")


def test_starting_cancels_a_stop(wire: Wire, scripted: NewScripted, hold: Deployed) -> None:
    canister = scripted()
    _open_call(canister, hold)
    stop = wire.submit_management("stop_canister", canister.id)
    assert _state(wire, canister.id) == "stopping"

    wire.manage("start_canister", canister.id)

    assert _state(wire, canister.id) == "running"
    with pytest.raises(RejectionError) as caught:
        stop.reply()
    assert caught.value.error_code == "IC0511"
    _release(hold)


def test_only_a_stopped_canister_can_be_deleted(
    wire: Wire, scripted: NewScripted, hold: Deployed
) -> None:
    canister, other = scripted(), scripted()
    with pytest.raises(RejectionError, match="IC0510"):
        wire.manage("delete_canister", canister.id)
    _open_call(canister, hold)
    stop = wire.submit_management("stop_canister", canister.id)
    with pytest.raises(RejectionError, match="IC0510"):
        wire.manage("delete_canister", canister.id)
    _release(hold)
    stop.reply()

    wire.manage("delete_canister", canister.id)

    _refused(canister, "IC0301")
    for method in ("canister_status", "delete_canister", "start_canister"):
        with pytest.raises(RejectionError, match="IC0301"):
            wire.manage(method, canister.id)
    path = (b"canister", canister.id.raw, b"controllers")
    assert wire.certificate(canister.id, path).value(*path) is None
    assert "not found" in other.update("relay_run", canister.id, "reply x")


MANAGING = [
    "start_canister",
    "stop_canister",
    "canister_status",
    "uninstall_code",
    "delete_canister",
]


@pytest.mark.parametrize("method", MANAGING)
def test_only_controllers_manage(wire: Wire, method: str) -> None:
    canister = wire.create()

    with pytest.raises(RejectionError) as caught:
        wire.signed_by(STRANGER).manage(method, canister)

    assert (caught.value.code, caught.value.error_code) == (5, "IC0512")
    assert not caught.value.is_certified
    assert _state(wire, canister) == "running"


def test_only_controllers_install(wire: Wire, build_source: BuildSource) -> None:
    canister = wire.create()

    with pytest.raises(RejectionError, match="IC0512"):
        wire.signed_by(STRANGER).install(canister, build_source(PROBE).wasm)


@pytest.mark.parametrize("method", ["raw_rand", "create_canister", "deposit_cycles"])
def test_what_only_canisters_may_call_is_refused_to_users(wire: Wire, method: str) -> None:
    canister = wire.create()
    arg = b"DIDL\x00\x00" if method == "raw_rand" else b"DIDL\x01\x6c\x00\x01\x00"

    with pytest.raises(RejectionError) as caught:
        wire.update(MANAGEMENT_CANISTER, method, arg, effective=canister)

    assert (caught.value.code, caught.value.is_certified) == (4, False)


def test_a_canister_may_change_hands(wire: Wire, probe: Deployed) -> None:
    settings = full_settings({"controllers": [STRANGER.sender]})
    wire.manage("update_settings", probe.id, settings=settings)

    with pytest.raises(RejectionError, match="IC0512"):
        wire.manage("canister_status", probe.id)
    status = wire.signed_by(STRANGER).manage("canister_status", probe.id)

    assert status["settings"]["controllers"] == [STRANGER.sender]


def test_each_of_several_controllers_may_manage(wire: Wire) -> None:
    users = [Signer(ed25519(number)) for number in range(50, 60)]
    canister = wire.create(settings={"controllers": [user.sender for user in users]})

    for user in users:
        status = wire.signed_by(user).manage("canister_status", canister)
        assert set(status["settings"]["controllers"]) == {one.sender for one in users}
    with pytest.raises(RejectionError, match="IC0512"):
        wire.manage("canister_status", canister)


def test_eleven_controllers_are_too_many(wire: Wire) -> None:
    controllers = [Signer(ed25519(number)).sender for number in range(50, 61)]

    with pytest.raises(RejectionError) as caught:
        wire.create(settings={"controllers": controllers})
    assert caught.value.code in (4, 5)
    settings = full_settings({"controllers": controllers})
    canister = wire.create()
    with pytest.raises(RejectionError):
        wire.manage("update_settings", canister, settings=settings)


def test_a_canister_without_controllers_is_managed_by_nobody(wire: Wire) -> None:
    canister = wire.create(settings={"controllers": []})

    with pytest.raises(RejectionError, match="IC0512"):
        wire.manage("canister_status", canister)


def test_a_controller_named_twice_is_one(wire: Wire) -> None:
    canister = wire.create(settings={"controllers": [USER.sender, USER.sender]})

    assert _status(wire, canister)["settings"]["controllers"] == [USER.sender]


LIMITS = {
    "compute_allocation": (0, 101),
    "memory_allocation": (2**26, 2**48 + 1),
    "freezing_threshold": (2**20, 2**64),
}


@pytest.mark.parametrize(("name", "values"), LIMITS.items(), ids=LIMITS)
def test_settings_have_limits(wire: Wire, name: str, values: tuple[int, int]) -> None:
    good, bad = values
    canister = wire.create(settings={name: good})
    assert _status(wire, canister)["settings"][name] == good

    with pytest.raises(RejectionError):
        wire.create(settings={name: bad})
    with pytest.raises(RejectionError):
        wire.manage("update_settings", canister, settings=full_settings({name: bad}))

    assert _status(wire, canister)["settings"][name] == good


def test_an_empty_canister_can_be_emptied(wire: Wire) -> None:
    canister = wire.create()

    wire.manage("uninstall_code", canister)

    status = _status(wire, canister)
    assert (status["status"], status["module_hash"]) == ({"running": None}, None)


def test_an_emptied_canister_has_nothing_left(
    wire: Wire, scripted: NewScripted, build_source: BuildSource
) -> None:
    canister = scripted("remember one;store two;certify three")

    wire.manage("uninstall_code", canister.id)
    _refused(canister, "IC0537")
    wire.install(canister.id, build_source(SCRIPTED).wasm, arg=script())

    assert canister.query("look", "reply-remembered") == ""
    assert canister.query("look", "reply-stored") == ""


def test_emptying_rejects_what_the_code_had_not_answered(
    wire: Wire, scripted: NewScripted, hold: Deployed
) -> None:
    canister = scripted()
    waiting = _open_call(canister, hold)

    wire.manage("uninstall_code", canister.id)

    for _ in range(2):
        with pytest.raises(RejectionError) as caught:
            waiting.reply()
        assert caught.value.code == 4
        _release(hold)


def test_a_call_of_the_emptied_code_still_has_to_end_before_the_stop(
    wire: Wire, scripted: NewScripted, hold: Deployed
) -> None:
    canister = scripted()
    _open_call(canister, hold)
    wire.manage("uninstall_code", canister.id)

    stop = wire.submit_management("stop_canister", canister.id)

    assert _state(wire, canister.id) == "stopping"
    _release(hold)
    assert stop.reply() == STOP_REPLY
    assert _state(wire, canister.id) == "stopped"


def test_new_code_does_not_get_the_answers_to_the_old_codes_calls(
    wire: Wire,
    scripted: NewScripted,
    hold: Deployed,
    deploy: Callable[..., Deployed],
    build_source: BuildSource,
) -> None:
    canister, second_hold = scripted(), deploy(HOLD)
    settings = full_settings({"controllers": [USER.sender, second_hold.id]})
    wire.manage("update_settings", second_hold.id, settings=settings)
    first = _open_call(canister, hold)
    wire.manage("uninstall_code", canister.id)
    wire.install(canister.id, build_source(SCRIPTED).wasm, arg=script())
    second = _open_call(canister, second_hold)

    _release(hold)
    canister.update("run", "reply x")

    assert (first.status(), second.status()) == ("rejected", "processing")
    _release(second_hold)
    assert _told(canister, second).startswith("ok ")
