"""Change one bit of an answer, where a client that verifies must notice.

The answer is decoded, one part of it is changed, and it is encoded again. A bit flipped anywhere in
the bytes might hit an encoding that means the same, or a field that nobody signs.

Source: IC interface specification, "Certificate" and "Query call", for what is signed.
"""

from collections.abc import Mapping
from random import Random
from typing import Any

from icfleet_localnet.fault_rules import TamperedPart
from icfleet_protocol.cbor import decode_map, encode_tagged
from icfleet_protocol.errors import DecodeError

__all__ = ["tamper"]

_BODY_SIZE_MAX = 16 * 1024 * 1024
"""Bytes; the answer is our own."""

_TIME_BITS = 62
"""Flipping one of these leaves a number that fits 64 bits."""

_Place = tuple[list[Any], int]
"""A byte string: the array that holds it, and its index there."""


def tamper(body: bytes, part: TamperedPart, random: Random) -> bytes:
    """Change an answer to a query, a synchronous call or a read_state.

    ``part`` is what is changed:

    - ``reply``: what the canister replied, or the message with which it rejected;
    - ``certificate``: any value, label or hash in the certificate's tree;
    - ``signature``: the certificate's, or the node's on a query;
    - ``time``: the certificate's, or the node's on a query;
    - ``node``: which node says to have answered a query;
    - ``delegation``: the root subnet's certificate about the subnet, or the subnet's id.

    Returns:
        The changed answer, or ``body`` itself if it has no such part: plain text, an empty 202, an
        uncertified rejection of a call, a certificate without a reply or delegation.
    """
    try:
        fields = dict(decode_map(body, size_max=_BODY_SIZE_MAX))
    except DecodeError:
        return body
    if isinstance(fields.get("certificate"), bytes):
        changed = _tamper_certificate(fields["certificate"], part, random)
        is_changed = changed != fields["certificate"]
        return encode_tagged({**fields, "certificate": changed}) if is_changed else body
    if isinstance(fields.get("signatures"), list) and fields["signatures"]:
        return encode_tagged(fields) if _tamper_query(fields, part, random) else body
    return body


def _tamper_query(fields: dict[str, Any], part: TamperedPart, random: Random) -> bool:
    signature = dict(fields["signatures"][0])
    match part:
        case "reply" if "reply" in fields:
            fields["reply"] = {**fields["reply"], "arg": _flip(fields["reply"]["arg"], random)}
        case "reply":
            fields["reject_message"] = _flip_text(fields["reject_message"], random)
        case "signature":
            signature["signature"] = _flip(signature["signature"], random)
        case "time":
            signature["timestamp"] ^= 1 << random.randrange(_TIME_BITS)
        case "node":
            signature["identity"] = _flip(signature["identity"], random)
        case "certificate" | "delegation":
            return False
    fields["signatures"] = [signature, *fields["signatures"][1:]]
    return True


def _tamper_certificate(raw: bytes, part: TamperedPart, random: Random) -> bytes:
    fields = dict(decode_map(raw, size_max=_BODY_SIZE_MAX))
    if part == "signature":
        fields["signature"] = _flip(fields["signature"], random)
    elif part == "delegation":
        if fields.get("delegation") is None:
            return raw
        fields["delegation"] = _tamper_delegation(fields["delegation"], random)
    else:
        places = _places(fields["tree"], part)
        if not places:
            return raw
        holder, index = places[random.randrange(len(places))]
        holder[index] = _flip(holder[index], random)
    return encode_tagged(fields)


def _tamper_delegation(delegation: Mapping[str, Any], random: Random) -> dict[str, Any]:
    fields = dict(delegation)
    part = random.choice(("certificate", "signature", "subnet_id"))
    if part == "subnet_id":
        fields["subnet_id"] = _flip(fields["subnet_id"], random)
    else:
        inner: TamperedPart = "certificate" if part == "certificate" else "signature"
        fields["certificate"] = _tamper_certificate(fields["certificate"], inner, random)
    return fields


def _places(tree: list[Any], part: TamperedPart) -> list[_Place]:
    """The byte strings of a tree that make up a part of it; all of them are hashed."""
    found: list[_Place] = []
    stack: list[tuple[list[Any], tuple[bytes, ...]]] = [(tree, ())]
    while stack:
        node, path = stack.pop()
        match node[0]:
            case 1:
                stack += ((node[2], path), (node[1], path))
            case 2:
                if part == "certificate":
                    found.append((node, 1))
                stack.append((node[2], (*path, node[1])))
            case 3 | 4:
                if part == "certificate" or _is_part(path, part):
                    found.append((node, 1))
            case _:
                pass
    return found


def _is_part(path: tuple[bytes, ...], part: TamperedPart) -> bool:
    match part, path:
        case "time", (b"time",):
            return True
        case "reply", (b"request_status", _, b"reply" | b"reject_message"):
            return True
        case _:
            return False


def _flip(raw: bytes, random: Random) -> bytes:
    if not raw:
        return b"\x00"
    changed = bytearray(raw)
    changed[random.randrange(len(raw))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _flip_text(text: str, random: Random) -> str:
    if not text:
        return "?"
    index = random.randrange(len(text))
    # The lowest bit of a code point: an encodable one stays encodable.
    return text[:index] + chr(ord(text[index]) ^ 1) + text[index + 1 :]
