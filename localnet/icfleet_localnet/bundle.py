"""Canister modules as this network takes them: a Wasm container that holds Python sources.

A module is the Wasm header and custom sections only, so that clients hash, compress and chunk it
as they do any other:

    00 61 73 6d 01 00 00 00                    magic and version
    00 <size> <name> <content>                 ... once per section, in this order
        icfleet:bundle                         CBOR {version: 1, entry: text, files: {path: bytes}}
        icp:public candid:service              the .did text

The same sources give the same bytes: files are sorted, and nothing depends on time or place.

A module with code is not run. Kybra's own output is refused, for the way to run it here is another
build of the same sources. The compiled canister that a tool brings along (dfx's Candid UI, its
cycles wallet) is taken as it is, so that the tool can go on; it answers nothing.

Source: IC interface specification, "Canister module format" and "Canister metadata".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from icfleet_localnet.bundle_paths import check_paths
from icfleet_localnet.errors import BundleError, WasmCodeError
from icfleet_localnet.wasm_container import (
    HEADER,
    MODULE_SIZE_MAX,
    Container,
    check_size,
    custom_section,
    decode_text,
    read_container,
)
from icfleet_protocol.cbor import decode_map, encode_tagged
from icfleet_protocol.errors import DecodeError

__all__ = [
    "BUNDLE_FILES_MAX",
    "METADATA_SECTIONS_MAX",
    "METADATA_SIZE_MAX",
    "MODULE_SIZE_MAX",
    "Metadata",
    "Module",
    "read_installable",
    "read_module",
    "write_module",
]

BUNDLE_FILES_MAX = 5_000
"""Files in one bundle; the largest pure-Python packages we know have a tenth of it."""

METADATA_SECTIONS_MAX = 16
METADATA_SIZE_MAX = 1024 * 1024
"""Bytes. Source of both: IC interface specification, "Canister module format"."""

_BUNDLE_VERSION = 1
_BUNDLE_SECTION = "icfleet:bundle"
_CANDID_SERVICE = "candid:service"
_PUBLIC = "icp:public "
_PRIVATE = "icp:private "

_CANISTER_EXPORT = "canister_"
"""Every function that the system calls in a canister has a name that starts so."""

_KYBRA_MARK = b"_kybra_ic"
"""The host object of Kybra's runtime, by a name that stands in each module it compiles.
Source: demergent-labs/kybra ``kybra_generate``, the init method."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """A custom section that is part of the canister's metadata."""

    content: bytes
    is_public: bool = True


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
    uploaded_size: int = 0
    """Bytes as uploaded."""
    metadata: Mapping[str, Metadata] = field(default_factory=dict[str, Metadata])
    """By name, such as ``candid:service``."""
    is_inert: bool = False
    """Whether it is a tool's compiled code, which is kept and shown but not run."""

    @property
    def metadata_size(self) -> int:
        """Bytes of all metadata, names included."""
        return sum(len(name) + len(one.content) for name, one in self.metadata.items())


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
        (_PUBLIC + _CANDID_SERVICE, did.encode()),
    )
    module = HEADER + b"".join(custom_section(name, content) for name, content in sections)
    check_size(len(module))
    return module


def read_module(data: bytes) -> Module:
    """Read a module as uploaded, raw or compressed with gzip.

    Other custom sections, such as the metadata dfx adds, are accepted.

    Raises:
        WasmCodeError: If it holds code.
        BundleError: If it is no Wasm container, holds no bundle, or passes a limit.
    """
    return _read_bundle_module(read_container(data), data)


def read_installable(data: bytes) -> Module:
    """Read a module as ``read_module`` does, and take a tool's compiled canister as inert.

    What is compiled and not Kybra's is taken for a tool's if it exports what a canister exports.

    Raises:
        WasmCodeError: If it holds code that Kybra compiled, or that is no canister's.
        BundleError: If it is no Wasm container, holds no bundle, or passes a limit.
    """
    container = read_container(data)
    if container.code_offset is None or not _is_foreign_canister(container):
        return _read_bundle_module(container, data)
    return _module(container, data, _read_metadata(container), None)


def _is_foreign_canister(container: Container) -> bool:
    """Whether this is a compiled canister, and neither Kybra's nor half of ours."""
    if any(name == _BUNDLE_SECTION for _, name, _ in container.custom):
        return False
    builders = {
        content.strip().lower()
        for _, name, content in container.custom
        if name in {f"{_PUBLIC}cdk:name", f"{_PRIVATE}cdk:name"}
    }
    if b"kybra" in builders or _KYBRA_MARK in container.raw:
        return False
    return any(name.startswith(_CANISTER_EXPORT) for name in container.exports())


def _read_bundle_module(container: Container, data: bytes) -> Module:
    if container.code_offset is not None:
        raise WasmCodeError(container.code_offset)
    sections: dict[str, bytes] = {}
    for start, name, content in container.custom:
        if name in sections:
            reason = f"the section {name!r} appears twice"
            raise BundleError(reason, offset_bytes=start)
        sections[name] = content
    if _BUNDLE_SECTION not in sections:
        reason = "the module holds no `icfleet:bundle` section: build it with `icfleet build`"
        raise BundleError(reason)
    bundle = _read_bundle(sections[_BUNDLE_SECTION])
    return _module(container, data, _read_metadata(container), bundle)


def _module(
    container: Container,
    data: bytes,
    metadata: Mapping[str, Metadata],
    bundle: tuple[str, Mapping[str, bytes]] | None,
) -> Module:
    """Put a module together; without a bundle it is inert."""
    entry, files = _NO_BUNDLE if bundle is None else bundle
    did = metadata.get(_CANDID_SERVICE, Metadata(b"")).content
    return Module(
        entry=entry,
        files=files,
        did=decode_text(did, _CANDID_SERVICE),
        sha256=hashlib.sha256(data).digest(),
        size=len(container.raw),
        uploaded_size=len(data),
        metadata=metadata,
        is_inert=bundle is None,
    )


_NO_BUNDLE: tuple[str, Mapping[str, bytes]] = "", {}


def _read_metadata(container: Container) -> dict[str, Metadata]:
    metadata: dict[str, Metadata] = {}
    for start, section, content in container.custom:
        for prefix in (_PUBLIC, _PRIVATE):
            if not section.startswith(prefix):
                continue
            name = section.removeprefix(prefix)
            if name in metadata:
                reason = f"the metadata {name!r} appears twice"
                raise BundleError(reason, offset_bytes=start)
            metadata[name] = Metadata(content, is_public=prefix == _PUBLIC)
    if len(metadata) > METADATA_SECTIONS_MAX:
        reason = f"{len(metadata)} metadata sections, at most {METADATA_SECTIONS_MAX} allowed"
        raise BundleError(reason)
    if sum(len(one.content) for one in metadata.values()) > METADATA_SIZE_MAX:
        reason = f"the metadata sections have more than {METADATA_SIZE_MAX} bytes"
        raise BundleError(reason)
    return metadata


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
    check_paths(files)
    if not entry.isidentifier() or f"{entry}.py" not in files:
        reason = f"the entry {entry!r} is not a module of the bundle"
        raise BundleError(reason)
