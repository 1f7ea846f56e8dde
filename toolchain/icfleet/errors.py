"""Every error the toolchain raises on purpose; the command line prints each as one line.

ToolchainError
├── ProjectError          dfx.json, pyproject.toml or a file they name is missing or wrong
├── IdentityFileError     a key file that cannot be read or used
├── SourceError           canister sources that cannot be bundled or compiled
│   ├── GenerateError     ... to the glue of a fleet's canister, or the glue is out of date
│   └── KybraError        ... by Kybra: no Python for it, a failed build, a module left out
├── NewProjectError       a new project cannot have this name, or this folder
├── NetworkError          nobody answers at the network's address, or the port is taken
├── DeployError           a canister could not be created, installed or upgraded
├── AttachError           the fleet could not be joined, or its positions never met
│   └── AdminRefusedError     ... because a canister refuses an admin's call
├── SwitchOverError       another canister could not be made main, or only in part
├── CanisterSettingsError settings of a canister that cannot be read, or must not or did not change
└── CallError             arguments or a method that do not fit the canister's interface
"""

__all__ = [
    "AdminRefusedError",
    "AttachError",
    "CallError",
    "CanisterSettingsError",
    "DeployError",
    "GenerateError",
    "IdentityFileError",
    "KybraError",
    "NetworkError",
    "NewProjectError",
    "SourceError",
    "SwitchOverError",
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


class GenerateError(SourceError):
    """A canister's own modules do not make a fleet's canister, or its glue is not what it was."""


class NewProjectError(ToolchainError):
    """A new project cannot be called so, or its folder is in use."""


class KybraError(SourceError):
    """Kybra could not be run, failed, or left a source file out of the module."""


class NetworkError(ToolchainError):
    """The network does not answer, or its address is already taken."""


class DeployError(ToolchainError):
    """A canister could not be created, installed or upgraded."""


class AttachError(ToolchainError):
    """A replica could not be joined to its main, or did not catch up in time."""


class CanisterSettingsError(ToolchainError):
    """A canister's settings cannot be read, must not be changed so, or were not."""


class AdminRefusedError(AttachError):
    """A canister refuses an admin's call; it has changed nothing.

    Attributes:
        code: Why, in the canister's stable word, such as ``WrongEpoch``.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class SwitchOverError(ToolchainError):
    """A canister was not made main, or the others do not follow it yet; the message says which."""


class CallError(ToolchainError):
    """A call that does not fit the canister's interface, found before anything was sent."""
