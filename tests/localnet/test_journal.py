"""The journal's frames: what was written comes back, what is damaged is found."""

import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet.errors import StateDirectoryError
from icfleet_localnet.fault_rules import ClockJump, DrainCycles, HaltSubnet
from icfleet_localnet.journal import (
    Commanded,
    Digest,
    Entry,
    Round,
    Submitted,
    decode_entries,
    encode_entry,
)

CANISTER = "rrkah-fqaaa-aaaaa-aaaaq-cai"
ENTRIES: list[Entry] = [
    Submitted(b"subnet", b"request", b"sender", b"canister", "method", b"arg" * 100, 2**63),
    Round(1_700_000_000 * 10**9, (1, 2, 3), (4, 5, 2**62)),
    Commanded(DrainCycles(CANISTER, leave=7)),
    Commanded(HaltSubnet(CANISTER)),
    Commanded(ClockJump(1.5)),
    Digest(b"d" * 32),
]
BYTES = b"".join(map(encode_entry, ENTRIES))

texts = st.text(max_size=50)
blobs = st.binary(max_size=200)
times = st.integers(0, 2**63 - 1)
entries = st.lists(
    st.builds(Submitted, blobs, blobs, blobs, blobs, texts, blobs, times)
    | st.builds(Round, times, st.tuples(times, times), st.tuples(times, times))
    | st.builds(Digest, blobs),
    max_size=10,
)


def read(data: bytes) -> list[Entry]:
    return [entry for _, entry in decode_entries(memoryview(data))]


@given(entries)
def test_what_is_written_is_read(written: list[Entry]) -> None:
    """Every kind, in order, each with the offset where the next begins."""
    data = b"".join(map(encode_entry, written))

    ends = [end for end, _ in decode_entries(memoryview(data))]

    assert read(data) == written
    assert ends == sorted(ends)
    assert not ends or ends[-1] == len(data)


def test_a_torn_tail_is_left_out() -> None:
    """Wherever in the last frame a crash cut it off."""
    last = len(encode_entry(ENTRIES[-1]))

    for cut in range(1, last + 1):
        assert read(BYTES[:-cut]) == ENTRIES[:-1]


def test_every_changed_byte_is_found() -> None:
    """Also in a length, which must not look like the end of the journal."""
    for index in range(len(BYTES)):
        damaged = bytearray(BYTES)
        damaged[index] ^= 0x40
        with pytest.raises(StateDirectoryError, match="the journal is damaged at byte"):
            read(bytes(damaged))


def test_zeros_at_the_end_are_left_out() -> None:
    """A file system may have made room for what it never wrote."""
    assert read(BYTES + bytes(5000)) == ENTRIES


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing else is ever raised."""
    with suppress(StateDirectoryError):
        read(data)


def test_an_entry_that_is_no_entry_is_refused() -> None:
    """Although its checksums are right."""
    content = b"\x92\xa7nothing\xc0"
    size = len(content).to_bytes(4, "little")
    crcs = [zlib.crc32(part).to_bytes(4, "little") for part in (size, content)]

    with pytest.raises(StateDirectoryError, match=r"damaged at byte 0: .*nothing"):
        read(size + b"".join(crcs) + content)
