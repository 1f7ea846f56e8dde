"""Sizes, times and cycles as people write them: ``2 GiB``, ``30 days``, ``5 T``, ``20 %``."""

import re
from collections.abc import Mapping
from decimal import Decimal

__all__ = [
    "QuantityError",
    "parse_cycles",
    "parse_duration",
    "parse_percent",
    "parse_size",
    "show_cycles",
    "show_duration",
    "show_size",
]

_WRITTEN = re.compile(r"\s*([0-9][0-9_]{0,40}(?:\.[0-9]{1,20})?)\s*([A-Za-z%]*)\s*", re.ASCII)
_TEXT_SHOWN_MAX = 60

_SIZES = {"TiB": 1024**4, "GiB": 1024**3, "MiB": 1024**2, "KiB": 1024, "B": 1}
_DECIMAL_SIZES = {"KB": "KiB", "MB": "MiB", "GB": "GiB", "TB": "TiB"}
"""What may mean either 1000 or 1024, and how the second is written."""

_DAY_S = 24 * 60 * 60
_DURATIONS = {"days": _DAY_S, "hours": 3600, "minutes": 60, "seconds": 1}
_DURATION_NAMES = {
    "weeks": 7 * _DAY_S,
    "week": 7 * _DAY_S,
    **_DURATIONS,
    "day": _DAY_S,
    "d": _DAY_S,
    "hour": 3600,
    "h": 3600,
    "minute": 60,
    "min": 60,
    "second": 1,
    "s": 1,
}
_CYCLES = {"T": 10**12, "B": 10**9, "M": 10**6}
"""The letters of dfx and icp-cli."""

_SHOWN_DIGITS = 2


class QuantityError(ValueError):
    """A text or number that is no such quantity; the message says how to write one."""


def parse_percent(value: int | str) -> int:
    """Read whole per cent: ``20``, ``"20 %"``."""
    return _parse(value, {"%": 1}, "a percentage, such as 20")


def parse_size(value: int | str) -> int:
    """Read bytes: ``1048576``, ``"2 GiB"``."""
    unit = _unit_of(value)
    if unit in _DECIMAL_SIZES:
        message = f"{_shown(value)} may mean two things: write {_DECIMAL_SIZES[unit]}, or bytes"
        raise QuantityError(message)
    return _parse(value, _SIZES, 'a size, such as "2 GiB" or a number of bytes')


def parse_duration(value: int | str) -> int:
    """Read seconds: ``86400``, ``"30 days"``."""
    return _parse(value, _DURATION_NAMES, 'a time, such as "30 days" or a number of seconds')


def parse_cycles(value: int | str) -> int:
    """Read cycles: ``5000000000000``, ``"5 T"``."""
    return _parse(value, _CYCLES, 'a number of cycles, such as "5 T"')


def show_size(size: int) -> str:
    """Write bytes exactly, in the largest unit that does."""
    return _show(size, _SIZES)


def show_duration(duration_s: int) -> str:
    """Write seconds exactly, in the largest unit that does."""
    return _show(duration_s, _DURATIONS)


def show_cycles(cycles: int) -> str:
    """Write cycles in trillions, in which they are priced, to a billion."""
    return f"{Decimal(cycles) / 10**12:,.3f} T"


def _parse(value: int | str, units: Mapping[str, int], wanted: str) -> int:
    if isinstance(value, int):
        if value < 0:
            message = f"{_shown(value)} is below zero, and must be {wanted}"
            raise QuantityError(message)
        return value
    found = _WRITTEN.fullmatch(value)
    factors = {"": 1, **{unit.lower(): factor for unit, factor in units.items()}}
    if found is None or found[2].lower() not in factors:
        message = f"{_shown(value)} is not {wanted}"
        raise QuantityError(message)
    amount = Decimal(found[1]) * factors[found[2].lower()]
    if amount != int(amount):
        message = f"{_shown(value)} is no whole number, and must be {wanted}"
        raise QuantityError(message)
    return int(amount)


def _unit_of(value: int | str) -> str:
    found = None if isinstance(value, int) else _WRITTEN.fullmatch(value)
    return "" if found is None else found[2].upper()


def _show(value: int, units: Mapping[str, int]) -> str:
    for unit, factor in units.items():
        amount = Decimal(value) / factor
        if amount >= 1 and amount == round(amount, _SHOWN_DIGITS):
            name = unit.removesuffix("s") if amount == 1 else unit
            return f"{amount.normalize():,f} {name}"
    return f"{value:,} {[*units][-1]}"


def _shown(value: int | str) -> str:
    text = repr(value)
    return text if len(text) <= _TEXT_SHOWN_MAX else f"{text[:_TEXT_SHOWN_MAX]}..."
