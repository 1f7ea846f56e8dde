"""Every error the local network raises on purpose.

LocalnetError
├── AddressError          asked to listen where others could reach it
├── PortInUseError        another program listens there
├── BundleError           a module that cannot be installed here
│   └── WasmCodeError     ... because it is compiled code, not sources
├── StateDirectoryError   a --state-dir that is in use, damaged, or of another version
├── TopologyError         a number of subnets or nodes that cannot be
├── ProfileError          no such profile, or a scale that does not fit it (``profiles``)
├── OverloadedError       a modelled node takes no more queries (``thread_model``)
├── FaultRuleError        a fault rule or command that makes no sense (``fault_rules``)
├── KybraMissingError     the kybra package is not installed
└── CanisterSourceError   Kybra's compiler would refuse these sources, or drop part of them
"""

from collections.abc import Sequence

from icfleet_localnet.kybra_host.findings import Finding

__all__ = [
    "AddressError",
    "BundleError",
    "CanisterSourceError",
    "KybraMissingError",
    "LocalnetError",
    "PortInUseError",
    "StateDirectoryError",
    "TopologyError",
    "WasmCodeError",
]


class LocalnetError(Exception):
    """Root of the package's errors."""


class AddressError(LocalnetError):
    """The network runs the code it is sent, so it listens on loopback only."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is not a loopback address; use 127.0.0.1")
        self.host = host


class PortInUseError(LocalnetError):
    """Another program listens there already."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"{host}:{port} is in use: stop the other program, or choose another --port"
        )
        self.host = host
        self.port = port


class StateDirectoryError(LocalnetError):
    """A state directory cannot be used; the message says why, and what to do."""


class TopologyError(LocalnetError):
    """A network of this many subnets or nodes cannot be."""

    def __init__(self, name: str, value: int, value_max: int) -> None:
        super().__init__(f"{value} {name}: choose 1 to {value_max}")
        self.name = name
        self.value = value


class BundleError(LocalnetError):
    """A module's bytes are malformed, too large, or hold no canister sources.

    Attributes:
        reason: What is wrong, for people.
        offset_bytes: Where in the (inflated) module, when known.
    """

    def __init__(self, reason: str, *, offset_bytes: int | None = None) -> None:
        where = "" if offset_bytes is None else f" at byte {offset_bytes}"
        super().__init__(f"{reason}{where}")
        self.reason = reason
        self.offset_bytes = offset_bytes


class WasmCodeError(BundleError):
    """The module holds compiled code, such as Kybra's own output."""

    def __init__(self, offset_bytes: int) -> None:
        reason = (
            "this module holds Wasm code, and the local network runs Python sources: "
            "build it with `icfleet build` instead"
        )
        super().__init__(reason, offset_bytes=offset_bytes)


class KybraMissingError(LocalnetError):
    """Canisters import ``kybra``, and this interpreter has no such package."""

    def __init__(self) -> None:
        super().__init__("the kybra package is not installed: pip install 'icfleet[localnet]'")


class CanisterSourceError(LocalnetError):
    """Sources that would not compile, not install, or lack something they declare.

    Attributes:
        findings: Everything that is wrong, in the order of files and lines; at least one.
        file, line, code, message, fix: Those of the first finding.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        assert findings, "an error says what is wrong"
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = tuple(findings)

    @property
    def file(self) -> str:
        """The first finding's file."""
        return self.findings[0].place.file

    @property
    def line(self) -> int:
        """The first finding's line, from 1."""
        return self.findings[0].place.line

    @property
    def code(self) -> str:
        """The first finding's rule, such as ``KY104``."""
        return self.findings[0].code

    @property
    def message(self) -> str:
        """What is wrong at the first finding."""
        return self.findings[0].message

    @property
    def fix(self) -> str:
        """What to write instead at the first finding."""
        return self.findings[0].fix
