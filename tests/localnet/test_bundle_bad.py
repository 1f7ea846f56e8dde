"""Code that is garbage, somebody else's, or dangerous to unpack: each kind has its answer."""

import gzip
import random

import cbor2
import pytest
from foreign_wasm import foreign_wasm
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet.bundle import (
    METADATA_SECTIONS_MAX,
    METADATA_SIZE_MAX,
    read_installable,
    read_module,
    write_module,
)
from icfleet_localnet.bundle_paths import PATH_SIZE_MAX
from icfleet_localnet.errors import BundleError, WasmCodeError
from icfleet_localnet.wasm_container import HEADER, custom_section

BUNDLE = write_module("main", {"main.py": b""}, "")


def module_of(content: object) -> bytes:
    """A module with anything for a bundle."""
    return HEADER + custom_section("icfleet:bundle", cbor2.dumps(content))


def bundle_of(files: object) -> bytes:
    """A module with anything for files."""
    return module_of({"version": 1, "entry": "main", "files": files})


BAD_PATHS = [
    *("/etc/passwd.py", "../main.py", "a/../../b.py", "..", "a/..py/../x.py", "~/.py"),
    *("c:/windows.py", "\\\\host\\share\\a.py", "a\\..\\b.py", "a\x00.py", "a\n.py", "\x1b[2J.py"),
    *("a /b.py", " a.py", "a./b.py", "a?.py", "a*.py", 'a".py', "a|b.py", "<a>.py", "a.py "),
    *("nul.py", "CON.py", "aux/a.py", "lpt1.x.py", "pkg/Com9.py"),
    *("x" * 253 + ".py", "/".join(["long"] * (PATH_SIZE_MAX // 4)) + "/a.py"),
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=lambda path: repr(path)[:30])
def test_a_path_that_could_leave_the_bundle_or_break_a_system_is_refused(path: str) -> None:
    """When it is read, and already when it is written."""
    with pytest.raises(BundleError):
        read_module(bundle_of({"main.py": b"", path: b""}))
    with pytest.raises(BundleError):
        write_module("main", {"main.py": b"", path: b""}, "")


CLASHES = [
    pytest.param({"a.py": b"", "A.py": b""}, id="case"),
    pytest.param({"pkg/a.py": b"", "Pkg/b.py": b""}, id="case-of-a-folder"),
    pytest.param({"caf\u00e9.py": b"", "cafe\u0301.py": b""}, id="accent"),
    pytest.param({"stra\u00dfe.py": b"", "strasse.py": b""}, id="sharp-s"),
    pytest.param({"a.py": b"", "a.py/b.py": b""}, id="file-and-folder"),
]


@pytest.mark.parametrize("files", CLASHES)
def test_two_files_that_some_system_takes_for_one_are_refused(files: dict[str, bytes]) -> None:
    """One would overwrite the other when the bundle is unpacked there."""
    with pytest.raises(BundleError):
        read_module(bundle_of({"main.py": b"", **files}))


def test_a_file_that_stands_twice_is_refused() -> None:
    """A decoder would keep one of them, and another decoder perhaps the other."""
    once = cbor2.dumps("main.py") + cbor2.dumps(b"1")
    twice = b"\xa2" + once + cbor2.dumps("main.py") + cbor2.dumps(b"2")
    head = cbor2.dumps({"version": 1, "entry": "main", "files": 0}).removesuffix(b"\x00")

    with pytest.raises(BundleError, match="twice"):
        read_module(HEADER + custom_section("icfleet:bundle", head + twice))


LINKS = [
    pytest.param({"link": "../../etc/passwd"}, id="map"),
    pytest.param("../../etc/passwd", id="text"),
    pytest.param(cbor2.CBORTag(1, b"x"), id="tag"),
    pytest.param([b"x"], id="list"),
    pytest.param(None, id="nothing"),
]


@pytest.mark.parametrize("content", LINKS)
def test_a_file_that_is_not_its_bytes_is_refused(content: object) -> None:
    """There is no way to say "symlink"."""
    with pytest.raises(BundleError, match="malformed bundle"):
        read_module(bundle_of({"main.py": b"", "link.py": content}))


@pytest.mark.parametrize(
    "files", [[], b"", "main.py", None, 5, {"main.py": "text"}, {b"main.py": b""}], ids=repr
)
def test_files_of_another_shape_are_refused(files: object) -> None:
    """They are a map of texts to bytes."""
    with pytest.raises(BundleError):
        read_module(bundle_of(files))


def test_metadata_keeps_the_limits_of_the_mainnet() -> None:
    """So that what installs here installs there."""
    many = b"".join(
        custom_section(f"icp:public m{number}", b"") for number in range(METADATA_SECTIONS_MAX)
    )
    large = custom_section("icp:private large", bytes(METADATA_SIZE_MAX + 1))
    twice = custom_section("icp:private candid:service", b"")

    for addition, words in ((many, "at most 16"), (large, "more than"), (twice, "twice")):
        with pytest.raises(BundleError, match=words):
            read_module(BUNDLE + addition)


def test_other_metadata_is_kept_with_its_visibility() -> None:
    """dfx adds some, and clients may ask for it."""
    module = read_module(
        BUNDLE + custom_section("icp:public dfx", b"{}") + custom_section("icp:private key", b"x")
    )

    shown = {name: (one.content, one.is_public) for name, one in module.metadata.items()}
    assert shown == {"candid:service": (b"", True), "dfx": (b"{}", True), "key": (b"x", False)}
    assert module.metadata_size == len("candid:service" + "dfx" + "key") + len(b"{}x")


# What is compiled.


def test_a_tools_compiled_canister_is_taken_as_inert() -> None:
    """Its hash, its size and its interface are shown; nothing of it can be run."""
    raw = foreign_wasm(did="service : {}")
    packed = gzip.compress(raw)

    module = read_installable(packed)

    assert (module.is_inert, module.files, module.did) == (True, {}, "service : {}")
    assert (module.size, module.uploaded_size) == (len(raw), len(packed))


def test_kybras_own_output_is_refused_with_the_way_to_go() -> None:
    """It is known by what its tool notes in it, or by its runtime's host object."""
    noted = foreign_wasm(sections={"icp:public cdk:name": b"kybra"})
    telling = foreign_wasm(data=b"...\0_kybra_ic\0...")

    for raw in (noted, telling, gzip.compress(telling)):
        with pytest.raises(WasmCodeError, match="icfleet build"):
            read_installable(raw)


def test_compiled_code_that_is_no_canister_is_refused() -> None:
    """A program for another system exports nothing that the system would call."""
    with pytest.raises(WasmCodeError, match="icfleet build"):
        read_installable(foreign_wasm(exports=("memory", "_start")))


def test_a_bundle_with_code_is_refused() -> None:
    """Nobody could say which of the two is meant."""
    raw = foreign_wasm() + BUNDLE.removeprefix(HEADER)

    with pytest.raises(WasmCodeError):
        read_installable(raw)


def test_a_bundle_is_read_as_before() -> None:
    """What takes a tool's code takes ours too."""
    assert read_installable(BUNDLE) == read_module(BUNDLE)


@pytest.mark.parametrize("seed", range(200))
def test_a_damaged_tools_canister_is_taken_or_refused(seed: int) -> None:
    """Whatever the bytes, the only error is ours."""
    chance = random.Random(seed)
    raw = bytearray(foreign_wasm(did="service : {}"))
    for _ in range(chance.randint(1, 3)):
        raw[chance.randrange(8, len(raw))] = chance.randrange(256)
    try:
        module = read_installable(bytes(raw[: chance.randint(len(raw) // 2, len(raw))]))
    except BundleError:
        return
    assert module.is_inert


@given(st.binary(max_size=200))
def test_any_garbage_is_refused(garbage: bytes) -> None:
    """With our error, and at once."""
    for data in (garbage, HEADER + garbage, gzip.compress(garbage)):
        with pytest.raises(BundleError):
            read_installable(data)


PATHS = st.lists(st.text(max_size=12), min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(PATHS, st.just(b""), max_size=4))
def test_what_can_be_written_is_safe_to_unpack(files: dict[str, bytes]) -> None:
    """No accepted path is absolute, goes up, or equals another one in lower case."""
    sources = {"main.py": b"", **files}
    try:
        module = read_module(write_module("main", sources, ""))
    except BundleError:
        return
    assert not any(path.startswith("/") or ".." in path.split("/") for path in module.files)
    assert len({path.casefold() for path in module.files}) == len(module.files)
