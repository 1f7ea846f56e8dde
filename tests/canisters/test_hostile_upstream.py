"""Another canister's numbers are believed within reason: none of them may end a canister's work."""

from __future__ import annotations

from itertools import pairwise

from tiny_application import ADMIN, NOW_NS, Add, TinyNode, principal, submitted

from icfleet_canister import FleetService, IdWindow, LogHead, MemoryMap, PullRequest, RowChange
from icfleet_canister.change_log import ChangeLog
from icfleet_canister.former_mains import TELL_RETRY_NS, FormerMains
from icfleet_canister.replication import LEASE_MAX_S, PULL_LEASE_S, Replication
from icfleet_canister.row_table import SLOTS_MAX

SECOND_NS = 1_000_000_000
ADA = principal(1)


def test_a_row_in_an_impossible_slot_is_refused() -> None:
    """Else each walk over the slots would take for ever."""
    node = TinyNode.main()
    table = node.service.table
    value = node.stores.rows.get(0)

    assert table.problem([RowChange(SLOTS_MAX - 1, value)]) is None
    for slot in (SLOTS_MAX, 2**63, 2**64 - 1):
        assert "slots are below" in (table.problem([RowChange(slot, value)]) or "")


def test_an_impossible_epoch_is_not_believed() -> None:
    """Else no promotion would ever be high enough again."""
    service: FleetService = TinyNode.main().service
    service.attach(ADMIN, ADA)
    service.acknowledge(ADA, 2**64 - 1, 2**64 - 1, NOW_NS)

    assert service.member.fence is None
    assert service.demote(ADMIN, 1).case == "Done"
    assert service.promote(ADMIN, 1, 2**63, NOW_NS).code == "WrongEpoch"
    assert service.promote(ADMIN, 1, 2, NOW_NS).case == "Done"


def test_an_upstream_that_never_answers_is_asked_ever_more_rarely() -> None:
    """Each open call holds cycles; a day of silence must not open a thousand."""
    replication = Replication(ChangeLog(MemoryMap()), row_size_max=100, upstream="up")
    request = PullRequest("up", LogHead.empty(), 1)
    times = [
        second
        for second in range(0, 24 * 3_600, 10)
        if replication.lease(request, NOW_NS + second * SECOND_NS)
    ]

    assert times[:3] == [0, PULL_LEASE_S, PULL_LEASE_S * 3]
    assert max(later - earlier for earlier, later in pairwise(times)) == LEASE_MAX_S
    assert len(times) < 32
    replication.release(request)
    assert replication.lease(request, NOW_NS)
    assert not replication.lease(request, NOW_NS + (PULL_LEASE_S - 1) * SECOND_NS)


def test_an_id_that_was_used_again_stands_for_the_later_operation() -> None:
    """Also when the ids are read back from the log: the earlier record must not hide it."""
    node = TinyNode.main()
    first = node.submit(ADA, submitted(1, ADA, Add(1)))[0]
    later_ns = NOW_NS + 26 * 60 * SECOND_NS
    node.service.member.window.sweep(later_ns, 100)
    again = submitted(1, ADA, Add(5), later_ns)
    second = node.submit(ADA, again, now_ns=later_ns)[0]
    assert second.seq > first.seq

    window = IdWindow()
    window.begin_restore(node.service.member.log)
    window.restore(node.service.member.log, later_ns, 100)

    assert window.seq_of(ADA, again.operation_id) == second.seq


def test_a_main_that_was_not_told_yet_is_not_forgotten_for_a_newer_one() -> None:
    """It may be stopped while the fleet goes through two promotions."""
    former = FormerMains()
    former.note(["a"], NOW_NS)
    former.asked("a", NOW_NS)
    former.answered("a", NOW_NS, is_told=False)
    former.note(["b"], NOW_NS + 1)
    assert former.canisters == ("b", "a")
    former.asked("b", NOW_NS + 1)
    former.answered("b", NOW_NS + 1, is_told=True)

    assert former.due(NOW_NS + TELL_RETRY_NS + 1) == "a"
    former.note(["c"], NOW_NS + 2)
    assert former.canisters == ("c", "a")
