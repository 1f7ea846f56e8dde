"""Promotion without the old main: what it says first, and what it does."""

import io

import pytest
from modelled_fleet import NOW_NS, ModelledFleet

from icfleet.asking import Ask
from icfleet.errors import AttachError, SwitchOverError, ToolchainError
from icfleet.forced_promotion import LossBound, bound_lines, force_promotion
from icfleet.progress import QuietProgress
from icfleet.switch_over import SwitchReport
from icfleet_router.position import Position

BOUND = LossBound(
    target="replica_1",
    former="main",
    exact=None,
    still_decides=False,
    known_missing=3,
    since_pull_s=20.0,
    rate=2.5,
    further=(),
)


class Asked:
    """Says yes, and remembers what it was shown."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str, word: str) -> None:
        self.texts.append(text)
        assert word.startswith("replica_")


async def force(
    fleet: ModelledFleet,
    name: str = "replica_1",
    *,
    ask: Ask | None = None,
    allow_loss: bool = False,
) -> tuple[LossBound | None, SwitchReport]:
    return await force_promotion(
        fleet,
        fleet,
        name,
        ask=ask or Asked(),
        allow_loss=allow_loss,
        timeout_s=5,
        progress=QuietProgress(io.StringIO()),
    )


def dead_main(*, unpulled: int = 4) -> ModelledFleet:
    """A fleet whose main has gone, with operations that nobody has pulled."""
    fleet = ModelledFleet.joined()
    for name in ("replica_1", "replica_2"):
        fleet[name].pulled_at_ns = NOW_NS - 30_000_000_000
        fleet[name].upstream_head = Position(1, 13)
    fleet["main"].write(unpulled)
    fleet.silent = {"main"}
    return fleet


async def test_a_replica_becomes_main_without_the_old_one() -> None:
    """The other replica follows it; the old main is named for later."""
    fleet = dead_main()

    bound, report = await force(fleet)

    assert fleet["replica_1"].decides
    assert fleet["replica_1"].position == Position(2, 12)
    assert fleet["replica_2"].upstream == fleet.replicas[0].id
    assert fleet["replica_2"].hashes == fleet["replica_1"].hashes
    assert report.former == "main"
    assert any("main does not answer" in warning for warning in report.warnings)
    assert bound is not None


async def test_the_bound_of_a_silent_main_is_what_the_replica_knows() -> None:
    """Seconds by the certified time; operations by the last pull; and an estimate by the rate."""
    bound, _ = await force(dead_main())

    assert bound is not None
    assert (bound.exact, bound.still_decides) == (None, False)
    assert bound.known_missing == 2
    assert bound.since_pull_s == 30.0


def thaw(fleet: ModelledFleet) -> None:
    for one in fleet.canisters.values():
        one.is_frozen = False


async def test_a_main_that_answers_is_stopped_and_tells_the_exact_number() -> None:
    """And it is said that nothing need be lost."""
    fleet = ModelledFleet.joined()
    fleet["replica_1"].is_frozen = fleet["replica_2"].is_frozen = True
    fleet["main"].write(4)
    fleet.before_call = lambda _name, method: thaw(fleet) if method == "promote" else None
    asked = Asked()

    bound, report = await force(fleet, ask=asked)

    assert bound is not None
    assert (bound.exact, bound.still_decides, bound.estimate) == (4, True, 4)
    assert "it has 4 operations more, exactly" in asked.texts[0]
    assert "Without --force nothing would be lost" in asked.texts[0]
    assert fleet.methods[0] == ("main", "demote")
    assert fleet.deciding == ["replica_1"]
    assert any("export-tail main" in warning for warning in report.warnings)


async def test_the_furthest_replica_must_be_chosen() -> None:
    """Unless somebody insists; then the one that is ahead keeps what it has, and is named."""
    fleet = dead_main()
    fleet["replica_2"].append(b"\x00")

    with pytest.raises(SwitchOverError, match=r"replica_2 is further, at 1\.12.*--allow-loss"):
        await force(fleet)
    assert fleet.asked == []
    _, report = await force(fleet, allow_loss=True)

    assert fleet["replica_1"].decides
    assert fleet["replica_2"].position == Position(1, 12)
    assert any("reseed replica_2" in warning for warning in report.warnings)


async def test_nothing_is_done_if_the_answer_is_no() -> None:
    """Not even the old main is stopped."""

    def refuse(_text: str, _word: str) -> None:
        message = "nothing was done"
        raise ToolchainError(message)

    fleet = dead_main()

    with pytest.raises(ToolchainError):
        await force(fleet, ask=refuse)

    assert fleet.asked == []


async def test_a_silent_target_cannot_be_promoted() -> None:
    fleet = dead_main()
    fleet.silent.add("replica_1")

    with pytest.raises(AttachError, match="replica_1 does not answer"):
        await force(fleet)


async def test_a_canister_that_is_not_whole_cannot_be_promoted() -> None:
    fleet = dead_main()
    fleet["replica_1"].phase = "Seeding"

    with pytest.raises(SwitchOverError, match="not whole"):
        await force(fleet)


async def test_forcing_what_is_main_already_changes_nothing() -> None:
    """So an interrupted run may be repeated."""
    fleet = dead_main()
    await force(fleet)
    fleet.asked.clear()

    bound, report = await force(fleet)

    assert bound is None
    assert fleet.asked == []
    assert report.main.name == "replica_1"


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        pytest.param(BOUND, ["last 20 s", "3 operations are known", "about 53 in all"], id="rate"),
        pytest.param(
            LossBound(
                target="replica_1",
                former=None,
                exact=None,
                still_decides=False,
                known_missing=0,
                since_pull_s=None,
                rate=None,
                further=("replica_2",),
            ),
            ["the old main does not answer", "nobody can tell", "What replica_2 has beyond"],
            id="nothing-known",
        ),
    ],
)
def test_the_words_promise_no_more_than_is_known(bound: LossBound, words: list[str]) -> None:
    """An estimate is called one; every line fits a terminal."""
    lines = bound_lines(bound)

    for word in words:
        assert word in "\n".join(lines)
    assert all(len(line) <= 100 for line in lines)
    assert ("no bound" in "\n".join(lines)) == (bound.estimate is not None)
