"""Which paths a bundle may hold: the same file under the same name on every system.

A bundle may be written to a folder, on Linux, macOS or Windows. So a path is plain and relative,
has no name that Windows keeps for devices, and no two paths differ only in what a file system may
not tell apart.
"""

import unicodedata
from collections.abc import Iterable

from icfleet_localnet.errors import BundleError

__all__ = ["PATH_SIZE_MAX", "check_paths"]

PATH_SIZE_MAX = 512
"""Bytes of a path."""

_PART_SIZE_MAX = 255
"""Bytes of a file's name. Source: NAME_MAX of the usual file systems."""

_FORBIDDEN = frozenset('\\:"*?<>|\x7f')
"""What Windows does not allow in a name. Control characters are refused as well."""

_CONTROL_MAX = 0x1F

_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)}
)
"""Names that Windows keeps, whatever the suffix. Source: Microsoft, "Naming Files"."""


def check_paths(paths: Iterable[str]) -> None:
    """Refuse paths that a bundle cannot hold.

    Raises:
        BundleError: If a path is not plain, relative and portable, or two of them clash.
    """
    spelled: dict[str, str] = {}
    files: set[str] = set()
    for path in paths:
        _check_path(path)
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            prefix = "/".join(parts[:count])
            known = spelled.setdefault(_folded(prefix), prefix)
            if known != prefix:
                reason = f"{path!r} clashes with {known!r}: they differ only in their spelling"
                raise BundleError(reason)
        files.add(path)
    for path in files:
        folder = path.rpartition("/")[0]
        while folder:
            if folder in files:
                reason = f"{folder!r} is a file, and {path!r} needs a folder there"
                raise BundleError(reason)
            folder = folder.rpartition("/")[0]


def _folded(path: str) -> str:
    """What some file system takes for the same: other case, other composition of accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _check_path(path: str) -> None:
    parts = path.split("/")
    is_plain = path.endswith(".py") and all(_is_plain(part) for part in parts)
    if not is_plain or len(path.encode("utf-8", "surrogatepass")) > PATH_SIZE_MAX:
        reason = f"{path[:PATH_SIZE_MAX]!r} is not a relative path to a Python file"
        raise BundleError(reason)
    for part in parts:
        if part.partition(".")[0].casefold() in _DEVICES:
            reason = f"{path!r} has a name that Windows keeps for a device"
            raise BundleError(reason)


def _is_plain(part: str) -> bool:
    return (
        part not in {"", ".", "..", ".py"}
        and part == part.strip(" ").rstrip(".")
        and len(part.encode("utf-8", "surrogatepass")) <= _PART_SIZE_MAX
        and not any(one in _FORBIDDEN or ord(one) <= _CONTROL_MAX for one in part)
        and not any(unicodedata.category(one) == "Cs" for one in part)
    )
