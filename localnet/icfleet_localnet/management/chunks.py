"""The chunk store: parts of code too large for one message.

Source: IC interface specification, "IC method upload_chunk" and "IC method install_chunked_code";
dfinity/ic ``wasm_chunk_store`` and ``subnet_config.rs`` for limits and the price of a chunk.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from icfleet_localnet.canister import CHUNK_SIZE_MAX, Canister
from icfleet_localnet.management.subnet_access import (
    ManagementCall,
    Result,
    SubnetAccess,
    reply,
)
from icfleet_localnet.rejects import Reject, chunk_store_error, no_such_canister, not_controller
from icfleet_protocol.principal import Principal

__all__ = ["ChunkStores"]

_CHUNKS_MAX = 100
"""In one store, and in one module."""

_UPLOAD_INSTRUCTIONS = 200_000_000
"""What storing a chunk is charged as. Source: ``DEFAULT_UPLOAD_CHUNK_INSTRUCTIONS``."""

_HASH_SIZE = 32


class ChunkStores:
    """The chunk stores of a subnet's canisters."""

    def __init__(self, subnet: SubnetAccess) -> None:
        self._subnet = subnet

    def upload(self, call: ManagementCall, canister: Canister) -> Result:
        """``upload_chunk``: a chunk that is there already costs no further room."""
        chunk = cast("bytes", call.fields["chunk"])
        if len(chunk) > CHUNK_SIZE_MAX:
            reason = f"a chunk of {len(chunk)} bytes, at most {CHUNK_SIZE_MAX} allowed"
            return chunk_store_error(reason)
        digest = hashlib.sha256(chunk).digest()
        if digest not in canister.chunks:
            if len(canister.chunks) >= _CHUNKS_MAX:
                return chunk_store_error(f"it holds {_CHUNKS_MAX} chunks, which is all it can")
            charging = self._subnet.charging
            refusal = charging.prepay_execution(canister, _UPLOAD_INSTRUCTIONS)
            if refusal is not None:
                return refusal
            canister.chunks[digest] = chunk
        return reply(call.method, {"hash": digest})

    def clear(self, call: ManagementCall, canister: Canister) -> Result:
        """``clear_chunk_store``."""
        canister.chunks.clear()
        return reply(call.method)

    def stored(self, call: ManagementCall, canister: Canister) -> Result:
        """``stored_chunks``."""
        return reply(call.method, [{"hash": digest} for digest in sorted(canister.chunks)])

    def assemble(self, call: ManagementCall, target: Canister) -> bytes | Reject:
        """Put the module of ``install_chunked_code`` together."""
        store = self._store(call, target)
        if isinstance(store, Reject):
            return store
        wanted = cast("Sequence[Mapping[str, Any]]", call.fields["chunk_hashes_list"])
        if len(wanted) > _CHUNKS_MAX:
            return chunk_store_error(f"a module of {len(wanted)} chunks, at most {_CHUNKS_MAX}")
        parts: list[bytes] = []
        for one in wanted:
            digest = cast("bytes", one["hash"])
            if len(digest) != _HASH_SIZE:
                return chunk_store_error(f"a hash of {len(digest)} bytes instead of {_HASH_SIZE}")
            if digest not in store.chunks:
                return chunk_store_error(f"no chunk with the hash {digest.hex()}")
            parts.append(store.chunks[digest])
        module = b"".join(parts)
        expected = cast("bytes", call.fields["wasm_module_hash"])
        if hashlib.sha256(module).digest() != expected:
            found = hashlib.sha256(module).hexdigest()
            return chunk_store_error(f"the module's hash is {found}, not {expected.hex()}")
        return module

    def _store(self, call: ManagementCall, target: Canister) -> Canister | Reject:
        store_id = cast("Principal | None", call.fields["store_canister"])
        if store_id is None or store_id == target.id:
            return target
        store = self._subnet.canisters.get(store_id)
        if store is None:
            return no_such_canister(store_id)
        if call.caller == store_id or store.is_controlled_by(call.caller):
            return store
        return not_controller(store_id, call.method)
