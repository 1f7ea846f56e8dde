"""The one row of stable memory that holds what a member is, besides its rows and its log.

It is written whenever it changes, in the message that changes it, so that a trap undoes it with
the rest. The first byte is the version: code that does not know it refuses the upgrade.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from icfleet_canister.change_log import EPOCHS_MAX, EpochStart, LogExtent
from icfleet_canister.fleet_errors import EncodingError
from icfleet_canister.log_record import HASH_SIZE, LogHead
from icfleet_canister.member_settings import MemberSettings
from icfleet_canister.seeding import SeedPhase, SeedProgress
from icfleet_canister.wire_codec import ByteReader, ByteWriter

__all__ = [
    "FENCE_SIZE_MAX",
    "PRINCIPAL_SIZE_MAX",
    "STATE_SIZE_MAX",
    "Fence",
    "MemberState",
    "decode_state",
    "encode_state",
]

#: Bytes of the row: its stable map has room for 8,000, Candid around it included.
STATE_SIZE_MAX = 7_900

#: Characters of the longest principal's text.
PRINCIPAL_SIZE_MAX = 63

#: Bytes of a fence's reason.
FENCE_SIZE_MAX = 300

_VERSION = 2
_PHASES: tuple[SeedPhase, ...] = ("None", "First", "Pages", "Clearing", "Replay")


class Fence(NamedTuple):
    """Why a main decides nothing, and the epoch that must be passed to open it again."""

    reason: str
    epoch: int = 0


class MemberState(NamedTuple):
    """What must survive an upgrade."""

    is_main: bool
    installer: str
    extent: LogExtent
    applied: int = 0
    refused: int = 0
    end_slot: int = 0
    settings: MemberSettings = MemberSettings()
    upstream: str = ""
    attached: Sequence[str] = ()
    fence: Fence | None = None
    horizon_ns: int = 0
    last_active_ns: int = 0
    waking_since_ns: int = 0
    seeding: SeedProgress = SeedProgress()
    former_mains: Sequence[str] = ()
    tell_until_ns: int = 0


def encode_state(state: MemberState) -> bytes:
    """Return the row."""
    writer = ByteWriter().number(_VERSION, 1).number(int(state.is_main), 1).text(state.installer)
    _write_extent(writer, state.extent)
    writer.numbers((state.applied, state.refused, state.end_slot))
    writer.numbers(state.settings).text(state.upstream).number(len(state.attached), 2)
    for canister in state.attached:
        writer.text(canister)
    writer.number(int(state.fence is not None), 1)
    if state.fence is not None:
        writer.text(state.fence.reason).number(state.fence.epoch, 8)
    writer.numbers((state.horizon_ns, state.last_active_ns, state.waking_since_ns))
    seeding = state.seeding
    writer.number(_PHASES.index(seeding.phase), 1).number(int(seeding.is_forced), 1)
    writer.number(int(seeding.is_partial), 1).number(seeding.slot, 8)
    _write_head(writer, seeding.target)
    writer.number(len(state.former_mains), 1)
    for canister in state.former_mains:
        writer.text(canister)
    writer.number(state.tell_until_ns, 8)
    return writer.finish()


def decode_state(data: bytes) -> MemberState:
    """Read the row.

    Raises:
        EncodingError: If it is of another version, or no such row at all.
    """
    reader = ByteReader(data)
    version = reader.number(1)
    if version != _VERSION:
        reason = f"member state of version {version}"
        raise EncodingError(reason)
    state = MemberState(
        is_main=bool(reader.number(1)),
        installer=reader.text(),
        extent=_read_extent(reader),
        applied=reader.number(8),
        refused=reader.number(8),
        end_slot=reader.number(8),
        settings=MemberSettings(*reader.numbers(len(MemberSettings._fields))),
        upstream=reader.text(),
        attached=tuple(reader.text() for _ in range(reader.number(2))),
        fence=Fence(reader.text(), reader.number(8)) if reader.number(1) else None,
        horizon_ns=reader.number(8),
        last_active_ns=reader.number(8),
        waking_since_ns=reader.number(8),
        seeding=_read_progress(reader),
        former_mains=tuple(reader.text() for _ in range(reader.number(1))),
        tell_until_ns=reader.number(8),
    )
    reader.finish()
    return state


def _write_head(writer: ByteWriter, head: LogHead) -> None:
    writer.number(head.epoch, 8).number(head.seq, 8).raw(head.chain_hash)


def _read_head(reader: ByteReader) -> LogHead:
    return LogHead(reader.number(8), reader.number(8), reader.raw(HASH_SIZE))


def _write_extent(writer: ByteWriter, extent: LogExtent) -> None:
    _write_head(writer, extent.head)
    _write_head(writer, extent.base)
    writer.numbers((extent.garbage_page, extent.first_page, extent.page_count))
    epochs = extent.epochs[-EPOCHS_MAX:]
    writer.number(len(epochs), 1)
    for start in epochs:
        writer.numbers(start)


def _read_extent(reader: ByteReader) -> LogExtent:
    head, base = _read_head(reader), _read_head(reader)
    garbage_page, first_page, page_count = reader.numbers(3)
    epochs = tuple(EpochStart(*reader.numbers(2)) for _ in range(reader.number(1)))
    return LogExtent(head, base, garbage_page, first_page, page_count, epochs)


def _read_progress(reader: ByteReader) -> SeedProgress:
    number = reader.number(1)
    if number >= len(_PHASES):
        reason = f"seeding in phase {number}"
        raise EncodingError(reason)
    return SeedProgress(
        phase=_PHASES[number],
        is_forced=bool(reader.number(1)),
        is_partial=bool(reader.number(1)),
        slot=reader.number(8),
        target=_read_head(reader),
    )
