"""All subnets of a local network: their rounds, what they send each other, and who certifies whom.

Everything here is computed from what is passed in: messages, time and a seed.

Source: IC interface specification, "Certification" for delegations; dfinity/ic for streams, which
keep the order of the messages between two subnets.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from random import Random

from icfleet_localnet.call_context import QueuedCall, QueuedResponse
from icfleet_localnet.certification import Path, RangeLayout, SubnetKeys, SubnetRecord
from icfleet_localnet.executor import Executor
from icfleet_localnet.fees import APPLICATION_FEES, SYSTEM_FEES, FeeSchedule
from icfleet_localnet.management import effective_canister
from icfleet_localnet.profiles import FAST, Profile
from icfleet_localnet.rejects import Reject, no_such_canister
from icfleet_localnet.subnet import CrossSubnetMessage, RoundReport, Subnet
from icfleet_localnet.thread_model import UpdateThreads
from icfleet_localnet.topology import Topology
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

__all__ = ["Network"]

_S = 1_000_000_000
_ROUND_IDLE_NS = 1 * _S
"""A subnet makes a round at least this often, so that its certificates stay fresh."""

_ROUND_NS = _S // 1000
"""What a round takes of virtual time."""

_DELEGATION_AGE_MAX_NS = 600 * _S
"""Clients remember a delegation they have verified, so it is not made anew each round."""


@dataclass(frozen=True, slots=True, order=True)
class _InTransit:
    number: int
    height: int
    """The round of the destination in which it may be executed at the earliest."""
    destination: Principal
    message: CrossSubnetMessage


class Network:
    """A root subnet and its peers.

    Args:
        executor: Runs the canisters of all subnets.
        seed: Fixes all keys.
        now_ns: Time of the first state, in nanoseconds since 1970.
        topology: Subnets and nodes.
        fees: What things cost on application subnets. All is free on system subnets.
        profile: How many rounds messages between subnets take, and how much a subnet executes.
        order: Shuffles in which order canisters are served, and so makes a simulation of one of the
            many orders that the specification allows; the same numbers give the same run.
    """

    def __init__(  # noqa: PLR0913 - all but the first are named, and most have defaults
        self,
        executor: Executor,
        *,
        seed: bytes,
        now_ns: int,
        topology: Topology | None = None,
        fees: FeeSchedule = APPLICATION_FEES,
        profile: Profile = FAST,
        order: Random | None = None,
    ) -> None:
        topology = topology or Topology()
        plans = topology.plans
        nodes = max(topology.nodes, profile.node_count)
        seeds = [_subnet_seed(seed, index) for index in range(len(plans))]
        keys = [SubnetKeys.derive(each, nodes=nodes) for each in seeds]
        records = [SubnetRecord.of(plan, key) for plan, key in zip(plans, keys, strict=True)]
        self.subnets = tuple(
            Subnet(
                executor,
                key,
                record,
                records,
                now_ns=now_ns,
                seed=subnet_seed,
                fees=SYSTEM_FEES if record.kind == "system" else fees,
                order=order,
                threads=None if profile.capacity is None else UpdateThreads(profile),
                heartbeat_interval_ns=int(profile.round_interval_s * _S) or _ROUND_IDLE_NS,
            )
            for subnet_seed, key, record in zip(seeds, keys, records, strict=True)
        )
        self._profile = profile
        self._random = Random(_subnet_seed(seed, -1))  # noqa: S311 - a simulation is to repeat itself
        self._by_id = {subnet.id: subnet for subnet in self.subnets}
        self._now_ns = now_ns
        self._in_transit: list[_InTransit] = []
        self._last_sent: dict[tuple[Principal, Principal], int] = {}
        """In which round the last message of each stream arrives: none overtakes it."""
        self._numbers = count()
        self._delegations: dict[tuple[Principal, RangeLayout], tuple[int, bytes]] = {}

    @property
    def root(self) -> Subnet:
        """The subnet whose key all certificates lead to."""
        return self.subnets[0]

    @property
    def applications(self) -> tuple[Subnet, ...]:
        """The subnets on which canisters are meant to live."""
        return self.subnets if len(self.subnets) == 1 else self.subnets[1:]

    @property
    def root_key_der(self) -> bytes:
        """The root subnet's public key."""
        return self.root.public_key_der

    def subnet_of(self, canister: Principal) -> Subnet | None:
        """The subnet in whose ranges a canister id lies."""
        return next((subnet for subnet in self.subnets if subnet.plan.hosts(canister)), None)

    def subnet_by_id(self, subnet: Principal) -> Subnet | None:
        """A subnet by its own id."""
        return self._by_id.get(subnet)

    @property
    def has_work(self) -> bool:
        """Whether a round would execute something that already waits."""
        awaited = self._awaiting()
        return any(
            subnet.has_work or subnet.id in awaited
            for subnet in self.subnets
            if not subnet.is_halted
        )

    @property
    def next_event_ns(self) -> int | None:
        """When the next timer or heartbeat is due; now, if a message between subnets arrives."""
        running = [subnet for subnet in self.subnets if not subnet.is_halted]
        events = [subnet.next_event_ns for subnet in running]
        if not self._awaiting().isdisjoint(subnet.id for subnet in running):
            events.append(self._now_ns)
        return min((due for due in events if due is not None), default=None)

    def run_round(self, now_ns: int) -> list[RoundReport]:
        """Deliver what has arrived, and let every subnet that has something to do make a round."""
        self._now_ns = now_ns
        awaited = self._awaiting()
        due = [
            subnet
            for subnet in self.subnets
            if not subnet.is_halted and (subnet.id in awaited or _is_round_due(subnet, now_ns))
        ]
        self._deliver()
        reports = [subnet.run_round(now_ns) for subnet in due]
        for subnet in self.subnets:
            for message in subnet.take_outgoing():
                self._dispatch(subnet, message)
        return reports

    def advance(self, now_ns: int) -> list[RoundReport]:
        """Let virtual time pass: make all rounds that become due until a moment, and one then.

        A round takes a millisecond, so that canisters which never rest do not stop time.
        """
        reports: list[RoundReport] = []
        while True:
            next_ns = self._now_ns if self.has_work else self.next_event_ns
            if next_ns is None or next_ns >= now_ns:
                break
            reports += self.run_round(max(next_ns, self._now_ns))
            self._now_ns += _ROUND_NS
        return [*reports, *self.run_round(max(self._now_ns, now_ns))]

    def certificate(
        self, subnet: Subnet, paths: Iterable[Path], layout: RangeLayout = RangeLayout.SHARDED
    ) -> bytes:
        """Certify a subnet's state at some paths, by its own key and the root's delegation."""
        if subnet is self.root:
            return subnet.certifier.certificate(paths, layout=layout)
        delegation = {
            "subnet_id": subnet.id.raw,
            "certificate": self._delegation(subnet, layout),
        }
        return subnet.certifier.certificate(paths, layout=layout, delegation=delegation)

    def _delegation(self, subnet: Subnet, layout: RangeLayout) -> bytes:
        known = self._delegations.get((subnet.id, layout))
        now_ns = self.root.time_ns
        if known is not None and now_ns - known[0] < _DELEGATION_AGE_MAX_NS:
            return known[1]
        certifier = self.root.certifier
        paths = certifier.delegation_paths(subnet.record, layout)
        made = certifier.certificate(paths, layout=layout)
        self._delegations[subnet.id, layout] = now_ns, made
        return made

    def _awaiting(self) -> set[Principal]:
        """The subnets for which messages arrive when they have made some rounds."""
        return {each.destination for each in self._in_transit}

    def _deliver(self) -> None:
        arrived = [each for each in self._in_transit if self._has_arrived(each)]
        if not arrived:
            return
        numbers = {each.number for each in arrived}
        self._in_transit = [each for each in self._in_transit if each.number not in numbers]
        for parcel in sorted(arrived):
            self._by_id[parcel.destination].receive(parcel.message)

    def _has_arrived(self, parcel: _InTransit) -> bool:
        destination = self._by_id[parcel.destination]
        # The coming round is the one after that of the present height.
        return parcel.height <= destination.height + 1 and not destination.is_halted

    def _dispatch(self, source: Subnet, message: CrossSubnetMessage) -> None:
        destination = self._destination(source, message)
        if destination is None:
            assert isinstance(message, QueuedCall), "an answer goes where its call came from"
            source.refuse(message, no_such_canister(message.callee))
            return
        rounds = self._profile.draw_cross_subnet_rounds(self._random)
        stream = source.id, destination.id
        height = max(destination.height + rounds, self._last_sent.get(stream, 0))
        self._last_sent[stream] = height
        self._in_transit.append(_InTransit(next(self._numbers), height, destination.id, message))

    def _destination(self, source: Subnet, message: CrossSubnetMessage) -> Subnet | None:
        if isinstance(message, QueuedResponse):
            return self.subnet_of(message.to.canister)
        if message.callee != MANAGEMENT_CANISTER:
            return self.subnet_of(message.callee)
        target = effective_canister(message.method, message.arg)
        return source if target is None or isinstance(target, Reject) else self.subnet_of(target)


def _subnet_seed(seed: bytes, index: int) -> bytes:
    return hashlib.sha256(b"subnet %d" % index + seed).digest()


def _is_round_due(subnet: Subnet, now_ns: int) -> bool:
    event_ns = subnet.next_event_ns
    return (
        subnet.has_work
        or (event_ns is not None and event_ns <= now_ns)
        or now_ns - subnet.time_ns >= _ROUND_IDLE_NS
    )
