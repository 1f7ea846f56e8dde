"""One exchange with one server: a signed request out, its HTTP answer back, within a deadline."""

from http import HTTPStatus

from icfleet_agent.clock import Clock
from icfleet_agent.config import AgentConfig
from icfleet_agent.deadline import Deadline
from icfleet_agent.endpoints import Endpoint, EndpointVersions
from icfleet_agent.errors import NotSentError
from icfleet_agent.status import STATUS_SIZE_MAX, NodeStatus, interpret_status
from icfleet_agent.transport import HttpReply, Transport
from icfleet_protocol.envelope import SignedRequest
from icfleet_protocol.principal import Principal

__all__ = ["Wire"]


class Wire:
    """Sends requests once each; whether to send them again is decided elsewhere."""

    def __init__(
        self, base_url: str, transport: Transport, *, clock: Clock, config: AgentConfig
    ) -> None:
        self._endpoints = EndpointVersions(base_url)
        self._transport = transport
        self._clock = clock
        self._config = config

    async def post(
        self, endpoint: Endpoint, effective: Principal, request: SignedRequest, deadline: Deadline
    ) -> HttpReply:
        """Send a request in the newest version of the endpoint that the server has.

        Raises:
            TransportError: If there is no answer, see ``Transport.request``.
        """
        reply: HttpReply | None = None
        for version in self._endpoints.candidates(endpoint):
            reply = await self._transport.request(
                "POST",
                self._endpoints.url(endpoint, version, effective),
                request.body,
                timeout_s=self._timeout_s(deadline),
                size_max=self._config.reply_size_max,
            )
            if reply.status != HTTPStatus.NOT_FOUND:
                self._endpoints.learn(endpoint, version)
                return reply
        assert reply is not None, "an endpoint has at least one version"
        return reply

    async def get_status(self, deadline: Deadline) -> NodeStatus:
        """Ask the server about itself.

        Raises:
            AgentError: See ``Transport.request`` and ``interpret_status``.
        """
        reply = await self._transport.request(
            "GET",
            self._endpoints.status_url,
            b"",
            timeout_s=self._timeout_s(deadline),
            size_max=STATUS_SIZE_MAX,
        )
        return interpret_status(reply)

    def _timeout_s(self, deadline: Deadline) -> float:
        remaining_s = deadline.remaining_s(now_s=self._clock.now_s())
        if remaining_s <= 0:
            reason = "no time was left to send the request"
            raise NotSentError(reason)
        return min(remaining_s, self._config.attempt_timeout_s)
