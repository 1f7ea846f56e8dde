"""Canister modules as this network takes them: a Wasm container that holds Python sources.

A module is the Wasm header and custom sections only, so that clients hash, compress and chunk it
as they do any other:

    00 61 73 6d 01 00 00 00                    magic and version
    00 <size> <name> <content>                 ... once per section, in this order
        icfleet:bundle                         CBOR {version: 1, entry: text, files: {path: bytes}}
        icp:public candid:service              the .did text

The same sources give the same bytes: files are sorted, and nothing depends on time or place.

Source: WebAssembly core specification 2.0, "Binary Format", "Modules"; IC interface
specification, "Canister metadata".
"""

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import cast

from icfleet_localnet.errors import BundleError, WasmCodeError
from icfleet_protocol.cbor import decode_map, encode_tagged
from icfleet_protocol.errors import DecodeError
from icfleet_protocol.leb128 import decode_uleb128, encode_uleb128

__all__ = ["BUNDLE_FILES_MAX", "MODULE_SIZE_MAX", "Module", "read_module", "write_module"]

MODULE_SIZE_MAX = 32 * 1024 * 1024
"""Bytes of a module, inflated. Kybra's own modules are 26 MB, of which sources are 2 or 3."""

BUNDLE_FILES_MAX = 5_000
"""Files in one bundle; the largest pure-Python packages we know have a tenth of it."""

_BUNDLE_VERSION = 1
_HEADER = b"\x00asm\x01\x00\x00\x00"
_GZIP_MAGIC = b"\x1f\x8b"
_BUNDLE_SECTION = "icfleet:bundle"
_CANDID_SECTION = "icp:public candid:service"

_CUSTOM_SECTION = 0
_SECTION_ID_MAX = 13
"""Ids above the tag section's are not defined. Source: WebAssembly 3.0, "Sections"."""

_U32_SIZE_MAX = 5
"""Bytes of a LEB128 number of 32 bits, padding included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A canister's code, ready to install."""

    entry: str
    """Name of the module whose star-import is the canister's scope, such as ``main``."""
    files: Mapping[str, bytes]
    """Sources by their path below the bundle's root, such as ``icfleet_canister/views.py``."""
    did: str
    """The Candid interface, served as the public metadata ``candid:service``."""
    sha256: bytes
    """Of the bytes as uploaded, so compressed when they were: the ``module_hash`` clients see."""
    size: int
    """Bytes of the inflated module."""


def write_module(entry: str, files: Mapping[str, bytes], did: str) -> bytes:
    """Return the module's bytes; the same arguments always give the same bytes.

    Raises:
        BundleError: If a path or the entry is not one a bundle can hold, or a limit is passed.
    """
    _check_files(entry, files)
    bundle = {
        "version": _BUNDLE_VERSION,
        "entry": entry,
        "files": {path: bytes(files[path]) for path in sorted(files)},
    }
    sections = (
        (_BUNDLE_SECTION, encode_tagged(bundle)),
        (_CANDID_SECTION, did.encode()),
    )
    module = _HEADER + b"".join(_custom_section(name, content) for name, content in sections)
    _check_size(len(module))
    return module


def read_module(data: bytes) -> Module:
    """Read a module as uploaded, raw or compressed with gzip.

    Other custom sections, such as the metadata dfx adds, are accepted and not used.

    Raises:
        WasmCodeError: If it holds code.
        BundleError: If it is no Wasm container, holds no bundle, or passes a limit.
    """
    raw = _inflate(data) if data.startswith(_GZIP_MAGIC) else data
    _check_size(len(raw))
    sections = _read_custom_sections(raw)
    if _BUNDLE_SECTION not in sections:
        reason = "the module holds no `icfleet:bundle` section: build it with `icfleet build`"
        raise BundleError(reason)
    entry, files = _read_bundle(sections[_BUNDLE_SECTION])
    return Module(
        entry=entry,
        files=files,
        did=_decode_text(sections.get(_CANDID_SECTION, b""), _CANDID_SECTION),
        sha256=hashlib.sha256(data).digest(),
        size=len(raw),
    )


def _custom_section(name: str, content: bytes) -> bytes:
    encoded = name.encode()
    body = encode_uleb128(len(encoded)) + encoded + content
    return bytes([_CUSTOM_SECTION]) + encode_uleb128(len(body)) + body


def _inflate(data: bytes) -> bytes:
    """Inflate one gzip member, never making more than ``MODULE_SIZE_MAX`` bytes and one."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        raw = inflater.decompress(data, MODULE_SIZE_MAX + 1)
    except zlib.error as error:
        reason = f"malformed gzip: {error}"
        raise BundleError(reason) from error
    _check_size(len(raw))
    if not inflater.eof:
        reason = "gzip data end too early"
        raise BundleError(reason)
    if inflater.unused_data:
        reason = f"{len(inflater.unused_data)} bytes after the end of the gzip data"
        raise BundleError(reason)
    return raw


def _check_size(size: int) -> None:
    if size > MODULE_SIZE_MAX:
        reason = f"the module has more than {MODULE_SIZE_MAX} bytes"
        raise BundleError(reason)


def _read_custom_sections(raw: bytes) -> dict[str, bytes]:
    if not raw.startswith(_HEADER):
        reason = "not a Wasm module: the first eight bytes are not Wasm's magic and version 1"
        raise BundleError(reason, offset_bytes=0)
    sections: dict[str, bytes] = {}
    for start, name, content in _iterate_sections(raw):
        if name in sections:
            reason = f"the section {name!r} appears twice"
            raise BundleError(reason, offset_bytes=start)
        sections[name] = content
    return sections


def _iterate_sections(raw: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Give each custom section's offset, name and content."""
    offset = len(_HEADER)
    while offset < len(raw):
        section_id = raw[offset]
        if section_id > _SECTION_ID_MAX:
            reason = f"unknown section id {section_id}"
            raise BundleError(reason, offset_bytes=offset)
        size, body = _read_u32(raw, offset + 1)
        end = body + size
        if end > len(raw):
            reason = f"a section of {size} bytes is longer than the module"
            raise BundleError(reason, offset_bytes=offset)
        if section_id != _CUSTOM_SECTION:
            raise WasmCodeError(offset)
        name_size, name_start = _read_u32(raw, body)
        name_end = name_start + name_size
        if name_end > end:
            reason = f"a section's name of {name_size} bytes is longer than the section"
            raise BundleError(reason, offset_bytes=body)
        yield offset, _decode_text(raw[name_start:name_end], "a section's name"), raw[name_end:end]
        offset = end


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


def _read_bundle(content: bytes) -> tuple[str, Mapping[str, bytes]]:
    try:
        bundle = decode_map(content, size_max=MODULE_SIZE_MAX)
    except DecodeError as error:
        reason = f"malformed bundle: {error}"
        raise BundleError(reason) from error
    version, entry, files = (bundle.get(key) for key in ("version", "entry", "files"))
    if version != _BUNDLE_VERSION:
        reason = f"bundle version {version!r}; this icfleet reads version {_BUNDLE_VERSION}"
        raise BundleError(reason)
    if not isinstance(entry, str) or not isinstance(files, Mapping):
        reason = "malformed bundle: it needs an entry (text) and files (a map)"
        raise BundleError(reason)
    sources: dict[str, bytes] = {}
    for path, source in cast("Mapping[object, object]", files).items():
        if not isinstance(path, str) or not isinstance(source, bytes):
            reason = f"malformed bundle: file {path!r} is not a text path with bytes"
            raise BundleError(reason)
        sources[path] = source
    _check_files(entry, sources)
    return entry, sources


def _check_files(entry: str, files: Mapping[str, bytes]) -> None:
    if len(files) > BUNDLE_FILES_MAX:
        reason = f"a bundle of {len(files)} files, at most {BUNDLE_FILES_MAX} allowed"
        raise BundleError(reason)
    for path in files:
        if not _is_bundle_path(path):
            reason = f"{path!r} is not a relative path to a Python file"
            raise BundleError(reason)
    if not entry.isidentifier() or f"{entry}.py" not in files:
        reason = f"the entry {entry!r} is not a module of the bundle"
        raise BundleError(reason)


def _is_bundle_path(path: str) -> bool:
    """Whether ``path`` is plain, relative and stays inside the bundle, on any system."""
    parts = path.split("/")
    return (
        path.endswith(".py")
        and str(PurePosixPath(path)) == path
        and not any(part in {"", ".", ".."} for part in parts)
        and not any(character in path for character in '\\:\0"')
    )


def _decode_text(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        reason = f"{what} is not UTF-8 text"
        raise BundleError(reason) from error
