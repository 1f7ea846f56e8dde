"""The parts of Locust that this package uses, with their types: Locust annotates few of them."""

from collections.abc import Callable, Mapping
from typing import Protocol

__all__ = ["EntryPort", "EnvironmentPort", "ErrorPort", "HookPort", "HooksPort", "RunnerPort"]


class HookPort(Protocol):
    """One of Locust's events."""

    def add_listener(self, handler: Callable[..., None]) -> object:
        """Call ``handler`` with the event's named arguments whenever it is fired."""
        ...

    def fire(self, **arguments: object) -> None:
        """Call all listeners; what they raise is logged."""
        ...


class HooksPort(Protocol):
    """Locust's events."""

    init: HookPort
    init_command_line_parser: HookPort
    quit: HookPort
    quitting: HookPort
    request: HookPort
    test_stop: HookPort


class EntryPort(Protocol):
    """One line of Locust's statistics."""

    num_requests: int
    num_failures: int
    response_times: Mapping[int, int]


class ErrorPort(Protocol):
    """One kind of failure."""

    occurrences: int

    def to_name(self) -> str:
        """What failed, and how."""
        ...


class StatsPort(Protocol):
    """Locust's statistics."""

    entries: Mapping[tuple[str, str], EntryPort]
    errors: Mapping[str, ErrorPort]

    @property
    def start_time(self) -> float:
        """When counting began, in seconds since 1970."""
        ...

    @property
    def last_request_timestamp(self) -> float | None:
        """When the last call ended, in seconds since 1970."""
        ...


class RunnerPort(Protocol):
    """What makes users."""

    user_count: int

    def quit(self) -> None:
        """Stop all users, then Locust."""
        ...


class EnvironmentPort(Protocol):
    """What a test runs in."""

    events: HooksPort
    host: str | None
    parsed_options: object
    process_exit_code: int | None
    runner: RunnerPort | None
    stats: StatsPort
