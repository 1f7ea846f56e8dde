"""What an agent has learned of the network, verified: its root key, its subnets' nodes."""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from icfleet_agent.cache import TtlCache
from icfleet_agent.clock import Clock
from icfleet_agent.config import AgentConfig
from icfleet_agent.deadline import Deadline
from icfleet_agent.errors import MalformedReplyError, TransportTimeoutError
from icfleet_agent.query import QueryAnswer, UnknownNodeError, verify_query_answer
from icfleet_agent.read_state import (
    SUBNET_PATHS,
    Path,
    SubnetKeys,
    build_read_state,
    interpret_read_state,
    read_subnet_keys,
)
from icfleet_agent.retries import Retrier, RetryRule, retry_never
from icfleet_agent.single_flight import SingleFlight
from icfleet_agent.trust import Trust, check_root_key
from icfleet_agent.wire import Wire
from icfleet_protocol.certificate import Certificate
from icfleet_protocol.envelope import SignedRequest
from icfleet_protocol.identity import Identity
from icfleet_protocol.principal import Principal

__all__ = ["NetworkView"]

T = TypeVar("T")

_SUBNET_KEYS_CACHED_MAX = 1024
"""Canisters whose node keys are kept: 40 keys of 44 bytes each come to a few megabytes."""

_NODE_KEYS_REFETCH_S = 10.0
"""An unknown node makes us ask for keys again, but no more often than this, in seconds: a server
could otherwise double our requests by inventing nodes."""

_logger = logging.getLogger(__name__)


class NetworkView:
    """Asks for keys when they are needed, once for all who need them, and keeps them.

    Args:
        wire: Reaches the server.
        identity: Who signs questions about the state.
        retrier: Repeats questions that fail.
        config: Limits.
        clock: Time.
        root_key_der: The key to trust; ``None`` to take the server's own.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        identity: Identity,
        retrier: Retrier,
        config: AgentConfig,
        clock: Clock,
        root_key_der: bytes | None,
    ) -> None:
        self._wire = wire
        self._identity = identity
        self._retrier = retrier
        self._config = config
        self._clock = clock
        self._age_max_ns = round(config.certificate_age_max_s * 1e9)
        self._trust = None if root_key_der is None else self._trust_in(root_key_der)
        self._trust_fetches: SingleFlight[str, Trust] = SingleFlight()
        self._subnet_keys: TtlCache[Principal, SubnetKeys] = TtlCache(
            entries_max=_SUBNET_KEYS_CACHED_MAX, ttl_s=config.node_keys_ttl_s, clock=clock
        )

    async def require_trust(self, deadline: Deadline, rule: RetryRule = retry_never) -> Trust:
        """Return what to verify with, asking the server for its root key if need be.

        Raises:
            AgentError: If it cannot be had in time.
        """
        if self._trust is None:
            self._trust = await self._retrier.run(
                lambda: self._wait_for(
                    self._trust_fetches.run("root key", self._fetch_trust), deadline
                ),
                deadline=deadline,
                rule=rule,
            )
        return self._trust

    async def read_state(
        self, effective: Principal, paths: Sequence[Path], deadline: Deadline
    ) -> Certificate:
        """Ask once for certified parts of the state.

        Raises:
            AgentError: If there is no proven answer.
        """
        trust = await self.require_trust(deadline)
        expiry_ns = self._clock.now_ns() + round(self._config.ingress_expiry_s * 1e9)
        request = build_read_state(paths, identity=self._identity, ingress_expiry_ns=expiry_ns)
        reply = await self._wire.post("read_state", effective, request, deadline)
        return interpret_read_state(
            reply, trust=trust, canister=effective, now_ns=self._clock.now_ns()
        )

    async def verify(
        self, answer: QueryAnswer, request: SignedRequest, effective: Principal, deadline: Deadline
    ) -> None:
        """Check that nodes of the canister's subnet gave this answer to this request.

        Raises:
            UnverifiedReplyError: If that is not proven.
            AgentError: If the nodes' keys cannot be had.
        """
        keys = self._subnet_keys.peek(effective)
        if keys is None:
            keys = await self._load_subnet_keys(effective, deadline)
        try:
            self._check(answer, request, keys)
        except UnknownNodeError:
            # Nodes come and go; but do not believe one because it says that it is new.
            keys = await self._load_subnet_keys(effective, deadline, age_max_s=_NODE_KEYS_REFETCH_S)
            self._check(answer, request, keys)

    def _check(self, answer: QueryAnswer, request: SignedRequest, keys: SubnetKeys) -> None:
        verify_query_answer(
            answer,
            request.request_id,
            keys=keys,
            now_ns=self._clock.now_ns(),
            age_max_ns=self._age_max_ns,
        )

    async def _load_subnet_keys(
        self, effective: Principal, deadline: Deadline, *, age_max_s: float | None = None
    ) -> SubnetKeys:
        async def load() -> SubnetKeys:
            return read_subnet_keys(
                await self.read_state(effective, SUBNET_PATHS, self._shared_deadline())
            )

        return await self._wait_for(
            self._subnet_keys.get(effective, load, age_max_s=age_max_s), deadline
        )

    async def _fetch_trust(self) -> Trust:
        status = await self._wire.get_status(self._shared_deadline())
        if status.root_key_der is None:
            reason = "the server's status tells no root key"
            raise MalformedReplyError(reason)
        _logger.debug("root key fetched from the server")
        return self._trust_in(status.root_key_der)

    async def _wait_for(self, shared: Awaitable[T], deadline: Deadline) -> T:
        """Wait for work that others may wait for too, but not longer than this request may."""
        remaining_s = deadline.remaining_s(now_s=self._clock.now_s())
        try:
            async with asyncio.timeout(remaining_s):
                return await shared
        except TimeoutError as error:
            reason = f"no keys to verify with within {remaining_s:.1f} s"
            raise TransportTimeoutError(reason) from error

    def _shared_deadline(self) -> Deadline:
        """Shared work has its own: the first caller's may be shorter than others'."""
        return Deadline.after(self._config.attempt_timeout_s, now_s=self._clock.now_s())

    def _trust_in(self, root_key_der: bytes) -> Trust:
        return Trust(check_root_key(root_key_der), self._age_max_ns)
