"""Findings as text for people, JSON for scripts, and annotations for GitHub's checks."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from icfleet.lint.rule_index import link_of
from icfleet_localnet.kybra_host.findings import Finding

__all__ = ["Style", "format_findings"]

Style = Literal["text", "json", "github"]


def format_findings(findings: Sequence[Finding], style: Style) -> str:
    """Write the findings; ends without a line break, and is empty for none but in JSON."""
    return _FORMATS[style](findings)


def _format_text(findings: Sequence[Finding]) -> str:
    lines = [
        f"{one.place.file}:{one.place.line}:{one.place.column}: "
        f"{one.code} {one.severity}: {one.message}\n    {one.fix}"
        for one in findings
    ]
    if findings:
        errors = sum(one.severity == "error" for one in findings)
        lines.append(f"{_count(errors, 'error')}, {_count(len(findings) - errors, 'warning')}")
        lines.append(f"For the cause and an example: icfleet lint --explain {findings[0].code}")
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _format_json(findings: Sequence[Finding]) -> str:
    shown = [
        {
            "file": one.place.file,
            "line": one.place.line,
            "column": one.place.column,
            "code": one.code,
            "severity": one.severity,
            "message": one.message,
            "fix": one.fix,
            "link": link_of(one.code),
        }
        for one in findings
    ]
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _format_github(findings: Sequence[Finding]) -> str:
    """Source: GitHub Actions, "Workflow commands", "Setting an error message"."""
    return "\n".join(
        f"::{one.severity} file={_escape_property(one.place.file)},line={one.place.line},"
        f"col={one.place.column},title={one.code}::{_escape(f'{one.message} {one.fix}')}"
        for one in findings
    )


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")


_FORMATS: Mapping[Style, Callable[[Sequence[Finding]], str]] = {
    "github": _format_github,
    "json": _format_json,
    "text": _format_text,
}
