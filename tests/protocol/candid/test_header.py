"""The front of a message: sharing in what is written, refusal of what is malformed."""

from typing import Any

import pytest

from icfleet_protocol.candid import (
    CandidType,
    NamedType,
    OptType,
    RecordType,
    VecType,
    decode,
    encode,
    record,
    variant,
)
from icfleet_protocol.candid.types import nat, text
from icfleet_protocol.errors import CandidError


def test_equal_types_share_an_entry() -> None:
    pair = record(a=nat, b=nat)

    message = encode([pair, VecType(record(b=nat, a=nat))], [{"a": 1, "b": 2}, []])

    assert message.hex(" ").startswith("44 49 44 4c 02 6c 02 61 7d 62 7d 6d 00 02 00 01")


def test_a_recursive_type_refers_to_itself() -> None:
    environment = {"Tree": variant(Leaf=text, Fork=VecType(NamedType("Tree")))}
    value: dict[str, list[Any]] = {"Fork": [{"Leaf": "a"}, {"Fork": []}]}

    message = encode([NamedType("Tree")], [value], environment=environment)

    assert message[4] == 2
    assert decode(message, [NamedType("Tree")], environment=environment) == (value,)


# Beyond the official suite, which covers fields, table entries and lengths.
MALFORMED = [
    pytest.param("01 6a000001 04 00", "unknown function annotation", id="annotation"),
    pytest.param("02 69010161 01 6e7d 00", "method is not a function", id="method-of-opt"),
    pytest.param("02 690201620101610 1 6a000000 00", "out of order", id="methods-unsorted"),
    pytest.param("02 69020161010161 01 6a000000 00", "order or repeated", id="methods-twice"),
    pytest.param("01 690101ff00 00", "text is not UTF-8", id="method-name"),
    pytest.param("01 ffff", "LEB128 number without an end", id="opcode-unfinished"),
    pytest.param("80" * 1100, "LEB128 number too long", id="length-too-long"),
]


@pytest.mark.parametrize(("tail", "reason"), MALFORMED)
def test_a_malformed_header_is_refused(tail: str, reason: str) -> None:
    with pytest.raises(CandidError, match=reason):
        decode(b"DIDL" + bytes.fromhex(tail.replace(" ", "")), [])


def test_an_annotation_may_be_repeated() -> None:
    """The specification takes annotations as a set."""
    assert decode(b"DIDL" + bytes.fromhex("016a000002010100"), []) == ()


def test_a_large_table_costs_little() -> None:
    """4,000 records, each within the one before: measured and checked in one pass."""
    count = 4_000
    entries = b"".join(b"\x6c\x01\x00" + _two_bytes(index + 1) for index in range(count - 1))
    message = b"DIDL" + _two_bytes(count) + entries + b"\x6c\x00" + b"\x01\x00"

    with pytest.raises(CandidError, match="nested deeper than 512 levels"):
        decode(message, [])


def test_deep_types_of_our_own_are_written() -> None:
    """The types' depth meets no recursion of ours either."""
    content: CandidType = nat
    for _ in range(300):
        content = OptType(content)

    message = encode([content], [None])

    assert decode(message, [content]) == (None,)


def test_an_empty_record_is_a_dict() -> None:
    assert decode(encode([RecordType(())], [{}]), [RecordType(())]) == ({},)


def _two_bytes(number: int) -> bytes:
    """LEB128, of numbers that are as well with a sign as without."""
    return bytes([number & 0x7F | 0x80, number >> 7])
