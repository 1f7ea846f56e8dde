"""Python values that Candid needs and Python does not have."""

from dataclasses import dataclass

__all__ = ["Some"]


@dataclass(frozen=True, slots=True)
class Some:
    """A present value of an ``opt`` whose content may itself be ``None``.

    ``opt opt nat`` has the values ``None``, ``Some(None)`` and ``Some(5)``. Plain options
    (``opt nat``: ``None`` or ``5``) never need it when reading, and take it when writing.
    """

    value: object
