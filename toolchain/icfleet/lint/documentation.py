"""docs/linting.md, written from the rules.

``python -m icfleet.lint.documentation > docs/linting.md``
"""

import sys
from collections.abc import Iterator

from icfleet.lint.explanations import read_explanations
from icfleet.lint.rule_index import COMPILER_CODES, RULE_NAMES, RULES

__all__ = ["render_document"]

_INTRODUCTION = """\
# Linting canisters

```
$ icfleet lint                           # the Kybra canisters of dfx.json
$ icfleet lint canisters/game            # a folder with a main.py, or an entry file
$ icfleet lint --explain KY607           # one rule: cause, example, what to write instead
```

Kybra's compiler fails late, and drops some things without a word: a decorated function inside an
`if`, a keyword-only parameter, a module that it did not find. `icfleet lint` reads your sources as
the compiler reads them, the whole import graph and nothing executed, and names each place with a
code, what would happen, and what to write instead. It works on any Kybra project, also on one that
uses nothing else of icfleet.

An error is a canister that would not compile or install, that lacks something it declares, or a
line that fails whenever it runs; `icfleet build` refuses it. A warning is code that runs, but not
as it reads. Only your own files are searched for what is not the compiler's: nobody can mend
`print` in an installed package. Where a value or a call is not written out, the linter says
nothing.

| option | |
|---|---|
| `--format text\\|json\\|github` | people, scripts (also `--json`), or GitHub's checks |
| `--select KY6,KY701` | report these rules only; `KY6` is the whole group |
| `--ignore KY126` | leave these rules out |
| `--strict` | fail on warnings, too |

The exit code is 0 without errors, 1 with any, and 2 when the command itself is wrong.

A comment on the line of a finding holds it back, and is reported itself once it holds nothing back:

```python
rows = sorted(config.items())  # icfleet: ignore[KY607] a dozen rows, and never more
```

What the compiler refuses cannot be held back: Kybra would refuse it all the same.

The rules follow kybra 0.7.1. Examples leave out `from kybra import *`.
"""

_GROUPS = {
    "1": "Methods and hooks",
    "2": "Types",
    "3": "Statements and syntax",
    "4": "Modules",
    "5": "Guards",
    "6": "Stable maps",
    "7": "Behaviour on chain",
    "8": "The project's files",
    "9": "The linter's own comments",
}


def render_document() -> str:
    """Write the document: introduction, a table of all rules, and a section for each."""
    return "\n".join([_INTRODUCTION, *_table(), *_sections()])


def _table() -> Iterator[str]:
    yield "| code | about | write instead |"
    yield "|---|---|---|"
    for code, rule in RULES.items():
        warning = " (warning)" if rule.severity == "warning" else ""
        fix = rule.fix.replace("|", "\\|")
        yield f"| {code} | {RULE_NAMES[code]}{warning} | {fix} |"


def _sections() -> Iterator[str]:
    group = ""
    for code, rule in RULES.items():
        if code[2] != group:
            group = code[2]
            yield f"\n## {_GROUPS[group]}"
        explanation = read_explanations()[code]
        refused = "; the compiler or rustc refuses it" if code in COMPILER_CODES else ""
        fence = f"```{explanation.language}"
        yield f"\n### {code}\n"
        yield f"{RULE_NAMES[code].capitalize()} ({rule.severity}{refused}). {explanation.cause}\n"
        yield f"{fence}\n{explanation.bad}```\n"
        yield f"{rule.fix}\n"
        yield f"{fence}\n{explanation.good}```"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(render_document())
