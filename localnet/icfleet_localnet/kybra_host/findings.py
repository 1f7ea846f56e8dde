"""What is wrong in a canister's sources, said so that a person can mend it.

A ``Rule`` is the fixed part (code, cure), a ``Finding`` one place where it is broken. The front
end and ``icfleet lint`` share both.
"""

import ast
from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Place", "Rule", "Severity"]

Severity = Literal["error", "warning"]
"""``error``: the canister would not compile, not install, or lack something it declares.
``warning``: it runs, but not as the source reads."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a source file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    @classmethod
    def of(cls, file: str, node: ast.stmt | ast.expr | ast.arg | ast.ExceptHandler) -> "Place":
        """Return where ``node`` starts."""
        return cls(file, node.lineno, node.col_offset + 1)


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One broken rule at one place."""

    place: Place
    code: str
    """Stable: the same rule keeps its code in every release."""
    message: str
    fix: str
    severity: Severity = "error"

    def __str__(self) -> str:
        place = self.place
        return f"{place.file}:{place.line}:{place.column}: {self.code} {self.message} {self.fix}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of Kybra's compiler or of its runtime."""

    code: str
    fix: str
    """One sentence: what to write instead."""
    severity: Severity = "error"

    def found(self, place: Place, message: str, *, fix: str | None = None) -> Finding:
        """Return a finding; ``fix`` replaces the rule's own cure where a closer one is known."""
        return Finding(place, self.code, message, fix or self.fix, self.severity)
