"""Typed calls: Python values in and out, mistakes refused before anything is sent."""

from collections.abc import AsyncIterator

import pytest
from tiny_replica import ECHO, TinyReplica

from icfleet_agent import Agent, Canister
from icfleet_agent.errors import HttpStatusError, MalformedReplyError, SettingsError
from icfleet_agent.transport import HttpReply
from icfleet_protocol.candid import parse_did
from icfleet_protocol.errors import CandidError

DID = """
type Player = record { name : text; score : nat64 };
service : {
  echo : (Player) -> (Player) query;
  echo_two : (text, nat) -> (text, nat) query;
  echo_none : () -> () query;
  composite : (text) -> (text) composite_query;
  set : (text) -> (text);
  wrong : (text) -> (nat) query;
}
"""
ADA = {"name": "ada", "score": 7}


@pytest.fixture
async def canister(url: str) -> AsyncIterator[Canister]:
    async with Agent(url) as agent:
        yield Canister(agent, str(ECHO), DID)


async def test_a_single_result_comes_as_itself(canister: Canister) -> None:
    assert await canister.query("echo", ADA) == ADA


async def test_several_results_come_as_a_tuple(canister: Canister) -> None:
    assert await canister.query("echo_two", "x", 10**20) == ("x", 10**20)


async def test_no_result_comes_as_none(canister: Canister) -> None:
    assert await canister.query("echo_none") is None


async def test_an_update_is_typed_as_well(canister: Canister, replica: TinyReplica) -> None:
    assert await canister.update("set", "x") == "x"
    assert replica.count("call") == 1


async def test_a_query_method_may_be_called_with_certainty(
    canister: Canister, replica: TinyReplica
) -> None:
    assert await canister.update("echo", ADA) == ADA
    assert (replica.count("call"), replica.count("query")) == (1, 0)


async def test_a_composite_query_is_a_query(canister: Canister) -> None:
    assert await canister.query("composite", "x") == "x"


async def test_an_update_method_is_not_asked_as_a_query(
    canister: Canister, replica: TinyReplica
) -> None:
    with pytest.raises(SettingsError, match="use update"):
        await canister.query("set", "x")
    assert replica.exchanges == []


@pytest.mark.parametrize(
    ("method", "args", "reason"),
    [
        pytest.param("nothing", (), "no method 'nothing'", id="unknown-method"),
        pytest.param("set", (), "argument", id="too-few"),
        pytest.param("set", ("a", "b"), "argument", id="too-many"),
        pytest.param("set", (1,), "expected text", id="wrong-type"),
        pytest.param("echo", ({"name": "ada"},), "score", id="field-missing"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(
    canister: Canister, replica: TinyReplica, method: str, args: tuple[object, ...], reason: str
) -> None:
    with pytest.raises(CandidError, match=reason):
        await canister.update(method, *args)
    assert replica.exchanges == []


async def test_a_reply_that_does_not_fit_is_refused(canister: Canister) -> None:
    """The canister echoes a text where its interface promises a number."""
    with pytest.raises(CandidError):
        await canister.query("wrong", "text")


async def test_options_reach_the_agent(canister: Canister, replica: TinyReplica) -> None:
    replica.plan("query", lambda _replica, _exchange: HttpReply(503, b""))

    with pytest.raises(HttpStatusError, match="503"):
        await canister.query("echo", ADA, retries=False, timeout_s=1.0)
    assert replica.count("query") == 1


async def test_an_interface_can_be_parsed_once_and_shared(url: str) -> None:
    interface = parse_did(DID)
    async with Agent(url) as agent:
        canister = Canister(agent, ECHO, interface)

    assert canister.interface is interface
    assert canister.canister_id == ECHO


async def test_a_canister_can_tell_its_own_interface(replica: TinyReplica, url: str) -> None:
    """Certified, so nobody on the way can change it."""
    async with Agent(url) as agent:
        canister = await Canister.from_metadata(agent, str(ECHO))

        assert await canister.query("echo_query", "hello") == "hello"
    assert replica.exchanges[0].endpoint == "read_state"


async def test_a_canister_without_a_published_interface_says_so(url: str) -> None:
    async with Agent(url) as agent:
        with pytest.raises(MalformedReplyError, match="publishes no Candid"):
            await Canister.from_metadata(agent, "rrkah-fqaaa-aaaaa-aaaaq-cai")


async def test_an_interface_that_is_not_text_is_malformed(replica: TinyReplica, url: str) -> None:
    replica.did = b"\xff"
    async with Agent(url) as agent:
        with pytest.raises(MalformedReplyError, match="not text"):
            await Canister.from_metadata(agent, str(ECHO))


async def test_an_interface_that_cannot_be_read_is_refused(replica: TinyReplica, url: str) -> None:
    replica.did = b"service : {"
    async with Agent(url) as agent:
        with pytest.raises(CandidError):
            await Canister.from_metadata(agent, str(ECHO))
