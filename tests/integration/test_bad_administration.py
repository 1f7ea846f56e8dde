"""What admins, strangers and replicas ask in vain, on real canisters; and a view that raises."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from unchanged import unchanged
from wide_fleet import COUNTER, GAME, Source, WideFleet

from icfleet import Ed25519Identity
from icfleet.generate import generate_canister
from icfleet.localnet_command import NetworkChoice
from icfleet.testing import CONTROLLER, Localnet
from icfleet_agent import UncertifiedRejectError
from icfleet_protocol.principal import ANONYMOUS, Principal

pytestmark = pytest.mark.timeout(120)

NAT64_MAX = 2**64 - 1
ADMINS = ("promote", "demote", "attach", "detach", "follow", "reseed")


@pytest.fixture(scope="module")
def network() -> Iterator[Localnet]:
    with Localnet(NetworkChoice(port=0, subnets=2), seed=b"bad administration") as running:
        yield running


@pytest.fixture(scope="module", params=[GAME, COUNTER], ids=lambda one: one.folder.name)
def fleet(network: Localnet, request: pytest.FixtureRequest) -> WideFleet:
    """Main and three replicas; each test leaves them as they were."""
    return WideFleet(network, request.param, replicas_count=3)


def write(fleet: WideFleet) -> None:
    """One more operation at main."""
    body = {"CreatePlayer": {"name": "Ada"}} if fleet.source is GAME else {"Add": {"amount": 1}}
    (result,) = fleet.send(fleet.operation(Ed25519Identity.generate().sender, body))
    assert "Applied" in result


def test_what_an_admin_asks_in_vain_has_a_code(fleet: WideFleet) -> None:
    """To itself, twice, by a wrong epoch, of the wrong role."""
    main, r1 = fleet.ids["main"], fleet.ids["r1"]
    settings = fleet.status("main")["settings"]

    with unchanged(fleet):
        codes = [
            fleet.problem("main", "attach", main),
            fleet.problem("r1", "attach", r1),
            fleet.problem("r1", "follow", r1),
            fleet.problem("r1", "reseed", r1),
            fleet.problem("main", "attach", ANONYMOUS),
            fleet.problem("main", "follow", r1),
            fleet.problem("main", "reseed", r1),
            fleet.problem("main", "promote", 1, 2),
            fleet.problem("main", "promote", 0, 1),
            fleet.problem("r1", "promote", 0, 2),
            fleet.problem("r1", "promote", 7, 8),
            fleet.problem("r1", "promote", 1, 1),
            fleet.problem("r1", "promote", 1, 0),
            fleet.problem("main", "demote", 2),
            fleet.problem("r1", "demote", 1),
            fleet.problem("r1", "grant_role", r1, "admin"),
            fleet.problem("main", "grant_role", r1, "emperor"),
            fleet.problem("main", "configure", {**settings, "pull_idle_s": 31}),
        ]

    assert codes == [
        *(*["ToItself"] * 4, "NoPrincipal", *["NotReplica"] * 2, *["AlreadyMain"] * 2),
        *(*["WrongEpoch"] * 5, "NotMain", "NotMain", "UnknownRole", "BadSetting"),
    ]


def test_attaching_and_following_twice_is_doing_it_once(fleet: WideFleet) -> None:
    with unchanged(fleet):
        fleet.do("main", "attach", fleet.ids["r1"])
        fleet.do("r1", "follow", fleet.ids["main"])


@pytest.mark.parametrize("name", ["main", "r1"])
def test_strangers_and_gateways_administer_nothing(fleet: WideFleet, name: str) -> None:
    """They are turned away at the door, before the message costs anything."""
    epochs = {"promote": (1, 2), "demote": (1,)}

    with unchanged(fleet):
        for who in (Ed25519Identity.generate(), fleet.gateway):
            for method in ADMINS:
                arguments = epochs.get(method, (fleet.ids["r2"],))
                with pytest.raises(UncertifiedRejectError) as caught:
                    fleet.update(name, method, *arguments, identity=who)
                assert (caught.value.reject_code, caught.value.error_code) == (4, "IC0406")


@pytest.mark.parametrize("names", [("r1", "r2"), ("r1", "r2", "r3")], ids=["two", "three"])
def test_a_circle_is_found_and_left_again(fleet: WideFleet, names: tuple[str, ...]) -> None:
    """Nobody in it changes anything; who is told to follow main again has everything soon."""
    pairs = list(zip(names, (*names[1:], names[0]), strict=True))
    before = {name: fleet.place(name) for name in names}
    for name, upstream in pairs:
        fleet.do(upstream, "attach", fleet.ids[name])
        fleet.do(name, "follow", fleet.ids[upstream])
    fleet.pass_time(40)
    write(fleet)
    fleet.pass_time(40)
    statuses = fleet.statuses(names)
    places = {name: fleet.place(name) for name in names}

    for name, upstream in pairs:
        fleet.do(upstream, "detach", fleet.ids[name])
        fleet.do(name, "follow", fleet.ids["main"])
    fleet.level()

    assert places == before
    errors = [str(one["pull_error"]).partition(" ")[0] for one in statuses.values()]
    assert "Cycle:" in errors, errors


@pytest.mark.parametrize("name", ["main", "r1"])
def test_a_cursor_of_another_canister_is_refused(fleet: WideFleet, name: str) -> None:
    """Slots are counted alike, but positions are not."""
    with unchanged(fleet):
        other = fleet.query(name, "state_page", {"upstream": fleet.ids["r2"], "slot": 1}, 10_000)
        beyond = fleet.query(
            name, "state_page", {"upstream": fleet.ids[name], "slot": NAT64_MAX}, 10_000
        )
        least = fleet.query(name, "state_page", None, 0)

    assert list(other) == ["WrongCursor"]
    assert list(beyond) == ["WrongCursor"]
    assert len(least["Page"]["rows"]) == 1


def test_a_page_is_for_replicas_and_admins(fleet: WideFleet) -> None:
    with unchanged(fleet):
        stranger = Ed25519Identity.generate()
        page = fleet.query("main", "state_page", None, 10_000, identity=stranger)
        log = fleet.query(
            "main", "log_since", {"epoch": 0, "seq": 0}, b"", 10_000, identity=stranger
        )

    assert (page, log) == ({"NotAttached": None}, {"NotAttached": None})


@pytest.mark.parametrize(
    ("epoch", "seq", "chain_hash", "case"),
    [
        (1, NAT64_MAX, b"", "Behind"),
        (NAT64_MAX, NAT64_MAX, b"", "Behind"),
        (1, 1, b"\x00" * 32, "Diverged"),
        (1, 1, b"short", "Diverged"),
        (0, 1, b"", "Diverged"),
        (0, NAT64_MAX, b"", "Diverged"),
    ],
)
def test_any_position_may_be_asked_for(
    fleet: WideFleet, epoch: int, seq: int, chain_hash: bytes, case: str
) -> None:
    answer = fleet.query("main", "log_since", {"epoch": epoch, "seq": seq}, chain_hash, 2**32 - 1)

    assert list(answer) == [case]


# A canister with a view that raises.


def broken(folder: Path) -> Source:
    """The counter, with one more view, which fails while their sum is 3."""
    folder.mkdir()
    text = (COUNTER.folder / "counter.py").read_text()
    whole = 'views=lambda app: [View("total", app.derived.dump, tags=["total"])]'
    assert whole in text
    more = 'View("share", lambda: b"%d" % (1 // (3 - app.derived.value)), tags=["total"])'
    views = f'views=lambda app: [View("total", app.derived.dump, tags=["total"]), {more}]'
    (folder / "counter.py").write_text(text.replace(whole, views))
    generate_canister(folder.parent, folder)
    return Source(folder, COUNTER.operations, COUNTER.roles, COUNTER.all_players)


def add(fleet: WideFleet, amount: int, subject: Principal = CONTROLLER.sender) -> None:
    (result,) = fleet.send(fleet.operation(subject, {"Add": {"amount": amount}}))
    assert "Applied" in result


def test_a_view_that_raises_harms_nobody(network: Localnet, tmp_path: Path) -> None:
    """It shows nothing, and is counted; writes and other views go on, on main and replica."""
    fleet = WideFleet(network, broken(tmp_path / "broken"), replicas_count=1)

    add(fleet, 3)
    fleet.level()
    failing = {
        name: (fleet.query(name, "cached_query", "share"), fleet.figures(name)["view_failures"])
        for name in fleet.names
    }
    totals = [fleet.query(name, "cached_query", "total")["value"] for name in fleet.names]
    add(fleet, 1)
    fleet.level()
    fleet.pass_time(60)

    assert all(failures > 0 for _, failures in failing.values())
    assert all(view is None or view["dirty"] for view, _ in failing.values())
    assert totals == [b"3", b"3"]
    for name in fleet.names:
        assert fleet.query(name, "cached_query", "total")["value"] == b"4"
        assert fleet.query(name, "cached_query", "share")["dirty"] is False
