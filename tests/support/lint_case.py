"""What a snippet of the linter's tests is made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from lint_verdicts import VERDICTS

__all__ = ["HEADER", "Case", "Files"]

HEADER = "from kybra import *\n"
"""Bad style, short snippets."""

Files = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """One rule: sources that break it, and sources that do the same without."""

    code: str
    bad: str | Files
    good: str | Files
    line: int = 0
    """Line of the finding in the bad source, when one file tells all; the header is line 1."""
    says: str = ""
    """What Kybra makes of the bad source, where it differs from what ``VERDICTS`` has."""

    @property
    def verdict(self) -> str:
        """What Kybra makes of the bad source: ``refuses: ...`` or ``accepts, and ...``."""
        return self.says or VERDICTS[self.code]

    @property
    def is_refused(self) -> bool:
        """Whether no module comes out of the bad source."""
        return self.verdict.startswith("refuses: ")
