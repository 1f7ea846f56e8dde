# ruff: noqa: ARG002 - a fake need not use all that its port passes
"""Exactly once, in order, wholly or not at all."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import (
    BatchApplier,
    ChangeLog,
    Charge,
    Effects,
    EncodingError,
    IdWindow,
    LogHead,
    MemoryMap,
    PendingOperation,
    Rate,
    RateLimiter,
    RowChange,
    Verdict,
    batch_problem,
)
from icfleet_canister.batch_applier import BATCH_SIZE_MAX, OPERATIONS_MAX
from icfleet_canister.change_log import LogExtent
from icfleet_canister.id_window import CREATED_AHEAD_MAX_NS, CREATED_BEHIND_MAX_NS, ID_MEMORY_NS

SECOND_NS = 1_000_000_000
NOW_NS = 10_000 * SECOND_NS
RATE = Rate(limit=4, window_ns=40 * SECOND_NS)
ROW_SIZE_MAX = 100
EPOCH = LogHead.empty()._replace(epoch=1)


class Notes:
    """An application that appends letters to a text for each subject.

    ``?`` is forbidden, ``no`` is refused, ``boom`` is a bug, ``huge`` a row without room, ``seq``
    the position of its own record. When the caller's rights are gone, everything is forbidden.
    """

    def __init__(self) -> None:
        self.texts: dict[int, bytes] = {}
        self.has_rights = True

    def forbids(self, caller: str, operation: PendingOperation[str]) -> str | None:
        if operation.body == "no rights":
            raise LookupError
        is_allowed = self.has_rights and operation.body != "?"
        return None if is_allowed else f"{caller} may not ask"

    def charges(self, caller: str, operation: PendingOperation[str]) -> Sequence[Charge]:
        if operation.body == "dear":
            return [Charge(operation.subject, RATE.limit + 1, RATE)]
        return [Charge(operation.subject, 1, RATE)]

    def evaluate(
        self, caller: str, operation: PendingOperation[str], now_ns: int, seq: int
    ) -> Effects:
        slot = slot_of(operation.subject)
        if operation.body == "no":
            return Effects(refusal=("Never", "not today"))
        if operation.body == "boom":
            raise KeyError
        if operation.body == "huge":
            return Effects([RowChange(99, b"first"), RowChange(slot, bytes(ROW_SIZE_MAX + 1))])
        if operation.body == "unencodable":
            return Effects([RowChange(-1, b"")])
        if operation.body == "many rows":
            return Effects([RowChange(row, bytes(ROW_SIZE_MAX)) for row in range(90)])
        if operation.body == "seq":
            return Effects([RowChange(slot, str(seq).encode())])
        text = self.texts.get(slot, b"") + operation.body.encode()
        return Effects([RowChange(slot, text[-ROW_SIZE_MAX:])])

    def apply(self, changes: Sequence[RowChange]) -> None:
        for slot, value in changes:
            assert value is not None
            self.texts[slot] = value


def slot_of(subject: str) -> int:
    return ord(subject[0])


class World:
    """An applier over a fresh log."""

    def __init__(self, *, capacity: int = 1_000) -> None:
        self.notes = Notes()
        self.log = ChangeLog(MemoryMap[int, bytes](), LogExtent(EPOCH, EPOCH))
        self.window = IdWindow(capacity)
        self.limiter = RateLimiter()
        self.applier = BatchApplier(
            self.notes, self.log, self.window, self.limiter, row_size_max=ROW_SIZE_MAX
        )

    def apply(
        self,
        *operations: PendingOperation[str],
        now_ns: int = NOW_NS,
        budget: int = 1_000,
        busy_ns: int = 0,
    ) -> list[Verdict]:
        asked = iter(range(1_000_000))
        return self.applier.apply(
            "caller",
            operations,
            now_ns=now_ns,
            is_exhausted=lambda: next(asked) >= budget,
            busy_ns=busy_ns,
        )

    def upgrade(self) -> None:
        """Lose the heap; the window is to be restored from the log's last page on."""
        self.window = IdWindow()
        self.window.begin_restore(self.log)
        self.applier = BatchApplier(
            self.notes, self.log, self.window, self.limiter, row_size_max=ROW_SIZE_MAX
        )

    def text(self, subject: str) -> bytes:
        return self.notes.texts.get(slot_of(subject), b"")


def operation(
    number: int, body: str = "x", subject: str = "ada", created_at_ns: int = NOW_NS
) -> PendingOperation[str]:
    return PendingOperation(number.to_bytes(16, "big"), subject, created_at_ns, body, body.encode())


def cases(verdicts: Sequence[Verdict]) -> list[str]:
    return [verdict.case for verdict in verdicts]


def test_operations_are_applied_in_order() -> None:
    """One record each, one after the other."""
    world = World()

    verdicts = world.apply(operation(1, "a"), operation(2, "b"), operation(3, "c", "bob"))

    assert verdicts == [Verdict("Applied", seq=seq) for seq in (1, 2, 3)]
    assert (world.text("ada"), world.text("bob")) == (b"ab", b"c")
    assert [record.subject for record in world.log.after(0, 9_999, 9)] == ["ada", "ada", "bob"]


def test_a_refusal_is_an_answer_for_good() -> None:
    """It is in the log and comes again, even when the rules would say yes now."""
    world = World()

    first = world.apply(operation(1, "no"))
    again = world.apply(operation(1, "no"), now_ns=NOW_NS + SECOND_NS)

    assert first == again == [Verdict("Refused", seq=1, code="Never", reason="not today")]
    assert world.log.head.seq == 1


def test_the_same_operation_again_gets_the_first_answer() -> None:
    """In the same batch, in a later one, and as long as it could be accepted."""
    world = World()

    same_batch = world.apply(operation(1, "a"), operation(1, "a"))
    later = world.apply(operation(1, "a"), now_ns=NOW_NS + ID_MEMORY_NS)

    assert same_batch == [Verdict("Applied", seq=1)] * 2
    assert later == [Verdict("Applied", seq=1)]
    assert world.text("ada") == b"a"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(operation(1, "b"), id="another-body"),
        pytest.param(operation(1, "a", created_at_ns=NOW_NS + 1), id="another-time"),
    ],
)
def test_another_operation_under_a_used_id_is_refused(other: PendingOperation[str]) -> None:
    """It is told from a repetition by its digest."""
    world = World()
    world.apply(operation(1, "a"))

    assert cases(world.apply(other)) == ["IdReused"]
    assert cases(world.apply(operation(1, "a", subject="bob"))) == ["Applied"]
    assert world.text("ada") == b"a"


@pytest.mark.parametrize(
    ("created_at_ns", "case"),
    [
        (NOW_NS - CREATED_BEHIND_MAX_NS, "Applied"),
        (NOW_NS - CREATED_BEHIND_MAX_NS - 1, "Expired"),
        (NOW_NS + CREATED_AHEAD_MAX_NS, "Applied"),
        (NOW_NS + CREATED_AHEAD_MAX_NS + 1, "InFuture"),
    ],
)
def test_operations_are_accepted_around_the_time_they_were_made(
    created_at_ns: int, case: str
) -> None:
    """20 minutes back, 5 ahead, and nothing is remembered outside."""
    world = World()

    assert cases(world.apply(operation(1, created_at_ns=created_at_ns))) == [case]
    assert len(world.window) == int(case == "Applied")


@pytest.mark.parametrize("size", [0, 15, 33])
def test_an_id_of_a_wrong_size_is_invalid(size: int) -> None:
    """16 to 32 bytes."""
    world = World()
    bad = PendingOperation(b"i" * size, "ada", NOW_NS, "x", b"x")

    verdict = world.apply(bad)[0]

    assert (verdict.case, verdict.code) == ("Invalid", "IdSize")
    assert (len(world.limiter), world.log.head.seq) == (0, 0)


def test_a_fresh_operation_that_is_forbidden_leaves_no_trace() -> None:
    """Neither in the log nor in anybody's allowance."""
    world = World()

    verdict = world.apply(operation(1, "?"))[0]

    assert verdict == Verdict("Forbidden", reason="caller may not ask")
    assert (len(world.limiter), len(world.window), world.log.head.seq) == (0, 0, 0)


@pytest.mark.parametrize("body", ["a", "no"])
def test_rights_that_are_gone_do_not_hide_what_was_decided(body: str) -> None:
    """Whoever lost the answer and then its rights must not take the operation for undone."""
    world = World()
    first = world.apply(operation(1, body))
    world.notes.has_rights = False

    again = world.apply(operation(1, body))

    assert first == again
    assert again[0].case in ("Applied", "Refused")


def test_another_content_tells_a_stranger_nothing_about_a_used_id() -> None:
    """``IdReused`` would tell that there is an operation of that id."""
    world = World()
    world.apply(operation(1, "a"))
    world.notes.has_rights = False

    verdicts = world.apply(
        operation(1, "b"), operation(1, "a", created_at_ns=NOW_NS + 1), operation(2, "a")
    )

    assert verdicts == [Verdict("Forbidden", reason="caller may not ask")] * 3


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("boom", "RulesFailed"),
        ("no rights", "RulesFailed"),
        ("dear", "RulesFailed"),
        ("huge", "RowTooLarge"),
        ("many rows", "RecordTooLarge"),
        ("unencodable", "Encoding"),
    ],
)
def test_a_bad_operation_leaves_nothing_and_harms_no_neighbour(body: str, code: str) -> None:
    """Not even its first row is written, and the next one has the next position."""
    world = World()

    verdicts = world.apply(operation(1, "a"), operation(2, body), operation(3, "b"))

    assert cases(verdicts) == ["Applied", "Invalid", "Applied"]
    assert (verdicts[1].code, verdicts[2].seq) == (code, 2)
    assert world.notes.texts == {slot_of("ada"): b"ab"}
    assert len(world.window) == 2
    assert world.applier.failures == int(code == "RulesFailed")


def test_rules_are_told_the_position_that_their_record_will_have() -> None:
    """Also behind others of the batch, and behind some that came to nothing."""
    world = World()
    world.apply(operation(1, "a", "bob"))

    verdicts = world.apply(operation(2, "boom"), operation(3, "b", "bob"), operation(4, "seq"))

    assert verdicts[2].seq == 3
    assert world.text("ada") == b"3"


def test_while_the_canister_wakes_only_what_is_known_is_answered() -> None:
    """Whether anything else is new cannot be told yet, so nothing final is said of it."""
    world = World()
    first = world.apply(operation(1, "a"))
    late_ns = NOW_NS + CREATED_BEHIND_MAX_NS + 1

    verdicts = world.apply(
        operation(1, "a"), operation(2, "b"), operation(3, "?"), now_ns=late_ns, busy_ns=7
    )

    assert verdicts == [*first, *[Verdict("Busy", retry_after_ns=7)] * 2]
    assert (len(world.limiter), world.log.head.seq) == (1, 1)
    assert cases(world.apply(operation(2, "b"))) == ["Applied"]


def test_an_id_from_before_the_window_may_have_been_used() -> None:
    """A replica that took over rows does not know what had been decided for them."""
    world = World()
    world.window.horizon_ns = NOW_NS
    later = operation(2, "b", created_at_ns=NOW_NS + 1)

    verdicts = world.apply(
        operation(1, "a"), operation(3, "?", "bob"), later, operation(4, "c", "eve", NOW_NS + 1)
    )

    assert cases(verdicts) == ["Busy", "Busy", "Deferred", "Applied"]
    assert verdicts[0].retry_after_ns == SECOND_NS
    assert cases(world.apply(later)) == ["Applied"]
    end_ns = NOW_NS + CREATED_BEHIND_MAX_NS
    assert cases(world.apply(operation(1, "a"), now_ns=end_ns)) == ["Busy"]
    assert cases(world.apply(operation(1, "a"), now_ns=end_ns + 1)) == ["Expired"]


def test_figures_tell_what_happened() -> None:
    """For ``status``."""
    world = World()
    world.apply(
        *(operation(number, body) for number, body in enumerate(["a", "no", "?", "b", "c"])),
        operation(0, "a"),
        operation(9, "x"),
        operation(10, "y"),
    )
    world.apply(operation(11, "x"), busy_ns=1)
    world.apply(operation(12, "boom", "bob"))

    applier = world.applier
    assert (applier.applied, applier.refused, applier.repeated) == (3, 1, 1)
    assert (applier.limited, applier.deferred, applier.busy) == (1, 1, 1)
    assert (applier.rejected, applier.failures) == (2, 1)


def test_a_rate_limited_operation_holds_back_the_subjects_later_ones() -> None:
    """Nobody's operations change their order; others are not concerned."""
    world = World()

    verdicts = world.apply(
        *(operation(number, str(number)) for number in range(6)), operation(6, "b", "bob")
    )

    assert cases(verdicts) == ["Applied"] * 4 + ["RateLimited", "Deferred", "Applied"]
    assert verdicts[4].retry_after_ns == 10 * SECOND_NS
    assert world.text("ada") == b"0123"


def test_an_undecided_operation_can_be_sent_again() -> None:
    """After the wait it is decided like any other."""
    world = World()
    operations = [operation(number, str(number)) for number in range(6)]
    world.apply(*operations)

    later_ns = NOW_NS + 20 * SECOND_NS
    verdicts = world.apply(*operations, now_ns=later_ns)

    assert cases(verdicts) == ["Applied"] * 6
    assert world.text("ada") == b"012345"


def test_repetitions_cost_no_allowance() -> None:
    """Whoever lost an answer may ask until it comes."""
    world = World()
    for _ in range(20):
        assert cases(world.apply(operation(1, "a"))) == ["Applied"]


def test_a_repetition_behind_a_deferred_operation_still_gets_its_answer() -> None:
    """It was decided before, so its order cannot change any more."""
    world = World()
    world.apply(*(operation(number) for number in range(4)))

    verdicts = world.apply(operation(9), operation(2))

    assert verdicts == [
        Verdict("RateLimited", retry_after_ns=10 * SECOND_NS),
        Verdict("Applied", seq=3),
    ]


def test_a_used_up_budget_defers_the_rest() -> None:
    """What was decided before stays decided."""
    world = World()

    verdicts = world.apply(operation(1), operation(2), operation(3, subject="bob"), budget=1)

    assert cases(verdicts) == ["Applied", "Deferred", "Deferred"]
    assert world.log.head.seq == 1


def test_a_full_window_is_busy_and_forgets_nothing() -> None:
    """New operations wait for room; repetitions still get their answers."""
    world = World(capacity=2)

    verdicts = world.apply(operation(1), operation(2), operation(3), operation(1))

    assert cases(verdicts) == ["Applied", "Applied", "Busy", "Applied"]
    assert verdicts[2].retry_after_ns == ID_MEMORY_NS
    world.window.sweep(NOW_NS + ID_MEMORY_NS + 1, 10)
    late_ns = NOW_NS + ID_MEMORY_NS + 1
    assert cases(world.apply(operation(4, created_at_ns=late_ns), now_ns=late_ns)) == ["Applied"]


def test_nothing_is_decided_before_the_window_is_restored() -> None:
    """After an upgrade a repetition might not be recognised yet."""
    world = World()
    world.apply(operation(1, "a"))
    world.upgrade()

    assert cases(world.apply(operation(1, "a"), operation(2, "b"))) == ["Busy", "Deferred"]
    world.window.restore(world.log, NOW_NS, pages_max=1)
    assert cases(world.apply(operation(1, "a"), operation(2, "b"))) == ["Applied", "Applied"]
    assert world.text("ada") == b"ab"


@pytest.mark.parametrize(
    ("late_ns", "has_rights"),
    [
        pytest.param(CREATED_BEHIND_MAX_NS + 1, True, id="expired"),
        pytest.param(-CREATED_AHEAD_MAX_NS - 1, True, id="in-future"),
        pytest.param(0, False, id="forbidden"),
    ],
)
def test_nothing_final_is_said_of_an_unknown_id_before_the_window_is_restored(
    late_ns: int, *, has_rights: bool
) -> None:
    """It may be an operation that was applied; once restored, the window tells."""
    world = World()
    first = world.apply(operation(1, "a"))
    world.upgrade()
    world.notes.has_rights = has_rights
    now_ns = NOW_NS + late_ns

    assert cases(world.apply(operation(1, "a"), now_ns=now_ns)) == ["Busy"]
    world.window.restore(world.log, now_ns, pages_max=1)
    assert world.apply(operation(1, "a"), now_ns=now_ns) == first


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (OPERATIONS_MAX, BATCH_SIZE_MAX, None),
        (OPERATIONS_MAX + 1, 0, "501 operations, at most 500 allowed"),
        (1, BATCH_SIZE_MAX + 1, "1500001 bytes, at most 1500000 allowed"),
    ],
)
def test_the_bounds_of_a_batch(count: int, size: int, expected: str | None) -> None:
    """500 operations, 1.5 MB."""
    assert batch_problem(count, size) == expected


batches = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.sampled_from(["a", "b", "no", "boom", "?"]), st.sampled_from("ab")
        ),
        max_size=6,
    ),
    max_size=8,
)


@given(batches, st.lists(st.integers(0, 30), max_size=8), st.integers(1, 6))
def test_each_id_is_decided_at_most_once(
    batches: list[list[tuple[int, str, str]]], pauses_s: list[int], budget: int
) -> None:
    """Whatever is sent again, changed, limited or cut short."""
    world = World()
    now_ns = NOW_NS
    answers: dict[tuple[str, bytes], Verdict] = {}
    for index, batch in enumerate(batches):
        now_ns += (pauses_s[index] if index < len(pauses_s) else 0) * SECOND_NS
        operations = [operation(number, body, subject) for number, body, subject in batch]
        verdicts = world.apply(*operations, now_ns=now_ns, budget=budget)
        for sent, verdict in zip(operations, verdicts, strict=True):
            if verdict.case in ("Applied", "Refused"):
                key = (sent.subject, sent.operation_id)
                assert answers.setdefault(key, verdict) == verdict

    records = world.log.after(0, 1_000_000, 1_000)
    assert len(records) == len(answers)
    assert {(record.subject, record.operation_id) for record in records} == set(answers)


def test_an_error_of_the_log_is_not_swallowed() -> None:
    """Only the rules' own failures are answers; a broken log must undo the message."""
    world = World()
    world.apply(operation(1))
    broken: MemoryMap[int, bytes] = MemoryMap()
    broken.insert(0, b"\x07" + bytes(50))
    log = ChangeLog(broken, world.log.extent)
    applier = BatchApplier(world.notes, log, world.window, world.limiter, row_size_max=ROW_SIZE_MAX)

    with pytest.raises(EncodingError):
        applier.apply("caller", [operation(1)], now_ns=NOW_NS, is_exhausted=lambda: False)
