"""Every error the load tests raise on purpose.

LoadError
├── BridgeError              between greenlets and the event loop, not from the fleet
│   ├── BridgeClosedError    the bridge is not running, or ended before the answer came
│   ├── BridgeBusyError      more calls in flight than the bridge allows
│   └── BridgeTimeoutError   no answer within the call's time
├── FleetUnavailableError    the fleet cannot be opened: no project, key or network
└── RecordError              the record of acknowledged operations cannot be written
"""

from pathlib import Path

__all__ = [
    "BridgeBusyError",
    "BridgeClosedError",
    "BridgeError",
    "BridgeTimeoutError",
    "CallFailedError",
    "FleetUnavailableError",
    "LoadError",
    "RecordError",
    "WrongAnswerError",
]

_CAUSES_MAX = 4
"""Router, agent, transport, operating system: no chain says more."""


class LoadError(Exception):
    """Root of the package's errors."""


class BridgeError(LoadError):
    """The way between a greenlet and the event loop failed; the fleet may be well."""


class BridgeClosedError(BridgeError):
    """The bridge is not running, or was closed before the call's answer came."""

    def __init__(self) -> None:
        super().__init__("the bridge to the event loop is closed")


class BridgeBusyError(BridgeError):
    """So many calls are in flight that another is refused.

    Attributes:
        calls_max: The bridge's limit.
    """

    def __init__(self, calls_max: int) -> None:
        super().__init__(f"{calls_max} calls are in flight already")
        self.calls_max = calls_max


class BridgeTimeoutError(BridgeError):
    """The call took longer than its backstop; it goes on in the loop, and nobody waits for it.

    Attributes:
        timeout_s: How long the greenlet waited, in seconds.
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"no answer from the event loop in {timeout_s:g} s")
        self.timeout_s = timeout_s


class CallFailedError(LoadError):
    """A player's call failed.

    It shows as the classes of the causes, outermost first: their messages hold ids and times, and
    would make every failure a kind of its own in a report.
    """

    def __init__(self, failure: BaseException) -> None:
        super().__init__(str(failure))
        self.__cause__ = failure

    def __repr__(self) -> str:
        names: list[str] = []
        error = self.__cause__
        while error is not None and len(names) < _CAUSES_MAX:
            names.append(type(error).__name__)
            error = error.__cause__
        return " < ".join(names)


class FleetUnavailableError(LoadError):
    """The fleet cannot be opened; the error that says why is the ``__cause__``."""


class WrongAnswerError(LoadError):
    """An answer that contradicts what the player knows."""


class RecordError(LoadError):
    """The record of acknowledged operations cannot be written.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
