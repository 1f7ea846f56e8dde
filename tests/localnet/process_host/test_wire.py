"""Messages between processes: whole or not at all, of the declared types, bounded."""

import os
import socket
import struct
from collections.abc import Iterator

import pytest
from native_canister import ADA, CANISTER, OTHER, START_NS

from icfleet_localnet.executor import (
    Environment,
    Heartbeat,
    Inspect,
    Message,
    Outcome,
    OutgoingCall,
    Query,
    Response,
    TimerFired,
    Trap,
    Update,
)
from icfleet_localnet.process_host.wire import (
    Command,
    Execute,
    Fork,
    Line,
    Reply,
    Status,
    WireError,
    socket_pair,
)

Ends = tuple[Line[Command], Line[Reply]]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    here, there = socket_pair()
    with here, there:
        yield here, there


@pytest.fixture
def ends(pair: tuple[socket.socket, socket.socket]) -> Ends:
    """The canister's side, which receives commands, and the network's."""
    return Line[Command](pair[0], Command, takes_fds=True), Line[Reply](pair[1], Reply)


@pytest.mark.parametrize(
    "message",
    [
        Update("m", b"\0\xff"),
        Query("m", b""),
        Inspect("m", b"x"),
        Heartbeat(),
        TimerFired((1 << 32) + 1),
        Response(7, None, 4, "no"),
        Response(7, b""),
    ],
    ids=str,
)
@pytest.mark.parametrize("cycles", [0, 2**64 - 1, 2**64, 2**128 - 1])
def test_commands_arrive_as_they_were(ends: Ends, message: Message, cycles: int) -> None:
    """Every kind of message; amounts have 128 bits."""
    environment = Environment(canister=CANISTER, caller=ADA, time_ns=START_NS, cycles=cycles)
    ends[1].send(3, Execute.of(message, environment))

    packed = ends[0].receive()

    assert packed is not None
    assert isinstance(packed.record, Execute)
    assert (packed.number, packed.record.message) == (3, message)
    assert packed.record.environment == environment


@pytest.mark.parametrize("cycles", [5, 2**100])
def test_replies_arrive_as_they_were(ends: Ends, cycles: int) -> None:
    """With everything an outcome can hold."""
    outcome = Outcome(
        reply=bytes(range(256)) * 500,
        reject="no",
        trap=Trap("why", "IC0503", "where"),
        calls=(OutgoingCall(OTHER, "m", b"x", cycles, None), OutgoingCall(OTHER, "", b"", 0, 4)),
        prints=("one", "two \N{SNOWMAN}"),
        certified_data=b"",
        cycles_accepted=cycles,
    )
    reply = Reply(outcome, Status(None, 1, 2, 3), [1, 2], is_spent=True)
    ends[0].send(9, reply)

    packed = ends[1].receive()

    assert packed is not None
    assert (packed.number, packed.record) == (9, reply)


def test_text_without_a_utf_8_form_is_replaced(ends: Ends) -> None:
    """A canister may print or raise anything."""
    ends[0].send(1, Reply(Outcome(prints=("a\ud800b",))))

    packed = ends[1].receive()

    assert packed is not None
    assert packed.record.outcome == Outcome(prints=("a?b",))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\0\xc1",
        b"\0\x93\x01\x02\x03",
        b"\1",
        b"\1\xff",
        b"\1" + b"\x81" * 5000,
        b"\2\xc0",
        b"\0" + b"\x91" * 5000,
    ],
    ids=lambda content: content[:4].hex() + f" {len(content)}",
)
def test_what_is_no_reply_is_an_error(
    pair: tuple[socket.socket, socket.socket], content: bytes
) -> None:
    """A canister's process may send anything, too."""
    pair[0].send(struct.pack("<II", 1, 3) + content)
    with pytest.raises(WireError, match="malformed message"):
        Line[Reply](pair[1], Reply).receive()


def test_a_packet_too_short_for_its_head_is_an_error(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Not a crash."""
    pair[0].send(b"abc")
    with pytest.raises(WireError, match="packet of 3 bytes"):
        Line[Reply](pair[1], Reply).receive()


def test_a_message_whose_beginning_is_lost_is_passed_over(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """As when the process that read the beginning was killed; the next one counts."""
    line = Line[Reply](pair[1], Reply)
    sender = Line[Command](pair[0], Command)
    sender.send(4, Reply(Outcome(reply=b"x" * 150_000)))
    pair[1].recv(1 << 20)
    sender.send(5, Reply(pid=6))

    packed = line.receive()

    assert packed is not None
    assert (packed.number, packed.record.pid) == (5, 6)


def test_a_message_that_is_never_finished_gives_way_to_the_next(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """As when a process was killed while it sent, and another answers in its place."""
    pair[0].send(struct.pack("<II", 4, 1) + b"\0half")
    Line[Command](pair[0], Command).send(4, Reply(pid=6))

    packed = Line[Reply](pair[1], Reply).receive()

    assert packed is not None
    assert (packed.number, packed.record.pid) == (4, 6)


def test_descriptors_travel_with_a_message(ends: Ends) -> None:
    """The receiver has one of its own."""
    reading, writing = os.pipe()
    ends[1].send(1, Fork("reader"), [writing])
    os.close(writing)

    packed = ends[0].receive()

    assert packed is not None
    assert packed.record == Fork("reader")
    (received,) = packed.fds
    os.write(received, b"x")
    assert os.read(reading, 1) == b"x"
    os.close(received)
    os.close(reading)


def test_the_end_of_the_other_side_is_told(ends: Ends) -> None:
    """Nothing more comes."""
    ends[0].close()
    assert ends[1].receive() is None
    with pytest.raises(OSError, match="pipe"):
        ends[1].send(1, Fork("reader"))
