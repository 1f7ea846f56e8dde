"""Figures of canisters that come from outside of the replicated state.

Two of them cannot be computed again from the messages. How large a heap is, is an estimate that
follows the interpreter's memory, and differs a little from one run to the next. How often a
canister was queried follows the queries, which are not recorded. Yet both show in replicated
answers, and the first decides about fees. So a subnet takes them over only when it charges its
canisters, every ten seconds, and until then goes by what it took over last. A recorder writes down
what is taken over, and a replay is given the same. The Internet Computer publishes the statistics
of queries by epochs too, of ten minutes.

Heaps count in whole steps, at least one. A Wasm memory grows in steps too, though of 64 KiB; here
they are as coarse as the estimate is, so that fees and what is told do not follow its noise, and
the interpreter that Kybra puts into each canister takes tens of MiB before any of the canister's
own data.
"""

import msgspec

__all__ = ["HEAP_STEP", "Measured", "in_heap_steps"]

HEAP_STEP = 16 * 1024 * 1024
"""Bytes."""


class Measured(msgspec.Struct, frozen=True, array_like=True):
    """What is new about one canister since the last time."""

    canister: bytes
    heap_bytes: int
    """In whole steps."""
    queries: int = 0
    instructions: int = 0
    request_bytes: int = 0
    response_bytes: int = 0


def in_heap_steps(estimate_bytes: int) -> int:
    """Round an estimate of a heap's size up."""
    return max(1, -(-estimate_bytes // HEAP_STEP)) * HEAP_STEP
