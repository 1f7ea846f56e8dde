"""A main and two replicas together: money, exactly once, prefix; whatever is lost or repeated.

The roles move: any replica may become the main, take everything over anew, or lose its heap.
"""

from collections.abc import Sequence

from game_operations import (
    Buy,
    CloseDeposit,
    CreatePlayer,
    Credit,
    Debit,
    OpenDeposit,
    Operation,
    RecordScore,
    Sell,
    SetPrice,
    Transfer,
)
from game_views import LEADERBOARD, MARKET
from game_world import ADMIN, NOW_NS, SECOND_NS, Node, principal, submitted
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from icfleet_canister import PendingOperation, Verdict
from icfleet_canister.pull_messages import LogAnswer, PullRequest

PLAYERS = [principal(number) for number in range(4)]
GATEWAY = principal(50)
SYMBOLS = ["GOLD", "TIN"]
SCOPE = ["CreatePlayer", "Transfer", "OpenDeposit", "CloseDeposit", "Buy", "Sell", "RecordScore"]

#: A main with replicas is awake as long as no pause is longer than this.
TICK_S = 30

players = st.sampled_from(PLAYERS)
amounts = st.one_of(st.integers(0, 300), st.just(2**64 - 1))
operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(CreatePlayer, st.sampled_from(["A", "", "Zed"])),
    st.builds(Transfer, players, amounts),
    st.builds(Credit, st.sampled_from([*PLAYERS, "bank", "market"]), amounts),
    st.builds(Debit, st.sampled_from([*PLAYERS, "bank", "market"]), amounts),
    st.builds(OpenDeposit, amounts, st.integers(0, 100)),
    st.builds(CloseDeposit, st.integers(1, 4)),
    st.builds(SetPrice, st.sampled_from(SYMBOLS), st.integers(0, 50)),
    st.builds(Buy, st.sampled_from(SYMBOLS), st.integers(0, 20)),
    st.builds(Sell, st.sampled_from(SYMBOLS), st.integers(0, 20)),
    st.builds(RecordScore, st.integers(0, 100)),
)
sendings = st.lists(
    st.tuples(st.integers(0, 40), players, operations, st.sampled_from([*PLAYERS, GATEWAY, ADMIN])),
    min_size=1,
    max_size=6,
)
nodes = st.integers(0, 2)


class Fleet(RuleBasedStateMachine):
    """Operations, repetitions, pulls, late answers, upgrades, seedings, switch-overs, time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = NOW_NS
        self.epoch = 1
        self.main = Node.main()
        self.nodes = [self.main, *(Node.replica(number, self.main) for number in range(2))]
        self.sent: list[tuple[str, PendingOperation[Operation]]] = []
        self.answers: dict[tuple[str, bytes], Verdict] = {}
        self.late: list[tuple[int, PullRequest, LogAnswer]] = []
        self.logged: set[tuple[str, bytes, int]] = set()
        self.looked_to = 0

    @property
    def replicas(self) -> Sequence[Node]:
        """All but the main."""
        return [node for node in self.nodes if node is not self.main]

    @initialize()
    def begin(self) -> None:
        """Give out the roles; two players have money; the log is cut as soon as it may be."""
        for node in self.nodes:
            smallest = node.service.member.settings._replace(log_pages_max=10)
            assert node.service.configure(ADMIN, smallest).case == "Done"
        service = self.main.service
        service.grant_gateway(ADMIN, GATEWAY, SCOPE, all_players=True, now_ns=self.now_ns)
        for role in ("treasury", "oracle"):
            service.grant_role(ADMIN, ADMIN, role, self.now_ns)
        for player in PLAYERS[:2]:
            self.main.do(player, player, CreatePlayer("P"))
            self.main.do(ADMIN, ADMIN, Credit(player, 500))

    @rule(sendings=sendings)
    def submit(self, sendings: Sequence[tuple[int, str, Operation, str]]) -> None:
        """Batches; ids may be used before, for the same or for something else."""
        for number, subject, body, caller in sendings:
            operation = submitted(number, subject, body, self.now_ns)
            self.sent.append((caller, operation))
            self._send(caller, [operation])

    @rule(data=st.data())
    @precondition(lambda self: self.sent)
    def send_again(self, data: st.DataObject) -> None:
        """Whole stretches of what was sent, in whatever order, to whoever is the main now."""
        chosen = data.draw(st.lists(st.sampled_from(self.sent), max_size=5))
        caller = data.draw(st.sampled_from([GATEWAY, ADMIN]))
        self._send(caller, [operation for _, operation in chosen])

    @rule(hours=st.integers(1, 3))
    def be_busy(self, hours: int) -> None:
        """So much is written that the log is cut, and whoever is behind has to be seeded."""
        for _ in range(hours):
            batch = [
                submitted(100 + number, GATEWAY, SetPrice("IRON", number + 1), self.now_ns)
                for number in range(200)
            ]
            self.main.submit(ADMIN, *batch, now_ns=self.now_ns)
            self._pass(1_800)

    @rule(index=nodes, size_max=st.integers(1, 3_000))
    def pull(self, index: int, size_max: int) -> None:
        """A replica asks the main, and gets an answer, which may come once more later."""
        replica = self.nodes[index]
        if replica is self.main:
            return
        request = replica.service.member.replication.next_request
        if request is not None and request.upstream == self.main.canister:
            answer = self.main.service.log_since(
                replica.canister, request.head, size_max, self.now_ns
            )
            self.late.append((index, request, answer))
        replica.pull(self.main, self.now_ns, size_max)

    @rule(size_max=st.integers(1, 3_000))
    def pull_in_a_chain(self, size_max: int) -> None:
        """One replica follows the other for a while; if it is ahead of that, it is told so."""
        first, second = self.replicas
        second.join(first)
        second.pull(first, self.now_ns, size_max)
        second.join(self.main)

    @rule(data=st.data(), index=nodes)
    @precondition(lambda self: self.late)
    def answer_late(self, data: st.DataObject, index: int) -> None:
        """An old answer comes once more, perhaps to another canister, perhaps the main."""
        _, request, answer = data.draw(st.sampled_from(self.late))
        node = self.nodes[index]
        head, balances = node.head, node.balances()
        if node.service.receive_log(request, answer, self.now_ns) == 0:
            assert (node.head, node.balances()) == (head, balances)

    @rule(index=nodes)
    def upgrade(self, index: int) -> None:
        """The heap is lost and restored."""
        self.nodes[index].upgrade(self.now_ns)

    @rule(index=nodes)
    def reseed(self, index: int) -> None:
        """A replica throws away what it has, and takes it over anew, page by page."""
        replica = self.nodes[index]
        if replica is not self.main:
            assert replica.service.reseed(ADMIN, self.main.canister).case == "Done"
            replica.pull(self.main, self.now_ns, 300)

    @rule(index=nodes, is_upgraded=st.booleans())
    def switch_over(self, index: int, *, is_upgraded: bool) -> None:
        """Another canister becomes the main, as planned: nothing is lost, and all follow it."""
        old, new = self.main, self.nodes[index]
        if new is old:
            return
        assert old.service.demote(ADMIN, self.epoch).case == "Done"
        new.catch_up(old, self.now_ns)
        if is_upgraded:
            new.upgrade(self.now_ns)
        assert new.service.promote(ADMIN, self.epoch, self.epoch, self.now_ns).code == "WrongEpoch"
        assert new.service.promote(ADMIN, self.epoch, self.epoch + 1, self.now_ns).case == "Done"
        self.epoch += 1
        self.main = new
        new.restore(self.now_ns)
        for replica in self.replicas:
            replica.join(new)

    @rule(pause_s=st.integers(1, 400))
    def wait(self, pause_s: int) -> None:
        """Time passes, and the sweepers do their work."""
        self._pass(pause_s)

    @invariant()
    def money_is_conserved(self) -> None:
        """On every canister whose rows are whole, at its own position."""
        for node in self.nodes:
            if not node.service.member.is_seeding:
                node.audit()

    @invariant()
    def each_operation_is_in_the_log_once(self) -> None:
        """Whoever the main was then; an id may only come again with another time."""
        log = self.main.service.member.log
        for seq in range(max(self.looked_to, log.base.seq) + 1, log.head.seq + 1):
            record = log.record(seq)
            key = (record.subject, record.operation_id, record.created_at_ns)
            assert key not in self.logged
            self.logged.add(key)
        self.looked_to = log.head.seq

    @invariant()
    def replicas_are_prefixes(self) -> None:
        """Same records, same hashes, as far as they have come."""
        log = self.main.service.member.log
        for replica in self.replicas:
            head = replica.head
            assert head.seq <= log.head.seq
            if head.seq >= log.base.seq:
                assert head.chain_hash == log.hash_at(head.seq)

    @invariant()
    def there_is_one_main(self) -> None:
        """It decides; nobody else does."""
        assert [node for node in self.nodes if node.service.member.decides] == [self.main]

    def teardown(self) -> None:
        """In the end everybody has everything, and shows the same; no answer was a lie."""
        log = self.main.service.member.log
        for key, verdict in self.answers.items():
            if verdict.seq > log.base.seq:
                record = log.record(verdict.seq)
                assert (record.subject, record.operation_id) == key
        for replica in self.replicas:
            replica.catch_up(self.main, self.now_ns)
            assert replica.head == self.main.head
            assert replica.balances() == self.main.balances()
            assert replica.derived.board.entries == self.main.derived.board.entries
            for name in (LEADERBOARD, MARKET):
                theirs, ours = replica.service.view(name)[0], self.main.service.view(name)[0]
                assert theirs is not None
                assert ours is not None
                if ours.value is not None and theirs.value is not None:
                    assert theirs.value.content == ours.value.content

    def _send(self, caller: str, operations: Sequence[PendingOperation[Operation]]) -> None:
        before = self.main.balances()
        verdicts = self.main.submit(caller, *operations, now_ns=self.now_ns)
        for operation, verdict in zip(operations, verdicts, strict=True):
            if verdict.case in ("Applied", "Refused"):
                key = (operation.subject, operation.operation_id)
                known = self.answers.setdefault(key, verdict)
                assert known == verdict or self._is_forgotten(known)
                self.answers[key] = verdict
                record = self.main.service.member.log.record(verdict.seq)
                assert (record.subject, record.operation_id) == key
        if all(verdict.case != "Applied" for verdict in verdicts):
            assert self.main.balances() == before

    def _is_forgotten(self, verdict: Verdict) -> bool:
        """An id may be used anew when nobody can send the first operation again."""
        log = self.main.service.member.log
        if verdict.seq <= log.base.seq:
            return True
        return log.record(verdict.seq).created_at_ns < self.now_ns - 20 * 60 * SECOND_NS

    def _pass(self, seconds: int) -> None:
        while seconds > 0:
            step_s = min(seconds, TICK_S)
            seconds -= step_s
            self.now_ns += step_s * SECOND_NS
            for node in self.nodes:
                node.service.touch(self.now_ns)
                node.service.sweeper.tick(self.now_ns)
                node.service.tend_views(self.now_ns)


Fleet.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestFleet = Fleet.TestCase
