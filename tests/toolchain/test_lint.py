"""``icfleet lint``: every rule finds its bad snippet, and passes the good one."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lint_case import HEADER, Case, Files
from lint_snippets import CASES

from icfleet.lint import Finding, Place, format_findings, lint_analysis, lint_paths
from icfleet.lint import rules as lint_rules
from icfleet_localnet.errors import CanisterSourceError
from icfleet_localnet.kybra_host import rules as compiler_rules
from icfleet_localnet.kybra_host.findings import Rule
from icfleet_localnet.kybra_host.frontend import analyze
from icfleet_localnet.kybra_host.source_graph import collect_sources, read_bundle


def write(folder: Path, source: str | Files) -> Path:
    """Write the files and return the first of them."""
    files = {"main.py": HEADER + source} if isinstance(source, str) else source
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return folder / next(iter(files))


def lint(folder: Path, source: str | Files) -> list[Finding]:
    """Write the files and check the first of them."""
    return lint_paths([write(folder, source)])


def name(case: object) -> str:
    return f"{case.code}-{CASES.index(case)}" if isinstance(case, Case) else str(case)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_bad_source_is_found(case: Case, tmp_path: Path) -> None:
    """Each rule finds its bad snippet, on the line where it is broken."""
    findings = lint(tmp_path, case.bad)

    found = [one for one in findings if one.code == case.code]
    assert found, findings
    assert case.line in {0, found[0].place.line}
    assert all(one.message.endswith(".") and one.fix.endswith(".") for one in findings)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_the_compilers_verdict_is_ours(case: Case, tmp_path: Path) -> None:
    """What Kybra refuses, our front end refuses; what Kybra accepts, only the linter finds."""
    entry = write(tmp_path, case.bad)

    try:
        findings = analyze(collect_sources(entry, [])).findings
    except CanisterSourceError as error:
        findings = tuple(error.findings)

    assert bool(findings) == case.is_refused, (case.verdict, findings)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_good_source_has_no_findings(case: Case, tmp_path: Path) -> None:
    """What the rule asks for instead breaks no other rule."""
    findings = lint(tmp_path, case.good)

    assert findings == []


def test_every_rule_has_its_own_code_and_a_snippet() -> None:
    """A code means one rule, for ever; size and dfx.json are no matter of one snippet."""
    contents = [*vars(compiler_rules).values(), *vars(lint_rules).values()]
    codes = [rule.code for rule in contents if isinstance(rule, Rule)]

    assert len(set(codes)) == len(codes)
    assert {case.code for case in CASES} == set(codes) - {"KY410", "KY801", "KY802", "KY803"}


def test_all_findings_are_collected_in_order(tmp_path: Path) -> None:
    """One run tells everything: errors of the compiler and warnings, sorted, each once."""
    source = "@query\ndef a(x) -> list[nat]:\n    print(x)\n    return {**x, 'k': 1}\na, b = 1, 2\n"

    findings = lint(tmp_path, source)

    assert [one.code for one in findings] == ["KY104", "KY201", "KY701", "KY702", "KY301"]
    assert [one.place.line for one in findings] == [3, 3, 4, 5, 6]
    assert [one.severity for one in findings] == ["error", "error", "warning", "warning", "error"]


def test_shared_file_is_reported_once(tmp_path: Path) -> None:
    """Two canisters that import one module do not double its findings."""
    for entry in ("one", "two"):
        (tmp_path / entry).mkdir()
        (tmp_path / entry / "main.py").write_text("import shared\n")
    (tmp_path / "shared.py").write_text("a = b = 1\n")

    findings = lint_paths([tmp_path], search_path=[tmp_path])

    assert [(one.code, one.place) for one in findings] == [
        ("KY302", Place(str(tmp_path / "shared.py"), 1, 1))
    ]


def test_folder_stands_for_its_own_entry(tmp_path: Path) -> None:
    """A folder with a ``main.py`` is one canister, whatever lies below it."""
    (tmp_path / "main.py").write_text("")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "main.py").write_text("a = b = 1\n")

    findings = lint_paths([tmp_path])

    assert findings == []


def test_folder_without_entry_is_a_finding(tmp_path: Path) -> None:
    """A wrong path is told, not passed as clean."""
    findings = lint_paths([tmp_path, tmp_path / "gone.py"])

    assert [one.code for one in findings] == ["KY402", "KY402"]
    assert findings[0].place.file == str(tmp_path)


def test_installed_packages_are_held_to_the_compilers_rules_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can mend ``print`` in a package, but an assignment in it stops the compiler."""
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "package.py").write_text("print(1)\na, b = 1, 2\n")
    (tmp_path / "main.py").write_text("import package\n")
    monkeypatch.setattr("site.getsitepackages", lambda: [str(installed)])

    findings = lint_paths([tmp_path / "main.py"])

    assert [one.code for one in findings] == ["KY301"]


FRAGMENTS = st.sampled_from(
    [
        *("@query\n", "@init()\n", "async def ", "def ", "class ", "(Record)", ":\n", "    ", "\n"),
        *("a", "print(1)\n", "ic.caller()", "==", " in ", "{**a, 'b': 1}", "[", "]", "(", ")", "="),
        *("import a\n", "from main import *\n", "import main\n", "from . import b\n", "yield"),
        *(
            "StableBTreeMap[nat, nat](0, 1, 1)",
            ".keys()",
            "__all__ = ['a']\n",
            "m = StableBTreeMap[nat, nat](0, 9, 9)\n",
            "m.get(1)",
            "class S(Service):\n    @service_query\n    def a(self) -> nat: ...\n",
            "S(ic.id()).a()",
            ".with_cycles(1)",
            "ic.set_timer(1, ",
            "lambda: ",
            "try:\n",
            "except Exception:\n",
            "# icfleet: ignore[KY701]\n",
            "{'a': None}",
            " -> nat",
            "return ",
        ),
    ]
)


@given(st.lists(FRAGMENTS, max_size=30).map("".join))
def test_any_source_is_checked(source: str) -> None:
    """Whatever a file holds, the answer is a list of findings, never a crash."""
    graph = read_bundle({"main.py": f"{HEADER}{source}".encode()}, "main")

    findings = lint_analysis(analyze(graph))

    assert findings == sorted(set(findings))


FINDING = Finding(Place("a,b.py", 3, 5), "KY104", "100 % wrong.", "Mend it.", "error")
WARNING = Finding(Place("c.py", 1, 1), "KY701", "Odd.", "Mend that.", "warning")


def test_text_names_place_rule_and_cure() -> None:
    """People read where, what and how, and a sum at the end."""
    text = format_findings([FINDING, WARNING, WARNING], "text")

    assert text.splitlines() == [
        "a,b.py:3:5: KY104 error: 100 % wrong.",
        "    Mend it.",
        "c.py:1:1: KY701 warning: Odd.",
        "    Mend that.",
        "c.py:1:1: KY701 warning: Odd.",
        "    Mend that.",
        "1 error, 2 warnings",
        "For the cause and an example: icfleet lint --explain KY104",
    ]


def test_json_holds_every_attribute() -> None:
    """Scripts read the same as people."""
    content = json.loads(format_findings([WARNING], "json"))

    assert content == [
        {
            "file": "c.py",
            "line": 1,
            "column": 1,
            "code": "KY701",
            "severity": "warning",
            "message": "Odd.",
            "fix": "Mend that.",
            "link": "docs/linting.md#ky701",
        }
    ]


def test_github_annotations_are_escaped() -> None:
    """A comma in a path or a percent sign in a message does not break the annotation."""
    text = format_findings([FINDING], "github")

    assert text == "::error file=a%2Cb.py,line=3,col=5,title=KY104::100 %25 wrong. Mend it."


def test_no_findings_are_an_empty_answer() -> None:
    """Nothing to say is said as nothing; JSON stays JSON."""
    assert format_findings([], "text") == ""
    assert format_findings([], "github") == ""
    assert format_findings([], "json") == "[]"
