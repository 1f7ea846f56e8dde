"""The row of state that survives upgrades."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import EncodingError, EpochStart, LogExtent, LogHead, MemberSettings
from icfleet_canister.change_log import EPOCHS_MAX
from icfleet_canister.member_state import (
    FENCE_SIZE_MAX,
    PRINCIPAL_SIZE_MAX,
    STATE_SIZE_MAX,
    Fence,
    MemberState,
    decode_state,
    encode_state,
)
from icfleet_canister.replication import REPLICAS_MAX
from icfleet_canister.seeding import SeedProgress

U64_MAX = 2**64 - 1
numbers = st.integers(0, U64_MAX)
names = st.text("abc-7", max_size=PRINCIPAL_SIZE_MAX)
heads = st.builds(LogHead, numbers, numbers, st.binary(min_size=32, max_size=32))
epochs = st.lists(st.builds(EpochStart, numbers, numbers), max_size=EPOCHS_MAX).map(tuple)
extents = st.builds(LogExtent, heads, heads, numbers, numbers, numbers, epochs)
phases = st.sampled_from(["None", "First", "Pages", "Clearing", "Replay"])
states = st.builds(
    MemberState,
    is_main=st.booleans(),
    installer=names,
    extent=extents,
    applied=numbers,
    refused=numbers,
    end_slot=numbers,
    settings=st.builds(MemberSettings, numbers, numbers, numbers, numbers),
    upstream=names,
    attached=st.lists(names, max_size=REPLICAS_MAX).map(tuple),
    fence=st.none() | st.builds(Fence, st.text(max_size=40), numbers),
    horizon_ns=numbers,
    last_active_ns=numbers,
    waking_since_ns=numbers,
    seeding=st.builds(SeedProgress, phases, st.booleans(), st.booleans(), numbers, heads),
    former_mains=st.lists(names, max_size=4).map(tuple),
    tell_until_ns=numbers,
)


@given(states)
def test_everything_survives(state: MemberState) -> None:
    """What is written is what is read."""
    assert decode_state(encode_state(state)) == state


def test_the_longest_state_fits_its_row() -> None:
    """All replicas, all epochs, the longest names, the highest numbers."""
    head = LogHead(U64_MAX, U64_MAX, b"h" * 32)
    starts = (EpochStart(U64_MAX, U64_MAX),) * EPOCHS_MAX
    state = MemberState(
        is_main=True,
        installer="p" * PRINCIPAL_SIZE_MAX,
        extent=LogExtent(head, head, U64_MAX, U64_MAX, U64_MAX, starts),
        applied=U64_MAX,
        refused=U64_MAX,
        end_slot=U64_MAX,
        settings=MemberSettings(U64_MAX, U64_MAX, U64_MAX, U64_MAX),
        upstream="p" * PRINCIPAL_SIZE_MAX,
        attached=("p" * PRINCIPAL_SIZE_MAX,) * REPLICAS_MAX,
        fence=Fence("r" * FENCE_SIZE_MAX, U64_MAX),
        horizon_ns=U64_MAX,
        last_active_ns=U64_MAX,
        waking_since_ns=U64_MAX,
        seeding=SeedProgress("Replay", is_forced=True, is_partial=True, slot=U64_MAX, target=head),
        former_mains=("p" * PRINCIPAL_SIZE_MAX,) * 4,
        tell_until_ns=U64_MAX,
    )

    data = encode_state(state)

    assert len(data) <= STATE_SIZE_MAX
    assert decode_state(data) == state


def test_only_the_newest_epochs_are_kept() -> None:
    """A log that was promoted more often still fits."""
    starts = tuple(EpochStart(epoch, epoch) for epoch in range(1, 2 * EPOCHS_MAX))
    extent = LogExtent.empty()._replace(epochs=starts)

    read = decode_state(encode_state(MemberState(is_main=True, installer="", extent=extent)))

    assert read.extent.epochs == starts[-EPOCHS_MAX:]


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_another_version_is_refused(version: int) -> None:
    """Code that would misread the state must not run on it."""
    data = encode_state(MemberState(is_main=True, installer="p", extent=LogExtent.empty()))

    with pytest.raises(EncodingError, match=f"version {version}"):
        decode_state(bytes([version]) + data[1:])


@given(states, st.integers(0, 400), st.binary(max_size=3))
def test_damaged_bytes_raise_only_our_error(state: MemberState, cut: int, extra: bytes) -> None:
    """Cut short or lengthened, a row is no state."""
    data = encode_state(state)
    damaged = data[: max(1, len(data) - cut)] + extra
    try:
        decode_state(damaged)
    except EncodingError:
        return
    assert len(damaged) == len(data)


def test_an_unknown_phase_of_seeding_is_refused() -> None:
    """A later version may know more of them."""
    state = MemberState(is_main=False, installer="", extent=LogExtent.empty())
    data = bytearray(encode_state(state))
    other = encode_state(state._replace(seeding=SeedProgress("Replay")))
    (place,) = [index for index, byte in enumerate(other) if byte != data[index]]
    data[place] = 9

    with pytest.raises(EncodingError, match="phase 9"):
        decode_state(bytes(data))
