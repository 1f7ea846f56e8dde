"""Signing and Candid against ic-py, in the same process."""

import time
from collections.abc import Iterator

from comparison import Result, compare, repeat
from ic.agent import sign_request as ic_py_sign_request
from ic.candid import Types
from ic.candid import decode as ic_py_decode
from ic.candid import encode as ic_py_encode
from ic.identity import Identity as IcPyIdentity
from ic.principal import Principal as IcPyPrincipal

from icfleet_protocol.candid import decode, encode, parse_did
from icfleet_protocol.envelope import CallContent, sign_request
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal

CANISTER = "bkyz2-fmaaa-aaaaa-qaaaq-cai"
_FIELDS = [f"field_{index}" for index in range(12)]
_DID = (
    "type Row = record { " + "; ".join(f"{name} : nat64" for name in _FIELDS) + " };"
    "service : { put : (vec Row) -> () }"
)
PEER = "ic-py 1.0.1"


def results() -> Iterator[Result]:
    """Run each comparison."""
    yield _signing()
    yield from _candid(rows=1, calls=(2_000, 100))
    yield from _candid(rows=1_000, calls=(10, 1))


def _signing() -> Result:
    ours, theirs = Ed25519Identity.from_seed(b"\x01" * 32), IcPyIdentity(privkey="01" * 32)
    canister, arg = Principal.from_text(CANISTER), bytes(53)

    def sign_ours() -> object:
        content = CallContent(
            request_type="query",
            sender=ours.sender,
            ingress_expiry_ns=time.time_ns(),
            canister=canister,
            method="read",
            arg=arg,
        )
        return sign_request(content, ours)

    def sign_theirs() -> object:
        request = {
            "request_type": "query",
            "sender": theirs.sender().bytes,
            "canister_id": IcPyPrincipal.from_str(CANISTER).bytes,
            "method_name": "read",
            "arg": arg,
            "ingress_expiry": time.time_ns(),
        }
        return ic_py_sign_request(request, theirs)

    return compare(
        "sign a query, 53-byte arg", PEER, repeat(sign_ours), repeat(sign_theirs), calls=(500, 50)
    )


def _candid(*, rows: int, calls: tuple[int, int]) -> Iterator[Result]:
    interface = parse_did(_DID)
    types, environment = interface.methods["put"].args, interface.environment
    value = [{name: index * 1_000_003 for index, name in enumerate(_FIELDS)} for _ in range(rows)]
    peer_type = Types.Vec(Types.Record(dict.fromkeys(_FIELDS, Types.Nat64)))
    message = encode(types, [value], environment=environment)
    shape = f"{rows} record{'s' if rows > 1 else ''} of 12 nat64"
    yield compare(
        f"Candid encode, {shape}",
        PEER,
        repeat(lambda: encode(types, [value], environment=environment)),
        repeat(lambda: ic_py_encode([{"type": peer_type, "value": value}])),
        calls=calls,
    )
    yield compare(
        f"Candid decode, {shape}",
        PEER,
        repeat(lambda: decode(message, types, environment=environment)),
        repeat(lambda: ic_py_decode(message, [peer_type])),
        calls=calls,
    )
