"""Custom sections of WebAssembly modules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet.errors import SourceError
from icfleet.wasm_sections import add_custom_section, custom_section_names

EMPTY = b"\0asm\x01\0\0\0"
WITH_TYPE_SECTION = EMPTY + bytes.fromhex("01 04 01 60 00 00")


def test_an_added_section_is_found() -> None:
    """It comes last, after sections of other kinds."""
    module = add_custom_section(WITH_TYPE_SECTION, "icp:public candid:service", b"service : {}")

    assert module.startswith(WITH_TYPE_SECTION)
    assert list(custom_section_names(module)) == ["icp:public candid:service"]


def test_a_module_without_custom_sections_names_none() -> None:
    """Other sections are skipped by their size."""
    assert list(custom_section_names(WITH_TYPE_SECTION)) == []


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0asm\x02\0\0\0", id="other-version"),
        pytest.param(EMPTY + b"\0", id="no-size"),
        pytest.param(EMPTY + b"\0\x05\x01a", id="cut-off"),
    ],
)
def test_a_broken_module_is_an_error(module: bytes) -> None:
    """Bytes that are no whole module raise the documented error."""
    with pytest.raises(SourceError, match="WebAssembly"):
        list(custom_section_names(module))


@given(st.binary(max_size=60))
def test_any_bytes_answer_or_raise_the_documented_error(tail: bytes) -> None:
    """Whatever follows the header, nothing else is raised."""
    try:
        names = list(custom_section_names(EMPTY + tail))
    except SourceError:
        return
    assert len(names) <= len(tail)
