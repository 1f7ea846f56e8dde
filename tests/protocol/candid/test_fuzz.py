"""A Candid message that was changed on its way is refused by our error, or still of its types."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import changed_bytes
from tests.protocol.candid.strategies import ENVIRONMENT, messages, relatives

from icfleet_protocol.candid import CandidType, decode, encode
from icfleet_protocol.errors import CandidError


@settings(max_examples=400)
@given(messages(), st.data())
def test_a_changed_message_of_random_types_is_refused_or_of_these_types(
    message: tuple[tuple[CandidType, ...], tuple[Any, ...]], data: st.DataObject
) -> None:
    types, values = message
    changed = data.draw(changed_bytes(encode(types, values, environment=ENVIRONMENT)))
    expected = data.draw(st.just(types) | st.tuples(*map(relatives, types)))

    try:
        decoded = decode(changed, expected, environment=ENVIRONMENT)
    except CandidError:
        return
    encode(expected, decoded, environment=ENVIRONMENT)


@given(st.binary(max_size=60), messages())
def test_random_bytes_are_refused_or_of_the_expected_types(
    tail: bytes, message: tuple[tuple[CandidType, ...], tuple[Any, ...]]
) -> None:
    types, _ = message
    for data in (tail, b"DIDL" + tail, b"DIDL\x00" + tail):
        try:
            decoded = decode(data, types, environment=ENVIRONMENT)
        except CandidError:
            continue
        encode(types, decoded, environment=ENVIRONMENT)
