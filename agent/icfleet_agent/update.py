"""One update from its first byte to its certain fate: sending, waiting, asking.

What each failure means is decided in ``course``.
"""

from dataclasses import dataclass, field
from random import Random
from typing import assert_never

from icfleet_agent.call import (
    Accepted,
    Fate,
    Forgotten,
    Missing,
    Pending,
    Rejected,
    Replied,
    interpret_call,
    read_fate,
    status_path,
)
from icfleet_agent.clock import Clock
from icfleet_agent.config import AgentConfig
from icfleet_agent.course import Course
from icfleet_agent.deadline import Deadline
from icfleet_agent.errors import AgentError, NotExecutedError, UnknownOutcomeError
from icfleet_agent.polling import Poller
from icfleet_agent.read_state import build_read_state, interpret_read_state
from icfleet_agent.retries import Retrier
from icfleet_agent.trust import Trust
from icfleet_agent.wire import Wire
from icfleet_protocol.envelope import SignedRequest
from icfleet_protocol.identity import Identity
from icfleet_protocol.principal import Principal

__all__ = ["UpdateCall", "UpdateReply", "UpdateTools"]


@dataclass(frozen=True, slots=True)
class UpdateReply:
    """A canister's certified reply."""

    reply: bytes
    """Candid."""
    certificate_time_ns: int
    """The state that proves it is of this time, in ns since 1970."""
    request_id: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTools:
    """What an update needs of its agent."""

    wire: Wire
    trust: Trust
    identity: Identity
    retrier: Retrier
    config: AgentConfig
    clock: Clock
    random: Random


class UpdateCall:
    """Carries one signed update to its end."""

    def __init__(
        self,
        request: SignedRequest,
        effective: Principal,
        tools: UpdateTools,
        *,
        deadline: Deadline,
        can_resend: bool,
    ) -> None:
        self._request = request
        self._effective = effective
        self._tools = tools
        self._deadline = deadline
        self._started_s = tools.clock.now_s()
        self._course = Course(
            tools.config.retry,
            ingress_expiry_ns=request.content.ingress_expiry_ns,
            can_resend=can_resend,
        )

    async def run(self) -> UpdateReply:
        """Send the call and wait for its fate.

        Raises:
            RejectedError: If the call was rejected.
            NotExecutedError: If it expired unseen.
            UnknownOutcomeError: If its fate cannot be learned in time.
            AgentError: Anything else that happened before the network can have had the call.
        """
        try:
            step = await self._tools.retrier.run(
                self._send,
                deadline=self._deadline,
                rule=lambda error, attempts: self._course.should_resend(
                    error, attempts, now_ns=self._tools.clock.now_ns()
                ),
            )
        except AgentError as error:
            if not self._course.may_have_arrived:
                raise
            if not self._course.should_ask(error, now_ns=self._tools.clock.now_ns()):
                raise self._unknown(str(error)) from error
            step = Accepted()
        return await self._await_fate() if isinstance(step, Accepted) else self._conclude(step)

    async def _send(self) -> Replied | Rejected | Accepted:
        tools = self._tools
        try:
            reply = await tools.wire.post("call", self._effective, self._request, self._deadline)
            step = interpret_call(
                reply,
                self._request.request_id,
                trust=tools.trust,
                canister=self._effective,
                now_ns=tools.clock.now_ns(),
            )
        except AgentError as error:
            self._course.note_failure(error)
            raise
        if isinstance(step, Accepted):
            self._course.note_accepted()
        elif isinstance(step, Rejected) and self._is_doubtful(step):
            # This copy was refused by a node, but an earlier one may have been taken by another.
            return Accepted()
        return step

    def _is_doubtful(self, step: Rejected) -> bool:
        return not step.error.is_certified and self._course.may_have_arrived

    async def _await_fate(self) -> UpdateReply:
        """Ask until a certificate tells."""
        tools = self._tools
        poller = Poller(tools.config.polling, tools.config.retry, tools.random)
        last_error: AgentError | None = None
        while True:
            delay_s = poller.next_delay_s(has_failed=last_error is not None)
            if delay_s >= self._deadline.remaining_s(now_s=tools.clock.now_s()):
                reason = "no final word in time"
                raise self._unknown(reason) from last_error
            await tools.clock.sleep(delay_s)
            try:
                fate = await self._ask()
                last_error = None
            except AgentError as error:
                self._course.note_failure(error)
                if not self._course.should_ask_again(error):
                    raise self._unknown(str(error)) from error
                last_error = error
                continue
            if self._is_final(fate):
                return self._conclude(fate)

    async def _ask(self) -> Fate:
        """Read the call's fate from the certified state."""
        tools = self._tools
        expiry_ns = tools.clock.now_ns() + round(tools.config.ingress_expiry_s * 1e9)
        question = build_read_state(
            (status_path(self._request.request_id),),
            identity=tools.identity,
            ingress_expiry_ns=expiry_ns,
        )
        reply = await tools.wire.post("read_state", self._effective, question, self._deadline)
        certificate = interpret_read_state(
            reply, trust=tools.trust, canister=self._effective, now_ns=tools.clock.now_ns()
        )
        return read_fate(certificate, self._request.request_id)

    def _is_final(self, fate: Fate) -> bool:
        match fate:
            case Replied() | Rejected() | Forgotten():
                return True
            case Pending():
                return False
            case Missing():
                elapsed_s = self._tools.clock.now_s() - self._started_s
                return self._course.is_never_executed(fate, elapsed_s=elapsed_s)
            case _:
                assert_never(fate)

    def _conclude(self, fate: Fate) -> UpdateReply:
        match fate:
            case Replied(reply, time_ns):
                return UpdateReply(reply, time_ns, self._request.request_id)
            case Rejected(error):
                raise error
            case Missing():
                reason = "the call expired before the network took it; it never ran"
                raise NotExecutedError(reason)
            case Forgotten():
                reason = "it ran, but the network no longer keeps how it ended"
                raise self._unknown(reason)
            case Pending():
                raise AssertionError(fate)
            case _:
                assert_never(fate)

    def _unknown(self, reason: str) -> UnknownOutcomeError:
        return UnknownOutcomeError(
            reason,
            request_id=self._request.request_id,
            ingress_expiry_ns=self._request.content.ingress_expiry_ns,
        )
