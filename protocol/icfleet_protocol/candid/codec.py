"""Messages of one sequence of types: what is worked out once, and the choice between two ways.

Writing and reading have a plain way that decides everything and a compiled way for what is usual.
The compiled way gives up on whatever it does not know to be right; the plain way then answers, or
says what is wrong and where. Both give the same: the tests run everything through both.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from icfleet_protocol.candid.coercion import Coercions
from icfleet_protocol.candid.compiled import GIVES_UP
from icfleet_protocol.candid.compiled_reader import compile_reader
from icfleet_protocol.candid.compiled_writer import compile_writer
from icfleet_protocol.candid.decode import decode_values
from icfleet_protocol.candid.encode import encode_values
from icfleet_protocol.candid.graph import build_graph
from icfleet_protocol.candid.header import Header, read_header, write_header
from icfleet_protocol.candid.limits import DEFAULT_LIMITS, DecodeLimits
from icfleet_protocol.candid.types import CandidType, TypeEnvironment

__all__ = ["NO_NAMES", "Codec", "decode", "encode"]

NO_NAMES: TypeEnvironment = MappingProxyType({})
"""The environment of types that name no others."""

_PLANS_KEPT = 8
"""Headers remembered for one sequence of expected types. A canister sends one, and another after
each upgrade of its interface."""

_PLANNED_HEADER_SIZE_MAX = 8_192
"""Bytes. A larger header is read anew for each message, so that nobody can fill our memory."""


class _Plan(NamedTuple):
    """What is known about messages that start with certain bytes.

    Attributes:
        prefix: The header as sent. No header is the beginning of another one.
        header: The header as read.
        coercions: Answers worked out so far.
        read: The compiled reader, where there is one.
    """

    prefix: bytes
    header: Header
    coercions: Coercions
    read: Callable[[bytes], tuple[Any, ...]] | None


class Codec:
    """Writes and reads messages of fixed types.

    Args:
        types: The types of the arguments.
        environment: What names in the types stand for.

    Raises:
        CandidError: If a name is undefined.
    """

    def __init__(self, types: Sequence[CandidType], environment: TypeEnvironment) -> None:
        self._nodes = build_graph(types, environment)
        self._plans: tuple[_Plan, ...] = ()

    @cached_property
    def _header(self) -> bytes:
        return write_header(self._nodes)

    @cached_property
    def _write(self) -> Callable[[Sequence[Any]], bytes] | None:
        return compile_writer(self._header, self._nodes)

    def encode(self, values: Sequence[object]) -> bytes:
        """Write a message.

        Raises:
            CandidError: If a value is not of its type.
        """
        if self._write is not None:
            try:
                return self._write(values)
            except GIVES_UP:
                pass  # Not an answer: the plain way below has it, or knows what is wrong.
        return self.encode_plainly(values)

    def encode_plainly(self, values: Sequence[object]) -> bytes:
        """Write a message without compiled writers."""
        return self._header + encode_values(self._nodes, values)

    def decode(self, data: bytes, limits: DecodeLimits = DEFAULT_LIMITS) -> tuple[object, ...]:
        """Read a message.

        Raises:
            CandidError: If the message is malformed, too costly, or not of the expected types.
        """
        data = bytes(data)
        # What compiled readers take is within the default limits; others are counted.
        if limits is not DEFAULT_LIMITS:
            return self.decode_plainly(data, limits)
        plan = self._plan(data)
        if plan.read is not None:
            try:
                return plan.read(data)
            except GIVES_UP:
                pass  # Not an answer: the plain way below has it, or knows what is wrong.
        return decode_values(data, plan.header, self._nodes, limits, plan.coercions)

    def decode_plainly(
        self, data: bytes, limits: DecodeLimits = DEFAULT_LIMITS
    ) -> tuple[object, ...]:
        """Read a message without compiled readers and without anything remembered."""
        header = read_header(data, limits)
        return decode_values(data, header, self._nodes, limits, Coercions())

    def _plan(self, data: bytes) -> _Plan:
        for index, plan in enumerate(self._plans):
            if data.startswith(plan.prefix):
                if index:
                    self._plans = (plan, *(other for other in self._plans if other is not plan))
                return plan
        header = read_header(data, DEFAULT_LIMITS)
        coercions = Coercions()
        if header.size > _PLANNED_HEADER_SIZE_MAX:
            return _Plan(b"", header, coercions, None)
        read = compile_reader(header, self._nodes, coercions)
        plan = _Plan(data[: header.size], header, coercions, read)
        self._plans = (plan, *self._plans[: _PLANS_KEPT - 1])
        return plan


def encode(
    types: Sequence[CandidType],
    values: Sequence[object],
    *,
    environment: TypeEnvironment = NO_NAMES,
) -> bytes:
    """Write a message.

    Args:
        types: The types of the arguments.
        values: One value for each type. A record is a dict, a variant a dict with one key, a
            ``vec nat8`` bytes, an absent ``opt`` ``None``.
        environment: What names in the types stand for.

    Raises:
        CandidError: If a value is not of its type; ``path`` says which.
    """
    return _codec(tuple(types), _freeze(environment)).encode(values)


def decode(
    data: bytes,
    types: Sequence[CandidType],
    *,
    environment: TypeEnvironment = NO_NAMES,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> tuple[object, ...]:
    """Read a message.

    Args:
        data: The message.
        types: The types expected; the message's own may differ as far as subtyping allows.
            Further arguments are read, checked and dropped.
        environment: What names in the types stand for.
        limits: What the message may cost.

    Raises:
        CandidError: If the message is malformed, too costly, or not of the expected types.
    """
    return _codec(tuple(types), _freeze(environment)).decode(data, limits)


def _freeze(environment: TypeEnvironment) -> frozenset[tuple[str, CandidType]]:
    return frozenset(environment.items()) if environment else _NOTHING


_NOTHING: frozenset[tuple[str, CandidType]] = frozenset()

_CODECS_KEPT = 512
"""Sequences of types: the arguments and results of a few dozen interfaces."""


@lru_cache(maxsize=_CODECS_KEPT)
def _codec(types: tuple[CandidType, ...], environment: frozenset[tuple[str, CandidType]]) -> Codec:
    return Codec(types, dict(environment))
