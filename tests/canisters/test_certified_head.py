"""What is certified."""

import hashlib
import struct

from icfleet_canister import LogHead, head_digest


def test_a_prober_can_recompute_what_is_certified() -> None:
    """The documentation is enough; and the digest fits ``set_certified_data``."""
    head = LogHead(3, 120, b"h" * 32)
    told = hashlib.sha256(b"icfleet-head" + struct.pack(">QQ", 3, 120) + b"h" * 32).digest()

    assert head_digest(head) == told
    assert len(told) == 32


def test_each_part_of_a_head_counts() -> None:
    """No two heads share a digest by shifting digits."""
    heads = [
        LogHead(1, 0, b"a" * 32),
        LogHead(0, 1, b"a" * 32),
        LogHead(1, 1, b"a" * 32),
        LogHead(1, 0, b"b" * 32),
    ]

    assert len({head_digest(head) for head in heads}) == len(heads)
