"""Representation-independent hashes and request ids.

Source: IC interface specification, "Representation-independent hashing of structured data".
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NewType

from icfleet_protocol.leb128 import encode_uleb128

__all__ = ["HashableValue", "RequestId", "hash_of_map", "hash_of_value", "request_id"]

RequestId = NewType("RequestId", bytes)
"""32 bytes: names a request by its content, whatever its signature or encoding."""

_KEYS_KEPT = 128
"""Requests and answers have some twenty keys, all named by the specification."""

HashableValue = bytes | str | int | Sequence["HashableValue"] | Mapping[str, "HashableValue"]


def hash_of_value(value: HashableValue) -> bytes:
    """Hash one field's value to 32 bytes.

    Raises:
        ValueError: If a number is negative; requests have none.
    """
    if isinstance(value, bytes):
        return hashlib.sha256(value).digest()
    if isinstance(value, str):
        return hashlib.sha256(value.encode()).digest()
    if isinstance(value, int):
        if value < 0:
            reason = f"negative number {value} in a request"
            raise ValueError(reason)
        return hashlib.sha256(encode_uleb128(value)).digest()
    if isinstance(value, Mapping):
        return hash_of_map(value)
    # Labels of paths and targets of delegations come by the thousand, and are bytes.
    hashes = [
        hashlib.sha256(item).digest() if isinstance(item, bytes) else hash_of_value(item)
        for item in value
    ]
    return hashlib.sha256(b"".join(hashes)).digest()


def hash_of_map(fields: Mapping[str, HashableValue]) -> bytes:
    """Hash a map to 32 bytes; the order of the fields does not matter."""
    hashes = [_hash_of_key(key) + hash_of_value(value) for key, value in fields.items()]
    hashes.sort()
    return hashlib.sha256(b"".join(hashes)).digest()


def request_id(content: Mapping[str, HashableValue]) -> RequestId:
    """Name a request by the fields that are present in its content."""
    return RequestId(hash_of_map(content))


@lru_cache(maxsize=_KEYS_KEPT)
def _hash_of_key(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
