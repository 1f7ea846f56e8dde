"""Finding positions and statuses in replies of unknown canisters."""

from collections.abc import Sequence

import pytest

from icfleet_protocol.principal import Principal
from icfleet_router import Position
from icfleet_router.replies import find_as_of, parse_status

AS_OF = {"epoch": 1, "seq": 7}


@pytest.mark.parametrize(
    ("results", "position"),
    [
        pytest.param(({"as_of": AS_OF, "entries": 5},), Position(1, 7), id="record"),
        # An opt record that is present decodes to the record itself.
        pytest.param(({"value": b"", "as_of": AS_OF, "dirty": False},), Position(1, 7), id="opt"),
        pytest.param((5, {"as_of": AS_OF}), Position(1, 7), id="second-result"),
        pytest.param((None,), None, id="opt-none"),
        pytest.param((), None, id="no-result"),
        pytest.param((7,), None, id="number"),
        pytest.param(({"entries": [{"as_of": AS_OF}]},), None, id="deeper-is-somebody-elses"),
        pytest.param(({"as_of": 1234567},), None, id="as_of-of-another-meaning"),
    ],
)
def test_as_of_is_found_at_the_top_only(
    results: Sequence[object], position: Position | None
) -> None:
    """The one convention a canister follows to get session promises."""
    assert find_as_of(results) == position


def test_a_status_is_read() -> None:
    """Role, position, hash and main come out typed; the rest stays in the record."""
    main = Principal(b"\x01\x01")
    record = {
        "role": {"Replica": None},
        "as_of": AS_OF,
        "chain_hash": b"h",
        "main": main,
        "pull_error": "no route",
        "figures": None,
    }

    status = parse_status((record,))

    assert status is not None
    assert (status.role, status.as_of, status.main) == ("replica", Position(1, 7), main)
    assert status.pull_error == "no route"
    assert status.record == record


@pytest.mark.parametrize(
    "results",
    [
        (),
        (5,),
        ({"role": {"Leader": None}, "as_of": AS_OF, "chain_hash": b""},),
        ({"role": {"Main": None}, "chain_hash": b""},),
        ({"role": {"Main": None}, "as_of": AS_OF},),
    ],
    ids=["nothing", "number", "unknown-role", "no-position", "no-hash"],
)
def test_another_canisters_status_is_none(results: Sequence[object]) -> None:
    """A canister may have a ``status`` of its own that means something else."""
    assert parse_status(results) is None
