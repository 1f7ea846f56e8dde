"""``icfleet build``: a module that installs, or every reason why it would not."""

import hashlib
from pathlib import Path

import pytest

from icfleet.build import build
from icfleet_localnet.bundle import read_module
from icfleet_localnet.errors import CanisterSourceError
from icfleet_localnet.kybra_host.frontend import public_service, read_bundle_interface
from icfleet_protocol.candid import parse_did

MAIN = """\
from kybra import Record, StableBTreeMap, Vec, init, nat64, query, text, update, void

from game.scores import best


class Score(Record):
    player: text
    from_: nat64


class Row(Record):
    score: Score


rows = StableBTreeMap[nat64, Row](memory_id=0, max_key_size=15, max_value_size=200)


@init
def begin(limit: nat64) -> void:
    pass


@update
def record(score: Score) -> void:
    pass


@query
def top(count: nat64) -> Vec[Score]:
    return best(count)
"""

DID = """\
type Score = record { player : text; from : nat64 };
service : (nat64) -> {
  "record" : (Score) -> ();
  top : (nat64) -> (vec Score) query;
}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A canister in ``canister/`` that imports a package from ``lib/``."""
    for path, content in {
        "canister/main.py": MAIN,
        "lib/game/__init__.py": "",
        "lib/game/scores.py": "def best(count):\n    return []\n",
        "lib/game/notes.py": "",
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return tmp_path


def test_build_gives_module_interface_and_files(project: Path) -> None:
    """The module holds the sources and the interface clients will read."""
    result = build(project / "canister" / "main.py", [project / "lib"])

    module = read_module(result.wasm)
    assert (module.entry, module.did, module.files) == ("main", DID, result.files)
    assert sorted(result.files) == [
        "game/__init__.py",
        "game/notes.py",
        "game/scores.py",
        "main.py",
    ]
    assert result.did == DID
    assert result.sha256 == hashlib.sha256(result.wasm).digest()
    assert result.warnings == ()


def test_interface_of_the_module_is_what_its_did_says(project: Path) -> None:
    """The network reads the same interface from the sources as clients from the .did."""
    result = build(project / "canister" / "main.py", [project / "lib"])

    interface = public_service(read_bundle_interface(result.files, "main"))

    described = parse_did(result.did)
    assert interface.methods == described.methods
    assert interface.init_args == described.init_args
    assert interface.environment == described.environment


def test_build_is_reproducible(project: Path, tmp_path: Path) -> None:
    """Another folder, another order of the search path: the same bytes."""
    first = build(project / "canister" / "main.py", [project / "lib"])
    moved = tmp_path / "moved"
    (project / "canister").rename(moved)

    second = build(moved / "main.py", [tmp_path, project / "lib"])

    assert second.wasm == first.wasm


def test_output_is_written_beside_its_interface(project: Path) -> None:
    """Folders are made, old files are replaced, and nothing half-written stays."""
    out = project / "build" / "game" / "game.wasm"
    out.parent.mkdir(parents=True)
    out.write_bytes(b"old")

    result = build(project / "canister" / "main.py", [project / "lib"], out)

    assert out.read_bytes() == result.wasm
    assert out.with_suffix(".did").read_text() == DID
    assert sorted(file.name for file in out.parent.iterdir()) == ["game.did", "game.wasm"]


def test_module_that_would_be_left_out_stops_the_build(project: Path) -> None:
    """Kybra itself would build this, and the canister would trap at install."""
    out = project / "game.wasm"

    with pytest.raises(CanisterSourceError) as caught:
        build(project / "canister" / "main.py", [], out)

    assert [(one.code, one.place.line) for one in caught.value.findings] == [("KY402", 3)]
    assert "game" in caught.value.message
    assert not out.exists()


def test_all_errors_are_told_at_once_and_no_warning_among_them(project: Path) -> None:
    """The compiler's refusals and what only a lint sees come in one error."""
    entry = project / "canister" / "main.py"
    entry.write_text(
        "import absent\nfrom kybra import nat, query\nprint(1)\n"
        "@query\ndef a(x) -> nat: ...\n@query\nasync def b() -> nat: ...\n"
    )

    with pytest.raises(CanisterSourceError) as caught:
        build(entry, [])

    assert [one.code for one in caught.value.findings] == ["KY402", "KY104", "KY103"]


def test_warnings_do_not_stop_the_build(project: Path) -> None:
    """What runs otherwise than it reads is told with the result."""
    entry = project / "canister" / "main.py"
    entry.write_text("print(1)\n")

    result = build(entry, [])

    assert [one.code for one in result.warnings] == ["KY701"]
    assert result.did == "service : {\n}\n"
