"""Fault rules as values: what goes wrong, for which requests, how often; and their JSON.

A rule is an effect and a matcher. Checks happen when a rule is made, so a rule that exists can be
applied. JSON is strict: an unknown or misspelt field is an error that tells where it stands.
Commands are faults that happen once, at a moment, and to the network instead of to a request.

    {"effect": {"kind": "latency", "delay": {"kind": "lognormal", "median_s": 0.2, "sigma": 0.5}},
     "match": {"operation": "query", "method": "go"}, "probability": 0.1, "limit": 5}
"""

import re
from typing import Literal, TypeVar, get_args

import msgspec

from icfleet_localnet.distributions import DELAY_MAX_S, Distribution
from icfleet_localnet.errors import LocalnetError
from icfleet_protocol.errors import PrincipalError
from icfleet_protocol.principal import Principal

__all__ = [
    "ClockJump",
    "Command",
    "DrainCycles",
    "Duplicate",
    "Effect",
    "FaultRule",
    "FaultRuleError",
    "HaltSubnet",
    "HttpError",
    "Latency",
    "LoseRequest",
    "LoseResponse",
    "Match",
    "Operation",
    "RejectWith",
    "ResumeSubnet",
    "StaleNode",
    "TamperReply",
    "TamperedPart",
    "command_to_json",
    "parse_command",
    "parse_rule",
    "to_json",
]

_JSON_SIZE_MAX = 64 * 1024
"""Bytes; a rule has a few hundred."""
_TEXT_SIZE_MAX = 8 * 1024
"""Characters of a message, as long as a replica's own may be."""
_NAME_SIZE_MAX = 200
_DUPLICATES_MAX = 100
_ROUNDS_MAX = 4
"""How many states of a canister are held for stale reads."""
_COUNT_MAX = 2**53
_CYCLES_MAX = 2**63 - 1
"""The largest number in JSON here; 9.2 million T cycles."""
_JUMP_MAX_S = 10 * 365 * 24 * 3600.0
_HTTP_STATUS_MIN, _HTTP_STATUS_END = 400, 600
_REJECT_CODE_MAX = 5
_ERROR_CODE = re.compile(r"IC0[1-6][0-9]{2}")

Operation = Literal["query", "call", "read_state", "status"]
TamperedPart = Literal["reply", "certificate", "signature", "time", "node", "delegation"]

_OPERATIONS: tuple[Operation, ...] = get_args(Operation)


class FaultRuleError(LocalnetError, ValueError):
    """A fault rule or command that makes no sense; the message says what and where."""


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value that is checked when it is made."""


class Latency(_Value, frozen=True, tag_field="kind", tag="latency"):
    """The request arrives later, or its answer leaves later."""

    delay: Distribution
    stage: Literal["request", "response"] = "request"


class LoseRequest(_Value, frozen=True, tag_field="kind", tag="lose_request"):
    """The connection closes without an answer, and nothing was executed."""


class LoseResponse(_Value, frozen=True, tag_field="kind", tag="lose_response"):
    """The request is executed as usual, then the connection closes without an answer."""


class Duplicate(_Value, frozen=True, tag_field="kind", tag="duplicate"):
    """The same bytes arrive again later; those answers go nowhere."""

    count: int = 1
    delay: Distribution | None = None
    """Between one arrival and the next; ``None`` is at once."""

    def __post_init__(self) -> None:
        _check_range("count", self.count, 1, _DUPLICATES_MAX)


class StaleNode(_Value, frozen=True, tag_field="kind", tag="stale_node"):
    """A query is answered from an older state: either so many rounds old, or so many seconds."""

    rounds: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if (self.rounds is None) == (self.seconds is None):
            reason = "give either rounds or seconds"
            raise FaultRuleError(reason)
        if self.rounds is not None:
            _check_range("rounds", self.rounds, 1, _ROUNDS_MAX)
        if self.seconds is not None:
            _check_range("seconds", self.seconds, 0, DELAY_MAX_S)


class RejectWith(_Value, frozen=True, tag_field="kind", tag="reject_with"):
    """One node refuses the request without executing it; nothing about it is certified."""

    code: int = 2
    message: str = "the node refused the request (fault rule)"
    error_code: str = "IC0201"

    def __post_init__(self) -> None:
        _check_range("code", self.code, 1, _REJECT_CODE_MAX)
        _check_text("message", self.message, _TEXT_SIZE_MAX)
        if _ERROR_CODE.fullmatch(self.error_code) is None:
            reason = f"error_code must be like IC0503, got {self.error_code!r}"
            raise FaultRuleError(reason)
        if self.error_code[3] != str(self.code):
            reason = f"error_code {self.error_code} does not belong to reject code {self.code}"
            raise FaultRuleError(reason)


class HttpError(_Value, frozen=True, tag_field="kind", tag="http_error"):
    """An HTTP error in place of an answer; nothing was executed."""

    status: int = 503
    text: str = "fault rule"
    retry_after_s: int | None = None
    """The ``Retry-After`` header."""

    def __post_init__(self) -> None:
        _check_range("status", self.status, _HTTP_STATUS_MIN, _HTTP_STATUS_END - 1)
        _check_text("text", self.text, _TEXT_SIZE_MAX)
        if self.retry_after_s is not None:
            _check_range("retry_after_s", self.retry_after_s, 0, DELAY_MAX_S)


class TamperReply(_Value, frozen=True, tag_field="kind", tag="tamper_reply"):
    """One bit of the answer is flipped where a client that verifies must notice it."""

    part: TamperedPart = "reply"


Effect = (
    Latency
    | LoseRequest
    | LoseResponse
    | Duplicate
    | StaleNode
    | RejectWith
    | HttpError
    | TamperReply
)


class Match(_Value, frozen=True):
    """Which requests a rule is about: all that fit every field that is given."""

    operation: Operation | Literal["any"] = "any"
    canister: str | None = None
    """The effective canister, as text."""
    method: str | None = None
    subnet: str | None = None
    """The subnet that answers, as text."""
    node: str | None = None
    """The node that answers, as text."""

    def __post_init__(self) -> None:
        for name in ("canister", "subnet", "node"):
            _check_principal(name, getattr(self, name))
        if self.method is not None:
            _check_text("method", self.method, _TEXT_SIZE_MAX)


class FaultRule(_Value, frozen=True, kw_only=True):
    """An effect, for the requests that match, with a probability, within limits."""

    effect: Effect
    match: Match = msgspec.field(default_factory=Match)
    probability: float = 1.0
    limit: int | None = None
    """How often it may happen; ``None`` is without end."""
    from_ns: int | None = None
    """Network time, nanoseconds since 1970, from which it may happen."""
    until_ns: int | None = None
    """Network time from which it no longer happens."""
    name: str | None = None
    """For people; it also names the rule's random numbers."""

    def __post_init__(self) -> None:
        _check_range("probability", self.probability, 0, 1)
        if self.limit is not None:
            _check_range("limit", self.limit, 1, _COUNT_MAX)
        for name, time_ns in (("from_ns", self.from_ns), ("until_ns", self.until_ns)):
            if time_ns is not None:
                _check_range(name, time_ns, 0, _CYCLES_MAX)
        if self.from_ns is not None and self.until_ns is not None and self.from_ns >= self.until_ns:
            reason = "from_ns must be before until_ns"
            raise FaultRuleError(reason)
        if self.name is not None:
            _check_text("name", self.name, _NAME_SIZE_MAX)
        if self.match.operation != "any" and self.match.operation not in self.operations:
            kind = type(self.effect).__name__
            fitting = ", ".join(sorted(self.operations))
            reason = f"{kind} cannot happen to a {self.match.operation}, only to: {fitting}"
            raise FaultRuleError(reason)

    @property
    def operations(self) -> frozenset[Operation]:
        """What the effect can happen to; a rule for ``any`` leaves the others alone."""
        return _fitting_operations(self.effect)


class HaltSubnet(_Value, frozen=True, tag_field="kind", tag="halt_subnet"):
    """The subnet makes no more rounds, until it is resumed.

    Its nodes refuse new calls with status 503. What they had taken in before is executed when it is
    resumed, unless it has expired then. Queries and ``read_state`` are answered from the last
    state, whose time stands still.
    """

    subnet: str

    def __post_init__(self) -> None:
        _check_principal("subnet", self.subnet)


class ResumeSubnet(_Value, frozen=True, tag_field="kind", tag="resume_subnet"):
    """A halted subnet goes on where it stopped."""

    subnet: str

    def __post_init__(self) -> None:
        _check_principal("subnet", self.subnet)


class DrainCycles(_Value, frozen=True, tag_field="kind", tag="drain_cycles"):
    """A canister's balance falls to ``leave`` cycles; a smaller one stays as it is."""

    canister: str
    leave: int = 0

    def __post_init__(self) -> None:
        _check_principal("canister", self.canister)
        _check_range("leave", self.leave, 0, _CYCLES_MAX)


class ClockJump(_Value, frozen=True, tag_field="kind", tag="clock_jump"):
    """Network time jumps ahead; it cannot go back, as a subnet's never does."""

    seconds: float

    def __post_init__(self) -> None:
        _check_range("seconds", self.seconds, 0, _JUMP_MAX_S)


Command = HaltSubnet | ResumeSubnet | DrainCycles | ClockJump

_RULE_DECODER = msgspec.json.Decoder(FaultRule)
_COMMAND_DECODER: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_Decoded = TypeVar("_Decoded")


def parse_rule(text: bytes) -> FaultRule:
    """Read a rule from JSON.

    Raises:
        FaultRuleError: If it is not JSON, not a rule, or a rule that makes no sense.
    """
    return _parse(_RULE_DECODER, text)


def parse_command(text: bytes) -> Command:
    """Read a command from JSON.

    Raises:
        FaultRuleError: If it is not JSON, or not a command.
    """
    return _parse(_COMMAND_DECODER, text)


def to_json(rule: FaultRule) -> bytes:
    """Write a rule so that ``parse_rule`` reads the same one."""
    return msgspec.json.encode(rule)


def command_to_json(command: Command) -> bytes:
    """Write a command so that ``parse_command`` reads the same one."""
    return msgspec.json.encode(command)


def _parse(decoder: "msgspec.json.Decoder[_Decoded]", text: bytes) -> _Decoded:
    if len(text) > _JSON_SIZE_MAX:
        reason = f"a body of {len(text)} bytes, at most {_JSON_SIZE_MAX} allowed"
        raise FaultRuleError(reason)
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FaultRuleError(str(error)) from error


def _fitting_operations(effect: Effect) -> frozenset[Operation]:
    match effect:
        case StaleNode() | TamperReply(part="node"):
            return frozenset({"query"})
        case RejectWith():
            return frozenset({"query", "call"})
        case TamperReply(part="certificate" | "delegation"):
            return frozenset({"call", "read_state"})
        case TamperReply():
            return frozenset({"query", "call", "read_state"})
        case _:
            return frozenset(_OPERATIONS)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    # Written so that "not a number" fails too.
    if not low <= value <= high:
        reason = f"{name} must be between {low:,} and {high:,}, got {value}"
        raise FaultRuleError(reason)


def _check_text(name: str, value: str, size_max: int) -> None:
    if len(value) > size_max:
        reason = f"{name} has {len(value)} characters, at most {size_max} allowed"
        raise FaultRuleError(reason)


def _check_principal(name: str, value: str | None) -> None:
    if value is None:
        return
    try:
        Principal.from_text(value)
    except PrincipalError as error:
        reason = f"{name}: {error}"
        raise FaultRuleError(reason) from error
