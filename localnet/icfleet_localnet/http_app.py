"""The network's HTTP application: waits, time-outs, and the faults that were ordered.

Source: dfinity/ic ``rs/http_endpoints`` for time-outs and CORS.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

from icfleet_localnet.clock import Clock
from icfleet_localnet.event_log import EventLog
from icfleet_localnet.fault_rules import HttpError, RejectWith
from icfleet_localnet.faults import Decision, FaultPlan, RequestFacts, TamperOrder
from icfleet_localnet.http_interface import HttpInterface, Request, Wait
from icfleet_localnet.http_message import Header, HttpAnswer, HttpRequest
from icfleet_localnet.http_response import HttpResponse
from icfleet_localnet.local_origin import is_local_request
from icfleet_localnet.modelled_time import FindOld, ModelledTime
from icfleet_localnet.profiles import FAST, Profile
from icfleet_localnet.rejects import Reject
from icfleet_localnet.round_driver import RoundDriver
from icfleet_localnet.routes import Action
from icfleet_localnet.stale_states import StaleStates
from icfleet_localnet.tampering import tamper
from icfleet_localnet.thread_model import HostLag
from icfleet_localnet.traffic import Kind, Traffic

__all__ = ["CALL_WAIT_S", "HttpApp", "Timing"]

CALL_WAIT_S = 10.0
"""How long a synchronous call is held. Source: dfinity/ic
``MAX_INGRESS_MESSAGE_CERTIFICATION_TIMEOUT``."""

_KINDS: dict[Action, Kind] = {
    "call": "updates",
    "query": "queries",
    "read_state": "read_states",
}
_STATUS_PATH = "/api/v2/status"
_CBOR_TYPE = b"application/cbor"
_CORS: tuple[Header, ...] = (
    (b"vary", b"origin"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Accept, Authorization, Content-Type"),
)

_log = EventLog(__name__)

_Response = HttpResponse | Coroutine[Any, Any, HttpResponse | None]
"""An answer, or what to wait for; ``None`` when there shall be none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things take."""

    call_wait_s: float = CALL_WAIT_S
    """How long a synchronous call is held before it is answered with 202."""
    profile: Profile = FAST
    """When the modelled network would have answered."""
    random: Random = field(default_factory=Random)
    """Draws the model's delays and nodes."""


class HttpApp:
    """Answers the requests of the network's clients.

    Args:
        interface: What answers a request when it has arrived.
        driver: Makes the rounds that updates wait for.
        faults: What goes wrong.
        clock: The network's time.
        traffic: Counts the requests.
        timing: How long things take.
    """

    def __init__(
        self,
        interface: HttpInterface,
        driver: RoundDriver,
        faults: FaultPlan,
        clock: Clock,
        traffic: Traffic,
        timing: Timing | None = None,
    ) -> None:
        timing = timing or Timing()
        self._interface = interface
        self._driver = driver
        self._faults = faults
        self._clock = clock
        self._traffic = traffic
        self._call_wait_s = timing.call_wait_s
        self._stale = StaleStates(interface.network, faults, interface.data_certificate)
        driver.on_round(self._stale.after_round)
        self._model: ModelledTime | None = None
        if timing.profile.capacity is not None:
            self._model = ModelledTime(timing.profile, interface, clock, timing.random, self._pause)
        self._stopping = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()

    def __call__(self, request: HttpRequest) -> HttpAnswer | Coroutine[Any, Any, HttpAnswer | None]:
        """Answer one HTTP request."""
        origins = request.values(b"origin")
        if not is_local_request(request.values(b"host"), origins):
            reason = "only programs and pages of this computer may call"
            return HttpAnswer(HttpResponse.text(403, reason))
        headers = _CORS
        if origins:
            headers = (*_CORS, (b"access-control-allow-origin", origins[0]))
        response = self._respond(request)
        if isinstance(response, HttpResponse):
            return HttpAnswer(response, headers)
        return _answer_later(response, headers)

    @property
    def lag(self) -> HostLag | None:
        """Whether this machine keeps up with the model, if there is one."""
        return None if self._model is None else self._model.lag

    def stop(self) -> None:
        """Let nobody wait any longer: calls are answered with 202, what is delayed is dropped."""
        self._stopping.set()
        self._driver.release_all()
        for timer in self._timers:
            timer.cancel()

    def _respond(self, request: HttpRequest) -> _Response:
        match request.method, request.path:
            case "OPTIONS", _:
                return HttpResponse.text(200, "")
            case "GET", path if path == _STATUS_PATH:
                return self._status()
            case "POST", path if path != _STATUS_PATH:
                return self._post(request)
            case method, path if path.startswith("/api/"):
                return HttpResponse.text(405, f"{method} is not allowed for {path}")
            case _, path:
                return HttpResponse.text(404, f"unknown path {path}")

    def _status(self) -> _Response:
        decision = self._faults.decide(RequestFacts(operation="status"), self._clock.now_ns())
        if not decision.rules:
            return self._interface.status()
        _log.debug("a fault struck", rules=decision.rules, operation="status")
        return self._suffer(decision, self._interface.status, lambda: None, None)

    def _post(self, request: HttpRequest) -> _Response:
        kinds = request.values(b"content-type")
        if any(kind.split(b";")[0].strip().lower() != _CBOR_TYPE for kind in kinds):
            return HttpResponse.text(400, "Unexpected content-type, expected application/cbor.")
        now_ns = self._clock.now_ns()
        received = self._interface.receive(request.path, request.body, now_ns=now_ns)
        if isinstance(received, HttpResponse):
            return received
        self._traffic.note(_KINDS[received.route.action], now_ns / 1e9)
        facts = _facts(received)
        decision = self._faults.decide(facts, now_ns)
        if not decision.rules:
            return self._execute(received, _nothing_old)
        _log.debug(
            "a fault struck",
            rules=decision.rules,
            operation=facts.operation,
            canister=str(facts.canister),
            method=facts.method,
        )
        return self._suffer(
            decision,
            lambda: self._arrive(request, decision),
            lambda: self._arrive_again(request),
            received,
        )

    def _execute(self, request: Request, find_old: FindOld) -> _Response:
        if self._model is not None:
            return self._execute_modelled(self._model, request, find_old)
        old = find_old()
        if old is not None:
            return self._interface.query(request, old=old)[0]
        answer = self._interface.answer(request)
        if request.route.action == "call":
            self._driver.wake()
        return answer if isinstance(answer, HttpResponse) else self._await_call(answer)

    async def _execute_modelled(
        self, model: ModelledTime, request: Request, find_old: FindOld
    ) -> HttpResponse:
        match request.route.action:
            case "query":
                return await model.answer_query(request, find_old)
            case "call":
                return await model.answer_call(request, self._await_call, self._later)
            case "read_state":
                return await model.answer_read(request)

    def _arrive(self, request: HttpRequest, decision: Decision) -> _Response:
        """Let a request that was held up arrive; it may have expired on the way."""
        received = self._interface.receive(request.path, request.body, now_ns=self._clock.now_ns())
        if isinstance(received, HttpResponse):
            return received
        staleness = decision.staleness
        if staleness is None:
            return self._execute(received, _nothing_old)
        return self._execute(received, lambda: self._stale.find(received.route.target, staleness))

    def _arrive_again(self, request: HttpRequest) -> None:
        """Let the same bytes arrive once more; nobody waits for that answer."""
        self._interface.post(request.path, request.body, now_ns=self._clock.now_ns())
        self._driver.wake()

    async def _suffer(
        self,
        decision: Decision,
        arrive: Callable[[], _Response],
        arrive_again: Callable[[], None],
        received: Request | None,
    ) -> HttpResponse | None:
        """Answer a request that something happens to."""
        for delay_s in decision.duplicate_delays_s:
            self._later(arrive_again, decision.request_delay_s + delay_s)
        if not await self._pause(decision.request_delay_s) or decision.is_request_lost:
            return None
        response = await _awaited(self._refuse(decision, received) or arrive())
        if response is None:
            return None
        for order in decision.tampering:
            response = _tampered(response, order)
        if not await self._pause(decision.response_delay_s) or decision.is_response_lost:
            return None
        return response

    def _refuse(self, decision: Decision, received: Request | None) -> HttpResponse | None:
        match decision.refusal:
            case RejectWith(code, message, error_code) if received is not None:
                return self._interface.refuse(received, Reject(code, message, error_code))
            case HttpError(status, text, retry_after_s):
                return HttpResponse.text(status, text, retry_after_s=retry_after_s)
            case _:
                return None

    async def _await_call(self, wait: Wait) -> HttpResponse:
        is_done = await self._driver.await_answer(wait, timeout_s=self._call_wait_s)
        return self._interface.finished(wait) if is_done else wait.timeout

    def _later(self, work: Callable[[], object], delay_s: float) -> None:
        """Do something in a while, unless the network stops before."""

        def do_it() -> None:
            self._timers.discard(timer)
            work()

        timer = asyncio.get_running_loop().call_later(delay_s, do_it)
        self._timers.add(timer)

    async def _pause(self, delay_s: float) -> bool:
        """Wait; false if the network stops meanwhile."""
        if delay_s > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stopping.wait()
        return not self._stopping.is_set()


def _nothing_old() -> None:
    """No node lags behind."""


async def _awaited(response: _Response) -> HttpResponse | None:
    return response if isinstance(response, HttpResponse) else await response


async def _answer_later(
    waiting: Coroutine[Any, Any, HttpResponse | None], headers: tuple[Header, ...]
) -> HttpAnswer | None:
    response = await waiting
    return None if response is None else HttpAnswer(response, headers)


def _facts(request: Request) -> RequestFacts:
    call = request.call
    return RequestFacts(
        operation=request.route.action,
        canister=request.route.target if request.route.scope == "canister" else None,
        method=None if call is None else call.method,
        subnet=request.subnet.id,
    )


def _tampered(response: HttpResponse, order: TamperOrder) -> HttpResponse:
    random = Random(order.seed)  # noqa: S311 - a fault must be repeatable, not secret
    changed = tamper(response.body, order.part, random)
    return HttpResponse(response.status, changed, response.content_type, response.retry_after_s)
