"""The game's load: players who mostly look, sometimes act, and never wait for each other.

    locust -f loadtests/locustfile.py --host http://127.0.0.1:4943 -u 50 -r 10 -t 30s --headless

needs ``icfleet up`` in another terminal; ``--html report.html`` writes a report. ``-u 50`` is 50
players. Of a player's calls 80 % are
reads and 20 % writes, as in the games this toolkit was made for: scores and prices are looked at
far more often than money moves.
"""

import random
import time
from collections import deque
from pathlib import Path
from typing import Any, ClassVar

from locust import between, task

from icfleet import Ed25519Identity, Principal
from icfleet_loadtests import FleetUser

PROJECT = Path(__file__).resolve().parent.parent

SYMBOLS = {"CHAI": 2_500, "MANGO": 12_000, "RICE": 900}
"""What the market trades, and the price of a share in paise."""

MONEY_AT_START = 100_000
"""Paise: 1,000 rupees, enough for hundreds of small payments."""

SCORES_SHOWN = 10
DEPOSIT_TERM_S = 3
DEPOSITS_OPEN_MAX = 4
"""Half of what the game allows."""

DEPOSIT_MARGIN_S = 2
"""Canisters keep their own time, so a deposit is closed a little later than it is due."""

TOO_MUCH = 10**15
"""More than all players have together: the game must refuse it."""

REFUSALS = ("InsufficientFunds", "DepositNotDue", "UnknownSymbol")
"""What the game may say to a well-meant operation: a player knows its balance only by reading, and
may come before the market is open."""


class Player(FleetUser):
    """One player, with its own money and session."""

    dfx_json = PROJECT / "dfx.json"
    identity_pem = PROJECT / ".icfleet" / "identities" / "gateway.pem"

    # A player at a screen; 50 of them make about 50 calls a second.
    wait_time = between(0.5, 1.5)

    everybody: ClassVar[list[Principal]] = []
    """All players of this process, to pay to; at most as many as there are users."""

    is_market_open: ClassVar[bool] = False
    """Whether a player of this process has seen to the prices."""

    def on_start(self) -> None:
        """Enter the game with some money, by the gateway's right to create players and to pay."""
        super().on_start()
        self.random = random.Random()  # noqa: S311 - chooses what to play, guards nothing
        self.me = Ed25519Identity.generate().sender
        self.best_score = 0
        self.shares: dict[str, int] = dict.fromkeys(SYMBOLS, 0)
        self.deposits: deque[tuple[int, float]] = deque()
        self.deposits_made = 0
        if self._write("CreatePlayer", name=f"Player {str(self.me)[:5]}") is None:
            self.leave()
        self._write("Credit", account=str(self.me), amount=MONEY_AT_START)
        self._open_market()
        self.everybody.append(self.me)

    @task(30)
    def look_at_leaderboard(self) -> None:
        """The first screen of the game."""
        self.query("leaderboard", SCORES_SHOWN, complaint=_unsorted)

    @task(20)
    def look_at_market(self) -> None:
        """What shares cost."""
        self.query("market")

    @task(20)
    def look_at_myself(self) -> None:
        """Own money, shares and deposits; a session sees its own writes."""
        self.query("player", self.me, complaint=self._forgotten)

    @task(10)
    def look_at_cached_view(self) -> None:
        """The leaderboard as web pages take it."""
        self.query("cached_query", "leaderboard")

    @task(8)
    def pay(self) -> None:
        """A friend, mostly with money that is there."""
        friend = self.random.choice(self.everybody)
        if friend == self.me:
            return self.score()
        is_boasting = self.random.randrange(20) == 0
        amount = TOO_MUCH if is_boasting else self.random.randrange(1, 500)
        self._write("Transfer", target=friend, amount=amount)
        return None

    @task(4)
    def score(self) -> None:
        """Finish a round."""
        score = self.random.randrange(1, 1_000_000)
        if self._write("RecordScore", score=score) is not None:
            self.best_score = max(self.best_score, score)

    @task(3)
    def buy(self) -> None:
        """A few shares."""
        symbol, quantity = self.random.choice(list(SYMBOLS)), self.random.randrange(1, 4)
        if self._write("Buy", symbol=symbol, quantity=quantity) is not None:
            self.shares[symbol] += quantity

    @task(2)
    def sell(self) -> None:
        """What was bought, or buy if there is nothing."""
        held = [symbol for symbol, quantity in self.shares.items() if quantity]
        if not held:
            return self.buy()
        symbol = self.random.choice(held)
        if self._write("Sell", symbol=symbol, quantity=1) is not None:
            self.shares[symbol] -= 1
        return None

    @task(3)
    def save(self) -> None:
        """Take back a deposit that is due, or make one."""
        if self.deposits and self.deposits[0][1] < time.monotonic():
            number, _ = self.deposits.popleft()
            self._write("CloseDeposit", deposit=number)
        elif len(self.deposits) < DEPOSITS_OPEN_MAX:
            receipt = self._write("OpenDeposit", amount=1_000, term_s=DEPOSIT_TERM_S)
            if receipt is not None:
                self.deposits_made += 1
                due_s = time.monotonic() + DEPOSIT_TERM_S + DEPOSIT_MARGIN_S
                self.deposits.append((self.deposits_made, due_s))

    def _write(self, operation: str, **fields: object) -> object:
        return self.submit({operation: fields}, subject=self.me, refusals_expected=REFUSALS)

    def _open_market(self) -> None:
        """Set the prices that are missing; the first player of each process does."""
        if Player.is_market_open:
            return
        Player.is_market_open = True
        market = self.query("market")
        priced: set[str] = {price["symbol"] for price in market["prices"]} if market else set()
        for symbol in SYMBOLS.keys() - priced:
            self._write("SetPrice", symbol=symbol, price=SYMBOLS[symbol])

    def _forgotten(self, answer: Any) -> str | None:
        match answer["player"]:
            case {"Found": {"score": int(score)}} if score >= self.best_score:
                return None
            case {"Found": {"score": score}}:
                return f"score {score} after {self.best_score} was acknowledged"
            case other:
                return f"a player that was created is {other}"


def _unsorted(answer: Any) -> str | None:
    scores = [entry["score"] for entry in answer["entries"]]
    return None if scores == sorted(scores, reverse=True) else "the leaderboard is not in order"
