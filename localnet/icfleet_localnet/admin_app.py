"""The operator's application, on a port of its own: status page, faults, commands, time.

| request | does |
|---|---|
| ``GET /`` | the status page, for a browser |
| ``GET /status.json`` | what the page shows |
| ``GET /faults`` | the rules in force, and how often each struck |
| ``POST /faults`` | adds a rule (JSON), answers its id |
| ``DELETE /faults``, ``DELETE /faults/ID`` | removes all rules, or one |
| ``POST /commands`` | halts or resumes a subnet, drains cycles, jumps the clock (JSON) |
| ``POST /clock/advance`` | lets time pass, with all that falls due: ``{"seconds": 60}`` |
"""

from collections.abc import Callable, Coroutine
from importlib.resources import files
from typing import Any

import msgspec

from icfleet_localnet.fault_rules import Command, FaultRuleError, parse_command, parse_rule
from icfleet_localnet.faults import FaultPlan
from icfleet_localnet.http_message import Header, HttpAnswer, HttpRequest
from icfleet_localnet.http_response import HttpResponse
from icfleet_localnet.local_origin import is_local_request
from icfleet_localnet.status_report import NetworkReport

__all__ = ["AdminApp", "AdvanceClock"]

_ADVANCE_MAX_S = 366 * 24 * 3600.0
_JSON_TYPE = "application/json"
_PAGE_TYPE = "text/html; charset=utf-8"
# What canisters print is shown as text. Should that ever fail, it still runs nothing.
_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    b"connect-src 'self'; frame-ancestors 'none'"
)
_HEADERS: tuple[Header, ...] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", _POLICY),
)


class AdvanceClock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much time shall pass."""

    seconds: float


class AdminApp:
    """Answers the operator.

    Args:
        report: Describes the network now.
        faults: The plan that rules are added to.
        obey: Carries out a command.
        advance: Lets so many seconds of network time pass.
    """

    def __init__(
        self,
        *,
        report: Callable[[], NetworkReport],
        faults: FaultPlan,
        obey: Callable[[Command], None],
        advance: Callable[[float], Coroutine[Any, Any, None]],
    ) -> None:
        self._report = report
        self._faults = faults
        self._obey = obey
        self._advance = advance
        self._page = files("icfleet_localnet").joinpath("status_page.html").read_bytes()

    def __call__(self, request: HttpRequest) -> HttpAnswer | Coroutine[Any, Any, HttpAnswer]:
        """Answer one HTTP request."""
        hosts, origins = request.values(b"host"), request.values(b"origin")
        is_own_page = origins in ([], [b"http://" + host for host in hosts])
        if not is_local_request(hosts, origins) or not is_own_page:
            reason = "only programs of this computer may call"
            return HttpAnswer(HttpResponse.text(403, reason), _HEADERS)
        try:
            if (request.method, request.path) == ("POST", "/clock/advance"):
                return self._answer_advance(_parse_seconds(request.body))
            response = self._dispatch(request.method, request.path, request.body)
        except FaultRuleError as error:
            response = HttpResponse.text(400, str(error))
        return HttpAnswer(response, _HEADERS)

    async def _answer_advance(self, seconds: float) -> HttpAnswer:
        await self._advance(seconds)
        return HttpAnswer(_json({}), _HEADERS)

    def _dispatch(self, method: str, path: str, body: bytes) -> HttpResponse:
        match method, path.strip("/").split("/"):
            case "GET", [""]:
                return HttpResponse(200, self._page, _PAGE_TYPE)
            case "GET", ["status.json"]:
                return _json(self._report())
            case (("GET" | "POST" | "DELETE"), ["faults", *rest]):
                return self._answer_faults(method, rest, body)
            case "POST", ["commands"]:
                self._obey(parse_command(body))
                return _json({})
            case _:
                return HttpResponse.text(404, f"there is no {method} {path} here")

    def _answer_faults(self, method: str, rest: list[str], body: bytes) -> HttpResponse:
        match method, rest:
            case "GET", []:
                return _json(self._faults.rules())
            case "POST", []:
                return _json({"id": self._faults.add(parse_rule(body))})
            case "DELETE", []:
                self._faults.clear()
                return _json({})
            case "DELETE", [name]:
                self._faults.remove(name)
                return _json({})
            case _:
                return HttpResponse.text(404, f"there is no {method} /faults/{'/'.join(rest)} here")


def _parse_seconds(body: bytes) -> float:
    try:
        seconds = msgspec.json.decode(body, type=AdvanceClock).seconds
    except msgspec.DecodeError as error:
        raise FaultRuleError(str(error)) from error
    if not 0 <= seconds <= _ADVANCE_MAX_S:
        reason = f"seconds must be between 0 and {_ADVANCE_MAX_S:,.0f}, got {seconds}"
        raise FaultRuleError(reason)
    return seconds


def _json(value: object) -> HttpResponse:
    return HttpResponse(200, msgspec.json.encode(value), _JSON_TYPE)
