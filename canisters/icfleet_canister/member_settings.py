"""What an admin may set on each canister of a fleet, by ``configure``."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SETTING_RANGES", "MemberSettings", "settings_problem"]


class MemberSettings(NamedTuple):
    """The settings, with their defaults."""

    pull_idle_s: int = 30
    """Pause between a replica's pulls after five minutes without news."""
    log_pages_max: int = 40_000
    """Pages of the log that are kept, of 8 kB; younger than 25 minutes they stay in any case."""
    rate_limit: int = 100
    """Units of weight that a principal has ..."""
    rate_window_s: int = 60
    """... in each such time."""


#: Lowest and highest value of each setting, in the order of ``MemberSettings``. A replica that
#: slept for longer than 30 s would miss the time in which a rolled-back main listens for it.
SETTING_RANGES = (
    ("pull_idle_s", 1, 30),
    ("log_pages_max", 10, 1_000_000),
    ("rate_limit", 1, 1_000_000),
    ("rate_window_s", 1, 3_600),
)


def settings_problem(settings: MemberSettings) -> str | None:
    """Return what is wrong with the settings, or ``None``."""
    for name, lowest, highest in SETTING_RANGES:
        value = getattr(settings, name)
        if not lowest <= value <= highest:
            return f"{name} is {value}, {lowest} to {highest} allowed"
    return None
