"""Every error the toolchain raises on purpose; the command line prints each as one line.

ToolchainError
├── ProjectError          dfx.json, pyproject.toml or a file they name is missing or wrong
├── IdentityFileError     a key file that cannot be read or used
├── SourceError           canister sources that cannot be bundled or compiled
│   └── KybraError        ... by Kybra: no Python for it, a failed build, a module left out
├── NetworkError          nobody answers at the network's address, or the port is taken
├── DeployError           a canister could not be created, installed or upgraded
├── AttachError           the fleet could not be joined, or its positions never met
└── CallError             arguments or a method that do not fit the canister's interface
"""

__all__ = [
    "AttachError",
    "CallError",
    "DeployError",
    "IdentityFileError",
    "KybraError",
    "NetworkError",
    "SourceError",
    "ToolchainError",
]


class ToolchainError(Exception):
    """Root of the toolchain's errors.

    Attributes:
        detail: Lines to print below the message, such as a canister's traceback; often empty.
    """

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class IdentityFileError(ToolchainError):
    """A key file is missing, unreadable, or holds no key we can sign with."""


class SourceError(ToolchainError):
    """A canister's sources cannot be made into a module."""


class KybraError(SourceError):
    """Kybra could not be run, failed, or left a source file out of the module."""


class NetworkError(ToolchainError):
    """The network does not answer, or its address is already taken."""


class DeployError(ToolchainError):
    """A canister could not be created, installed or upgraded."""


class AttachError(ToolchainError):
    """A replica could not be joined to its main, or did not catch up in time."""


class CallError(ToolchainError):
    """A call that does not fit the canister's interface, found before anything was sent."""
