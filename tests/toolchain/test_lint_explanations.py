"""``icfleet lint --explain`` and docs/linting.md: what they show is what the linter does."""

import re
from pathlib import Path

import pytest
from lint_case import HEADER

from icfleet.lint import Finding, lint_paths
from icfleet.lint.dfx_canisters import read_dfx_canisters
from icfleet.lint.documentation import render_document
from icfleet.lint.explanations import explain_rule, read_explanations
from icfleet.lint.rule_index import RULES

DOCUMENT = Path(__file__).parent.parent.parent / "docs/linting.md"
FILE_LINE = re.compile(r"^# file: (\S+)\n", re.MULTILINE)
TOO_LARGE_TO_SHOW = "KY410"


def check(folder: Path, language: str, example: str) -> list[Finding]:
    if language == "json":
        (folder / "dfx.json").write_text(example)
        return list(read_dfx_canisters(folder).findings)
    if not FILE_LINE.match(example):
        example = f"# file: main.py\n{HEADER}{example}"
    _, *parts = FILE_LINE.split(example)
    names, contents = parts[::2], parts[1::2]
    for name, content in zip(names, contents, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return lint_paths([folder / names[0]])


@pytest.mark.parametrize("code", sorted(RULES.keys() - {TOO_LARGE_TO_SHOW}))
def test_examples_are_bad_and_good(code: str, tmp_path: Path) -> None:
    """The bad example breaks its rule, and the good one no rule at all."""
    explanation = read_explanations()[code]
    (tmp_path / "bad").mkdir()
    (tmp_path / "good").mkdir()

    bad = check(tmp_path / "bad", explanation.language, explanation.bad)
    good = check(tmp_path / "good", explanation.language, explanation.good)

    assert code in {one.code for one in bad}
    assert good == []


def test_every_rule_is_explained() -> None:
    """None is left out, and none is explained that is gone."""
    assert list(read_explanations()) == list(RULES)
    assert explain_rule("KY999") is None


def test_an_explanation_has_cause_examples_and_cure() -> None:
    """An installed icfleet has no documents, so the command tells all."""
    text = explain_rule("KY701")

    assert text is not None
    assert text.splitlines() == [
        "KY701 print call (warning)",
        "",
        "A canister has no standard output: what `print` writes goes nowhere.",
        "",
        "Instead of",
        "",
        "    def f():",
        "        print(1)",
        "",
        "write",
        "",
        "    def f():",
        "        ic.print(1)",
        "",
        "Use `ic.print`.",
    ]


def test_the_document_is_the_code() -> None:
    """After a change: python -m icfleet.lint.documentation > docs/linting.md."""
    assert DOCUMENT.read_text() == render_document()
