"""Candid records of ``icfleet.did``, both ways, through the interface's own types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_application import (
    ADMIN,
    MAIN,
    NOW_NS,
    Add,
    Crash,
    Reset,
    TinyNode,
    principal,
    submitted,
    tiny_application,
)

from icfleet_canister import (
    Behind,
    ChangeRecord,
    Cursor,
    Diverged,
    EpochStart,
    FleetRecords,
    LogAnswer,
    LogBatch,
    LogHead,
    MemberSettings,
    NotAttached,
    NotReady,
    PageAnswer,
    Position,
    Reseed,
    RowChange,
    StatePage,
    Verdict,
    WrongCursor,
    content_of,
)
from icfleet_canister.fleet_admin import AdminOutcome
from icfleet_canister.fleet_rules import UnreadableOperation
from icfleet_canister.fleet_service import SubmitOutcome
from icfleet_protocol.candid import NamedType, OptType, decode, encode, parse_did
from icfleet_protocol.principal import Principal

DID = Path(__file__).parent.parent.parent / "canisters" / "icfleet.did"
INTERFACE = parse_did(DID.read_text(encoding="utf-8"))
ADA = principal(1)


class Name(Principal):
    """A principal with the methods of Kybra's."""

    def to_str(self) -> str:
        return str(self)

    @staticmethod
    def from_str(text: str) -> Name:
        return Name(Principal.from_text(text).raw)


RECORDS = FleetRecords(Name)


def kybra(value: Any) -> Any:
    """The value as Kybra would pass it in."""
    if isinstance(value, Principal):
        return Name(value.raw)
    if isinstance(value, dict):
        record = cast("dict[str, Any]", value)
        return {name: kybra(field) for name, field in record.items()}
    if isinstance(value, list):
        return [kybra(one) for one in cast("Sequence[Any]", value)]
    return value


def sent(type_name: str, value: Any, *, is_opt: bool = False) -> Any:
    """A value of a type of the interface, encoded and decoded."""
    candid_type = OptType(NamedType(type_name)) if is_opt else NamedType(type_name)
    data = encode([candid_type], [value], environment=INTERFACE.environment)
    return kybra(decode(data, [candid_type], environment=INTERFACE.environment)[0])


numbers = st.integers(0, 2**64 - 1)
hashes = st.binary(min_size=32, max_size=32)
principals = st.binary(max_size=29).map(lambda raw: str(Principal(raw)))
positions = st.builds(Position, numbers, numbers)
heads = st.builds(LogHead, numbers, numbers, hashes)
epochs = st.lists(st.builds(EpochStart, numbers, numbers), max_size=3)
rows = st.lists(st.builds(RowChange, numbers, st.none() | st.binary(max_size=9)), max_size=3)
records = st.builds(
    ChangeRecord,
    seq=numbers,
    subject=principals,
    operation_id=st.binary(min_size=16, max_size=32),
    digest=hashes,
    created_at_ns=numbers,
    result=st.binary(max_size=9),
    rows=rows,
)
log_answers = st.one_of(
    st.builds(
        LogBatch,
        base_hash=hashes,
        records=st.lists(records, max_size=3),
        head=positions,
        path=st.lists(principals, max_size=3),
        acknowledge=st.booleans(),
    ),
    st.builds(Reseed, positions),
    st.builds(Diverged, positions),
    st.builds(Behind, positions),
    st.just(NotReady()),
    st.just(NotAttached()),
)
cursors = st.none() | st.builds(Cursor, principals, numbers)
page_answers = st.one_of(
    st.builds(
        StatePage,
        head=heads,
        taken_at_ns=numbers,
        applied=numbers,
        refused=numbers,
        epochs=epochs,
        rows=rows,
        end=numbers,
        next=cursors,
    ),
    st.builds(WrongCursor, st.text(max_size=9)),
    st.just(NotReady()),
    st.just(NotAttached()),
)


@given(log_answers)
def test_what_an_upstream_says_about_its_log_arrives_as_it_was(answer: LogAnswer) -> None:
    """Every case, with every field."""
    arrived = RECORDS.log_answer(sent("LogReply", RECORDS.log_reply(answer)))

    assert type(arrived) is type(answer)
    assert arrived == answer


@given(page_answers)
def test_what_an_upstream_says_about_its_rows_arrives_as_it_was(answer: PageAnswer) -> None:
    """Every case, with every field."""
    arrived = RECORDS.page_answer(sent("StateReply", RECORDS.state_reply(answer)))

    assert type(arrived) is type(answer)
    assert arrived == answer


@given(cursors)
def test_a_cursor_arrives_as_it_was(cursor: Cursor | None) -> None:
    """Also none at all."""
    assert RECORDS.cursor(sent("Cursor", RECORDS.cursor_opt(cursor), is_opt=True)) == cursor


@given(heads)
def test_a_position_and_its_hash_are_a_head(head: LogHead) -> None:
    """As ``log_since`` is asked."""
    assert RECORDS.log_head(sent("Position", RECORDS.position(head)), head.chain_hash) == head


def test_settings_are_those_of_the_interface() -> None:
    """Field by field."""
    settings = MemberSettings(7, 77, 777, 77)

    assert RECORDS.settings(sent("Settings", settings._asdict())) == settings


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict("Applied", seq=2), {"Applied": {"epoch": 1, "seq": 2}}),
        (
            Verdict("Refused", seq=2, code="TooMuch", reason="1 + 1"),
            {
                "Refused": {
                    "position": {"epoch": 1, "seq": 2},
                    "code": "TooMuch",
                    "reason": "1 + 1",
                }
            },
        ),
        (Verdict("Forbidden", reason="no"), {"Forbidden": "no"}),
        (
            Verdict("Invalid", code="IdSize", reason="no"),
            {"Invalid": {"code": "IdSize", "reason": "no"}},
        ),
        (Verdict("RateLimited", retry_after_ns=5), {"RateLimited": 5}),
        (Verdict("Busy", retry_after_ns=5), {"Busy": 5}),
        (Verdict("Deferred"), {"Deferred": None}),
        (Verdict("Expired"), {"Expired": None}),
        (Verdict("InFuture"), {"InFuture": None}),
        (Verdict("IdReused"), {"IdReused": None}),
    ],
)
def test_a_verdict_is_a_case_of_the_interface(verdict: Verdict, expected: dict[str, Any]) -> None:
    """In a reply with the position it was given at."""
    node = TinyNode.main()
    node.do(ADA, ADA, Add(1))
    outcome = SubmitOutcome("Done", [verdict])

    reply = sent("SubmitResult", RECORDS.submit_result(node.service, outcome))

    assert reply == {"Done": {"as_of": {"epoch": 1, "seq": 2}, "results": [expected]}}


def test_a_verdict_of_an_earlier_epoch_says_which() -> None:
    """The new main repeats what the old one said."""
    node = TinyNode.main()
    operation = submitted(1, ADA, Add(1))
    first = node.submit(ADA, operation)
    node.service.demote(ADMIN, 1)
    node.service.promote(ADMIN, 1, 2, NOW_NS)
    node.restore()

    outcome = SubmitOutcome("Done", node.submit(ADA, operation, submitted(2, ADA, Add(1))))
    reply = RECORDS.submit_result(node.service, outcome)["Done"]

    assert outcome.verdicts[0] == first[0]
    assert reply["results"] == [
        {"Applied": {"epoch": 1, "seq": 2}},
        {"Applied": {"epoch": 2, "seq": 4}},
    ]


def test_a_batch_that_was_not_decided_says_why() -> None:
    """Where to send it, or that it is too large."""
    service = TinyNode.main().service
    elsewhere = RECORDS.submit_result(service, SubmitOutcome("NotMain", main=ADA))
    nowhere = RECORDS.submit_result(service, SubmitOutcome("NotMain"))
    large = RECORDS.submit_result(service, SubmitOutcome("TooLarge", reason="501 operations"))

    assert sent("SubmitResult", elsewhere) == {"NotMain": Name.from_str(ADA)}
    assert sent("SubmitResult", nowhere) == {"NotMain": None}
    assert sent("SubmitResult", large) == {"TooLarge": "501 operations"}


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (AdminOutcome("Done"), {"Done": {"epoch": 1, "seq": 1}}),
        (AdminOutcome("Forbidden", reason="no"), {"Forbidden": "no"}),
        (
            AdminOutcome("Invalid", "WrongEpoch", "no"),
            {"Invalid": {"code": "WrongEpoch", "reason": "no"}},
        ),
    ],
)
def test_an_admins_outcome_is_a_case_of_the_interface(
    outcome: AdminOutcome, expected: dict[str, Any]
) -> None:
    """With the position after it, or why not."""
    service = TinyNode.main().service

    assert sent("AdminResult", RECORDS.admin_result(service, outcome)) == expected


def test_a_status_of_a_main_says_everything() -> None:
    """To admins also what it costs."""
    node = TinyNode.main()
    replica = TinyNode.replica(1, node)
    node.service.acknowledge(replica.canister, 1, 1, NOW_NS)

    status = sent("Status", RECORDS.status(node.service, 5_000, 65_536))

    assert status["role"] == {"Main": None}
    assert status["phase"] == {"Serving": None}
    assert status["fenced"] is None
    assert status["as_of"] == {"epoch": 1, "seq": 1}
    assert status["chain_hash"] == node.head.chain_hash
    assert status["log_from"] == {"epoch": 0, "seq": 0}
    assert status["epochs"] == [{"epoch": 1, "first_seq": 1}]
    assert status["replicas"] == [
        {
            "id": Name.from_str(replica.canister),
            "seen": {"epoch": 1, "seq": 1},
            "seen_at": NOW_NS,
        }
    ]
    assert status["main"] == Name.from_str(MAIN)
    assert status["admins"] == [Name.from_str(ADMIN)]
    assert status["settings"] == MemberSettings()._asdict()
    assert (status["cycles"], status["stable_bytes"]) == (5_000, 65_536)
    assert {"name": "total", "value": 0} in status["figures"]


def test_a_status_of_a_replica_says_whom_it_follows() -> None:
    """And how far that is; before the first pull it does not know."""
    node = TinyNode.main()
    replica = TinyNode.replica(1, node)
    before = sent("Status", RECORDS.status(replica.service, None, None))
    replica.catch_up(node)

    status = sent("Status", RECORDS.status(replica.service, None, None))

    assert (before["upstream_head"], before["main"], before["path"]) == (None, None, [])
    assert status["role"] == {"Replica": None}
    assert status["upstream"] == Name.from_str(MAIN)
    assert status["upstream_head"] == {"epoch": 1, "seq": 1}
    assert status["path"] == [Name.from_str(MAIN)]
    assert status["main"] == Name.from_str(MAIN)
    assert status["pulled_at"] == NOW_NS
    assert status["pull_error"] is None
    assert (status["cycles"], status["stable_bytes"]) == (None, None)


def test_a_status_says_why_a_main_decides_nothing() -> None:
    """In words."""
    node = TinyNode.fresh(MAIN, is_main=True)

    assert sent("Status", RECORDS.status(node.service, None, None))["fenced"] == "not opened"


def test_a_head_comes_with_its_certificate() -> None:
    """Where there is one: an update has none."""
    node = TinyNode.main()

    head = sent("Head", RECORDS.head(node.service, b"signed"))

    assert head == {
        "as_of": {"epoch": 1, "seq": 1},
        "chain_hash": node.head.chain_hash,
        "certificate": b"signed",
    }
    assert sent("Head", RECORDS.head(node.service, None))["certificate"] is None


def test_a_view_is_bytes_with_its_dates() -> None:
    """There is none of a name that is unheard of."""
    node = TinyNode.main()
    node.do(ADA, ADA, Add(7))

    view = sent("CachedView", RECORDS.cached_view(node.service, "total"), is_opt=True)

    assert view["value"] == b"7"
    assert view["as_of"] == {"epoch": 1, "seq": 2}
    assert view["computed_at"] == NOW_NS < view["expires_at"]
    assert view["dirty"] is False
    assert RECORDS.cached_view(node.service, "unheard of") is None


def envelope(body: dict[str, Any]) -> dict[str, Any]:
    return {"id": b"1" * 16, "subject": Name.from_str(ADA), "created_at": NOW_NS, "body": body}


def too_deep() -> Any:
    """A value nested deeper than operations may be."""
    value: Any = []
    for _ in range(50):
        value = [value]
    return value


def test_an_operation_is_read() -> None:
    """With and without fields."""
    app = tiny_application()

    add = RECORDS.pending_operation(app, envelope({"Add": {"amount": 7}}))
    reset = RECORDS.pending_operation(app, envelope({"Reset": None}))

    assert (add.subject, add.operation_id, add.created_at_ns) == (ADA, b"1" * 16, NOW_NS)
    assert (add.body, add.content) == (Add(7), content_of(Add(7)))
    assert reset.body == Reset()


def test_an_operation_without_an_encoding_is_invalid_alone() -> None:
    """Its neighbours are decided, and it costs its sender what any does."""
    node = TinyNode.main()
    node.do(ADA, ADA, Add(1))
    bodies: list[dict[str, Any]] = [
        {"Add": {"amount": 1}},
        {"Crash": {"note": too_deep()}},
        {"Crash": {"note": 10**5_000}},
        {"Add": {"amount": 1}},
    ]
    operations = [
        RECORDS.pending_operation(node.service.app, {**envelope(body), "id": bytes([number]) * 16})
        for number, body in enumerate(bodies)
    ]

    verdicts = node.submit(ADA, *operations)

    assert [verdict.case for verdict in verdicts] == [
        "Applied",
        "Invalid",
        "Invalid",
        "Applied",
    ]
    assert [verdict.code for verdict in verdicts[1:3]] == ["Encoding", "Encoding"]
    assert isinstance(operations[1].body, UnreadableOperation)
    assert operations[1].body.name == Crash.__name__


def test_an_operation_without_an_encoding_is_forbidden_to_who_may_not_send_it() -> None:
    """A stranger learns nothing by it."""
    node = TinyNode.main()
    operation = RECORDS.pending_operation(
        node.service.app, envelope({"Crash": {"note": too_deep()}})
    )

    verdict = node.submit(principal(9), operation)[0]

    assert (verdict.case, verdict.reason) == ("Forbidden", "Crash needs the role owner")
