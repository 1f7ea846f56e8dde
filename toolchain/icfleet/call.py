"""One call, with arguments and results in Candid's text form."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from icfleet.call_example import CallRequest, explain_args
from icfleet.candid_json import Json, candid_to_json
from icfleet.canister_ids import read_known_ids
from icfleet.connection import open_agent
from icfleet.errors import CallError
from icfleet.site import Site
from icfleet_agent import Agent, Canister
from icfleet_protocol.candid import ServiceInterface, format_value, parse_args
from icfleet_protocol.errors import CandidError, PrincipalError
from icfleet_protocol.principal import Principal
from icfleet_router.project import DfxProject, ProjectCanister
from icfleet_router.project_files import deploy_commands

__all__ = ["CallRequest", "CallResult", "call_canister", "call_site", "format_results"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What a canister answered."""

    canister: Principal
    method: str
    kind: Literal["query", "update"]
    results: tuple[object, ...]
    text: str
    """The results as ``(1, "x")``."""

    def as_json(self) -> dict[str, Json]:
        """For scripts."""
        return {
            "canister": str(self.canister),
            "method": self.method,
            "kind": self.kind,
            "results": candid_to_json(self.results),
        }


async def call_site(site: Site, key: Path | None, request: CallRequest) -> CallResult:
    """Make one call to the site's network.

    Raises:
        CallError: See ``call_canister``.
        ProjectError: If a project file is missing or malformed.
        AgentError: If the call fails.
    """
    async with open_agent(site, site.caller(key)) as agent:
        return await call_canister(site, agent, request)


async def call_canister(site: Site, agent: Agent, request: CallRequest) -> CallResult:
    """Call a method as its interface marks it: a query as a query, anything else as an update.

    Raises:
        CallError: If canister, method or arguments do not fit; nothing was sent.
        AgentError: If the call fails.
        CandidError: If the reply does not fit the interface.
    """
    method = request.method
    target, interface = await _resolve(site, agent, request.canister)
    signature = interface.methods.get(method)
    if signature is None:
        known = ", ".join(interface.methods) or "none"
        hint = _did_you_mean(method, interface.methods)
        message = f"{request.canister} has no method {method!r}{hint}; it has {known}"
        raise CallError(message)
    try:
        args = parse_args(request.args, signature.args, environment=interface.environment)
        arg = interface.encode_args(method, args)
    except CandidError as error:
        raise CallError(explain_args(request, interface, error)) from error
    kind: Literal["query", "update"]
    if signature.kind in {"query", "composite_query"}:
        kind, reply = "query", await agent.query(target, method, arg)
    else:
        kind, reply = "update", (await agent.update(target, method, arg)).reply
    results = interface.decode_results(method, reply)
    return CallResult(
        canister=target,
        method=method,
        kind=kind,
        results=results,
        text=format_results(interface, method, results),
    )


def format_results(interface: ServiceInterface, method: str, results: tuple[object, ...]) -> str:
    """Write results in brackets, as didc and dfx do."""
    types = interface.methods[method].results
    parts = [
        format_value(value, content, environment=interface.environment)
        for value, content in zip(results, types, strict=True)
    ]
    return f"({', '.join(parts)})"


async def _resolve(site: Site, agent: Agent, canister: str) -> tuple[Principal, ServiceInterface]:
    """Find a canister's id and interface: by dfx.json, else from the network's certified metadata.

    Raises:
        CallError: If there is no such canister, or no interface of it anywhere.
        ProjectError: If dfx.json names an interface that is not there.
        AgentError: If the network does not answer.
    """
    if canister not in site.project.canisters:
        target = _principal(canister, site.project)
        return target, (await Canister.from_metadata(agent, target)).interface
    known = site.project.canisters[canister]
    target = _known_id(site, known)
    if known.candid is not None:
        return target, site.interface(known)
    return target, (await Canister.from_metadata(agent, target)).interface


def _known_id(site: Site, canister: ProjectCanister) -> Principal:
    ids = read_known_ids(site.project, site.network)
    if canister.name in ids:
        return ids[canister.name]
    remote = canister.remote_ids.get(site.network.name)
    if remote is None:
        message = (
            f"{canister.name} has no id on network {site.network.name!r}: deploy it first, with "
            f"{deploy_commands(site.network)}"
        )
        raise CallError(message)
    return _principal(remote, site.project)


def _principal(text: str, project: DfxProject) -> Principal:
    try:
        return Principal.from_text(text)
    except PrincipalError as error:
        known = ", ".join(project.canisters)
        hint = _did_you_mean(text, project.canisters)
        message = f"{text!r} is neither a canister of dfx.json ({known}) nor a principal{hint}"
        raise CallError(message) from error


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
