"""The agent: queries and updates to canisters behind one server, every answer verified.

Only this shell and the modules it names wait or send; what they decide is decided without I/O.
"""

from collections.abc import Sequence
from random import Random, SystemRandom
from types import TracebackType
from typing import Self

from icfleet_agent.adaptors import IdentityLike, PrincipalLike, as_identity, as_principal
from icfleet_agent.aiohttp_transport import AiohttpTransport
from icfleet_agent.call import NONCE_SIZE, build_call
from icfleet_agent.clock import Clock, SystemClock
from icfleet_agent.config import AgentConfig
from icfleet_agent.deadline import Deadline
from icfleet_agent.endpoints import parse_base_url
from icfleet_agent.errors import AgentError, ClosedError, NotSentError, SettingsError
from icfleet_agent.network_view import NetworkView
from icfleet_agent.query import QueryAnswer, build_query, interpret_query
from icfleet_agent.read_state import Path
from icfleet_agent.retries import Retrier, RetryRule, retry_never, retry_transient
from icfleet_agent.retry_budget import RetryBudget
from icfleet_agent.status import NodeStatus
from icfleet_agent.transport import Transport
from icfleet_agent.trust import MAINNET_ROOT_KEY_DER, is_loopback
from icfleet_agent.update import UpdateCall, UpdateReply, UpdateTools
from icfleet_agent.wire import Wire
from icfleet_protocol.certificate import Certificate
from icfleet_protocol.envelope import CallContent, SignedRequest
from icfleet_protocol.identity import AnonymousIdentity, Identity
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

__all__ = ["EMPTY_ARGS", "Agent"]

EMPTY_ARGS = b"DIDL\x00\x00"
"""Candid for no arguments."""

_MINUTE_NS = 60_000_000_000

_ROUNDING_EXPIRY_MIN_S = 120.0
"""Queries' expiries are rounded down to the minute only if a minute still remains then."""


class Agent:
    """Calls canisters through one server; an async context manager.

    The root key is the one given, or mainnet's; a server on this machine, or one that
    ``config.fetch_root_key`` names trustworthy, is asked for its own.

    Args:
        url: The server, such as ``https://icp-api.io`` or ``http://127.0.0.1:4943``.
        identity: Who signs; also an identity of ic-py's.
        transport: How requests travel; one that is passed in is left for its owner to close.
        root_key: The network's root key, 133 bytes of DER.
        config: Limits and habits.
        clock: Time.
        random: Chance, for nonces and pauses; nonces want a cryptographic one outside of tests.

    Raises:
        SettingsError: If the URL or the root key cannot be used.
    """

    def __init__(  # noqa: PLR0913 - the one place where all parts of an agent meet
        self,
        url: str,
        *,
        identity: IdentityLike | None = None,
        transport: Transport | None = None,
        root_key: bytes | None = None,
        config: AgentConfig | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        parts = parse_base_url(url)
        self._config = config or AgentConfig()
        self._clock = clock or SystemClock()
        self._random = random or SystemRandom()
        self._identity = AnonymousIdentity() if identity is None else as_identity(identity)
        self._transport = transport or AiohttpTransport()
        self._owns_transport = transport is None
        self._is_closed = False
        self._wire = Wire(parts.geturl(), self._transport, clock=self._clock, config=self._config)
        self._retrier = Retrier(
            self._config.retry,
            budget=RetryBudget(self._config.retry_budget, now_s=self._clock.now_s()),
            clock=self._clock,
            random=self._random,
        )
        self._retry_rule = retry_transient(self._config.retry)
        if root_key is None and not (self._config.fetch_root_key or is_loopback(parts)):
            root_key = MAINNET_ROOT_KEY_DER
        self._network = NetworkView(
            self._wire,
            identity=self._identity,
            retrier=self._retrier,
            config=self._config,
            clock=self._clock,
            root_key_der=root_key,
        )

    async def __aenter__(self) -> Self:
        """Nothing is opened before it is needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the transport, if it is the agent's own; a second time does nothing."""
        self._is_closed = True
        if self._owns_transport:
            await self._transport.aclose()

    @property
    def identity(self) -> Identity:
        """Who signs this agent's requests."""
        return self._identity

    @property
    def sender(self) -> Principal:
        """Whom canisters see as the caller."""
        return self._identity.sender

    async def query(
        self,
        canister: PrincipalLike,
        method: str,
        arg: bytes = EMPTY_ARGS,
        *,
        effective_canister: PrincipalLike | None = None,
        timeout_s: float | None = None,
        retries: bool = True,
    ) -> bytes:
        """Ask a canister; the answer is one node's, signed by it.

        Args:
            canister: Whom to ask.
            method: A query method.
            arg: Candid.
            effective_canister: The canister that a query to the management canister is about.
            timeout_s: For everything, in seconds; ``config.query_timeout_s`` if not given.
            retries: Whether to try again after failures that may pass.

        Returns:
            The reply, in Candid.

        Raises:
            UncertifiedRejectError: If the canister or the node said no.
            UnverifiedReplyError: If the answer is not proven to come from the canister's subnet.
            AgentError: If there is no answer; see ``errors``.
        """
        target = as_principal(canister)
        effective = _effective(target, effective_canister)
        deadline = self._start(timeout_s, self._config.query_timeout_s)
        request = build_query(
            target,
            method,
            arg,
            identity=self._identity,
            ingress_expiry_ns=self._expiry_ns(is_rounded=True),
        )
        answer = await self._retrier.run(
            lambda: self._query_once(request, effective, deadline),
            deadline=deadline,
            rule=self._rule(retries=retries),
        )
        return answer.result()

    async def update(
        self,
        canister: PrincipalLike,
        method: str,
        arg: bytes = EMPTY_ARGS,
        *,
        effective_canister: PrincipalLike | None = None,
        timeout_s: float | None = None,
        retries: bool = True,
    ) -> UpdateReply:
        """Call a canister, and wait for the certificate that tells how it ended.

        Args:
            canister: Whom to call.
            method: An update method, or a query method whose answer is to be certified.
            arg: Candid.
            effective_canister: The canister that a call to the management canister is about.
            timeout_s: For everything, in seconds; ``config.update_timeout_s`` if not given. If it
                is shorter than ``config.ingress_expiry_s``, the fate may stay unknown.
            retries: Whether to send the same bytes again while it is unknown whether they arrived.

        Raises:
            CertifiedRejectError: If the call failed; its effects up to the failure are undone.
            UncertifiedRejectError: If a node refused the call before consensus.
            NotExecutedError: If it expired unseen.
            UnknownOutcomeError: If the call may have run, or may still.
            AgentError: If the call was certainly not made; see ``errors``.
        """
        target = as_principal(canister)
        effective = _effective(target, effective_canister)
        deadline = self._start(timeout_s, self._config.update_timeout_s)
        try:
            trust = await self._network.require_trust(deadline, self._rule(retries=retries))
        except AgentError as error:
            reason = f"the call was not sent, for want of the network's root key: {error}"
            raise NotSentError(reason) from error
        content = CallContent(
            request_type="call",
            sender=self._identity.sender,
            ingress_expiry_ns=self._expiry_ns(is_rounded=False),
            canister=target,
            method=method,
            arg=arg,
            nonce=self._random.randbytes(NONCE_SIZE),
        )
        tools = UpdateTools(
            wire=self._wire,
            trust=trust,
            identity=self._identity,
            retrier=self._retrier,
            config=self._config,
            clock=self._clock,
            random=self._random,
        )
        call = UpdateCall(
            build_call(content, self._identity),
            effective,
            tools,
            deadline=deadline,
            can_resend=retries,
        )
        return await call.run()

    async def read_state(
        self,
        effective_canister: PrincipalLike,
        paths: Sequence[Path],
        *,
        timeout_s: float | None = None,
        retries: bool = True,
    ) -> Certificate:
        """Read certified parts of the state of a canister's subnet.

        Args:
            effective_canister: A canister of that subnet, or the one the paths are about.
            paths: What to show; each path's whole subtree is.
            timeout_s: For everything, in seconds; ``config.query_timeout_s`` if not given.
            retries: Whether to try again after failures that may pass.

        Raises:
            AgentError: If there is no proven answer; see ``errors``.
        """
        effective = as_principal(effective_canister)
        deadline = self._start(timeout_s, self._config.query_timeout_s)
        return await self._retrier.run(
            lambda: self._network.read_state(effective, paths, deadline),
            deadline=deadline,
            rule=self._rule(retries=retries),
        )

    async def verify_certificate(self, canister: PrincipalLike, raw: bytes) -> Certificate:
        """Check a certificate that came by another way, such as in a canister's own reply.

        Signature, delegation, canister range and age are checked as those of ``read_state``.

        Raises:
            MalformedReplyError: If it is no certificate.
            UnverifiedReplyError: If it proves nothing about the canister, or is too old.
            AgentError: If the root key cannot be fetched.
        """
        target = as_principal(canister)
        deadline = self._start(None, self._config.query_timeout_s)
        trust = await self._network.require_trust(deadline, self._retry_rule)
        return trust.verify(raw, canister=target, now_ns=self._clock.now_ns())

    async def status(self, *, timeout_s: float | None = None) -> NodeStatus:
        """Ask the server about itself, once; nothing of the answer is certified.

        Raises:
            AgentError: If there is no answer.
        """
        return await self._wire.get_status(self._start(timeout_s, self._config.query_timeout_s))

    async def root_key(self) -> bytes:
        """Return the root key that this agent trusts, fetching it first if it must.

        Raises:
            AgentError: If it cannot be fetched.
        """
        deadline = self._start(None, self._config.query_timeout_s)
        return (await self._network.require_trust(deadline, self._retry_rule)).root_key_der

    async def _query_once(
        self, request: SignedRequest, effective: Principal, deadline: Deadline
    ) -> QueryAnswer:
        reply = await self._wire.post("query", effective, request, deadline)
        answer = interpret_query(reply)
        if self._config.verify_query_signatures:
            await self._network.verify(answer, request, effective, deadline)
        return answer

    def _start(self, timeout_s: float | None, default_s: float) -> Deadline:
        if self._is_closed:
            reason = "the agent is closed"
            raise ClosedError(reason)
        given_s = default_s if timeout_s is None else timeout_s
        if given_s <= 0:
            reason = f"a timeout must be above 0, got {given_s}"
            raise SettingsError(reason)
        return Deadline.after(given_s, now_s=self._clock.now_s())

    def _rule(self, *, retries: bool) -> RetryRule:
        return self._retry_rule if retries else retry_never

    def _expiry_ns(self, *, is_rounded: bool) -> int:
        expiry_ns = self._clock.now_ns() + round(self._config.ingress_expiry_s * 1e9)
        if is_rounded and self._config.ingress_expiry_s >= _ROUNDING_EXPIRY_MIN_S:
            expiry_ns -= expiry_ns % _MINUTE_NS
        return expiry_ns


def _effective(target: Principal, effective_canister: PrincipalLike | None) -> Principal:
    if effective_canister is not None:
        return as_principal(effective_canister)
    if target == MANAGEMENT_CANISTER:
        reason = "a call to the management canister needs effective_canister: whom it is about"
        raise SettingsError(reason)
    return target
