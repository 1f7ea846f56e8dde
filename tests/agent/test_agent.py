"""An agent's own affairs: whose root key it trusts, certified state, status, and its settings."""

from random import Random

import pytest
from tiny_replica import (
    DID,
    ECHO,
    ROOT_KEY,
    Exchange,
    Fault,
    TinyReplica,
    fail,
    flip_certificate,
    refuse,
    tamper,
)

from icfleet_agent import Agent, AgentConfig, RetryConfig
from icfleet_agent.deadline import Deadline
from icfleet_agent.errors import (
    HttpStatusError,
    MalformedReplyError,
    NotSentError,
    SettingsError,
    TransportTimeoutError,
    UnverifiedReplyError,
)
from icfleet_agent.testing import ManualClock, MemoryTransport
from icfleet_agent.transport import HttpMethod, HttpReply
from icfleet_agent.trust import MAINNET_ROOT_KEY_DER
from icfleet_agent.wire import Wire
from icfleet_protocol.cbor import encode_tagged
from icfleet_protocol.hash_tree import Absent, Found
from icfleet_protocol.identity import Ed25519Identity

ADA = Ed25519Identity.from_seed(b"a" * 32)
CONFIG = AgentConfig(attempt_timeout_s=0.3, retry=RetryConfig(delay_first_s=0.01, delay_max_s=0.02))
METADATA = (b"canister", ECHO.raw, b"metadata", b"candid:service")


class MemoryNetwork:
    """A replica and an agent on one manual clock, without sockets."""

    def __init__(self, url: str = "http://127.0.0.1:4943", config: AgentConfig = CONFIG) -> None:
        self.clock = ManualClock()
        self.replica = TinyReplica(now_ns=self.clock.now_ns)
        self.transport = MemoryTransport(self._answer)
        self.agent = Agent(
            url,
            identity=ADA,
            transport=self.transport,
            config=config,
            clock=self.clock,
            random=Random(0),
        )

    def _answer(self, method: HttpMethod, url: str, body: bytes) -> HttpReply:
        path = "/" + url.split("/", 3)[3]
        answer = self.replica.answer(method, path, body)
        assert isinstance(answer, HttpReply)
        return answer


async def test_a_server_on_this_computer_is_asked_for_its_root_key_once(
    replica: TinyReplica, url: str
) -> None:
    async with Agent(url, config=CONFIG) as agent:
        assert await agent.root_key() == ROOT_KEY.public_key_der
        assert await agent.root_key() == ROOT_KEY.public_key_der

    assert replica.status_requests == 1


async def test_a_given_root_key_is_not_asked_for(replica: TinyReplica, url: str) -> None:
    async with Agent(url, root_key=ROOT_KEY.public_key_der, config=CONFIG) as agent:
        await agent.update(ECHO, "echo")

    assert replica.status_requests == 0


async def test_a_server_elsewhere_is_believed_only_with_mainnets_key() -> None:
    network = MemoryNetwork("https://icp-api.io")

    assert await network.agent.root_key() == MAINNET_ROOT_KEY_DER
    with pytest.raises(UnverifiedReplyError):
        await network.agent.query(ECHO, "echo")
    assert network.replica.status_requests == 0


async def test_a_test_network_elsewhere_can_be_named_trustworthy() -> None:
    network = MemoryNetwork("https://testnet.example", AgentConfig(fetch_root_key=True))

    assert await network.agent.query(ECHO, "echo", b"x") == b"x"
    assert await network.agent.root_key() == ROOT_KEY.public_key_der


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param({}, MalformedReplyError, id="missing"),
        pytest.param({"root_key": b"short"}, SettingsError, id="no-key"),
    ],
)
async def test_a_server_without_a_proper_root_key_is_refused(
    replica: TinyReplica, url: str, fields: dict[str, object], error: type[Exception]
) -> None:
    body = encode_tagged(fields)

    def answer(_replica: TinyReplica, _exchange: Exchange) -> HttpReply:
        return HttpReply(200, body)

    replica.plan("status", *[answer] * 9)
    async with Agent(url, config=CONFIG) as agent:
        with pytest.raises(error):
            await agent.root_key()


async def test_a_failed_fetch_of_the_root_key_is_tried_again(
    replica: TinyReplica, url: str
) -> None:
    replica.plan("status", refuse(503), fail(Fault.DROP), fail(Fault.HANG))
    async with Agent(url, config=CONFIG) as agent:
        assert await agent.root_key() == ROOT_KEY.public_key_der

    assert replica.status_requests == 4


async def test_status_is_told_as_it_is(replica: TinyReplica, url: str) -> None:
    async with Agent(url, config=CONFIG) as agent:
        status = await agent.status()
        replica.plan("status", refuse(503, "starting"), fail(Fault.HANG))
        with pytest.raises(HttpStatusError, match="starting"):
            await agent.status()
        with pytest.raises(TransportTimeoutError):
            await agent.status(timeout_s=0.2)

    assert (status.health, status.impl_version, status.certified_height) == ("healthy", "0.0.1", 7)
    assert status.root_key_der == ROOT_KEY.public_key_der


async def test_state_is_read_with_proof(replica: TinyReplica, url: str) -> None:
    async with Agent(url, identity=ADA, config=CONFIG) as agent:
        certificate = await agent.read_state(str(ECHO), (METADATA, (b"time",)))

    assert certificate.lookup(*METADATA) == Found(DID.encode())
    assert certificate.lookup(b"canister", b"nobody") == Absent()
    assert replica.exchanges[0].envelope.content.sender == ADA.sender


async def test_state_with_a_tampered_certificate_is_refused(replica: TinyReplica, url: str) -> None:
    replica.plan("read_state", tamper(flip_certificate))
    async with Agent(url, config=CONFIG) as agent:
        with pytest.raises((UnverifiedReplyError, MalformedReplyError)):
            await agent.read_state(ECHO, ((b"time",),))


async def test_reading_state_is_tried_again(replica: TinyReplica, url: str) -> None:
    replica.plan(
        "read_state", refuse(503), fail(Fault.DROP), refuse(404, "Invalid path requested.")
    )
    async with Agent(url, config=CONFIG) as agent:
        await agent.root_key()
        await agent.read_state(ECHO, ((b"time",),))
        replica.plan("read_state", *[refuse(503)] * 9)
        with pytest.raises(HttpStatusError):
            await agent.read_state(ECHO, ((b"time",),), retries=False)


async def test_node_keys_expire_and_are_fetched_anew() -> None:
    network = MemoryNetwork()
    await network.agent.query(ECHO, "echo")
    network.clock.advance(299.0)
    await network.agent.query(ECHO, "echo")
    assert network.replica.count("read_state") == 1

    network.clock.advance(2.0)
    await network.agent.query(ECHO, "echo")

    assert network.replica.count("read_state") == 2


async def test_a_new_node_is_accepted_once_its_key_is_certified() -> None:
    """Nodes are replaced while our list of them is still kept."""
    network = MemoryNetwork()
    await network.agent.query(ECHO, "echo")
    network.replica.node = network.replica.certified_node = ADA
    network.clock.advance(11.0)

    assert await network.agent.query(ECHO, "echo", b"x") == b"x"
    assert network.replica.count("read_state") == 2


async def test_invented_nodes_do_not_make_us_ask_each_time() -> None:
    network = MemoryNetwork()
    network.replica.node = ADA
    for _ in range(20):
        with pytest.raises(UnverifiedReplyError, match="does not belong"):
            await network.agent.query(ECHO, "echo")
        network.clock.advance(1.0)

    assert network.replica.count("query") == 20
    assert network.replica.count("read_state") <= 3


async def test_equal_queries_within_a_minute_are_equal_bytes() -> None:
    """Their expiry is rounded, so that caches on the way can serve them."""
    network = MemoryNetwork()
    network.clock.advance(-network.clock.now_ns() % 60_000_000_000 / 1e9)
    for pause_s in (0.0, 59.0, 2.0):
        network.clock.advance(pause_s)
        await network.agent.query(ECHO, "echo")

    bodies = [one.body for one in network.replica.exchanges if one.endpoint == "query"]
    assert bodies[0] == bodies[1] != bodies[2]
    expiry_ns = Exchange("query", "v3", "", bodies[2]).envelope.content.ingress_expiry_ns
    assert 180e9 <= expiry_ns - network.clock.now_ns() <= 240e9


async def test_a_short_expiry_is_not_rounded_away() -> None:
    network = MemoryNetwork(config=AgentConfig(ingress_expiry_s=30.0))

    await network.agent.query(ECHO, "echo")

    expiry_ns = network.replica.exchanges[0].envelope.content.ingress_expiry_ns
    assert expiry_ns - network.clock.now_ns() == 30_000_000_000


async def test_chance_is_an_argument() -> None:
    """A test can replay an agent from its seed."""
    first, second = MemoryNetwork(), MemoryNetwork()
    for network in (first, second):
        await network.agent.update(ECHO, "echo")

    assert first.transport.requests == second.transport.requests


@pytest.mark.parametrize("url", ["icp-api.io", "http://user:secret@host"])
async def test_a_bad_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(SettingsError):
        Agent(url)


async def test_a_bad_root_key_is_refused_at_once() -> None:
    with pytest.raises(SettingsError):
        Agent("http://127.0.0.1:4943", root_key=b"short")


async def test_an_agent_tells_who_it_is() -> None:
    network = MemoryNetwork()

    assert network.agent.identity is ADA
    assert network.agent.sender == ADA.sender


async def test_nothing_is_sent_when_no_time_is_left() -> None:
    """And that is known to be without effect."""
    network = MemoryNetwork()
    await network.agent.root_key()
    wire = Wire("http://x", network.transport, clock=network.clock, config=CONFIG)
    deadline = Deadline.after(1.0, now_s=network.clock.now_s())
    network.clock.advance(1.0)
    sent = len(network.transport.requests)

    with pytest.raises(NotSentError, match="no time"):
        await wire.get_status(deadline)

    assert len(network.transport.requests) == sent
