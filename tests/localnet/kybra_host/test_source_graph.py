"""The source graph: what a canister reaches, what its bundle holds, and what is missing."""

import site
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from icfleet_localnet.bundle import BUNDLE_FILES_MAX
from icfleet_localnet.errors import CanisterSourceError, KybraMissingError
from icfleet_localnet.kybra_host.source_graph import (
    SourceGraph,
    SourceModule,
    absolute_name,
    collect_sources,
    read_bundle,
)


def collect(folder: Path, files: dict[str, str], *, installed: Path | None = None) -> SourceGraph:
    """Write the files and read the canister whose entry is ``main.py``."""
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    third_party = [] if installed is None else [installed]
    return collect_sources(folder / "main.py", [], third_party=third_party)


def own_names(graph: SourceGraph) -> list[str]:
    return [name for name, module in graph.modules.items() if not module.is_kybra]


def missing_names(graph: SourceGraph) -> list[str]:
    return [one.name for one in graph.unresolved if not one.importer.is_kybra]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("import helper\n", id="plain"),
        pytest.param("import helper as other\n", id="renamed"),
        pytest.param("from helper import *\n", id="star"),
        pytest.param("def f():\n    import helper\n", id="in-a-function"),
        pytest.param("class C:\n    import helper\n", id="in-a-class"),
        pytest.param("if False:\n    import helper\n", id="in-if"),
        pytest.param("try:\n    import helper\nexcept ImportError:\n    pass\n", id="in-try"),
        pytest.param("try:\n    pass\nfinally:\n    import helper\n", id="in-finally"),
        pytest.param("while f():\n    from helper import x\n", id="in-while"),
        pytest.param(
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import helper\n",
            id="type-checking",
        ),
        pytest.param("async def f():\n    async with x:\n        import helper\n", id="async"),
    ],
)
def test_import_is_found_wherever_it_stands(source: str, tmp_path: Path) -> None:
    """An import counts in every place, whether it ever runs or not."""
    graph = collect(tmp_path, {"main.py": source, "helper.py": "x = 1\n"})

    assert own_names(graph) == ["main", "helper"]
    assert graph.files == {"main.py": source.encode(), "helper.py": b"x = 1\n"}


def test_package_is_bundled_whole_but_read_in_part(tmp_path: Path) -> None:
    """All files of a package come along; the compiler reads what is reached."""
    graph = collect(
        tmp_path,
        {
            "main.py": "from pkg.inner import thing\n",
            "pkg/__init__.py": "",
            "pkg/inner/__init__.py": "from . import thing\n",
            "pkg/inner/thing.py": "",
            "pkg/unused.py": "",
            "pkg/data.txt": "not source",
            "apart.py": "",
        },
    )

    assert own_names(graph) == ["main", "pkg", "pkg.inner", "pkg.inner.thing"]
    assert sorted(graph.files) == [
        "main.py",
        "pkg/__init__.py",
        "pkg/inner/__init__.py",
        "pkg/inner/thing.py",
        "pkg/unused.py",
    ]


def test_relative_imports_start_from_the_package(tmp_path: Path) -> None:
    """Dots count from the importing module's package, in a package's own file and in others."""
    graph = collect(
        tmp_path,
        {
            "main.py": "import a.b.c\n",
            "a/__init__.py": "from .b import c\n",
            "a/d.py": "",
            "a/b/__init__.py": "",
            "a/b/c.py": "from .. import d\nfrom ..b import e\nfrom . import f\n",
            "a/b/e.py": "",
            "a/b/f.py": "",
        },
    )

    assert sorted(own_names(graph)) == ["a", "a.b", "a.b.c", "a.b.e", "a.b.f", "a.d", "main"]
    assert missing_names(graph) == []
    assert graph.relative == ()


def test_submodule_is_read_also_where_the_package_binds_its_name(tmp_path: Path) -> None:
    """``from . import keys`` in a package binds ``keys`` by reading ``keys.py``."""
    graph = collect(
        tmp_path,
        {
            "main.py": "from pkg import keys, VERSION\n",
            "pkg/__init__.py": "from . import keys\nVERSION = 1\n",
            "pkg/keys.py": "",
        },
    )

    assert own_names(graph) == ["main", "pkg", "pkg.keys"]
    assert missing_names(graph) == []


@pytest.mark.parametrize(
    "package",
    [
        "name = 1\n",
        "def name(): ...\n",
        "if True:\n    class name: ...\n",
        "import other as name\n",
        "for name in (): ...\n",
        "def f():\n    global name\n    name = 1\n",
        "try:\n    pass\nexcept ValueError as name:\n    pass\n",
        "from json import *\n",
        "def __getattr__(wanted): ...\n",
    ],
)
def test_name_a_package_binds_is_not_missing(package: str, tmp_path: Path) -> None:
    """``from package import name`` needs no submodule where the package has the name."""
    files = {"main.py": "from pkg import name\n", "pkg/__init__.py": package, "other.py": ""}

    graph = collect(tmp_path, files)

    assert "pkg.name" not in missing_names(graph)


def test_missing_module_is_told_with_its_importer(tmp_path: Path) -> None:
    """What no folder has is collected, with the file and line that want it."""
    graph = collect(
        tmp_path,
        {"main.py": "import json\nimport helper\n", "helper.py": "\n\nimport nowhere.at\n"},
    )

    missing = [one for one in graph.unresolved if one.name == "nowhere.at"]
    assert [one.place.line for one in missing] == [3]
    assert missing[0].place.file == str(tmp_path / "helper.py")
    assert not missing[0].statement.is_optional


def test_import_that_may_fail_is_marked(tmp_path: Path) -> None:
    """A source that catches ImportError, or asks for types only, goes on without the module."""
    source = (
        "try:\n    import a\nexcept ImportError:\n    import b\n"
        "try:\n    import c\nexcept ValueError:\n    import d\n"
        "try:\n    import e\nexcept (KeyError, ModuleNotFoundError):\n    pass\n"
        "else:\n    import f\n"
        "import typing\nif typing.TYPE_CHECKING:\n    import g\nelse:\n    import h\n"
        "try:\n    import i\nexcept:\n    pass\n"
    )

    graph = collect(tmp_path, {"main.py": source})

    optional = {one.name: one.statement.is_optional for one in graph.unresolved}
    del optional["typing"]
    assert [name for name, may_fail in optional.items() if may_fail] == ["a", "e", "g", "i"]
    assert [name for name, may_fail in optional.items() if not may_fail] == list("bcdfh")
    fallback = {one.name: one.statement.fallback_for for one in graph.unresolved}
    assert fallback["b"] == ("a",)
    assert fallback["d"] == ()


def test_kybra_is_read_and_not_bundled(tmp_path: Path) -> None:
    """The host brings ``kybra``; the compiler reads it like any other module."""
    graph = collect(tmp_path, {"main.py": "from kybra.canisters.management import HttpResponse\n"})

    assert graph.modules["kybra"].is_kybra
    assert "kybra.canisters.management.http" in graph.modules
    assert list(graph.files) == ["main.py"]
    assert own_names(graph) == ["main"]


def test_without_kybra_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the extra says which one it lacks."""

    def find_nothing(name: str) -> None:
        assert name == "kybra"

    monkeypatch.setattr("importlib.util.find_spec", find_nothing)

    with pytest.raises(KybraMissingError, match=r"icfleet\[localnet\]"):
        collect(tmp_path, {"main.py": ""})


def test_search_path_comes_before_the_entrys_folder_and_installed_packages(
    tmp_path: Path,
) -> None:
    """The first folder that has a module gives it."""
    for folder in ("first", "entry", "installed"):
        (tmp_path / folder).mkdir()
    (tmp_path / "first" / "a.py").write_text("first = 1\n")
    for name in "ab":
        (tmp_path / "entry" / f"{name}.py").write_text("entry = 1\n")
    for name in "abc":
        (tmp_path / "installed" / f"{name}.py").write_text("installed = 1\n")
    entry = tmp_path / "entry" / "main.py"
    entry.write_text("import a, b, c\n")

    graph = collect_sources(entry, [tmp_path / "first"], third_party=[tmp_path / "installed"])

    assert graph.files["a.py"] == b"first = 1\n"
    assert graph.files["b.py"] == b"entry = 1\n"
    assert graph.files["c.py"] == b"installed = 1\n"
    assert [graph.modules[name].is_own for name in "abc"] == [True, True, False]


def test_package_wins_over_module_and_both_over_a_bare_folder(tmp_path: Path) -> None:
    """As Python's own finder decides."""
    files = {
        "main.py": "import a, b\n",
        "a.py": "",
        "a/__init__.py": "package = 1\n",
        "b/readme.txt": "",
    }
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "b.py").write_text("")

    graph = collect(tmp_path, files, installed=tmp_path / "installed")

    assert graph.modules["a"].is_package
    assert not graph.modules["b"].is_package
    assert graph.namespaces == ()


def test_folder_without_init_is_told(tmp_path: Path) -> None:
    """Its modules are found, though the canister would lack the package above them."""
    graph = collect(tmp_path, {"main.py": "import loose.part\n", "loose/part.py": ""})

    assert [one.name for one in graph.namespaces] == ["loose"]
    assert own_names(graph) == ["main", "loose.part"]


def test_compiled_module_is_told(tmp_path: Path) -> None:
    """A C extension is found, and not bundled."""
    graph = collect(tmp_path, {"main.py": "import fast\n", f"fast{EXTENSION_SUFFIXES[0]}": ""})

    assert [one.name for one in graph.extensions] == ["fast"]
    assert list(graph.files) == ["main.py"]


def test_relative_import_without_a_package_is_told(tmp_path: Path) -> None:
    """Neither the entry nor a plain module beside it has a package to start from."""
    graph = collect(
        tmp_path,
        {"main.py": "import helper\nfrom . import helper\n", "helper.py": "from ..up import x\n"},
    )

    assert [(one.importer.name, one.statement.level) for one in graph.relative] == [
        ("main", 1),
        ("helper", 2),
    ]


def test_file_under_two_names_is_told(tmp_path: Path) -> None:
    """One file imported as two modules would be compiled twice."""
    graph = collect(
        tmp_path,
        {
            "main.py": "import pkg.part, linked\n",
            "pkg/__init__.py": "",
            "pkg/part.py": "",
        },
    )
    (tmp_path / "linked.py").symlink_to(tmp_path / "pkg" / "part.py")

    again = collect_sources(tmp_path / "main.py", [], third_party=[])

    assert graph.twins == ()
    assert [(one.name, other.name) for one, other in again.twins] == [("pkg.part", "linked")]


def test_entry_imported_by_name_is_its_own_twin(tmp_path: Path) -> None:
    """The compiler would read the entry's types and methods a second time."""
    graph = collect(tmp_path, {"main.py": "import helper\n", "helper.py": "import main\n"})

    assert [(one.name, other.name) for one, other in graph.twins] == [("main", "main")]
    assert list(graph.modules) == ["main", "helper"]


def test_unparsable_module_is_told_and_the_rest_read(tmp_path: Path) -> None:
    """One broken file hides nothing of the others."""
    graph = collect(tmp_path, {"main.py": "import a, b\n", "a.py": "def (:\n", "b.py": "x = 1\n"})

    assert [(one.code, one.place.line) for one in graph.unreadable] == [("KY305", 1)]
    assert own_names(graph) == ["main", "a", "b"]


@pytest.mark.parametrize(
    ("name", "code"),
    [("absent.py", "KY402"), ("two-words.py", "KY408"), ("main.txt", "KY408")],
)
def test_entry_that_cannot_be_imported_is_refused(name: str, code: str, tmp_path: Path) -> None:
    """The entry must be there, and its name must be one that Python can import."""
    with pytest.raises(CanisterSourceError) as caught:
        collect_sources(tmp_path / name, [])

    assert caught.value.code == code
    assert caught.value.file == str(tmp_path / name)


def test_sources_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    """A package of thousands of files is named before it fills the memory."""
    package = tmp_path / "pkg"
    package.mkdir()
    for number in range(BUNDLE_FILES_MAX):
        (package / f"m{number}.py").touch()
    (package / "__init__.py").touch()

    with pytest.raises(CanisterSourceError, match=str(BUNDLE_FILES_MAX)) as caught:
        collect(tmp_path, {"main.py": "import pkg\n"})

    assert caught.value.code == "KY410"


def test_bundle_gives_the_same_graph_as_the_disk(tmp_path: Path) -> None:
    """What the network reads at install is what was read at build."""
    graph = collect(
        tmp_path,
        {
            "main.py": "from kybra import query\nfrom pkg.part import a\nimport flat\n",
            "flat.py": "",
            "pkg/__init__.py": "from pkg.other import *\n",
            "pkg/part.py": "from .other import b as a\n",
            "pkg/other.py": "b = 1\n",
        },
    )

    again = read_bundle(graph.files, "main")

    assert list(again.modules) == list(graph.modules)
    assert again.files == graph.files
    assert [one.name for one in again.unresolved] == [one.name for one in graph.unresolved]


@pytest.mark.parametrize(
    ("module", "level", "expected"),
    [
        ("x", 0, "x"),
        ("x", 1, "a.b.x"),
        ("", 1, "a.b"),
        ("x.y", 2, "a.x.y"),
        ("", 2, "a"),
        ("x", 3, None),
    ],
)
def test_dots_climb_packages(module: str, level: int, expected: str | None, tmp_path: Path) -> None:
    """One dot is the package itself, each further one the package above."""
    files = {
        "main.py": "import a.b.c\n",
        "a/__init__.py": "",
        "a/b/__init__.py": "",
        "a/b/c.py": "",
    }
    importer: SourceModule = collect(tmp_path, files).modules["a.b.c"]

    name = absolute_name(importer, module, level)

    assert name == expected


def test_a_package_installed_for_editing_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By site-packages' .pth file; its project's other folders are no packages."""
    installed, work = tmp_path / "site-packages", tmp_path / "work"
    for folder in (installed, work / "shared", work / "docs", tmp_path / "canister"):
        folder.mkdir(parents=True)
    (work / "shared" / "__init__.py").touch()
    (installed / "work.pth").write_text(f"import this_is_run_by_python\n{work}\n/nowhere\n")
    entry = tmp_path / "canister" / "main.py"
    entry.write_text("import shared\nimport docs\n")
    kybra = [Path(one) for one in site.getsitepackages()]
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(installed), *map(str, kybra)])

    graph = collect_sources(entry, [])

    assert own_names(graph) == ["main", "shared"]
    assert not graph.modules["shared"].is_own
    assert "shared/__init__.py" in graph.files
    assert missing_names(graph) == ["docs"]
