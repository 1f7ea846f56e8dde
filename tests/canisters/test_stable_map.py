"""The port to stable memory, and rows kept back until a message ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import EncodingError, MemoryMap, RowOverlay


def test_a_memory_map_behaves_as_a_stable_one() -> None:
    """``insert`` and ``remove`` give back what was there."""
    store: MemoryMap[int, bytes] = MemoryMap()

    assert store.insert(1, b"a") is None
    assert store.insert(1, b"b") == b"a"
    assert store.get(1) == b"b"
    assert store.remove(1) == b"b"
    assert store.get(1) is None
    assert len(store) == 0


def test_a_value_above_the_limit_fails() -> None:
    """On chain it would trap."""
    store: MemoryMap[int, bytes] = MemoryMap(value_size_max=2)

    with pytest.raises(EncodingError, match="3 bytes, at most 2"):
        store.insert(1, b"abc")


writes = st.lists(st.tuples(st.integers(0, 5), st.none() | st.binary(max_size=3)), max_size=20)


@given(writes, writes)
def test_an_overlay_reads_as_if_it_had_written(
    before: list[tuple[int, bytes | None]], after: list[tuple[int, bytes | None]]
) -> None:
    """Readers cannot tell; the store sees nothing until ``flush``, and then all of it."""
    store: MemoryMap[int, bytes] = MemoryMap()
    expected: dict[int, bytes | None] = {}
    overlay = RowOverlay(store)
    for key, value in before:
        overlay.put(key, value)
        expected[key] = value
    overlay.flush()
    flushed = dict(expected)
    for key, value in after:
        overlay.put(key, value)
        expected[key] = value

    for key in range(6):
        assert overlay.get(key) == expected.get(key)
        assert store.get(key) == flushed.get(key)
    overlay.flush()
    for key in range(6):
        assert store.get(key) == expected.get(key)
