"""Who gets in, and who pays for what."""

from collections.abc import Sequence

import pytest
from tiny_application import (
    ADMIN,
    NOW_NS,
    SECOND_NS,
    Add,
    Award,
    Reset,
    TinyNode,
    principal,
    submitted,
)

from icfleet_canister import MemberSettings, Verdict
from icfleet_canister.authority import ANONYMOUS
from icfleet_canister.fleet_admin import AdminOutcome
from icfleet_canister.fleet_rules import TRUSTED_RATE
from icfleet_canister.fleet_service import (
    INGRESS_SIZE_MAX,
    STRANGERS_RATE,
)
from icfleet_canister.rate_limiter import DEFAULT_RATE

DONE = AdminOutcome("Done")
ADA = principal(1)
BOB = principal(2)
GATEWAY = principal(3)
JUDGE = principal(4)
STRANGER = principal(99)


@pytest.fixture
def node() -> TinyNode:
    """A main with Ada, Bob, a gateway for everything, and a judge."""
    node = TinyNode.main()
    node.service.grant_gateway(ADMIN, GATEWAY, ["Add", "Reset"], all_players=True, now_ns=NOW_NS)
    node.service.grant_role(ADMIN, JUDGE, "judge", NOW_NS)
    node.do(ADA, ADA, Add(1))
    node.do(BOB, BOB, Add(1))
    return node


def total(node: TinyNode) -> bytes | None:
    view, _ = node.service.view("total")
    return None if view is None or view.value is None else view.value.content


def cases(verdicts: Sequence[Verdict]) -> list[str]:
    return [verdict.case for verdict in verdicts]


def test_a_subject_is_charged_for_what_a_gateway_does_in_its_name(node: TinyNode) -> None:
    """A gateway's own allowance is a thousand times that."""
    operations = [submitted(number, BOB, Add(1)) for number in range(101)]

    room = DEFAULT_RATE.limit - 1
    assert cases(node.submit(GATEWAY, *operations)) == (
        ["Applied"] * room + ["RateLimited"] + ["Deferred"] * (100 - room)
    )
    assert node.do(GATEWAY, ADA, Add(1)).case == "Applied"
    assert TRUSTED_RATE.limit == 120_000


def test_another_role_does_not_use_up_a_subjects_allowance(node: TinyNode) -> None:
    """Whom a judge awards is not who asked."""
    operations = [submitted(number, ADA, Award(1)) for number in range(200)]

    assert set(cases(node.submit(JUDGE, *operations))) == {"Applied"}


def test_operations_weigh_what_the_application_says(node: TinyNode) -> None:
    """A reset counts for five."""
    operations = [submitted(number, ADA, Reset()) for number in range(20)]

    assert cases(node.submit(ADA, *operations)).count("Applied") == (DEFAULT_RATE.limit - 1) // 5


def test_a_setting_changes_everybodys_rate(node: TinyNode) -> None:
    """Also after an upgrade; a weight above the limit is the limit."""
    settings = MemberSettings(rate_limit=3, rate_window_s=10)
    assert node.service.configure(ADA, settings).case == "Forbidden"
    assert node.service.configure(ADMIN, settings) == DONE
    node.upgrade()

    later_ns = NOW_NS + 60 * SECOND_NS
    operations = [submitted(number, ADA, Add(1), later_ns) for number in range(5)]

    verdicts = node.submit(ADA, *operations, now_ns=later_ns)
    assert cases(verdicts) == ["Applied"] * 3 + ["RateLimited", "Deferred"]
    last_ns = later_ns + 60 * SECOND_NS
    assert node.do(ADA, ADA, Reset(), last_ns).case == "Applied"


def test_strangers_share_one_rate(node: TinyNode) -> None:
    """Each may come to own something; a flood of fresh principals may not."""
    verdicts = [
        node.submit(principal(number), submitted(1, principal(number), Reset()))[0].case
        for number in range(1_000, 1_000 + STRANGERS_RATE.limit)
    ]

    # Ada and Bob were strangers when they began.
    assert verdicts == ["Forbidden"] * (STRANGERS_RATE.limit - 2) + ["RateLimited"] * 2
    assert node.do(ADA, ADA, Add(1)).case == "Applied"
    admitted = [node.service.admits(one, "submit", 100, NOW_NS) for one in (STRANGER, ADA, GATEWAY)]
    assert admitted == [False, True, True]


def test_operations_that_come_to_nothing_are_paid_for(node: TinyNode) -> None:
    """By an owner; a gateway that knows no better does not pay for its players' mistakes."""
    forbidden = [submitted(number, BOB, Add(1)) for number in range(200)]

    assert set(cases(node.submit(ADA, *forbidden))) == {"Forbidden"}
    assert node.do(ADA, ADA, Add(1)).case == "RateLimited"
    node.submit(GATEWAY, *(submitted(number, BOB, Award(1)) for number in range(200)))
    assert node.do(GATEWAY, BOB, Add(1)).case == "Applied"


def test_who_has_no_allowance_still_gets_in_and_gets_its_answers(node: TinyNode) -> None:
    """``RateLimited`` is no last word; a refusal at the door would be, for the whole batch."""
    operations = [submitted(number, ADA, Add(1)) for number in range(120)]
    first = node.submit(ADA, *operations)

    assert first[-1].case == "Deferred"
    assert node.service.admits(ADA, "submit", 100, NOW_NS)
    again = node.submit(ADA, operations[0], submitted(500, ADA, Add(1)))
    assert again[0] == first[0]
    assert again[1].case == "RateLimited"


@pytest.mark.parametrize(
    ("caller", "method", "size", "is_admitted"),
    [
        (ADA, "submit", 100, True),
        (GATEWAY, "submit", 100, True),
        (STRANGER, "submit", 100, True),
        (ANONYMOUS, "submit", 100, False),
        (ADA, "submit", INGRESS_SIZE_MAX + 1, False),
        (ADMIN, "attach", 100, True),
        (ADMIN, "attach", INGRESS_SIZE_MAX + 1, False),
        (ADA, "attach", 100, False),
        (GATEWAY, "grant_role", 100, False),
        (JUDGE, "promote", 100, False),
        (ADA, "value", 100, True),
        (ADA, "status", 100, True),
        (ANONYMOUS, "status", 100, False),
        (ADMIN, "log_since", 100, True),
        (ADA, "state_page", 100, False),
        (ADMIN, "acknowledge", 100, False),
        (ADMIN, "no_such_method", 100, False),
        (ADMIN, "", 100, False),
    ],
)
def test_ingress_is_admitted_when_it_may_come_to_something(
    node: TinyNode, caller: str, method: str, size: int, *, is_admitted: bool
) -> None:
    """Decided by caller, method and size alone; what is refused costs the canister nothing."""
    assert node.service.admits(caller, method, size, NOW_NS) is is_admitted


def test_a_gateway_that_was_revoked_still_learns_what_it_did(node: TinyNode) -> None:
    """For the operation it sent, and for nothing else."""
    operation = submitted(1, ADA, Add(7))
    first = node.submit(GATEWAY, operation)
    node.service.revoke_gateway(ADMIN, GATEWAY, NOW_NS)

    again = node.submit(GATEWAY, operation, submitted(2, ADA, Add(8)))

    assert first[0].case == "Applied"
    assert again[0] == first[0]
    assert again[1].case == "Forbidden"
