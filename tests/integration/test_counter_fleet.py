"""The counter of ``examples``: its own rules, and rows that an older version of it wrote."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icfleet import Ed25519Identity
from icfleet.generate import generate_canister
from icfleet.testing import CONTROLLER, InstalledCanister, Localnet

ROOT = Path(__file__).parents[2]
OLDER = (ROOT / "tests" / "vectors" / "canisters" / "counter_1.py.txt").read_text()


def person() -> Ed25519Identity:
    return Ed25519Identity.generate()


class Older:
    """A main that was installed with the counter of before, and has rows of version 1."""

    def __init__(self, localnet: Localnet, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "counter.py").write_text(OLDER)
        generate_canister(folder.parent, folder)
        self.localnet = localnet
        self.canister: InstalledCanister = localnet.install(folder, {"Main": None})
        assert "Done" in self.canister.update("promote", 0, 1, identity=CONTROLLER)

    def do(self, operation: Mapping[str, object], who: Ed25519Identity) -> Any:
        envelope = {
            "id": Ed25519Identity.generate().sender.raw[:16],
            "subject": who.sender,
            "created_at": self.localnet.clock.now_ns(),
            "body": operation,
        }
        answer = self.canister.update("submit", {"ops": [envelope]}, identity=who)
        return answer["Done"]["results"][0]

    def add(self, amount: int, who: Ed25519Identity) -> Any:
        return self.do({"Add": {"amount": amount}}, who)


def test_rows_of_an_older_counter_are_read_after_an_upgrade(
    localnet: Localnet, tmp_path: Path
) -> None:
    """What has come since has its default; the next write makes the row a new one."""
    ada, bob = person(), person()
    older = Older(localnet, tmp_path / "counter")
    for who in (ada, bob):
        assert "Applied" in older.add(5, who)
    assert "adds" not in older.canister.query("value", ada.sender)

    older.canister.upgrade(ROOT / "examples" / "counter")
    localnet.clock.advance(2)

    assert older.canister.query("value", ada.sender)["value"] == 5
    assert older.canister.query("value", ada.sender)["adds"] == 0
    assert "Applied" in older.add(1, ada)
    reading = older.canister.query("value", ada.sender)
    assert (reading["value"], reading["adds"]) == (6, 1)
    assert older.canister.query("cached_query", "total")["value"] == b"11"
    assert older.canister.query("value", bob.sender)["value"] == 5


def test_only_owners_reset(localnet: Localnet, tmp_path: Path) -> None:
    """By the table in counter.py: a stranger becomes an owner by its first Add."""
    ada = person()
    counter = Older(localnet, tmp_path / "counter")
    counter.canister.upgrade(ROOT / "examples" / "counter")

    before = counter.do({"Reset": None}, ada)
    counter.add(5, ada)
    after = counter.do({"Reset": None}, ada)

    assert before == {"Forbidden": "Reset needs the role owner"}
    assert "Applied" in after
    assert counter.canister.query("value", ada.sender)["value"] == 0
