"""Operations that main postponed, and the later ones of their players that must not overtake them.

While an operation sits out its pause it is in no batch, so the batches' own order cannot protect
it: this does. Pure state.
"""

from bisect import insort
from operator import attrgetter

from icfleet_protocol.principal import Principal
from icfleet_router.submission import Submission

__all__ = ["PostponedLines"]

_by_number = attrgetter("number")


class PostponedLines:
    """One line per player: who was postponed, and who came after, the earliest first.

    Whoever is first among those outside may go in, that is, join a coming batch; and stays in line
    until that batch leaves, because others who went in before may still be ahead of it there.
    """

    def __init__(self) -> None:
        self._lines: dict[Principal, list[Submission]] = {}
        self._inside: set[int] = set()

    def __len__(self) -> int:
        """Players with a line."""
        return len(self._lines)

    def join(self, submission: Submission) -> None:
        """Stand in line, outside, at the place that the number gives."""
        line = self._lines.setdefault(submission.subject, [])
        if submission not in line:
            insort(line, submission, key=_by_number)
        self._inside.discard(submission.number)

    def may_go_in(self, submission: Submission) -> bool:
        """Tell whether no earlier operation of the player is outside."""
        first = self.first_outside(submission.subject)
        return first is None or first.number >= submission.number

    def go_in(self, submission: Submission) -> None:
        """Join a coming batch; who is not in line needs no leave."""
        if submission in self._lines.get(submission.subject, ()):
            self._inside.add(submission.number)

    def leave(self, submission: Submission) -> None:
        """Be in line no more: the batch leaves, or nobody waits for the operation."""
        line = self._lines.get(submission.subject, [])
        if submission not in line:
            return
        line.remove(submission)
        self._inside.discard(submission.number)
        if not line:
            del self._lines[submission.subject]

    def is_overtaking(self, submission: Submission) -> bool:
        """Tell whether an earlier operation of the player is in line, inside or out."""
        line = self._lines.get(submission.subject)
        return line is not None and line[0].number < submission.number

    def first_outside(self, subject: Principal) -> Submission | None:
        """Return who goes in next."""
        line = self._lines.get(subject, ())
        return next((one for one in line if one.number not in self._inside), None)
