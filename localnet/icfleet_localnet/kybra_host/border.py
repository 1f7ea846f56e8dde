"""One sequence of Candid types at the border between messages and a canister's values."""

from collections.abc import Sequence
from typing import Any

from icfleet_localnet.kybra_host.conversion import PythonSide
from icfleet_protocol.candid import CandidType, TypeEnvironment
from icfleet_protocol.candid.codec import Codec

__all__ = ["Border"]


class Border:
    """Reads and writes messages of fixed types, as canister code has the values."""

    def __init__(
        self, types: Sequence[CandidType], environment: TypeEnvironment, python: PythonSide
    ) -> None:
        self.types = tuple(types)
        self._codec = Codec(self.types, environment)
        self._takes = [python.take(one) for one in self.types]
        self._gives = [python.give(one) for one in self.types]

    def read(self, message: bytes) -> list[Any]:
        """Decode a message for canister code.

        Raises:
            CandidError: If the message does not decode as these types.
            TypeError, NameError: If Python has no value for a part, as for ``empty``.
        """
        return self.give(self._codec.decode(message))

    def write(self, values: Sequence[object]) -> bytes:
        """Encode what canister code gave.

        Raises:
            TypeError, OverflowError, KeyError, IndexError, AttributeError: If a value does not
                fit, as the compiled canister would raise inside Python.
            CandidError: If a value holds what Candid cannot, such as a lone surrogate.
        """
        return self.encode(self.take(values))

    def take(self, values: Sequence[object]) -> list[Any]:
        """Convert what canister code gave to what ``encode`` takes."""
        return [take(value) for take, value in zip(self._takes, values, strict=True)]

    def give(self, values: Sequence[object]) -> list[Any]:
        """Convert what ``decode`` gave to what canister code gets."""
        return [
            value if give is None else give(value)
            for give, value in zip(self._gives, values, strict=True)
        ]

    def encode(self, taken: Sequence[object]) -> bytes:
        """Encode values that ``take`` has checked."""
        return self._codec.encode(taken)

    def decode(self, message: bytes) -> tuple[object, ...]:
        """Decode a message for the host's own use."""
        return self._codec.decode(message)
