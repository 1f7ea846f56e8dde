"""Profiles: how fast the network pretends to be.

``fast`` runs a round as soon as there is work and limits nothing: for development and tests.
``mainnet`` adds delays with mainnet's measured medians and limits execution to mainnet's threads,
multiplied by a scale so small that the model binds and not this machine. Both are models.

Source: dfinity/developer-docs ``docs/concepts/protocol/performance.md`` (measured in June and July
2025) and ``docs/references/resource-limits.md`` of 2026-05-20; dfinity/ic ``rs/config``.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random
from typing import Final

from icfleet_localnet.distributions import Distribution, Fixed, LogNormal
from icfleet_localnet.errors import LocalnetError

__all__ = [
    "FAST",
    "MAINNET",
    "PROFILES",
    "Capacity",
    "Profile",
    "ProfileError",
    "UpdateDelays",
    "profile_from",
]

_SCALE_PATTERN = re.compile(r"[0-9]{1,6}(/[0-9]{1,6}|\.[0-9]{1,6})?")
_SCALE_DENOMINATOR_MAX = 1_000_000

_SPREAD = 0.25
"""Our assumption, since the sources tell medians only: one delay in twenty is 1.5 medians."""


class ProfileError(LocalnetError):
    """There is no such profile, or it cannot be scaled so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a subnet of the Internet Computer can execute, before scaling."""

    instructions_per_second: int = 2_000_000_000
    """Per thread. Source: ``subnet_config.rs`` assumes one instruction per cycle of 2 GHz."""
    message_overhead_instructions: int = 2_000_000
    """Counted for each update-type message on top of its own. Source:
    ``INSTRUCTION_OVERHEAD_PER_EXECUTION``. The 8 M per canister and round are left out: they are
    0.4 % of a second."""
    round_instructions_max: int = 7_000_000_000
    """Per thread. Source: ``MAX_INSTRUCTIONS_PER_ROUND``."""
    update_threads: int = 4
    """Per subnet; a canister runs on one at a time. Source: ``NUMBER_OF_EXECUTION_THREADS``."""
    query_threads: int = 4
    """Per node. Source: ``QUERY_EXECUTION_THREADS_TOTAL``."""
    query_threads_per_canister: int = 2
    """Per node. Source: ``QUERY_EXECUTION_THREADS_PER_CANISTER``."""
    queries_per_thread_second_max: int = 2_000
    """However light they are. Source: forum.dfinity.org thread 27776, 1,000 to 2,000."""
    queries_in_flight_max: int = 400
    """Per node, running or waiting. Source: ``max_query_concurrent_requests`` in dfinity/ic
    ``rs/config/src/http_handler.rs``, a hundred for each thread."""


@dataclass(frozen=True, slots=True)
class UpdateDelays:
    """One update's delays in seconds, besides waiting for its round and executing."""

    network_s: float
    """There and back: half of it each way."""
    consensus_s: float
    """From reaching a node until a round may begin that contains it."""
    certification_s: float
    """From the end of its execution until its answer is certified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How long things take, and how much of them there can be."""

    name: str
    round_interval_s: float
    """From the start of a round to that of the next; 0 is a round as soon as there is work."""
    network: Distribution
    """A request's way to a node and its answer's way back, together."""
    update_consensus: Distribution
    certification: Distribution
    cross_subnet_rounds_min: int
    """Rounds until a message is there: 1 is the next round."""
    cross_subnet_rounds_max: int
    node_count: int
    """Per subnet."""
    capacity: Capacity | None
    """``None`` when nothing is limited."""
    scale: Fraction = Fraction(1)
    """The modelled subnet has this share of ``capacity``: its threads are slower, not fewer."""

    def __post_init__(self) -> None:
        assert 0 < self.cross_subnet_rounds_min <= self.cross_subnet_rounds_max
        assert 0 < self.scale <= 1, "parse scales with profile_from"

    @property
    def instructions_per_second(self) -> float | None:
        """Per thread, scaled; ``None`` without a limit."""
        capacity = self.capacity
        return None if capacity is None else float(capacity.instructions_per_second * self.scale)

    def update_time_s(self, instructions: int) -> float:
        """How long an update-type message keeps its thread."""
        if self.capacity is None:
            return 0.0
        counted = instructions + self.capacity.message_overhead_instructions
        return float(counted / (self.capacity.instructions_per_second * self.scale))

    def query_time_s(self, instructions: int) -> float:
        """How long a query keeps its thread."""
        if self.capacity is None:
            return 0.0
        lightest = Fraction(1, self.capacity.queries_per_thread_second_max)
        executing = Fraction(instructions, self.capacity.instructions_per_second)
        return float(max(lightest, executing) / self.scale)

    def draw_update(self, random: Random) -> UpdateDelays:
        """Draw the delays of one update."""
        return UpdateDelays(
            network_s=self.network.draw(random),
            consensus_s=self.update_consensus.draw(random),
            certification_s=self.certification.draw(random),
        )

    def draw_network_s(self, random: Random) -> float:
        """Draw how long a request and its answer are on their way, together."""
        return self.network.draw(random)

    def draw_cross_subnet_rounds(self, random: Random) -> int:
        """Draw after how many rounds a message reaches another subnet."""
        return random.randint(self.cross_subnet_rounds_min, self.cross_subnet_rounds_max)

    def label(self) -> str:
        """One line for every report and page, which says that this is a model."""
        if self.capacity is None:
            return (
                f"Model, not the Internet Computer: profile {self.name}, a round as soon as there "
                "is work, no limit on execution. Its times and capacity say nothing about mainnet."
            )
        capacity = self.capacity
        return (
            f"Model, not the Internet Computer: profile {self.name}, {self.node_count} nodes, "
            f"a round every {self.round_interval_s:g} s, {capacity.update_threads} update threads, "
            f"{capacity.query_threads} query threads a node; capacity multiplied by {self.scale}: "
            "do not read throughput as mainnet's. Execution times are stretched likewise, "
            "network and consensus delays are not."
        )


FAST: Final = Profile(
    name="fast",
    round_interval_s=0.0,
    network=Fixed(0.0),
    update_consensus=Fixed(0.0),
    certification=Fixed(0.0),
    cross_subnet_rounds_min=1,
    cross_subnet_rounds_max=1,
    node_count=1,
    capacity=None,
)
"""For development and tests."""

MAINNET: Final = Profile(
    name="mainnet",
    # Blocks come 0.75 to 1.5 times a second.
    round_interval_s=1.0,
    # A query's median is 0.167 s in all, of which a light one executes for half a millisecond.
    network=LogNormal(0.1665, _SPREAD),
    # An update's median is 1.35 s for a counter on 13 nodes. The network takes 0.17 s of it and the
    # wait for a round 0.5 s; how the rest is split between consensus before the round and
    # certification after it, no source tells: the split is ours, the sum is measured.
    update_consensus=LogNormal(0.4, _SPREAD),
    certification=LogNormal(0.255, _SPREAD),
    cross_subnet_rounds_min=2,
    cross_subnet_rounds_max=3,
    node_count=13,
    capacity=Capacity(),
    scale=Fraction(1, 100),
)
"""For measuring how a fleet behaves where mainnet would limit it."""

PROFILES: Final = {profile.name: profile for profile in (FAST, MAINNET)}


def profile_from(name: str, scale: str | float | Fraction | None = None) -> Profile:
    """Choose a profile.

    Args:
        name: A key of ``PROFILES``.
        scale: The share of mainnet's capacity to model, as ``"1/100"`` or ``0.01``; above 0 and at
            most 1. ``None`` leaves the profile's own.

    Raises:
        ProfileError: If there is no such profile, or the scale does not fit it.
    """
    profile = PROFILES.get(name)
    if profile is None:
        reason = f"no profile {name!r}: choose one of {', '.join(sorted(PROFILES))}"
        raise ProfileError(reason)
    if scale is None:
        return profile
    if profile.capacity is None:
        reason = f"profile {name} limits nothing, so there is nothing to scale: leave the scale out"
        raise ProfileError(reason)
    return replace(profile, scale=_parse_scale(scale))


def _parse_scale(scale: str | float | Fraction) -> Fraction:
    reason = f"scale {scale!r} is not a number above 0 and at most 1, such as 1/100 or 0.01"
    if isinstance(scale, str) and _SCALE_PATTERN.fullmatch(scale) is None:
        raise ProfileError(reason)
    try:
        parsed = Fraction(scale).limit_denominator(_SCALE_DENOMINATOR_MAX)
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        raise ProfileError(reason) from error
    if not 0 < parsed <= 1:
        raise ProfileError(reason)
    return parsed
