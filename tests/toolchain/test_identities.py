"""Key files on disk."""

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from icfleet.errors import IdentityFileError
from icfleet.identities import load_identity, load_or_create_identity
from icfleet_protocol.identity import Ed25519Identity


def test_a_new_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """The file has mode 0600 and its folder 0700, whatever the umask."""
    path = tmp_path / "identities" / "admin.pem"
    umask = os.umask(0)
    try:
        load_or_create_identity(path)
    finally:
        os.umask(umask)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["admin.pem"]


def test_the_same_key_comes_back(tmp_path: Path) -> None:
    """A key is made once, and loading never replaces it."""
    path = tmp_path / "admin.pem"

    first = load_or_create_identity(path)

    assert load_or_create_identity(path).sender == first.sender
    assert load_identity(path).sender == first.sender


def test_a_key_made_meanwhile_is_kept(tmp_path: Path) -> None:
    """When several make the same key at once, all use the one that was first."""
    path = tmp_path / "admin.pem"
    start = threading.Barrier(8)

    def load(_: int) -> Ed25519Identity:
        start.wait()
        return load_or_create_identity(path)

    with ThreadPoolExecutor(8) as pool:
        senders = {identity.sender for identity in pool.map(load, range(8))}

    assert len(senders) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["admin.pem"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "no such key file", id="missing"),
        pytest.param(b"hello", "not a PEM file", id="no-pem"),
        pytest.param(b"\xff\xfe", "it is not text", id="binary"),
        pytest.param(
            b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
            "no plain Ed25519 key",
            id="other-key",
        ),
    ],
)
def test_an_unusable_key_file_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """The error names file and reason, and never quotes the content."""
    path = tmp_path / "admin.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(IdentityFileError, match=reason) as caught:
        load_identity(path)

    assert str(path) in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A file in the folder's place is told, not raised as an OSError."""
    (tmp_path / "identities").write_text("in the way")

    with pytest.raises(IdentityFileError, match="cannot write the key"):
        load_or_create_identity(tmp_path / "identities" / "admin.pem")
