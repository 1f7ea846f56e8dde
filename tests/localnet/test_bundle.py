"""Modules: written reproducibly, read strictly, and bounded whatever comes in."""

import gzip
import hashlib
import zlib
from collections.abc import Callable

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet import wasm_container
from icfleet_localnet.bundle import (
    BUNDLE_FILES_MAX,
    MODULE_SIZE_MAX,
    Metadata,
    Module,
    read_module,
    write_module,
)
from icfleet_localnet.errors import BundleError, WasmCodeError

HEADER = bytes.fromhex("0061736d01000000")
FILES = {"main.py": b"x = 1\n", "pkg/__init__.py": b"", "pkg/part.py": "ü = 2\n".encode()}
DID = 'service : {\n  "größe" : () -> (nat) query;\n}\n'


def section(name: str, content: bytes, *, section_id: int = 0) -> bytes:
    """One section whose sizes all fit one byte."""
    body = bytes([len(name.encode())]) + name.encode() + content
    return bytes([section_id, len(body)]) + body


def bundle_section(**changes: object) -> bytes:
    content: dict[str, object] = {"version": 1, "entry": "main", "files": {"main.py": b""}}
    content.update(changes)
    body = b"\x0eicfleet:bundle" + cbor2.dumps(content)
    return b"\x00" + bytes([0x80 | len(body) & 0x7F, len(body) >> 7]) + body


def test_written_module_is_read_back() -> None:
    """Entry, files and interface survive; hash and size are those of the bytes."""
    raw = write_module("main", FILES, DID)

    module = read_module(raw)

    assert module == Module(
        entry="main",
        files=FILES,
        did=DID,
        sha256=hashlib.sha256(raw).digest(),
        size=len(raw),
        uploaded_size=len(raw),
        metadata={"candid:service": Metadata(DID.encode())},
    )


def test_module_is_a_wasm_container_of_two_custom_sections() -> None:
    """Tools that read Wasm find a valid module without code."""
    raw = write_module("main", {"main.py": b""}, "service : {}")

    assert raw.startswith(HEADER + b"\x00")
    assert raw.endswith(section("icp:public candid:service", b"service : {}"))
    assert b"\x0eicfleet:bundle\xd9\xd9\xf7" in raw


def test_same_sources_give_the_same_bytes() -> None:
    """The order in which files were found leaves no trace."""
    first = write_module("main", FILES, DID)

    second = write_module("main", dict(reversed(FILES.items())), DID)

    assert first == second


def test_compressed_module_keeps_the_hash_of_what_was_uploaded() -> None:
    """Clients compare the module hash with that of the bytes they sent."""
    raw = write_module("main", FILES, DID)
    packed = gzip.compress(raw, mtime=0)

    module = read_module(packed)

    assert module.sha256 == hashlib.sha256(packed).digest()
    assert module.files == FILES
    assert module.size == len(raw)


def test_other_custom_sections_are_accepted() -> None:
    """dfx adds metadata of its own to a module before it installs it."""
    raw = write_module("main", FILES, DID) + section("icp:public dfx", b"{}")

    module = read_module(raw)

    assert module.did == DID


def test_module_without_interface_has_an_empty_one() -> None:
    """The candid:service section is metadata: nothing breaks without it."""
    module = read_module(HEADER + bundle_section())

    assert module.did == ""


@pytest.mark.parametrize("section_id", range(1, 14))
def test_real_wasm_code_is_refused_with_the_way_to_go(section_id: int) -> None:
    """Kybra's own output is not run here, and the error names the command that helps."""
    raw = write_module("main", FILES, DID) + bytes([section_id, 0])

    with pytest.raises(WasmCodeError, match="icfleet build") as caught:
        read_module(raw)

    assert caught.value.offset_bytes == len(raw) - 2


MALFORMED = [
    pytest.param(b"", "not a Wasm module", id="empty"),
    pytest.param(b"print(1)", "not a Wasm module", id="text"),
    pytest.param(HEADER[:7], "not a Wasm module", id="short-header"),
    pytest.param(b"\x00asm\x0d\x00\x01\x00", "not a Wasm module", id="component"),
    pytest.param(HEADER, "no `icfleet:bundle` section", id="no-section"),
    pytest.param(HEADER + section("other", b""), "no `icfleet:bundle` section", id="other-section"),
    pytest.param(HEADER + b"\x0e\x00", "unknown section id 14", id="unknown-id"),
    pytest.param(HEADER + b"\x00", "not a LEB128 number", id="no-size"),
    pytest.param(HEADER + b"\x00\x80\x80\x80\x80\x80\x00", "not a LEB128 number", id="long-size"),
    pytest.param(HEADER + b"\x00\xff\xff\xff\xff\x7f", "does not fit 32 bits", id="huge-size"),
    pytest.param(HEADER + b"\x00\x05\x01a", "longer than the module", id="short-section"),
    pytest.param(HEADER + b"\x00\x02\x05a", "longer than the section", id="short-name"),
    pytest.param(HEADER + b"\x00\x02\x01\xff", "not UTF-8", id="name-not-text"),
    pytest.param(HEADER + section("a", b"") * 2, "appears twice", id="twice"),
    pytest.param(
        HEADER + bundle_section() + section("icp:public candid:service", b"\xff"),
        "candid:service is not UTF-8",
        id="did-not-text",
    ),
    pytest.param(HEADER + section("icfleet:bundle", b""), "malformed bundle", id="no-cbor"),
    pytest.param(HEADER + section("icfleet:bundle", b"\x80"), "malformed bundle", id="no-map"),
    pytest.param(HEADER + bundle_section(version=2), "version 2", id="newer"),
    pytest.param(HEADER + bundle_section(entry=1), "needs an entry", id="entry-number"),
    pytest.param(HEADER + bundle_section(files=[]), "needs an entry", id="files-list"),
    pytest.param(HEADER + bundle_section(files={"main.py": "x"}), "with bytes", id="file-text"),
    pytest.param(HEADER + bundle_section(files={1: b""}), "malformed bundle|with bytes", id="path"),
    pytest.param(HEADER + bundle_section(entry="other"), "not a module of the", id="no-entry"),
    pytest.param(HEADER + bundle_section(entry="../main"), "not a module of the", id="entry-path"),
]


@pytest.mark.parametrize(("data", "reason"), MALFORMED)
def test_malformed_module_is_refused(data: bytes, reason: str) -> None:
    """Each way to be wrong has its own sentence."""
    with pytest.raises(BundleError, match=reason) as caught:
        read_module(data)

    assert not isinstance(caught.value, WasmCodeError)


@pytest.mark.parametrize(
    "path",
    [
        *("/main.py", "../main.py", "a/../b.py", "a//b.py", "./a.py", "a.txt", "a", "", "a\\b.py"),
        *("c:a.py", "a\0.py", "a/", ".py/"),
    ],
)
def test_path_outside_the_bundle_is_refused(path: str) -> None:
    """A bundle's paths stay below its root, whoever wrote it."""
    files = {"main.py": b"", path: b""}

    with pytest.raises(BundleError, match="not a relative path"):
        write_module("main", files, "")
    with pytest.raises(BundleError, match="not a relative path"):
        read_module(HEADER + bundle_section(files=files))


def test_too_many_files_are_refused() -> None:
    """The number of files has a limit of its own."""
    files = {f"m{number}.py": b"" for number in range(BUNDLE_FILES_MAX)} | {"main.py": b""}

    with pytest.raises(BundleError, match=f"at most {BUNDLE_FILES_MAX}"):
        write_module("main", files, "")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_too_large_module_is_refused(pack: Callable[[bytes], bytes]) -> None:
    """A small upload cannot unpack to more than the limit."""
    data = pack(bytes(MODULE_SIZE_MAX + 1))

    with pytest.raises(BundleError, match=f"more than {MODULE_SIZE_MAX} bytes"):
        read_module(data)


def test_written_module_keeps_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read is not written."""
    monkeypatch.setattr(wasm_container, "MODULE_SIZE_MAX", 100)

    with pytest.raises(BundleError, match="more than 100 bytes"):
        write_module("main", {"main.py": bytes(100)}, "")


def test_gzip_with_anything_odd_is_refused() -> None:
    """Cut short, damaged, or followed by more bytes: none passes."""
    packed = gzip.compress(write_module("main", FILES, DID))

    with pytest.raises(BundleError, match="end too early"):
        read_module(packed[:-9])
    with pytest.raises(BundleError, match="malformed gzip"):
        read_module(packed[:-8] + bytes(8))
    with pytest.raises(BundleError, match="after the end"):
        read_module(packed + b"x")
    with pytest.raises(BundleError, match="not a Wasm module"):
        read_module(zlib.compress(write_module("main", FILES, DID)))


SOURCES = st.dictionaries(
    st.from_regex(r"([a-z_]{1,5}/){0,2}[a-z_]{1,5}\.py", fullmatch=True), st.binary(max_size=50)
)


@given(SOURCES, st.text(st.characters(codec="utf-8"), max_size=50))
def test_any_sources_survive(files: dict[str, bytes], did: str) -> None:
    """Writing and reading give the same sources and interface."""
    sources = {"main.py": b"", **files}

    module = read_module(write_module("main", sources, did))

    assert (module.files, module.did) == (sources, did)


@given(st.binary(max_size=80), st.sampled_from([b"", HEADER, HEADER + b"\x00", b"\x1f\x8b\x08"]))
def test_any_bytes_are_read_or_refused(tail: bytes, head: bytes) -> None:
    """Whatever is uploaded, the only error is ours."""
    try:
        module = read_module(head + tail)
    except BundleError:
        return
    assert module.files


@given(st.data())
def test_damaged_module_is_read_or_refused(data: st.DataObject) -> None:
    """One changed byte gives a module or the documented error."""
    raw = bytearray(write_module("main", FILES, DID))
    index = data.draw(st.integers(0, len(raw) - 1))
    raw[index] = data.draw(st.integers(0, 255))
    try:
        module = read_module(bytes(raw))
    except BundleError:
        return
    assert module.entry.isidentifier()
