"""Holds answers back until the network that is modelled would have given them.

Canisters execute at once, at this machine's speed; what a profile adds is when the answer leaves.
"""

from collections.abc import Awaitable, Callable
from random import Random

from icfleet_localnet.clock import Clock
from icfleet_localnet.http_interface import HttpInterface, Request, Wait
from icfleet_localnet.http_response import HttpResponse
from icfleet_localnet.profiles import Profile
from icfleet_localnet.stale_states import OldState
from icfleet_localnet.thread_model import HostLag, OverloadedError, QueryThreads
from icfleet_protocol.principal import Principal

__all__ = ["ModelledTime"]

Pause = Callable[[float], Awaitable[bool]]
"""Waits so many seconds; false if the network stops meanwhile."""
AwaitCall = Callable[[Wait], Awaitable[HttpResponse]]
FindOld = Callable[[], OldState | None]
"""Asked when a query executes: an old state may be gone by the time it has travelled."""
Later = Callable[[Callable[[], object], float], None]
"""Does something in so many seconds, unless the network stops before."""


class ModelledTime:
    """The delays of one profile.

    Args:
        profile: One with a capacity.
        interface: What answers, at once.
        clock: The network's time.
        random: Draws delays and nodes.
        pause: How to wait.

    Attributes:
        lag: Whether this machine kept up.
    """

    def __init__(
        self,
        profile: Profile,
        interface: HttpInterface,
        clock: Clock,
        random: Random,
        pause: Pause,
    ) -> None:
        self._profile = profile
        self._interface = interface
        self._clock = clock
        self._random = random
        self._pause = pause
        self._start_ns = clock.now_ns()
        self._threads: dict[Principal, QueryThreads] = {}
        self.lag = HostLag()

    async def answer_query(self, request: Request, find_old: FindOld) -> HttpResponse:
        """Let a query travel, wait for a thread of its node, execute and travel back."""
        network_s = self._profile.draw_network_s(self._random)
        await self._pause(network_s / 2)
        threads = self._threads.get(request.subnet.id)
        if threads is None:
            threads = self._threads[request.subnet.id] = QueryThreads(self._profile, self._random)
        arrival_s = self._now_s()
        try:
            node = threads.pick(arrival_s)
        except OverloadedError as error:
            await self._pause(network_s / 2)
            return HttpResponse.text(error.http_status, error.text)
        response, instructions = self._interface.query(request, node=node, old=find_old())
        admission = threads.admit(arrival_s, request.route.target, instructions, node=node)
        self.lag.record(modelled_finish_s=admission.finish_s, real_finish_s=self._now_s())
        await self._pause(admission.finish_s - self._now_s() + network_s / 2)
        return response

    async def answer_call(
        self, request: Request, await_call: AwaitCall, later: Later
    ) -> HttpResponse:
        """Let an update travel, wait for a block, execute, be certified and travel back.

        One node checks it when it arrives, and answers an asynchronous one at once.
        """
        delays = self._profile.draw_update(self._random)
        await self._pause(delays.network_s / 2)
        answer: HttpResponse | Wait | None = self._interface.check_call(request)
        if answer is None and not request.is_awaited:
            later(lambda: self._interface.submit_call(request), delays.consensus_s)
            answer = HttpResponse(202, b"")
        elif answer is None:
            await self._pause(delays.consensus_s)
            answer = self._interface.submit_call(request)
        if isinstance(answer, Wait):
            answer = await await_call(answer)
            await self._pause(delays.certification_s)
        await self._pause(delays.network_s / 2)
        return answer

    async def answer_read(self, request: Request) -> HttpResponse:
        """Let a ``read_state`` travel there and back."""
        network_s = self._profile.draw_network_s(self._random)
        await self._pause(network_s / 2)
        answer = self._interface.answer(request)
        assert isinstance(answer, HttpResponse), "nothing is executed"
        await self._pause(network_s / 2)
        return answer

    def _now_s(self) -> float:
        """Since the start: seconds since 1970 would lose digits."""
        return (self._clock.now_ns() - self._start_ns) / 1e9
