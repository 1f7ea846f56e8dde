"""What a .did file says: named types, the service's init arguments and its methods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from icfleet_protocol.candid.codec import Codec
from icfleet_protocol.candid.limits import DEFAULT_LIMITS, DecodeLimits
from icfleet_protocol.candid.types import CandidType, FuncType, TypeEnvironment
from icfleet_protocol.errors import CandidError

__all__ = ["Method", "ServiceInterface"]

Method = FuncType
"""A method's signature: ``args``, ``results`` and ``kind``."""


@dataclass(frozen=True, kw_only=True)
class ServiceInterface:
    """A canister's interface; it writes and reads the messages of its methods.

    Attributes:
        environment: What names in the types stand for.
        init_args: Types of the arguments at installation.
        methods: By name, in the author's order.
    """

    environment: TypeEnvironment = field(default_factory=dict[str, CandidType])
    init_args: tuple[CandidType, ...] = ()
    methods: Mapping[str, Method] = field(default_factory=dict[str, Method])
    _codecs: dict[tuple[str, bool], Codec] = field(
        init=False, repr=False, compare=False, default_factory=dict[tuple[str, bool], Codec]
    )

    def encode_args(self, method: str, args: Sequence[object]) -> bytes:
        """Write a call's argument.

        Raises:
            CandidError: If there is no such method, or an argument is not of its type.
        """
        return self._codec(method, is_result=False).encode(args)

    def decode_args(
        self, method: str, data: bytes, *, limits: DecodeLimits = DEFAULT_LIMITS
    ) -> tuple[object, ...]:
        """Read a call's argument, as the callee does.

        Raises:
            CandidError: If there is no such method, or the message does not fit its types.
        """
        return self._codec(method, is_result=False).decode(data, limits)

    def encode_results(self, method: str, results: Sequence[object]) -> bytes:
        """Write a call's reply, as the callee does.

        Raises:
            CandidError: If there is no such method, or a result is not of its type.
        """
        return self._codec(method, is_result=True).encode(results)

    def decode_results(
        self, method: str, data: bytes, *, limits: DecodeLimits = DEFAULT_LIMITS
    ) -> tuple[object, ...]:
        """Read a call's reply.

        Raises:
            CandidError: If there is no such method, or the message does not fit its types.
        """
        return self._codec(method, is_result=True).decode(data, limits)

    def _codec(self, name: str, *, is_result: bool) -> Codec:
        codec = self._codecs.get((name, is_result))
        if codec is None:
            method = self.methods.get(name)
            if method is None:
                reason = f"no method {name!r}, there are: {', '.join(self.methods) or 'none'}"
                raise CandidError(reason)
            types = method.results if is_result else method.args
            codec = self._codecs[name, is_result] = Codec(types, self.environment)
        return codec
