"""Sizes of what crosses a canister's border."""

import pytest
from native_canister import NativeCanister, RefusedError, TrappedError

from icfleet_localnet.executor import Query

MIB = 1024 * 1024

SOURCE = """
from kybra import Async, Manual, Service, blob, ic, nat64, query, service_update, text, update, void


class Other(Service):
    @service_update
    def take(self, content: blob) -> void: ...


@update
def call_raw(size: nat64) -> Async[text]:
    result = yield ic.call_raw(ic.id(), "m" * 10, bytes(size), 0)
    return str(result.Ok)


@update
def call_typed(size: nat64) -> Async[text]:
    result = yield Other(ic.id()).take(bytes(size))
    return str(result.Err)


@update
def notify(size: nat64) -> void:
    try:
        ic.notify_raw(ic.id(), "m", bytes(size), 0)
    except BaseException:
        pass


@update
def trap(message: text) -> void:
    ic.trap(message)


@update
def fail(message: text) -> void:
    raise ValueError(message)


@update
def reject(size: nat64) -> Manual[void]:
    ic.reject("é" * size)


@query
def long_reply(size: nat64) -> text:
    return "x" * size
"""


@pytest.fixture
def canister() -> NativeCanister:
    return NativeCanister.install(SOURCE)


def test_calls_hold_ten_mebibytes_with_the_methods_name(canister: NativeCanister) -> None:
    """What a subnet's own canisters may be sent; to others the network allows less."""
    sent = canister.execute(canister.update_message("call_raw", 10 * MIB - 10))

    assert [len(call.arg) for call in sent.calls] == [10 * MIB - 10]
    trap = canister.trap_of("call_raw", 10 * MIB - 9)
    assert trap.error_code == "IC0504"
    assert "a call of 10485761 bytes, at most 10485760 allowed" in trap.message


@pytest.mark.parametrize("method", ["call_typed", "notify"])
def test_every_kind_of_call_is_bounded(canister: NativeCanister, method: str) -> None:
    """And no ``except`` keeps the message alive."""
    assert "at most 10485760 allowed" in canister.trap_of(method, 10 * MIB).message
    outcome = canister.execute(canister.update_message(method, 10 * MIB - 100))
    assert outcome.trap is None


@pytest.mark.parametrize("method", ["trap", "fail"])
def test_a_traps_text_keeps_its_start_and_its_end(canister: NativeCanister, method: str) -> None:
    text = canister.trap_of(method, "start" + "-" * 10_000 + "end").message

    assert len(text) == 8 * 1024
    assert "start" in text[:20]
    assert "..." in text
    assert text.endswith("end")


def test_a_short_text_is_whole(canister: NativeCanister) -> None:
    assert canister.trap_of("trap", "é" * 4_096).message == "é" * 4_096


def test_a_rejections_text_is_cut_between_characters(canister: NativeCanister) -> None:
    with pytest.raises(RefusedError) as caught:
        canister.update("reject", 10_000)

    text = str(caught.value)
    assert 8_100 < len(text.encode()) <= 8 * 1024
    assert set(text) == {"é", "."}


def test_a_rejection_is_no_longer_than_a_reply(canister: NativeCanister) -> None:
    with pytest.raises(TrappedError, match="a reply of 2097154 bytes"):
        canister.update("reject", MIB + 1)


def test_an_argument_of_ten_mebibytes_is_read(canister: NativeCanister) -> None:
    outcome = canister.execute(canister.update_message("trap", "x" * (10 * MIB - 20)))

    assert outcome.trap is not None
    assert outcome.instructions > 10 * MIB * 40


def test_a_query_replies_with_three_mebibytes(canister: NativeCanister) -> None:
    message = Query("long_reply", canister.encode("long_reply", 3 * MIB - 20))

    outcome = canister.execute(message)

    assert outcome.reply is not None
    assert len(outcome.reply) <= 3 * MIB
