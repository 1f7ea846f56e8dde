"""Custom sections of a WebAssembly module: look for one, add one at the end.

Source: WebAssembly core specification 1.0, "Modules" and "Custom Section" of the binary format.
"""

from collections.abc import Iterator

from icfleet.errors import SourceError
from icfleet_protocol.errors import DecodeError
from icfleet_protocol.leb128 import decode_uleb128, encode_uleb128

__all__ = ["add_custom_section", "custom_section_names"]

_HEADER = b"\0asm\x01\0\0\0"
_CUSTOM = 0


def custom_section_names(module: bytes) -> Iterator[str]:
    """Name the custom sections in order.

    Raises:
        SourceError: If ``module`` is no WebAssembly module of version 1, or is cut off.
    """
    if not module.startswith(_HEADER):
        message = "the file is no WebAssembly module"
        raise SourceError(message)
    offset = len(_HEADER)
    try:
        while offset < len(module):
            kind = module[offset]
            size, start = decode_uleb128(module, offset + 1)
            offset = start + size
            if offset > len(module):
                message = f"the WebAssembly module is cut off in a section of {size} bytes"
                raise SourceError(message)
            if kind == _CUSTOM:
                length, name = decode_uleb128(module, start)
                yield module[name : name + length].decode("utf-8", "replace")
    except DecodeError as error:
        message = f"the WebAssembly module is cut off: {error}"
        raise SourceError(message) from error


def add_custom_section(module: bytes, name: str, content: bytes) -> bytes:
    """Append a custom section, which the format allows anywhere between and after the others."""
    raw = name.encode()
    body = encode_uleb128(len(raw)) + raw + content
    return module + bytes([_CUSTOM]) + encode_uleb128(len(body)) + body
