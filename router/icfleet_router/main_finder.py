"""Finding main when the canister that was it says it is not."""

import logging
from collections.abc import Sequence

from icfleet_agent import AgentError, SingleFlight
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import Principal
from icfleet_router.parts import FleetParts
from icfleet_router.pool import Member
from icfleet_router.replies import StatusReply, parse_status

__all__ = ["MainFinder", "choose_main"]

STATUS_TIMEOUT_S = 5.0
"""For one canister's word, in seconds; while main is missing, writes wait for it."""

logger = logging.getLogger(__name__)


def choose_main(
    statuses: Sequence[tuple[Member, StatusReply]], *, epoch_seen: int
) -> Member | None:
    """Choose the canister that takes writes by its own word, of the highest epoch.

    A fenced main is none: it knows that it has been replaced, or was never opened.

    Args:
        statuses: What the configured canisters say.
        epoch_seen: A main of an earlier epoch has been replaced, and does not know it yet.
    """
    mains = [
        (status.as_of, member)
        for member, status in statuses
        if status.decides and status.as_of.epoch >= epoch_seen
    ]
    return max(mains, key=lambda one: one[0])[1] if mains else None


class MainFinder:
    """Asks the fleet's own canisters who is main; nobody else can become it."""

    def __init__(self, parts: FleetParts) -> None:
        self._pool = parts.pool
        self._wire = parts.wire
        self._interface = parts.interface
        self._clock = parts.clock
        self._searches: SingleFlight[str, bool] = SingleFlight()

    async def find(self, hint: Principal | None) -> bool:
        """Make the fleet's main the canister that is it; batches that ask at once share a search.

        Args:
            hint: Whom the former main named. Followed only to a configured canister, and only if
                that says the same of itself.

        Returns:
            Whether there is one.
        """
        return await self._searches.run("main", lambda: self._search(hint))

    async def ask_status(self, member: Member) -> StatusReply | None:
        """Ask a canister for its status; ``None`` if its answer is not the interface's.

        Raises:
            AgentError: If there is no answer.
        """
        arg = self._interface.encode_args("status", ())
        reply = await self._wire.query(member, "status", arg, timeout_s=STATUS_TIMEOUT_S)
        try:
            status = parse_status(self._interface.decode_results("status", reply))
        except CandidError as error:
            logger.info("unreadable status canister=%s error=%s", member.name, error)
            return None
        if status is not None:
            self._pool.learned(member, status.as_of, self._clock.now_s())
        return status

    async def _search(self, hint: Principal | None) -> bool:
        named = None if hint is None else self._pool.by_canister(hint)
        candidates = list(self._pool) if named is None else [named]
        found = await self._ask_all(candidates)
        if found is None and named is not None:
            found = await self._ask_all([one for one in self._pool if one is not named])
        if found is None:
            return False
        if found is not self._pool.main:
            logger.info("main changed from=%s to=%s", self._pool.main.name, found.name)
            self._pool.promote(found)
        return True

    async def _ask_all(self, candidates: Sequence[Member]) -> Member | None:
        statuses: list[tuple[Member, StatusReply]] = []
        for member in candidates:
            try:
                status = await self.ask_status(member)
            except AgentError as error:
                logger.info("no status canister=%s error=%s", member.name, error)
            else:
                if status is not None:
                    statuses.append((member, status))
        return choose_main(statuses, epoch_seen=self._pool.epoch_seen)
