"""``icfleet generate``: the glue of a fleet's canister, written from its own modules."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from icfleet.errors import GenerateError
from icfleet.generate import check_canister, generate_canister
from icfleet.generate_sources import OwnSources, read_own_sources
from icfleet.lint import lint_paths
from icfleet_canister import change_log, member_state, row_kinds
from icfleet_localnet.errors import CanisterSourceError
from icfleet_localnet.kybra_host.frontend import read_interface
from icfleet_localnet.kybra_host.source_graph import collect_sources
from icfleet_protocol.candid import encode
from icfleet_protocol.candid.types import blob, text

ROOT = Path(__file__).parents[2]
CANISTERS = [ROOT / "canisters" / "game", ROOT / "examples" / "counter"]
COUNTER = (ROOT / "examples" / "counter" / "counter.py").read_text()
RunIcfleet = Callable[..., "subprocess.CompletedProcess[str]"]

OPERATION = "class Operation(Variant, total=False):\n    Stop: null\n"
APP = "app = Application(operations=[], kinds=[], authority={})\n"


def read(folder: Path, **modules: str) -> OwnSources:
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    return read_own_sources(folder)


def problems(folder: Path, **modules: str) -> str:
    """What the generator says against these modules, without the folder's own path."""
    with pytest.raises(GenerateError) as told:
        read(folder, **modules)
    return told.value.detail.replace(f"{folder}/", "")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the example's canister, under another name, and no glue yet."""
    folder = tmp_path / "canisters" / "tally"
    folder.mkdir(parents=True)
    (folder / "tally.py").write_text(COUNTER)
    return tmp_path


@pytest.mark.parametrize("folder", CANISTERS, ids=lambda folder: folder.name)
def test_the_glue_in_the_repository_is_what_is_generated(folder: Path) -> None:
    """Nothing was changed by hand, and nothing was forgotten after a change."""
    changed = [line for one in check_canister(ROOT, folder) for line in one.diff()]

    assert changed == []


@pytest.mark.parametrize("folder", CANISTERS, ids=lambda folder: folder.name)
def test_generated_canisters_are_as_kybra_wants_them(folder: Path) -> None:
    """No finding at all, also in the studio's own modules."""
    assert lint_paths([folder / "main.py"], search_path=[folder.parent, ROOT]) == []


@pytest.mark.parametrize("folder", CANISTERS, ids=lambda folder: folder.name)
def test_what_may_be_written_fits_its_map(folder: Path) -> None:
    """A value that is too large for its map would trap, and Candid's encoding takes room, too."""
    entry = folder / "main.py"
    maps = read_interface(collect_sources(entry, [folder.parent, ROOT])).stable_maps
    longest = {
        0: read_own_sources(folder).row_size_max,
        2: member_state.STATE_SIZE_MAX,
        3: change_log.PAGE_SIZE_MAX,
    }

    for memory_id, size in longest.items():
        assert len(encode((blob,), (bytes(size),))) <= maps[memory_id].value_size_max
    assert len(encode((text,), ("k" * row_kinds.KEY_SIZE_MAX,))) <= maps[1].key_size_max


def test_a_canister_is_generated_once_and_then_left_alone(project: Path) -> None:
    """The same sources give the same bytes; files that are right are not written again."""
    folder = project / "canisters" / "tally"

    first = generate_canister(project, folder)
    times = [one.path.stat().st_mtime_ns for one in first]
    again = generate_canister(project, folder)

    assert [one.path.name for one in first] == ["main.py", "fleet_types.py", "tally.did"]
    assert all(one.is_changed for one in first)
    assert not any(one.is_changed for one in again)
    assert [one.path.stat().st_mtime_ns for one in again] == times
    assert "from tally import Operation, app, readable, value" in first[0].after


def test_a_new_method_reaches_the_interface(project: Path) -> None:
    """Own methods and their guards are re-exported, and described."""
    folder = project / "canisters" / "tally"
    generate_canister(project, folder)
    more = "\n\n@query(guard=readable)\ndef twice(number: nat64) -> nat64:\n    return 2 * number\n"
    (folder / "tally.py").write_text(COUNTER + more)

    stale = check_canister(project, folder)
    written = generate_canister(project, folder)

    assert [one.path.name for one in stale if one.is_changed] == ["main.py"]
    assert "app, readable, twice, value" in written[0].after
    assert "twice : (nat64) -> (nat64) query;" in written[2].after


def test_what_was_not_generated_is_not_written_over(project: Path) -> None:
    """Unless that is wanted."""
    folder = project / "canisters" / "tally"
    (folder / "main.py").write_text("# by hand\n")

    with pytest.raises(GenerateError, match=r"main\.py was not generated"):
        generate_canister(project, folder)
    assert (folder / "main.py").read_text() == "# by hand\n"

    generate_canister(project, folder, is_forced=True)
    assert "icfleet generate" in (folder / "main.py").read_text()


def test_sources_that_kybra_refuses_give_no_interface(project: Path) -> None:
    """The finding names the studio's own line."""
    folder = project / "canisters" / "tally"
    bad = "\n\n@query\ndef wrong(number: nat64) -> Unheard:\n    return number\n"
    (folder / "tally.py").write_text(COUNTER + bad)

    with pytest.raises(CanisterSourceError, match=r"tally\.py.*Unheard"):
        generate_canister(project, folder)
    assert not (folder / "tally.did").exists()


def test_everything_that_main_needs_is_found(tmp_path: Path) -> None:
    """In whatever module it is, by the bare names that Kybra goes by."""
    sources = read(
        tmp_path,
        parts=f"{OPERATION}class Row(Record):\n    x: nat64\nROW_SIZE_MAX = 1_234\n",
        rules=f"{APP}def may() -> GuardResult: ...\n@query(guard=may)\ndef see() -> nat64: ...\n",
        extra="@update\ndef poke() -> void: ...\nX = StableBTreeMap[str, int]\nY = StableBTreeMap",
    )

    assert sources.imports == {
        "extra": ["poke"],
        "parts": ["Operation"],
        "rules": ["app", "may", "see"],
    }
    assert sources.row_size_max == 1_234
    assert [one.name for one in sources.types] == ["Row"]


PROBLEMS = [
    pytest.param({}, "there are no Python files", id="empty"),
    pytest.param(
        {"my-app": APP + OPERATION}, "my-app.py: no module can import", id="not-importable"
    ),
    pytest.param(
        {"a": OPERATION}, "no module has `app = Application(...)` at module level", id="no-app"
    ),
    pytest.param(
        {"a": OPERATION + "game = Application()\n"}, "a.py:3 binds another name", id="misnamed-app"
    ),
    pytest.param(
        {"a": OPERATION + APP, "b": APP},
        "`app = Application(...)` at module level is in a.py:3 and in b.py:1; one is wanted",
        id="two-apps",
    ),
    pytest.param(
        {"a": APP}, "no module has `class Operation(Variant, total=False)`", id="no-operation"
    ),
    pytest.param(
        {"a": APP + OPERATION, "b": OPERATION}, "is in a.py:2 and in b.py:1", id="two-operations"
    ),
    pytest.param(
        {"a": APP + OPERATION + "ROW_SIZE_MAX = 2 * 500\n"},
        "a.py:4: ROW_SIZE_MAX must be a plain number",
        id="row-size-no-literal",
    ),
    pytest.param(
        {"a": APP + OPERATION + "ROW_SIZE_MAX = 7_001\n"},
        "a.py:4: ROW_SIZE_MAX must be 1 to 7_000 bytes",
        id="row-size-too-large",
    ),
    pytest.param(
        {"a": APP + OPERATION + "ROW_SIZE_MAX = 9\n", "b": "ROW_SIZE_MAX = 9\n"},
        "ROW_SIZE_MAX is in a.py:4 and in b.py:1",
        id="two-row-sizes",
    ),
    pytest.param(
        {"a": APP + OPERATION + "m = StableBTreeMap[text, nat64](3, 9, 9)\n"},
        "a.py:4: memory_id 3 is the fleet's; take 10 or more",
        id="map-of-the-fleet",
    ),
    pytest.param(
        {"a": APP + OPERATION + "m = StableBTreeMap[text, nat64](memory_id=9)\n"},
        "a.py:4: memory_id 9 is the fleet's",
        id="map-of-the-fleet-by-keyword",
    ),
    pytest.param(
        {"a": APP + OPERATION + "@init\ndef start() -> void: ...\n"},
        "a.py:5: main.py has the canister's @init",
        id="own-hook",
    ),
    pytest.param(
        {"a": APP + OPERATION + "@query\ndef _see() -> nat64: ...\n"},
        "a.py:5: _see begins with an underscore",
        id="hidden-method",
    ),
    pytest.param(
        {"a": "import kybra\n@kybra.query\ndef see() -> nat64: ...\n"},
        "a.py:3: Kybra does not know `@kybra.query`, so it does not export see; "
        "write `from kybra import query` and `@query`",
        id="attribute",
    ),
    pytest.param(
        {"a": "from kybra import query as q\n@q(guard=may)\ndef see() -> nat64: ...\n"},
        "a.py:3: Kybra does not know `@q`",
        id="alias",
    ),
    pytest.param(
        {"a": "if True:\n    @update\n    def poke() -> void: ...\n"},
        "a.py:3: poke is not at module level",
        id="nested",
    ),
    pytest.param(
        {"a": "@update\nasync def poke() -> void: ...\n"},
        "a.py:2: Kybra does not export `async def poke`; write `def`, return `Async[...]`",
        id="async",
    ),
    pytest.param(
        {"a": "import kybra as k\n@k.init\ndef start() -> void: ...\n"},
        "a.py:3: main.py has the canister's @init",
        id="own-hook-by-attribute",
    ),
    pytest.param(
        {"a": "from .g import app\nfrom . import g\n"},
        "a.py:1: Kybra bundles modules flat, without packages; write `from g import app`\n"
        "a.py:2: Kybra bundles modules flat, without packages; write `import g`",
        id="relative-import",
    ),
    pytest.param(
        {"a": APP + OPERATION + "ROW_SIZE_MAX = True\n"},
        "a.py:4: ROW_SIZE_MAX must be a plain number",
        id="row-size-bool",
    ),
]


@pytest.mark.parametrize(("modules", "told"), PROBLEMS)
def test_what_is_wrong_is_told_with_its_line(
    modules: dict[str, str], told: str, tmp_path: Path
) -> None:
    """Every problem at once, and none of them later, by Kybra or by a trap."""
    assert told in problems(tmp_path, **modules)


CLASHES = [
    pytest.param("@query\ndef status() -> nat64: ...\n", "status", "main.py", id="method"),
    pytest.param("@query\ndef rows() -> nat64: ...\n", "rows", "main.py", id="name-in-main"),
    pytest.param("class Position(Record):\n    x: nat64\n", "Position", "types", id="fleet-type"),
    pytest.param(
        "class SubmitArgs(Record):\n    x: nat64\n", "SubmitArgs", "types", id="main-type"
    ),
    pytest.param("Head = Tuple[nat64, nat64]\n", "Head", "types", id="assigned-type"),
]


@pytest.mark.parametrize(("source", "name", "where"), CLASHES)
def test_names_of_the_fleet_are_taken(source: str, name: str, where: str, project: Path) -> None:
    """Kybra has one namespace for all types, and one for all methods."""
    folder = project / "canisters" / "tally"
    (folder / "more.py").write_text(source)

    with pytest.raises(GenerateError) as told:
        generate_canister(project, folder)

    assert f": {name} is a name of the fleet's own {where}" in told.value.detail
    assert not (folder / "main.py").exists()


def test_a_name_in_two_modules_is_told(project: Path) -> None:
    """The second import would hide the first."""
    folder = project / "canisters" / "tally"
    (folder / "more.py").write_text("@query\ndef value() -> nat64: ...\n")

    with pytest.raises(GenerateError) as told:
        generate_canister(project, folder)

    assert "value is also in" in told.value.detail


def test_a_source_that_is_no_python_is_told_with_its_line(tmp_path: Path) -> None:
    """By the generator: Kybra's own message would have no file name."""
    with pytest.raises(GenerateError, match=r"broken\.py:2: "):
        read(tmp_path, broken="x = 1\ndef (\n")


def test_a_source_with_a_null_byte_is_told(tmp_path: Path) -> None:
    with pytest.raises(GenerateError, match=r"broken\.py.*null bytes"):
        read(tmp_path, broken="x = 1\0\n")


def test_a_source_that_is_nested_too_deeply_is_told(tmp_path: Path) -> None:
    with pytest.raises(GenerateError, match=r"broken\.py: nested deeper than can be read"):
        read(tmp_path, broken=f"x = {'-' * 100_000}1\n")


def test_methods_in_a_subfolder_are_told(tmp_path: Path) -> None:
    """Other canisters and installed packages below the folder are not the canister's."""
    source = "from kybra import query\n@query\ndef see() -> nat64: ...\n"
    for name in ("inner/deep", "other", "venv/lib", "site-packages/one"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "more.py").write_text(source)
    (tmp_path / "other" / "main.py").touch()
    (tmp_path / "venv" / "pyvenv.cfg").touch()

    told = problems(tmp_path, a=APP + OPERATION)

    assert told.startswith("inner/deep/more.py:3: see is in a subfolder")
    assert told.count("\n") == 0


def test_the_command_checks_and_writes(project: Path, icfleet: RunIcfleet) -> None:
    """--check prints what would change and fails; afterwards there is nothing to say."""
    before = icfleet("generate", "--check", "canisters/tally", cwd=project)
    written = icfleet("generate", "canisters/tally", cwd=project)
    after = icfleet("generate", "--check", "canisters/tally/main.py", cwd=project)

    assert before.returncode == 1
    assert "+++ canisters/tally/main.py (generated)" in before.stdout
    assert "run icfleet generate canisters/tally" in before.stderr
    assert not (project / "canisters" / "tally" / "main.py").is_file() or written.returncode == 0
    assert written.stdout.splitlines() == [
        "canisters/tally/main.py",
        "canisters/tally/fleet_types.py",
        "canisters/tally/tally.did",
    ]
    assert (after.returncode, after.stdout) == (0, "")


def test_the_command_tells_problems_as_lines(project: Path, icfleet: RunIcfleet) -> None:
    """On standard error, with the exit code of an expected failure."""
    (project / "canisters" / "tally" / "more.py").write_text("app = Application()\n")

    done = icfleet("generate", "canisters/tally", cwd=project)
    nowhere = icfleet("generate", "canisters/nowhere", cwd=project)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("icfleet: canisters/tally: cannot generate the glue\n    ")
    assert (nowhere.returncode, nowhere.stderr) == (
        1,
        "icfleet: canisters/nowhere is no folder of a canister\n",
    )
