"""The folder of ``--state-dir``: who may have it, what it must look like, how it is kept."""

import json
import os
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from icfleet_localnet.errors import StateDirectoryError
from icfleet_localnet.journal import Digest, Entry, Round, encode_entry
from icfleet_localnet.state_directory import StateDirectory

ENTRIES: list[Entry] = [Round(number, (number,), (number,)) for number in range(20)]


def opened(path: Path, **changes: Any) -> AbstractContextManager[StateDirectory]:
    fields: dict[str, Any] = {
        "subnets": 1,
        "profile": "fast 1",
        "executor": "inprocess",
        "now_ns": 5,
    }
    return StateDirectory.open(path, **{**fields, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory that was used before."""
    with opened(tmp_path / "state") as state:
        for entry in ENTRIES:
            state.append(entry)
    return tmp_path / "state"


def read(state: StateDirectory) -> list[Entry]:
    return [entry for _, entry in state.entries()]


def test_what_was_recorded_is_there_again(folder: Path) -> None:
    """With the seed and the start of the network that it was made with."""
    with opened(folder, now_ns=99) as state:
        seed, started_ns = state.seed, state.origin.started_ns
        assert read(state) == ENTRIES
        state.append(Digest(b"new"))

    with opened(folder) as state:
        assert read(state) == [*ENTRIES, Digest(b"new")]
        assert (state.seed, started_ns) == (seed, 5)
    assert len(seed) == 32


def test_only_its_owner_may_read_it(folder: Path) -> None:
    """It holds the network's secret keys."""
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
    assert modes == {"network.json": 0o600, "journal": 0o600}


def test_a_torn_tail_is_cut_off(folder: Path) -> None:
    """At every byte of the last frame; what is recorded then is readable again."""
    whole = (folder / "journal").read_bytes()
    last = len(encode_entry(ENTRIES[-1]))

    for cut in range(1, last + 1):
        (folder / "journal").write_bytes(whole[:-cut])
        with opened(folder) as state:
            assert read(state) == ENTRIES[:-1]
            state.append(Digest(b"next"))
        with opened(folder) as state:
            assert read(state) == [*ENTRIES[:-1], Digest(b"next")]


def test_damage_before_the_end_is_an_error(folder: Path) -> None:
    """And changes nothing: somebody may be able to repair it."""
    journal = bytearray((folder / "journal").read_bytes())
    journal[len(journal) // 2] ^= 1
    (folder / "journal").write_bytes(journal)

    with opened(folder) as state, pytest.raises(StateDirectoryError, match="damaged at byte"):
        read(state)

    assert (folder / "journal").read_bytes() == journal


def test_one_network_at_a_time_may_have_it(folder: Path) -> None:
    """Two would write their entries among each other's."""
    with (
        opened(folder),
        pytest.raises(StateDirectoryError, match="is in use by another local network"),
        opened(folder),
    ):
        pytest.fail("it is in use")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"subnets": 2}, "made with subnets 1, and this is 2"),
        ({"profile": "mainnet 1/100"}, "made with profile fast 1, and this is mainnet 1/100"),
        ({"executor": "process"}, "made with executor inprocess, and this is process"),
    ],
)
def test_another_network_is_refused(folder: Path, changes: dict[str, Any], told: str) -> None:
    """It would compute another state from the same journal."""
    with pytest.raises(StateDirectoryError, match=told), opened(folder, **changes):
        pytest.fail("it is another network's")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"icfleet": "0.0.1"}, "made with icfleet version 0.0.1, and this is"),
        ({"python": "3.99"}, "made with Python 3.99, and this is"),
        ({"format": 3}, "was written in format 3 by another version of icfleet"),
        ({"format": 3, "seed": None, "new": 1}, "was written in format 3 by another version"),
        ({"seed": "00"}, "is damaged"),
        ({"seed": "xyz"}, "is damaged"),
        ({"subnets": "one"}, "is damaged"),
        ({"unknown": 1}, "is damaged"),
    ],
)
def test_another_versions_folder_is_refused(
    folder: Path, changes: dict[str, Any], told: str
) -> None:
    """Each error says what to do."""
    file = folder / "network.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    with pytest.raises(StateDirectoryError, match=told) as caught, opened(folder):
        pytest.fail("it is another version's")
    assert "choose another folder" in str(caught.value)


def test_a_half_written_description_is_refused(folder: Path) -> None:
    """Wherever it was cut off."""
    file = folder / "network.json"
    content = file.read_bytes()

    for size in range(0, len(content) - 1, 7):
        file.write_bytes(content[:size])
        with pytest.raises(StateDirectoryError, match="is damaged"), opened(folder):
            pytest.fail("it is half a file")


def test_a_journal_without_its_description_is_refused(folder: Path) -> None:
    """A new seed would make another network of it."""
    (folder / "network.json").unlink()

    with pytest.raises(StateDirectoryError, match=r"no network\.json"), opened(folder):
        pytest.fail("the seed is lost")


def test_a_start_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    """Nothing was recorded yet: an empty journal, and a draft of the description."""
    (tmp_path / "journal").touch()
    (tmp_path / ".network.json.draft").write_text('{"form')

    with opened(tmp_path) as state:
        state.append(Digest(b""))
    with opened(tmp_path) as state:
        assert read(state) == [Digest(b"")]


@pytest.mark.parametrize(
    "path",
    [Path("/sys/icfleet"), Path("/dev/null"), Path("/dev/null/state")],
    ids=["read-only", "a-file", "below-a-file"],
)
def test_a_place_that_cannot_be_written_is_named(path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(StateDirectoryError, match=f"{path} cannot be used"), opened(path):
        pytest.fail("nobody can write there")


def test_other_peoples_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(StateDirectoryError, match="holds other files"), opened(tmp_path):
        pytest.fail("it is somebody's")
    with pytest.raises(StateDirectoryError, match="is a file"), opened(tmp_path / "notes.txt"):
        pytest.fail("it is no folder")

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_in_place_of_the_journal_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    (tmp_path / "journal").mkdir()

    with pytest.raises(StateDirectoryError, match="Is a directory"), opened(tmp_path):
        pytest.fail("it is a folder")


def test_the_journal_is_not_inherited_by_child_processes(tmp_path: Path) -> None:
    """A canister's process that lives on must not keep the folder locked."""
    with opened(tmp_path):
        files = [file for file in Path("/proc/self/fd").iterdir() if file.exists()]
        ours = [file for file in files if file.resolve() == tmp_path / "journal"]
        assert [os.get_inheritable(int(file.name)) for file in ours] == [False]


def test_entries_are_recorded_fast(tmp_path: Path) -> None:
    """An update costs two: they must not be what limits the network."""
    with opened(tmp_path) as state:
        before_s = time.perf_counter()
        for number in range(2_000):
            state.append(Round(number, (number,), (number,)))
        took_s = time.perf_counter() - before_s

    assert took_s < 1
