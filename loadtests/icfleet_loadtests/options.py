"""What the package adds to Locust's own options, on the command line or in the environment."""

import weakref
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import gevent

from icfleet_loadtests.live import watch
from icfleet_loadtests.locust_port import EnvironmentPort, HooksPort

__all__ = ["LoadOptions", "options_of", "register"]

DEFAULT_NETWORK = "local"
"""Where ``icfleet up`` keeps its canister ids."""


class _OptionGroup(Protocol):
    # Locust's parser is configargparse's, which takes the name of an environment variable too.
    def add_argument(self, name: str, *, metavar: str, help: str, env_var: str) -> object: ...  # noqa: A002 - its name


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """The package's options.

    Attributes:
        network: Which network's canister ids to use; where it is, ``--host`` says.
        record_path: Where to record acknowledged operations; each process adds its id.
        live_path: Where to write the figures once a second.
    """

    network: str = DEFAULT_NETWORK
    record_path: Path | None = None
    live_path: Path | None = None


_registered: weakref.WeakSet[HooksPort] = weakref.WeakSet()


def register(events: object) -> None:
    """Add the options and the live figures to Locust; a second time does nothing.

    Making a subclass of ``FleetUser`` does this; a locustfile with other users calls it.

    Args:
        events: ``locust.events``.
    """
    hooks = cast("HooksPort", events)
    if hooks in _registered:
        return
    _registered.add(hooks)
    hooks.init_command_line_parser.add_listener(_add_options)
    hooks.init.add_listener(_on_init)


def options_of(environment: EnvironmentPort) -> LoadOptions:
    """Read the options; defaults where ``register`` was not called."""
    parsed = environment.parsed_options
    return LoadOptions(
        network=getattr(parsed, "icfleet_network", None) or DEFAULT_NETWORK,
        record_path=_path(getattr(parsed, "icfleet_record", None)),
        live_path=_path(getattr(parsed, "icfleet_live", None)),
    )


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _add_options(parser: ArgumentParser, **_: object) -> None:
    group = cast("_OptionGroup", parser.add_argument_group("icfleet"))
    for name, help_text in (
        ("network", "network of dfx.json whose canister ids are used (default: local)"),
        ("record", "record acknowledged operations in this file or folder, for an audit"),
        ("live", "write the figures to this file once a second, as JSON"),
    ):
        group.add_argument(
            f"--icfleet-{name}",
            metavar="NAME" if name == "network" else "PATH",
            help=help_text,
            env_var=f"ICFLEET_{name.upper()}",
        )


def _on_init(environment: EnvironmentPort, **_: object) -> None:
    # Timers count from the time that gevent's loop saw last, and it has seen none while the
    # locustfile was imported: without this a test of 30 s ends seconds early.
    gevent.get_hub().loop.update_now()
    path = options_of(environment).live_path
    if path is not None:
        watch(environment, path)
