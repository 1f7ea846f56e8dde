"""A store of records for the local network's load test: bulk in stable memory, a small heap."""

from kybra import Opt, StableBTreeMap, blob, nat64, query, update, void

records = StableBTreeMap[nat64, blob](memory_id=0, max_key_size=32, max_value_size=256)

RECORD_SIZE = 100

heap: dict[str, list[dict[str, object]]] = {"records": []}


@query
def get(key: nat64) -> Opt[blob]:
    """Read one record."""
    return records.get(key)


@update
def put(key: nat64, value: blob) -> void:
    """Write one record."""
    records.insert(key, value)


@update
def fill(first: nat64, count: nat64) -> void:
    """Write records of 100 bytes under consecutive keys."""
    for key in range(first, first + count):
        records.insert(key, key.to_bytes(8, "big") + bytes(RECORD_SIZE - 8))


@update
def grow_heap(containers: nat64) -> void:
    """Hold this many dicts of four fields in the heap, in place of those held before."""
    heap["records"] = [
        {"id": number, "name": "record", "size": number, "is_used": True}
        for number in range(containers)
    ]
