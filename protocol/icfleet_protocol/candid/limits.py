"""What a message may cost, and why so much."""

from dataclasses import dataclass

__all__ = ["DEFAULT_LIMITS", "VALUES_PER_BYTE_MAX", "DecodeLimits"]

VALUES_PER_BYTE_MAX = 8
"""Values read for each byte of the message; ordinary types need 1 to 3 (a variant's case without
content takes a byte and is two values). Bounds the work of records made of nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """Bounds on one message, so that a hostile one costs no more than its size suggests."""

    header_size_max: int = 65_536
    """Bytes up to the first value; the largest interfaces in use (NNS governance) need 10 KB."""

    table_length_max: int = 8_192
    """Entries of the type table."""

    nesting_depth_max: int = 512
    """Levels of opt, vec, record and variant in one value. Reading keeps its own stack and could
    go deeper; but to print or compare a value nested beyond Python's recursion limit (1,000)
    raises RecursionError in the caller's hands. A list as Motoko writes it has two levels an
    element."""

    values_free_max: int = 50_000
    """Values that may be read on top of ``VALUES_PER_BYTE_MAX`` for each byte: about 20 ms."""

    empty_elements_max: int = 10_000
    """Elements without bytes (``vec null``, ``vec record {}``) in the whole message: each is
    memory for nothing, and its number is the sender's word only."""


DEFAULT_LIMITS = DecodeLimits()
