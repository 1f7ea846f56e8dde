"""Small compiled Wasm modules, as other tools make canisters of."""

from collections.abc import Mapping, Sequence

from icfleet_localnet.wasm_container import HEADER, custom_section
from icfleet_protocol.leb128 import encode_uleb128


def _section(section_id: int, content: bytes) -> bytes:
    return bytes([section_id]) + encode_uleb128(len(content)) + content


def _name(name: str) -> bytes:
    return encode_uleb128(len(name.encode())) + name.encode()


def foreign_wasm(
    *,
    exports: Sequence[str] = ("canister_init", "canister_query http_request"),
    sections: Mapping[str, bytes] | None = None,
    did: str = "",
    data: bytes = b"hello",
) -> bytes:
    """A module of one function that does nothing, exported under each name.

    Args:
        exports: Names of the exported function.
        sections: Further custom sections.
        did: The interface in its metadata, if any.
        data: Content of its memory.
    """
    types = _section(1, b"\x01\x60\x00\x00")
    functions = _section(3, b"\x01\x00")
    memories = _section(5, b"\x01\x00\x01")
    listed = b"".join(_name(name) + b"\x00\x00" for name in exports)
    exported = _section(7, encode_uleb128(len(exports)) + listed)
    code = _section(10, b"\x01\x02\x00\x0b")
    segment = b"\x00\x41\x00\x0b" + encode_uleb128(len(data)) + data
    custom = b"".join(custom_section(name, one) for name, one in (sections or {}).items())
    if did:
        custom += custom_section("icp:public candid:service", did.encode())
    body = types + functions + memories + exported + code + _section(11, b"\x01" + segment)
    return HEADER + body + custom
