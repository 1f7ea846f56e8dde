"""Timers, with a clock and a host of our own: what is armed when, and what a trap undoes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tiny_application import (
    ADMIN,
    MAIN,
    NOW_NS,
    SECOND_NS,
    Add,
    TinyNode,
    principal,
    submitted,
)

from icfleet_canister import FleetPorts, FleetRecords, FleetTimers, MemberSettings, head_digest
from icfleet_canister.alarms import OVERDUE_S
from icfleet_canister.fleet_service import never
from icfleet_canister.fleet_timers import WATCH_PERIOD_S
from icfleet_canister.former_mains import TELL_FOR_NS, TELL_LEASE_NS, TELL_RETRY_NS
from icfleet_canister.replication import PULL_LEASE_S
from icfleet_canister.seeding import CLEAR_SLOTS_MAX
from icfleet_canister.sweeper import SWEEP_PERIOD_S
from icfleet_canister.view_cache import VIEW_TTL_NS
from icfleet_canister.wake_guard import WAKE_GAP_NS

ADA = principal(1)


class Trapped(BaseException):
    """``ic.trap``."""


@dataclass(frozen=True)
class Name:
    """Kybra's ``Principal``."""

    text: str

    def to_str(self) -> str:
        return self.text

    @staticmethod
    def from_str(text: str) -> Name:
        return Name(text)


RECORDS = FleetRecords(Name)


@dataclass
class Result:
    """Kybra's ``CallResult``."""

    Ok: Any = None
    Err: str | None = None


@dataclass
class Upstream:
    """A canister as a caller sees it."""

    host: Host
    canister: str

    def log_since(self, position: Any, chain_hash: bytes, size_max: int) -> Callable[[str], Any]:
        def call(caller: str) -> Any:
            there = self.host.network[self.canister]
            head = RECORDS.log_head(position, chain_hash)
            answer = there.node.service.log_since(caller, head, size_max, there.now_ns)
            return RECORDS.log_reply(answer)

        self.host.asked.append("log_since")
        return call

    def state_page(self, cursor: Any, size_max: int) -> Callable[[str], Any]:
        def call(caller: str) -> Any:
            there = self.host.network[self.canister]
            asked = RECORDS.cursor(cursor)
            answer = there.node.service.state_page(caller, asked, size_max, there.now_ns)
            return RECORDS.state_reply(answer)

        self.host.asked.append("state_page")
        return call

    def acknowledge(self, position: Any) -> Upstream:
        self.host.acknowledged.append((self.canister, position["epoch"], position["seq"]))
        return self

    def notify(self) -> None:
        return None


@dataclass
class Host:
    """A canister's outside: its timers are fired by hand."""

    node: TinyNode
    now_ns: int = NOW_NS
    network: dict[str, Host] = field(default_factory=dict[str, "Host"])
    timers: dict[int, tuple[int, Callable[[], Any]]] = field(
        default_factory=dict[int, tuple[int, Callable[[], Any]]]
    )
    numbers: list[int] = field(default_factory=list[int])
    periods_s: dict[int, int] = field(default_factory=dict[int, int])
    certified: list[bytes] = field(default_factory=list[bytes])
    asked: list[str] = field(default_factory=list[str])
    acknowledged: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])

    def __post_init__(self) -> None:
        self.network[self.node.canister] = self
        self.jobs = self._jobs()
        self.jobs.keep_running()

    def _jobs(self) -> FleetTimers:
        ports = FleetPorts(
            set_timer=self._set_timer,
            set_timer_interval=self._set_timer_interval,
            clear_timer=self._clear_timer,
            time=self._time,
            print=_print,
            trap=_trap,
            certify=self.certified.append,
            is_exhausted=never,
            upstream=self._upstream,
        )
        return FleetTimers(self.node.service, RECORDS, ports)

    def upgrade(self) -> None:
        """Lose heap and timers, as an upgrade does."""
        self.timers.clear()
        self.periods_s.clear()
        self.node.upgrade(self.now_ns, restore=False)
        self.jobs = self._jobs()
        self.jobs.keep_running()

    def join(self, upstream: Host) -> None:
        """Follow another canister."""
        self.network.update(upstream.network)
        assert upstream.node.service.attach(ADMIN, self.node.canister).case == "Done"
        assert self.node.service.follow(ADMIN, upstream.node.canister).case == "Done"
        upstream.jobs.keep_running()
        self.jobs.pull_now()
        self.jobs.keep_running()

    def delays(self) -> dict[str, int]:
        """Seconds until each timer fires, by its callback's name."""
        return {
            callback.__name__: (deadline_ns - self.now_ns) // SECOND_NS
            for deadline_ns, callback in self.timers.values()
        }

    def fire(self, name: str) -> Any:
        """Fire a timer, not before its time."""
        number, (deadline_ns, callback) = next(
            (number, timer) for number, timer in self.timers.items() if timer[1].__name__ == name
        )
        del self.timers[number]
        self.now_ns = max(self.now_ns, deadline_ns)
        if number in self.periods_s:
            self.timers[number] = (self.now_ns + self.periods_s[number] * SECOND_NS, callback)
        return callback()

    def ask(self, name: str) -> Generator[Any, Any, None]:
        """Fire a timer that asks another canister; the answer is still to come."""
        asking: Generator[Any, Any, None] = self.fire(name)
        next(asking)
        return asking

    def fire_pull(self) -> Result | None:
        """Fire the pull's timer, and let its call be answered."""
        pull: Generator[Any, Any, None] = self.fire("pull")
        try:
            call = next(pull)
        except StopIteration:
            return None
        result = Result(Ok=call(self.node.canister))
        finish(pull, result)
        return result

    def _set_timer(self, delay_s: int, callback: Callable[[], Any]) -> int:
        number = len(self.numbers)
        self.numbers.append(number)
        self.timers[number] = (self.now_ns + delay_s * SECOND_NS, callback)
        return number

    def _set_timer_interval(self, period_s: int, callback: Callable[[], Any]) -> int:
        number = self._set_timer(period_s, callback)
        self.periods_s[number] = period_s
        return number

    def _clear_timer(self, number: int) -> None:
        self.timers.pop(number, None)

    def _time(self) -> int:
        return self.now_ns

    def _upstream(self, canister: str) -> Upstream:
        return Upstream(self, canister)


def _print(text: str) -> None:
    raise AssertionError(text)


def _trap(reason: str) -> None:
    raise Trapped(reason)


def finish(pull: Generator[Any, Any, None], result: Result) -> None:
    """Give a pull its answer."""
    with pytest.raises(StopIteration):
        pull.send(result)


@pytest.fixture
def main() -> Host:
    """A main with one counter."""
    node = TinyNode.main()
    node.do(ADA, ADA, Add(1))
    return Host(node)


@pytest.fixture
def replica(main: Host) -> Host:
    """A replica of it that has not pulled yet."""
    host = Host(TinyNode.fresh(principal(7), is_main=False))
    host.join(main)
    return host


def test_the_head_is_certified_when_it_has_moved_and_after_an_upgrade(main: Host) -> None:
    """Certified data is not set for nothing: it costs each of the subnet's nodes."""
    assert main.certified == [head_digest(main.node.head)]
    main.jobs.keep_running()
    assert len(main.certified) == 1
    main.node.do(ADA, ADA, Add(1))
    main.jobs.keep_running()
    assert main.certified[1:] == [head_digest(main.node.head)]
    main.upgrade()
    assert main.certified[2:] == [head_digest(main.node.head)]


def test_a_timer_is_armed_for_what_there_is_to_do(main: Host, replica: Host) -> None:
    """Views are dated anew, memory is swept, a replica pulls; whoever has a peer keeps watch."""
    assert main.delays() == {
        "tend_views": VIEW_TTL_NS // SECOND_NS,
        "sweep": pytest.approx(SWEEP_PERIOD_S, abs=3_600),
        "watch": WATCH_PERIOD_S,
    }
    assert replica.delays()["pull"] == 0
    assert replica.delays()["watch"] == WATCH_PERIOD_S


def test_a_main_without_replicas_keeps_no_watch() -> None:
    """Nobody could tell it anything."""
    assert "watch" not in Host(TinyNode.main()).delays()


def test_the_watch_ends_with_the_last_replica(main: Host, replica: Host) -> None:
    """And begins again with the next one, once."""
    main.node.service.detach(ADMIN, replica.node.canister)
    main.fire("watch")
    assert "watch" not in main.delays()

    main.node.service.attach(ADMIN, replica.node.canister)
    main.jobs.keep_running()
    main.jobs.keep_running()
    assert [timer[1].__name__ for timer in main.timers.values()].count("watch") == 1


def test_the_watch_keeps_an_idle_main_awake(main: Host, replica: Host) -> None:
    """Else it would wait for its replicas after every quiet minute."""
    for _ in range(10):
        main.fire("watch")

    assert main.now_ns > NOW_NS + WAKE_GAP_NS
    assert replica.node.canister in main.node.service.member.replicas
    assert main.node.do(ADA, ADA, Add(1), main.now_ns).case == "Applied"


def test_every_update_wakes_the_guard(main: Host, replica: Host) -> None:
    """A main that has missed its watches decides nothing until its replicas have spoken."""
    main.now_ns += WAKE_GAP_NS + SECOND_NS
    main.jobs.begin()

    operation = submitted(9, ADA, Add(1), main.now_ns)
    assert main.node.submit(ADA, operation, now_ns=main.now_ns)[0].case == "Busy"
    service = main.node.service
    service.acknowledge(replica.node.canister, 1, 1, main.now_ns)
    assert main.node.submit(ADA, operation, now_ns=main.now_ns)[0].case == "Applied"


def test_a_replica_pulls_acknowledges_and_pulls_again(main: Host, replica: Host) -> None:
    """One second later while there is news, and half a minute when it has been quiet for long."""
    replica.fire_pull()

    assert replica.node.head == main.node.head
    assert replica.certified[-1] == head_digest(main.node.head)
    assert replica.acknowledged == [(MAIN, 1, 2)]
    assert replica.delays()["pull"] == 1
    delays: list[int] = []
    for _ in range(70):
        replica.fire_pull()
        delays.append(replica.delays()["pull"])
    assert sorted(set(delays)) == [1, 5, 30]
    assert delays == sorted(delays)
    assert replica.acknowledged == [(MAIN, 1, 2)]


def test_following_pulls_at_once(main: Host, replica: Host) -> None:
    """Though the next pull was half a minute away."""
    for _ in range(70):
        replica.fire_pull()

    replica.node.service.follow(ADMIN, main.node.canister)
    replica.jobs.pull_now()

    assert replica.delays()["pull"] == 0


def test_a_pull_that_is_lost_is_made_again(main: Host, replica: Host) -> None:
    """The lease is a timer, armed before the question: no flag is left behind."""
    lost: Generator[Any, Any, None] = replica.fire("pull")
    next(lost)

    assert replica.delays()["pull"] == PULL_LEASE_S
    replica.jobs.keep_running()
    assert replica.delays()["pull"] == PULL_LEASE_S
    replica.fire_pull()
    assert replica.node.head == main.node.head


def test_nobody_asks_twice_at_a_time(replica: Host) -> None:
    """An early timer finds the lease taken, and leaves it."""
    pull: Generator[Any, Any, None] = replica.fire("pull")
    next(pull)
    replica.jobs.pull_now()

    assert replica.fire_pull() is None
    assert replica.delays()["pull"] == PULL_LEASE_S
    assert replica.asked == ["log_since"]


def test_an_upstream_that_does_not_answer_is_asked_less_and_less(replica: Host) -> None:
    """1, 2, 4, ... and at most 30 seconds, with the reason in the status."""
    delays: list[int] = []
    for _ in range(7):
        pull: Generator[Any, Any, None] = replica.fire("pull")
        next(pull)
        finish(pull, Result(Err="Rejection code 5, stopped"))
        delays.append(replica.delays()["pull"])

    assert delays == [1, 2, 4, 8, 16, 30, 30]
    error = replica.node.service.member.replication.error
    assert error is not None
    assert "stopped" in error
    assert replica.node.figures["pull_failures"] == 7
    replica.fire_pull()
    assert replica.node.service.member.replication.error is None
    assert replica.delays()["pull"] == 1


def test_an_answer_that_makes_no_sense_traps(replica: Host) -> None:
    """An exception in a generator would be swallowed, and half of its work kept."""
    pull: Generator[Any, Any, None] = replica.fire("pull")
    next(pull)

    with pytest.raises(Trapped, match="pull: KeyError"):
        pull.send(Result(Ok={"Batch": {}}))


def test_a_question_that_cannot_be_asked_traps(replica: Host) -> None:
    """For the same reason."""

    def broken(now_ns: int) -> Any:
        raise ZeroDivisionError(now_ns)

    replica.node.service.member.pull_request = broken  # type: ignore[method-assign]
    pull: Generator[Any, Any, None] = replica.fire("pull")

    with pytest.raises(Trapped, match="pull: ZeroDivisionError"):
        next(pull)


def test_a_replica_that_is_ahead_says_so_at_once(main: Host, replica: Host) -> None:
    """So that a main that was put back in time stops deciding."""
    main.node.do(ADA, ADA, Add(1))
    replica.fire_pull()
    older = Host(TinyNode.main())
    older.node.do(ADA, ADA, Add(1))
    older.node.service.attach(ADMIN, replica.node.canister)
    replica.network[MAIN] = older
    seq = replica.node.head.seq

    replica.fire_pull()

    assert replica.acknowledged[-1] == (MAIN, 1, seq)
    older.node.service.acknowledge(replica.node.canister, 1, seq, older.now_ns)
    assert older.node.service.member.fence is not None


def test_a_replica_acknowledges_when_it_is_asked_to(main: Host, replica: Host) -> None:
    """A main that wakes cannot wait for the half minute to pass."""
    replica.fire_pull()
    replica.fire_pull()
    assert len(replica.acknowledged) == 1
    main.now_ns += WAKE_GAP_NS + SECOND_NS
    main.jobs.begin()
    replica.now_ns = main.now_ns

    replica.fire_pull()

    assert replica.acknowledged == [(MAIN, 1, 2)] * 2


def test_rows_are_taken_over_by_pages_where_the_log_is_gone(main: Host, replica: Host) -> None:
    """By the same timer, with the log in turn, until everything is there."""
    assert replica.node.service.reseed(ADMIN, MAIN).case == "Done"
    replica.jobs.pull_now()

    for _ in range(10):
        if replica.node.head == main.node.head and replica.node.service.phase == "Serving":
            break
        for name in ("restore", "pull"):
            if name in replica.delays():
                replica.fire_pull() if name == "pull" else replica.fire(name)

    assert "state_page" in replica.asked
    assert replica.node.counters == main.node.counters
    assert replica.node.service.phase == "Serving"
    assert replica.delays()["pull"] <= 1


def test_rows_beyond_the_end_are_removed_before_the_next_pull(main: Host, replica: Host) -> None:
    """In slices, and then it is asked at once: not after the lease's minute."""
    large = Host(TinyNode.main(epoch=3))
    service = large.node.service
    service.grant_gateway(ADMIN, ADA, ["Add"], all_players=True, now_ns=NOW_NS)
    for number in range(2 * CLEAR_SLOTS_MAX + 10):
        large.node.do(ADA, principal(number + 10), Add(1))
    service.attach(ADMIN, replica.node.canister)
    replica.network[MAIN] = large
    replica.node.catch_up(large.node)
    replica.network[MAIN] = main
    replica.node.service.reseed(ADMIN, MAIN)
    replica.jobs.pull_now()

    replica.fire_pull()
    assert replica.fire_pull() is None
    assert replica.delays()["pull"] == PULL_LEASE_S
    for _ in range(5):
        if replica.delays()["pull"] == PULL_LEASE_S:
            replica.fire("restore")

    assert replica.delays()["pull"] == 0
    for _ in range(3):
        replica.fire_pull()
        replica.node.restore()
    assert replica.node.counters == main.node.counters
    assert replica.node.head == main.node.head


def test_an_answer_of_an_upstream_that_was_left_is_not_acknowledged(
    main: Host, replica: Host
) -> None:
    """The new one is told, by its own answers."""
    replica.fire_pull()
    replica.acknowledged.clear()
    main.node.do(ADA, ADA, Add(1))
    pull: Generator[Any, Any, None] = replica.fire("pull")
    call = next(pull)
    answer = call(replica.node.canister)
    replica.node.service.follow(ADMIN, principal(8))

    finish(pull, Result(Ok=answer))

    assert replica.acknowledged == []
    assert replica.node.head != main.node.head


def test_an_upgrade_in_the_middle_of_a_pull_goes_on(main: Host, replica: Host) -> None:
    """Timers and the open question are gone; what is needed is armed again."""
    next(replica.fire("pull"))
    replica.upgrade()

    assert {"restore", "pull"} <= set(replica.delays())
    replica.fire("restore")
    assert "restore" not in replica.delays()
    replica.fire_pull()
    assert replica.node.head == main.node.head


def test_restoring_goes_on_until_it_is_done(main: Host) -> None:
    """Slice by slice, and then no more."""
    main.upgrade()
    assert main.delays()["restore"] == 0
    for _ in range(10):
        if "restore" in main.delays():
            main.fire("restore")

    assert "restore" not in main.delays()
    assert main.node.service.is_restored
    assert main.node.submit(ADA, submitted(5, ADA, Add(1)))[0].case == "Applied"


def test_a_canister_that_becomes_the_main_pulls_no_more(main: Host, replica: Host) -> None:
    """But it keeps watch, and tells the main that it has replaced."""
    replica.fire_pull()
    main.node.service.demote(ADMIN, 1)
    replica.node.service.promote(ADMIN, 1, 2, replica.now_ns)
    replica.node.service.attach(ADMIN, MAIN)
    replica.jobs.keep_running()

    assert replica.fire_pull() is None
    assert "pull" not in replica.delays()
    assert {"watch", "tell_former_main"} <= set(replica.delays())


def test_a_pull_that_was_lost_to_a_trap_is_found_by_the_watch(main: Host, replica: Host) -> None:
    """A replica gets no messages but its own timers'."""
    number = next(key for key, timer in replica.timers.items() if timer[1].__name__ == "pull")
    del replica.timers[number]

    replica.fire("watch")

    assert replica.delays()["pull"] <= 1
    replica.fire_pull()
    assert replica.node.head == main.node.head


def test_a_main_that_was_replaced_is_told_until_it_answers(main: Host, replica: Host) -> None:
    """By one call at a time, and again when that is refused; nobody is called by an upgrade."""
    replica.fire_pull()
    replica.acknowledged.clear()
    replica.node.service.promote(ADMIN, 1, 2, replica.now_ns)
    replica.jobs.keep_running()
    assert replica.acknowledged == []
    finish(replica.ask("tell_former_main"), Result(Err="Rejection code 5, stopped"))
    assert replica.acknowledged == [(MAIN, 2, 3)]
    assert "tell_former_main" not in replica.delays()
    replica.now_ns += TELL_RETRY_NS
    replica.jobs.keep_running()
    replica.ask("tell_former_main")
    replica.jobs.keep_running()
    assert "tell_former_main" not in replica.delays()

    replica.now_ns += TELL_LEASE_NS
    replica.jobs.keep_running()
    replica.upgrade()
    assert len(replica.acknowledged) == 2
    finish(replica.ask("tell_former_main"), Result())
    replica.now_ns += TELL_LEASE_NS
    replica.jobs.keep_running()
    assert "tell_former_main" not in replica.delays()
    main.node.service.acknowledge(replica.node.canister, 2, 3, main.now_ns)
    assert main.node.service.member.fence is not None


def test_a_main_that_never_answers_is_told_for_a_day(main: Host, replica: Host) -> None:
    """And then no more: each call holds cycles."""
    replica.fire_pull()
    replica.node.service.promote(ADMIN, 1, 2, replica.now_ns)
    replica.now_ns += TELL_FOR_NS
    replica.jobs.keep_running()

    assert main.node.service.member.decides
    assert not {"tell_former_main", "watch"} & set(replica.delays())


def test_a_job_that_was_lost_to_a_trap_is_found_again(main: Host) -> None:
    """By the next message of any kind, once it is overdue."""
    number = next(
        number for number, timer in main.timers.items() if timer[1].__name__ == "tend_views"
    )
    del main.timers[number]
    main.jobs.keep_running()
    assert "tend_views" not in main.delays()

    main.now_ns += VIEW_TTL_NS + (OVERDUE_S + 1) * SECOND_NS
    main.jobs.keep_running()

    assert main.delays()["tend_views"] == 0


def test_an_unfinished_sweep_goes_on_in_a_second(main: Host) -> None:
    """And a finished one after its period; there is none when nothing is left."""
    assert main.node.service.configure(ADMIN, MemberSettings()).case == "Done"
    for _ in range(10):
        if "sweep" in main.delays():
            main.fire("sweep")
    assert "sweep" not in main.delays()
    assert main.node.figures["sweeps"] > 0
