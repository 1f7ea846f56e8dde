"""Locust users that play through a fleet: one user is one player, in one greenlet."""

import logging
import os
import weakref
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NoReturn, cast

import gevent
import gevent.lock
import locust
from locust import User

from icfleet_loadtests.calls import CallReport, FleetOpener, ReceiptPort, SessionPort
from icfleet_loadtests.connection import FleetConnection
from icfleet_loadtests.errors import (
    BridgeError,
    CallFailedError,
    FleetUnavailableError,
    WrongAnswerError,
)
from icfleet_loadtests.locust_port import EnvironmentPort
from icfleet_loadtests.options import LoadOptions, options_of, register
from icfleet_loadtests.records import record_file_of
from icfleet_protocol.errors import IdentityError
from icfleet_protocol.identity import AnonymousIdentity, Ed25519Identity, Identity
from icfleet_protocol.principal import Principal
from icfleet_router import Fleet, FleetConfig

__all__ = ["FleetUser"]

EXIT_FAILED = 1

_MS_PER_S = 1000.0

_log = logging.getLogger(__name__)


class FleetUser(User):
    """A player; subclass it, and give it tasks that call ``submit`` and ``query``.

    All players of a process share one fleet, opened by the first of them; each has a session of
    its own. A subclass with an ``on_start`` calls this one first.
    """

    abstract = True

    dfx_json: ClassVar[str | Path] = "dfx.json"
    """The project; a locustfile names it from its own place, to be run from anywhere."""

    identity_pem: ClassVar[str | Path | None] = None
    """Key that signs for all players, as a game server does; ``None`` to go unsigned."""

    fleet_config: ClassVar[FleetConfig] = FleetConfig()

    def __init_subclass__(cls) -> None:
        # Locust asks for options after it has read the locustfile, which defines this class.
        super().__init_subclass__()
        register(locust.events)

    def on_start(self) -> None:
        """Join the process's fleet; end the test if there is none."""
        environment = cast("EnvironmentPort", self.environment)
        try:
            self._connection = _join(environment, self)
            self._session: SessionPort = self._connection.session()
        except (FleetUnavailableError, BridgeError) as error:
            _end_test(environment, error)
            self.leave()

    def leave(self) -> NoReturn:
        """End this player in silence: of ``StopUser`` in ``on_start`` Locust logs a traceback."""
        raise gevent.GreenletExit

    def submit(
        self,
        operation: Mapping[str, object],
        *,
        subject: Principal,
        refusals_expected: Collection[str] = (),
    ) -> ReceiptPort | None:
        """Write one operation, counted by Locust under its case and main's name.

        Args:
            operation: One case of the canister's ``Operation`` variant.
            subject: Whose operation it is.
            refusals_expected: Codes of rules whose no counts as an answer, not as a failure.

        Returns:
            The receipt; ``None`` if the operation was refused or failed.
        """
        report = self._connection.submit(self._session, operation, subject, refusals_expected)
        return cast("ReceiptPort | None", self._count(report))

    def query(
        self, method: str, *args: object, complaint: Callable[[Any], str | None] | None = None
    ) -> Any:
        """Read, counted by Locust under the method and the canister that answered.

        Args:
            method: A query of the .did.
            args: Its arguments, as Python values.
            complaint: Says what is wrong with the answer, ``None`` if nothing is; a wrong answer
                counts as a failure.

        Returns:
            The decoded result; ``None`` if the call failed.
        """
        report = self._connection.query(self._session, method, *args)
        if complaint is not None and report.error is None:
            problem = complaint(report.value)
            if problem is not None:
                error = CallFailedError(WrongAnswerError(problem))
                report = replace(report, value=None, error=error)
        return self._count(report)

    def context(self) -> dict[str, object]:
        """Return what listeners of Locust's request event get beside the figures."""
        return {}

    def open_fleet(self) -> Fleet:
        """Make the fleet of this process; override it to choose another project or key.

        Raises:
            FleetUnavailableError: If the key cannot be read.
            ProjectError: If the project cannot be read.
        """
        environment = cast("EnvironmentPort", self.environment)
        return Fleet.from_dfx(
            self.dfx_json,
            network=options_of(environment).network,
            host=self.host or environment.host,
            identity=_read_identity(self.identity_pem),
            config=self.fleet_config,
        )

    def _count(self, report: CallReport) -> Any:
        environment = cast("EnvironmentPort", self.environment)
        environment.events.request.fire(
            request_type=report.kind,
            name=report.name,
            response_time=report.duration_s * _MS_PER_S,
            response_length=0,
            exception=report.error,
            context=self.context(),
        )
        if report.error is not None:
            _tell_once(report.name, report.error)
        return report.value


_connections: weakref.WeakKeyDictionary[
    EnvironmentPort, FleetConnection | FleetUnavailableError
] = weakref.WeakKeyDictionary()
_joining = gevent.lock.BoundedSemaphore(1)
_told: set[tuple[str, str]] = set()


def _join(environment: EnvironmentPort, user: FleetUser) -> FleetConnection:
    """Return the environment's connection; the first player opens it while the others wait."""
    with _joining:
        connection = _connections.get(environment)
        if connection is None:
            connection = _connect(environment, user.open_fleet, options_of(environment))
            _connections[environment] = connection
    if isinstance(connection, FleetUnavailableError):
        raise connection
    return connection


def _connect(
    environment: EnvironmentPort, open_fleet: FleetOpener, options: LoadOptions
) -> FleetConnection | FleetUnavailableError:
    path = options.record_path
    connection = FleetConnection(
        open_fleet, None if path is None else record_file_of(path, os.getpid())
    )
    try:
        connection.open()
    except FleetUnavailableError as error:
        return error

    def leave(environment: EnvironmentPort, **_: object) -> None:
        if _connections.pop(environment, None) is not None:
            connection.close()

    # The first of them comes when the players have left; a test that is started again joins anew.
    environment.events.test_stop.add_listener(leave)
    environment.events.quitting.add_listener(leave)
    return connection


def _end_test(environment: EnvironmentPort, error: Exception) -> None:
    if environment.process_exit_code is None:
        environment.process_exit_code = EXIT_FAILED
        _log.error("no fleet to play with: %s", error)
        runner = environment.runner
        if runner is not None:
            # Not from here: quitting kills this greenlet too.
            gevent.spawn(runner.quit)


def _tell_once(name: str, error: CallFailedError) -> None:
    """Log the first failure of each kind in full; statistics count the others."""
    key = (name, repr(error))
    if key not in _told:
        _told.add(key)
        _log.warning("%s failed: %s", name, error)


def _read_identity(pem: str | Path | None) -> Identity:
    if pem is None:
        return AnonymousIdentity()
    path = Path(pem)
    try:
        return Ed25519Identity.from_pem(path.read_text(encoding="ascii"))
    except FileNotFoundError as error:
        message = f"{path}: no such key file; 'icfleet up' makes it"
        raise FleetUnavailableError(message) from error
    except (OSError, UnicodeDecodeError, IdentityError) as error:
        message = f"{path}: no usable key"
        raise FleetUnavailableError(message) from error
