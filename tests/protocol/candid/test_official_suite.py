"""The official test suite: every assertion, by the plain way and by the compiled one."""

import time
import tracemalloc
from collections.abc import Callable

import pytest
from tests.protocol.candid.official_suite import (
    Assertion,
    Input,
    count_assertions,
    read_assertions,
)

from icfleet_protocol.candid import parse_args
from icfleet_protocol.candid.codec import Codec
from icfleet_protocol.errors import CandidError

# Source: dfinity/candid, test/*.test.did; see tests/vectors/README.md.
FILES = {"prim": 168, "construct": 164, "overshoot": 10, "spacebomb": 17}

SECONDS_MAX = 1.0
"""For one assertion. The slowest, a space bomb, takes 0.1 s on a slow machine."""

MEMORY_MAX = 50_000_000
"""Bytes, for one assertion. The bombs announce a billion elements; we keep 10,000."""

ASSERTIONS = [
    pytest.param(assertion, id=f"{name}-{number}-{assertion.title}"[:80])
    for name in FILES
    for number, assertion in enumerate(read_assertions(name))
]

Read = Callable[[Codec, bytes], tuple[object, ...]]


def _read_compiled_twice(codec: Codec, message: bytes) -> tuple[object, ...]:
    """The second time, everything about the header is remembered."""
    first = codec.decode(message)

    # As text, because NaN differs from itself.
    assert repr(codec.decode(message)) == repr(first)
    return first


WAYS = [
    pytest.param(Codec.decode_plainly, id="plain"),
    pytest.param(_read_compiled_twice, id="compiled"),
]


@pytest.mark.parametrize("name", FILES)
def test_no_assertion_is_overlooked(name: str) -> None:
    assert len(list(read_assertions(name))) == count_assertions(name) == FILES[name]


@pytest.mark.parametrize("read", WAYS)
@pytest.mark.parametrize("assertion", ASSERTIONS)
def test_the_official_suite_agrees(assertion: Assertion, read: Read) -> None:
    """What is to be read is read, with the right values; what is not, is refused."""
    if assertion.relation == "!:":
        with pytest.raises(CandidError):
            _take(assertion.left, assertion, read)
        return

    left = _take(assertion.left, assertion, read)

    assert len(left) == len(assertion.types)
    if assertion.right is not None:
        right = _take(assertion.right, assertion, read)
        assert (left == right) == (assertion.relation == "==")


@pytest.mark.parametrize("read", WAYS)
@pytest.mark.parametrize("assertion", ASSERTIONS)
def test_no_message_costs_much_time_or_memory(assertion: Assertion, read: Read) -> None:
    tracemalloc.start()
    started_s = time.process_time()
    try:
        _take(assertion.left, assertion, read)
    except CandidError:
        assert assertion.relation == "!:"
    duration_s = time.process_time() - started_s
    _, memory = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert duration_s < SECONDS_MAX
    assert memory < MEMORY_MAX


def _take(side: Input, assertion: Assertion, read: Read) -> tuple[object, ...]:
    if side.message is None:
        assert side.text is not None
        return parse_args(side.text, assertion.types, environment=assertion.environment)
    return read(Codec(assertion.types, assertion.environment), side.message)
