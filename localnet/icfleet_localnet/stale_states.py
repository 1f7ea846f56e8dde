"""Old states of canisters, kept for nodes that lag behind.

A state is held after a round while a rule is in force that may ask for it. How many there can be is
the executors' limit, so what asks for a much older one gets the oldest.
"""

from collections.abc import Callable
from dataclasses import dataclass

from icfleet_localnet.canister import Canister
from icfleet_localnet.executor import CanisterInstance
from icfleet_localnet.fault_rules import FaultRule, StaleNode
from icfleet_localnet.faults import FaultPlan
from icfleet_localnet.network import Network
from icfleet_localnet.queries import HeldState
from icfleet_localnet.subnet import RoundReport, Subnet
from icfleet_protocol.principal import Principal

__all__ = ["OldState", "StaleStates"]

_HELD_MAX = 4
"""Source: ``CanisterInstance.hold``."""

_S = 1_000_000_000

DataCertifier = Callable[[Subnet, Principal], bytes]


@dataclass(frozen=True, slots=True)
class OldState:
    """What a node that lags behind knows of a canister."""

    held: HeldState
    data_certificate: bytes


@dataclass(frozen=True, slots=True)
class _Held:
    height: int
    instance: CanisterInstance
    state: OldState


class StaleStates:
    """Holds states and finds them again.

    Args:
        network: Whose canisters.
        faults: Says which canisters are asked for old states, and how old.
        certify: Gives a canister's data certificate as of now.
    """

    def __init__(self, network: Network, faults: FaultPlan, certify: DataCertifier) -> None:
        self._network = network
        self._faults = faults
        self._certify = certify
        self._held: dict[Principal, list[_Held]] = {}

    def after_round(self, report: RoundReport) -> None:
        """Hold what a rule may ask for later; let go of what no rule does."""
        rules = [
            (active.rule, active.rule.effect)
            for active in self._faults.rules()
            if isinstance(active.rule.effect, StaleNode)
        ]
        if not rules and not self._held:
            return
        subnet = self._network.subnet_by_id(report.subnet)
        assert subnet is not None, "the round was made by one of the network's subnets"
        for gone in [each for each in self._held if each not in subnet.canisters]:
            # Deleted canisters are let go; their states went with their code.
            if subnet.plan.hosts(gone):
                del self._held[gone]
        for canister in subnet.canisters.values():
            pauses_ns = [
                _pause_ns(effect) for rule, effect in rules if _concerns(rule, subnet, canister)
            ]
            if pauses_ns:
                self._hold(subnet, canister, min(pauses_ns))
            else:
                self._drop(canister)

    def find(self, canister: Principal, staleness: StaleNode) -> OldState | None:
        """The state that a node so far behind would have, or the oldest there is."""
        subnet = self._network.subnet_of(canister)
        found = None if subnet is None else subnet.canisters.get(canister)
        held = self._held.get(canister, [])
        if subnet is None or found is None or not held or held[0].instance is not found.instance:
            return None
        if staleness.rounds is not None:
            height_max = subnet.height - staleness.rounds
            old_enough = [each for each in held if each.height <= height_max]
        else:
            time_max_ns = subnet.time_ns - int((staleness.seconds or 0) * _S)
            old_enough = [each for each in held if each.state.held.time_ns <= time_max_ns]
        return (old_enough[-1] if old_enough else held[0]).state

    def _hold(self, subnet: Subnet, canister: Canister, pause_ns: int) -> None:
        instance = canister.instance
        held = self._held.setdefault(canister.id, [])
        if held and held[0].instance is not instance:
            # The code was replaced, and with it went the states of the old code.
            held.clear()
        if instance is None:
            return
        if held and subnet.time_ns - held[-1].state.held.time_ns < pause_ns:
            return
        if len(held) >= _HELD_MAX:
            instance.release(held.pop(0).state.held.version)
        state = OldState(
            HeldState(instance.hold(), subnet.time_ns), self._certify(subnet, canister.id)
        )
        held.append(_Held(subnet.height, instance, state))

    def _drop(self, canister: Canister) -> None:
        for each in self._held.pop(canister.id, []):
            if each.instance is canister.instance:
                each.instance.release(each.state.held.version)


def _concerns(rule: FaultRule, subnet: Subnet, canister: Canister) -> bool:
    match = rule.match
    return match.canister in (None, str(canister.id)) and match.subnet in (None, str(subnet.id))


def _pause_ns(staleness: StaleNode) -> int:
    """How far apart states are held, so that the last few reach back as far as is asked for."""
    if staleness.rounds is not None:
        return 0
    return int((staleness.seconds or 0) * _S) // (_HELD_MAX - 1)
