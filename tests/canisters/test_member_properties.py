"""Three canisters that change roles, lose their heaps, are rolled back: what holds throughout.

Every history that a main has written is kept by its chain hash, with its rows and the operations
applied in it. So at every instant each canister whose rows are whole must hold exactly the rows of
its history, and no operation may be applied twice in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from member_world import NOW_NS, SECOND_NS, Node, number

from icfleet_canister import LogHead, MemberSettings, RowChange
from icfleet_canister.replication import PULL_LEASE_S, Request
from icfleet_canister.wake_guard import WAKE_GAP_NS

NAMES = ("a", "b", "c")
HOUR_NS = 3_600 * SECOND_NS
nodes = st.integers(0, 2)
sizes = st.sampled_from([1, 24, 80, 10**6])


class Fleet(RuleBasedStateMachine):
    """The world; the newest canister that was promoted is ``main``."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = NOW_NS
        self.nodes = [Node(name, is_main=name == "a") for name in NAMES]
        self.main = self.nodes[0]
        self.epoch = 0
        self.rows = {LogHead.empty().chain_hash: dict[int, int]()}
        self.applied = {LogHead.empty().chain_hash: frozenset[int]()}
        self.created: dict[int, int] = {}
        self.late: list[tuple[Node, Request, Any]] = []
        self.past: Node | None = None

    @initialize()
    def begin(self) -> None:
        """Everybody may pull from everybody."""
        for node in self.nodes:
            node.member.configure(MemberSettings(log_pages_max=10))
            for name in NAMES:
                if name != node.name:
                    node.member.attach(name)
        self._promote(self.main)
        self.submit(range(20))
        for node in self.nodes[1:]:
            node.member.follow("a")

    @rule(keys=st.lists(st.integers(0, 40), max_size=5))
    def submit(self, keys: Sequence[int]) -> None:
        """Operations, some of them again."""
        for key in keys:
            self.main.member.touch(self.now_ns)
            if not self.main.member.decides:
                return
            before = self.main.member.head
            created_ns = self.created.setdefault(key, self.now_ns)
            slot = key % 20 + 1
            verdict = self.main.add(
                slot, key % 4, key=key, now_ns=self.now_ns, created_ns=created_ns
            )
            applied = self.applied[before.chain_hash]
            if self.main.member.head != before:
                assert key not in applied, "applied twice"
                self._note(self.main, applied | {key})
            elif verdict.case == "Applied":
                assert key in applied

    @rule()
    @precondition(lambda self: self.main.member.decides)
    def fill_the_log(self) -> None:
        """So that its oldest pages go when they are old."""
        for _ in range(11):
            applied = self.applied[self.main.member.head.chain_hash]
            value = number(self.main.member.head.seq)
            rows = [RowChange(21, value)]
            self.main.member.record_change("x" * 7_000, rows, self.now_ns)
            self._note(self.main, applied)

    @rule(index=nodes, size_max=sizes, times=st.integers(1, 5))
    def pull(self, index: int, size_max: int, times: int) -> None:
        """A replica asks, and gets answers."""
        for _ in range(times):
            self._pull(self.nodes[index], size_max)

    @rule(index=nodes, size_max=sizes)
    def pull_and_lose_the_answer(self, index: int, size_max: int) -> None:
        """It may come much later, or never."""
        node = self.nodes[index]
        request = node.member.pull_request(self.now_ns)
        if request is not None:
            upstream = self.nodes[NAMES.index(request.upstream)]
            self.late.append((node, request, upstream.answer(request, size_max, self.now_ns)))

    @rule(data=st.data())
    @precondition(lambda self: self.late)
    def deliver_late(self, data: st.DataObject) -> None:
        """Also twice, and in any order."""
        node, request, answer = data.draw(st.sampled_from(self.late))
        if node in self.nodes:
            node.take(request, answer, self.now_ns)

    @rule(index=nodes, is_clean=st.booleans())
    def upgrade(self, index: int, is_clean: bool) -> None:
        """The heap is lost."""
        node = self.nodes[index]
        if is_clean:
            node.upgrade(self.now_ns)
        else:
            node.lose_heap(self.now_ns)

    @rule(index=nodes)
    def restore(self, index: int) -> None:
        """Timers do their work."""
        self.nodes[index].member.restore_step(self.now_ns)

    @rule(pause_s=st.sampled_from([1, 40, PULL_LEASE_S, 600, 3_600]))
    def wait(self, pause_s: int) -> None:
        """Time passes; everything old goes; the main's timer keeps it awake."""
        self.now_ns += pause_s * SECOND_NS
        for node in self.nodes:
            node.sweep(self.now_ns)
        self.main.member.touch(self.now_ns)

    @rule(index=nodes, other=nodes)
    def follow(self, index: int, other: int) -> None:
        """Chains, also circles."""
        if index != other:
            self.nodes[index].member.follow(NAMES[other])

    @rule(index=nodes)
    def reseed(self, index: int) -> None:
        """An admin wants a replica's rows anew."""
        self.nodes[index].member.reseed(self.main.name)

    @rule(index=nodes)
    def switch_over(self, index: int) -> None:
        """Planned: the new main has everything that the old one decided."""
        old, new = self.main, self.nodes[index]
        if new is old or not old.member.decides:
            return
        if old.member.demote(old.member.head.epoch) is not None:
            assert old.member.wakes(self.now_ns), "only a main that may be its own past refuses"
            return
        if new.member.head == old.member.head and not new.member.is_seeding:
            self._promote(new)
        else:
            self._promote(old)

    @rule(index=nodes)
    def promote_by_force(self, index: int) -> None:
        """What the old main has decided since is lost; it hears of it by an acknowledgement."""
        new = self.nodes[index]
        old = self.main
        if new is old or new.member.is_seeding or new.member.head.seq == 0:
            return
        self._promote(new)
        old.member.touch(self.now_ns)
        old.member.acknowledge(new.name, *new.member.head.position, self.now_ns)
        assert not old.member.decides
        assert old.member.demote(old.member.head.epoch) is None
        old.member.follow(new.name)

    @rule()
    def take_a_snapshot(self) -> None:
        """Of the main."""
        self.past = self.main.snapshot()

    @rule()
    @precondition(lambda self: self.past is not None and self.past.name == self.main.name)
    def roll_back(self) -> None:
        """The main becomes its past; its replicas tell it before it decides anything."""
        past, self.past = self.past, None
        assert past is not None
        if not past.member.decides or past.member.head.epoch != self.main.member.head.epoch:
            return
        self.nodes[self.nodes.index(self.main)] = past
        self.main = past
        self.now_ns += WAKE_GAP_NS + SECOND_NS
        past.member.touch(self.now_ns)
        assert past.member.wakes(self.now_ns)
        others = [node for node in self.nodes if node is not past]
        for node in others:
            past.member.acknowledge(node.name, *node.member.head.position, self.now_ns)
        own = past.member.head.position
        is_fenced = any(node.member.head.position > own for node in others)
        assert (past.member.fence is not None) == is_fenced
        if is_fenced:
            self._promote(past)

    @invariant()
    def whole_rows_are_those_of_their_history(self) -> None:
        """At every instant, on every canister."""
        for node in self.nodes:
            if not node.member.is_seeding:
                expected = self.rows[node.member.head.chain_hash]
                assert node.content() == expected, node.name

    @invariant()
    def logs_are_dense_and_hashed(self) -> None:
        """From the base to the head, without a page too many."""
        for node in self.nodes:
            log = node.member.log
            extent = log.extent
            pages = range(extent.garbage_page, log.end_page)
            assert len(node.pages) == len(pages)
            assert log.hash_at(log.base.seq) in self.rows
            assert log.head.chain_hash in self.rows
            assert node.member.applied + node.member.refused == log.head.seq

    @invariant()
    def one_canister_decides(self) -> None:
        """The one that was promoted last, if any."""
        deciders = [node for node in self.nodes if node.member.decides]
        assert deciders in ([], [self.main])

    def teardown(self) -> None:
        """In the end everybody has everything; what has diverged is given up."""
        if self.epoch == 0:
            return
        self.main.member.touch(self.now_ns)
        for node in self.nodes:
            if node is self.main:
                continue
            self.now_ns += HOUR_NS
            node.member.follow(self.main.name)
            for _ in range(400):
                self._pull(node, 10**6)
                self.now_ns += 2 * SECOND_NS
                if node.error.startswith("Diverged: the upstream"):
                    node.member.reseed(self.main.name)
            assert node.member.head == self.main.member.head
            assert not node.member.is_seeding
            assert node.content() == self.main.content()

    def _pull(self, node: Node, size_max: int) -> None:
        upstream = node.member.replication.upstream
        if upstream is not None and not node.member.is_main:
            node.pull(self.nodes[NAMES.index(upstream)], size_max, self.now_ns)

    def _promote(self, node: Node) -> None:
        self.epoch += 1
        applied = self.applied[node.member.head.chain_hash]
        assert node.promote(self.epoch, self.now_ns) is None
        self.main = node
        self._note(node, applied)

    def _note(self, node: Node, applied: frozenset[int]) -> None:
        chain_hash = node.member.head.chain_hash
        self.rows[chain_hash] = node.content()
        self.applied[chain_hash] = applied


Fleet.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestFleet = Fleet.TestCase
