"""Calls that only an admin may make: signed by our key, or by the tool that deployed.

Whoever installs a canister is its first admin. After ``icfleet deploy`` that is a key we have;
after ``dfx deploy`` or ``icp deploy`` it is an identity that those tools keep, often encrypted. So
they are asked to make the call themselves: argument and reply travel as hex.

Source: dfx 0.32 ``dfx canister call``, icp-cli 1.5 ``icp canister call``.
"""

import asyncio
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from icfleet.errors import AdminRefusedError, AttachError
from icfleet.signer import Signer
from icfleet_agent import Agent, Canister
from icfleet_agent.errors import RejectedError
from icfleet_protocol.candid import ServiceInterface
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import Principal
from icfleet_router.position import Position

__all__ = [
    "AdminCaller",
    "KeyCaller",
    "Member",
    "Signer",
    "SignerChoice",
    "ToolCaller",
    "admin_call",
    "choose_signer",
]

_WHO_MAY = (
    "only an admin of the canister may (first of all whoever installed it): --identity KEY.pem, or "
    "--signer dfx or icp"
)

_NEXT_STEPS = {
    "WrongEpoch": "the fleet has changed meanwhile: look at 'icfleet status', and run this again",
    "AlreadyMain": "it is the main already: look at 'icfleet status'",
    "NotMain": "it is no main: look at 'icfleet status' for which canister is",
    "NotDeciding": "try again in a minute, and see 'icfleet status'",
    "NotServing": "wait until 'icfleet status' shows it as Serving",
    "ToItself": "name another canister",
    "Cycle": "let it follow the main, or a replica that does not follow it",
    "NoRoom": "detach a canister that is not needed, or let this one follow a replica",
}
"""What to do about the codes of ``AdminResult.Invalid``."""

_TOOL_TIMEOUT_S = 120
"""An update on mainnet takes 2 s; an identity's password is typed in the meantime."""

_ERROR_LINES_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One canister of the fleet on one network."""

    name: str
    id: Principal
    interface: ServiceInterface


class AdminCaller(Protocol):
    """Makes a call as an admin."""

    async def call(self, member: Member, method: str, *args: object) -> object:
        """Call an update method of one result.

        Raises:
            ToolchainError: If the call cannot be made through another tool.
            AgentError: If our own call fails.
        """
        ...

    async def query(self, member: Member, method: str, *args: object) -> object:
        """Ask by a query method of one result that is answered to admins.

        Raises:
            ToolchainError: If the call cannot be made through another tool.
            AgentError: If our own call fails.
        """
        ...


class KeyCaller:
    """Signs with the agent's identity."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def call(self, member: Member, method: str, *args: object) -> object:
        """See ``AdminCaller``."""
        return await Canister(self._agent, member.id, member.interface).update(method, *args)

    async def query(self, member: Member, method: str, *args: object) -> object:
        """See ``AdminCaller``."""
        return await Canister(self._agent, member.id, member.interface).query(method, *args)


class ToolCaller:
    """Has dfx or icp make the call, as the identity that the user chose there."""

    def __init__(self, signer: Signer, network: str, root: Path) -> None:
        assert signer is not Signer.KEY, "a key needs no tool"
        self._signer = signer
        self._network = network
        self._root = root

    async def call(self, member: Member, method: str, *args: object) -> object:
        """See ``AdminCaller``."""
        return await self._ask(member, method, args, is_query=False)

    async def query(self, member: Member, method: str, *args: object) -> object:
        """See ``AdminCaller``."""
        return await self._ask(member, method, args, is_query=True)

    async def _ask(
        self, member: Member, method: str, args: tuple[object, ...], *, is_query: bool
    ) -> object:
        arg = member.interface.encode_args(method, args).hex()
        command = _tool_command(self._signer, self._network, member, method, arg)
        if is_query:
            command = [word for word in command if word != "--update"] + ["--query"]
        output = await self._run(command)
        try:
            reply = binascii.unhexlify(output.strip().removeprefix("0x"))
            return member.interface.decode_results(method, reply)[0]
        except (binascii.Error, ValueError, CandidError) as error:
            message = f"{self._signer.value} answered {method} with something unexpected: {error}"
            raise AttachError(message, detail=output) from error

    async def _run(self, command: list[str]) -> str:
        shown = " ".join(command[:5])
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=self._root,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            message = f"cannot run {command[0]}: {error.strerror}"
            raise AttachError(message) from error
        try:
            async with asyncio.timeout(_TOOL_TIMEOUT_S):
                output, errors = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            message = f"'{shown} ...' did not end within {_TOOL_TIMEOUT_S} s"
            raise AttachError(message) from None
        if process.returncode != 0:
            lines = errors.decode(errors="replace").strip().splitlines()
            message = f"'{shown} ...' ended with code {process.returncode}"
            raise AttachError(message, detail="\n".join(lines[-_ERROR_LINES_MAX:]))
        return output.decode(errors="replace")


async def admin_call(caller: AdminCaller, member: Member, method: str, *args: object) -> Position:
    """Make a call that answers ``AdminResult``, and return where the canister is after it.

    Raises:
        AdminRefusedError: If the canister refuses; the message says what to do.
        AgentError: If the network does not answer.
    """
    try:
        answer = await caller.call(member, method, *args)
    except RejectedError as error:
        # Strangers may be turned away before the method itself could say so.
        message = f"{member.name} refuses {method}: {error.reject_message}; {_WHO_MAY}"
        raise AdminRefusedError(message, code="Forbidden") from error
    match cast("Mapping[str, object]", answer):
        case {"Done": as_of} if (position := Position.from_candid(as_of)) is not None:
            return position
        case {"Forbidden": reason}:
            message, code = f"{member.name} refuses {method}: {reason}; {_WHO_MAY}", "Forbidden"
        case {"Invalid": {"code": str(code), "reason": str(reason)}}:
            hint = _NEXT_STEPS.get(code)
            message = f"{member.name} refuses {method}: {reason}" + (f"; {hint}" if hint else "")
        case _:
            code = ""
            message = f"{member.name} answers {method} with something that icfleet.did does not say"
    raise AdminRefusedError(message, code=code)


@dataclass(frozen=True, slots=True)
class SignerChoice:
    """Who signs, and with which key if it is one of ours."""

    signer: Signer
    key: Path | None = None
    """``None`` for the project's admin."""


def choose_signer(
    signer: Signer | None, key: Path | None, environ: Mapping[str, str]
) -> SignerChoice:
    """The user's choice, else the tool that runs us as its own script, else a key."""
    if signer is not None:
        return SignerChoice(signer, key)
    # Both variables are set by the tools for the scripts they run.
    if key is None and "DFX_VERSION" in environ:
        return SignerChoice(Signer.DFX)
    if key is None and "ICP_CLI_ENVIRONMENT" in environ:
        return SignerChoice(Signer.ICP)
    return SignerChoice(Signer.KEY, key)


def _tool_command(signer: Signer, network: str, member: Member, method: str, arg: str) -> list[str]:
    if signer is Signer.DFX:
        call = ["dfx", "canister", "call", member.name, method, arg]
        return [*call, "--type", "raw", "--output", "raw", "--update", "--network", network]
    call = ["icp", "canister", "call", member.name, method, arg]
    return [*call, "--args-format", "hex", "--output", "hex", "--environment", network]
