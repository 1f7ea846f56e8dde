"""A fleet of simulated canisters with clients, an operator and faults, watched at every message.

What runs is the library itself: ``FleetService``, ``FleetTimers`` and ``FleetRecords``. What is
simulated is the network below, the clients above, and the operator who switches mains.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

from simulated_bank import Credit, Debit, Open, Pay, bank_application
from simulated_network import (
    SECOND_NS,
    Call,
    Host,
    SimulatedNetwork,
    TrapError,
)

from icfleet_canister import (
    FleetPorts,
    FleetRecords,
    FleetService,
    FleetStores,
    FleetTimers,
    LogHead,
    PendingOperation,
    Verdict,
    content_of,
)

__all__ = ["ADMIN", "Ack", "SimulatedFleet", "Violation", "service_of", "violated"]

ADMIN = "admin"
_ROW_SIZE_MAX = 200
_TERMINAL = ("Applied", "Refused")


class Violation(AssertionError):  # noqa: N818 - what a simulation finds is not an error of its own
    """A promise that was broken."""


def violated(reason: str) -> NoReturn:
    """Raise ``Violation``."""
    raise Violation(reason)


class _Principal(NamedTuple):
    text: str

    def to_str(self) -> str:
        return self.text

    @staticmethod
    def from_str(text: str) -> _Principal:
        return _Principal(text)


_RECORDS = FleetRecords(_Principal)


@dataclass(frozen=True)
class _Acknowledge(Call):
    """A call that may also be sent without waiting for the answer."""

    sender: Host | None = None

    def notify(self) -> None:
        assert self.sender is not None
        assert self.update is not None
        self.sender.send(self.callee, self.update)


class _Upstream:
    """A canister as ``FleetTimers`` sees it."""

    def __init__(self, host: Host, callee: str) -> None:
        self._host = host
        self._callee = callee

    def log_since(self, *args: Any) -> Call:
        return Call(self._callee, "log_since", args)

    def state_page(self, *args: Any) -> Call:
        return Call(self._callee, "state_page", args)

    def acknowledge(self, position: dict[str, int]) -> _Acknowledge:
        caller, epoch, seq = self._host.principal, position["epoch"], position["seq"]

        def update(callee: Host) -> None:
            _act(callee, lambda one: one.acknowledge(caller, epoch, seq, callee.now_ns))

        return _Acknowledge(self._callee, "acknowledge", (), update, self._host)


def _ignore(_: object) -> None:
    return None


def build(host: Host) -> SimpleNamespace:
    """Return a canister's heap, over the host's stable maps."""
    rows, slots, state, pages = host.maps
    service = FleetService(
        FleetStores(rows, slots, state, pages), bank_application(), row_size_max=_ROW_SIZE_MAX
    )
    ports = FleetPorts(
        set_timer=host.set_timer,
        set_timer_interval=host.set_timer_interval,
        clear_timer=host.clear_timer,
        time=lambda: host.now_ns,
        print=_ignore,
        trap=violated,
        certify=_ignore,
        is_exhausted=lambda: False,
        upstream=partial(_Upstream, host),
    )
    return SimpleNamespace(service=service, timers=FleetTimers(service, _RECORDS, ports))


def service_of(host: Host) -> FleetService:
    """Return the canister's service."""
    service: FleetService = host.root.service
    return service


def _act(host: Host, work: Callable[[FleetService], Any]) -> Any:
    """Do what an update method does, within its message."""
    host.root.timers.begin()
    result = work(service_of(host))
    host.root.timers.keep_running()
    return result


class Ack(NamedTuple):
    """What a client was told for good."""

    epoch: int
    seq: int
    case: str
    at_ns: int


class SimulatedFleet:
    """Main, replicas, clients and their operator.

    Args:
        seed: Decides everything.
        replicas: How many; drawn if it is 0.
    """

    def __init__(self, seed: int, replicas: int = 0) -> None:
        self.random = Random(seed)
        self.network = SimulatedNetwork(self.random)
        self.network.answer = _answer
        self.network.watchers.append(self._watch)
        count = replicas or self.random.choice([1, 2, 2, 3, 4])
        self.hosts = [self._install(f"canister-{number}") for number in range(count + 1)]
        self.main = self.hosts[0]
        self.epoch = 0
        self.chain: dict[tuple[int, int], bytes] = {}
        """Chain hash of every position that any canister ever had."""
        self.seen: dict[str, LogHead] = {}
        self.acks: dict[tuple[str, bytes], Ack] = {}
        self.lost: set[tuple[str, bytes]] = set()
        self.told: list[tuple[Host, int, set[str]]] = []
        """Each promotion: who, to what epoch, and whom it tells."""
        self.is_faulty = True
        self.is_paused = False
        self.has_traps = False
        self.uncertain = 0
        self.counts: dict[str, int] = {}
        self._ids = 0
        for host in self.hosts:
            is_main = host is self.main
            host.run(partial(self._start, host, is_main=is_main))

    # Setting up.

    def _install(self, principal: str) -> Host:
        host = Host(self.network, principal, build)
        host.skew_ns = self.random.randint(-2, 2) * SECOND_NS
        self.network.hosts[principal] = host
        return host

    def _start(self, host: Host, *, is_main: bool) -> None:
        service = service_of(host)
        service.start(is_main=is_main, installer=ADMIN, canister=host.principal, now_ns=host.now_ns)
        host.root.timers.keep_running()

    def admin(self, host: Host, work: Callable[[FleetService], Any]) -> Any:
        """Make an admin's call until it does not trap; ``None`` if nobody answers."""
        if host.is_stopped or host.halted_until_ns > self.network.now_ns:
            return None
        for _ in range(20):
            try:
                return host.run(lambda: _act(host, work), trap_at=self.network.draw_trap())
            except TrapError:
                continue
        return None

    def promote(self, host: Host) -> bool:
        """Make a canister main of an epoch above all that were ever used."""
        expected = service_of(host).member.head.epoch
        if service_of(host).member.decides:
            # A main of an epoch that is over, and nobody has told it.
            self.admin(host, lambda one: one.demote(ADMIN, expected))
        new = max(self.epoch, max(epoch for epoch, _ in self.chain) if self.chain else 0) + 1
        told = self._whom_it_tells(host)
        outcome = self.admin(host, lambda one: one.promote(ADMIN, expected, new, host.now_ns))
        if outcome is None or outcome.case != "Done":
            self.count(f"promotion refused {getattr(outcome, 'code', 'out of reach')}")
            return False
        self.main = host
        self.epoch = new
        self.told.append((host, new, told))
        log = service_of(host).member.log
        gone = {key for key, ack in self.acks.items() if log.epoch_at(ack.seq) != ack.epoch}
        self.count("lost something" if gone - self.lost else "lost nothing")
        self.lost |= gone
        return True

    def _whom_it_tells(self, host: Host) -> set[str]:
        """Who hears that it is no main any more when this one is promoted."""
        service = service_of(host)
        named = {service.other_main, service.member.replication.upstream}
        return {one for one in named if one is not None}

    def must_have_heard(self, host: Host) -> bool:
        """Whether somebody of a higher epoch tells this canister so, and is believed.

        Where messages trap, what was told and the note that it failed may both be lost; then it is
        told an hour later.
        """
        member = service_of(host).member
        return not self.has_traps and any(
            epoch > member.head.epoch
            and host.principal in told
            and teller.principal in member.replicas
            and service_of(teller).member.head.epoch >= epoch
            for teller, epoch, told in self.told
        )

    def join(self, host: Host, upstream: Host) -> None:
        """Let a replica follow an upstream."""
        self.admin(upstream, lambda one: one.attach(ADMIN, host.principal))
        outcome = self.admin(host, lambda one: one.follow(ADMIN, upstream.principal))
        if outcome is not None and outcome.case == "Done":
            self.admin_pull(host)

    def admin_pull(self, host: Host) -> None:
        """Pull at once, as ``follow`` does."""
        try:
            host.run(host.root.timers.pull_now)
        except TrapError:  # pragma: no cover - no trap is drawn here
            return

    def count(self, what: str) -> None:
        """Count an event, so that a run can tell what it has covered."""
        self.counts[what] = self.counts.get(what, 0) + 1

    # Watching.

    def _watch(self, host: Host) -> None:
        """Check what must hold after every message."""
        meter = host.meter
        if meter.calls > _CALLS_MAX:
            violated(f"{meter.calls} stable-map calls in one message of {host.principal}")
        meter.begin()
        service = service_of(host)
        member = service.member
        if not member.is_seeding:
            self._watch_head(host, member.head)
        if service.phase == "Serving" and member.head.seq:
            figures = dict(service.app.figures())
            if figures["total"] != figures["credits"] - figures["debits"]:
                violated(f"money of {host.principal} at {member.head[:2]}: {figures}")
        if len(member.window) > 1_000 or len(service.limiter) > 1_000:
            violated("a memory without bounds")

    def _watch_head(self, host: Host, head: LogHead) -> None:
        before = self.seen.get(host.principal)
        if before == head:
            return
        self.seen[host.principal] = head
        log = service_of(host).member.log
        first = max(before.seq if before and before.seq <= head.seq else 0, log.extent.base.seq) + 1
        for seq in range(max(first, head.seq - 300), head.seq + 1):
            epoch = log.epoch_at(seq)
            if epoch is None:
                violated(f"{host.principal} does not know the epoch of {seq}")
            chain_hash = log.hash_at(seq)
            known = self.chain.setdefault((epoch, seq), chain_hash)
            if known != chain_hash:
                violated(f"two histories at {epoch}/{seq}, one of {host.principal}")

    # Clients.

    def operation(self, player: str) -> PendingOperation[Any]:
        """Draw something that a player might want."""
        self._ids += 1
        amount = self.random.randint(1, 50)
        other = f"player-{self.random.randrange(4)}"
        body = self.random.choice(
            [Open(), Credit(amount), Credit(amount), Debit(amount), Pay(other, amount)]
        )
        return PendingOperation(
            self._ids.to_bytes(16, "big"), player, self.network.now_ns, body, content_of(body)
        )

    def client(self, player: str) -> Generator[float, None, None]:
        """Send one operation after another, each until its fate is known."""
        sent: list[PendingOperation[Any]] = []
        while self.is_faulty:
            if self.is_paused:
                yield 60
                continue
            if sent and self.random.random() < 0.3:
                # Somebody's queue delivers it once more, long after it was answered.
                self._send(player, [self.random.choice(sent)])
            batch = [self.operation(player) for _ in range(self.random.choice([1, 1, 2, 5]))]
            sent = [*sent, *batch][-30:]
            tries = 0
            while batch and tries < 60:
                tries += 1
                batch = self._send(player, batch)
                yield self.random.uniform(0.5, 4)
            self.uncertain += len(batch)
            yield self.random.uniform(0.2, 15)

    def _send(self, player: str, batch: list[PendingOperation[Any]]) -> list[PendingOperation[Any]]:
        """Send a batch once; return what must be sent again."""
        host = self.main
        if self.random.random() < 0.05:
            host = self.random.choice(self.hosts)
        if host.is_stopped or host.halted_until_ns > self.network.now_ns:
            return batch
        if self.is_faulty and self.random.random() < 0.1:
            return batch
        verdicts = self._submit(host, player, batch)
        if self.is_faulty and self.random.random() < 0.1:
            self._submit(host, player, batch)
        if verdicts is None or (self.is_faulty and self.random.random() < 0.1):
            return batch
        epoch_now = service_of(host).member.head.epoch
        if epoch_now < self.epoch:
            # Routers refuse answers of an epoch below the highest that they know.
            return batch
        again: list[PendingOperation[Any]] = []
        for operation, verdict in zip(batch, verdicts, strict=True):
            if verdict.case in _TERMINAL:
                self._acknowledged(host, operation, verdict)
            elif verdict.case in ("Busy", "Deferred", "RateLimited"):
                again.append(operation)
            else:
                self.count(verdict.case)
        return again

    def _submit(
        self, host: Host, player: str, batch: Sequence[PendingOperation[Any]]
    ) -> Sequence[Verdict] | None:
        def message() -> Any:
            return _act(
                host,
                lambda one: one.submit(
                    player, batch, now_ns=host.now_ns, is_exhausted=lambda: False
                ),
            )

        try:
            outcome = host.run(message, trap_at=self.network.draw_trap())
        except TrapError:
            return None
        verdicts: Sequence[Verdict] | None = outcome.verdicts if outcome.case == "Done" else None
        return verdicts

    def _acknowledged(self, host: Host, operation: PendingOperation[Any], verdict: Verdict) -> None:
        epoch = service_of(host).member.log.epoch_at(verdict.seq)
        if epoch is None:
            violated(f"an answer of seq {verdict.seq}, which is of no epoch")
        key = (operation.subject, operation.operation_id)
        ack = Ack(epoch, verdict.seq, verdict.case, self.network.now_ns)
        known = self.acks.setdefault(key, ack)
        if known[:3] != ack[:3] and key not in self.lost:
            violated(f"two answers for one operation: {known} and {ack}")
        self.acks[key] = ack
        self.count(verdict.case)


#: Stable-map calls of one message in so small a fleet; a slice is at most 500 rows or 400 pages.
_CALLS_MAX = 3_000


def _answer(host: Host, call: Call, caller: str) -> Any:
    """Execute a query method."""
    service = service_of(host)
    host.meter.begin()
    if call.method == "log_since":
        position, chain_hash, size_max = call.args
        head = _RECORDS.log_head(position, chain_hash)
        return _RECORDS.log_reply(service.log_since(caller, head, size_max, host.now_ns))
    cursor, size_max = call.args
    answer = service.state_page(caller, _RECORDS.cursor(cursor), size_max, host.now_ns)
    return _RECORDS.state_reply(answer)
