"""Main and two replicas together: money, exactly once, prefix; whatever is lost or repeated."""

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

from icfleet_canister import BatchRefusedError, PendingOperation, PullAnswer, Verdict
from icfleet_canister.replication import answer_pull

PLAYERS = [principal(number) for number in range(4)]
GATEWAY = principal(50)
SYMBOLS = ["GOLD", "TIN"]

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


class Fleet(RuleBasedStateMachine):
    """Operations, repetitions, pulls, late and repeated answers, upgrades, time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = NOW_NS
        self.main = Node.main()
        self.replicas = [Node.replica(number, self.main) for number in range(2)]
        self.sent: list[tuple[str, PendingOperation[Operation]]] = []
        self.answers: dict[tuple[str, bytes], Verdict] = {}
        self.late: list[tuple[int, PullAnswer]] = []

    @initialize()
    def begin(self) -> None:
        """Give out the roles; two players have money."""
        game = self.main.game
        scope = ["CreatePlayer", "Transfer", "OpenDeposit", "CloseDeposit", "Buy", "Sell"]
        game.grant_gateway(
            ADMIN, GATEWAY, [*scope, "RecordScore"], all_players=True, now_ns=self.now_ns
        )
        for role in ("treasury", "oracle"):
            game.grant_role(ADMIN, ADMIN, role, self.now_ns)
        for player in PLAYERS[:2]:
            self.main.do(player, player, CreatePlayer("P"))
            self.main.do(ADMIN, ADMIN, Credit(player, 500))

    @rule(sendings=sendings)
    def submit(self, sendings: Sequence[tuple[int, str, Operation, str]]) -> None:
        """A batch; ids may be used before, for the same or for something else."""
        for number, subject, body, caller in sendings:
            operation = submitted(number, subject, body, self.now_ns)
            self.sent.append((caller, operation))
            self._send(caller, [operation])

    @rule(data=st.data())
    @precondition(lambda self: self.sent)
    def send_again(self, data: st.DataObject) -> None:
        """Whole stretches of what was sent, in whatever order."""
        chosen = data.draw(st.lists(st.sampled_from(self.sent), max_size=5))
        caller = data.draw(st.sampled_from([GATEWAY, ADMIN]))
        self._send(caller, [operation for _, operation in chosen])

    @rule(index=st.integers(0, 1), size_max=st.integers(1, 3_000))
    def pull(self, index: int, size_max: int) -> None:
        """A replica asks, and gets an answer."""
        replica = self.replicas[index]
        answer = self.main.game.member.answer_pull(replica.head, size_max)
        assert answer is not None, "a prefix never diverges"
        self.late.append((index, answer))
        replica.game.receive_pull(answer, self.now_ns)

    @rule(size_max=st.integers(1, 3_000))
    def pull_in_a_chain(self, size_max: int) -> None:
        """The second replica asks the first; if it is ahead of that, it is told so."""
        first, second = self.replicas
        answer = first.game.member.answer_pull(second.head, size_max)
        if answer is None:
            assert second.head.seq > first.head.seq
        else:
            second.game.receive_pull(answer, self.now_ns)

    @rule(data=st.data())
    @precondition(lambda self: self.late)
    def answer_late(self, data: st.DataObject) -> None:
        """An old answer comes once more, perhaps to the other replica."""
        _, answer = data.draw(st.sampled_from(self.late))
        replica = self.replicas[data.draw(st.integers(0, 1))]
        head, balances = replica.head, replica.balances()
        try:
            replica.game.receive_pull(answer, self.now_ns)
        except BatchRefusedError:
            assert (replica.head, replica.balances()) == (head, balances)

    @rule(index=st.integers(0, 2))
    def upgrade(self, index: int) -> None:
        """The heap is lost and restored."""
        [self.main, *self.replicas][index].upgrade(self.now_ns)

    @rule(pause_s=st.integers(1, 400))
    def wait(self, pause_s: int) -> None:
        """Time passes, and the sweepers do their work."""
        self.now_ns += pause_s * SECOND_NS
        for node in (self.main, *self.replicas):
            node.game.sweeper.tick(self.now_ns)
            node.game.tend_views(self.now_ns)

    @invariant()
    def money_is_conserved(self) -> None:
        """On every canister, at its own position."""
        for node in (self.main, *self.replicas):
            node.audit()

    @invariant()
    def each_operation_is_in_the_log_once(self) -> None:
        """With the result that its sender was told."""
        log = self.main.game.member.log
        records = log.after(0, 10**9, 10**6)
        keys = [(record.subject, record.operation_id) for record in records]
        assert len(set(keys)) == len(keys)
        assert set(self.answers) <= set(keys)

    @invariant()
    def replicas_are_prefixes(self) -> None:
        """Same records, same hashes, as far as they have come."""
        log = self.main.game.member.log
        for replica in self.replicas:
            if replica.head.epoch:
                assert replica.head.chain_hash == log.hash_at(replica.head.seq)
            assert answer_pull(log, replica.head, 1) is not None

    def teardown(self) -> None:
        """In the end everybody has everything, and shows the same."""
        for replica in self.replicas:
            while replica.pull(self.main, self.now_ns):
                pass
            assert replica.head == self.main.head
            assert replica.balances() == self.main.balances()
            for name in (LEADERBOARD, MARKET):
                theirs, ours = replica.game.view(name)[0], self.main.game.view(name)[0]
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
                assert self.answers.setdefault(key, verdict) == verdict
        if all(verdict.case != "Applied" for verdict in verdicts):
            assert self.main.balances() == before


Fleet.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestFleet = Fleet.TestCase
