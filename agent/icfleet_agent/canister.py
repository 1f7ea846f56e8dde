"""A canister with its interface: Python values in and out, Candid on the wire."""

from typing import Self

from icfleet_agent.adaptors import PrincipalLike, as_principal
from icfleet_agent.agent import Agent
from icfleet_agent.errors import MalformedReplyError, SettingsError
from icfleet_protocol.candid import ServiceInterface, parse_did
from icfleet_protocol.hash_tree import Found
from icfleet_protocol.principal import Principal

__all__ = ["Canister"]

_QUERY_KINDS = frozenset({"query", "composite_query"})


class Canister:
    """Calls one canister's methods by their types.

    A method without results answers ``None``, one with a single result that value, and one with
    several a tuple.

    Args:
        agent: Carries the calls.
        canister_id: Which canister.
        interface: Its interface, or the text of its .did file.

    Raises:
        PrincipalError: If the id is a text that names no principal.
        CandidError: If the text is no .did file.
    """

    def __init__(
        self, agent: Agent, canister_id: PrincipalLike, interface: ServiceInterface | str
    ) -> None:
        self._agent = agent
        self._id = as_principal(canister_id)
        self._interface = parse_did(interface) if isinstance(interface, str) else interface

    @classmethod
    async def from_metadata(cls, agent: Agent, canister_id: PrincipalLike) -> Self:
        """Take the interface that the canister itself publishes, certified.

        Raises:
            MalformedReplyError: If the canister publishes none.
            CandidError: If what it publishes is no interface.
            AgentError: If there is no proven answer.
        """
        principal = as_principal(canister_id)
        path = (b"canister", principal.raw, b"metadata", b"candid:service")
        found = (await agent.read_state(principal, (path,))).lookup(*path)
        if not isinstance(found, Found):
            reason = f"canister {principal} publishes no Candid interface"
            raise MalformedReplyError(reason)
        try:
            text = found.value.decode()
        except UnicodeDecodeError as error:
            reason = f"the Candid interface of canister {principal} is not text"
            raise MalformedReplyError(reason) from error
        return cls(agent, principal, text)

    @property
    def canister_id(self) -> Principal:
        """Which canister."""
        return self._id

    @property
    def interface(self) -> ServiceInterface:
        """Its methods and their types."""
        return self._interface

    async def query(
        self, method: str, *args: object, timeout_s: float | None = None, retries: bool = True
    ) -> object:
        """Ask by a query method; see ``Agent.query``.

        Raises:
            CandidError: If there is no such method, an argument is not of its type, or the reply
                does not fit.
            SettingsError: If the method is not a query.
            AgentError: If there is no proven answer, or it is a rejection.
        """
        arg = self._interface.encode_args(method, args)
        kind = self._interface.methods[method].kind
        if kind not in _QUERY_KINDS:
            reason = f"method {method!r} is not a query but {kind}: use update"
            raise SettingsError(reason)
        reply = await self._agent.query(self._id, method, arg, timeout_s=timeout_s, retries=retries)
        return self._decode(method, reply)

    async def update(
        self, method: str, *args: object, timeout_s: float | None = None, retries: bool = True
    ) -> object:
        """Call a method with certainty; see ``Agent.update``. A query method may be called so too.

        Raises:
            CandidError: If there is no such method, an argument is not of its type, or the reply
                does not fit.
            AgentError: If the call failed, was rejected, or its outcome is unknown.
        """
        arg = self._interface.encode_args(method, args)
        answer = await self._agent.update(
            self._id, method, arg, timeout_s=timeout_s, retries=retries
        )
        return self._decode(method, answer.reply)

    def _decode(self, method: str, reply: bytes) -> object:
        results = self._interface.decode_results(method, reply)
        if not results:
            return None
        return results[0] if len(results) == 1 else results
