"""``--state-dir``: a network that goes on where it stopped.

The folder holds ``network.json`` (how the network was made, with its secret seed) and ``journal``
(what was put in since). One process at a time may have it open.
"""

import fcntl
import mmap
import os
import secrets
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from io import FileIO
from pathlib import Path
from typing import Self

import msgspec

from icfleet_localnet.errors import StateDirectoryError
from icfleet_localnet.journal import Entry, decode_entries, encode_entry

__all__ = ["FORMAT", "Origin", "StateDirectory"]

FORMAT = 2
_SEED_SIZE = 32
_ORIGIN_FILE, _DRAFT_FILE, _JOURNAL_FILE = "network.json", ".network.json.draft", "journal"
_OWN_FILES = frozenset({_ORIGIN_FILE, _DRAFT_FILE, _JOURNAL_FILE})
_ORIGIN_SIZE_MAX = 64 * 1024
_CHECKED = {
    "format": "format",
    "icfleet": "icfleet version",
    "python": "Python",
    "subnets": "subnets",
    "profile": "profile",
    "executor": "executor",
}
"""What must be the same again, with the word for it."""


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the network was made; a replay needs the same again."""

    format: int
    icfleet: str
    """Version: another one may compute another state from the same journal."""
    python: str
    """Version without the patch: tracebacks that canisters' errors carry depend on it."""
    subnets: int
    profile: str
    executor: str
    started_ns: int
    seed: str
    """Hexadecimal; the network's keys follow from it."""


class StateDirectory:
    """An open state directory."""

    def __init__(self, path: Path, origin: Origin, journal: FileIO) -> None:
        self.path = path
        self.origin = origin
        self._journal = journal

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, *, subnets: int, profile: str, executor: str, now_ns: int
    ) -> Generator[Self]:
        """Open a directory, or make one.

        Args:
            path: The folder.
            subnets: How many the network has.
            profile: Its name, and whatever else changes what is computed.
            executor: Its name.
            now_ns: When the network starts, if it is new.

        Raises:
            StateDirectoryError: If it is in use, damaged, or was made by another version or for
                another network.
        """
        wanted = Origin(
            format=FORMAT,
            icfleet=version("icfleet"),
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            subnets=subnets,
            profile=profile,
            executor=executor,
            started_ns=now_ns,
            seed=secrets.token_hex(_SEED_SIZE),
        )
        _check_ours(path)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            journal = FileIO(path / _JOURNAL_FILE, "r+", opener=_open_privately)
        except OSError as error:
            raise _unusable(path, error) from error
        with journal:
            _lock(path, journal)
            try:
                origin = _read_or_write_origin(path, wanted, journal)
            except OSError as error:
                raise _unusable(path, error) from error
            _check_origin(path, origin, wanted)
            yield cls(path, origin, journal)

    @property
    def seed(self) -> bytes:
        """What the network's keys follow from."""
        return bytes.fromhex(self.origin.seed)

    @property
    def size_bytes(self) -> int:
        """Bytes of the journal."""
        return os.fstat(self._journal.fileno()).st_size

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Read what was recorded, each entry with the offset of its end; cut off a torn tail.

        Raises:
            StateDirectoryError: If an entry is damaged.
        """
        end = 0
        size = self.size_bytes
        if size:
            # A view, so that an entry costs no copy of what follows it.
            with (
                mmap.mmap(self._journal.fileno(), size, access=mmap.ACCESS_READ) as mapped,
                memoryview(mapped) as data,
            ):
                for end, entry in decode_entries(data):
                    yield end, entry
        self._journal.truncate(end)
        self._journal.seek(end)

    def append(self, entry: Entry) -> None:
        """Record an entry; it survives the end of this process, though not that of the computer.

        Raises:
            StateDirectoryError: If there is no room; the journal is as it was before.
        """
        frame = encode_entry(entry)
        start = self._journal.tell()
        try:
            if self._journal.write(frame) == len(frame):
                return
            reason = "no space left on device"
        except OSError as error:
            reason = str(error.strerror)
        self._journal.truncate(start)
        self._journal.seek(start)
        message = f"{self.path} cannot be written: {reason}"
        raise StateDirectoryError(message)


def _open_privately(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _unusable(path: Path, error: OSError) -> StateDirectoryError:
    return StateDirectoryError(f"{path} cannot be used for --state-dir: {error.strerror}")


def _check_ours(path: Path) -> None:
    """Leave other people's folders alone."""
    if path.is_dir():
        others = {entry.name for entry in path.iterdir()} - _OWN_FILES
        if others and not (path / _ORIGIN_FILE).exists():
            reason = f"{path} holds other files and no network: choose a folder of its own"
            raise StateDirectoryError(reason)
    elif path.is_file():
        reason = f"{path} is a file: choose a folder"
        raise StateDirectoryError(reason)


def _lock(path: Path, journal: FileIO) -> None:
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        reason = f"{path} is in use by another local network: stop it, or choose another folder"
        raise StateDirectoryError(reason) from error


def _read_or_write_origin(path: Path, wanted: Origin, journal: FileIO) -> Origin:
    file = path / _ORIGIN_FILE
    if file.exists():
        return _read_origin(file)
    if os.fstat(journal.fileno()).st_size:
        reason = f"{path} has a journal and no network.json: it is damaged, choose another folder"
        raise StateDirectoryError(reason)
    draft = path / _DRAFT_FILE
    draft.touch(mode=0o600)
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(wanted)))
    draft.replace(file)
    return wanted


def _read_origin(file: Path) -> Origin:
    content = file.read_bytes()[:_ORIGIN_SIZE_MAX]
    try:
        # Another format may have other fields, and its number says more than those.
        _check_format(file, content)
        origin = msgspec.json.decode(content, type=Origin)
        is_seed = len(bytes.fromhex(origin.seed)) == _SEED_SIZE
    except (msgspec.DecodeError, ValueError) as error:
        reason = f"{file} is damaged ({error}): choose another folder"
        raise StateDirectoryError(reason) from error
    if not is_seed:
        reason = f"{file} is damaged (a seed has {_SEED_SIZE} bytes): choose another folder"
        raise StateDirectoryError(reason)
    return origin


class _Format(msgspec.Struct):
    format: int


def _check_format(file: Path, content: bytes) -> None:
    found = msgspec.json.decode(content, type=_Format).format
    if found != FORMAT:
        reason = (
            f"{file.parent} was written in format {found} by another version of icfleet, and this "
            f"one writes format {FORMAT}: use that version, or choose another folder"
        )
        raise StateDirectoryError(reason)


def _check_origin(path: Path, found: Origin, wanted: Origin) -> None:
    for name, word in _CHECKED.items():
        before, now = getattr(found, name), getattr(wanted, name)
        if before != now:
            reason = (
                f"{path} was made with {word} {before}, and this is {now}: start with the same "
                "again, or choose another folder"
            )
            raise StateDirectoryError(reason)
