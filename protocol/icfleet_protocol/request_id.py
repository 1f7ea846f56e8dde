"""Representation-independent hashes and request ids.

Source: IC interface specification, "Representation-independent hashing of structured data".
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NewType

from icfleet_protocol.leb128 import encode_uleb128

__all__ = ["HashableValue", "RequestId", "hash_of_map", "hash_of_value", "request_id"]

RequestId = NewType("RequestId", bytes)
"""32 bytes: names a request by its content, whatever its signature or encoding."""

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
    return hashlib.sha256(b"".join(hash_of_value(item) for item in value)).digest()


def hash_of_map(fields: Mapping[str, HashableValue]) -> bytes:
    """Hash a map to 32 bytes; the order of the fields does not matter."""
    hashes = (
        hashlib.sha256(key.encode()).digest() + hash_of_value(value)
        for key, value in fields.items()
    )
    return hashlib.sha256(b"".join(sorted(hashes))).digest()


def request_id(content: Mapping[str, HashableValue]) -> RequestId:
    """Name a request by the fields that are present in its content."""
    return RequestId(hash_of_map(content))
