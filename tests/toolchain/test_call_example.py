"""Arguments that do not fit, as a person is told of them."""

import pytest

from icfleet.call_example import CallRequest, explain_args
from icfleet_protocol.candid import parse_args, parse_did
from icfleet_protocol.errors import CandidError

INTERFACE = parse_did(
    """
    type Player = principal;
    service : {
      leaderboard : (nat32) -> (nat) query;
      status : () -> () query;
      rename : (Player, text, opt nat, vec nat8, bool, float64) -> ();
      move : (record { x : nat }) -> ();
    }
    """
)


def explained(method: str, args: str) -> str:
    """What is said about arguments that the method does not take."""
    types = INTERFACE.methods[method].args
    with pytest.raises(CandidError) as caught:
        parse_args(args, types, environment=INTERFACE.environment)
    return explain_args(CallRequest("main", method, args), INTERFACE, caught.value)


@pytest.mark.parametrize(
    ("method", "args", "words"),
    [
        pytest.param(
            *("leaderboard", "()"),
            "leaderboard takes 1 argument (nat32), got 0: icfleet call main leaderboard '(5)'",
            id="too-few",
        ),
        pytest.param(
            *("status", "(1)"),
            "status takes no arguments, got 1: icfleet call main status",
            id="none-wanted",
        ),
        pytest.param(
            *("move", "()"),
            "move takes 1 argument (record { x : nat }), got 0",
            id="no-example-of-a-record",
        ),
    ],
)
def test_a_wrong_number_of_arguments_shows_a_call(method: str, args: str, words: str) -> None:
    """The line can be copied."""
    assert explained(method, args) == words


def test_the_call_that_is_shown_fits_the_interface() -> None:
    """Every argument of the example is of its type, by whatever name."""
    example = explained("rename", "()").rpartition(" rename ")[2].strip("'")

    method = INTERFACE.methods["rename"]
    assert len(parse_args(example, method.args, environment=INTERFACE.environment)) == 6


def test_a_bare_value_is_told_to_stand_in_brackets() -> None:
    """Candid's arguments are a sequence, which nobody expects."""
    words = explained("leaderboard", "5")

    assert words.startswith("leaderboard takes (nat32): ")
    assert words.endswith("; write '(5)'")


@pytest.mark.parametrize("args", ['("x")', "("], ids=["type", "syntax"])
def test_other_faults_are_told_with_the_types(args: str) -> None:
    """Where the number fits, or cannot be told, the codec's own words say what is wrong."""
    words = explained("leaderboard", args)

    assert words.startswith("leaderboard takes (nat32): ")
    assert "got 0" not in words
