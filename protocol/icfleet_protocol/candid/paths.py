"""Where in a value something is wrong: ``$[0].ops[3].body``."""

from collections.abc import Iterable

from icfleet_protocol.candid.names import format_name

__all__ = ["Step", "field_step", "format_path"]

Step = str | int
"""A position in a list or an argument sequence, or text such as ``.body`` (from ``field_step``)."""


def field_step(label: str | int) -> str:
    """Write the step into a record's field or a variant's case."""
    return f".{format_name(label)}"


def format_path(steps: Iterable[Step]) -> str:
    """Write the way from the argument sequence to a value."""
    return "$" + "".join(step if isinstance(step, str) else f"[{step}]" for step in steps)
