# ruff: noqa: D101 - Kybra's compiler refuses docstrings in the bodies of records and variants.
"""The game's own Candid types."""

from fleet_types import Position
from kybra import Opt, Principal, Record, Variant, Vec, blob, nat, nat32, nat64, null, text


class CreatePlayerArgs(Record):
    name: text


class AccountAmount(Record):
    account: text
    amount: nat64


class TransferArgs(Record):
    target: Principal
    amount: nat64


class OpenDepositArgs(Record):
    amount: nat64
    term_s: nat64


class CloseDepositArgs(Record):
    deposit: nat64


class SetPriceArgs(Record):
    symbol: text
    price: nat64


class TradeArgs(Record):
    symbol: text
    quantity: nat64


class RecordScoreArgs(Record):
    score: nat64


class Operation(Variant, total=False):
    CreatePlayer: CreatePlayerArgs
    Credit: AccountAmount
    Debit: AccountAmount
    Transfer: TransferArgs
    OpenDeposit: OpenDepositArgs
    CloseDeposit: CloseDepositArgs
    SetPrice: SetPriceArgs
    Buy: TradeArgs
    Sell: TradeArgs
    RecordScore: RecordScoreArgs


class PlayerDeposit(Record):
    id: nat64
    amount: nat64
    interest: nat64
    due_at: nat64


class PlayerHolding(Record):
    symbol: text
    quantity: nat64


class Player(Record):
    name: text
    balance: nat64
    score: nat64
    deposits: Vec[PlayerDeposit]
    holdings: Vec[PlayerHolding]


class PlayerResult(Variant, total=False):
    Found: Player
    NotFound: null
    Forbidden: null


class PlayerReply(Record):
    as_of: Position
    player: PlayerResult


class PricedHolding(Record):
    symbol: text
    quantity: nat64
    price: nat64
    value: nat


class Portfolio(Record):
    balance: nat64
    deposits: Vec[PlayerDeposit]
    holdings: Vec[PricedHolding]
    total: nat


class PortfolioResult(Variant, total=False):
    Found: Portfolio
    NotFound: null
    Forbidden: null


class PortfolioReply(Record):
    as_of: Position
    portfolio: PortfolioResult


class HistoryEntry(Record):
    position: Position
    kind: text
    id: Opt[blob]
    created_at: nat64
    balance: nat64


class HistoryResult(Variant, total=False):
    Found: Vec[HistoryEntry]
    NotFound: null
    Forbidden: null


class HistoryReply(Record):
    as_of: Position
    history: HistoryResult


class LeaderboardEntry(Record):
    rank: nat32
    player: Principal
    name: text
    score: nat64


class LeaderboardReply(Record):
    as_of: Position
    computed_at: nat64
    entries: Vec[LeaderboardEntry]


class Price(Record):
    symbol: text
    price: nat64
    updated_at: nat64


class MarketReply(Record):
    as_of: Position
    prices: Vec[Price]


class Account(Record):
    owner: text
    balance: nat64


class AccountsReply(Record):
    as_of: Position
    next: Opt[nat64]
    accounts: Vec[Account]
