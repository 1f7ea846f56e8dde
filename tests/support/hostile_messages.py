"""Messages made to hurt whoever parses them, by name; run as a script, it parses them confined.

Each must end in one of our errors, in less than a second and 100 MB.
"""

import gc
import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2

from icfleet_protocol.candid import OptType, VecType, decode, record
from icfleet_protocol.candid.types import nat, null
from icfleet_protocol.cbor import SELF_DESCRIBE_TAG, encode_tagged
from icfleet_protocol.certificate import Freshness, parse_canister_ranges, verify_certificate
from icfleet_protocol.envelope import ENVELOPE_SIZE_MAX, authenticate, decode_envelope
from icfleet_protocol.errors import ProtocolError
from icfleet_protocol.pem import identity_from_pem
from icfleet_protocol.principal import Principal
from icfleet_protocol.signatures import verify_signature

SECONDS_MAX = 1.0
MEMORY_MAX = 100 * 1000 * 1000

NOW_NS = 1_750_000_000_000_000_000
_MANY = 10_000_000
_CONTENT = b"\xa1\x67content"
_ANONYMOUS: dict[str, Any] = {"sender": b"\x04", "ingress_expiry": NOW_NS}


@dataclass(frozen=True, slots=True)
class Hostile:
    """A message, who parses it, and what the error says."""

    parse: Callable[[bytes], object]
    build: Callable[[], bytes]
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message in the confined process."""

    error: str
    is_ours: bool
    reason: str
    duration_s: float


def parse_request(body: bytes) -> None:
    """As a server does, up to the sender being proven."""
    authenticate(decode_envelope(body), now_ns=NOW_NS)


def parse_certificate(raw: bytes) -> None:
    """As a client does; nothing here ever gets as far as the signature."""
    verify_certificate(
        raw,
        root_key_der=bytes(133),
        canister=None,
        now_ns=NOW_NS,
        freshness=Freshness(),
    )


def parse_candid(message: bytes) -> None:
    """As a client that expects this record does."""
    decode(message, [record(a=VecType(null), b=OptType(nat))])


def request_with(**fields: Any) -> bytes:
    """An anonymous query with some fields changed."""
    query = {"request_type": "query", "canister_id": bytes(10), "method_name": "m", "arg": b""}
    return encode_tagged({"content": _ANONYMOUS | query | fields})


def read_state_of(paths: object) -> bytes:
    """An anonymous read_state."""
    return encode_tagged({"content": _ANONYMOUS | {"request_type": "read_state", "paths": paths}})


def chain_of(length: int, **fields: Any) -> list[dict[str, Any]]:
    """Delegations to keys that are none, which nobody signed."""
    return [
        {
            "delegation": {"pubkey": b"key %d" % n, "expiration": NOW_NS} | fields,
            "signature": bytes(64),
        }
        for n in range(length)
    ]


def delegated_with(chain: list[dict[str, Any]], *, key: bytes = b"sender") -> bytes:
    """A query by whoever has ``key``, signed by nobody."""
    sender = Principal.self_authenticating(key).raw
    content = cbor2.loads(request_with(sender=sender).removeprefix(SELF_DESCRIBE_TAG))["content"]
    return encode_tagged(
        {
            "content": content,
            "sender_pubkey": key,
            "sender_sig": bytes(64),
            "sender_delegation": chain,
        }
    )


def certificate_with(tree: object) -> bytes:
    """A certificate that nobody signed."""
    return encode_tagged({"tree": tree, "signature": bytes(48)})


def filled(head: bytes, item: bytes) -> bytes:
    """A request as long as one may be, whose content is many small items."""
    count = (ENVELOPE_SIZE_MAX - 100) // len(item)
    return _CONTENT + head + count.to_bytes(4, "big") + item * count


def deep_tree(levels: int) -> bytes:
    """A certificate with a tree of labels inside each other, written without recursion."""
    return b"\xa1\x64tree" + b"\x83\x02\x41a" * levels + b"\x82\x03\x40"


def wide_tree(leaves: int) -> object:
    """A tree of as many labels side by side, balanced."""
    row: list[object] = [[2, n.to_bytes(4, "big"), [3, b""]] for n in range(leaves)]
    while len(row) > 1:
        pairs: list[object] = [[1, *row[n : n + 2]] for n in range(0, len(row) - 1, 2)]
        row = pairs + row[len(pairs) * 2 :]
    return row[0]


HOSTILE: dict[str, Hostile] = {
    # CBOR that promises more than it holds, or holds more than it seems to.
    "string-bomb": Hostile(
        parse_request, lambda: _CONTENT + b"\x5b" + b"\x7f" * 8, "string longer than the message"
    ),
    "text-bomb": Hostile(
        parse_request, lambda: _CONTENT + b"\x7b" + b"\x7f" * 8, "string longer than the message"
    ),
    "array-bomb": Hostile(
        parse_request, lambda: _CONTENT + b"\x9b" + b"\x7f" * 8, "longer than the message"
    ),
    "map-bomb": Hostile(
        parse_request, lambda: _CONTENT + b"\xbb" + b"\x7f" * 8, "longer than the message"
    ),
    "nested-array-bombs": Hostile(
        parse_request,
        lambda: _CONTENT + b"\x9a\x00\x10\x00\x00" * 100 + bytes(1 << 20),
        "items|after the end|too early",
    ),
    "millions-of-empty-arrays": Hostile(
        parse_request, lambda: filled(b"\x9a", b"\x80"), "more than 200000 items"
    ),
    "millions-of-empty-maps": Hostile(
        parse_request, lambda: filled(b"\x9a", b"\xa0"), "more than 200000 items"
    ),
    "a-million-maps-of-one-key": Hostile(
        parse_request, lambda: filled(b"\x9a", b"\xa1\x60\x00"), "more than 200000 items"
    ),
    "a-map-of-many-keys": Hostile(
        parse_request,
        lambda: b"\xba\x00\x02\x00\x00" + b"".join(b"\x64%04x\x00" % n for n in range(1 << 16)) * 2,
        "stands twice",
    ),
    "deep-nesting": Hostile(
        parse_request, lambda: _CONTENT + b"\x81" * 100_000 + b"\x00", "nested deeper than 128"
    ),
    "deep-nesting-of-maps": Hostile(
        parse_request, lambda: _CONTENT + b"\xa1\x61a" * 100_000 + b"\x00", "nested deeper"
    ),
    "oversize-body": Hostile(parse_request, lambda: bytes(_MANY), "at most 5242880 allowed"),
    # CBOR that a decoder may read in two ways, or run code for.
    "duplicate-keys": Hostile(
        parse_request, lambda: b"\xa2" + _CONTENT[1:] + b"\xa0" + _CONTENT[1:] + b"\xa0", "twice"
    ),
    "duplicate-keys-spelled-otherwise": Hostile(
        parse_request,
        lambda: b"\xa2" + _CONTENT[1:] + b"\xa0" + b"\x78\x07content" + b"\xa0",
        "twice",
    ),
    "duplicate-keys-inside": Hostile(
        parse_request, lambda: _CONTENT + b"\xa2\x61a\x00\x61a\x01", "twice"
    ),
    "keys-that-are-no-text": Hostile(
        parse_request, lambda: _CONTENT + b"\xa1\x80\x00", "text keys"
    ),
    "trailing-bytes": Hostile(parse_request, lambda: request_with() + b"\x00", "1 bytes after"),
    "text-not-utf-8": Hostile(parse_request, lambda: _CONTENT + b"\x61\xff", "malformed CBOR"),
    "indefinite-bytes": Hostile(
        parse_request, lambda: _CONTENT + b"\x5f\x41a\xff", "not supported"
    ),
    "indefinite-text": Hostile(parse_request, lambda: _CONTENT + b"\x7f\x61a\xff", "not supported"),
    "indefinite-array": Hostile(parse_request, lambda: _CONTENT + b"\x9f\xff", "not supported"),
    "indefinite-map": Hostile(parse_request, lambda: b"\xbf\x61a\x00\xff", "not supported"),
    "wrong-tag": Hostile(parse_request, lambda: b"\xd9\xd9\xf6" + request_with()[3:], "tag 55798"),
    "tag-twice": Hostile(
        parse_request, lambda: SELF_DESCRIBE_TAG + request_with(), "tag 55799 inside"
    ),
    "date": Hostile(parse_request, lambda: _CONTENT + b"\xc0\x60", "tag 0 inside"),
    "bignum": Hostile(
        parse_request, lambda: _CONTENT + b"\xc2\x5a\x00\x10\x00\x00" + bytes(1 << 20), "tag 2"
    ),
    "huge-decimal": Hostile(
        parse_request, lambda: _CONTENT + b"\xc4\x82\x1b" + b"\x7f" * 8 + b"\x01", "tag 4 inside"
    ),
    "huge-bigfloat": Hostile(
        parse_request, lambda: _CONTENT + b"\xc5\x82\x1b" + b"\x7f" * 8 + b"\x01", "tag 5 inside"
    ),
    "regular-expression": Hostile(
        parse_request, lambda: _CONTENT + b"\xd8\x23\x6a(a+)+$(a+)", "tag 35 inside"
    ),
    "shared-reference-cycle": Hostile(
        parse_request, lambda: _CONTENT + b"\xd8\x1c\x81\xd8\x1d\x00", "tag 28 inside"
    ),
    "reference-to-nothing": Hostile(
        parse_request, lambda: _CONTENT + b"\xd8\x1d\x18\x63", "tag 29 inside"
    ),
    "string-references": Hostile(
        parse_request, lambda: _CONTENT + b"\xd9\x01\x00\x81\xd8\x19\x00", "tag 256 inside"
    ),
    # Requests beyond the specification's limits.
    "sender-of-30-bytes": Hostile(parse_request, lambda: request_with(sender=bytes(30)), "sender"),
    "canister-of-30-bytes": Hostile(
        parse_request, lambda: request_with(canister_id=bytes(30)), "canister_id: principal of 30"
    ),
    "nonce-of-33-bytes": Hostile(
        parse_request, lambda: request_with(nonce=bytes(33)), "got 33 bytes, but at most 32"
    ),
    "1001-paths": Hostile(
        parse_request, lambda: read_state_of([[b"time"]] * 1001), "got 1001 paths"
    ),
    "128-labels": Hostile(
        parse_request, lambda: read_state_of([[b"a"] * 128]), "got 128 labels, but at most 127"
    ),
    "10000-paths": Hostile(
        parse_request, lambda: read_state_of([[b"a"] * 15] * 10_000), "got 10000 paths"
    ),
    "190000-paths": Hostile(
        parse_request, lambda: read_state_of([b""] * 190_000), "190000 elements, at most 1000"
    ),
    "190000-labels": Hostile(
        parse_request, lambda: read_state_of([[b"a"] * 190_000]), "190000 elements, at most 127"
    ),
    "1200-labels": Hostile(
        parse_request, lambda: read_state_of([[b"a"] * 1200] * 150), "got 1200 labels"
    ),
    "21-delegations": Hostile(
        parse_request, lambda: delegated_with(chain_of(21)), "got 21 delegations, but at most 20"
    ),
    "20000-delegations": Hostile(
        parse_request, lambda: delegated_with(chain_of(1) * 20_000), "20000 elements, at most 20"
    ),
    "200-delegations": Hostile(
        parse_request, lambda: delegated_with(chain_of(200)), "got 200 delegations"
    ),
    "cyclic-delegations": Hostile(
        parse_request, lambda: delegated_with([*chain_of(3), chain_of(3)[1]]), "one cycle"
    ),
    "self-signed-delegation": Hostile(
        parse_request, lambda: delegated_with(chain_of(1), key=b"key 0"), "one cycle"
    ),
    "1001-targets": Hostile(
        parse_request,
        lambda: delegated_with(chain_of(1, targets=[bytes(10)] * 1001)),
        "at most 1000 targets per delegation, but got 1001",
    ),
    "190000-targets": Hostile(
        parse_request,
        lambda: delegated_with(chain_of(1, targets=[bytes(10)] * 190_000)),
        "190000 elements, at most 1000",
    ),
    "target-of-30-bytes": Hostile(
        parse_request,
        lambda: delegated_with(chain_of(1, targets=[bytes(30)])),
        "targets: principal of 30 bytes",
    ),
    "unknown-permissions": Hostile(
        parse_request,
        lambda: delegated_with(chain_of(1, permissions="updates" * 100_000)),
        "unknown permissions",
    ),
    "20-delegations-with-keys-of-no-kind": Hostile(
        parse_request, lambda: delegated_with(chain_of(20)), "Invalid public key: Unsupported"
    ),
    # Certificates and what is in them.
    "tree-10000-deep": Hostile(parse_certificate, lambda: deep_tree(10_000), "nested deeper"),
    "tree-of-labels-out-of-order": Hostile(
        parse_certificate,
        lambda: certificate_with([1, [2, b"b", [3, b""]], [2, b"a", [3, b""]]]),
        "not in order",
    ),
    "tree-of-one-label-twice": Hostile(
        parse_certificate,
        lambda: certificate_with([1, [2, b"a", [3, b""]], [2, b"a", [3, b""]]]),
        "not in order",
    ),
    "tree-with-a-leaf-beside-labels": Hostile(
        parse_certificate,
        lambda: certificate_with([1, [2, b"a", [3, b""]], [3, b""]]),
        "mixes a leaf",
    ),
    "tree-with-a-short-digest": Hostile(
        parse_certificate, lambda: certificate_with([4, bytes(31)]), "not a hash tree node"
    ),
    "tree-with-a-fork-of-one": Hostile(
        parse_certificate, lambda: certificate_with([1, [0]]), "not a hash tree node"
    ),
    "tree-as-wide-as-allowed": Hostile(
        parse_certificate, lambda: certificate_with(wide_tree(20_000)), "BLS|signature"
    ),
    "delegation-in-a-delegation": Hostile(
        parse_certificate,
        lambda: encode_tagged(
            {
                "tree": [0],
                "signature": bytes(48),
                "delegation": {
                    "subnet_id": b"\x01",
                    "certificate": cbor2.dumps({"tree": [0], "delegation": {}}),
                },
            }
        ),
        "itself delegated",
    ),
    "subnet-of-30-bytes": Hostile(
        parse_certificate,
        lambda: encode_tagged({"tree": [0], "delegation": {"subnet_id": bytes(30)}}),
        "principal of 30",
    ),
    "ranges-bomb": Hostile(
        parse_canister_ranges, lambda: b"\x9b" + b"\x7f" * 8, "longer than the message"
    ),
    "millions-of-ranges": Hostile(
        parse_canister_ranges, lambda: b"\x9a\x00\x3d\x09\x00" + b"\x80" * 4_000_000, "items"
    ),
    # Texts and keys.
    "principal-text-of-ten-megabytes": Hostile(
        lambda text: Principal.from_text(text.decode()), lambda: b"a" * _MANY, "characters"
    ),
    "principal-text-of-dashes": Hostile(
        lambda text: Principal.from_text(text.decode()), lambda: b"-" * 63, "not a principal"
    ),
    "key-of-ten-megabytes": Hostile(
        lambda key: verify_signature(key, bytes(64), b""), lambda: bytes(_MANY), "unparsable"
    ),
    "signature-of-ten-megabytes": Hostile(
        lambda signature: verify_signature(
            bytes.fromhex("302a300506032b6570032100") + bytes(32), signature, b""
        ),
        lambda: bytes(_MANY),
        "64 bytes expected",
    ),
    "pem-of-ten-megabytes": Hostile(
        lambda pem: identity_from_pem(pem.decode()), lambda: b"A" * _MANY, "characters"
    ),
    "pem-of-many-parameter-blocks": Hostile(
        lambda pem: identity_from_pem(pem.decode()),
        lambda: b"-----BEGIN EC PARAMETERS-----\n" * 500,
        "not a PEM",
    ),
    # Candid; the official suite of space bombs is run elsewhere.
    "candid-vec-null": Hostile(
        parse_candid,
        lambda: b"DIDL\x02\x6c\x01\x61\x01\x6d\x7f\x01\x00" + b"\xff\xff\xff\xff\x0f",
        "elements without bytes",
    ),
    "candid-table-of-a-million": Hostile(
        parse_candid, lambda: b"DIDL\xc0\x84\x3d" + b"\x6e\x7f" * 1_000_000 + b"\x00", "table"
    ),
    "candid-endless-number": Hostile(
        parse_candid, lambda: b"DIDL\x00\x01\x7d" + b"\xff" * (256 * 1024) + b"\x00", "too long"
    ),
    "candid-text-bomb": Hostile(
        parse_candid,
        lambda: b"DIDL\x00\x01\x71" + b"\xff\xff\xff\xff\x0f",
        "4294967295 bytes announced",
    ),
}


def run_confined(hostile: Hostile) -> Outcome:
    """Parse a message with no more address space than ``MEMORY_MAX`` on top of today's."""
    message = hostile.build()
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    error: BaseException | None = None
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_MAX, limits[1]))
    started_s = time.process_time()
    try:
        hostile.parse(message)
    except Exception as caught:  # noqa: BLE001 - whatever it is, the test is to see it
        error = caught
    finally:
        duration_s = time.process_time() - started_s
        resource.setrlimit(resource.RLIMIT_AS, limits)
    return Outcome(
        type(error).__name__, isinstance(error, ProtocolError), str(error)[:300], duration_s
    )


def main() -> None:
    """Print what became of every message, as JSON by name."""
    outcomes = {name: run_confined(hostile) for name, hostile in HOSTILE.items()}
    rows = {
        name: [one.error, one.is_ours, one.reason, one.duration_s] for name, one in outcomes.items()
    }
    print(json.dumps(rows))  # noqa: T201 - the parent process reads it


if __name__ == "__main__":
    main()
