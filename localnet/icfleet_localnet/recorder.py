"""Records what is put into a network, and puts it in again.

Source of the method: state-machine replication; the inputs in order are the state.
"""

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from icfleet_localnet.canister import Canister
from icfleet_localnet.clock import NetworkClock
from icfleet_localnet.commands import obey
from icfleet_localnet.errors import StateDirectoryError
from icfleet_localnet.fault_rules import Command
from icfleet_localnet.figures import Measured
from icfleet_localnet.ingress import Replied
from icfleet_localnet.journal import Commanded, Digest, Entry, Round, Submitted
from icfleet_localnet.network import Network
from icfleet_localnet.rejects import Reject
from icfleet_localnet.state_directory import StateDirectory
from icfleet_localnet.subnet import RoundReport, Subnet
from icfleet_protocol.envelope import CallContent
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_protocol.request_id import RequestId

__all__ = ["Recorder"]

_CHECK_PERIOD = 256
"""Rounds between two checks that a replay computes what the network had."""

_DIFFERENT = (
    "the journal was played again and came to another state after its round {after}, at the latest "
    "by round {by}; what differs: {what}. A canister does something that depends on more than its "
    "messages, such as a file, or the order of a set under another PYTHONHASHSEED. To go on, "
    "choose another folder"
)

_NAMED_MAX = 3
"""Canisters that an error names."""


class Recorder:
    """Writes a network's inputs to its state directory, before they take effect.

    Args:
        network: As it was when it was made: ``replay`` brings it to where it was left.
        directory: Where the journal lies.
    """

    def __init__(self, network: Network, directory: StateDirectory) -> None:
        self._network = network
        self._directory = directory
        self._rounds = 0
        self._answers = hashlib.sha256()
        self._answered: Counter[Principal] = Counter()
        """A checksum of what each canister answered."""
        self._checked = 0
        """Rounds up to the last check."""

    def submitted(self, subnet: Subnet, call: CallContent, request: RequestId) -> None:
        """Record an ingress message."""
        self._directory.append(
            Submitted(
                subnet.id.raw,
                request,
                call.sender.raw,
                call.canister.raw,
                call.method,
                call.arg,
                call.ingress_expiry_ns,
            )
        )

    def round_begins(self, time_ns: int) -> None:
        """Record a round, if it may change what canisters have or know."""
        if not _changes_anything(self._network, time_ns):
            return
        self._rounds += 1
        if self._rounds % _CHECK_PERIOD == 0:
            self.check()
        subnets = self._network.subnets
        heights = tuple(subnet.height for subnet in subnets)
        times_ns = tuple(subnet.time_ns for subnet in subnets)
        charging = [subnet for subnet in subnets if subnet.is_charge_due(time_ns)]
        measured = tuple(each for subnet in charging for each in subnet.measure())
        self._directory.append(Round(time_ns, heights, times_ns, measured))
        _give(self._network, measured)

    def round_ended(self, reports: Iterable[RoundReport]) -> None:
        """Note what was answered."""
        for report in reports:
            subnet = self._network.subnet_by_id(report.subnet)
            assert subnet is not None
            for request in report.answered:
                answer = _answer(subnet, request)
                self._answers.update(request + answer)
                origin = subnet.history.origin(request)
                if origin is not None:
                    receiver = origin[1]
                    self._answered[receiver] = zlib.crc32(answer, self._answered[receiver])

    def commanded(self, command: Command) -> None:
        """Record an order."""
        self._directory.append(Commanded(command))

    def check(self) -> None:
        """Record what the state hashes to now."""
        self._directory.append(Digest(self._state_hash(), tuple(self._checksums().items())))

    def replay(self, clock: NetworkClock, on_progress: Callable[[float], None]) -> int:
        """Compute the network's state from the journal, which goes on afterwards.

        Args:
            clock: Moved so that the network's time does not go back.
            on_progress: Told how much of the journal is done, from 0 to 1.

        Returns:
            How many rounds were made again.

        Raises:
            StateDirectoryError: If the journal is damaged, or the canisters did something else
                than they did before.
        """
        last_ns = 0
        size = self._directory.size_bytes
        for end, entry in self._directory.entries():
            if isinstance(entry, Round):
                last_ns = entry.time_ns
            self._apply(entry, clock)
            on_progress(end / size)
        clock.shift(max(0, last_ns - clock.now_ns()))
        return self._rounds

    def _apply(self, entry: Entry, clock: NetworkClock) -> None:
        match entry:
            case Submitted():
                _submit(self._network, entry)
            case Round():
                self._rounds += 1
                self.round_ended(_run_round(self._network, entry))
            case Commanded(command):
                obey(self._network, clock, command)
            case Digest(state, canisters):
                if state != self._state_hash():
                    raise StateDirectoryError(self._explain(dict(canisters)))
                self._checked = self._rounds

    def _state_hash(self) -> bytes:
        """Of what canisters have, and of all that they ever answered."""
        digest = self._answers.copy()
        for subnet in self._network.subnets:
            digest.update(subnet.canisters_digest)
            for name in sorted(subnet.canisters, key=lambda name: name.raw):
                digest.update(_canister(subnet.canisters[name]))
        return digest.digest()

    def _checksums(self) -> dict[bytes, int]:
        """Of what each canister has, and of all that it answered to users."""
        sums = {name.raw: answered for name, answered in self._answered.items()}
        for subnet in self._network.subnets:
            for name, canister in subnet.canisters.items():
                sums[name.raw] = zlib.crc32(_canister(canister), self._answered[name])
        return sums

    def _explain(self, recorded: Mapping[bytes, int]) -> str:
        """Say where the replay went another way, as closely as the journal tells."""
        now = self._checksums()
        names = [name for name in {**recorded, **now} if recorded.get(name) != now.get(name)]
        shown = [self._locate(Principal(name)) for name in names[:_NAMED_MAX]]
        if len(names) > _NAMED_MAX:
            shown.append(f"{len(names) - _NAMED_MAX} more")
        what = ", ".join(shown) or "what is certified, or the order of answers"
        return _DIFFERENT.format(after=self._checked, by=self._rounds, what=what)

    def _locate(self, canister: Principal) -> str:
        if canister == MANAGEMENT_CANISTER:
            return "answers of the management canister"
        subnet = self._network.subnet_of(canister)
        where = "" if subnet is None else f" on subnet {subnet.id}"
        return f"canister {canister}{where}"


def _submit(network: Network, entry: Submitted) -> None:
    subnet = network.subnet_by_id(Principal(entry.subnet))
    if subnet is None:
        reason = "the journal names a subnet that this network does not have: it is damaged"
        raise StateDirectoryError(reason)
    call = CallContent(
        request_type="call",
        sender=Principal(entry.sender),
        ingress_expiry_ns=entry.ingress_expiry_ns,
        canister=Principal(entry.canister),
        method=entry.method,
        arg=entry.arg,
    )
    subnet.submit(call, RequestId(entry.request))


def _run_round(network: Network, entry: Round) -> list[RoundReport]:
    if not len(network.subnets) == len(entry.heights) == len(entry.times_ns):
        reason = "the journal is about another number of subnets: it is damaged"
        raise StateDirectoryError(reason)
    for subnet, height, time_ns in zip(network.subnets, entry.heights, entry.times_ns, strict=True):
        subnet.height = height
        subnet.time_ns = time_ns
    _give(network, entry.measured)
    return network.run_round(entry.time_ns)


def _give(network: Network, measured: Sequence[Measured]) -> None:
    """Let all that is charged in the coming round go by these figures."""
    for subnet in network.subnets:
        subnet.measured = measured


def _changes_anything(network: Network, time_ns: int) -> bool:
    """Whether a round is more than a new certificate of the same state."""
    due_ns = network.next_event_ns
    return (
        network.has_work
        or (due_ns is not None and due_ns <= time_ns)
        or any(subnet.is_charge_due(time_ns) for subnet in network.subnets)
    )


def _answer(subnet: Subnet, request: RequestId) -> bytes:
    match subnet.history.status(request):
        case Replied(arg):
            return arg
        case Reject(code, message, error_code):
            return f"{code} {error_code} {message}".encode()
        case _:
            return b""


def _canister(canister: Canister) -> bytes:
    stable = 0 if canister.instance is None else canister.instance.stable_bytes
    log = "\n".join(line.text for line in canister.log)
    facts = (canister.status, canister.version, canister.cycles, stable, log)
    return canister.id.raw + repr(facts).encode()
