"""All rules by code, with their names, and which of them a choice such as ``KY7`` means."""

from collections.abc import Mapping, Sequence

from icfleet.lint import rules as lint_rules
from icfleet_localnet.kybra_host import rules as compiler_rules
from icfleet_localnet.kybra_host.findings import Finding, Rule

__all__ = ["COMPILER_CODES", "RULES", "RULE_NAMES", "link_of", "select_findings", "unknown_codes"]


def _named_rules(contents: Mapping[str, object]) -> dict[str, Rule]:
    return {name: one for name, one in contents.items() if isinstance(one, Rule)}


_COMPILER_RULES = _named_rules(vars(compiler_rules))
_ALL_RULES = sorted(
    {**_COMPILER_RULES, **_named_rules(vars(lint_rules))}.items(), key=lambda item: item[1].code
)

RULES: Mapping[str, Rule] = {rule.code: rule for _, rule in _ALL_RULES}
"""By code, in the order of codes."""

RULE_NAMES: Mapping[str, str] = {
    rule.code: name.lower().replace("_", " ") for name, rule in _ALL_RULES
}
"""What each rule is called, in words."""

COMPILER_CODES = frozenset(rule.code for rule in _COMPILER_RULES.values())
"""Rules that Kybra itself enforces."""


def link_of(code: str) -> str:
    """Return where the documents say more."""
    return f"docs/linting.md#{code.lower()}"


def unknown_codes(chosen: Sequence[str]) -> list[str]:
    """Return those of the codes, or beginnings of codes, that no rule has."""
    return [one for one in chosen if not one or not any(code.startswith(one) for code in RULES)]


def select_findings(
    findings: Sequence[Finding], select: Sequence[str], ignore: Sequence[str]
) -> list[Finding]:
    """Keep the findings whose codes begin with one of ``select`` and with none of ``ignore``.

    An empty ``select`` means all.
    """
    return [
        one
        for one in findings
        if (not select or one.code.startswith(tuple(select)))
        and not one.code.startswith(tuple(ignore))
    ]
