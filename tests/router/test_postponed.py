"""Lines of postponed operations."""

from icfleet_protocol.principal import Principal
from icfleet_router.postponed import PostponedLines
from icfleet_router.stamp import OperationStamp
from icfleet_router.submission import Submission

ADA, BOB = Principal(b"\x01"), Principal(b"\x02")


def _submission(number: int, subject: Principal = ADA) -> Submission:
    return Submission(number, subject, OperationStamp(bytes(16), 0), {})


def test_without_a_line_everybody_goes_in() -> None:
    """Nothing is kept for operations that are not postponed."""
    lines = PostponedLines()

    lines.go_in(_submission(1))

    assert lines.may_go_in(_submission(2))
    assert not lines.is_overtaking(_submission(2))
    assert len(lines) == 0


def test_a_postponed_operation_holds_its_players_later_ones_only() -> None:
    """Other players, and earlier operations, go on."""
    lines = PostponedLines()
    lines.join(_submission(5))

    assert not lines.may_go_in(_submission(6))
    assert lines.may_go_in(_submission(4))
    assert lines.may_go_in(_submission(6, BOB))


def test_the_line_is_in_the_order_of_numbers() -> None:
    """Whoever comes back from a batch goes before whoever came later."""
    lines = PostponedLines()
    early, late = _submission(1), _submission(2)
    lines.join(late)
    lines.join(early)

    assert lines.first_outside(ADA) is early
    assert (lines.may_go_in(early), lines.may_go_in(late)) == (True, False)


def test_going_in_lets_the_next_go_in_too() -> None:
    """Both may then share a batch, in order."""
    lines = PostponedLines()
    early, late = _submission(1), _submission(2)
    lines.join(early)
    lines.join(late)

    lines.go_in(early)

    assert lines.may_go_in(late)


def test_whoever_is_inside_is_still_not_overtaken() -> None:
    """A later one may sit in a batch that leaves before."""
    lines = PostponedLines()
    early, late = _submission(1), _submission(2)
    lines.join(early)
    lines.go_in(early)

    assert lines.is_overtaking(late)
    assert not lines.is_overtaking(early)

    lines.leave(early)

    assert not lines.is_overtaking(late)


def test_joining_again_is_being_outside_again() -> None:
    """Postponed a second time, it holds the others a second time."""
    lines = PostponedLines()
    early = _submission(1)
    lines.join(early)
    lines.go_in(early)

    lines.join(early)

    assert not lines.may_go_in(_submission(2))


def test_an_empty_line_is_forgotten() -> None:
    """Players come and go by the million."""
    lines = PostponedLines()
    submission = _submission(1)
    lines.join(submission)
    lines.go_in(submission)

    lines.leave(submission)
    lines.leave(submission)

    assert len(lines) == 0
    assert lines.first_outside(ADA) is None
