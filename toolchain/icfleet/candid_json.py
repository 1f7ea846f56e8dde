"""Candid values as JSON, for scripts.

Blobs become lower-case hex and principals their text; variants are an object with one key, options
the value or ``null``, and within another option a list of one, so that ``null`` and ``[null]``
differ. Integers keep all their digits: read them with a parser that does, too.
"""

import math
from collections.abc import Mapping, Sequence
from typing import cast

from icfleet_protocol.candid import Some
from icfleet_protocol.principal import Principal

__all__ = ["Json", "candid_to_json"]

Json = bool | int | float | str | None | list["Json"] | dict[str, "Json"]


def candid_to_json(value: object) -> Json:
    """Turn a decoded value into what ``json.dumps`` takes."""
    match value:
        case Some(content):
            return [candid_to_json(content)]
        case Mapping():
            fields = cast("Mapping[str | int, object]", value)
            return {str(name): candid_to_json(content) for name, content in fields.items()}
        case list() | tuple():
            return [candid_to_json(item) for item in cast("Sequence[object]", value)]
        case _:
            return _scalar_to_json(value)


def _scalar_to_json(value: object) -> Json:
    match value:
        case float() if not math.isfinite(value):
            # JSON has no word for them.
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return value.hex()
        case _:
            assert isinstance(value, Principal), f"no Candid value is a {type(value).__name__}"
            return str(value)
