"""What a canister certifies: where its log ends.

``ic.set_certified_data`` takes 32 bytes, and the network signs them with every round. Whoever gets
a head and its certificate computes the same digest and so knows that the canister's log ended
there, whichever single node gave the answer.
"""

from __future__ import annotations

import hashlib

from icfleet_canister.log_record import LogHead

__all__ = ["head_digest"]


def head_digest(head: LogHead) -> bytes:
    """Return the 32 bytes to certify.

    They are ``sha256("icfleet-head" || u64 epoch || u64 seq || chain hash)``.
    """
    numbers = head.epoch.to_bytes(8, "big") + head.seq.to_bytes(8, "big")
    return hashlib.sha256(b"icfleet-head" + numbers + head.chain_hash).digest()
