"""Comments that keep a finding back: ``# icfleet: ignore[KY703]``, on the finding's own line.

What the compiler refuses cannot be kept back: Kybra would refuse it all the same.
"""

import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from icfleet.lint.project import Project
from icfleet.lint.rule_index import COMPILER_CODES, RULES
from icfleet.lint.rules import UNUSED_SUPPRESSION
from icfleet_localnet.kybra_host.findings import Finding, Place
from icfleet_localnet.kybra_host.source_graph import SourceModule

__all__ = ["Suppression", "apply_suppressions", "find_suppressions", "find_unused"]

_HINT = b"icfleet:"
_COMMENT = re.compile(r"#\s*icfleet:\s*ignore\b(?:\[(?P<codes>[^\]]*)\])?")


@dataclass(frozen=True, slots=True, order=True)
class Suppression:
    """One code of one comment; an empty code where the comment names none."""

    place: Place
    code: str

    def holds_back(self, finding: Finding) -> bool:
        """Whether the comment is about this finding."""
        place = finding.place
        is_here = (place.file, place.line) == (self.place.file, self.place.line)
        return is_here and finding.code == self.code


def find_suppressions(project: Project) -> frozenset[Suppression]:
    """Return all such comments of the project's own files."""
    return frozenset(one for module in project.own for one in _iterate_comments(module))


def apply_suppressions(
    findings: Iterable[Finding], suppressions: Iterable[Suppression]
) -> tuple[list[Finding], frozenset[Suppression]]:
    """Return the findings that no comment holds back, and the comments that held one back."""
    listed = list(suppressions)
    kept: list[Finding] = []
    used: set[Suppression] = set()
    for finding in findings:
        about = [one for one in listed if one.holds_back(finding)]
        used.update(about)
        if not about:
            kept.append(finding)
    return kept, frozenset(used)


def find_unused(suppressions: Iterable[Suppression]) -> Iterator[Finding]:
    """Give a finding for each comment that held nothing back."""
    for one in sorted(suppressions):
        if not one.code:
            message = "the comment names no code, as in `# icfleet: ignore[KY703]`."
        elif one.code not in RULES:
            message = f"there is no rule {one.code}."
        elif one.code in COMPILER_CODES:
            message = f"the compiler refuses what {one.code} finds, whatever a comment says."
        else:
            message = f"{one.code} finds nothing on this line."
        yield UNUSED_SUPPRESSION.found(one.place, message)


def _iterate_comments(module: SourceModule) -> Iterator[Suppression]:
    if _HINT not in module.source:
        return
    for token in _comments(module.source):
        found = _COMMENT.search(token.string)
        if found is None:
            continue
        place = Place(module.file, token.start[0], token.start[1] + found.start() + 1)
        for code in (found["codes"] or "").split(","):
            yield Suppression(place, code.strip())


def _comments(source: bytes) -> Sequence[tokenize.TokenInfo]:
    try:
        tokens = list(tokenize.tokenize(io.BytesIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        # The file does not parse, which is a finding of its own.
        return []
    return [one for one in tokens if one.type == tokenize.COMMENT]
