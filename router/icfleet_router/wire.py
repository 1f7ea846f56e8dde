"""Calls on the wire: each is counted, timed, judged for the canister's health, and reported."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from icfleet_agent import AgentError, Clock
from icfleet_router.events import CallEvent, CallKind, Observer
from icfleet_router.pool import Member
from icfleet_router.port import AgentPort
from icfleet_router.position import START, Position
from icfleet_router.retry_policy import is_canisters_fault
from icfleet_router.roles import Role

__all__ = ["Wire"]


class Wire:
    """The way to the canisters. The agent's own retries are off: the router decides on them.

    Attributes:
        observer: Told of every call; runs soon after it on the event loop, so that a mistake in
            it harms no call.
    """

    def __init__(self, agent: AgentPort, clock: Clock) -> None:
        self._agent = agent
        self._clock = clock
        self.observer: Observer | None = None

    async def query(
        self,
        member: Member,
        method: str,
        arg: bytes,
        *,
        floor: Position = START,
        timeout_s: float,
    ) -> bytes:
        """Ask a canister.

        Args:
            member: Whom.
            method: A query method.
            arg: Candid.
            floor: The position that the answer is hoped to have.
            timeout_s: Seconds.

        Raises:
            AgentError: As the agent does.
        """
        with self._attempt(member, method, "query", floor=floor):
            return await self._agent.query(
                member.canister, method, arg, timeout_s=timeout_s, retries=False
            )

    async def update(
        self, member: Member, method: str, arg: bytes, *, operations_count: int, timeout_s: float
    ) -> bytes:
        """Call an update method.

        Args:
            member: Of whom.
            method: The method.
            arg: Candid.
            operations_count: For the observer.
            timeout_s: Seconds.

        Raises:
            AgentError: As the agent does.
        """
        with self._attempt(member, method, "update", operations_count=operations_count):
            answer = await self._agent.update(
                member.canister, method, arg, timeout_s=timeout_s, retries=False
            )
        return answer.reply

    @contextmanager
    def _attempt(
        self,
        member: Member,
        method: str,
        kind: CallKind,
        *,
        floor: Position = START,
        operations_count: int = 0,
    ) -> Generator[None]:
        call = _Call(member, member.role, method, kind, operations_count, self._clock.now_s())
        member.sent(floor, call.started_s)
        try:
            yield
        except AgentError as error:
            if is_canisters_fault(error):
                member.failed(self._clock.now_s())
            self._report(call, error)
            raise
        else:
            member.health.succeeded(call.started_s)
            self._report(call, None)
        finally:
            # Also when the caller was cancelled: then nobody knows how the call ended.
            member.done()

    def _report(self, call: "_Call", error: AgentError | None) -> None:
        if self.observer is None:
            return
        event = CallEvent(
            canister=call.member.name,
            role=call.role,
            method=call.method,
            kind=call.kind,
            duration_s=self._clock.now_s() - call.started_s,
            operations_count=call.operations_count,
            error=error,
        )
        asyncio.get_running_loop().call_soon(self.observer, event)


@dataclass(frozen=True, slots=True)
class _Call:
    member: Member
    role: Role
    method: str
    kind: CallKind
    operations_count: int
    started_s: float
