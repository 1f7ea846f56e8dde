"""What an operator may do to a running network, besides its faults of single requests."""

from icfleet_localnet.canister import Canister
from icfleet_localnet.clock import NetworkClock
from icfleet_localnet.fault_rules import (
    ClockJump,
    Command,
    DrainCycles,
    FaultRuleError,
    HaltSubnet,
    ResumeSubnet,
)
from icfleet_localnet.network import Network
from icfleet_localnet.subnet import Subnet
from icfleet_protocol.principal import Principal

__all__ = ["check_command", "obey"]

_S = 1_000_000_000


def check_command(network: Network, command: Command) -> None:
    """See whether a command can be carried out, which then cannot fail.

    Raises:
        FaultRuleError: If it names a subnet or canister that does not exist.
    """
    match command:
        case HaltSubnet(subnet) | ResumeSubnet(subnet):
            _subnet(network, subnet)
        case DrainCycles(canister):
            _canister(network, canister)
        case ClockJump():
            pass


def obey(network: Network, clock: NetworkClock, command: Command) -> None:
    """Carry out a command.

    Raises:
        FaultRuleError: If it names a subnet or canister that does not exist.
    """
    match command:
        case HaltSubnet(subnet):
            _subnet(network, subnet).is_halted = True
        case ResumeSubnet(subnet):
            _subnet(network, subnet).is_halted = False
        case DrainCycles(canister, leave):
            drained = _canister(network, canister)
            drained.cycles = min(drained.cycles, leave)
        case ClockJump(seconds):
            clock.shift(int(seconds * _S))


def _subnet(network: Network, name: str) -> Subnet:
    subnet = network.subnet_by_id(Principal.from_text(name))
    if subnet is None:
        reason = f"there is no subnet {name}"
        raise FaultRuleError(reason)
    return subnet


def _canister(network: Network, name: str) -> Canister:
    canister = Principal.from_text(name)
    subnet = network.subnet_of(canister)
    found = None if subnet is None else subnet.canisters.get(canister)
    if found is None:
        reason = f"there is no canister {canister}"
        raise FaultRuleError(reason)
    return found
