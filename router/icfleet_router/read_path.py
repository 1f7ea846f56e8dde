"""Reads: send where the plan says, decode, hold the answer to the session's position."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from icfleet_agent import AgentError, ClosedError, Deadline, RejectedError, RetryBudget
from icfleet_protocol.errors import CandidError
from icfleet_router.errors import (
    ArgumentsError,
    BehindSessionError,
    CanisterRejectedError,
    FleetClosedError,
    NoHealthyCanisterError,
    ReadError,
)
from icfleet_router.parts import FleetParts
from icfleet_router.pool import Member
from icfleet_router.position import Position
from icfleet_router.read_plan import Accept, Ask, Behind, GiveUp, ReadPlan
from icfleet_router.replies import find_as_of
from icfleet_router.retry_policy import judge_read

__all__ = ["Answer", "ReadPath"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A read's results, and where in the log they were true.

    Attributes:
        results: Decoded.
        as_of: ``None`` if the canister does not say.
    """

    results: tuple[object, ...]
    as_of: Position | None


class ReadPath:
    """Performs reads for all sessions of a fleet."""

    def __init__(self, parts: FleetParts) -> None:
        self._pool = parts.pool
        self._wire = parts.wire
        self._interface = parts.interface
        self._config = parts.config
        self._clock = parts.clock
        self._budget = RetryBudget(parts.config.read_retries, now_s=parts.clock.now_s())

    async def read(self, method: str, args: Sequence[object], floor: Position) -> Answer:
        """Call a query method somewhere.

        Args:
            method: A query or composite query of the .did.
            args: Its arguments, as Python values.
            floor: What the answer must not be older than.

        Raises:
            ArgumentsError: If the call does not fit the .did.
            ReadError: If there is no usable answer.
            FleetClosedError: If the fleet is closed meanwhile.
        """
        arg = self._encode(method, args)
        deadline = Deadline.after(self._config.query_timeout_s, now_s=self._clock.now_s())
        plan = ReadPlan(
            self._pool,
            floor=floor,
            deadline=deadline,
            attempts_max=self._config.read_attempts_max,
            budget=self._budget,
        )
        ask = plan.start(self._clock.now_s())
        while True:
            attempt = await self._attempt(ask, method, arg, floor)
            now_s = self._clock.now_s()
            step: Accept | Ask | Behind | GiveUp
            if isinstance(attempt, Answer):
                step = plan.answered(attempt.as_of, now_s)
            else:
                step = plan.failed(judge_read(attempt), now_s)
            match step:
                case Ask():
                    ask = step
                case Accept():
                    assert isinstance(attempt, Answer)
                    return attempt
                case Behind(as_of):
                    raise BehindSessionError(
                        method=method,
                        canister=ask.member.name,
                        attempts_count=plan.attempts_count,
                        session=floor,
                        as_of=as_of,
                    )
                case GiveUp(is_final):
                    assert isinstance(attempt, (AgentError, CandidError))
                    _raise_failure(attempt, method, ask.member, plan, is_final=is_final)

    def _encode(self, method: str, args: Sequence[object]) -> bytes:
        signature = self._interface.methods.get(method)
        if signature is not None and signature.kind not in {"query", "composite_query"}:
            reason = f"is no query but {signature.kind}; writes go through submit"
            raise ArgumentsError(method, reason)
        try:
            return self._interface.encode_args(method, args)
        except CandidError as error:
            raise ArgumentsError(method, str(error)) from error

    async def _attempt(
        self, ask: Ask, method: str, arg: bytes, floor: Position
    ) -> Answer | AgentError | CandidError:
        if ask.delay_s > 0:
            await self._clock.sleep(ask.delay_s)
        member = ask.member
        try:
            reply = await self._wire.query(
                member, method, arg, floor=floor, timeout_s=ask.timeout_s
            )
        except ClosedError as error:
            raise FleetClosedError from error
        except AgentError as error:
            return error
        now_s = self._clock.now_s()
        try:
            results = self._interface.decode_results(method, reply)
        except CandidError as error:
            member.failed(now_s)
            return error
        as_of = find_as_of(results)
        if as_of is not None:
            self._pool.learned(member, as_of, now_s)
        return Answer(results, as_of)


def _raise_failure(
    error: AgentError | CandidError, method: str, member: Member, plan: ReadPlan, *, is_final: bool
) -> NoReturn:
    kind: type[ReadError]
    if not is_final:
        kind = NoHealthyCanisterError
    elif isinstance(error, RejectedError):
        kind = CanisterRejectedError
    else:
        kind = ReadError
    raise kind(
        str(error), method=method, canister=member.name, attempts_count=plan.attempts_count
    ) from error
