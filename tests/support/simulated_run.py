"""One seeded run: a fleet at work, whatever can go wrong, then peace; and every promise checked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from simulated_fleet import ADMIN, Ack, SimulatedFleet, service_of, violated
from simulated_network import SECOND_NS, Host

from icfleet_canister import LogHead, MemberSettings, change_log

__all__ = ["CONVERGENCE_S", "Report", "simulate", "small_pages"]

#: One back-off of 30 s and three polls, each a second's pause and two messages of 3 s at most.
CONVERGENCE_S = 30 + 3 * (1 + 2 * 3)

#: Longest silence that a main takes for normal; younger snapshots of it are not told from it.
_SNAPSHOT_AGE_MIN_S = 95

_MINUTE_NS = 60 * SECOND_NS

#: Bytes of a page in a simulation: five records.
_SMALL_PAGE_SIZE = 1_200


class Report(NamedTuple):
    """What a run has covered."""

    seed: int
    steps: int
    acknowledged: int
    lost: int
    uncertain: int
    counts: dict[str, int]


class _Snapshot(NamedTuple):
    taken_at_ns: int
    entries: list[dict[Any, Any]]
    attached: set[str]


Process = Generator[float, None, None]


@contextmanager
def small_pages() -> Generator[None]:
    """Let pages of the log have room for few records, so that they are filled and trimmed."""
    with patch.object(change_log, "PAGE_SIZE_MAX", _SMALL_PAGE_SIZE):
        yield


def simulate(seed: int, *, minutes: float = 4, replicas: int = 0) -> Report:
    """Run one seed.

    Raises:
        Violation: If a promise is broken.
    """
    run = _Run(SimulatedFleet(seed, replicas))
    run.open()
    run.trouble(minutes)
    run.heal()
    run.check()
    fleet = run.fleet
    return Report(
        seed,
        fleet.network.steps,
        len(fleet.acks),
        len(fleet.lost),
        fleet.uncertain,
        fleet.counts,
    )


class _Run:
    def __init__(self, fleet: SimulatedFleet) -> None:
        self.fleet = fleet
        self.network = fleet.network
        self.random = fleet.random
        self.quiet_until_ns = 0

    def start(self, process: Process, delay_s: float = 0) -> None:
        """Let a process run on its own."""

        def step() -> None:
            try:
                pause_s = next(process)
            except StopIteration:
                return
            self.network.after(int(pause_s * SECOND_NS), step)

        self.network.after(int(delay_s * SECOND_NS), step)

    def open(self) -> None:
        """Open the first epoch, let the replicas follow, in a chain or not."""
        fleet = self.fleet
        if not fleet.promote(fleet.main):
            violated("a new main was not opened")
        for number, host in enumerate(fleet.hosts[1:], 1):
            earlier = fleet.hosts[1:number]
            upstream = self.random.choice([fleet.main, fleet.main, *earlier])
            fleet.join(host, upstream)
            settings = MemberSettings(log_pages_max=10, pull_idle_s=self.random.choice([1, 30]))
            self._configure(host, settings)
        self._configure(fleet.main, MemberSettings(log_pages_max=10))

    def _configure(self, host: Host, settings: MemberSettings) -> None:
        self.fleet.admin(host, lambda one: one.configure(ADMIN, settings))

    def trouble(self, minutes: float) -> None:
        """Let clients work while things go wrong."""
        network = self.network
        network.trap_share = self.random.choice([0.0, 0.1, 0.3])
        self.fleet.has_traps = network.trap_share > 0
        network.reject_share = self.random.choice([0.0, 0.05, 0.3])
        network.latency_max_s = self.random.choice([1.0, 3.0])
        for number in range(4):
            self.start(self.fleet.client(f"player-{number}"), self.random.uniform(0, 3))
        if self.random.random() < 0.3:
            # Only where main stays the same for a while can it be put back in time; and only a
            # replica whose messages arrive within 40 s can object.
            network.trap_share = network.reject_share = 0.0
            self.start(self._roll_back(), self.random.uniform(10, 30))
            self.start(self._nemesis([self._upgrade, self._stop, self._halt, self._reseed]), 10)
        else:
            self.start(self._nemesis(self._all_troubles()), 10)
        if self.random.random() < 0.15:
            # Long enough for ids to be forgotten and for the log to be trimmed.
            network.run_until(network.now_ns + 2 * _MINUTE_NS)
            self.fleet.is_paused = True
            network.run_until(network.now_ns + 31 * _MINUTE_NS)
            self.fleet.is_paused = False
            self.fleet.count("long pause")
        network.run_until(network.now_ns + int(minutes * _MINUTE_NS))

    # What goes wrong.

    def _all_troubles(self) -> Sequence[Callable[[], Process]]:
        """Half of them, by chance: what comes often enough hides what comes rarely."""
        kinds: list[Callable[[], Process]] = [
            self._upgrade,
            self._upgrade,
            self._stop,
            self._halt,
            self._switch_over,
            self._force,
            self._force_twice,
            self._reinstall_main,
            self._detach,
            self._reseed,
        ]
        return [kind for kind in kinds if self.random.random() < 0.5] or kinds

    def _nemesis(self, troubles: Sequence[Callable[[], Process]]) -> Process:
        while True:
            yield self.random.uniform(3, 40)
            if not self.fleet.is_faulty:
                return
            trouble = self.random.choice(troubles)
            if service_of(self.fleet.main).member.fence is not None:
                trouble = self._force
            if not self.fleet.is_paused and self.network.now_ns >= self.quiet_until_ns:
                self.fleet.count(trouble.__name__.strip("_"))
                yield from trouble()

    def _any(self) -> Host:
        return self.random.choice(self.fleet.hosts)

    def _upgrade(self) -> Process:
        upgrade(self._any(), hooks=self.random.random() < 0.8)
        yield 0

    def _stop(self) -> Process:
        host = self._any()
        host.is_stopped = True
        yield self.random.choice([2.0, 10.0, 100.0])
        if self.random.random() < 0.5:
            upgrade(host, hooks=True)
        host.start_again()

    def _halt(self) -> Process:
        host = self._any()
        host.halted_until_ns = self.network.now_ns + self.random.randint(2, 150) * SECOND_NS
        yield 0

    def _switch_over(self) -> Process:
        """Planned: demote, wait for equal positions, promote; else take it back."""
        fleet, old = self.fleet, self.fleet.main
        new = self._any()
        if new is old or not service_of(old).member.decides:
            return
        epoch = service_of(old).member.head.epoch
        if not _is_done(fleet.admin(old, lambda one: one.demote(ADMIN, epoch))):
            return
        target = service_of(old).member.head
        for _ in range(20):
            yield 2
            if _position(new) == target and not service_of(new).member.is_seeding:
                break
        else:
            new = old
        lost = len(fleet.lost)
        if fleet.promote(new) and len(fleet.lost) > lost:
            violated(f"a planned switch-over to {new.principal} lost what was acknowledged")
        while fleet.main is not new and self.fleet.is_faulty:
            yield 3
            fleet.promote(new)
        for host in fleet.hosts:
            if host is not new and self.random.random() < 0.8:
                fleet.join(host, new)

    def _force(self) -> Process:
        """Main is out of reach; the furthest replica takes over."""
        fleet, old = self.fleet, self.fleet.main
        others = [one for one in fleet.hosts if one is not old and self._is_promotable(one)]
        if not others:
            return
        old.halted_until_ns = self.network.now_ns + self.random.randint(5, 200) * SECOND_NS
        new = max(others, key=_position)
        if fleet.promote(new):
            for host in fleet.hosts:
                if host not in (new, old):
                    fleet.join(host, new)
        yield 0

    def _force_twice(self) -> Process:
        """The new main is gone as well, before anybody has heard of it."""
        yield from self._force()
        yield from self._force()

    def _is_promotable(self, host: Host) -> bool:
        member = service_of(host).member
        is_reachable = not host.is_stopped and host.halted_until_ns <= self.network.now_ns
        return is_reachable and not member.is_seeding and member.head.seq > 0

    def _reinstall_main(self) -> Process:
        """By mistake; a replica must take over, and main must not begin a second history."""
        fleet, old = self.fleet, self.fleet.main
        if self.random.random() < 0.7:
            return
        others = [one for one in fleet.hosts if one is not old and self._is_promotable(one)]
        if not others or old.is_stopped or old.halted_until_ns > self.network.now_ns:
            return
        for entries in old.maps:
            entries.entries.clear()
        old.replace_heap()
        fleet.seen.pop(old.principal, None)
        old.run(lambda: _start(fleet, old))
        yield self.random.uniform(0, 20)
        new = max(others, key=_position)
        while not fleet.promote(new):
            yield 5
        for host in fleet.hosts:
            if host is not new:
                fleet.join(host, new)

    def _roll_back(self) -> Process:
        """Load an old snapshot of the main, with the heap of that time."""
        host = self.fleet.main
        snapshot = _Snapshot(
            self.network.now_ns,
            [dict(one.entries) for one in host.maps],
            {one.canister for one in service_of(host).member.replicas.all},
        )
        yield _SNAPSHOT_AGE_MIN_S + self.random.uniform(0, 60)
        while self.fleet.is_faulty and not self._can_roll_back(host, snapshot):
            yield 5
        if not self.fleet.is_faulty:
            return
        self.fleet.count("rolled back")
        self.quiet_until_ns = self.network.now_ns + 60 * SECOND_NS
        for entries, old in zip(host.maps, snapshot.entries, strict=True):
            entries.entries.clear()
            entries.entries.update(old)
        host.replace_heap()
        self.fleet.seen.pop(host.principal, None)
        then_ns = snapshot.taken_at_ns + host.skew_ns

        def remember() -> None:
            service = service_of(host)
            service.resume(host.principal, then_ns)
            for _ in range(100):
                if service.restore_step(then_ns):
                    break
            service.touch(then_ns)

        host.run(remember)
        host.run(host.root.timers.keep_running)

    def _can_roll_back(self, host: Host, snapshot: _Snapshot) -> bool:
        """Whether main is in its usual state, and a replica that it knew then could tell.

        What nobody else has is lost by a rollback, as it is by a forced promotion.
        """
        member = service_of(host).member
        is_free = not host.is_stopped and host.halted_until_ns <= self.network.now_ns
        return (
            host is self.fleet.main
            and member.decides
            and is_free
            and bool(self._in_touch(host, snapshot))
        )

    def _in_touch(self, main: Host, snapshot: _Snapshot) -> list[Host]:
        """The attached replicas that have all of main: who can tell that it is old."""
        head = _position(main)
        return [
            one
            for one in self.fleet.hosts
            if one.principal in snapshot.attached
            and one.principal in service_of(main).member.replicas
            and service_of(one).member.replication.upstream == main.principal
            and self._is_promotable(one)
            and _position(one) == head
        ]

    def _detach(self) -> Process:
        """Under load: detach a replica, and attach it again later."""
        fleet = self.fleet
        host = self._any()
        upstream = fleet.network.hosts.get(service_of(host).member.replication.upstream or "")
        if upstream is None:
            return
        fleet.admin(upstream, lambda one: one.detach(ADMIN, host.principal))
        yield self.random.uniform(1, 60)
        fleet.join(host, upstream)

    def _reseed(self) -> Process:
        host, main = self._any(), self.fleet.main
        if host is main or service_of(host).member.is_main:
            return
        self._reseed_from(host, main)
        yield 0

    def _reseed_from(self, host: Host, main: Host) -> None:
        self.fleet.admin(main, lambda one: one.attach(ADMIN, host.principal))
        self.fleet.admin(host, lambda one: one.reseed(ADMIN, main.principal))
        self.fleet.admin_pull(host)
        self.fleet.seen.pop(host.principal, None)

    # Peace.

    def heal(self) -> None:
        """End all faults, let the operator bring order, and wait as long as is promised."""
        fleet, network = self.fleet, self.network
        self._end_faults()
        # A switch-over under way comes to its end, and a main that sleeps wakes.
        network.run_until(network.now_ns + 130 * SECOND_NS)
        for host in fleet.hosts:
            is_over = host is not fleet.main and fleet.must_have_heard(host)
            if is_over and service_of(host).member.decides:
                violated(f"{host.principal} goes on in epoch {_position(host).epoch}")
        self._find_main()
        for host in fleet.hosts:
            if host is not fleet.main and not self._is_attached(host):
                self._demote(host)
                fleet.join(host, fleet.main)
        network.run_until(network.now_ns + CONVERGENCE_S * SECOND_NS)
        for host in self._late():
            self._require_excuse(host)
        self._reseed_until_level()

    def _is_attached(self, host: Host) -> bool:
        """Whether a replica follows the main, so that it needs nobody's help."""
        main = self.fleet.main
        is_following = service_of(host).member.replication.upstream == main.principal
        return is_following and host.principal in service_of(main).member.replicas

    def _end_faults(self) -> None:
        network = self.network
        self.fleet.is_faulty = False
        network.trap_share = network.reject_share = 0.0
        network.latency_max_s = 3.0
        for host in self.fleet.hosts:
            host.halted_until_ns = 0
            if host.is_stopped:
                host.start_again()

    def _reseed_until_level(self) -> None:
        """Take everything over anew where a fork, or an admin, has made that necessary."""
        for _ in range(20):
            late = self._late()
            if not late:
                return
            for host in late:
                if not service_of(host).member.is_seeding:
                    self._demote(host)
                    self._reseed_from(host, self.fleet.main)
                    self.fleet.count("reseeded after peace")
            self.network.run_until(self.network.now_ns + 60 * SECOND_NS)
        names = [f"{one.principal} at {_position(one)[:2]}" for one in self._late()]
        violated(f"never level with {_position(self.fleet.main)[:2]}: {names}")

    def _late(self) -> list[Host]:
        main = self.fleet.main
        return [one for one in self.fleet.hosts if one is not main and not self._is_level(one)]

    def _find_main(self) -> None:
        """Have a main that decides: the one there is, or the furthest of all."""
        fleet = self.fleet
        if service_of(fleet.main).member.decides:
            return
        whole = [one for one in fleet.hosts if self._is_promotable(one)]
        if not whole:
            violated("no canister is whole")
        best = max(whole, key=_position)
        if not fleet.promote(best):
            violated(f"the furthest canister was not promoted: {fleet.counts}")
        fleet.count("promoted after peace")

    def _demote(self, host: Host) -> None:
        if service_of(host).member.is_main:
            self.fleet.admin(host, lambda one: one.demote(ADMIN, one.member.head.epoch))

    def _is_level(self, host: Host) -> bool:
        return service_of(host).phase == "Serving" and _position(host) == _position(self.fleet.main)

    def _require_excuse(self, host: Host) -> None:
        """Only a fork or a reseeding may take longer than is promised."""
        member = service_of(host).member
        error = member.replication.error or ""
        if member.is_seeding or service_of(host).phase == "Rebuilding":
            return
        if error.startswith(("Diverged", "Behind")) or member.is_main:
            return
        violated(
            f"{host.principal} at {_position(host)[:2]} after {CONVERGENCE_S} s, "
            f"main at {_position(self.fleet.main)[:2]}: {error or 'no error'}"
        )

    # The promises.

    def check(self) -> None:
        """Compare rows, ids and answers."""
        fleet = self.fleet
        main = service_of(fleet.main)
        rows = _rows(fleet.main)
        for host in fleet.hosts:
            if _rows(host) != rows:
                violated(f"{host.principal} has other rows than main")
        log = main.member.log
        records = log.after(log.extent.base.seq, 10**9, 10**6)
        ids = [(one.subject, one.operation_id) for one in records]
        if len(set(ids)) != len(ids):
            twice = {one for one in ids if ids.count(one) > 1}
            violated(f"applied twice: {twice}")
        by_seq = {one.seq: one for one in records}
        for key, ack in fleet.acks.items():
            if key in fleet.lost:
                continue
            self._require_kept(key, ack, by_seq, log.extent.base)

    def _require_kept(
        self, key: tuple[str, bytes], ack: Ack, by_seq: dict[int, Any], base: LogHead
    ) -> None:
        if ack.seq <= base.seq:
            return
        record = by_seq.get(ack.seq)
        if record is None or (record.subject, record.operation_id) != key:
            violated(f"acknowledged at {ack[:2]} and not there: {key}")
        if (record.result == b"\x00") != (ack.case == "Applied"):
            violated(f"acknowledged as {ack.case} and kept as {record.result!r}")


def upgrade(host: Host, *, hooks: bool) -> None:
    """Upgrade a canister; without hooks, as an operator does whose ``pre_upgrade`` would trap."""
    if hooks:
        host.run(lambda: service_of(host).suspend(host.now_ns))
    host.replace_heap()
    host.run(lambda: _resume(host))


def _resume(host: Host) -> None:
    service_of(host).resume(host.principal, host.now_ns)
    host.root.timers.keep_running()


def _start(fleet: SimulatedFleet, host: Host) -> None:
    service_of(host).start(
        is_main=True, installer=ADMIN, canister=host.principal, now_ns=host.now_ns
    )
    host.root.timers.keep_running()
    fleet.count("reinstalled")


def _position(host: Host) -> LogHead:
    return service_of(host).member.head


def _rows(host: Host) -> dict[int, bytes]:
    rows: dict[int, bytes] = host.maps[0].entries
    return rows


def _is_done(outcome: Any) -> bool:
    return outcome is not None and outcome.case == "Done"
