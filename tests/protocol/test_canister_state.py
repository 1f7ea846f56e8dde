"""What a certificate says of one canister."""

import pytest
from certified_state import State, build_tree, hide, join, label_tree

from icfleet_protocol.canister_state import certified_data, controllers, controllers_path
from icfleet_protocol.cbor import SELF_DESCRIBE_TAG, encode_tagged
from icfleet_protocol.certificate import Certificate
from icfleet_protocol.errors import DecodeError, HashTreeError
from icfleet_protocol.hash_tree import HashTree
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER, Principal

CANISTER = Principal(bytes.fromhex("00000000000000070101"))


def array_of(*items: object) -> bytes:
    """Encode an array as the state holds it: tagged."""
    encoded = encode_tagged({"c": list(items)})
    return SELF_DESCRIBE_TAG + encoded.removeprefix(SELF_DESCRIBE_TAG + b"\xa1\x61c")


def certificate(tree: HashTree) -> Certificate:
    return Certificate(tree=tree, time_ns=0, subnet_key_der=b"", subnet=ANONYMOUS)


def about(**values: bytes) -> Certificate:
    fields: dict[bytes, State] = {name.encode(): value for name, value in values.items()}
    return certificate(build_tree({b"canister": {CANISTER.raw: fields}}))


def test_certified_data_is_what_the_canister_set() -> None:
    assert certified_data(about(certified_data=b"\x07" * 32), CANISTER) == b"\x07" * 32
    assert certified_data(about(), CANISTER) == b""


def test_controllers_are_principals() -> None:
    listed = array_of(ANONYMOUS.raw, MANAGEMENT_CANISTER.raw)

    assert controllers(about(controllers=listed), CANISTER) == (ANONYMOUS, MANAGEMENT_CANISTER)
    assert controllers(about(controllers=array_of()), CANISTER) == ()
    assert controllers(about(), CANISTER) == ()
    assert controllers_path(CANISTER) == (b"canister", CANISTER.raw, b"controllers")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        array_of("text"),
        array_of(7),
        b"\x01",
        array_of(b"") * 2,
        b"\x9b" + b"\xff" * 8,
    ],
    ids=["empty", "break", "texts", "numbers", "no-array", "two", "endless"],
)
def test_anything_else_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        controllers(about(controllers=raw), CANISTER)


def test_what_is_hidden_is_not_taken_for_nothing() -> None:
    """A server that leaves a part of the state out proves nothing about it."""
    shown = build_tree({b"time": b"\x01"})
    hidden = certificate(join([hide(label_tree(b"canister", shown)), label_tree(b"time", shown)]))

    with pytest.raises(HashTreeError):
        certified_data(hidden, CANISTER)
    with pytest.raises(HashTreeError):
        controllers(hidden, CANISTER)
