"""An independent witness: did the game keep every promise it made during a load test?

It reads the canisters through unmodified ic-py and shares no code with the toolkit: hashes,
digests and balances are recomputed from the documented formats and compared with what the players
were told.

    python loadtests/audit.py --url http://127.0.0.1:4943 --canister-ids \
        .dfx/local/canister_ids.json --identity .icfleet/identities/admin.pem records.*.jsonl
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ic.agent import Agent
from ic.candid import Type, Types, encode
from ic.client import Client
from ic.identity import Identity

from audit_checks import Check, Statement, audit
from audit_formats import (
    Acknowledged,
    AuditError,
    LogRecord,
    Position,
    Status,
    chain,
    chain_hashes,
    epoch_after,
)

EXIT_PASSED, EXIT_FAILED = 0, 1

PAGE_SIZE_MAX = 16_000
"""Bytes of log per query: ic-py decodes blobs in quadratic time, so pages stay small."""

PAGES_MAX = 100_000
"""Pages of one walk; a log of 1.6 GB is more than this script should hold in memory."""

DETAILS_MAX = 5
"""Examples shown per failed check."""

WITNESS = (
    "Witness: unmodified ic-py. ic-py does not check signatures; icfleet's agent did, for every "
    "reply, during the load."
)

_BLOB = Types.Vec(Types.Nat8)
_POSITION = Types.Record({"epoch": Types.Nat64, "seq": Types.Nat64})
_ROLE = Types.Variant({"Main": Types.Null, "Replica": Types.Null})
_STATUS = Types.Record({"role": _ROLE, "as_of": _POSITION, "chain_hash": _BLOB})
_ROW = Types.Record({"slot": Types.Nat64, "value": Types.Opt(_BLOB)})
_RECORD = Types.Record(
    {
        "seq": Types.Nat64,
        "subject": Types.Principal,
        "id": _BLOB,
        "digest": _BLOB,
        "created_at": Types.Nat64,
        "result": _BLOB,
        "rows": Types.Vec(_ROW),
    }
)
_BATCH = Types.Record({"records": Types.Vec(_RECORD)})
_LOG = Types.Variant(
    {
        "Batch": _BATCH,
        "Reseed": _POSITION,
        "Diverged": _POSITION,
        "Behind": _POSITION,
        "Seeding": Types.Null,
        "NotAttached": Types.Null,
    }
)
_ACCOUNT = Types.Record({"owner": Types.Text, "balance": Types.Nat64})
_ACCOUNTS = Types.Record(
    {"as_of": _POSITION, "next": Types.Opt(Types.Nat64), "accounts": Types.Vec(_ACCOUNT)}
)


class Witness:
    """Asks canisters by name, as an admin."""

    def __init__(self, agent: Agent, canister_ids: Mapping[str, str]) -> None:
        self._agent = agent
        self._canister_ids = canister_ids

    def statement(self, name: str) -> Statement:
        """Read everything a canister has to say.

        Raises:
            AuditError: If it does not answer, refuses, or changes meanwhile.
        """
        status = self._status(name)
        log = list(self._walk_log(name, status))
        accounts = self._accounts(name)
        if self._status(name) != status:
            reason = (
                f"{name} has moved on from {status.position} meanwhile: audit when all is quiet"
            )
            raise AuditError(reason)
        return Statement(status, log, accounts)

    def _status(self, name: str) -> Status:
        said = self._query(name, "status", [], _STATUS)
        position = Position(**said["as_of"])
        return Status(next(iter(said["role"])), position, bytes(said["chain_hash"]))

    def _walk_log(self, name: str, status: Status) -> Iterator[LogRecord]:
        epoch, seq, chain_hash = 0, 0, chain_hashes([])[0]
        for _ in range(PAGES_MAX):
            if seq >= status.position.seq:
                return
            arguments = [
                {"type": _POSITION, "value": {"epoch": epoch, "seq": seq}},
                {"type": _BLOB, "value": chain_hash},
                {"type": Types.Nat32, "value": PAGE_SIZE_MAX},
            ]
            said = self._query(name, "log_since", arguments, _LOG)
            if not said.get("Batch", {}).get("records"):
                reason = f"{name} gives no log after {epoch}.{seq}: {said}"
                raise AuditError(reason)
            for fields in said["Batch"]["records"]:
                record = _log_record(fields)
                seq, chain_hash = record.seq, chain(chain_hash, record)
                epoch = epoch_after(epoch, record)
                yield record
        reason = f"the log of {name} has more than {PAGES_MAX} pages"
        raise AuditError(reason)

    def _accounts(self, name: str) -> dict[str, int]:
        accounts: dict[str, int] = {}
        cursor = [0]
        for _ in range(PAGES_MAX):
            if not cursor:
                return accounts
            arguments = [{"type": Types.Nat64, "value": cursor[0]}]
            said = self._query(name, "accounts", arguments, _ACCOUNTS)
            accounts |= {account["owner"]: account["balance"] for account in said["accounts"]}
            cursor = said["next"]
        reason = f"{name} has more than {PAGES_MAX} pages of accounts"
        raise AuditError(reason)

    def _query(
        self, name: str, method: str, arguments: Sequence[Mapping[str, object]], kind: Type
    ) -> Any:
        canister = self._canister_ids[name]
        try:
            answer = self._agent.query_raw(canister, method, encode(arguments), [kind])
        except Exception as error:  # ic-py and httpx have no common root of errors
            reason = f"{method} of {name}: {type(error).__name__}: {error}"
            raise AuditError(reason) from error
        if isinstance(answer, str):
            reason = f"{method} of {name} was rejected: {answer}"
            raise AuditError(reason)
        return answer[0]["value"]


def _log_record(fields: Mapping[str, Any]) -> LogRecord:
    return LogRecord(
        seq=fields["seq"],
        subject=fields["subject"].to_str(),
        operation_id=bytes(fields["id"]),
        digest=bytes(fields["digest"]),
        created_at=fields["created_at"],
        result=bytes(fields["result"]),
        rows=[
            (row["slot"], bytes(row["value"][0]) if row["value"] else None)
            for row in fields["rows"]
        ],
    )


def read_records(paths: Sequence[Path]) -> list[Acknowledged]:
    """Read what the load test wrote: one JSON object per line.

    Raises:
        AuditError: If a file cannot be read, or a line is not of that form.
    """
    acknowledged: list[Acknowledged] = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            acknowledged += [_acknowledged(json.loads(line)) for line in lines]
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"{path}: {type(error).__name__}: {error}"
            raise AuditError(reason) from error
    return acknowledged


def _acknowledged(fields: Mapping[str, Any]) -> Acknowledged:
    ((name, body),) = fields["operation"].items()
    return Acknowledged(
        operation_id=bytes.fromhex(fields["id"]),
        subject=fields["subject"],
        created_at=fields["created_at"],
        name=name,
        fields=body,
        outcome=fields["outcome"],
        position=Position(fields["epoch"], fields["seq"]),
    )


def main() -> int:
    """Run the audit and print one line per check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", required=True, help="such as http://127.0.0.1:4943")
    parser.add_argument("--canister-ids", required=True, type=Path, help="canister_ids.json")
    parser.add_argument("--network", default="local", help="which of its networks")
    parser.add_argument("--identity", required=True, type=Path, help="an admin's key, PEM")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.add_argument("records", nargs="+", type=Path, help="files of acknowledged operations")
    options = parser.parse_args()
    try:
        entries = json.loads(options.canister_ids.read_text(encoding="utf-8"))
        ids = {
            name: ids[options.network] for name, ids in entries.items() if options.network in ids
        }
        identity = Identity.from_pem(options.identity.read_text(encoding="ascii"))
        acknowledged = read_records(options.records)
        witness = Witness(Agent(identity, Client(options.url)), ids)
        checks = audit({name: witness.statement(name) for name in ids}, acknowledged)
    except (AuditError, OSError, ValueError) as error:
        checks = [Check("the audit can be made", "", [str(error)])]
    _print_checks(checks, is_json=options.json)
    return EXIT_PASSED if all(check.is_kept for check in checks) else EXIT_FAILED


def _print_checks(checks: Sequence[Check], *, is_json: bool) -> None:
    if is_json:
        entries = [{**asdict(check), "passed": check.is_kept} for check in checks]
        sys.stdout.write(json.dumps({"witness": WITNESS, "checks": entries}) + "\n")
        return
    sys.stdout.write(WITNESS + "\n")
    for check in checks:
        verdict = "PASS" if check.is_kept else "FAIL"
        sys.stdout.write(f"{verdict}  {check.name}: {check.figures}\n")
        for fault in check.faults[:DETAILS_MAX]:
            sys.stdout.write(f"      {fault}\n")


if __name__ == "__main__":
    sys.exit(main())
