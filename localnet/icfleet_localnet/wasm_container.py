"""The container format of Wasm modules: what is read of it without running anything.

    00 61 73 6d 01 00 00 00                    magic and version
    <id> <size> <content>                      ... once per section
    00 <size> <name> <content>                 a custom section

Source: WebAssembly core specification 3.0, "Binary Format", "Modules".
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from icfleet_localnet.errors import BundleError
from icfleet_protocol.errors import DecodeError
from icfleet_protocol.leb128 import decode_uleb128, encode_uleb128

__all__ = [
    "HEADER",
    "MODULE_SIZE_MAX",
    "Container",
    "check_size",
    "custom_section",
    "decode_text",
    "read_container",
]

MODULE_SIZE_MAX = 32 * 1024 * 1024
"""Bytes of a module, inflated. Kybra's own modules are 26 MB, of which sources are 2 or 3."""

HEADER = b"\x00asm\x01\x00\x00\x00"

_GZIP_MAGIC = b"\x1f\x8b\x08"

_CUSTOM_SECTION = 0
_EXPORT_SECTION = 7
_SECTION_ID_MAX = 13
"""Ids above the tag section's are not defined. Source: WebAssembly 3.0, "Sections"."""

_U32_SIZE_MAX = 5
"""Bytes of a LEB128 number of 32 bits, padding included."""

_EXPORT_KIND_MAX = 4
"""Function, table, memory, global, tag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A module's parts."""

    raw: bytes
    """The whole module, inflated."""
    custom: tuple[tuple[int, str, bytes], ...]
    """Custom sections as they stand: offset, name, content."""
    code_offset: int | None
    """Where the first section stands that is no custom one; ``None`` when there is no code."""
    export_sections: tuple[tuple[int, int], ...]
    """Start and end of the content of each."""

    def exports(self) -> Iterator[str]:
        """Names of what the code exports.

        Raises:
            BundleError: If an export section is malformed.
        """
        for start, end in self.export_sections:
            yield from _iterate_exports(self.raw, start, end)


def read_container(data: bytes) -> Container:
    """Take a module apart, raw or compressed with gzip.

    Raises:
        BundleError: If it is malformed, or larger than ``MODULE_SIZE_MAX``.
    """
    raw = _inflate(data) if data.startswith(_GZIP_MAGIC) else data
    check_size(len(raw))
    if not raw.startswith(HEADER):
        reason = "not a Wasm module: the first eight bytes are not Wasm's magic and version 1"
        raise BundleError(reason, offset_bytes=0)
    custom: list[tuple[int, str, bytes]] = []
    exports: list[tuple[int, int]] = []
    code_offset: int | None = None
    for offset, section_id, start, end in _iterate_sections(raw):
        if section_id == _CUSTOM_SECTION:
            name, content_start = _read_name(raw, start, end)
            custom.append((offset, name, raw[content_start:end]))
            continue
        code_offset = offset if code_offset is None else code_offset
        if section_id == _EXPORT_SECTION:
            exports.append((start, end))
    return Container(
        raw=raw, custom=tuple(custom), code_offset=code_offset, export_sections=tuple(exports)
    )


def custom_section(name: str, content: bytes) -> bytes:
    """Write a custom section."""
    encoded = name.encode()
    body = encode_uleb128(len(encoded)) + encoded + content
    return bytes([_CUSTOM_SECTION]) + encode_uleb128(len(body)) + body


def check_size(size: int) -> None:
    """Refuse a module of too many bytes.

    Raises:
        BundleError: If ``size`` is above ``MODULE_SIZE_MAX``.
    """
    if size > MODULE_SIZE_MAX:
        reason = f"the module has more than {MODULE_SIZE_MAX} bytes"
        raise BundleError(reason)


def decode_text(raw: bytes, what: str) -> str:
    """Decode UTF-8; ``what`` names it in the error.

    Raises:
        BundleError: If it is not UTF-8.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        reason = f"{what} is not UTF-8 text"
        raise BundleError(reason) from error


def _inflate(data: bytes) -> bytes:
    """Inflate one gzip member, never making more than ``MODULE_SIZE_MAX`` bytes and one."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        raw = inflater.decompress(data, MODULE_SIZE_MAX + 1)
    except zlib.error as error:
        reason = f"malformed gzip: {error}"
        raise BundleError(reason) from error
    check_size(len(raw))
    if not inflater.eof:
        reason = "gzip data end too early"
        raise BundleError(reason)
    if inflater.unused_data:
        reason = f"{len(inflater.unused_data)} bytes after the end of the gzip data"
        raise BundleError(reason)
    return raw


def _iterate_sections(raw: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Give each section's offset, id, and the start and end of its content."""
    offset = len(HEADER)
    while offset < len(raw):
        section_id = raw[offset]
        if section_id > _SECTION_ID_MAX:
            reason = f"unknown section id {section_id}"
            raise BundleError(reason, offset_bytes=offset)
        size, start = _read_u32(raw, offset + 1)
        end = start + size
        if end > len(raw):
            reason = f"a section of {size} bytes is longer than the module"
            raise BundleError(reason, offset_bytes=offset)
        yield offset, section_id, start, end
        offset = end


def _iterate_exports(raw: bytes, start: int, end: int) -> Iterator[str]:
    count, offset = _read_u32(raw, start)
    for _ in range(count):
        name, offset = _read_name(raw, offset, end)
        if offset >= end or raw[offset] > _EXPORT_KIND_MAX:
            reason = f"the export {name!r} is of no known kind"
            raise BundleError(reason, offset_bytes=offset)
        _, offset = _read_u32(raw, offset + 1)
        yield name
    if offset != end:
        reason = "the export section is longer or shorter than its exports"
        raise BundleError(reason, offset_bytes=offset)


def _read_name(raw: bytes, start: int, end: int) -> tuple[str, int]:
    """Return a name and the index after it."""
    size, name_start = _read_u32(raw, start)
    name_end = name_start + size
    if name_end > end:
        reason = f"a name of {size} bytes is longer than the section"
        raise BundleError(reason, offset_bytes=start)
    return decode_text(raw[name_start:name_end], "a section's name"), name_end


def _read_u32(raw: bytes, offset: int) -> tuple[int, int]:
    """Return the number at ``offset`` and the index after it."""
    try:
        value, size = decode_uleb128(raw[offset : offset + _U32_SIZE_MAX])
    except DecodeError as error:
        reason = "a size is not a LEB128 number of 32 bits"
        raise BundleError(reason, offset_bytes=offset) from error
    if value >= 1 << 32:
        reason = f"the size {value} does not fit 32 bits"
        raise BundleError(reason, offset_bytes=offset)
    return value, offset + size
