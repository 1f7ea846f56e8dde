"""What each rule is about, for ``icfleet lint --explain`` and for docs/linting.md.

The texts are in ``explanations.md`` beside this module, so that an installed icfleet has them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from icfleet.lint.rule_index import COMPILER_CODES, RULE_NAMES, RULES

__all__ = ["Explanation", "explain_rule", "read_explanations"]

_FILE = Path(__file__).with_name("explanations.md")
_SECTION = re.compile(
    r"^## (?P<code>KY\d{3})\n+(?P<cause>.+?)\n+"
    r"```(?P<language>\w+)\n(?P<bad>.*?)```\n+```\w+\n(?P<good>.*?)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a rule is there, with sources that break it and that keep it.

    The examples leave out ``from kybra import *``; several files follow ``# file: name`` lines.
    """

    cause: str
    language: str
    """``python``, or ``json`` for the rules about dfx.json."""
    bad: str
    good: str


@cache
def read_explanations() -> Mapping[str, Explanation]:
    """Return the explanations by code."""
    return {
        found["code"]: Explanation(found["cause"], found["language"], found["bad"], found["good"])
        for found in _SECTION.finditer(_FILE.read_text(encoding="utf-8"))
    }


def explain_rule(code: str) -> str | None:
    """Return a rule's explanation as text; ``None`` when there is no such rule."""
    if code not in RULES:
        return None
    rule, explanation = RULES[code], read_explanations()[code]
    refused = ", refused by Kybra's compiler or by rustc" if code in COMPILER_CODES else ""
    return "\n".join(
        [
            f"{code} {RULE_NAMES[code]} ({rule.severity}{refused})",
            "",
            explanation.cause,
            "",
            "Instead of",
            "",
            *_indented(explanation.bad),
            "",
            "write",
            "",
            *_indented(explanation.good),
            "",
            rule.fix,
        ]
    )


def _indented(text: str) -> list[str]:
    return [f"    {line}" if line else "" for line in text.rstrip("\n").split("\n")]
