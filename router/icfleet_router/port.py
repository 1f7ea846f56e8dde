"""What the router needs of an agent: ``icfleet_agent.Agent`` has it, and so have test doubles."""

from typing import Protocol

from icfleet_protocol.principal import Principal

__all__ = ["AgentPort", "UpdateAnswer"]


class UpdateAnswer(Protocol):
    """A certified reply."""

    @property
    def reply(self) -> bytes:
        """The canister's reply, in Candid."""
        ...


class AgentPort(Protocol):
    """One call and its fate; failures are ``icfleet_agent``'s errors."""

    async def query(
        self,
        canister: Principal,
        method: str,
        arg: bytes,
        *,
        timeout_s: float | None,
        retries: bool,
    ) -> bytes:
        """Call a query method and return the reply, in Candid."""
        ...

    async def update(
        self,
        canister: Principal,
        method: str,
        arg: bytes,
        *,
        timeout_s: float | None,
        retries: bool,
    ) -> UpdateAnswer:
        """Call an update method and return its certified reply."""
        ...

    async def aclose(self) -> None:
        """Give connections back."""
        ...
