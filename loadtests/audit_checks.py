"""What the audit holds against each other: what canisters say, what players were told. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from audit_formats import (
    Acknowledged,
    AuditError,
    Ledger,
    LogRecord,
    Status,
    chain_hashes,
    movement_of,
    operation_digest,
    outcome_of,
    positions,
)

__all__ = ["Check", "Statement", "audit"]


@dataclass(frozen=True)
class Statement:
    """Everything one canister said."""

    status: Status
    log: Sequence[LogRecord]
    accounts: Mapping[str, int]


@dataclass(frozen=True)
class Check:
    """One promise, and whether it was kept."""

    name: str
    figures: str
    faults: Sequence[str] = field(default=())

    @property
    def is_kept(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.faults


def audit(statements: Mapping[str, Statement], acknowledged: Sequence[Acknowledged]) -> list[Check]:
    """Hold what the canisters say against what the players were told. Pure.

    Args:
        statements: By canister name; exactly one has the role of main.
        acknowledged: Every operation whose outcome a player learned.

    Raises:
        AuditError: If there is not exactly one main, or a row is not in the documented form.
    """
    mains = [name for name, said in statements.items() if said.status.role == "Main"]
    if len(mains) != 1:
        reason = f"one canister must be main, and here is {', '.join(mains) or 'none'}"
        raise AuditError(reason)
    main = statements[mains[0]]
    replicas = {name: said for name, said in statements.items() if name != mains[0]}
    by_key: dict[tuple[str, bytes], list[LogRecord]] = {}
    for record in main.log:
        by_key.setdefault((record.subject, record.operation_id), []).append(record)
    ledger, movement = _check_movements(main, acknowledged)
    return [
        _check_exactly_once(by_key, acknowledged),
        _check_outcomes(by_key, acknowledged, main),
        _check_contents(by_key, acknowledged),
        _check_chain(main),
        _check_positions(main, replicas),
        _check_replica_logs(main, replicas),
        movement,
        _check_sum(main, ledger),
        _check_balances(main, ledger),
        _check_replica_accounts(main, replicas),
    ]


_ByKey = Mapping[tuple[str, bytes], Sequence[LogRecord]]


def _label(sent: Acknowledged) -> str:
    return f"{sent.name} {sent.operation_id.hex()} of {sent.subject}"


def _check_exactly_once(by_key: _ByKey, acknowledged: Sequence[Acknowledged]) -> Check:
    faults = [f"{key[1].hex()} of {key[0]}: {len(r)} times" for key, r in by_key.items() if r[1:]]
    faults += [
        f"{_label(sent)}: not in the log"
        for sent in acknowledged
        if (sent.subject, sent.operation_id) not in by_key
    ]
    if not acknowledged:
        faults.append("nothing was acknowledged, so nothing was proved")
    records_count = sum(len(records) for records in by_key.values())
    figures = f"{len(acknowledged):,} operations acknowledged, {records_count:,} records"
    return Check("every acknowledged operation exactly once in main's log", figures, faults)


def _check_outcomes(by_key: _ByKey, acknowledged: Sequence[Acknowledged], main: Statement) -> Check:
    faults: list[str] = []
    places = {place.seq: place for place in positions(main.log)}
    for sent in acknowledged:
        for record in by_key.get((sent.subject, sent.operation_id), ())[:1]:
            found = (places[record.seq], outcome_of(record.result))
            if found != (sent.position, sent.outcome):
                told = f"told {sent.outcome} at {sent.position}"
                faults.append(f"{_label(sent)}: {told}, the log has {found[1]} at {found[0]}")
    refused = sum(sent.outcome != "Applied" for sent in acknowledged)
    figures = f"{len(acknowledged) - refused:,} applied, {refused:,} refused by the rules"
    return Check("each at the position and with the result its player was told", figures, faults)


def _check_contents(by_key: _ByKey, acknowledged: Sequence[Acknowledged]) -> Check:
    faults = [
        f"{_label(sent)}: the log holds another content"
        for sent in acknowledged
        for record in by_key.get((sent.subject, sent.operation_id), ())[:1]
        if record.digest != operation_digest(sent) or record.created_at != sent.created_at
    ]
    return Check("each with the content that was sent", f"{len(acknowledged):,} digests", faults)


def _check_chain(main: Statement) -> Check:
    status = main.status
    seqs = [record.seq for record in main.log]
    faults: list[str] = []
    places = positions(main.log)
    if seqs != list(range(1, status.position.seq + 1)) or places[-1:] != [status.position]:
        faults.append(f"{len(seqs)} records, and the position is {status.position}")
    recomputed = chain_hashes(main.log)[-1]
    if recomputed != status.chain_hash:
        said = status.chain_hash.hex()
        faults.append(f"recomputed {recomputed.hex()}, main says {said}")
    figures = f"{len(main.log):,} records, {recomputed.hex()[:16]}"
    return Check("the log's chain hash, recomputed, is main's", figures, faults)


def _check_positions(main: Statement, replicas: Mapping[str, Statement]) -> Check:
    faults = [
        f"{name} is at {said.status.position} {said.status.chain_hash.hex()[:16]}"
        for name, said in replicas.items()
        if said.status[1:] != main.status[1:]
    ]
    if not replicas:
        faults.append("there are no replicas")
    figures = f"{len(replicas)} replicas, main at {main.status.position}"
    return Check("replicas at main's position with the same chain hash", figures, faults)


def _check_replica_logs(main: Statement, replicas: Mapping[str, Statement]) -> Check:
    faults: list[str] = []
    originals = {record.seq: record for record in main.log}
    for name, said in replicas.items():
        copies = {record.seq: record for record in said.log}
        wrong = [
            seq for seq in sorted({*originals, *copies}) if originals.get(seq) != copies.get(seq)
        ]
        if wrong:
            faults.append(f"{name} differs in {len(wrong)} records, the first is {wrong[0]}")
    figures = f"{len(replicas)} logs of {len(main.log):,} records"
    return Check("replicas hold main's log, record by record", figures, faults)


def _check_movements(main: Statement, acknowledged: Sequence[Acknowledged]) -> tuple[Ledger, Check]:
    sent_by_key = {(sent.subject, sent.operation_id): sent for sent in acknowledged}
    ledger, faults, matched = Ledger(), list[str](), 0
    for record in main.log:
        sent = sent_by_key.get((record.subject, record.operation_id))
        prices = dict(ledger.prices)
        moved = ledger.apply(record)
        if sum(moved.values()) != 0:
            faults.append(
                f"record {record.seq} changes all money by {sum(moved.values()):,}: {moved}"
            )
        expected = _expected_movement(record, sent, prices)
        if expected is not None:
            matched += 1
            if moved != expected:
                faults.append(f"record {record.seq} should move {expected} and moves {moved}")
    figures = f"{len(main.log):,} records balanced, {matched:,} amounts as sent"
    return ledger, Check("each record moves the money its operation says", figures, faults)


def _expected_movement(
    record: LogRecord, sent: Acknowledged | None, prices: Mapping[str, int]
) -> Mapping[str, int] | None:
    if outcome_of(record.result) not in {"Applied", "Promoted"}:
        return {}
    return None if sent is None else movement_of(sent, prices)


def _check_sum(main: Statement, ledger: Ledger) -> Check:
    total = sum(main.accounts.values())
    expected = ledger.credits - ledger.debits
    credited, debited = f"{ledger.credits:,}", f"{ledger.debits:,}"
    figures = f"{len(main.accounts):,} accounts hold {total:,} = {credited} - {debited}"
    faults = [] if total == expected else [f"accounts hold {total:,}, the log allows {expected:,}"]
    return Check("all accounts together hold Credits minus Debits", figures, faults)


def _check_balances(main: Statement, ledger: Ledger) -> Check:
    faults = _account_faults("main", main.accounts, ledger.balances)
    figures = f"{len(ledger.balances):,} accounts recomputed"
    return Check("balances recomputed from the log are main's", figures, faults)


def _check_replica_accounts(main: Statement, replicas: Mapping[str, Statement]) -> Check:
    faults = [
        fault
        for name, said in replicas.items()
        for fault in _account_faults(name, said.accounts, main.accounts)
    ]
    return Check("replicas' accounts are main's", f"{len(replicas)} replicas", faults)


def _account_faults(
    name: str, accounts: Mapping[str, int], expected: Mapping[str, int]
) -> list[str]:
    return [
        f"{name}: {owner} has {accounts.get(owner, 0):,} instead of {expected.get(owner, 0):,}"
        for owner in sorted({*accounts, *expected})
        if accounts.get(owner, 0) != expected.get(owner, 0)
    ]
