"""The rules of each operation, yes and no."""

import re
from pathlib import Path

import game_operations
import pytest
from game_journal import FUNDS, KIND_NAMES, MONEY_MAX
from game_operations import (
    REFUSAL_CODES,
    Buy,
    CloseDeposit,
    CreatePlayer,
    Credit,
    Debit,
    OpenDeposit,
    Operation,
    RecordScore,
    Sell,
    SetPrice,
    Transfer,
)
from game_rows import RECENT_MAX, Recent
from game_world import ADMIN, NOW_NS, SECOND_NS, Node, principal, submitted

from icfleet_canister.row_journal import REASON_LENGTH_MAX

ROOT = Path(__file__).parents[2]
ADA = principal(1)
BOB = principal(2)
NOBODY = principal(3)
GATEWAY = principal(4)
YEAR_S = 365 * 24 * 3600


@pytest.fixture
def node() -> Node:
    """Ada has 1,000, Bob 50; GOLD costs 10; the admin is treasury and oracle too."""
    node = Node.main()
    service = node.service
    service.grant_role(ADMIN, ADMIN, "treasury", NOW_NS)
    service.grant_role(ADMIN, ADMIN, "oracle", NOW_NS)
    service.grant_gateway(
        ADMIN, GATEWAY, ["CreatePlayer", "RecordScore"], all_players=True, now_ns=NOW_NS
    )
    node.do(ADA, ADA, CreatePlayer("Ada"))
    node.do(BOB, BOB, CreatePlayer("Bob"))
    node.do(ADMIN, ADMIN, Credit(ADA, 1_000))
    node.do(ADMIN, ADMIN, Credit(BOB, 50))
    node.do(ADMIN, ADMIN, SetPrice("GOLD", 10))
    return node


def refusal(node: Node, subject: str, body: Operation, caller: str | None = None) -> str:
    """Send one operation; return the code of its refusal, after checking that nothing moved."""
    table = node.service.table
    before = dict(table.rows(0, table.end_slot))
    verdict = node.do(caller or subject, subject, body)
    assert verdict.case == "Refused", verdict
    assert len(verdict.reason) <= REASON_LENGTH_MAX
    assert dict(table.rows(0, table.end_slot)) == before
    node.audit()
    return verdict.code


def accept(node: Node, subject: str, body: Operation, now_ns: int = NOW_NS) -> None:
    """Send one operation that must be applied."""
    verdict = node.do(subject, subject, body, now_ns)
    assert verdict.case == "Applied", verdict
    node.audit()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "NameEmpty"),
        (" \t", "NameEmpty"),
        ("x" * 33, "NameTooLong"),
        ("x" * 1_000_000, "NameTooLong"),
        ("Ada\x00", "NameNotAllowed"),
        ("Ada\n", "NameNotAllowed"),
        ("\u202eadA", "NameNotAllowed"),
        ("A\u200bda", "NameNotAllowed"),
        ("A\u2028da", "NameNotAllowed"),
        ("A\u2029da", "NameNotAllowed"),
        ("A\ue000da", "NameNotAllowed"),
        ("A\u0378da", "NameNotAllowed"),
        (" Ada", "NameNotAllowed"),
        ("Ada ", "NameNotAllowed"),
        ("Zoe\u0308", "NameNotAllowed"),
        ("\uff21da", "NameNotAllowed"),
        ("A\u00a0da", "NameNotAllowed"),
        ("\u0410da", "NameMixedScripts"),
        ("Ad\u03b1", "NameMixedScripts"),
        ("Ada アダ", "NameMixedScripts"),
        ("Second", "PlayerExists"),
    ],
    ids=ascii,
)
def test_a_player_needs_a_name_and_is_made_once(node: Node, name: str, code: str) -> None:
    """Names may be shared; principals may not."""
    assert refusal(node, ADA, CreatePlayer(name)) == code


@pytest.mark.parametrize(
    "name",
    [
        "Zoë",
        "Ada-2 (the 2nd)",
        "Ада",
        "山田太郎",
        "ヤマダ 太郎",
        "김철수",
        "அடா",
        "7",
        "A",
        "🦊 Ada",
    ],
)
def test_names_of_one_script_are_allowed(node: Node, name: str) -> None:
    """With digits, signs and blanks; scripts that belong together count as one."""
    assert node.do(NOBODY, NOBODY, CreatePlayer(name)).case == "Applied"


def test_a_new_player_begins_with_nothing(node: Node) -> None:
    """And knows who made it."""
    node.do(GATEWAY, NOBODY, CreatePlayer("𝄞" * 32))

    player = node.player(NOBODY)
    assert (player.balance, player.score, player.created_by) == (0, 0, GATEWAY)


def test_a_transfer_takes_from_one_what_it_gives_to_the_other(node: Node) -> None:
    """To the last paisa."""
    accept(node, ADA, Transfer(BOB, 1_000))

    assert (node.balances()[ADA], node.balances()[BOB]) == (0, 1_050)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (Transfer(BOB, 1_001), "InsufficientFunds"),
        (Transfer(BOB, 0), "InvalidAmount"),
        (Transfer(ADA, 1), "SelfTransfer"),
        (Transfer(NOBODY, 1), "UnknownPlayer"),
        (Transfer(BOB, 2**64 - 1), "InsufficientFunds"),
        (Transfer(BOB, 2**64), "InsufficientFunds"),
        (Transfer(BOB, -1), "InvalidAmount"),
        (Transfer("x" * 1_000_000, 1), "UnknownPlayer"),
    ],
)
def test_a_transfer_that_cannot_be_is_refused(node: Node, body: Operation, code: str) -> None:
    """And nothing moves."""
    assert refusal(node, ADA, body) == code


@pytest.mark.parametrize("account", ["bank", "market", ADA])
def test_money_enters_and_leaves_by_credit_and_debit_alone(node: Node, account: str) -> None:
    """Both are counted."""
    before = node.figures
    balance = node.balances()[account]

    accept(node, ADMIN, Credit(account, 70))
    accept(node, ADMIN, Debit(account, 30))

    assert node.balances()[account] == balance + 40
    assert node.figures["credits"] == before["credits"] + 70
    assert node.figures["debits"] == before["debits"] + 30


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (Credit(ADA, 0), "InvalidAmount"),
        (Credit(ADA, -1), "InvalidAmount"),
        (Credit(ADA, MONEY_MAX), "SupplyExceeded"),
        (Credit(ADA, 2**64), "SupplyExceeded"),
        (Credit("x" * 1_000_000, 1), "UnknownPlayer"),
        (Credit(NOBODY, 1), "UnknownPlayer"),
        (Credit("not even a principal", 1), "UnknownPlayer"),
        (Debit(ADA, 0), "InvalidAmount"),
        (Debit(ADA, -1), "InvalidAmount"),
        (Debit(ADA, 2**64), "InsufficientFunds"),
        (Debit(ADA, 1_001), "InsufficientFunds"),
        (Debit("bank", FUNDS + 1), "BankIlliquid"),
        (Debit("market", FUNDS + 1), "MarketIlliquid"),
    ],
)
def test_a_credit_or_debit_that_cannot_be_is_refused(
    node: Node, body: Operation, code: str
) -> None:
    """No account goes below zero, and all money together fits a nat64."""
    assert refusal(node, ADMIN, body) == code


def test_a_deposit_comes_back_with_interest_when_it_is_due(node: Node) -> None:
    """6 % a year, rounded down; the bank pays."""
    accept(node, ADA, OpenDeposit(999, YEAR_S))
    assert node.balances()[ADA] == 1
    assert refusal(node, ADA, CloseDeposit(1)) == "DepositNotDue"

    due_ns = NOW_NS + YEAR_S * SECOND_NS
    accept(node, ADA, CloseDeposit(1), due_ns)

    assert node.balances()[ADA] == 1_000 + 59
    assert node.balances()["bank"] == FUNDS - 59
    assert node.do(ADA, ADA, CloseDeposit(1), due_ns).code == "UnknownDeposit"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (OpenDeposit(1_001, 60), "InsufficientFunds"),
        (OpenDeposit(0, 60), "InvalidAmount"),
        (OpenDeposit(2**64, 60), "InsufficientFunds"),
        (OpenDeposit(1, 2**64 - 1), "InvalidTerm"),
        (OpenDeposit(1, 0), "InvalidTerm"),
        (OpenDeposit(1, 10 * YEAR_S + 1), "InvalidTerm"),
        (CloseDeposit(0), "UnknownDeposit"),
        (CloseDeposit(7), "UnknownDeposit"),
        (CloseDeposit(2**64), "UnknownDeposit"),
    ],
)
def test_a_deposit_that_cannot_be_is_refused(node: Node, body: Operation, code: str) -> None:
    """Terms are a second to ten years."""
    assert refusal(node, ADA, body) == code


def test_a_player_has_so_many_deposits_at_once(node: Node) -> None:
    """They bound its row; a closed one makes room."""
    for _ in range(8):
        accept(node, ADA, OpenDeposit(1, 1))

    assert refusal(node, ADA, OpenDeposit(1, 1)) == "TooManyDeposits"
    later_ns = NOW_NS + SECOND_NS
    accept(node, ADA, CloseDeposit(3), now_ns=later_ns)
    accept(node, ADA, OpenDeposit(1, 1), now_ns=later_ns)
    player = node.player(ADA)
    assert [deposit.number for deposit in player.deposits] == [1, 2, 4, 5, 6, 7, 8, 9]


def test_a_bank_without_money_keeps_the_deposit_open(node: Node) -> None:
    """The player can close it when the bank has money again."""
    accept(node, ADA, OpenDeposit(100, YEAR_S))
    accept(node, ADMIN, Debit("bank", FUNDS + 100))
    due_ns = NOW_NS + YEAR_S * SECOND_NS

    assert node.do(ADA, ADA, CloseDeposit(1), due_ns).code == "BankIlliquid"
    accept(node, ADMIN, Credit("bank", 106), due_ns)
    accept(node, ADA, CloseDeposit(1), due_ns)


def test_shares_are_bought_from_and_sold_to_the_market(node: Node) -> None:
    """At the price of the moment; the market gains what players lose."""
    accept(node, ADA, Buy("GOLD", 30))
    accept(node, ADMIN, SetPrice("GOLD", 12))
    accept(node, ADA, Sell("GOLD", 10))

    assert node.balances()[ADA] == 1_000 - 300 + 120
    assert node.balances()["market"] == FUNDS + 300 - 120
    player = node.player(ADA)
    assert [holding.quantity for holding in player.holdings] == [20]
    accept(node, ADA, Sell("GOLD", 20))
    player = node.player(ADA)
    assert player.holdings == ()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (Buy("GOLD", 101), "InsufficientFunds"),
        (Buy("GOLD", 0), "InvalidAmount"),
        (Buy("TIN", 1), "UnknownSymbol"),
        (Buy("GOLD", 2**64 - 1), "InsufficientFunds"),
        (Buy("GOLD", -1), "InvalidAmount"),
        (Buy("x" * 1_000_000, 1), "UnknownSymbol"),
        (Sell("GOLD", 1), "InsufficientHoldings"),
        (Sell("GOLD", 0), "InvalidAmount"),
        (Sell("GOLD", -1), "InvalidAmount"),
        (Sell("GOLD", 2**64 - 1), "InsufficientHoldings"),
        (Sell("TIN", 1), "UnknownSymbol"),
    ],
)
def test_a_trade_that_cannot_be_is_refused(node: Node, body: Operation, code: str) -> None:
    """And neither money nor shares move."""
    assert refusal(node, ADA, body) == code


def test_a_market_without_money_buys_nothing(node: Node) -> None:
    """Players keep their shares."""
    accept(node, ADA, Buy("GOLD", 1))
    accept(node, ADMIN, SetPrice("GOLD", 2 * FUNDS))

    assert refusal(node, ADA, Sell("GOLD", 1)) == "MarketIlliquid"


def test_a_holding_fits_its_number(node: Node) -> None:
    """However cheap a share becomes, and however often it is bought."""
    rich = MONEY_MAX - 3 * FUNDS
    accept(node, ADMIN, Credit(ADA, rich))
    accept(node, ADMIN, SetPrice("GOLD", 1))
    accept(node, ADA, Buy("GOLD", rich))
    accept(node, ADMIN, SetPrice("GOLD", 2))
    accept(node, ADA, Sell("GOLD", rich // 2))
    accept(node, ADMIN, SetPrice("GOLD", 1))

    assert refusal(node, ADA, Buy("GOLD", rich - 1)) == "HoldingTooLarge"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (SetPrice("GOLD", 0), "InvalidAmount"),
        (SetPrice("GOLD", 2**64 - 1), "InvalidAmount"),
        (SetPrice("", 1), "InvalidSymbol"),
        (SetPrice("x" * 13, 1), "InvalidSymbol"),
        (SetPrice("x" * 1_000_000, 1), "InvalidSymbol"),
        (SetPrice("GOLD\x00", 1), "InvalidSymbol"),
        (SetPrice("G\u041eLD", 1), "InvalidSymbol"),
        (SetPrice("GOLD", 2**64), "InvalidAmount"),
        (SetPrice("GOLD", -1), "InvalidAmount"),
        (SetPrice("a b", 1), "InvalidSymbol"),
        (SetPrice("gœld", 1), "InvalidSymbol"),
    ],
)
def test_a_price_that_cannot_be_is_refused(node: Node, body: Operation, code: str) -> None:
    """Symbols are short words of ASCII."""
    assert refusal(node, ADMIN, body) == code


def test_so_many_symbols_are_traded(node: Node) -> None:
    """They bound a player's row; the price of a known one can always change."""
    for number in range(31):
        accept(node, ADMIN, SetPrice(f"S{number}", 1))

    assert refusal(node, ADMIN, SetPrice("ONEMORE", 1)) == "TooManySymbols"
    accept(node, ADMIN, SetPrice("S3", 2))


def test_a_player_with_everything_still_has_a_row(node: Node) -> None:
    """32 holdings and 8 deposits fit."""
    for number in range(31):
        accept(node, ADMIN, SetPrice(f"S{number}", 1))
        accept(node, ADA, Buy(f"S{number}", 1))
    accept(node, ADA, Buy("GOLD", 1))
    for _ in range(8):
        accept(node, ADA, OpenDeposit(1, 1))


def test_a_score_is_the_best_ever_reached(node: Node) -> None:
    """A worse one is applied and changes nothing."""
    for score in (5, 9, 7):
        node.do(GATEWAY, ADA, RecordScore(score))

    player = node.player(ADA)
    assert player.score == 9


def test_operations_on_nobody_are_refused(node: Node) -> None:
    """A gateway for all players may ask, and is told."""
    assert refusal(node, NOBODY, RecordScore(1), caller=GATEWAY) == "UnknownPlayer"


def test_a_bank_without_money_pays_nothing_back(node: Node) -> None:
    """The deposit stays, and is paid when there is money again."""
    accept(node, ADA, OpenDeposit(500, 1))
    accept(node, ADMIN, Debit("bank", FUNDS + 500))
    due_ns = NOW_NS + SECOND_NS

    assert node.do(ADA, ADA, CloseDeposit(1), due_ns).code == "BankIlliquid"
    accept(node, ADMIN, Credit("bank", 500), due_ns)
    accept(node, ADA, CloseDeposit(1), due_ns)


def test_a_score_as_large_as_its_number_is_kept(node: Node) -> None:
    """And a larger one, which Candid lets nobody send, harms nothing."""
    assert node.do(GATEWAY, ADA, RecordScore(2**64 - 1)).case == "Applied"
    table = node.service.table
    before = dict(table.rows(0, table.end_slot))

    verdict = node.do(GATEWAY, BOB, RecordScore(2**64))

    assert (verdict.case, verdict.code) == ("Invalid", "Encoding")
    assert dict(table.rows(0, table.end_slot)) == before


def test_a_bad_operation_leaves_its_neighbours_alone(node: Node) -> None:
    """Each of a batch is decided by itself, also one that has no encoding."""
    bodies: list[Operation] = [
        Transfer(BOB, 1),
        CreatePlayer("x" * 1_000_000),
        Transfer(BOB, 2),
        RecordScore(2**64),
        Transfer(BOB, 3),
    ]
    operations = [submitted(number, ADA, body) for number, body in enumerate(bodies)]
    service = node.service
    service.grant_gateway(
        ADMIN,
        GATEWAY,
        ["CreatePlayer", "RecordScore", "Transfer"],
        all_players=True,
        now_ns=NOW_NS,
    )

    verdicts = node.submit(GATEWAY, *operations)

    assert [(verdict.case, verdict.code) for verdict in verdicts] == [
        ("Applied", ""),
        ("Refused", "NameTooLong"),
        ("Applied", ""),
        ("Invalid", "Encoding"),
        ("Applied", ""),
    ]
    assert node.balances()[BOB] == 56


def test_a_player_remembers_the_last_operations_that_changed_it(node: Node) -> None:
    """Both ends of a transfer; of those that changed nothing, and the oldest, there is none."""
    accept(node, ADA, Transfer(BOB, 1))
    transfer = node.head.seq
    assert node.do(ADA, ADA, Transfer(BOB, 0)).case == "Refused"
    accept(node, ADA, Buy("GOLD", 1))

    kinds = [KIND_NAMES[kind] for _, kind in node.player(ADA).recent]
    assert kinds == ["CreatePlayer", "Credit", "Transfer", "Buy"]
    assert node.player(BOB).recent[-1] == Recent(transfer, KIND_NAMES.index("Transfer"))

    for _ in range(RECENT_MAX):
        accept(node, ADA, Buy("GOLD", 1))
    seqs = [seq for seq, _ in node.player(ADA).recent]
    assert seqs == list(range(node.head.seq - RECENT_MAX + 1, node.head.seq + 1))


def test_every_refusal_code_is_listed_and_met() -> None:
    """Clients switch over them: the list is a promise, and this file meets each."""
    source = Path(__file__).read_text(encoding="utf-8")
    game = Path(game_operations.__file__).parent
    rules = "".join(
        (game / name).read_text(encoding="utf-8")
        for name in ("game_operations.py", "game_journal.py")
    )
    raised = set(re.findall(r'refuse\(\s*"(\w+)"|"(\w+Illiquid)"|or "(\w+)"', rules))

    assert {code for groups in raised for code in groups if code} == REFUSAL_CODES
    assert all(f'"{code}"' in source for code in REFUSAL_CODES)
    documented = (ROOT / "docs" / "canister-api.md").read_text(encoding="utf-8")
    assert all(f"`{code}`" in documented for code in REFUSAL_CODES)
